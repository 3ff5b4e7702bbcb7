"""Figures of many episodes for papers and pages, by Matplotlib."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from glimpse_gym.rendering.animation import ScanpathEpisode
from glimpse_gym.rendering.drawing import surface_to_array, time_colors
from glimpse_gym.rendering.paper_figures import COLORS, LITERAL_STYLE
from glimpse_gym.rendering.scene import Scene

_CELL, _GAP, _CAPTION, _TITLE = 1.25, 0.12, 0.18, 0.42  # inches; the gap is part of the cell
_OUTCOME_COLORS = {None: "#333333", True: COLORS[2], False: COLORS[1]}
_MAX_SIDE = 240  # pixels of the image in the figure; larger images are reduced


def scanpath_plate(episodes: Sequence[ScanpathEpisode], *, title: str = "", columns: int = 6) -> Figure:
    """Plate of finished episodes: each image with its scanpath numbered and colored by time.

    Images are dimmed where they were not seen. Squares are the finest patches of the glimpses.

    Args:
        episodes: at least one.
        title: line of text at the top.
        columns: number of episodes per row.

    Raises:
        ValueError: if there is no episode, or one without fixations.
    """
    if not episodes or not all(len(episode.fixations) for episode in episodes):
        raise ValueError("there is nothing to draw: pass episodes, each with at least one fixation")
    columns = min(columns, len(episodes))
    rows = math.ceil(len(episodes) / columns)
    width = _CELL * columns + _GAP
    height = (_CELL + _CAPTION) * rows + (_TITLE if title else _GAP)
    with rc_context(LITERAL_STYLE):
        figure = Figure(figsize=(width, height))
        panels = figure.subplots(rows, columns, squeeze=False).ravel()
        for i, axes in enumerate(panels):
            left, top = _GAP + i % columns * _CELL, (_TITLE if title else _GAP) + i // columns * (_CELL + _CAPTION)
            side = _CELL - _GAP
            axes.set_position((left / width, 1 - (top + side) / height, side / width, side / height))
            axes.set_axis_off()
        for axes, episode in zip(panels, episodes, strict=False):
            _draw_episode(axes, episode)
        figure.text(_GAP / width, 1 - _GAP / height, title, fontsize=10, va="top")
    return figure


def _draw_episode(axes: Axes, episode: ScanpathEpisode) -> None:
    """Draw one episode in locations as coordinates, y down."""
    height, width = image_size = episode.image_size or (episode.image.shape[0], episode.image.shape[1])
    max_side = min(max(image_size), _MAX_SIDE)
    scene = Scene(episode.image, episode.retina, episode.fixations, max_side, margin=0, image_size=image_size)
    pixels = surface_to_array(scene.surface.subsurface(scene.image_rect))
    axes.imshow(pixels, extent=(-1, 1, 1, -1), interpolation="nearest")
    side = episode.retina.patch_size
    centers = []
    for location, color in zip(episode.fixations, _hex_colors(len(episode.fixations)), strict=True):
        row, column = episode.retina.patch_corner(location, (height, width), 0)
        corner, size = (2 * column / width - 1, 2 * row / height - 1), (2 * side / width, 2 * side / height)
        axes.add_patch(Rectangle(corner, *size, fill=False, ec=color, lw=0.6, clip_on=False))
        centers.append((corner[0] + size[0] / 2, corner[1] + size[1] / 2, color))
    for (x, y, _), (next_x, next_y, color) in pairwise(centers):
        axes.plot((x, next_x), (y, next_y), color=color, lw=0.9, clip_on=False)
    for number, (x, y, color) in enumerate(centers, start=1):
        axes.plot(x, y, "o", color=color, ms=5.5, mec="black", mew=0.4, clip_on=False, zorder=3 + number)
        axes.text(x, y, str(number), ha="center", va="center_baseline", fontsize=4, color="black", zorder=3 + number)
    axes.set(xlim=(-1, 1), ylim=(1, -1))
    axes.set_aspect(height / width)
    axes.text(
        *(0.5, -0.04, episode.caption),
        transform=axes.transAxes,
        ha="center",
        va="top",
        fontsize=8,
        color=_OUTCOME_COLORS[episode.success],
    )


def _hex_colors(count: int) -> list[str]:
    return [f"#{red:02x}{green:02x}{blue:02x}" for red, green, blue in time_colors(count)]
