"""``sense``, ``compose`` and ``uniforms`` for NumPy arrays, compiled by Numba, single-threaded.

Numba caches the compiled code on disk and recompiles it when *this* file changes. After a change of ``first_pixel``,
``mix`` or the instructions, which are defined in other files but compiled here, change this file too (tests use an
empty cache).

B episodes, k scales, patches of g x g cells, images of H x W pixels with C channels.
"""

from __future__ import annotations

import numpy as np

from glimpse_gym.kernels.compilation import compiled, compiled_inline
from glimpse_gym.kernels.geometry import first_pixel
from glimpse_gym.kernels.instructions import sum_rows
from glimpse_gym.kernels.numpy_compose import compose
from glimpse_gym.kernels.splitmix import GOLDEN, mix

__all__ = ["compose", "sense", "uniforms"]

_MAX_SUMS = 4096  # computed at once, so that they stay in the fastest cache
# Multiplication is faster than division. 1/255 is the sum of _HIGH, which has so few bits that products with integers
# up to 255 * 4**4 are exact, and of _LOW. The sum of both products is rounded as the quotient is (all are tested).
_HIGH = np.float32(257 / 2**16)
_LOW = np.float32(1 / 255 - 257 / 2**16)
_MAX_MULTIPLIED_SCALE = 4

_first_pixel = compiled(first_pixel)
_mix = compiled(mix)


def sense(
    pixels: np.ndarray,
    offsets: np.ndarray,
    sizes: np.ndarray,
    channels: int,
    locations: np.ndarray,
    patch_size: int,
    num_scales: int,
) -> np.ndarray:
    """Compute the glimpse at one location of each of B images.

    Args:
        pixels: uint8 (total,). Image b is stored row-major, (H, W, C), starting at ``pixels[offsets[b]]``.
        offsets: int64 (B,), index of the first pixel of each image.
        sizes: int64 (B, 2), height and width of each image.
        channels: C.
        locations: float32 (B, 2), x and y in [-1, 1].
        patch_size: g.
        num_scales: k.

    Returns:
        float32 (B, k*C, g, g), a new array.
    """
    glimpses = np.empty((len(locations), num_scales * channels, patch_size, patch_size), np.float32)
    widest = patch_size * 2 ** (num_scales - 1) * channels  # of the rows of sums
    # 16 bits hold sums of up to 16 x 16 pixels, and additions of narrower integers are faster.
    dtype = np.uint16 if num_scales <= 5 else np.uint32
    num_sums = patch_size * widest
    if num_sums > _MAX_SUMS:
        num_sums = max(widest, _MAX_SUMS)
    sums = np.empty(num_sums if channels == 1 else 2 * num_sums, dtype)
    _sense(pixels, offsets, sizes, channels, locations, sums, glimpses)
    return glimpses


@compiled
def _sense(
    pixels: np.ndarray,
    offsets: np.ndarray,
    sizes: np.ndarray,
    channels: int,
    locations: np.ndarray,
    sums: np.ndarray,
    glimpses: np.ndarray,
) -> None:
    num_rows, depth, patch_size, _ = glimpses.shape
    num_scales, patch_values = depth // channels, channels * patch_size**2
    means = glimpses.reshape(-1)
    for b in range(num_rows):
        height, width = sizes[b]
        for s in range(num_scales):
            side = patch_size << s
            left = int(_first_pixel(np.float64(locations[b, 0]), width, side))
            top = int(_first_pixel(np.float64(locations[b, 1]), height, side))
            first = (b * num_scales + s) * patch_values
            _pool(pixels, offsets[b], height, width, channels, left, top, s, patch_size, sums, means, first)


@compiled_inline
def _pool(
    pixels: np.ndarray,
    offset: int,
    height: int,
    width: int,
    channels: int,
    left: int,
    top: int,
    scale: int,
    patch_size: int,
    sums: np.ndarray,
    means: np.ndarray,
    patch: int,
) -> None:
    """Average one patch over cells of 2**s x 2**s pixels and write its means, (C, g, g), to ``means[patch:]``."""
    side = patch_size << scale
    # Read only the part of the patch inside the image; pixels outside count as 0.
    x_start, x_stop = max(left, 0), min(left + side, width)
    count = max(x_stop - x_start, 0) * channels
    is_inside = left >= 0 and top >= 0 and left + side <= width and top + side <= height
    # All rows of cells at once, if there is room for their sums, because long loops are faster than many short ones.
    rows_at_once, size_of_row = patch_size, side * channels * (1 if channels == 1 else 2)
    if patch_size * size_of_row > len(sums):
        rows_at_once = len(sums) // size_of_row
    for first in range(0, patch_size, rows_at_once):
        last = min(first + rows_at_once, patch_size)
        num_sums = (last - first) * side * channels
        if not is_inside:
            sums[:num_sums] = 0
        # First sum over the rows of each cell.
        for i in range(first, last if count else first):
            y, y_stop = max(top + (i << scale), 0), min(top + ((i + 1) << scale), height)
            start = offset + (y * width + x_start) * channels
            to = ((i - first) * side + x_start - left) * channels
            if scale == 0 and y < y_stop:  # a constant number of rows is faster
                sum_rows(pixels, start, 0, 1, count, sums, to)
            elif y < y_stop:
                sum_rows(pixels, start, width * channels, y_stop - y, count, sums, to)
        to = patch + first * patch_size
        if channels == 1:
            _average_columns(sums, num_sums, scale, means[to : to + (last - first) * patch_size])
        else:
            _average_channels(sums, num_sums, scale, channels, means, to, patch_size, last - first)


@compiled_inline
def _average_columns(sums: np.ndarray, num_sums: int, scale: int, means: np.ndarray) -> None:
    """Add the sums of adjacent columns in pairs until one sum per cell remains, and divide, for C = 1."""
    for _ in range(scale):
        num_sums //= 2
        for p in range(num_sums):
            sums[p] = sums[2 * p] + sums[2 * p + 1]
    _divide(sums, 1, scale, means)


@compiled_inline
def _average_channels(
    sums: np.ndarray,
    num_sums: int,
    scale: int,
    channels: int,
    means: np.ndarray,
    to: int,
    patch_size: int,
    num_rows: int,
) -> None:
    """Add the sums of the columns of each cell and divide, like :func:`_average_columns`, for C > 1.

    The columns of a channel are not adjacent in memory. Vectors can add them only at every column, not at every cell.
    """
    count, source, target = num_sums, sums, sums[num_sums:]
    for step in range(scale):
        distance = channels << step
        count -= distance
        sum_rows(source, 0, distance, 2, count, target, 0)
        source, target = target, source
    for c in range(channels):
        first = to + c * patch_size**2
        _divide(source[c:], channels << scale, scale, means[first : first + num_rows * patch_size])


@compiled_inline
def _divide(sums: np.ndarray, step: int, scale: int, means: np.ndarray) -> None:
    """Write the float32 quotients of every ``step``-th sum and ``255 * 4**scale`` to ``means``."""
    area = np.float32(1 << (2 * scale))
    high, low = _HIGH / area, _LOW / area
    if scale > _MAX_MULTIPLIED_SCALE:
        for p in range(len(means)):
            means[p] = np.float32(sums[p * step]) / (np.float32(255) * area)
    else:
        for p in range(len(means)):
            total = np.float32(sums[p * step])
            means[p] = total * high + total * low


@compiled
def uniforms(keys: np.ndarray, episodes: np.ndarray, count: int) -> np.ndarray:
    """Generate the random numbers of one episode per row; see :mod:`glimpse_gym.rng`.

    Args:
        keys: int64 (R,), one per row.
        episodes: int64 (R,), number of earlier episodes of the row under its key.
        count: how many numbers to generate per row.

    Returns:
        float64 (R, count), uniform in [0, 1).
    """
    numbers = np.empty((keys.size, count))
    for r in range(keys.size):
        start = _mix(keys[r] + episodes[r] * GOLDEN)
        for j in range(count):
            numbers[r, j] = ((_mix(start + (j + 1) * GOLDEN) >> 11) & (2**53 - 1)) * 2.0**-53
    return numbers
