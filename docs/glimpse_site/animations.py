"""Animations of the pages of envs: what ``render()`` returns while an agent plays."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import VectorEnv

from glimpse_gym.agents import load
from glimpse_gym.agents.base import Agent
from glimpse_gym.agents.location_policies import SpiralLocations
from glimpse_gym.registration import WORLDS, env_id, needs_your_images
from glimpse_gym.rendering.animation import save_gif
from glimpse_site.agents import agents_by_env

SHAPES = Path(__file__).parents[1] / "examples" / "shapes.py"
"""Program that makes images, for worlds that need some."""

_FRAME_MS, _MOVING_MS, _LAST_FRAME_MS = 450, 150, 1800


def draw_animations(folder: Path, num_episodes: int = 3) -> None:
    """Write NAME.gif of every registered world: episodes of its pretrained agent, or along a spiral."""
    folder.mkdir(parents=True, exist_ok=True)
    agents = agents_by_env()
    for i, name in enumerate(WORLDS):
        with tempfile.TemporaryDirectory() as images:
            kwargs = _images_for(name, Path(images))
            envs = gym.make_vec(env_id(name), num_envs=1, render_mode="rgb_array", **kwargs)
            seeds = range(i * num_episodes, (i + 1) * num_episodes)
            agent = load(agents[env_id(name)]) if env_id(name) in agents else None
            frames, durations = _play(envs, agent, seeds)
        save_gif(folder / f"{name}.gif", frames, durations, colors=256)


def _images_for(name: str, folder: Path) -> dict[str, Any]:
    """Return keyword arguments of a world: made images if it needs them, else the test split if there is one."""
    if needs_your_images(name):
        subprocess.run(
            [sys.executable, SHAPES, "--out", folder, "--number", "4"], check=True, stdout=subprocess.DEVNULL
        )
        return {"images": str(folder)}
    return {"split": "test"} if "split" in WORLDS[name][1] else {}


def _play(
    envs: VectorEnv[Any, Any, Any], agent: Agent | None, seeds: Sequence[int]
) -> tuple[list[np.ndarray], list[int]]:
    """Play episodes and return their frames, with the duration of each in milliseconds."""
    frames, durations = [], []
    for seed in seeds:
        observation, _ = envs.reset(seed=seed)
        frames.append(envs.render()[0])
        for action in _actions(envs, observation, agent):
            observation.update(envs.step(action)[0])
            frames.append(envs.render()[0])
        num_steps = envs.metadata["num_glimpses"]
        durations += [_MOVING_MS if envs.metadata["image_moves"] else _FRAME_MS] * num_steps + [_LAST_FRAME_MS]
    return frames, durations


def _actions(
    envs: VectorEnv[Any, Any, Any], observation: dict[str, np.ndarray], agent: Agent | None
) -> Iterator[dict[str, np.ndarray]]:
    """Yield the actions of an episode; the caller updates the observation."""
    num_steps = envs.metadata["num_glimpses"]
    if agent:
        state = agent.initial_state(1)
        for _ in range(num_steps):
            action, state = agent.act(observation, state)
            yield action
        return
    choice = envs.unwrapped.world.choice_name
    for location in SpiralLocations.sequence(num_steps).float().numpy():
        yield {"next_location": location[None], choice: np.zeros(1, np.int64)}
