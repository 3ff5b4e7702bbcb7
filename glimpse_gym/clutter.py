"""Images placed on canvases, turned, resized and shifted, and pieces of other images added as clutter."""

from __future__ import annotations

import numpy as np

from glimpse_gym.images.sources import ImageSet
from glimpse_gym.kernels import kernels_for
from glimpse_gym.validation import check_integer, check_range
from glimpse_gym.world import scaled

# Columns of an episode's random numbers: the place, so many for every piece of clutter, and those of the warp.
_CORNER, _PER_PIECE = slice(0, 2), 5


Range = float | tuple[float, float]
"""A number, or the (lowest, highest) between which one is drawn uniformly for every episode."""


class Warp:
    """What is done to an image within its own frame, before it is placed.

    Args:
        rotation: degrees clockwise.
        zoom: the factor by which the image is enlarged about its center.
        shift: pixels to the right and, drawn apart, downwards.

    Raises:
        ValueError: values that are not accepted.
    """

    num_draws = 4

    def __init__(self, rotation: Range, zoom: Range, shift: Range) -> None:
        ranges = check_range("rotation", rotation), check_range("zoom", zoom), check_range("shift", shift)
        if ranges[1][0] <= 0:
            raise ValueError(f"zoom must be greater than 0, got {zoom!r}")
        self.changes_nothing = ranges == ((0.0, 0.0), (1.0, 1.0), (0.0, 0.0))
        self._lowest, self._highest = np.array([*ranges, ranges[2]]).T

    def lookups(self, draws: np.ndarray) -> np.ndarray:
        """Where each pixel is looked up, from ``draws``, float64 (R, num_draws), uniform in [0, 1).

        Returns:
            float64 (R, 2, 3): a pixel's (x, y, 1), counted from the center of the frame, to the image's x and y.
        """
        turn, zoom, right, down = (self._lowest + (self._highest - self._lowest) * draws).T
        # A lookup undoes the shift, then the turn, then the enlargement.
        cos, sin = np.cos(np.radians(turn)) / zoom, np.sin(np.radians(turn)) / zoom
        x = np.stack([cos, sin, -(cos * right + sin * down)], axis=1)
        y = np.stack([-sin, cos, sin * right - cos * down], axis=1)
        return np.stack([x, y], axis=1)


class Canvases:
    """B canvases of one size (sections 4.1.1 and 4.1.2).

    Args:
        num_rows: B.
        images: what is placed, and what clutter is cut out of.
        size: (height, width) or the side, in pixels; None: as large as the images, which are of one size then.
        num_clutter: pieces of clutter on each.
        clutter_size: the side of a piece in pixels.
        warp: what is done to an image before.

    Raises:
        ValueError: values that are not accepted, or images that do not fit.
    """

    def __init__(
        self,
        num_rows: int,
        images: ImageSet,
        size: int | tuple[int, int] | None,
        num_clutter: int,
        clutter_size: int,
        warp: Warp,
    ) -> None:
        self.images, self.num_clutter, self.clutter_size, self.warp = images, num_clutter, clutter_size, warp
        self.num_draws = 2 + _PER_PIECE * num_clutter + (0 if warp.changes_nothing else warp.num_draws)
        height, width = self._check_size(size)
        self.pixels = np.zeros((num_rows, height, width, images.num_channels), np.uint8)

    def _check_size(self, size: int | tuple[int, int] | None) -> tuple[int, int]:
        images, clutter_size = self.images, self.clutter_size
        if size is None and self.num_clutter:
            raise ValueError("clutter needs a canvas: give canvas_size, in pixels, or num_clutter=0")
        if size is None and (images.sizes != images.sizes[0]).any():
            raise ValueError("to be warped, images of several sizes need a canvas: give canvas_size, in pixels")
        sides = images.sizes[0].tolist() if size is None else size
        sides = sides if isinstance(sides, (tuple, list)) else (sides, sides)
        if len(sides) != 2:
            raise ValueError(f"canvas_size must be a whole number or (height, width), got {size!r}")
        height, width = (check_integer("canvas_size", side, at_least=1) for side in sides)
        largest = images.sizes.max(axis=0)
        if largest[0] > height or largest[1] > width:
            raise ValueError(
                f"every image must fit on the canvas: the largest are {largest[0]} pixels high and {largest[1]} wide, "
                f"canvas_size is {height} x {width}; give a larger one"
            )
        if self.num_clutter and (images.sizes.min() < clutter_size or min(height, width) < clutter_size):
            raise ValueError(
                f"clutter is cut in squares of clutter_size={clutter_size} pixels, and some image or the canvas "
                "is smaller; give a smaller clutter_size"
            )
        if self.num_clutter and len(images) < 2:
            raise ValueError("clutter is cut out of other images, and there is only one; give more or num_clutter=0")
        return height, width

    def compose(self, rows: np.ndarray, image_index: np.ndarray, draws: np.ndarray) -> None:
        """Make some rows anew, int64 (R,): place an image on each, wholly inside, and add the clutter.

        Args:
            rows: which canvases.
            image_index: int64 (R,), which image goes on each.
            draws: float64 (R, num_draws), uniform in [0, 1).
        """
        images, canvases = self.images, self.pixels
        room = np.array(canvases.shape[1:3])
        corners = scaled(draws[:, _CORNER], room - images.sizes[image_index] + 1)
        end = 2 + _PER_PIECE * self.num_clutter
        clutter = draws[:, 2:end].reshape(len(rows), self.num_clutter, _PER_PIECE)
        # Another image: any but the one on the canvas.
        others = scaled(clutter[:, :, 0], len(images) - 1)
        others += others >= image_index[:, None]
        cuts = scaled(clutter[:, :, 1:3], images.sizes[others] - self.clutter_size + 1)
        clutter_corners = scaled(clutter[:, :, 3:5], room - self.clutter_size + 1)
        kernels_for(canvases).compose(
            images.pixels,
            images.offsets,
            images.sizes,
            canvases,
            rows,
            image_index,
            corners,
            np.empty((0, 2, 3)) if self.warp.changes_nothing else self.warp.lookups(draws[:, end:]),
            others,
            cuts,
            clutter_corners,
            self.clutter_size,
        )
