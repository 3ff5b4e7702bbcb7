"""Frames of episodes: header, scene and current glimpse on one surface, and grids of several surfaces.

Frames have even widths and heights, as video codecs require.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pygame

from glimpse_gym.rendering.appearance import MUTED_TEXT, SCALE_COLORS, TEXT
from glimpse_gym.rendering.drawing import (
    PADDING,
    array_to_surface,
    draw_progress,
    draw_text,
    even_size,
    new_surface,
    outcome_color,
    surface_to_array,
)
from glimpse_gym.rendering.scene import Scene, glimpse_patches
from glimpse_gym.retina import Retina

TILE_GAP = 8  # pixels around each of several frames
# In pixels at scale 1: the square that the image is fitted into, and the space around it for patches beyond the image.
_IMAGE_SIDE, _MARGIN = 480, 24
_HEADER_HEIGHT, _BASELINE, _TEXT_SIZE = 84, 44, 20
_PROGRESS_TOP, _PROGRESS_HEIGHT = 59, 6
_MAX_PATCH_SIDE, _MAX_PATCH_ROWS, _FRAME_WIDTH, _LABEL_HEIGHT, _LABEL_SIZE, _GAP = 240, 4, 2, 20, 15, 16


def render_frame(
    image: np.ndarray,
    locations: np.ndarray,
    retina: Retina,
    glimpse: np.ndarray,
    *,
    progress: tuple[int, int],
    reward: float,
    ended: bool = False,
    image_moves: bool = False,
    image_size: tuple[int, int] | None = None,
    scale: float = 1.0,
) -> pygame.Surface:
    """Draw the current state of an episode: the image, dimmed where it was not seen, the scanpath and the glimpse.

    The size of the frame depends only on the retina and the scale.

    Args:
        image: uint8 (H, W) or (H, W, C).
        locations: float (n, 2) in [-1, 1], n >= 1, of all glimpses, the current one last.
        retina: the retina that took them.
        glimpse: float (k*C, g, g) in [0, 1], the current glimpse, finest scale first.
        progress: number of glimpses so far (of steps, if ``image_moves``), and the maximum.
        reward: sum of rewards so far.
        ended: the episode has ended; its reward is then shown in green if positive, else in red.
        image_moves: the image changes during an episode; then only the current glimpse is shown bright.
        image_size: height and width of the image in pixels, if ``image`` is a reduced one.
        scale: factor of all sizes in pixels.
    """
    padding, top = round(PADDING * scale), round(_HEADER_HEIGHT * scale)
    max_side, margin = round(_IMAGE_SIDE * scale), round(_MARGIN * scale)
    side = max_side + 2 * margin
    panel = draw_glimpse_panel(glimpse, retina, side, scale)
    left = padding + side + padding
    width = left + panel.get_width() + padding
    frame = new_surface(even_size(width, top + side + padding))
    frame.blit(panel, (left, top))
    seen = locations[-1:] if image_moves else locations
    scene = Scene(image, retina, seen, max_side, margin, frame.subsurface((padding, top, side, side)), image_size)
    scene.draw_patches(locations[-1], max(1, round(2 * scale)))
    scene.draw_scanpath(locations, 3.5 * scale, 0.35 if image_moves else 0.9)
    draw_header(frame, width, "frame" if image_moves else "glimpse", progress, reward, ended, scale)
    return frame


def draw_header(
    frame: pygame.Surface,
    width: int,
    noun: str,
    progress: tuple[int, int],
    reward: float,
    ended: bool,
    scale: float = 1.0,
) -> None:
    """Draw the progress, as numbers and as a bar, and the reward at the top of a frame, ``width`` pixels wide."""
    padding, gap, baseline = round(PADDING * scale), round(8 * scale), round(_BASELINE * scale)
    size, right = round(_TEXT_SIZE * scale), width - padding
    noun_width = draw_text(frame, noun, (padding, baseline), size, MUTED_TEXT)
    draw_text(frame, f"{progress[0]} / {progress[1]}", (padding + noun_width + gap, baseline), size, TEXT)
    reward_text = str(round(reward, 3) + 0.0)  # adding 0.0 turns -0.0 into 0.0
    color = outcome_color(reward > 0 if ended else None)
    reward_width = draw_text(frame, reward_text, (right, baseline), size, color, align="right")
    draw_text(frame, "reward", (right - reward_width - gap, baseline), size, MUTED_TEXT, align="right")
    bar_height = max(2, round(_PROGRESS_HEIGHT * scale))
    bar = pygame.Rect(padding, round(_PROGRESS_TOP * scale), width - 2 * padding, bar_height)
    draw_progress(frame, bar, *progress)


def draw_glimpse_panel(glimpse: np.ndarray, retina: Retina, height: int, scale: float = 1.0) -> pygame.Surface:
    """Draw the patches of a glimpse: one framed and labeled square per scale, in columns of a height in pixels.

    Args:
        glimpse: float (k*C, g, g) in [0, 1], finest scale first.
        retina: the retina that took it.
        height: height of the panel in pixels; its width depends on the retina.
        scale: factor of the other sizes in pixels.
    """
    k, g = retina.num_scales, retina.patch_size
    frame_width = max(1, round(_FRAME_WIDTH * scale))
    gap, label_height, padding = (round(size * scale) for size in (_GAP, _LABEL_HEIGHT, PADDING))
    rows = min(k, _MAX_PATCH_ROWS)
    max_side = (height + gap) // rows - gap - label_height - 2 * frame_width
    max_side = max(1, min(round(_MAX_PATCH_SIDE * scale), max_side))
    patch_side = max_side // g * g or max_side
    side = patch_side + 2 * frame_width
    column_pitch, row_pitch = side + padding, (height - label_height - side) // max(rows - 1, 1)
    panel = new_surface((math.ceil(k / rows) * column_pitch - padding, height))
    for s, pixels in enumerate(glimpse_patches(glimpse, retina)):
        patch = array_to_surface(pixels)
        resize = pygame.transform.scale if patch_side >= g else pygame.transform.smoothscale
        rect = pygame.Rect(s // rows * column_pitch, s % rows * row_pitch + label_height, side, side)
        color = SCALE_COLORS[s % len(SCALE_COLORS)]
        panel.fill(color, rect)
        panel.blit(resize(patch, (patch_side, patch_side)), rect.move(frame_width, frame_width))
        draw_text(panel, f"{2**s}x", (rect.left, rect.top - round(9 * scale)), round(_LABEL_SIZE * scale), color)
    return panel


def grid_size(count: int, columns: int | None = None) -> tuple[int, int]:
    """Return the numbers of columns and rows of a grid of ``count`` pictures; without ``columns``, about equal."""
    columns = min(columns or math.ceil(math.sqrt(count)), count)
    return columns, math.ceil(count / columns)


def tile_surfaces(
    surfaces: Sequence[pygame.Surface], columns: int | None = None, gap: int = TILE_GAP
) -> pygame.Surface:
    """Arrange surfaces of one size in a grid.

    Args:
        surfaces: at least one.
        columns: number of surfaces per row; None: about as many as rows.
        gap: space in pixels around each.

    Raises:
        ValueError: if there is no surface.
    """
    if not surfaces:
        raise ValueError("there is nothing to tile: pass at least one picture")
    columns, rows = grid_size(len(surfaces), columns)
    width, height = (side + gap for side in surfaces[0].get_size())
    tiled = new_surface(even_size(columns * width + gap, rows * height + gap))
    for i, surface in enumerate(surfaces):
        tiled.blit(surface, (gap + i % columns * width, gap + i // columns * height))
    return tiled


def tile_frames(frames: Sequence[np.ndarray], columns: int | None = None, gap: int = TILE_GAP) -> np.ndarray:
    """Arrange frames of one size, such as those that a vector env renders, in a grid.

    Args:
        frames: at least one, each uint8 (height, width, 3).
        columns: number of frames per row; None: about as many as rows.
        gap: space in pixels around each.

    Returns:
        uint8 (height, width, 3), with even height and width.

    Raises:
        ValueError: if there is no frame.
    """
    return surface_to_array(tile_surfaces([array_to_surface(frame) for frame in frames], columns, gap))
