"""Drawing primitives on pygame surfaces: lines, dots, rectangles, text. None needs a display.

Points are (x, y) and sizes (width, height), in pixels. Surfaces are 32 bits deep, without transparency. Everything
drawn is clipped to its surface.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from itertools import pairwise
from math import ceil, floor
from pathlib import Path

import numpy as np
import pygame

from glimpse_gym.rendering.appearance import (
    BACKGROUND,
    BORDER,
    FAILURE,
    SCALE_COLORS,
    SUCCESS,
    TEXT,
    TIME_GRADIENT,
    Color,
)

Point = tuple[float, float]
"""x and y in pixels."""
Size = tuple[int, int]
"""Width and height in pixels."""

PADDING = 24  # pixels between the elements of a frame

# Aileron (Sora Sagano, in the public domain under CC0), reduced to the characters of ASCII.
_FONT_FILE = Path(__file__).with_name("Aileron-Regular.ttf")
_SUPERSAMPLING = 8  # dots are drawn this many times larger, and at so many positions between two pixels
_MIN_TEXT_SIZE = 9
_MASKS = (0xFF0000, 0xFF00, 0xFF, 0)  # without them, a surface takes the format of the display, if there is one
_ALPHA_MASKS = (0xFF0000, 0xFF00, 0xFF, 0xFF000000)
_ARROWS = {"→": 0, "↑": 90, "←": 180, "↓": 270}  # degrees by which they are turned
_ALIGNMENTS = {"left": 0.0, "center": 0.5, "right": 1.0}


def even_size(width: float, height: float) -> Size:
    """Round a size up to even numbers, as video codecs require."""
    return 2 * ceil(width / 2), 2 * ceil(height / 2)


def new_surface(size: Size, color: Color = BACKGROUND) -> pygame.Surface:
    """Make a surface of one color."""
    surface = pygame.Surface(size, 0, 32, _MASKS)
    surface.fill(color)
    return surface


def surface_to_array(surface: pygame.Surface) -> np.ndarray:
    """Copy a surface to a new array, uint8 (height, width, 3)."""
    width, height = surface.get_size()
    array = np.empty((height, width, 3), np.uint8)
    pygame.image.frombuffer(array.data, (width, height), "RGB").blit(surface, (0, 0))
    return array


def array_to_surface(array: np.ndarray) -> pygame.Surface:
    """Copy an image to a new surface.

    Args:
        array: uint8 (H, W) or (H, W, C). The first three channels are used; of an image with fewer, the first one, as
            gray.
    """
    array = array if array.ndim == 2 else array[..., :3] if array.shape[2] >= 3 else array[..., 0]
    if array.ndim == 2:
        array = np.repeat(array[..., np.newaxis], 3, axis=2)
    height, width = array.shape[:2]
    surface = new_surface((width, height))
    surface.blit(pygame.image.frombuffer(np.ascontiguousarray(array).tobytes(), (width, height), "RGB"), (0, 0))
    return surface


def draw_with_opacity(
    surface: pygame.Surface, area: pygame.Rect, opacity: float, draw: Callable[[pygame.Surface], object]
) -> None:
    """Call ``draw(target)`` such that what it draws within an area appears with an opacity in [0, 1].

    The target is in the coordinates of the surface.
    """
    if opacity >= 1:
        draw(surface)
        return
    area = area.clip(surface.get_rect())
    if area.width and area.height and opacity > 0:
        before = surface.subsurface(area).copy()
        draw(surface)
        after = surface.subsurface(area).copy()
        after.set_alpha(round(255 * opacity))
        surface.blit(before, area)
        surface.blit(after, area)


def draw_line(
    surface: pygame.Surface, start: Point, end: Point, width: float, color: Color, opacity: float = 1.0
) -> None:
    """Draw an antialiased straight line."""
    draw_polyline(surface, [start, end], width, color, opacity)


def draw_polyline(
    surface: pygame.Surface, points: list[Point], width: float, color: Color, opacity: float = 1.0
) -> None:
    """Draw antialiased lines from point to point; the opacity is that of the whole, also where lines cross."""
    whole_width, margin = max(1, round(width)), ceil(width) + 1
    left, right = min(x for x, _ in points) - margin, max(x for x, _ in points) + margin
    top, bottom = min(y for _, y in points) - margin, max(y for _, y in points) + margin
    area = pygame.Rect(floor(left), floor(top), ceil(right - left) + 1, ceil(bottom - top) + 1)

    def draw(target: pygame.Surface) -> None:
        for start, end in pairwise(points):
            # pygame counts from the centers of pixels.
            (x, y), (end_x, end_y) = start, end
            pygame.draw.aaline(target, color, (x - 0.5, y - 0.5), (end_x - 0.5, end_y - 0.5), whole_width)

    draw_with_opacity(surface, area, opacity, draw)


def draw_dot(surface: pygame.Surface, center: Point, radius: float, color: Color, opacity: float = 1.0) -> None:
    """Draw an antialiased disk."""
    draw_ring(surface, center, radius, 0, color, opacity)


def draw_ring(
    surface: pygame.Surface, center: Point, radius: float, width: float, color: Color, opacity: float = 1.0
) -> None:
    """Draw an antialiased circle of an outer radius and a line width; 0 fills it."""
    # Quantized, so that few different sprites are needed.
    steps = [floor(coordinate * _SUPERSAMPLING + 0.5) for coordinate in center]
    (x, x_step), (y, y_step) = (divmod(step, _SUPERSAMPLING) for step in steps)
    sizes = round(radius * _SUPERSAMPLING), round(width * _SUPERSAMPLING)
    sprite = _ring_sprite(*sizes, (x_step, y_step), color, round(255 * min(max(opacity, 0.0), 1.0)))
    half = sprite.get_width() // 2
    surface.blit(sprite, (x - half, y - half))


@lru_cache(maxsize=512)
def _ring_sprite(radius: int, width: int, offset: tuple[int, int], color: Color, alpha: int) -> pygame.Surface:
    """Draw a ring around the center of a transparent surface; lengths are in subpixels."""
    half = ceil(radius / _SUPERSAMPLING) + 2
    side = 2 * half * _SUPERSAMPLING
    large = pygame.Surface((side, side), pygame.SRCALPHA, 32, _ALPHA_MASKS)
    large.fill((*color, 0))
    center = side // 2 + offset[0], side // 2 + offset[1]
    pygame.draw.circle(large, color, center, max(radius, 1), min(width, radius))
    sprite = pygame.transform.smoothscale(large, (2 * half, 2 * half))
    sprite.set_alpha(alpha)
    return sprite


def draw_rectangle(surface: pygame.Surface, rect: pygame.Rect, color: Color, width: int) -> None:
    """Draw the outline of a rectangle, centered on its edges."""
    before = width // 2
    outer = pygame.Rect(rect.left - before, rect.top - before, rect.width + width, rect.height + width)
    pygame.draw.rect(surface, color, outer, width)


def fill_rectangle(
    surface: pygame.Surface, rect: pygame.Rect, color: Color, opacity: float = 1.0, corner_radius: int = 0
) -> None:
    """Fill a rectangle, with antialiased corners if they are round."""
    if not corner_radius:
        draw_with_opacity(surface, rect, opacity, lambda target: target.fill(color, rect))
        return
    radius = min(corner_radius, rect.width // 2, rect.height // 2)

    def draw(target: pygame.Surface) -> None:
        target.fill(color, rect.inflate(-2 * radius, 0))
        target.fill(color, rect.inflate(0, -2 * radius))
        for x in (rect.left + radius, rect.right - radius):
            for y in (rect.top + radius, rect.bottom - radius):
                draw_dot(target, (x, y), radius, color)

    draw_with_opacity(surface, rect, opacity, draw)


@lru_cache(maxsize=64)
def _load_font(size: int, ascii_only: bool) -> pygame.font.Font:
    pygame.font.init()  # does nothing if already done
    return pygame.font.Font(_FONT_FILE if ascii_only else None, size)


def _font(size: int, ascii_only: bool) -> pygame.font.Font:
    font = _load_font(size, ascii_only)
    try:
        font.get_height()
    except pygame.error:  # others have called pygame.quit(), which ends all fonts
        _load_font.cache_clear()
        font = _load_font(size, ascii_only)
    return font


def _split_runs(text: str) -> list[tuple[str, bool]]:
    """Split a text into arrows and runs of words that are, or are not, all ASCII; the bool is True if they are."""
    runs: list[tuple[str, bool]] = []
    for piece in re.findall(r"[←→↑↓]|[^ ←→↑↓]* *", text):
        if runs and runs[-1][1] == piece.isascii() and piece not in _ARROWS and runs[-1][0] not in _ARROWS:
            runs[-1] = runs[-1][0] + piece, runs[-1][1]
        elif piece:
            runs.append((piece, piece.isascii()))
    return runs


@lru_cache(maxsize=512)
def _text_sprite(text: str, size: int, color: Color) -> tuple[pygame.Surface, int]:
    """Rasterize a line of text on a transparent surface; also return its ascent in pixels.

    Words that are not all ASCII are in the font of pygame, which has more characters; arrows are drawn.
    """
    fonts = [_font(size, True), _font(size, False)]
    ascent = max(font.get_ascent() for font in fonts)
    height = ascent + max(font.get_height() - font.get_ascent() for font in fonts)
    pieces, width = [], 0
    for piece, ascii_only in _split_runs(text):
        font = _font(size, ascii_only)
        rendered = _arrow_sprite(piece, size, color) if piece in _ARROWS else font.render(piece, True, color)
        top = ascent - round(0.83 * size) if piece in _ARROWS else ascent - font.get_ascent()
        pieces.append((rendered, (width, top)))
        width += rendered.get_width()
    sprite = pygame.Surface((max(1, width), height), pygame.SRCALPHA, 32, _ALPHA_MASKS)
    sprite.fill((*color, 0))
    for rendered, position in pieces:
        sprite.blit(rendered, position)
    return sprite, ascent


def _arrow_sprite(arrow: str, size: int, color: Color) -> pygame.Surface:
    """Draw an arrow in the middle of a transparent square."""
    large = pygame.Surface((4 * size, 4 * size), pygame.SRCALPHA, 32, _ALPHA_MASKS)
    large.fill((*color, 0))
    middle, tip, head, width = 2 * size, 3.6 * size, 0.9 * size, max(4, round(0.32 * size))
    pygame.draw.line(large, color, (0.4 * size, middle), (tip - width / 2, middle), width)
    for side in (-1, 1):
        pygame.draw.line(large, color, (tip - head, middle + side * head), (tip, middle), round(1.3 * width))
    turned = pygame.transform.rotate(large, _ARROWS[arrow])
    return pygame.transform.smoothscale(turned, (size, size))


def text_width(text: str, size: int) -> int:
    """Return the width in pixels of a line of text."""
    return _text_sprite(text, size, TEXT)[0].get_width() if text else 0


def draw_text(
    surface: pygame.Surface,
    text: str,
    position: Point,
    size: int,
    color: Color = TEXT,
    align: str = "left",
    max_width: float | None = None,
    opacity: float = 1.0,
) -> int:
    """Draw a line of text, in a smaller size if it does not fit.

    Args:
        surface: surface to draw on.
        text: the text.
        position: x of the left end, the center or the right end of the text, and y of its baseline.
        size: font size in pixels.
        color: text color.
        align: ``"left"``, ``"center"`` or ``"right"``.
        max_width: available width in pixels; None: up to the edge of the surface.
        opacity: from 0 to 1.

    Returns:
        The width of the text in pixels.
    """
    x, baseline = position
    if not text:
        return 0
    fraction = _ALIGNMENTS[align]
    if max_width is None:
        max_width = {"left": surface.get_width() - x, "center": surface.get_width(), "right": x}[align]
    while size > _MIN_TEXT_SIZE and text_width(text, size) > max_width:
        size -= 1
    sprite, ascent = _text_sprite(text, size, color)
    left = max(round(x - fraction * sprite.get_width()), 0)
    if opacity < 1:
        sprite = sprite.copy()
        sprite.set_alpha(round(255 * opacity))
    surface.blit(sprite, (left, round(baseline) - ascent))
    return sprite.get_width()


def draw_progress(surface: pygame.Surface, rect: pygame.Rect, count: int, total: int) -> None:
    """Draw a progress bar with one segment per step, ``count`` of ``total`` filled; continuous if too narrow."""
    gap = rect.height if rect.width >= 3 * rect.height * total else 0
    pitch = (rect.width + gap) / total
    if gap:
        edges = [(rect.left + i * pitch, rect.left + (i + 1) * pitch - gap) for i in range(total)]
        parts = [(edge, SCALE_COLORS[0] if i < count else BORDER) for i, edge in enumerate(edges)]
    else:
        parts = [((rect.left, rect.right), BORDER)]
        parts += [((rect.left, rect.left + count * pitch), SCALE_COLORS[0])] if count else []
    for (left, right), color in parts:
        start = round(left)
        bar = pygame.Rect(start, rect.top, max(round(right) - start, 1), rect.height)
        fill_rectangle(surface, bar, color, corner_radius=rect.height // 2)


def outcome_color(success: bool | None) -> Color:
    """Return the text color for a successful or failed episode; the neutral color for None."""
    return TEXT if success is None else SUCCESS if success else FAILURE


def time_colors(count: int) -> list[Color]:
    """Return colors for ``count`` fixations, from the first to the last, along ``TIME_GRADIENT``."""
    times = np.linspace(0, len(TIME_GRADIENT) - 1, count)
    stops = np.arange(len(TIME_GRADIENT))
    channels = [np.interp(times, stops, channel) for channel in zip(*TIME_GRADIENT, strict=True)]
    return [(int(red), int(green), int(blue)) for red, green, blue in zip(*channels, strict=True)]
