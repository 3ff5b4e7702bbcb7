"""Draw docs/figures/retina.png: an image, the patches of one glimpse, and what the glimpse shows of the image."""

from __future__ import annotations

import sys
from pathlib import Path

import gymnasium as gym
import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from glimpse_gym import Retina
from glimpse_gym.rendering.paper_figures import COLORS, STYLE, save_figure

INK, NOT_SEEN, OUTSIDE = "#1B2733", 0.8, 7  # the last is in pixels, right of the image
SCALE_COLORS = COLORS[1], COLORS[2], COLORS[0]  # finest first
SEED, LOCATION = 11, np.array([[0.4, 0.2]], np.float32)


def seen_image(image: np.ndarray, retina: Retina, glimpse: np.ndarray) -> np.ndarray:
    """Put the patches of a glimpse back where they were taken, the finest on top.

    Args:
        image: uint8 (H, W).
        retina: that took the glimpse at LOCATION.
        glimpse: float32 (k, g, g).

    Returns:
        float (H, W + OUTSIDE) in [0, 1], NOT_SEEN where no patch lies.
    """
    side = retina.patch_side(retina.num_scales - 1)
    seen = np.pad(np.full(image.shape, NOT_SEEN), side, constant_values=1.0)  # white outside the image
    for scale in reversed(range(retina.num_scales)):
        row, column = (first + side for first in retina.patch_corner(LOCATION[0], image.shape, scale))
        width = retina.patch_side(scale)
        seen[row : row + width, column : column + width] = glimpse[scale].repeat(2**scale, 0).repeat(2**scale, 1)
    return seen[side:-side, side : OUTSIDE - side]


def draw_squares(axes: Axes, image: np.ndarray, retina: Retina) -> None:
    """Draw the location, the outlines of all patches, and that of the image."""
    height, width = image.shape
    axes.add_patch(Rectangle((-0.5, -0.5), width, height, fill=False, ec="#5B6470", lw=0.8))
    for scale, color in enumerate(SCALE_COLORS):
        row, column = retina.patch_corner(LOCATION[0], image.shape, scale)
        side = retina.patch_side(scale)
        axes.add_patch(Rectangle((column - 0.5, row - 0.5), side, side, fill=False, ec=color, lw=2, clip_on=False))
    x, y = (LOCATION[0] + 1) / 2 * (width, height) - 0.5
    axes.plot(x, y, "+", color=COLORS[4], ms=9, mew=2)
    axes.set(xlim=(-0.5, width + OUTSIDE - 0.5), ylim=(height - 0.5, -0.5))


def show(axes: Axes, pixels: np.ndarray, title: str) -> None:
    """Draw pixels in [0, 1] under a title."""
    axes.imshow(pixels, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axes.set(xticks=[], yticks=[])
    axes.set_title(title, fontsize=10, color=INK)


def make_figure() -> Figure:
    """Draw the image on the left, the patches in the middle, and what they show on the right."""
    envs = gym.make_vec("glimpse_gym:glimpse_gym/ClutteredMNIST-v0", num_envs=1, split="test")
    envs.reset(seed=SEED)
    image = envs.unwrapped.picture[0]
    retina = Retina(envs.metadata["patch_size"], envs.metadata["num_scales"])
    glimpse = retina.sense(image[np.newaxis], LOCATION)[0]
    with rc_context(STYLE):
        figure = Figure(figsize=(10.6, 4.0))
        whole, seen = figure.add_axes((0.005, 0.02, 0.385, 0.89)), figure.add_axes((0.615, 0.02, 0.385, 0.89))
        show(whole, image / 255, "the image, 60 × 60 pixels")
        show(seen, seen_image(image, retina, glimpse), "the glimpse, put back in its place")
        whole.text(62.6, 36, "outside the image: 0", rotation=90, ha="center", va="center", fontsize=8, color=INK)
        for axes in (whole, seen):
            draw_squares(axes, image, retina)
            axes.spines[:].set_visible(False)
        for scale, color in enumerate(SCALE_COLORS):
            panel = figure.add_axes((0.44, 0.67 - 0.325 * scale, 0.13, 0.24))
            pixels = "1 pixel" if scale == 0 else f"{2**scale} × {2**scale} pixels"
            show(panel, glimpse[scale], f"scale {scale}: a cell is {pixels}")
            panel.title.set_fontsize(8.5)
            panel.spines[:].set(visible=True, color=color, lw=2)
    return figure


if __name__ == "__main__":
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[1] / "figures"
    print(*save_figure(make_figure(), folder / "retina.png"))
