"""The retina: square patches of several scales around one location of an image."""

from __future__ import annotations

from typing import Any

import numpy as np

from glimpse_gym.images import LargeImages
from glimpse_gym.kernels.backend import NUMPY
from glimpse_gym.kernels.geometry import first_pixel
from glimpse_gym.safe_io import MAX_BYTES
from glimpse_gym.validation import check_integer, check_integers, check_locations, check_memory, check_not_masked, shown

# Cells of the coarsest scale then have 2048 x 2048 pixels, whose sum fits into 32 bits.
_MAX_SCALES = 12


class Retina:
    """Glimpse sensor: k square patches around a location, each twice as wide as the last, averaged to g x g cells.

    Patch s (s = 0 ... k-1) is a square of side ``w = g * 2**s`` pixels. Its left column is
    ``floor(px - w/2 + 1/2)`` and its top row is ``floor(py - w/2 + 1/2)``, where
    ``px = (x + 1) * W/2`` and ``py = (y + 1) * H/2``. It is divided into g x g cells; each output is the mean of the
    pixels of its cell, where pixels outside the image count as 0, divided by 255. See section 3.1 of Mnih et al.,
    "Recurrent Models of Visual Attention", 2014.

    Args:
        patch_size: g, an integer >= 1.
        num_scales: k, an integer from 1 to 12.

    Raises:
        ValueError: if an argument is not an integer in its range; this holds for the methods too.

    Example:
        >>> import numpy as np
        >>> retina = Retina(patch_size=2, num_scales=2)
        >>> image = np.arange(16, dtype=np.uint8).reshape(1, 4, 4)
        >>> retina.sense(image, np.zeros((1, 2), np.float32))[0, 0] * 255
        array([[ 5.,  6.],
               [ 9., 10.]], dtype=float32)
        >>> retina.sense(image, np.zeros((1, 2), np.float32))[0, 1] * 255
        array([[ 2.5,  4.5],
               [10.5, 12.5]], dtype=float32)
    """

    def __init__(self, patch_size: int, num_scales: int = 1) -> None:
        self.patch_size = check_integer("patch_size", patch_size, at_least=1)
        self.num_scales = check_integer("num_scales", num_scales, at_least=1, at_most=_MAX_SCALES)

    def __repr__(self) -> str:
        return f"Retina(patch_size={self.patch_size}, num_scales={self.num_scales})"

    def patch_side(self, scale: int) -> int:
        """Return the side in pixels of the patch of one scale (0 is the finest)."""
        return self.patch_size * 2 ** check_integer("scale", scale, 0, self.num_scales - 1)

    def glimpse_shape(self, num_channels: int = 1) -> tuple[int, int, int]:
        """Return the shape of one glimpse of an image with C channels: ``(k*C, g, g)``."""
        num_channels = check_integer("num_channels", num_channels, at_least=1)
        return (self.num_scales * num_channels, self.patch_size, self.patch_size)

    def num_bytes(self, num_images: int, num_channels: int) -> int:
        """Return the memory in bytes that the glimpses of some images take, with the buffers of the sums of a row."""
        depth, height, width = self.glimpse_shape(num_channels)
        return 4 * (num_images * depth * height * width + 2 * self.patch_side(self.num_scales - 1) * num_channels)

    def patch_corner(self, location: Any, size: tuple[int, int], scale: int) -> tuple[int, int]:
        """Return row and column of the top-left pixel of one patch, for drawing; either may be negative.

        Args:
            location: x and y in [-1, 1].
            size: height and width of the image in pixels.
            scale: s, from 0 to k-1.

        Raises:
            ValueError: if an argument is not accepted.
        """
        side = self.patch_side(scale)
        try:
            (x, y), (height, width) = location, size
            return int(first_pixel(float(y), height, side)), int(first_pixel(float(x), width, side))
        except Exception as error:
            given = f"{shown(location)} and {shown(size)}"
            raise ValueError(f"location and size must be two finite numbers and two integers, got {given}") from error

    def sense(self, images: np.ndarray, locations: np.ndarray, max_bytes: int = MAX_BYTES) -> np.ndarray:
        """Compute the glimpse at one location of each image. The cost does not depend on the size of the images.

        Args:
            images: uint8 ``(B, H, W)`` or ``(B, H, W, C)``.
            locations: floating point ``(B, 2)``, x and y, clipped to [-1, 1].
            max_bytes: the most memory in bytes that the glimpses may take.

        Returns:
            float32 ``(B, k*C, g, g)`` in [0, 1], finest scale first; the C channels of a scale are adjacent.

        Raises:
            TypeError: if ``images`` is not a NumPy array.
            ValueError: if the dtype or shape of an argument is wrong, a location is NaN or infinite, or the glimpses
                take more than ``max_bytes``.
        """
        check_not_masked("images", images)
        if not isinstance(images, np.ndarray):
            raise TypeError(f"images must be a NumPy array, got {type(images).__name__}; convert with numpy.asarray")
        if images.dtype != np.uint8 or images.ndim not in (3, 4) or 0 in images.shape[1:]:
            raise ValueError(
                f"images must be uint8 of shape (B, H, W) or (B, H, W, C) with H, W, C >= 1, "
                f"got {images.dtype} of shape {images.shape}"
            )
        num_images, height, width = images.shape[:3]
        channels = images.shape[3] if images.ndim == 4 else 1
        settings = f"{num_images} glimpses of {self!r}"
        check_memory(self.num_bytes(num_images, channels), max_bytes, settings, "fewer images or a smaller patch_size")
        return NUMPY.kernels.sense(
            np.ascontiguousarray(images).reshape(-1),
            np.arange(num_images) * (height * width * channels),
            np.full((num_images, 2), (height, width)),
            channels,
            check_locations(locations, (num_images, 2)),
            self.patch_size,
            self.num_scales,
        )

    def sense_large(
        self, images: LargeImages, locations: np.ndarray, index: Any = 0, max_bytes: int = MAX_BYTES
    ) -> np.ndarray:
        """Compute glimpses like :meth:`sense`, of images that stay in a file: only what the glimpses show is read.

        Scales up to 4 are exact; for coarser ones see :class:`glimpse_gym.images.LargeImages`.

        Args:
            images: made by :func:`glimpse_gym.images.open_large`.
            locations: floating point ``(B, 2)``, x and y, clipped to [-1, 1].
            index: the image of each glimpse: integers ``(B,)``, or one integer for all.
            max_bytes: as in :meth:`sense`.

        Returns:
            float32 ``(B, k*C, g, g)``, as of :meth:`sense`.

        Raises:
            TypeError: if ``images`` is of another type.
            ValueError: as in :meth:`sense`; if an index is out of range, or a scale would read more than a million
                pixels because there is no pyramid.
            DataError: if the file has changed since it was opened.
        """
        if not isinstance(images, LargeImages):
            raise TypeError(
                f"images must be LargeImages, got {type(images).__name__}; use glimpse_gym.images.open_large"
            )
        number = len(locations) if hasattr(locations, "__len__") else 0
        checked = check_locations(locations, (number, 2))
        indices = np.empty(0, np.int64)
        if number:
            indices = check_integers("index", _repeated(index, number), (number,), len(images))
        settings = f"{number} glimpses of {self!r}"
        hint = "fewer locations or a smaller patch_size"
        check_memory(self.num_bytes(number, images.num_channels), max_bytes, settings, hint)
        images.check_scales(self.patch_size, self.num_scales)
        images.check_unchanged()
        return images.sense(indices, checked, self.patch_size, self.num_scales)


def _repeated(index: Any, number: int) -> Any:
    """Repeat a single integer; anything else is returned as it is."""
    return np.full(number, index) if isinstance(index, int | np.integer) else index
