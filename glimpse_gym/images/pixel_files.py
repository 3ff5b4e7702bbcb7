"""Files of pixels that are read window by window: memory-mapped ``.npy`` files, and what all such files share."""

from __future__ import annotations

import math
import mmap
import os
import threading
import weakref
from abc import ABC, abstractmethod
from io import BufferedReader
from typing import Any

import numpy as np

from glimpse_gym.images.data_files import DataError
from glimpse_gym.safe_io import open_regular

MAX_CHANNELS = 4

_MAX_IMAGES = 10_000_000  # whose places in the file take up to 80 bytes each
_MAX_SIDE = 2**20  # pixels; sums of blocks of 4,096 x 4,096 pixels, of which pictures are made, fit in 32 bits


class WatchedFile:
    """Open regular file, and the state that it had when it was opened.

    Args:
        path: the file.

    Raises:
        DataError: it cannot be opened, or is not a regular file.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        try:
            self.file: BufferedReader = open_regular(path)
        except OSError as error:
            raise DataError(f"{path}: cannot be read: {error}") from error
        self._lock = threading.Lock()
        weakref.finalize(self, self.file.close)
        self.state = file_state(os.fstat(self.file.fileno()))

    @property
    def size(self) -> int:
        """Bytes of the file when it was opened."""
        return self.state[1]

    def read_at(self, offset: int, size: int) -> bytes:
        """Read up to ``size`` bytes from an offset; safe in threads, and in processes that were forked."""
        if hasattr(os, "pread"):
            return os.pread(self.file.fileno(), size, offset)
        with self._lock:  # Windows, where processes are not forked
            self.file.seek(offset)
            return self.file.read(size)

    def check_unchanged(self) -> None:
        """Check that the path still leads to this file, and that nobody has written to it since it was opened.

        Raises:
            DataError: it was removed, replaced, or changed.
        """
        try:
            status = os.stat(self.path)
        except OSError as error:
            hint = "put it back, and make the env again"
            raise DataError(f"{self.path}: has vanished since it was opened ({error.strerror}): {hint}") from error
        if file_state(status) != self.state:
            raise DataError(f"{self.path}: has changed since it was opened: make the env again to read it as it is now")


def file_state(status: os.stat_result) -> tuple[int, int, int, int]:
    """Return what changes when a file is replaced or written to: inode, size, time of change in ns, and device."""
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_dev


class PixelFile(ABC):
    """Images of one size in a file, of which only the windows that are asked for are read.

    Attributes:
        watched: the file.
        shape: (N, H, W, C).
        values: uint8 (N * H * W * C,), the mapped pixels, or None if they are not stored one after the other.
    """

    def __init__(self, watched: WatchedFile, shape: tuple[int, int, int, int], values: np.ndarray | None) -> None:
        self.watched, self.shape, self.values = watched, shape, values

    @property
    def path(self) -> str:
        """Path of the file."""
        return self.watched.path

    @abstractmethod
    def window(self, image: int, top: int, left: int, height: int, width: int) -> np.ndarray:
        """Return a window, wholly inside an image: uint8 (height, width, C), read-only."""


class MappedPixels(PixelFile):
    """Pixels that are stored one after the other, mapped into memory.

    Args:
        watched: the file.
        offset: bytes before the first pixel.
        shape: (N, H, W, C).

    Raises:
        DataError: the file is too short, or the system cannot map it.
    """

    def __init__(self, watched: WatchedFile, offset: int, shape: tuple[int, int, int, int]) -> None:
        values = map_values(watched, offset, math.prod(shape), np.dtype(np.uint8))
        super().__init__(watched, shape, values)
        self._images = values.reshape(shape)

    def window(self, image: int, top: int, left: int, height: int, width: int) -> np.ndarray:
        """See :meth:`PixelFile.window`; a view of the mapped file."""
        return self._images[image, top : top + height, left : left + width]


def map_values(watched: WatchedFile, offset: int, count: int, dtype: np.dtype[Any]) -> np.ndarray:
    """Map ``count`` values that begin at an offset, as a flat, read-only array.

    Raises:
        DataError: the file is too short, or the system cannot map it.
    """
    if watched.size < offset + count * dtype.itemsize:
        found = f"{watched.size:,} bytes, expected {offset + count * dtype.itemsize:,}"
        raise DataError(f"{watched.path}: is cut off: {found}; write it again")
    try:
        mapped = mmap.mmap(watched.file.fileno(), watched.size, access=mmap.ACCESS_READ)
    except (OSError, ValueError, OverflowError) as error:
        raise DataError(f"{watched.path}: cannot be mapped into memory: {error}") from error
    return np.frombuffer(mapped, dtype, count, offset)


def open_npy(watched: WatchedFile, num_images: int | None) -> MappedPixels:
    """Map a ``.npy`` file of images; see :func:`image_shape` for its shapes.

    Raises:
        DataError: it is not a ``.npy`` file, of another dtype or order, or of the wrong size.
        ValueError: it does not have the shape of images.
    """
    shape, dtype, offset = _read_npy_header(watched)
    if dtype != np.uint8:
        raise DataError(f"{watched.path}: must hold uint8 0..255, got {dtype}; convert it, and save it again")
    return MappedPixels(watched, offset, image_shape(shape, num_images, watched.path))


def read_npy_integers(path: str, max_bytes: int) -> np.ndarray:
    """Read a ``.npy`` file of integers, such as labels, of at most ``max_bytes`` bytes.

    Raises:
        DataError: it is not a ``.npy`` file, holds another dtype, or is of the wrong size, or larger.
    """
    watched = WatchedFile(path)
    shape, dtype, offset = _read_npy_header(watched)
    if dtype.kind not in "iu":
        raise DataError(f"{path}: must hold integers, got {dtype}; convert it, and save it again")
    if watched.size > max_bytes:
        raise DataError(f"{path}: has {watched.size:,} bytes, more than max_bytes={max_bytes:,}; give a larger one")
    return map_values(watched, offset, math.prod(shape), dtype).reshape(shape).copy()


def _read_npy_header(watched: WatchedFile) -> tuple[tuple[int, ...], np.dtype[Any], int]:
    """Read shape, dtype and the offset of the first value, and check the size of the file.

    Raises:
        DataError: it is not a ``.npy`` file, is stored column by column, or is of the wrong size.
    """
    path, file = watched.path, watched.file
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    try:
        shape, fortran_order, dtype = readers[np.lib.format.read_magic(file)](file)
    except (KeyError, ValueError, OSError, EOFError) as error:
        raise DataError(f"{path}: is not a .npy file that numpy.save wrote: {error!s:.300}") from error
    if fortran_order or dtype.hasobject:
        raise DataError(f"{path}: must hold plain numbers stored row by row; save numpy.ascontiguousarray(array)")
    offset = file.tell()
    if watched.size != (expected := offset + math.prod(shape) * dtype.itemsize):
        raise DataError(
            f"{path}: has {watched.size:,} bytes, expected {expected:,} for {dtype} of shape {shape}: it was cut off "
            "or is still being written"
        )
    return shape, dtype, offset


def image_shape(shape: tuple[int, ...], num_images: int | None, where: str) -> tuple[int, int, int, int]:
    """Return the shape (N, H, W, C) of an array of images, or of one image.

    Args:
        shape: (N, H, W, C), (N, H, W), (H, W), or (H, W, C).
        num_images: the number of images there are; tells (N, H, W) from (H, W, C). None: three dimensions are
            (H, W, C) if the last one is at most 4.
        where: name of the images in errors.

    Raises:
        ValueError: the shape is none of these, or does not fit the number of images.
    """
    full: tuple[int, ...]
    if len(shape) == 3:
        one = shape[2] <= MAX_CHANNELS if num_images is None else num_images == 1 and shape[0] != 1
        full = (1, *shape) if one else (*shape, 1)
    else:
        full = {4: shape, 2: (1, *shape, 1)}.get(len(shape), ())
    accepted = f"(N, H, W), (N, H, W, C), or one image (H, W) or (H, W, C), with C from 1 to {MAX_CHANNELS}"
    largest = _MAX_IMAGES, _MAX_SIDE, _MAX_SIDE, MAX_CHANNELS
    if len(full) != 4 or not all(1 <= side <= most for side, most in zip(full, largest, strict=True)):
        limits = f"with N up to {_MAX_IMAGES:,}, and H and W up to {_MAX_SIDE:,}"
        raise ValueError(f"{where}: must have shape {accepted}, {limits}, got {shape}")
    if num_images is not None and full[0] != num_images:
        raise ValueError(f"{where}: {num_images} labels, one for each image, do not fit the shape {shape}: {accepted}")
    return full[0], full[1], full[2], full[3]
