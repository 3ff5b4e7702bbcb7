"""Scene: an image dimmed outside the glimpses, with the retina's patches and the scanpath."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from glimpse_gym.rendering.drawing import (
    BACKGROUND,
    BORDER,
    SCALE_COLORS,
    SCENE_BACKGROUND,
    TEXT,
    TIME_GRADIENT,
    UNSEEN,
    Color,
    Point,
    blank_canvas,
    blend,
    draw_line,
    draw_rectangle,
    draw_text,
)
from glimpse_gym.retina import Retina

_UNSEEN_BRIGHTNESS = 0.22  # of pixels outside all glimpses: enough to recognize what the agent has not seen
_SCALE_DECAY = 0.6  # factor of the brightness from each scale to the next coarser one


def fit_rgb(image: np.ndarray, max_side: int) -> np.ndarray:
    """Convert an image to RGB and downscale it to sides <= ``max_side``.

    The first three channels are used; of an image with fewer, the first one, as gray.
    """
    image = image if image.ndim == 2 else image[..., :3] if image.shape[2] >= 3 else image[..., 0]
    longest = max(image.shape[:2])
    if longest > max_side:
        from PIL import Image

        height, width = (max(1, round(side * max_side / longest)) for side in image.shape[:2])
        image = np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BOX))
    return image if image.ndim == 3 else np.repeat(image[..., np.newaxis], 3, axis=2)


def upscale(image: np.ndarray, factor: int) -> np.ndarray:
    """Enlarge an image by an integer factor, every pixel becoming a square."""
    return image.repeat(factor, axis=1).repeat(factor, axis=0)


class Scene:
    """Square canvas with an image, dimmed where it was not seen. Patches may extend beyond the image.

    Args:
        image: uint8 (H, W) or (H, W, C).
        retina: the retina that took the glimpses.
        seen_locations: float (n, 2) in [-1, 1], glimpses whose patches are shown bright.
        max_side: side in pixels of the square that the image is fitted into.
        margin: space in pixels around that square.
    """

    def __init__(
        self, image: np.ndarray, retina: Retina, seen_locations: np.ndarray, max_side: int, margin: int
    ) -> None:
        picture = fit_rgb(image, max_side)
        height, width = picture.shape[:2]
        side, self._factor = max_side + 2 * margin, max_side // max(height, width)
        self._retina = retina
        self._image_size: tuple[int, int] = (image.shape[0], image.shape[1])
        # Picture pixels per image pixel: 1 unless the image was downscaled.
        self._resize_factors = height / self._image_size[0], width / self._image_size[1]
        brightness = np.zeros((height, width), np.float32)
        for scale in reversed(range(retina.num_scales)):  # finer scales are brighter, and overwrite coarser ones
            for location in seen_locations:
                top, left, bottom, right = (max(edge, 0) for edge in self._picture_box(location, scale))
                brightness[top:bottom, left:right] = _SCALE_DECAY**scale
        dimmed = np.full_like(picture, UNSEEN)
        blend(dimmed, picture, _UNSEEN_BRIGHTNESS + (1 - _UNSEEN_BRIGHTNESS) * brightness)
        dimmed = upscale(dimmed, self._factor)
        (height, width), self.canvas = dimmed.shape[:2], blank_canvas(side, side, SCENE_BACKGROUND)
        top, left = self._corner = (side - height) // 2, (side - width) // 2
        self.canvas[top : top + height, left : left + width] = dimmed
        draw_rectangle(self.canvas, (top - 1, left - 1, top + height, left + width), BORDER, 1)

    def _picture_box(self, location: np.ndarray, scale: int) -> tuple[int, ...]:
        """Compute top, left, bottom and right of a patch, in pixels of the picture before it is upscaled."""
        row, column = self._retina.patch_corner(location, self._image_size, scale)
        side, (vertical, horizontal) = self._retina.patch_side(scale), self._resize_factors
        edges = row * vertical, column * horizontal, (row + side) * vertical, (column + side) * horizontal
        return tuple(map(round, edges))

    def patch_box(self, location: np.ndarray, scale: int) -> tuple[int, ...]:
        """Compute top, left, bottom and right of a patch, in pixels of the canvas."""
        box = self._picture_box(location, scale)
        return tuple(edge * self._factor + self._corner[i % 2] for i, edge in enumerate(box))

    def patch_center(self, location: np.ndarray) -> Point:
        """Compute the center of the finest patch, (y, x) on the canvas."""
        top, left, bottom, right = self.patch_box(location, 0)
        return (top + bottom) / 2, (left + right) / 2

    def draw_patches(self, location: np.ndarray, width: int) -> None:
        """Draw the outlines of the patches of all scales, the finest on top."""
        for scale in reversed(range(self._retina.num_scales)):
            draw_rectangle(self.canvas, self.patch_box(location, scale), SCALE_COLORS[scale % len(SCALE_COLORS)], width)

    def draw_scanpath(self, fixations: np.ndarray, radius: float, opacity: float = 1.0) -> None:
        """Draw the fixations as connected dots, the last one highlighted."""
        points = [self.patch_center(location) for location in fixations]
        for start, end in pairwise(points):
            draw_line(self.canvas, start, end, 0.35 * radius, TEXT, 0.6 * opacity)
        for point in points[:-1]:
            self._draw_dot(point, radius, TEXT, opacity)
        self._draw_dot(points[-1], 1.35 * radius, SCALE_COLORS[0], 1.0)

    def draw_numbered_scanpath(self, fixations: np.ndarray) -> None:
        """Draw the fixations numbered from 1, with their finest patches, in a color gradient over time."""
        points = [self.patch_center(location) for location in fixations]
        stops = np.arange(len(TIME_GRADIENT))
        times = np.linspace(0, len(TIME_GRADIENT) - 1, len(points))
        colors = [tuple(int(np.interp(t, stops, channel)) for channel in TIME_GRADIENT.T) for t in times]
        for location, color in zip(fixations, colors, strict=True):
            draw_rectangle(self.canvas, self.patch_box(location, 0), color, 1)
        for (start, end), color in zip(pairwise(points), colors[1:], strict=True):
            draw_line(self.canvas, start, end, 0.8, color, 0.9)
        for number, (point, color) in enumerate(zip(points, colors, strict=True), start=1):
            self._draw_dot(point, 6.5, color, 1.0)
            draw_text(self.canvas, point[0] + 3.5, point[1] + 0.5, str(number), 10, BACKGROUND, align=0.5)

    def _draw_dot(self, point: Point, radius: float, color: Color, opacity: float) -> None:
        """Draw a dot with a dark rim."""
        draw_line(self.canvas, point, point, radius + 1.2, BACKGROUND, opacity)
        draw_line(self.canvas, point, point, radius, color, opacity)
