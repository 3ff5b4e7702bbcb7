"""Pictures of glimpses as text for terminals, with colors."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

import numpy as np
import pygame

from glimpse_gym.rendering.appearance import SCALE_COLORS, UNSEEN_BLACK
from glimpse_gym.rendering.drawing import surface_to_array
from glimpse_gym.rendering.scene import GlimpseView
from glimpse_gym.retina import Retina

_MAX_WIDE_SIDE = 40  # images up to this side have two characters per pixel, larger ones half a character
_MAX_SIDE = 120  # characters per line; larger images are reduced
_BRIGHT, _DARK = 160, 48  # the frame of the gaze covers only pixels that are dark, so that it hides nothing
_RESET = "\x1b[0m"


def render_ansi(image_size: tuple[int, int], retina: Retina, glimpses: Any, locations: Any, status: str = "") -> str:
    """Draw only what was sensed of an image as lines of text, with ANSI escape sequences for colors.

    What was not sensed is dark blue. Brightness is raised, so that coarse scales can be seen. A frame surrounds the
    finest patch of the last glimpse.

    Args:
        image_size: height and width of the image in pixels.
        retina: the retina that took the glimpses.
        glimpses: float (n, k*C, g, g) in [0, 1], n >= 1, the latest last.
        locations: float (n, 2) in [-1, 1], where they were taken.
        status: a line of text above.

    Returns:
        The status, and a line for each row of the image, or for each two rows if it is large.
    """
    side = min(max(image_size), _MAX_SIDE)
    view = GlimpseView(image_size, retina, np.sqrt(glimpses), locations, side, margin=0)
    pixels = surface_to_array(view.surface.subsurface(view.image_rect))
    frame = _frame_mask(view, locations[-1]) & (pixels.max(axis=-1) < _DARK)
    pixels[frame] = SCALE_COLORS[0]
    lines = _wide_lines(pixels, frame) if side <= _MAX_WIDE_SIDE else _half_block_lines(pixels)
    return "\n".join([status] * bool(status) + lines)


def _frame_mask(view: GlimpseView, location: Any) -> np.ndarray:
    """Mark the pixels around the finest patch, bool (height, width)."""
    mask = pygame.Surface(view.surface.get_size(), 0, 32)
    pygame.draw.rect(mask, (255, 255, 255), view.patch_rect(location, 0).inflate(2, 2), 1)
    return surface_to_array(mask.subsurface(view.image_rect))[..., 0] > 0


def _wide_lines(pixels: np.ndarray, frame: np.ndarray) -> list[str]:
    """Draw each pixel as two characters: blocks where it is bright, shades where it is darker and in the frame."""
    lines = []
    for row, framed in zip(pixels, frame, strict=True):
        cells = []
        for color, in_frame in zip(map(tuple, row.tolist()), framed.tolist(), strict=True):
            shade = "\u2591" if in_frame else "\u2588" if max(color) >= _BRIGHT else "\u2592"
            text = 2 * (shade if in_frame or max(color) >= _DARK else " ")
            cells.append((color, UNSEEN_BLACK if in_frame else color, text))
        lines.append(_line(cells))
    return lines


def _half_block_lines(pixels: np.ndarray) -> list[str]:
    """Draw two rows of pixels per line."""
    if len(pixels) % 2:
        pixels = np.concatenate([pixels, np.zeros_like(pixels[:1])])
    return [
        _line([(tuple(over), tuple(under), "\u2580") for over, under in zip(top, bottom, strict=True)])
        for top, bottom in zip(pixels[::2].tolist(), pixels[1::2].tolist(), strict=True)
    ]


def _line(cells: Sequence[tuple[tuple[int, ...], tuple[int, ...], str]]) -> str:
    """Join cells of a text color, a background color and a text."""
    parts = []
    for (color, background), group in groupby(cells, key=lambda cell: cell[:2]):
        codes = ";".join(map(str, (38, 2, *color, 48, 2, *background)))
        parts.append(f"\x1b[{codes}m" + "".join(text for _, _, text in group))
    return "".join(parts) + _RESET
