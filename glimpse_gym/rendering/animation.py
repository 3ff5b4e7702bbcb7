"""Animations of finished episodes side by side, and pictures and animations as files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pygame

from glimpse_gym.atomic_io import atomic_write
from glimpse_gym.rendering.appearance import BACKGROUND, FAILURE, MUTED_TEXT, SCALE_COLORS, SUCCESS
from glimpse_gym.rendering.drawing import draw_progress, draw_text, new_surface, outcome_color, surface_to_array
from glimpse_gym.rendering.frames import tile_surfaces
from glimpse_gym.rendering.scene import Scene
from glimpse_gym.retina import Retina
from glimpse_gym.safe_io import MAX_BYTES

_MAX_IMAGE_SIDE, _MARGIN, _CAPTION_HEIGHT = 140, 8, 24  # in pixels
_MAX_FRAME_BYTES = MAX_BYTES // 4  # of all frames of an animation, which are copied when it is saved
_RGB_PLACES = np.array([2**16, 2**8, 1])  # encode a color as one integer


class ScanpathEpisode(NamedTuple):
    """Finished episode to draw in an animation or a figure."""

    image: np.ndarray
    """uint8 (H, W) or (H, W, C)."""
    fixations: np.ndarray
    """float (n, 2) in [-1, 1], locations of the n glimpses."""
    retina: Retina
    """The retina that took the glimpses."""
    caption: str = ""
    """Text below the image in :func:`glimpse_gym.rendering.figures.scanpath_plate`."""
    success: bool | None = None
    """Outcome of the episode, shown by the color of its text; None leaves it neutral."""
    predictions: tuple[str, ...] = ()
    """The agent's prediction after each glimpse, for :func:`gaze_frames`."""
    image_size: tuple[int, int] | None = None
    """Height and width of the image in pixels, if ``image`` is a reduced one."""


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
        ValueError: if there is no episode, one without fixations, or the frames would take too much memory.
    """
    if not episodes or not all(len(episode.fixations) for episode in episodes):
        raise ValueError("there is nothing to draw: pass episodes, each with at least one fixation")
    # The side of the largest image as displayed, which all cells then use.
    longest = [max(episode.image.shape[:2]) for episode in episodes]
    side = max(each * (_MAX_IMAGE_SIDE // each) or _MAX_IMAGE_SIDE for each in longest)
    num_frames = max(len(episode.fixations) for episode in episodes)

    def draw(t: int) -> np.ndarray:
        return surface_to_array(tile_surfaces([_gaze_cell(episode, t, side) for episode in episodes], columns))

    first = draw(1)
    check_frames(num_frames, first.nbytes, "fewer episodes, or episodes of fewer glimpses")
    return [first, *(draw(t) for t in range(2, num_frames + 1))]


def check_frames(num_frames: int, frame_bytes: int, hint: str) -> None:
    """Raise ValueError if the frames of an animation would take too much memory.

    Args:
        num_frames: number of frames.
        frame_bytes: bytes of each.
        hint: what to draw instead, for the error message.
    """
    if (num_bytes := num_frames * frame_bytes) > _MAX_FRAME_BYTES:
        raise ValueError(
            f"an animation of {num_frames:,} frames takes {num_bytes:,} bytes of memory, more than "
            f"{_MAX_FRAME_BYTES:,}: draw {hint}"
        )


def _gaze_cell(episode: ScanpathEpisode, t: int, image_side: int) -> pygame.Surface:
    """Draw one episode after its glimpse t, counted from 1."""
    total = len(episode.fixations)
    t = min(t, total)
    scene = Scene(
        episode.image, episode.retina, episode.fixations[:t], image_side, _MARGIN, image_size=episode.image_size
    )
    scene.draw_patches(episode.fixations[t - 1], width=1)
    scene.draw_scanpath(episode.fixations[:t], radius=2, opacity=0.8)
    side = image_side + 2 * _MARGIN
    cell = new_surface((side, side + _CAPTION_HEIGHT))
    cell.blit(scene.surface, (0, 0))
    draw_progress(cell, pygame.Rect(round(0.4 * side), side + 12, side - round(0.4 * side), 3), t, total)
    if episode.predictions:
        prediction = episode.predictions[t - 1]
        text, color = (prediction, outcome_color(episode.success)) if t == total else (f"{prediction}?", MUTED_TEXT)
        caption = cell.subsurface((0, side, int(0.38 * side), _CAPTION_HEIGHT))  # clips the text
        draw_text(caption, text, (2, 18), 16, color)
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

    # Count every color once, so that the few pixels of a scanpath keep their colors next to large dark areas.
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
