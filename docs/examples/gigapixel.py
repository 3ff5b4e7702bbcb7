"""An image of one gigapixel: make it, look around in it, and train an agent on it.

    python docs/examples/gigapixel.py

The canvas is a file of 1 GB, strewn with small dim digits. It is divided into a grid of cells, and in each cell one
digit is large and bright: the target, whose class is the label of the cell. An episode takes place in one cell, of
which the agent sees 6 glimpses. Cells of the test split are never trained on, and no two targets are the same digit.
"""

import time
from dataclasses import dataclass
from pathlib import Path

import gymnasium as gym
import numpy as np
import tyro
from PIL import Image

import glimpse_gym
from glimpse_gym.agents.configs import ReinforceConfig
from glimpse_gym.agents.trainer import Trainer
from glimpse_gym.images import LargeImages, open_large
from glimpse_gym.images.search_canvas import write_search_canvas


@dataclass
class Args:
    """Settings."""

    out: Path = Path("gigapixel")
    """Folder of the canvas, a picture and the agent."""
    side: int = 32_768
    """Side of the canvas in pixels."""
    grid: int = 64
    """Cells along each side."""
    num_scales: int = 6
    """Scales of the retina of 12 x 12 cells: 6 cover 384 pixels."""
    num_glimpses: int = 6
    """Glimpses of an episode."""
    num_episodes: int = 250_000
    """Training episodes."""
    batch_size: int = 128
    """Episodes per update."""


def zoom_in(images: LargeImages, num_scales: int) -> np.ndarray:
    """Look at the canvas from its center, then at the brightest cell of each finer scale, and return the locations."""
    retina = glimpse_gym.Retina(patch_size=12, num_scales=num_scales)
    height, width = images.size
    locations = [np.zeros(2, np.float32)]
    for scale in reversed(range(num_scales)):
        glimpse = retina.sense_large(images, locations[-1][None])[0, scale]
        row, column = np.unravel_index(glimpse.argmax(), glimpse.shape)
        top, left = retina.patch_corner(locations[-1], images.size, scale)
        y, x = top + (row + 0.5) * 2**scale, left + (column + 0.5) * 2**scale
        locations.append(np.array([2 * x / width - 1, 2 * y / height - 1], np.float32).clip(-1, 1))
    return np.array(locations)


def main(args: Args) -> None:
    args.out.mkdir(parents=True, exist_ok=True)
    path = args.out / "canvas.npy"
    if not path.exists():
        write_search_canvas(path, args.side, args.grid, progress=True)

    # Look around. The coarse scales are read from the pyramid, so a glimpse reads little, wherever it is.
    canvas = open_large(path)
    num_scales = min(12, args.side.bit_length() - 4)  # the coarsest covers 3/4 of the canvas
    zoom_in(canvas, num_scales)  # compiles
    start = time.perf_counter()
    locations = zoom_in(canvas, num_scales)
    milliseconds = (time.perf_counter() - start) / num_scales * 1000
    x, y = (locations[-1] + 1) / 2 * args.side
    print(f"{num_scales} glimpses of {num_scales} scales, {milliseconds:.2f} ms each, lead to pixel ({x:.0f}, {y:.0f})")

    # One episode, drawn.
    env_kwargs = {
        "images": str(path),
        "num_classes": 10,
        "patch_size": 12,
        "num_scales": args.num_scales,
        "num_glimpses": args.num_glimpses,
    }
    env = gym.make("glimpse_gym/Images-v0", **env_kwargs, split="test", render_mode="rgb_array")
    env.action_space.seed(0)
    env.reset(seed=0)
    for _ in range(args.num_glimpses - 1):
        env.step(env.action_space.sample())
    Image.fromarray(env.render()).save(args.out / "episode.png")

    config = ReinforceConfig(num_episodes=args.num_episodes, batch_size=args.batch_size)
    trainer = Trainer(args.out / "agent", "glimpse_gym/Images-v0", env_kwargs, config, resume=True)
    trainer.train()
    print(trainer.summary())


if __name__ == "__main__":
    main(tyro.cli(Args))
