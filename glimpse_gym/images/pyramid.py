"""Pyramids: the sums of blocks of pixels of a large image, in one file beside it, for the coarse scales of the retina.

The file ``NAME.pyramid`` holds levels 2, 4, 6 and 8 of all images of the file ``NAME``. Level l has one value for each
block of 2**l x 2**l pixels: their exact sum, uint16 up to level 4 and uint32 beyond. It takes an eighth of the bytes
of the images. A header says which state of which file it was made from; it is written with the rest, in one step.

Scales up to 4 are read from the image itself. Scale s >= 5 is read from level 2 * ((s - 3) // 2), so that a cell is
8 or 16 values wide.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from glimpse_gym.atomic_io import atomic_write, check_free_space, remove_temporary_files
from glimpse_gym.images.data_files import DataError
from glimpse_gym.images.pixel_files import PixelFile, WatchedFile, map_values
from glimpse_gym.safe_io import parse_json

LEVELS = (2, 4, 6, 8)
NUM_EXACT_SCALES = 5
"""Scales that are read from the image itself."""

_FORMAT = 1
_HEADER_BYTES, _ALIGNMENT = 4096, 4096
_BAND = 1 << LEVELS[-1]  # rows that are read at once: every level then gains whole rows


def level_of_scale(scale: int) -> int:
    """Return the level that a scale is read from, if there is a pyramid."""
    return 0 if scale < NUM_EXACT_SCALES else 2 * ((scale - 3) // 2)


class Level(NamedTuple):
    """One level of a pyramid, of all images.

    Attributes:
        level: l.
        shape: (N, ceil(H / 2**l), ceil(W / 2**l), C).
        dtype: of the sums.
        offset: bytes before it in the file.
    """

    level: int
    shape: tuple[int, int, int, int]
    dtype: np.dtype[Any]
    offset: int

    @property
    def end(self) -> int:
        """Bytes of the file up to its end."""
        return self.offset + math.prod(self.shape) * self.dtype.itemsize


def pyramid_path(path: str | os.PathLike[str]) -> Path:
    """Return the path of the pyramid of a file."""
    return Path(f"{os.fspath(path)}.pyramid")


def level_layout(shape: tuple[int, int, int, int]) -> list[Level]:
    """Return the levels of images (N, H, W, C), in the order of the file."""
    levels: list[Level] = []
    end = _HEADER_BYTES
    for level in LEVELS:
        height, width = ((side + (1 << level) - 1) >> level for side in shape[1:3])
        start = -(-end // _ALIGNMENT) * _ALIGNMENT
        dtype = np.dtype("<u2" if level <= 4 else "<u4")
        levels.append(Level(level, (shape[0], height, width, shape[3]), dtype, start))
        end = levels[-1].end
    return levels


def open_pyramid(pixels: PixelFile) -> dict[int, np.ndarray]:
    """Map the pyramid of a file, if there is one.

    Returns:
        The levels: flat, read-only arrays of sums; empty if there is no pyramid.

    Raises:
        DataError: it was made from another state of the file, is damaged, or cannot be read.
    """
    path = pyramid_path(pixels.path)
    if not path.exists():
        return {}
    watched = WatchedFile(str(path))
    rebuild = f"build it again: glimpse-gym pyramid {pixels.path}"
    try:
        header = parse_json(watched.file.read(_HEADER_BYTES))
        described = header["format"], header["source"]
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise DataError(f"{path}: is not a pyramid, or is damaged; {rebuild}") from error
    if described[0] != _FORMAT:
        raise DataError(f"{path}: has format {described[0]!r:.50}, expected {_FORMAT}; {rebuild}")
    if described[1] != describe_source(pixels):
        raise DataError(f"{path}: was made from another file, or before {pixels.path} was last changed; {rebuild}")
    layout = level_layout(pixels.shape)
    if watched.size != layout[-1].end:
        raise DataError(f"{path}: has {watched.size:,} bytes, expected {layout[-1].end:,}; {rebuild}")
    return {level.level: map_values(watched, level.offset, math.prod(level.shape), level.dtype) for level in layout}


def describe_source(pixels: PixelFile) -> dict[str, Any]:
    """Describe the state of the file that a pyramid is made from: a dict of JSON values."""
    _, size, mtime_ns, _ = pixels.watched.state
    return {"size": size, "mtime_ns": mtime_ns, "shape": list(pixels.shape), "sample": sample_of(pixels)}


def sample_of(pixels: PixelFile) -> list[int]:
    """Return some pixels: files of one size that were written in the same tick of the clock seldom have the same."""
    count, height, width, _ = pixels.shape
    samples = []
    for i in range(16):
        image, top, left = (count * i // 16, height * (5 * i % 16) // 16, width * (11 * i % 16) // 16)
        samples.append(int(pixels.window(image, top, left, 1, 1)[0, 0, 0]))
    return samples


def build_pyramid(pixels: PixelFile, progress: bool = False) -> Path:
    """Build the pyramid of a file beside it; one that is there is replaced when the new one is complete.

    The file is read once, some rows at a time, and neither it nor the pyramid is held in memory.

    Args:
        pixels: the file.
        progress: show a progress bar.

    Returns:
        The path of the pyramid.

    Raises:
        DataError: the file is damaged, or changes meanwhile.
        OSError: the pyramid does not fit on the disk, or cannot be written; nothing is left of it.
    """
    from tqdm import tqdm  # only here, because images are opened far more often

    path, layout = pyramid_path(pixels.path), level_layout(pixels.shape)
    remove_temporary_files(path)
    check_free_space(path, layout[-1].end)
    header = json.dumps({"format": _FORMAT, "source": describe_source(pixels)}).encode()
    num_bands = pixels.shape[0] * -(-pixels.shape[1] // _BAND)
    with atomic_write(path) as temporary, temporary.open("rb+") as file:
        file.truncate(layout[-1].end)
        file.write(header.ljust(_HEADER_BYTES))
        bar = tqdm(_bands(pixels), f"pyramid of {Path(pixels.path).name}", num_bands, unit="band", disable=not progress)
        for image, top, band in bar:
            for level, sums in zip(layout, _sums_of_band(band, pixels.shape[2]), strict=True):
                _, height, width, channels = level.shape
                first = (image * height + (top >> level.level)) * width * channels
                file.seek(level.offset + first * level.dtype.itemsize)
                file.write(np.ascontiguousarray(sums, level.dtype).data)
        pixels.watched.check_unchanged()
    return path


def _bands(pixels: PixelFile) -> Iterator[tuple[int, int, np.ndarray]]:
    count, height, width, _ = pixels.shape
    for image in range(count):
        for top in range(0, height, _BAND):
            yield image, top, pixels.window(image, top, 0, min(_BAND, height - top), width)


def _sums_of_band(band: np.ndarray, width: int) -> Iterator[np.ndarray]:
    """Compute the rows of every level that a band of rows, (height, W, C), gives."""
    from glimpse_gym.kernels.pyramid_kernels import block_sums  # Numba is slow to import

    values, below = band, 0
    for level in LEVELS:
        height = (len(band) + (1 << level) - 1) >> level
        sums = np.empty((height, (width + (1 << level) - 1) >> level, band.shape[2]), np.uint32)
        block_sums(values, 1 << (level - below), sums)
        yield sums
        values, below = sums, level
