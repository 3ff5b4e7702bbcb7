"""Draw figures/shapes-scanpaths.png: episodes of the agent of docs/own_images.md, four of each class.

Run it in the folder in which ``shapes/`` and the training run are: ``python docs/drawings/shapes.py runs/shapes``.
"""

import sys
from pathlib import Path

import gymnasium as gym
import numpy as np

import glimpse_gym
from glimpse_gym.agents import load
from glimpse_gym.rendering.animation import ScanpathEpisode
from glimpse_gym.rendering.figures import scanpath_plate
from glimpse_gym.rendering.paper_figures import save_figure

EACH = 4


def play(run: str, images: str) -> list[ScanpathEpisode]:
    """Play the first test images of each class at mean locations."""
    agent = load(run)
    envs = gym.make_vec("glimpse_gym/Images-v0", num_envs=3 * EACH, images=images, split="test")
    names, labels = envs.metadata["choice_names"], envs.unwrapped.world.images.labels
    index = np.concatenate([np.flatnonzero(labels == label)[:EACH] for label in range(len(names))])
    observation, _ = envs.reset(seed=0, options={"image_index": index})
    pictures = [envs.unwrapped.world.image(row) for row in range(len(index))]
    state, locations = agent.initial_state(len(index)), []
    for _ in range(envs.metadata["num_glimpses"]):
        locations.append(observation["location"])
        action, state = agent.act(observation, state)
        observation = envs.step(action)[0]
    fixations = np.stack(locations, 1)
    captions = [
        f"{names[label]} → {names[answer]}" for label, answer in zip(labels[index], action["label"], strict=True)
    ]
    success = labels[index] == action["label"]
    retina = glimpse_gym.Retina(envs.metadata["patch_size"], envs.metadata["num_scales"])
    rows = zip(pictures, fixations, captions, success, strict=True)
    return [ScanpathEpisode(image, path, retina, caption, bool(correct)) for image, path, caption, correct in rows]


if __name__ == "__main__":
    save_figure(
        scanpath_plate(play(sys.argv[1], "shapes/"), columns=6),
        Path(__file__).parents[1] / "figures" / "shapes-scanpaths.png",
    )
