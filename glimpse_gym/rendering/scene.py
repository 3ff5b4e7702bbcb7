"""Views of an episode in image coordinates: the whole image dimmed outside the glimpses, or only what was sensed."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pygame

from glimpse_gym.rendering.appearance import (
    BACKGROUND,
    BORDER,
    MEMORY_FADE,
    MIN_MEMORY_BRIGHTNESS,
    SCALE_COLORS,
    SCALE_DECAY,
    SCENE_BACKGROUND,
    TEXT,
    UNSEEN,
    UNSEEN_BLACK,
    UNSEEN_BRIGHTNESS,
    Color,
)
from glimpse_gym.rendering.drawing import (
    Point,
    array_to_surface,
    draw_dot,
    draw_line,
    draw_polyline,
    draw_rectangle,
    draw_text,
    draw_with_opacity,
    new_surface,
    time_colors,
)
from glimpse_gym.retina import Retina


class ImageView:
    """Square surface onto which an image is mapped, and the conversion between locations and pixels.

    The image is enlarged by an integer factor, so that its pixels become equal squares, or reduced to fit. Patches and
    scanpaths may extend into the margin. All pixels are those of :attr:`surface`.

    Args:
        image_size: height and width of the image in pixels.
        retina: the retina that takes the glimpses.
        max_side: side in pixels of the square that the image is fitted into.
        margin: space in pixels around that square.
        surface: surface to draw on, of side ``max_side + 2 * margin``; None makes one.
    """

    def __init__(
        self,
        image_size: tuple[int, int],
        retina: Retina,
        max_side: int,
        margin: int,
        surface: pygame.Surface | None = None,
    ) -> None:
        self.image_size = image_size
        self.retina = retina
        height, width = image_size
        longest = max(image_size)
        if longest > max_side:
            height, width = (max(1, round(side * max_side / longest)) for side in image_size)
        # Of the image before it is enlarged.
        self._picture_size = width, height
        self._resize_factors = width / image_size[1], height / image_size[0]
        self._factor = max_side // max(height, width)
        side = max_side + 2 * margin
        width, height = width * self._factor, height * self._factor
        if surface:
            surface.fill(SCENE_BACKGROUND)
        self.surface = surface or new_surface((side, side), SCENE_BACKGROUND)
        """The surface, of side ``max_side + 2 * margin``."""
        self.image_rect = pygame.Rect((side - width) // 2, (side - height) // 2, width, height)
        """Rectangle of the image on the surface."""
        frame = pygame.Rect(self.image_rect.left - 1, self.image_rect.top - 1, width + 1, height + 1)
        draw_rectangle(self.surface, frame, BORDER, 1)

    def to_pixel(self, location: Any) -> Point:
        """Convert a location, x and y in [-1, 1], to a point of the surface."""
        x, y = (float(coordinate) for coordinate in location)
        rect = self.image_rect
        return rect.left + (x + 1) * rect.width / 2, rect.top + (y + 1) * rect.height / 2

    def to_location(self, pixel: Point) -> np.ndarray:
        """Convert a point of the surface to a location, float32 (2,), clipped to [-1, 1]."""
        rect = self.image_rect
        x, y = 2 * (pixel[0] - rect.left) / rect.width - 1, 2 * (pixel[1] - rect.top) / rect.height - 1
        return np.array([x, y], np.float32).clip(-1, 1)

    def patch_rect(self, location: Any, scale: int) -> pygame.Rect:
        """Compute the rectangle on the surface that the patch of one scale covers, exactly as the retina sees it."""
        left, top, right, bottom = (self._factor * edge for edge in self._picture_box(location, scale))
        return pygame.Rect(left, top, right - left, bottom - top).move(self.image_rect.topleft)

    def patch_center(self, location: Any) -> Point:
        """Compute the center of the finest patch."""
        rect = self.patch_rect(location, 0)
        return rect.left + rect.width / 2, rect.top + rect.height / 2

    def draw_patches(self, location: Any, width: int, opacity: float = 1.0) -> None:
        """Draw the outlines of the patches of all scales, ``width`` pixels wide, the finest on top."""
        rects = [self.patch_rect(location, scale) for scale in range(self.retina.num_scales)]

        def draw(target: pygame.Surface) -> None:
            for scale, rect in reversed(list(enumerate(rects))):
                draw_rectangle(target, rect, SCALE_COLORS[scale % len(SCALE_COLORS)], width)

        draw_with_opacity(self.surface, rects[-1].inflate(2 * width, 2 * width), opacity, draw)

    def draw_scanpath(self, locations: Any, radius: float, opacity: float = 1.0) -> None:
        """Draw locations (n, 2), n >= 1, as connected dots of a radius in pixels, the last one highlighted."""
        points = [self.patch_center(location) for location in locations]
        draw_polyline(self.surface, points, 0.75 * radius, TEXT, 0.6 * opacity)
        for point in points[:-1]:
            self._draw_rimmed_dot(point, radius, TEXT, opacity)
        self._draw_rimmed_dot(points[-1], 1.35 * radius, SCALE_COLORS[0], 1.0)

    def draw_numbered_scanpath(self, locations: Any, radius: float, width: int = 1) -> None:
        """Draw locations (n, 2) numbered from 1, with their finest patches, in a color gradient over time."""
        points = [self.patch_center(location) for location in locations]
        colors = time_colors(len(points))
        for location, color in zip(locations, colors, strict=True):
            draw_rectangle(self.surface, self.patch_rect(location, 0), color, width)
        for (start, end), color in zip(pairwise(points), colors[1:], strict=True):
            draw_line(self.surface, start, end, 2 * width, color, 0.9)
        for number, (point, color) in enumerate(zip(points, colors, strict=True), start=1):
            self._draw_rimmed_dot(point, radius, color, 1.0)
            position = point[0], point[1] + 0.55 * radius
            draw_text(self.surface, str(number), position, round(1.55 * radius), BACKGROUND, align="center")

    def draw_location_distribution(
        self, mean: Any, sigma: float, color: Color = SCALE_COLORS[0], width: int = 2
    ) -> None:
        """Draw a normal distribution of the next location: rings at one and two standard deviations, and the mean.

        Args:
            mean: x and y in [-1, 1].
            sigma: standard deviation of x and of y, in units of locations.
            color: color of the rings.
            width: width of the rings in pixels.
        """
        center, rect = self.to_pixel(mean), self.image_rect
        angles = np.linspace(0, 2 * np.pi, 65)
        for multiple, opacity in ((1, 0.9), (2, 0.45)):
            x = center[0] + multiple * sigma * rect.width / 2 * np.cos(angles)
            y = center[1] + multiple * sigma * rect.height / 2 * np.sin(angles)
            draw_polyline(self.surface, list(zip(x.tolist(), y.tolist(), strict=True)), width, color, opacity)
        draw_dot(self.surface, center, 1.5 * width, color)

    def _picture_box(self, location: Any, scale: int) -> tuple[int, ...]:
        """Compute left, top, right and bottom of a patch, in pixels of the image before it is enlarged."""
        row, column = self.retina.patch_corner(location, self.image_size, scale)
        side, (horizontal, vertical) = self.retina.patch_side(scale), self._resize_factors
        edges = column * horizontal, row * vertical, (column + side) * horizontal, (row + side) * vertical
        return tuple(map(round, edges))

    def _draw_rimmed_dot(self, point: Point, radius: float, color: Color, opacity: float) -> None:
        draw_dot(self.surface, point, radius + 1.2, BACKGROUND, opacity)
        draw_dot(self.surface, point, radius, color, opacity)


class Scene(ImageView):
    """View of the whole image, dimmed where it was not seen.

    Args:
        image: uint8 (H, W) or (H, W, C).
        retina: the retina that took the glimpses.
        seen_locations: float (n, 2) in [-1, 1], glimpses whose patches are shown bright.
        max_side: side in pixels of the square that the image is fitted into.
        margin: space in pixels around that square.
        surface: as in :class:`ImageView`.
        image_size: height and width of the image in pixels, if ``image`` is a reduced one.
    """

    def __init__(
        self,
        image: np.ndarray,
        retina: Retina,
        seen_locations: Any,
        max_side: int,
        margin: int,
        surface: pygame.Surface | None = None,
        image_size: tuple[int, int] | None = None,
    ) -> None:
        super().__init__(image_size or (image.shape[0], image.shape[1]), retina, max_side, margin, surface)
        picture = array_to_surface(image)
        if picture.get_size() != self._picture_size:
            picture = pygame.transform.smoothscale(picture, self._picture_size)
        dimmed = _dim(picture, 0.0)
        for scale in reversed(range(retina.num_scales)):  # finer scales are brighter, and overwrite coarser ones
            lit = _dim(picture, SCALE_DECAY**scale)
            for location in seen_locations:
                left, top, right, bottom = self._picture_box(location, scale)
                area = pygame.Rect(left, top, right - left, bottom - top).clip(dimmed.get_rect())
                dimmed.blit(lit, area, area)
        self.surface.blit(pygame.transform.scale(dimmed, self.image_rect.size), self.image_rect)


class GlimpseView(ImageView):
    """View of only what was sensed: patches of the glimpses where they were taken, and nothing else of the image.

    Finer patches cover coarser ones, and later glimpses earlier ones of the same scale.

    Args:
        image_size: height and width of the image in pixels.
        retina: the retina that took the glimpses.
        glimpses: float (n, k*C, g, g) in [0, 1], the latest last; n may be 0.
        locations: float (n, 2) in [-1, 1], where they were taken.
        max_side: side in pixels of the square that the image is fitted into.
        margin: space in pixels around that square.
        fade: factor of the brightness of a glimpse with each later one, down to a minimum; 1 does not fade. Where
            images move, a small value leaves little but the latest glimpse.
        surface: as in :class:`ImageView`.
    """

    def __init__(
        self,
        image_size: tuple[int, int],
        retina: Retina,
        glimpses: Any,
        locations: Any,
        max_side: int,
        margin: int,
        fade: float = MEMORY_FADE,
        surface: pygame.Surface | None = None,
    ) -> None:
        super().__init__(image_size, retina, max_side, margin, surface)
        self.surface.fill(UNSEEN_BLACK, self.image_rect)
        count = len(glimpses)
        patches = [glimpse_patches(glimpse, retina) for glimpse in glimpses]
        self.surface.set_clip(self.image_rect)
        for scale in reversed(range(retina.num_scales)):
            for i, location in enumerate(locations):
                brightness = max(fade ** (count - 1 - i), MIN_MEMORY_BRIGHTNESS)
                patch = array_to_surface(np.rint(patches[i][scale] * brightness).astype(np.uint8))
                rect = self.patch_rect(location, scale)
                self.surface.blit(pygame.transform.scale(patch, rect.size), rect)
        self.surface.set_clip(None)


def glimpse_patches(glimpse: np.ndarray, retina: Retina) -> np.ndarray:
    """Convert a glimpse, float (k*C, g, g) in [0, 1], to images of its k patches, uint8 (k, g, g, C)."""
    k, g = retina.num_scales, retina.patch_size
    # (k*C, g, g) is scale-major.
    return np.rint(255 * np.asarray(glimpse)).astype(np.uint8).reshape(k, -1, g, g).transpose(0, 2, 3, 1)


def _dim(picture: pygame.Surface, brightness: float) -> pygame.Surface:
    """Blend a picture with the color of what is unseen; its brightness is from 0 (unseen) to 1 (unchanged)."""
    dimmed = new_surface(picture.get_size(), UNSEEN)
    picture.set_alpha(round(255 * (UNSEEN_BRIGHTNESS + (1 - UNSEEN_BRIGHTNESS) * brightness)))
    dimmed.blit(picture, (0, 0))
    return dimmed
