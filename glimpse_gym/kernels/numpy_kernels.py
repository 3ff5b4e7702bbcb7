"""``sense``, ``compose`` and ``uniforms`` for NumPy arrays, compiled by Numba, single-threaded.

Numba caches the compiled code on disk and recompiles it when *this* file changes. After a change of ``first_pixel`` or
``mix``, which are defined in other files but compiled here, change this file too (tests use an empty cache).

B episodes, k scales, patches of g x g cells, images of H x W pixels with C channels, n pieces of clutter.
"""

from __future__ import annotations

import numba
import numpy as np

from glimpse_gym.kernels.compilation import compiled
from glimpse_gym.kernels.geometry import first_pixel
from glimpse_gym.kernels.splitmix import GOLDEN, mix

_compiled_inline = numba.njit(inline="always", error_model="numpy")
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
    # 16 bits hold sums of up to 16 x 16 pixels, and additions of narrower integers are faster.
    sums = np.empty(patch_size * 2 ** (num_scales - 1) * channels, np.uint16 if num_scales <= 5 else np.uint32)
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
    num_scales = depth // channels
    for b in range(num_rows):
        height, width = sizes[b]
        for s in range(num_scales):
            cell = 2**s
            side = patch_size * cell
            left = int(_first_pixel(np.float64(locations[b, 0]), width, side))
            top = int(_first_pixel(np.float64(locations[b, 1]), height, side))
            patch = glimpses[b, s * channels : (s + 1) * channels]
            if channels == 1:  # a constant lets the compiler vectorize the loops
                _pool(pixels, offsets[b], height, width, 1, left, top, cell, sums, patch)
            else:
                _pool(pixels, offsets[b], height, width, channels, left, top, cell, sums, patch)


@_compiled_inline
def _pool(
    pixels: np.ndarray,
    offset: int,
    height: int,
    width: int,
    channels: int,
    left: int,
    top: int,
    cell: int,
    sums: np.ndarray,
    patch: np.ndarray,
) -> None:
    """Average one patch over cells of ``cell`` x ``cell`` pixels and write the means to ``patch``, (C, g, g)."""
    patch_size = patch.shape[1]
    side = patch_size * cell
    # Read only the part of the patch inside the image; pixels outside count as 0.
    x_start, x_stop = max(left, 0), min(left + side, width)
    count = (x_stop - x_start) * channels
    if count <= 0:
        patch[:] = 0.0
        return
    padding = (x_start - left) * channels
    stride = width * channels
    divisor = np.float32(255 * cell * cell)
    inside = sums[padding : padding + count]
    for i in range(patch_size):
        y, y_stop = max(top + i * cell, 0), min(top + (i + 1) * cell, height)
        if y >= y_stop:
            patch[:, i, :] = 0.0
            continue
        # First sum over the rows of the cell, four at a time: the inner loops run over adjacent bytes.
        for p in range(side * channels):
            sums[p] = 0
        start = offset + y * stride + x_start * channels
        while y + 4 <= y_stop:
            row_0 = pixels[start : start + count]
            row_1 = pixels[start + stride : start + stride + count]
            row_2 = pixels[start + 2 * stride : start + 2 * stride + count]
            row_3 = pixels[start + 3 * stride : start + 3 * stride + count]
            for p in range(count):
                inside[p] += np.uint16(row_0[p]) + np.uint16(row_1[p]) + np.uint16(row_2[p]) + np.uint16(row_3[p])
            y += 4
            start += 4 * stride
        while y < y_stop:
            row_0 = pixels[start : start + count]
            for p in range(count):
                inside[p] += row_0[p]
            y += 1
            start += stride
        # Then add adjacent columns in pairs until one sum per cell and channel remains.
        num_sums = side
        while num_sums > patch_size:
            num_sums //= 2
            if channels == 1:  # the same as below, in a form that the compiler vectorizes
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
def _warp(
    pixels: np.ndarray,
    offset: int,
    matrix: np.ndarray,
    frame: np.ndarray,
    first_row: int,
    last_row: int,
    first_column: int,
    last_column: int,
) -> None:
    """Warp an image with bilinear interpolation into ``frame``, (H, W, C), which has the size of the image.

    Only the rows and columns from the first up to, but not including, the last are written.
    """
    height, width, channels = frame.shape
    center_x, center_y = (width - 1) / 2, (height - 1) / 2
    for i in range(first_row, last_row):
        for j in range(first_column, last_column):
            x = matrix[0, 0] * (j - center_x) + matrix[0, 1] * (i - center_y) + matrix[0, 2] + center_x
            y = matrix[1, 0] * (j - center_x) + matrix[1, 1] * (i - center_y) + matrix[1, 2] + center_y
            left, top = int(np.floor(x)), int(np.floor(y))
            if left < -1 or left >= width or top < -1 or top >= height:
                continue  # the canvas is already zero
            right_weight, bottom_weight = x - left, y - top
            for c in range(channels):
                total = 0.0
                for dy in range(2):
                    for dx in range(2):
                        if 0 <= top + dy < height and 0 <= left + dx < width:
                            weight_y = bottom_weight if dy else 1 - bottom_weight
                            weight_x = right_weight if dx else 1 - right_weight
                            total += (
                                weight_y * weight_x * pixels[offset + ((top + dy) * width + left + dx) * channels + c]
                            )
                frame[i, j, c] = int(total + 0.5)


@compiled
def compose(
    pixels: np.ndarray,
    offsets: np.ndarray,
    sizes: np.ndarray,
    canvases: np.ndarray,
    rows: np.ndarray,
    image_index: np.ndarray,
    corners: np.ndarray,
    warps: np.ndarray,
    clutter_index: np.ndarray,
    clutter_sources: np.ndarray,
    clutter_corners: np.ndarray,
    clutter_size: int,
    windows: np.ndarray,
) -> None:
    """Compose a window of some canvases: clear it, place an image, and add pieces of other images, clipping at 255.

    Args:
        pixels: uint8 (total,), all images of the set, stored as in :func:`sense`.
        offsets: int64 (N,), index of the first pixel of each image of the set.
        sizes: int64 (N, 2), height and width of each image of the set.
        canvases: uint8 (B, canvas height, canvas width, C), modified in place.
        rows: int64 (R,), which of the B canvases to compose.
        image_index: int64 (R,), the image to place on each canvas.
        corners: int64 (R, 2), row and column of the image's top-left pixel on the canvas.
        warps: float64 (R, 2, 3), affine maps from a pixel's (x, y, 1), relative to the image center, to the point where
            the source image is sampled (bilinearly, 0 outside); or (0, 2, 3) to place the images unchanged.
        clutter_index: int64 (R, n), the image that each piece is cut from.
        clutter_sources: int64 (R, n, 2), row and column of each piece's top-left pixel in that image.
        clutter_corners: int64 (R, n, 2), row and column of each piece's top-left pixel on the canvas.
        clutter_size: side of a piece in pixels.
        windows: int64 (R, 4), first row, first column, last row and last column (exclusive) of each window.
    """
    channels = canvases.shape[3]
    for r in range(rows.size):
        canvas = canvases[rows[r]]
        top, left, bottom, right = windows[r]
        canvas[top:bottom, left:right] = 0
        i = image_index[r]
        height, width = sizes[i]
        y_start, y_stop = max(top - corners[r, 0], 0), min(bottom - corners[r, 0], height)
        x_start, x_stop = max(left - corners[r, 1], 0), min(right - corners[r, 1], width)
        if len(warps):
            frame = canvas[corners[r, 0] : corners[r, 0] + height, corners[r, 1] : corners[r, 1] + width]
            _warp(pixels, offsets[i], warps[r], frame, y_start, y_stop, x_start, x_stop)
        else:
            for y in range(y_start, y_stop):
                start = offsets[i] + y * width * channels
                for x in range(x_start, x_stop):
                    for c in range(channels):
                        canvas[corners[r, 0] + y, corners[r, 1] + x, c] = pixels[start + x * channels + c]
        for n in range(clutter_index.shape[1]):
            i = clutter_index[r, n]
            width = sizes[i, 1]
            y_start, y_stop = (
                max(top - clutter_corners[r, n, 0], 0),
                min(bottom - clutter_corners[r, n, 0], clutter_size),
            )
            x_start, x_stop = (
                max(left - clutter_corners[r, n, 1], 0),
                min(right - clutter_corners[r, n, 1], clutter_size),
            )
            for y in range(y_start, y_stop):
                start = offsets[i] + ((clutter_sources[r, n, 0] + y) * width + clutter_sources[r, n, 1]) * channels
                for x in range(x_start, x_stop):
                    for c in range(channels):
                        total = np.int64(canvas[clutter_corners[r, n, 0] + y, clutter_corners[r, n, 1] + x, c])
                        total += pixels[start + x * channels + c]
                        canvas[clutter_corners[r, n, 0] + y, clutter_corners[r, n, 1] + x, c] = min(total, 255)


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
