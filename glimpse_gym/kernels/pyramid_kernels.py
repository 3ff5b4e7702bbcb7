"""Glimpses from files of images and from their pyramids, and the sums that pyramids consist of; NumPy arrays, by Numba.

A level l of a pyramid holds the sums of blocks of 2**l x 2**l pixels. Level 0 is the image itself.
B glimpses, k scales, patches of g x g cells, images of H x W pixels with C channels.
"""

from __future__ import annotations

import numpy as np

from glimpse_gym.kernels.compilation import compiled, compiled_inline
from glimpse_gym.kernels.geometry import first_pixel

_first_pixel = compiled(first_pixel)


@compiled
def sense_level(
    values: np.ndarray,
    offsets: np.ndarray,
    strides: np.ndarray,
    sizes: np.ndarray,
    channels: int,
    locations: np.ndarray,
    level: int,
    first_scale: int,
    last_scale: int,
    sums: np.ndarray,
    glimpses: np.ndarray,
) -> None:
    """Compute some scales of B glimpses from one level of a pyramid.

    A patch whose corner is not a multiple of 2**level pixels is moved to the nearest one, by at most half of that.

    Args:
        values: uint8, uint16 or uint32 (total,), the level of all images, row-major, (height, width, C).
        offsets: int64 (B,), index in ``values`` of the first pixel of each image; it may be outside if the image is a
            part of a larger one of which only the part that the glimpse touches is stored.
        strides: int64 (B,) or (1,), distance in ``values`` between rows of each image, or of all.
        sizes: int64 (B, 2) or more rows, height and width of each image in pixels of level 0.
        channels: C.
        locations: float32 (B, 2), x and y in [-1, 1].
        level: l.
        first_scale: the first scale to compute, at least l.
        last_scale: the scale after the last one to compute.
        sums: (g * 2**(last_scale - 1 - level) * C,), a buffer of a dtype in which the sum over a cell fits.
        glimpses: float32 (B, k*C, g, g), of which the channels of these scales are written.
    """
    patch_size = glimpses.shape[2]
    half = (1 << level) >> 1
    for b in range(len(locations)):
        height = (sizes[b, 0] + (1 << level) - 1) >> level
        width = (sizes[b, 1] + (1 << level) - 1) >> level
        for s in range(first_scale, last_scale):
            side = patch_size << s
            left = (int(_first_pixel(np.float64(locations[b, 0]), sizes[b, 1], side)) + half) >> level
            top = (int(_first_pixel(np.float64(locations[b, 1]), sizes[b, 0], side)) + half) >> level
            patch = glimpses[b, s * channels : (s + 1) * channels]
            divisor = np.float32(255 << (2 * s))
            cell = 1 << (s - level)
            stride = strides[b % len(strides)]
            if channels == 1:  # a constant lets the compiler vectorize the loops
                _pool(values, offsets[b], stride, height, width, 1, left, top, cell, divisor, sums, patch)
            else:
                _pool(values, offsets[b], stride, height, width, channels, left, top, cell, divisor, sums, patch)


@compiled_inline
def _pool(
    values: np.ndarray,
    offset: int,
    stride: int,
    height: int,
    width: int,
    channels: int,
    left: int,
    top: int,
    cell: int,
    divisor: np.float32,
    sums: np.ndarray,
    patch: np.ndarray,
) -> None:
    """Sum one patch over cells of ``cell`` x ``cell`` values, divide, and write the means to ``patch``, (C, g, g)."""
    patch_size = patch.shape[1]
    side = patch_size * cell
    x_start, x_stop = max(left, 0), min(left + side, width)
    count = (x_stop - x_start) * channels
    if count <= 0:
        patch[:] = 0.0
        return
    padding = (x_start - left) * channels
    widen = sums.dtype.type
    inside = sums[padding : padding + count]
    for i in range(patch_size):
        y, y_stop = max(top + i * cell, 0), min(top + (i + 1) * cell, height)
        if y >= y_stop:
            patch[:, i, :] = 0.0
            continue
        # First sum over the rows of the cell, four at a time: the inner loops run over adjacent values.
        for p in range(side * channels):
            sums[p] = 0
        start = offset + y * stride + x_start * channels
        while y + 4 <= y_stop:
            row_0 = values[start : start + count]
            row_1 = values[start + stride : start + stride + count]
            row_2 = values[start + 2 * stride : start + 2 * stride + count]
            row_3 = values[start + 3 * stride : start + 3 * stride + count]
            for p in range(count):
                inside[p] += widen(row_0[p]) + widen(row_1[p]) + widen(row_2[p]) + widen(row_3[p])
            y += 4
            start += 4 * stride
        while y < y_stop:
            row_0 = values[start : start + count]
            for p in range(count):
                inside[p] += widen(row_0[p])
            y += 1
            start += stride
        # Then add adjacent columns in pairs until one sum per cell and channel remains.
        num_sums = side
        while num_sums > patch_size:
            num_sums //= 2
            if channels == 1:
                for j in range(num_sums):
                    sums[j] = sums[2 * j] + sums[2 * j + 1]
            else:
                for j in range(num_sums):
                    for c in range(channels):
                        sums[j * channels + c] = sums[2 * j * channels + c] + sums[(2 * j + 1) * channels + c]
        for c in range(channels):
            for j in range(patch_size):
                patch[c, i, j] = np.float32(sums[j * channels + c]) / divisor


@compiled
def block_sums(values: np.ndarray, factor: int, sums: np.ndarray) -> None:
    """Sum blocks of ``factor`` x ``factor`` values; what is missing in the last blocks counts as 0.

    Args:
        values: unsigned integers (height, width, C).
        factor: side of a block.
        sums: (ceil(height / factor), ceil(width / factor), C), of a dtype in which the sums fit; overwritten.
    """
    height, width, channels = values.shape
    rows = np.empty((width, channels), np.uint32)
    for i in range(sums.shape[0]):
        rows[:] = 0
        for y in range(i * factor, min((i + 1) * factor, height)):
            for x in range(width):
                for c in range(channels):
                    rows[x, c] += np.uint32(values[y, x, c])
        for j in range(sums.shape[1]):
            for c in range(channels):
                total = np.uint32(0)
                for x in range(j * factor, min((j + 1) * factor, width)):
                    total += rows[x, c]
                sums[i, j, c] = total
