"""Canvases: images warped and placed at random, with clutter cut out of other images."""

from __future__ import annotations

from typing import Any

import numpy as np

from glimpse_gym.images import ImageSet
from glimpse_gym.kernels.backend import NUMPY, Array, Backend
from glimpse_gym.retina import Retina
from glimpse_gym.safe_io import MAX_BYTES
from glimpse_gym.validation import check_integer, check_memory, check_range, shown

# Layout of an episode's random numbers: two for the corner of the image, five for each piece of clutter, then the warp.
_CORNER, _DRAWS_PER_PIECE = slice(0, 2), 5
_TILE, _MAX_UNTILED = 128, 512  # sides in pixels, of a tile and of the largest canvas without tiles
# Beyond these limits, sines and cosines, or conversions of pixels to integers, are not accurate.
_MAX_ROTATION, _MIN_ZOOM, _MAX_ZOOM, _MAX_SHIFT = 36_000.0, 0.001, 1000.0, 1_000_000.0
_MAX_CLUTTER = 10_000  # pieces; more would take minutes at every reset
# Of each canvas and of each of its pieces of clutter, beside the pixels, when they are composed.
_BYTES_PER_CANVAS, _BYTES_PER_PIECE = 1000, 250


Range = float | tuple[float, float]
"""A number, or a (low, high) pair from which a number is drawn uniformly in each episode."""


class ImageArrays:
    """Arrays of an image set as arrays of a backend, shared by all worlds that use it. Pickled as the set itself.

    Args:
        images: the image set.
        backend: the backend. The arrays are copied to its device unless an earlier call has done that.

    Attributes:
        pixels: as in :class:`ImageSet`.
        offsets: as in :class:`ImageSet`.
        sizes: as in :class:`ImageSet`.
        labels: as in :class:`ImageSet`.
    """

    def __init__(self, images: ImageSet, backend: Backend) -> None:
        arrays = images.pixels, images.offsets, images.sizes, images.labels
        owner = None if images.reopen else images  # users may change their arrays before they make another env
        self.pixels, self.offsets, self.sizes, self.labels = (backend.share(array, owner) for array in arrays)
        self._arguments = images, backend

    def __reduce__(self) -> tuple[Any, ...]:
        return ImageArrays, self._arguments


class Warp:
    """Random rotation, zoom and shift of an image within its own frame, before it is placed on a canvas.

    Args:
        rotation: degrees clockwise, from -36,000 to 36,000.
        zoom: magnification about the center of the image, from 0.001 to 1000.
        shift: pixels to the right and, drawn independently from the same range, down, from -1,000,000 to 1,000,000.

    Raises:
        ValueError: if a value is not accepted.
    """

    num_draws = 4

    def __init__(self, rotation: Range, zoom: Range, shift: Range) -> None:
        ranges = (
            check_range("rotation", rotation, -_MAX_ROTATION, _MAX_ROTATION),
            check_range("zoom", zoom, _MIN_ZOOM, _MAX_ZOOM),
            check_range("shift", shift, -_MAX_SHIFT, _MAX_SHIFT),
        )
        self.is_identity = ranges == ((0.0, 0.0), (1.0, 1.0), (0.0, 0.0))
        self._low, self._high = np.array([*ranges, ranges[2]]).T

    def inverse_matrices(self, draws: np.ndarray) -> np.ndarray:
        """Compute the affine maps from pixels of the warped image to the points where the source image is sampled.

        Args:
            draws: float64 (R, num_draws), uniform in [0, 1).

        Returns:
            float64 (R, 2, 3): maps (x, y, 1) to the source's (x, y), both in pixels relative to the image center.
        """
        degrees, zoom, right, down = (self._low + (self._high - self._low) * draws).T
        # The inverse undoes the shift, then the rotation, then the zoom.
        cos, sin = np.cos(np.radians(degrees)) / zoom, np.sin(np.radians(degrees)) / zoom
        x = np.stack([cos, sin, -(cos * right + sin * down)], axis=1)
        y = np.stack([-sin, cos, sin * right - cos * down], axis=1)
        return np.stack([x, y], axis=1)


class Canvases:
    """B canvases of one size, with images placed on them (sections 4.1.1 and 4.1.2 of the paper).

    Args:
        num_rows: B.
        images: the image set that images and clutter come from.
        size: side or (height, width) in pixels; None uses the size of the images, which must all be equal.
        num_clutter: number of pieces of clutter on each canvas, from 0 to 10,000.
        clutter_size: side of a piece in pixels.
        warp: applied to each image before it is placed.
        max_bytes: the most memory in bytes that the canvases may take.
        backend: array library and device of the canvases, and of all arrays passed to the methods.

    Attributes:
        num_bytes: the memory in bytes that they take.

    Raises:
        TypeError: if ``images`` is not an ImageSet, or ``warp`` not a Warp.
        ValueError: if a value is not accepted, the images do not fit, or the canvases take more than ``max_bytes``.
    """

    def __init__(
        self,
        num_rows: int,
        images: ImageSet,
        size: int | tuple[int, int] | None,
        num_clutter: int,
        clutter_size: int,
        warp: Warp,
        max_bytes: int = MAX_BYTES,
        backend: Backend = NUMPY,
    ) -> None:
        if not isinstance(images, ImageSet) or not isinstance(warp, Warp):
            raise TypeError(f"images must be an ImageSet and warp a Warp, got {shown(images)} and {shown(warp)}")
        self.images, self.warp, self.backend = images, warp, backend
        self.num_clutter = check_integer("num_clutter", num_clutter, at_least=0, at_most=_MAX_CLUTTER)
        self.clutter_size = check_integer("clutter_size", clutter_size, at_least=1)
        self.num_draws = 2 + _DRAWS_PER_PIECE * self.num_clutter + (0 if warp.is_identity else warp.num_draws)
        num_rows = check_integer("num_rows", num_rows, at_least=1)
        height, width = self._check_size(size)
        each = height * width * images.num_channels + self.num_clutter * _BYTES_PER_PIECE + _BYTES_PER_CANVAS
        self.num_bytes = num_rows * each
        settings = f"num_envs={num_rows}, canvas_size={height} x {width} and num_clutter={self.num_clutter}"
        hint = "fewer sub-envs, a smaller canvas_size or less clutter"
        check_memory(self.num_bytes, max_bytes, settings, hint)
        backend.check_free_memory(self.num_bytes, settings, hint)
        self._arrays = ImageArrays(images, backend)
        self.pixels = backend.zeros((num_rows, height, width, images.num_channels), np.uint8)
        self.corners = backend.zeros((num_rows, 2), np.int64)  # row and column of each image's top-left pixel
        self._size = backend.from_host(np.array((height, width)))
        self._sizes_differ = bool((images.sizes != images.sizes[0]).any())
        # How many positions there are for an image, and how many images and positions for pieces of clutter, if all
        # images have the size of the first. Computed once, of the shapes of draws: much faster in every reset.
        canvas_size, image_size = np.array((height, width)), images.sizes[0]
        ranges = [len(images) - 1, *(image_size - self.clutter_size + 1), *(canvas_size - self.clutter_size + 1)]
        self._corner_ranges = backend.from_host((canvas_size - image_size + 1).astype(np.float64))
        self._piece_ranges = backend.from_host(np.tile(np.array(ranges, np.float64), self.num_clutter))
        # Large canvases are composed tile by tile, when a glimpse first shows a tile. A device composes them at once.
        on_cpu = backend.device == "cpu"
        self.is_tiled = on_cpu and max(height, width) > _MAX_UNTILED
        # Much faster than np.broadcast_to in every reset.
        self._whole = np.tile([0, 0, height, width], (num_rows, 1)) if on_cpu else None
        self._composed = np.zeros((num_rows, -(-height // _TILE), -(-width // _TILE)), np.bool_)
        self._layouts: dict[int, tuple[np.ndarray, ...]] = {}
        self._no_warps = backend.zeros((0, 2, 3), np.float64)

    def _check_size(self, size: int | tuple[int, int] | None) -> tuple[int, int]:
        images, clutter_size = self.images, self.clutter_size
        if size is None and self.num_clutter:
            raise ValueError("clutter needs a canvas: pass canvas_size (in pixels), or num_clutter=0")
        if size is None and (images.sizes != images.sizes[0]).any():
            raise ValueError("warping images of different sizes needs a canvas: pass canvas_size (in pixels)")
        sides = images.sizes[0].tolist() if size is None else size
        sides = sides if isinstance(sides, (tuple, list)) else (sides, sides)
        if len(sides) != 2:
            raise ValueError(f"canvas_size must be an integer or (height, width), got {shown(size)}")
        height, width = (check_integer("canvas_size", side, at_least=1) for side in sides)
        largest = images.sizes.max(axis=0)
        if largest[0] > height or largest[1] > width:
            raise ValueError(
                f"every image must fit on the canvas: the images are up to {largest[0]} pixels high and {largest[1]} "
                f"wide, canvas_size is {height} x {width}; pass a larger canvas_size"
            )
        if self.num_clutter and (images.sizes.min() < clutter_size or min(height, width) < clutter_size):
            raise ValueError(
                f"clutter is cut in squares of clutter_size={clutter_size} pixels, but an image or the canvas "
                "is smaller; pass a smaller clutter_size"
            )
        if self.num_clutter and len(images) < 2:
            raise ValueError("clutter is cut out of other images, but there is only one; add images or num_clutter=0")
        return height, width

    def compose(self, rows: Array, image_index: Array, draws: Array) -> None:
        """Compose some canvases: clear them, place an image at a random position fully inside, and add clutter.

        Args:
            rows: int64 (R,), which canvases to compose.
            image_index: int64 (R,), the image to place on each.
            draws: float64 (R, num_draws), uniform in [0, 1).
        """
        layout = self._draw_layout(image_index, draws)
        self.corners[rows] = layout[1]
        if not self.is_tiled:
            self._compose(rows, layout, None if self._whole is None else self._whole[: len(rows)])
            return
        self._composed[rows] = False
        self._layouts |= {int(row): tuple(part[i : i + 1] for part in layout) for i, row in enumerate(rows)}

    def compose_visible(self, rows: np.ndarray, locations: np.ndarray, retina: Retina) -> None:
        """Compose the missing tiles that glimpses at these locations, (R, 2), show; for tiled canvases."""
        size = self.pixels.shape[1:3]
        side = retina.patch_side(retina.num_scales - 1)
        for row, location in zip(rows, locations, strict=True):
            top, left = retina.patch_corner(location, size, retina.num_scales - 1)
            self._compose_tiles(int(row), top, left, top + side, left + side)

    def compose_whole(self, row: int) -> None:
        """Compose all missing tiles of a tiled canvas."""
        self._compose_tiles(row, 0, 0, *self.pixels.shape[1:3])

    def _compose_tiles(self, row: int, top: int, left: int, bottom: int, right: int) -> None:
        """Compose the missing tiles that overlap a window of a canvas."""
        composed, (height, width) = self._composed[row], self.pixels.shape[1:3]
        for i in range(max(top, 0) // _TILE, -(-min(bottom, height) // _TILE)):
            for j in range(max(left, 0) // _TILE, -(-min(right, width) // _TILE)):
                if not composed[i, j]:
                    window = i * _TILE, j * _TILE, min((i + 1) * _TILE, height), min((j + 1) * _TILE, width)
                    self._compose(np.array([row]), self._layouts[row], np.array([window]))
                    composed[i, j] = True

    def _draw_layout(self, image_index: Array, draws: Array) -> tuple[Array, ...]:
        """Draw positions of images and clutter: the arguments ``image_index`` to ``pieces`` of the kernel."""
        backend, sizes, clutter_end = self.backend, self._arrays.sizes, 2 + _DRAWS_PER_PIECE * self.num_clutter
        corner_ranges = self._size - sizes[image_index] + 1 if self._sizes_differ else self._corner_ranges
        pieces_shape = len(draws), self.num_clutter, _DRAWS_PER_PIECE
        clutter_draws = draws[:, 2:clutter_end]
        pieces = backend.integers_below(clutter_draws, self._piece_ranges).reshape(pieces_shape)
        # Clutter comes from any image except the one on the canvas, whose index is skipped.
        clutter_index = pieces[:, :, 0]
        clutter_index += clutter_index >= image_index[:, None]
        if self._sizes_differ:
            source_ranges = sizes[clutter_index] - self.clutter_size + 1
            source_draws = clutter_draws.reshape(pieces_shape)[:, :, 1:3]
            pieces[:, :, 1:3] = backend.integers_below(source_draws, source_ranges)
        return (
            image_index,
            backend.integers_below(draws[:, _CORNER], corner_ranges),
            self._no_warps if self.warp.is_identity else self._warp_matrices(draws[:, clutter_end:]),
            pieces,
        )

    def _warp_matrices(self, draws: Array) -> Array:
        # Computed on the host: sines and cosines of different libraries differ in their last bits.
        return self.backend.from_host(self.warp.inverse_matrices(self.backend.to_host(draws)))

    def _compose(self, rows: Array, layout: tuple[Array, ...], windows: Array | None) -> None:
        images = self._arrays
        self.backend.kernels.compose(
            images.pixels, images.offsets, images.sizes, self.pixels, rows, *layout, self.clutter_size, windows
        )
