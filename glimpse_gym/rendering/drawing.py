"""Drawing without a window: lines, boxes, text and colors on arrays, uint8 (height, width, 3).

Pillow, imported where it is needed, draws the letters.
"""

from __future__ import annotations

import math
from functools import cache, lru_cache
from typing import Any

import numpy as np

Color = tuple[int, ...]
Point = tuple[float, float]

PAGE, STAGE, EDGE, FOG = (15, 17, 23), (23, 26, 35), (62, 68, 86), (34, 39, 54)
TEXT, MUTED, GOOD, BAD = (232, 235, 242), (134, 142, 162), (74, 211, 130), (255, 104, 104)
# One per scale, the finest first and the most vivid; they repeat after the last.
SCALES = ((255, 190, 50), (64, 172, 240), (160, 128, 238), (58, 158, 140), (186, 108, 140), (120, 130, 150))
EARLY_TO_LATE = np.array([(92, 164, 255), (214, 116, 214), (255, 152, 60)], np.float64)
PAD = 24  # pixels between all things on a page


def blend(region: np.ndarray, color: Any, opacity: np.ndarray) -> None:
    """Lay a color, or an array of them, over a region, in place; ``opacity`` is (height, width) in [0, 1]."""
    opacity = opacity[..., np.newaxis]
    region[...] = np.rint(region + (np.asarray(color, np.float32) - region) * opacity)


def stroke(canvas: np.ndarray, start: Point, end: Point, radius: float, color: Any, opacity: float = 1.0) -> None:
    """A smooth line with round ends between two points (y, x); a dot where they are one."""
    points = np.array([start, end])
    top, left = np.maximum(np.floor(points.min(0) - radius - 1), 0).astype(int)
    bottom, right = np.minimum(np.ceil(points.max(0) + radius + 1), canvas.shape[:2]).astype(int)
    if top >= bottom or left >= right:
        return
    y = np.arange(top, bottom, dtype=np.float32)[:, np.newaxis] + np.float32(0.5 - start[0])
    x = np.arange(left, right, dtype=np.float32) + np.float32(0.5 - start[1])
    dy, dx = np.float32(end[0] - start[0]), np.float32(end[1] - start[1])
    along = ((y * dy + x * dx) / max(dy * dy + dx * dx, np.float32(1e-6))).clip(0, 1)
    distance = np.hypot(y - along * dy, x - along * dx)
    blend(canvas[top:bottom, left:right], color, (radius + 0.5 - distance).clip(0, 1) * opacity)


def outline(canvas: np.ndarray, box: tuple[int, ...], color: Color, width: int) -> None:
    """Crisp lines around a box (top, left, bottom, right), half of them within, cut off at the canvas."""
    top, left, bottom, right = (max(edge - width // 2, 0) for edge in box)
    tops, lefts, bottoms, rights = (max(edge - width // 2 + width, 0) for edge in box)
    canvas[top:tops, left:rights] = canvas[bottom:bottoms, left:rights] = color
    canvas[top:bottoms, left:lefts] = canvas[top:bottoms, right:rights] = color


@lru_cache(maxsize=8)
def _blank_once(height: int, width: int, color: Color) -> np.ndarray:
    return np.full((height, width, 3), color, np.uint8)


def blank(height: int, width: int, color: Color = PAGE) -> np.ndarray:
    """An empty canvas: copying is much faster than filling with a color."""
    return _blank_once(height, width, color).copy()


@cache
def _font(size: int) -> Any:
    from PIL import ImageFont

    return ImageFont.load_default(size)


@lru_cache(maxsize=256)
def _letters(text: str, size: int) -> np.ndarray:
    """A line of text as ink, float32 (height, width) in [0, 1]; the font has no arrow, so it is drawn."""
    from PIL import Image, ImageDraw

    font, parts = _font(size), text.split("→")
    ascent, descent = font.getmetrics()
    width = sum(font.getlength(part) for part in parts) + size * (len(parts) - 1)
    paper = Image.new("L", (max(1, math.ceil(width)), ascent + descent))
    x, arrows = 0.0, []
    for i, part in enumerate(parts):
        if i:
            arrows.append(x)
            x += size
        ImageDraw.Draw(paper).text((x, 0), part, fill=255, font=font)
        x += font.getlength(part)
    ink = np.array(paper)[..., np.newaxis]
    for x in arrows:
        y, tip, wing = ascent - 0.33 * size, x + 0.9 * size, 0.24 * size
        for start in ((y, x + 0.1 * size), (y - wing, tip - wing), (y + wing, tip - wing)):
            stroke(ink, start, (y, tip), 0.035 * size, (255,))
    return ink[..., 0] / np.float32(255)


def write(canvas: np.ndarray, baseline: float, x: float, text: str, size: int, color: Color, align: float = 0.0) -> int:
    """A line of text that begins (``align`` 0), has its middle (1/2) or ends (1) at x. Returns its width.

    Set smaller where it does not fit, and cut off at the canvas where it still does not.
    """
    room = canvas.shape[1] if align == 0.5 else canvas.shape[1] - x if align == 0 else x
    while size > 10 and _letters(text, size).shape[1] > room:
        size -= 1
    ink = _letters(text, size)
    top, left = round(baseline) - _font(size).getmetrics()[0], max(round(x - align * ink.shape[1]), 0)
    ink = ink[max(-top, 0) :]
    region = canvas[max(top, 0) :, left:][: ink.shape[0], : ink.shape[1]]
    blend(region, color, ink[: region.shape[0], : region.shape[1]])
    return ink.shape[1]


def ticks(canvas: np.ndarray, y: float, left: float, right: float, count: int, total: int, radius: float) -> None:
    """Time as a row of marks, ``count`` of ``total`` lit; a plain bar where they would be too small."""
    gap = 2 * radius if right - left >= 6 * radius * total else 0.0
    pitch = (right - left + gap) / total
    ends = [(left + i * pitch, left + (i + 1) * pitch - gap) for i in range(total)] if gap else []
    lit = ends[:count] if gap else [(left, left + count * pitch)] if count else []
    for shown, color in ((ends or [(left, right)], EDGE), (lit, SCALES[0])):
        for start, end in shown:
            stroke(canvas, (y, start + radius), (y, max(end - radius, start + radius)), radius, color)


def blank_page(height: int, width: int) -> np.ndarray:
    """An empty page at least so large, of even sides."""
    return blank(height + height % 2, width + width % 2)


def verdict(good: bool | None) -> Color:
    """The color of words on how an episode ended; None where nothing is judged."""
    return TEXT if good is None else GOOD if good else BAD
