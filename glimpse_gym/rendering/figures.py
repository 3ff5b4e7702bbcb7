"""Finished episodes, many at a time: a plate of scan paths, a moving picture of the gaze, and the files they go to."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from glimpse_gym.atomic_io import atomic_write
from glimpse_gym.rendering.drawing import BAD, GOOD, MUTED, PAGE, SCALES, TEXT, blank, blank_page, ticks, verdict, write
from glimpse_gym.rendering.scene import Stage
from glimpse_gym.retina import Retina

_PACK = np.array([2**16, 2**8, 1])  # a color as one number


class Gaze(NamedTuple):
    """A finished episode, to be drawn among others."""

    image: np.ndarray
    """uint8 (H, W) or (H, W, C)."""
    fixations: np.ndarray
    """float (n, 2), where the n glimpses were taken, in [-1, 1]."""
    retina: Retina
    caption: str = ""
    """What stands below it on a plate; an arrow may be written as such."""
    good: bool | None = None
    """Whether it ended well; None leaves its words without color."""
    guesses: tuple[str, ...] = ()
    """What the agent would have said after each glimpse, for :func:`gaze_frames`."""


def _mosaic(cells: Sequence[np.ndarray], columns: int, gap: int, top: int = 0) -> np.ndarray:
    """Cells of one size in rows, on a page below room for a title."""
    height, width = (side + gap for side in cells[0].shape[:2])
    columns = min(columns, len(cells))
    page = blank_page(top + gap + math.ceil(len(cells) / columns) * height, gap + columns * width)
    for i, cell in enumerate(cells):
        y, x = top + gap + i // columns * height, gap + i % columns * width
        page[y : y + height - gap, x : x + width - gap] = cell
    return page


def _common_room(gazes: Sequence[Gaze], most: int) -> int:
    """The side of the largest image as it is shown, at most ``most`` pixels: the room that all then have."""
    if not gazes or not all(len(gaze.fixations) for gaze in gazes):
        raise ValueError("there is nothing to draw: give episodes, each with at least one fixation")
    longest = [max(gaze.image.shape[:2]) for gaze in gazes]
    return max(side * (most // side) or most for side in longest)


def _captioned(picture: np.ndarray, height: int) -> np.ndarray:
    """A picture with a strip below it to write on."""
    return np.concatenate([picture, blank(height, picture.shape[1])])


def scanpath_plate(gazes: Sequence[Gaze], *, title: str = "", columns: int = 6) -> np.ndarray:
    """A plate of finished episodes: what each saw, and where it looked, in colors from early to late.

    Args:
        gazes: at least one.
        title: a line above them.
        columns: how many stand side by side.

    Returns:
        uint8 (height, width, 3).

    Raises:
        ValueError: no episode, or one without a fixation.
    """
    room, cells = _common_room(gazes, 200), []
    for gaze in gazes:
        stage = Stage(gaze.image, gaze.retina, gaze.fixations, room, margin=8)
        stage.draw_numbered_path(gaze.fixations)
        cells.append(_captioned(stage.canvas, 30))
        write(cells[-1], room + 16 + 21, room / 2 + 8, gaze.caption, 15, verdict(gaze.good), align=0.5)
    page = _mosaic(cells, columns, gap=18, top=36 if title else 0)
    write(page, 36, 18, title, 19, TEXT)
    return page


def gaze_frames(gazes: Sequence[Gaze], *, columns: int = 4) -> list[np.ndarray]:
    """Episodes side by side, glimpse after glimpse: what was seen by then, and the guess after it.

    Guesses carry a question mark until the episode's last glimpse, whose guess turns green or red. An episode
    that ends before the others waits for them.

    Args:
        gazes: at least one.
        columns: how many stand side by side.

    Returns:
        As many pictures as the longest episode has glimpses, each uint8 (height, width, 3).

    Raises:
        ValueError: no episode, or one without a fixation.
    """
    room, longest = _common_room(gazes, 140), max(len(gaze.fixations) for gaze in gazes)
    return [_mosaic([_gaze_cell(gaze, t, room) for gaze in gazes], columns, gap=8) for t in range(1, longest + 1)]


def _gaze_cell(gaze: Gaze, t: int, room: int) -> np.ndarray:
    """One episode of a mosaic after its glimpse t."""
    total = len(gaze.fixations)
    t = min(t, total)
    stage = Stage(gaze.image, gaze.retina, gaze.fixations[:t], room, margin=8)
    stage.draw_boxes(gaze.fixations[t - 1], width=1)
    stage.draw_path(gaze.fixations[:t], radius=2, opacity=0.8)
    cell, side = _captioned(stage.canvas, 24), room + 16
    ticks(cell, side + 13, 0.4 * side, side, t, total, radius=1.5)
    if gaze.guesses:
        guess, color = gaze.guesses[t - 1], verdict(gaze.good)
        words, color = (guess, color) if t == total else (f"{guess}?", MUTED)
        write(cell[:, : int(0.38 * side)], side + 18, 2, words, 16, color)
    return cell


def save_png(path: str | os.PathLike[str], picture: np.ndarray) -> None:
    """Write a picture, uint8 (height, width, 3), whole or not at all.

    Raises:
        OSError: it cannot be written; what was there before is still there.
    """
    from PIL import Image

    with atomic_write(path) as temporary:
        Image.fromarray(picture).save(temporary, format="PNG", optimize=True)


def _palette(frames: Sequence[np.ndarray], colors: int) -> list[int]:
    """Red, green, blue, red ... of the colors that stand for all those of the frames."""
    from PIL import Image

    # Every color counts once: the few pixels of a path must not lose theirs to large dark areas.
    seen = np.zeros(2**24, np.bool_)
    for frame in frames:
        seen[frame @ _PACK] = True
    distinct = np.flatnonzero(seen)[:, np.newaxis] // _PACK % 256
    kept = [part for color in (PAGE, GOOD, BAD, *SCALES[:4]) for part in color]
    adapted = Image.fromarray(distinct[np.newaxis].astype(np.uint8)).quantize(colors - len(kept) // 3)
    return kept + (adapted.getpalette() or [])


def save_gif(
    path: str | os.PathLike[str],
    frames: Sequence[np.ndarray],
    durations_ms: int | Sequence[int],
    colors: int = 64,
) -> None:
    """Write an endless animation, whole or not at all.

    Args:
        path: the file.
        frames: pictures of one size, uint8 (height, width, 3).
        durations_ms: how long each is shown, or all of them; equal frames in a row become one, shown as long.
        colors: of the palette that they share, from 16 to 256.

    Raises:
        ValueError: no frame, or durations of another number.
        OSError: it cannot be written; what was there before is still there.
    """
    from PIL import Image

    durations = [durations_ms] * len(frames) if isinstance(durations_ms, int) else list(durations_ms)
    if not frames or len(durations) != len(frames):
        raise ValueError(f"give at least one frame and a duration for each, got {len(frames)} and {len(durations)}")
    palette = Image.new("P", (1, 1))
    palette.putpalette(_palette(frames, colors))
    first, *rest = (Image.fromarray(f).quantize(palette=palette, dither=Image.Dither.NONE) for f in frames)
    with atomic_write(path) as temporary:
        first.save(temporary, "GIF", save_all=True, append_images=rest, duration=durations, loop=0)
