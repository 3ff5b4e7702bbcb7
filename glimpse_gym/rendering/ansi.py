"""Text for terminals, with colors: what was sensed of an image."""

from __future__ import annotations

from typing import Any

import numpy as np
import pygame

from glimpse_gym.rendering.drawing import SCALE_COLORS, UNSEEN, surface_to_array
from glimpse_gym.rendering.scene import GlimpseView
from glimpse_gym.retina import Retina

_MAX_WIDE_SIDE = 40  # images up to this side have two characters per pixel, larger ones half a character
_MAX_SIDE = 120  # characters per line; larger images are reduced
_DARK = 96  # the frame of the gaze covers pixels that are darker, so that it never hides what was seen
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
    """Draw each pixel as two characters: blocks where it is bright, dots in the frame, spaces where it is dark."""
    background = tuple(round(0.78 * channel) for channel in UNSEEN)
    lines = []
    for row, framed in zip(pixels, frame, strict=True):
        cells = []
        for color, in_frame in zip(row.tolist(), framed.tolist(), strict=True):
            text = "\u2591\u2591" if in_frame else "\u2588\u2588" if max(color) >= _DARK else "  "
            behind = background if in_frame else color
            cells.append(f"{_color(38, color)}{_color(48, behind)}{text}")
        lines.append("".join(cells) + _RESET)
    return lines


def _half_block_lines(pixels: np.ndarray) -> list[str]:
    """Draw two rows of pixels per line."""
    if len(pixels) % 2:
        pixels = np.concatenate([pixels, np.zeros_like(pixels[:1])])
    return [
        "".join(
            f"{_color(38, over)}{_color(48, under)}\u2580"
            for over, under in zip(top.tolist(), bottom.tolist(), strict=True)
        )
        + _RESET
        for top, bottom in zip(pixels[::2], pixels[1::2], strict=True)
    ]


def _color(kind: int, color: Any) -> str:
    """Return the escape sequence of a text color (kind 38) or a background color (48)."""
    red, green, blue = color
    return f"\x1b[{kind};2;{red};{green};{blue}m"
