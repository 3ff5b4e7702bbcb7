"""Figures of finished episodes: a plate of scanpaths, an animation of the gaze, and saving both as files."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from glimpse_gym.atomic_io import atomic_write
from glimpse_gym.rendering.drawing import (
    BACKGROUND,
    FAILURE,
    MUTED_TEXT,
    SCALE_COLORS,
    SUCCESS,
    TEXT,
    blank_canvas,
    draw_progress,
    draw_text,
    even_canvas,
    outcome_color,
)
from glimpse_gym.rendering.scene import Scene
from glimpse_gym.retina import Retina

_MARGIN = 8  # pixels around each image for patches beyond it
_RGB_PLACES = np.array([2**16, 2**8, 1])  # encode a color as one integer


class ScanpathEpisode(NamedTuple):
    """Finished episode to draw in a figure."""

    image: np.ndarray
    """uint8 (H, W) or (H, W, C)."""
    fixations: np.ndarray
    """float (n, 2) in [-1, 1], locations of the n glimpses."""
    retina: Retina
    """The retina that took the glimpses."""
    caption: str = ""
    """Text below the image in :func:`scanpath_plate`; may contain an arrow (→)."""
    success: bool | None = None
    """Outcome of the episode, shown by the color of its text; None leaves it neutral."""
    predictions: tuple[str, ...] = ()
    """The agent's prediction after each glimpse, for :func:`gaze_frames`."""


def _grid(cells: Sequence[np.ndarray], columns: int, gap: int, top: int = 0) -> np.ndarray:
    """Arrange pictures of one size in a grid, below ``top`` pixels left free for a title."""
    height, width = (side + gap for side in cells[0].shape[:2])
    columns = min(columns, len(cells))
    canvas = even_canvas(top + gap + math.ceil(len(cells) / columns) * height, gap + columns * width)
    for i, cell in enumerate(cells):
        y, x = top + gap + i // columns * height, gap + i % columns * width
        canvas[y : y + height - gap, x : x + width - gap] = cell
    return canvas


def _common_side(episodes: Sequence[ScanpathEpisode], max_side: int) -> int:
    """Return the side of the largest image as displayed, at most ``max_side`` pixels, which all cells then use."""
    if not episodes or not all(len(episode.fixations) for episode in episodes):
        raise ValueError("there is nothing to draw: pass episodes, each with at least one fixation")
    longest = [max(episode.image.shape[:2]) for episode in episodes]
    return max(side * (max_side // side) or max_side for side in longest)


def _add_caption_strip(picture: np.ndarray, height: int) -> np.ndarray:
    """Append a blank strip for text below a picture."""
    return np.concatenate([picture, blank_canvas(height, picture.shape[1])])


def scanpath_plate(episodes: Sequence[ScanpathEpisode], *, title: str = "", columns: int = 6) -> np.ndarray:
    """Draw a plate of finished episodes: each image with its scanpath numbered and colored by time.

    Args:
        episodes: at least one.
        title: line of text at the top.
        columns: number of episodes per row.

    Returns:
        uint8 (height, width, 3).

    Raises:
        ValueError: if there is no episode, or one without fixations.
    """
    side, cells = _common_side(episodes, 200), []
    for episode in episodes:
        scene = Scene(episode.image, episode.retina, episode.fixations, side, _MARGIN)
        scene.draw_numbered_scanpath(episode.fixations)
        cell = _add_caption_strip(scene.canvas, 30)
        baseline, center = side + 2 * _MARGIN + 21, side / 2 + _MARGIN
        draw_text(cell, baseline, center, episode.caption, 15, outcome_color(episode.success), align=0.5)
        cells.append(cell)
    plate = _grid(cells, columns, gap=18, top=36 if title else 0)
    draw_text(plate, 36, 18, title, 19, TEXT)
    return plate


def gaze_frames(episodes: Sequence[ScanpathEpisode], *, columns: int = 4) -> list[np.ndarray]:
    """Draw the frames of an animation of episodes side by side, one frame per glimpse, with predictions.

    Predictions are followed by a question mark, until the last one of an episode is shown in green or red.
    Episodes shorter than the longest stay at their last glimpse.

    Args:
        episodes: at least one.
        columns: number of episodes per row.

    Returns:
        One frame per glimpse of the longest episode, each uint8 (height, width, 3).

    Raises:
        ValueError: if there is no episode, or one without fixations.
    """
    side, longest = _common_side(episodes, 140), max(len(episode.fixations) for episode in episodes)
    return [
        _grid([_gaze_cell(episode, t, side) for episode in episodes], columns, gap=8) for t in range(1, longest + 1)
    ]


def _gaze_cell(episode: ScanpathEpisode, t: int, image_side: int) -> np.ndarray:
    """Draw one episode after its glimpse t, counted from 1."""
    total = len(episode.fixations)
    t = min(t, total)
    scene = Scene(episode.image, episode.retina, episode.fixations[:t], image_side, _MARGIN)
    scene.draw_patches(episode.fixations[t - 1], width=1)
    scene.draw_scanpath(episode.fixations[:t], radius=2, opacity=0.8)
    cell, side = _add_caption_strip(scene.canvas, 24), image_side + 2 * _MARGIN
    draw_progress(cell, side + 13, 0.4 * side, side, t, total, radius=1.5)
    if episode.predictions:
        prediction = episode.predictions[t - 1]
        text, color = (prediction, outcome_color(episode.success)) if t == total else (f"{prediction}?", MUTED_TEXT)
        draw_text(cell[:, : int(0.38 * side)], side + 18, 2, text, 16, color)
    return cell


def save_png(path: str | os.PathLike[str], picture: np.ndarray) -> None:
    """Write a picture, uint8 (height, width, 3), atomically.

    Raises:
        OSError: if it cannot be written; an existing file is then unchanged.
    """
    from PIL import Image

    with atomic_write(path) as temporary:
        Image.fromarray(picture).save(temporary, format="PNG", optimize=True)


def _palette(frames: Sequence[np.ndarray], colors: int) -> list[int]:
    """Choose a palette for all frames: red, green, blue, red, ... of at most ``colors`` colors."""
    from PIL import Image

    # Count every color once, so that the few pixels of a scanpath keep their colors beside large dark areas.
    used = np.zeros(2**24, np.bool_)
    for frame in frames:
        used[frame @ _RGB_PLACES] = True
    distinct = np.flatnonzero(used)[:, np.newaxis] // _RGB_PLACES % 256
    fixed = [channel for color in (BACKGROUND, SUCCESS, FAILURE, *SCALE_COLORS[:4]) for channel in color]
    adapted = Image.fromarray(distinct[np.newaxis].astype(np.uint8)).quantize(colors - len(fixed) // 3)
    return fixed + (adapted.getpalette() or [])


def save_gif(
    path: str | os.PathLike[str],
    frames: Sequence[np.ndarray],
    durations_ms: int | Sequence[int],
    colors: int = 64,
) -> None:
    """Write an endlessly looping animation, atomically.

    Args:
        path: the file.
        frames: pictures of one size, uint8 (height, width, 3).
        durations_ms: display time of every frame, or of each; consecutive equal frames are merged.
        colors: size of the common palette, from 16 to 256.

    Raises:
        ValueError: if there is no frame, or the number of durations differs.
        OSError: if it cannot be written; an existing file is then unchanged.
    """
    from PIL import Image

    durations = [durations_ms] * len(frames) if isinstance(durations_ms, int) else list(durations_ms)
    if not frames or len(durations) != len(frames):
        raise ValueError(f"pass at least one frame and a duration for each, got {len(frames)} and {len(durations)}")
    palette = Image.new("P", (1, 1))
    palette.putpalette(_palette(frames, colors))
    first, *rest = (Image.fromarray(f).quantize(palette=palette, dither=Image.Dither.NONE) for f in frames)
    with atomic_write(path) as temporary:
        first.save(temporary, "GIF", save_all=True, append_images=rest, duration=durations, loop=0)
