"""An image as it was seen: dimmed outside the glimpses, with their boxes and the path of the gaze."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from glimpse_gym.rendering.drawing import (
    EARLY_TO_LATE,
    EDGE,
    FOG,
    PAGE,
    SCALES,
    STAGE,
    TEXT,
    Color,
    Point,
    blank,
    blend,
    outline,
    stroke,
    write,
)
from glimpse_gym.retina import Retina

_UNSEEN = 0.22  # brightness where nothing was seen: enough to follow what the agent is missing
_FADE = 0.6  # how much of the rest is left from one scale to the next coarser one


def shrink(image: np.ndarray, room: int) -> np.ndarray:
    """An image as three channels, the first three or the first one thrice, with no side above ``room``."""
    image = image if image.ndim == 2 else image[..., :3] if image.shape[2] >= 3 else image[..., 0]
    longest = max(image.shape[:2])
    if longest > room:
        from PIL import Image

        height, width = (max(1, round(side * room / longest)) for side in image.shape[:2])
        image = np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BOX))
    return image if image.ndim == 3 else np.repeat(image[..., np.newaxis], 3, axis=2)


def enlarge(image: np.ndarray, factor: int) -> np.ndarray:
    """Every pixel as a square."""
    return image.repeat(factor, axis=1).repeat(factor, axis=0)


class Stage:
    """One image on a square canvas, dimmed where it was not seen. Boxes may hang over its border.

    Args:
        image: uint8 (H, W) or (H, W, C).
        retina: what it was seen with.
        seen: the locations that light it, (n, 2).
        room: the side of the square that the image may fill, in pixels.
        margin: what is left free on each side of that.
    """

    def __init__(self, image: np.ndarray, retina: Retina, seen: np.ndarray, room: int, margin: int) -> None:
        picture = shrink(image, room)
        height, width = picture.shape[:2]
        side, self._factor = room + 2 * margin, room // max(height, width)
        self._retina = retina
        self._size: tuple[int, int] = (image.shape[0], image.shape[1])
        self._zoom = height / self._size[0], width / self._size[1]  # 1 but for images that were shrunk
        light = np.zeros((height, width), np.float32)
        for scale in reversed(range(retina.num_scales)):  # the finer is the brighter, and goes over the coarser
            for location in seen:
                top, left, bottom, right = (max(edge, 0) for edge in self._patch(location, scale))
                light[top:bottom, left:right] = _FADE**scale
        lit = np.full_like(picture, FOG)
        blend(lit, picture, _UNSEEN + (1 - _UNSEEN) * light)
        lit = enlarge(lit, self._factor)
        (height, width), self.canvas = lit.shape[:2], blank(side, side, STAGE)
        top, left = self._corner = (side - height) // 2, (side - width) // 2
        self.canvas[top : top + height, left : left + width] = lit
        outline(self.canvas, (top - 1, left - 1, top + height, left + width), EDGE, 1)

    def _patch(self, location: np.ndarray, scale: int) -> tuple[int, ...]:
        """Top, left, bottom and right of a patch, in pixels of the picture before it is enlarged."""
        row, column = self._retina.corner(location, self._size, scale)
        side, (down, across) = self._retina.side(scale), self._zoom
        edges = row * down, column * across, (row + side) * down, (column + side) * across
        return tuple(map(round, edges))

    def box(self, location: np.ndarray, scale: int) -> tuple[int, ...]:
        """Top, left, bottom and right of a patch, in pixels of the canvas."""
        patch = self._patch(location, scale)
        return tuple(edge * self._factor + self._corner[i % 2] for i, edge in enumerate(patch))

    def center(self, location: np.ndarray) -> Point:
        """The middle of the finest patch, (y, x) on the canvas."""
        top, left, bottom, right = self.box(location, 0)
        return (top + bottom) / 2, (left + right) / 2

    def draw_boxes(self, location: np.ndarray, width: int) -> None:
        """The patches of all scales, the finest on top."""
        for scale in reversed(range(self._retina.num_scales)):
            outline(self.canvas, self.box(location, scale), SCALES[scale % len(SCALES)], width)

    def draw_path(self, fixations: np.ndarray, radius: float, opacity: float = 1.0) -> None:
        """Earlier fixations, joined by a line that leads to the present one; that one is highlighted."""
        points = [self.center(location) for location in fixations]
        for start, end in pairwise(points):
            stroke(self.canvas, start, end, 0.35 * radius, TEXT, 0.6 * opacity)
        for point in points[:-1]:
            self._dot(point, radius, TEXT, opacity)
        self._dot(points[-1], 1.35 * radius, SCALES[0], 1.0)

    def draw_numbered_path(self, fixations: np.ndarray) -> None:
        """All fixations, numbered from 1, in colors from early to late, each with its finest box."""
        points = [self.center(location) for location in fixations]
        when = np.linspace(0, len(EARLY_TO_LATE) - 1, len(points))
        stops = np.arange(len(EARLY_TO_LATE))
        colors = [tuple(int(np.interp(t, stops, part)) for part in EARLY_TO_LATE.T) for t in when]
        for location, color in zip(fixations, colors, strict=True):
            outline(self.canvas, self.box(location, 0), color, 1)
        for (start, end), color in zip(pairwise(points), colors[1:], strict=True):
            stroke(self.canvas, start, end, 0.8, color, 0.9)
        for number, (point, color) in enumerate(zip(points, colors, strict=True), start=1):
            self._dot(point, 6.5, color, 1.0)
            write(self.canvas, point[0] + 3.5, point[1] + 0.5, str(number), 10, PAGE, align=0.5)

    def _dot(self, point: Point, radius: float, color: Color, opacity: float) -> None:
        stroke(self.canvas, point, point, radius + 1.2, PAGE, opacity)
        stroke(self.canvas, point, point, radius, color, opacity)
