"""Drawing primitives: lines, rectangles, text and colors on canvases, uint8 arrays (height, width, 3).

Pillow rasterizes text; it is imported only when text is drawn.
"""

from __future__ import annotations

import math
from functools import cache, lru_cache
from typing import Any

import numpy as np

Color = tuple[int, ...]
"""Red, green and blue from 0 to 255."""
Point = tuple[float, float]
"""y and x in pixels."""

BACKGROUND, SCENE_BACKGROUND, BORDER, UNSEEN = (15, 17, 23), (23, 26, 35), (62, 68, 86), (34, 39, 54)
TEXT, MUTED_TEXT, SUCCESS, FAILURE = (232, 235, 242), (134, 142, 162), (74, 211, 130), (255, 104, 104)
# One per scale, the finest first and most vivid; reused from the start if there are more scales.
SCALE_COLORS = ((255, 190, 50), (64, 172, 240), (160, 128, 238), (58, 158, 140), (186, 108, 140), (120, 130, 150))
# Gradient stops of a scanpath, from the first to the last fixation.
TIME_GRADIENT = np.array([(92, 164, 255), (214, 116, 214), (255, 152, 60)], np.float64)
PADDING = 24  # pixels between the elements of a frame


def blend(region: np.ndarray, color: Any, opacity: np.ndarray) -> None:
    """Blend a color, or an array of colors, into a region in place; ``opacity`` is (height, width) in [0, 1]."""
    opacity = opacity[..., np.newaxis]
    region[...] = np.rint(region + (np.asarray(color, np.float32) - region) * opacity)


def draw_line(canvas: np.ndarray, start: Point, end: Point, radius: float, color: Any, opacity: float = 1.0) -> None:
    """Draw an antialiased line with round ends; a dot if both points are equal."""
    points = np.array([start, end])
    top, left = np.maximum(np.floor(points.min(0) - radius - 1), 0).astype(int)
    bottom, right = np.minimum(np.ceil(points.max(0) + radius + 1), canvas.shape[:2]).astype(int)
    if top >= bottom or left >= right:
        return
    y = np.arange(top, bottom, dtype=np.float32)[:, np.newaxis] + np.float32(0.5 - start[0])
    x = np.arange(left, right, dtype=np.float32) + np.float32(0.5 - start[1])
    dy, dx = np.float32(end[0] - start[0]), np.float32(end[1] - start[1])
    # Distance of each pixel to the nearest point of the line.
    fraction = ((y * dy + x * dx) / max(dy * dy + dx * dx, np.float32(1e-6))).clip(0, 1)
    distance = np.hypot(y - fraction * dy, x - fraction * dx)
    blend(canvas[top:bottom, left:right], color, (radius + 0.5 - distance).clip(0, 1) * opacity)


def draw_rectangle(canvas: np.ndarray, box: tuple[int, ...], color: Color, width: int) -> None:
    """Draw the outline of a box (top, left, bottom, right), centered on its edges and clipped to the canvas."""
    top, left, bottom, right = (max(edge - width // 2, 0) for edge in box)
    top_end, left_end, bottom_end, right_end = (max(edge - width // 2 + width, 0) for edge in box)
    canvas[top:top_end, left:right_end] = canvas[bottom:bottom_end, left:right_end] = color
    canvas[top:bottom_end, left:left_end] = canvas[top:bottom_end, right:right_end] = color


@lru_cache(maxsize=8)
def _filled_canvas(height: int, width: int, color: Color) -> np.ndarray:
    return np.full((height, width, 3), color, np.uint8)


def blank_canvas(height: int, width: int, color: Color = BACKGROUND) -> np.ndarray:
    """Make a canvas of one color. Copying a cached canvas is much faster than filling a new one."""
    return _filled_canvas(height, width, color).copy()


def even_canvas(height: int, width: int) -> np.ndarray:
    """Make a blank canvas with height and width rounded up to even numbers, as video codecs require."""
    return blank_canvas(height + height % 2, width + width % 2)


@cache
def _font(size: int) -> Any:
    from PIL import ImageFont

    return ImageFont.load_default(size)


@lru_cache(maxsize=256)
def _text_mask(text: str, size: int) -> np.ndarray:
    """Rasterize a line of text to opacities, float32 (height, width); arrows are drawn, because the font has none."""
    from PIL import Image, ImageDraw

    font, parts = _font(size), text.split("→")
    ascent, descent = font.getmetrics()
    width = sum(font.getlength(part) for part in parts) + size * (len(parts) - 1)
    picture = Image.new("L", (max(1, math.ceil(width)), ascent + descent))
    x, arrows = 0.0, []
    for i, part in enumerate(parts):
        if i:
            arrows.append(x)
            x += size
        ImageDraw.Draw(picture).text((x, 0), part, fill=255, font=font)
        x += font.getlength(part)
    mask = np.array(picture)[..., np.newaxis]
    for x in arrows:
        y, tip, head = ascent - 0.33 * size, x + 0.9 * size, 0.24 * size
        for start in ((y, x + 0.1 * size), (y - head, tip - head), (y + head, tip - head)):
            draw_line(mask, start, (y, tip), 0.035 * size, (255,))
    return mask[..., 0] / np.float32(255)


def draw_text(
    canvas: np.ndarray, baseline: float, x: float, text: str, size: int, color: Color, align: float = 0.0
) -> int:
    """Draw a line of text, in a smaller size if it does not fit, clipped to the canvas.

    Args:
        canvas: modified in place.
        baseline: y of the text's baseline.
        x: x of the text's left end (``align`` 0), center (0.5) or right end (1).
        text: the text; an arrow (→) is allowed.
        size: font size in pixels.
        color: text color.
        align: 0, 0.5 or 1.

    Returns:
        The width of the text in pixels.
    """
    max_width = canvas.shape[1] if align == 0.5 else canvas.shape[1] - x if align == 0 else x
    while size > 10 and _text_mask(text, size).shape[1] > max_width:
        size -= 1
    mask = _text_mask(text, size)
    top, left = round(baseline) - _font(size).getmetrics()[0], max(round(x - align * mask.shape[1]), 0)
    mask = mask[max(-top, 0) :]
    region = canvas[max(top, 0) :, left:][: mask.shape[0], : mask.shape[1]]
    blend(region, color, mask[: region.shape[0], : region.shape[1]])
    return mask.shape[1]


def draw_progress(
    canvas: np.ndarray, y: float, left: float, right: float, count: int, total: int, radius: float
) -> None:
    """Draw a progress bar with one segment per step, ``count`` of ``total`` filled; continuous if too narrow."""
    gap = 2 * radius if right - left >= 6 * radius * total else 0.0
    pitch = (right - left + gap) / total
    segments = [(left + i * pitch, left + (i + 1) * pitch - gap) for i in range(total)] if gap else []
    filled = segments[:count] if gap else [(left, left + count * pitch)] if count else []
    for parts, color in ((segments or [(left, right)], BORDER), (filled, SCALE_COLORS[0])):
        for start, end in parts:
            draw_line(canvas, (y, start + radius), (y, max(end - radius, start + radius)), radius, color)


def outcome_color(success: bool | None) -> Color:
    """Return the text color for a successful or failed episode; the neutral color for None."""
    return TEXT if success is None else SUCCESS if success else FAILURE
