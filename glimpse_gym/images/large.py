"""`LargeImages`: images that stay in their file, of which glimpses read only what they show."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from glimpse_gym.images.data_files import DataError
from glimpse_gym.images.pixel_files import PixelFile, WatchedFile, file_state, open_npy
from glimpse_gym.images.pyramid import (
    LEVELS,
    NUM_EXACT_SCALES,
    build_pyramid,
    level_of_scale,
    open_pyramid,
    pyramid_path,
)
from glimpse_gym.safe_io import MAX_BYTES
from glimpse_gym.validation import check_memory

LARGE_SUFFIXES = (".npy", ".tif", ".tiff")
"""Suffixes of the files that are opened in this way."""

PICTURE_SIDE = 1024
"""Largest side in pixels to which images are reduced for drawing."""

_MAX_READ = 1_000_000  # pixels of one patch that are read where there is no pyramid
_WINDOW_BYTES = 2**25
_CACHE_SIZE = 16  # open files

_Run = tuple[int, int, int, Any, int]  # level, its first scale and the one after its last, type and number of sums


class LargeImages:
    """Images of one size in a file, or the cells of a grid over one large image.

    Nothing is read when they are opened; :meth:`sense` reads the pixels under a glimpse. Scales up to 4 are always
    exact. Coarser ones are read from the pyramid of the file, if there is one. They are exact where the top left
    corner of the patch is a multiple of 2**l pixels, l = 2 * ((s - 3) // 2) for scale s; elsewhere the patch is moved
    to the nearest such corner: by at most 2**(l-1) pixels, which is 1/32 or 1/16 of the side of a cell.

    Args:
        pixels: the file.
        grid: rows and columns of equal cells that the one image of the file is divided into, each an image of its
            own: outside of it all is 0. None: the images of the file.

    Attributes:
        pixels: the file.
        count: N, the number of images.
        size: H and W, of each.
        num_channels: C.
        levels: level -> its values, flat; level 0 is missing if the pixels are stored in tiles.

    Raises:
        DataError: there is a pyramid that is stale or damaged.
        ValueError: the grid does not divide the image.
    """

    def __init__(self, pixels: PixelFile, grid: tuple[int, int] | None = None) -> None:
        count, height, width, self.num_channels = pixels.shape
        rows, columns = grid or (1, 1)
        if grid and (count != 1 or height % rows or width % columns):
            raise ValueError(
                f"{pixels.path}: {rows} rows of {columns} labels divide one image into cells of equal size, but its "
                f"sides are {height} and {width} (of {count} images): give labels that fit"
            )
        self.pixels, self.grid = pixels, grid
        self.count, self.size = count * rows * columns, (height // rows, width // columns)
        self.levels = open_pyramid(pixels)
        if pixels.values is not None:
            self.levels[0] = pixels.values
        self._columns = columns
        # The cells of a grid must begin at a value of a level.
        self._usable = [level for level in LEVELS if level in self.levels and not self._remainder(level)]
        places = {level: self._places(level) for level in self.levels}
        self._offsets = {level: offsets for level, (offsets, _) in places.items()}
        self._strides = {level: strides for level, (_, strides) in places.items()}
        self._sizes = np.empty((0, 2), np.int64)
        self._plans: dict[tuple[int, int], tuple[list[_Run], int]] = {}
        self._kernels: ModuleType | None = None

    def _remainder(self, level: int) -> int:
        mask = (1 << level) - 1
        return (self.size[0] | self.size[1]) & mask if self.grid else 0

    def __len__(self) -> int:
        return self.count

    @property
    def path(self) -> str:
        """Path of the file."""
        return self.pixels.path

    def check_unchanged(self) -> None:
        """Check that the file is the same as when it was opened.

        A file that is cut off while it is open cannot be checked at every access: reading what is gone ends the
        process (SIGBUS).

        Raises:
            DataError: it was removed, replaced or changed.
        """
        self.pixels.watched.check_unchanged()

    def check_scales(self, patch_size: int, num_scales: int) -> None:
        """Check that glimpses can be taken without reading more than a million pixels for a patch.

        Raises:
            ValueError: there is no pyramid, or it does not fit the grid.
        """
        for scale in range(NUM_EXACT_SCALES, num_scales):
            level = self._level(scale)
            side = patch_size << scale
            count = (min(side, self.size[0]) * min(side, self.size[1])) >> (2 * level)
            if count > max(_MAX_READ, patch_size**2 << (2 * NUM_EXACT_SCALES)):
                hint = f"build a pyramid once, with: glimpse-gym pyramid {self.path}"
                if level_of_scale(scale) in self.levels:
                    hint = "give labels for cells whose sides are multiples of 256 pixels"
                raise ValueError(
                    f"{self.path}: scale {scale} of a retina with patch_size={patch_size} would read {count:,} pixels "
                    f"a glimpse: {hint}"
                )

    def sense(self, index: np.ndarray, locations: np.ndarray, patch_size: int, num_scales: int) -> np.ndarray:
        """Compute the glimpse at one location of each of some images; the arguments are not checked.

        Args:
            index: int64 (B,), which images.
            locations: float32 (B, 2), x and y in [-1, 1].
            patch_size: g.
            num_scales: k.

        Returns:
            float32 (B, k*C, g, g), a new array, as :meth:`glimpse_gym.Retina.sense` returns it.
        """
        kernels = self._kernels or self._import_kernels()
        runs, rows_at_once = self._plans.get((patch_size, num_scales)) or self._make_plan(patch_size, num_scales)
        count, channels = len(index), self.num_channels
        if not count:
            return np.empty((0, num_scales * channels, patch_size, patch_size), np.float32)
        if count > rows_at_once:
            parts = [slice(start, start + rows_at_once) for start in range(0, count, rows_at_once)]
            return np.concatenate([self.sense(index[part], locations[part], patch_size, num_scales) for part in parts])
        all_sizes = self._sizes  # another thread may replace it
        if count > len(all_sizes):
            all_sizes = self._sizes = np.full((count, 2), self.size)
        glimpses = np.empty((count, num_scales * channels, patch_size, patch_size), np.float32)
        for level, first, last, sums_type, num_sums in runs:
            if level in self.levels:
                values, offsets, strides = self.levels[level], self._offsets[level][index], self._strides[level]
            else:
                values, offsets, strides = self._gather(index, locations, patch_size << (last - 1))
            sums = np.empty(num_sums, sums_type)
            kernels.sense_level(
                *(values, offsets, strides, all_sizes, channels, locations, level, first, last, sums, glimpses)
            )
        return glimpses

    def _import_kernels(self) -> ModuleType:
        from glimpse_gym.kernels import pyramid_kernels  # only here, because Numba is slow to import

        self._kernels = pyramid_kernels
        return pyramid_kernels

    def _make_plan(self, patch_size: int, num_scales: int) -> tuple[list[_Run], int]:
        """Plan the glimpses of a retina: what is read from which level, and how many glimpses are computed at once."""
        runs = []
        for level, first, last in self._runs(num_scales):
            sums_type = np.uint16 if last <= NUM_EXACT_SCALES else np.uint32
            runs.append((level, first, last, sums_type, (patch_size << (last - 1 - level)) * self.num_channels))
        plan = runs, self._rows_at_once(patch_size, num_scales)
        self._plans[patch_size, num_scales] = plan
        return plan

    def _rows_at_once(self, patch_size: int, num_scales: int) -> int:
        """Return how many glimpses are computed at once, to bound the memory of windows that are put together."""
        if self.pixels.values is not None:
            return 2**31
        side = patch_size << max(scale for scale in range(num_scales) if self._level(scale) == 0)
        return max(1, _WINDOW_BYTES // (min(side, self.size[0]) * min(side, self.size[1]) * self.num_channels))

    def _level(self, scale: int) -> int:
        """Return the coarsest level that a scale may be read from and that there is."""
        wanted = level_of_scale(scale)
        return max((level for level in self._usable if level <= wanted), default=0)

    def _runs(self, num_scales: int) -> Iterator[tuple[int, int, int]]:
        """Yield levels, each with the first scale read from it, and the one after the last."""
        first = 0
        for scale in range(1, num_scales + 1):
            if scale in (num_scales, NUM_EXACT_SCALES) or self._level(scale) != self._level(first):
                yield self._level(first), first, scale
                first = scale

    def _corner(self, index: Any) -> tuple[Any, Any, Any]:
        """Return the image of the file that images are in, and the row and column where they begin."""
        if not self.grid:
            return index, index * 0, index * 0
        return index * 0, index // self._columns * self.size[0], index % self._columns * self.size[1]

    def _places(self, level: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the offsets of all images within the values of a level, (N,), and the stride of their rows, (1,)."""
        _, height, width, channels = self.pixels.shape
        height, width = ((side + (1 << level) - 1) >> level for side in (height, width))
        image, top, left = self._corner(np.arange(self.count))
        offsets = ((image * height + (top >> level)) * width + (left >> level)) * channels
        return offsets, np.array([width * channels])

    def _gather(self, index: np.ndarray, locations: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Read the windows of ``side`` pixels around locations: values, offsets and strides as for a whole image."""
        from glimpse_gym.kernels.geometry import first_pixel

        height, width = self.size
        first = [
            first_pixel(locations[:, axis].astype(np.float64), extent, side).astype(np.int64)
            for axis, extent in ((1, height), (0, width))
        ]
        starts = np.stack([np.clip(first[0], 0, height), np.clip(first[1], 0, width)], axis=1)
        stops = np.stack([np.clip(first[0] + side, 0, height), np.clip(first[1] + side, 0, width)], axis=1)
        windows, offsets, strides, end = [], [], [], 0
        for i, (top, left), (bottom, right) in zip(index.tolist(), starts.tolist(), stops.tolist(), strict=True):
            image, first_row, first_column = self._corner(i)
            window = self.pixels.window(image, first_row + top, first_column + left, bottom - top, right - left)
            stride = (right - left) * self.num_channels
            windows.append(window.reshape(-1))
            offsets.append(end - top * stride - left * self.num_channels)
            strides.append(stride)
            end += window.size
        return np.concatenate(windows), np.array(offsets), np.array(strides)

    def image(self, index: int) -> np.ndarray:
        """Return an image, read-only: uint8 (H, W) if C is 1, otherwise (H, W, C).

        A memory-mapped file gives a view, which reads nothing until it is used; tiles are read.

        Raises:
            ValueError: the tiles take more than MAX_BYTES of memory.
        """
        image, top, left = self._corner(int(index))
        if self.pixels.values is None:
            num_bytes = self.size[0] * self.size[1] * self.num_channels
            settings = f"an image of {self.size[0]:,} x {self.size[1]:,} pixels of {self.path}"
            check_memory(num_bytes, MAX_BYTES, settings, "glimpses, or an uncompressed file")
        window = self.pixels.window(image, top, left, *self.size)
        return window[..., 0] if self.num_channels == 1 else window

    def picture(self, index: int) -> np.ndarray:
        """Return an image reduced for drawing: uint8, (h, w) or (h, w, C) with h and w as of :func:`reduced_size`.

        Its pixels are means of blocks of pixels. It is made from the coarsest level of the pyramid that is fine enough.
        """
        from glimpse_gym.kernels.pyramid_kernels import block_sums

        exponent = _reduction(self.size)
        level = max((level for level in self._usable if level <= exponent), default=0)
        height, width = ((side + (1 << level) - 1) >> level for side in self.size)
        image, top, left = self._corner(int(index))
        if level:
            shape = (self.pixels.shape[0], *((side + (1 << level) - 1) >> level for side in self.pixels.shape[1:3]), -1)
            whole = self.levels[level].reshape(shape)[image]
            values = whole[top >> level :, left >> level :][:height, :width]
        factor = 1 << (exponent - level)
        sums = np.empty((-(-height // factor), -(-width // factor), self.num_channels), np.uint32)
        for i in range(len(sums)):  # one row of the picture at a time, because tiles are read into memory
            first, last = i * factor, min((i + 1) * factor, height)
            if not level:
                values = self.pixels.window(image, top + first, left, last - first, width)
            block_sums(values[first:last] if level else values, factor, sums[i : i + 1])
        picture = ((sums + (1 << 2 * exponent >> 1)) >> (2 * exponent)).astype(np.uint8)
        return picture[..., 0] if self.num_channels == 1 else picture


def reduced_size(size: tuple[int, int]) -> tuple[int, int]:
    """Return height and width of an image after it is reduced by a power of 2, to at most 1024 pixels a side."""
    factor = 1 << _reduction(size)
    return -(-size[0] // factor), -(-size[1] // factor)


def _reduction(size: tuple[int, int]) -> int:
    return max(0, ((max(size) - 1) // PICTURE_SIDE).bit_length())


def open_large(
    path: str | os.PathLike[str], num_images: int | None = None, grid: tuple[int, int] | None = None
) -> LargeImages:
    """Open a file of images that need not fit in memory, for :meth:`glimpse_gym.Retina.sense_large`.

    A file is opened once per process, as long as it does not change.

    Args:
        path: a ``.npy`` of uint8 of shape (N, H, W), (N, H, W, C), (H, W) or (H, W, C), or a TIFF of uint8 with one or
            several images of one size, tiled or not (``pip install 'glimpse_gym[large]'``).
        num_images: the number of images, which tells (N, H, W) from (H, W, C).
        grid: see :class:`LargeImages`.

    Raises:
        DataError: the file, or its pyramid, is damaged, stale, or of another kind.
        ValueError: its shape is not that of images, or does not fit the other arguments.
        ModuleNotFoundError: it is a TIFF, and tifffile is not installed.
    """
    path = str(Path(path).expanduser().resolve())
    states: list[tuple[int, ...] | None] = []
    for file in (path, str(pyramid_path(path))):
        try:
            states.append(file_state(os.stat(file)))
        except OSError:
            states.append(None)
    return _open_large(path, num_images, grid, tuple(states))


@lru_cache(_CACHE_SIZE)
def _open_large(
    path: str, num_images: int | None, grid: tuple[int, int] | None, states: tuple[Any, ...]
) -> LargeImages:
    return LargeImages(open_pixels(path, num_images), grid)


def open_pixels(path: str | os.PathLike[str], num_images: int | None = None) -> PixelFile:
    """Open a file of images without its pyramid; arguments and errors are those of :func:`open_large`."""
    path = str(path)
    if path.lower().endswith(".npy"):
        return open_npy(WatchedFile(path), num_images)
    if path.lower().endswith(LARGE_SUFFIXES):
        from glimpse_gym.images.tiff_files import open_tiff

        return open_tiff(WatchedFile(path), num_images)
    raise DataError(f"{path}: is not one of {', '.join(LARGE_SUFFIXES)}; save it as one of them")


def build_pyramid_of(path: str | os.PathLike[str], progress: bool = False) -> Path:
    """Build the pyramid of a ``.npy`` or TIFF file beside it, as ``NAME.pyramid``.

    Args:
        path: the file; three dimensions (H, W, C) with C up to 4 are one image.
        progress: show a progress bar.

    Returns:
        The path of the pyramid.

    Raises:
        DataError: the file is damaged, of another kind, or changes meanwhile.
        OSError: the pyramid does not fit on the disk, or cannot be written; nothing is left of it.
    """
    return build_pyramid(open_pixels(path), progress)
