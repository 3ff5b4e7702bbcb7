"""``compose`` for NumPy arrays, compiled by Numba, single-threaded; part of :mod:`glimpse_gym.kernels.numpy_kernels`.

Numba recompiles it when *this* file changes: after a change of the instructions, change this file too.

B canvases, images of H x W pixels with C channels, n pieces of clutter.
"""

from __future__ import annotations

import numpy as np

from glimpse_gym.kernels.compilation import compiled, compiled_inline
from glimpse_gym.kernels.instructions import prefetch, sum_rows

_CACHE_LINE, _MAX_PREFETCHED = 64, 4096  # bytes; the end of a larger image follows fast enough


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
    pieces: np.ndarray,
    clutter_size: int,
    windows: np.ndarray,
) -> None:
    """Compose a window of some canvases: clear it, place an image, and add pieces of other images, clipping at 255.

    Args:
        pixels: uint8 (total,), all images of the set, stored as in ``sense``.
        offsets: int64 (N,), index of the first pixel of each image of the set.
        sizes: int64 (N, 2), height and width of each image of the set.
        canvases: uint8 (B, canvas height, canvas width, C), modified in place.
        rows: int64 (R,), which of the B canvases to compose.
        image_index: int64 (R,), the image to place on each canvas.
        corners: int64 (R, 2), row and column of the image's top-left pixel on the canvas.
        warps: float64 (R, 2, 3), affine maps from a pixel's (x, y, 1), relative to the image center, to the point where
            the source image is sampled (bilinearly, 0 outside); or (0, 2, 3) to place the images unchanged.
        pieces: int64 (R, n, 5), the image that each piece is cut from, the row and the column of its top-left pixel in
            that image, and those on the canvas.
        clutter_size: side of a piece in pixels.
        windows: int64 (R, 4), first row, first column, last row and last column (exclusive) of each window.
    """
    _, canvas_height, canvas_width, channels = canvases.shape
    flat, stride = canvases.reshape(-1), canvas_width * channels
    for r in range(rows.size):
        if r + 1 < rows.size:
            _prefetch(pixels, offsets, sizes, channels, image_index[r + 1], pieces[r + 1], clutter_size)
        top, left, bottom, right = windows[r]
        start = rows[r] * canvas_height * stride
        _clear(flat, start + top * stride, bottom - top, stride, left * channels, right * channels)
        i = image_index[r]
        height, width = sizes[i]
        row, column = corners[r]
        y_start, y_stop = _overlap(top, bottom, row, height)
        x_start, x_stop = _overlap(left, right, column, width)
        if len(warps):
            frame = canvases[rows[r], row : row + height, column : column + width]
            _warp(pixels, offsets[i], warps[r], frame, y_start, y_stop, x_start, x_stop)
        elif x_start < x_stop:
            for y in range(y_start, y_stop):
                source = offsets[i] + (y * width + x_start) * channels
                target = start + (row + y) * stride + (column + x_start) * channels
                sum_rows(pixels, source, 0, 1, (x_stop - x_start) * channels, flat, target)  # copies one row
        for n in range(pieces.shape[1]):
            i, source_row, source_column, row, column = pieces[r, n]
            width = sizes[i, 1]
            y_start, y_stop = _overlap(top, bottom, row, clutter_size)
            x_start, x_stop = _overlap(left, right, column, clutter_size)
            if x_start < x_stop:
                for y in range(y_start, y_stop):
                    source = (source_row + y) * width + source_column + x_start
                    target = start + (row + y) * stride + (column + x_start) * channels
                    _add(pixels, offsets[i] + source * channels, (x_stop - x_start) * channels, flat, target)


@compiled_inline
def _prefetch(
    pixels: np.ndarray,
    offsets: np.ndarray,
    sizes: np.ndarray,
    channels: int,
    image: int,
    pieces: np.ndarray,
    clutter_size: int,
) -> None:
    """Start to load an image and pieces of others, which are rarely in the cache, while another canvas is composed."""
    num_bytes = sizes[image, 0] * sizes[image, 1] * channels
    for p in range(0, min(num_bytes, _MAX_PREFETCHED), _CACHE_LINE):
        prefetch(pixels, offsets[image] + p)
    for n in range(len(pieces)):
        i, row, column = pieces[n, :3]
        for y in range(clutter_size):
            source = (row + y) * sizes[i, 1] + column
            prefetch(pixels, offsets[i] + source * channels)


@compiled_inline
def _overlap(first: int, last: int, corner: int, extent: int) -> tuple[int, int]:
    """Return which rows or columns of an image at a corner are in a window from ``first`` to ``last`` (exclusive)."""
    return max(first - corner, 0), min(last - corner, extent)


@compiled_inline
def _clear(canvas: np.ndarray, start: int, num_rows: int, stride: int, first: int, last: int) -> None:
    """Set the values from ``first`` to ``last`` (exclusive) of each of some rows to 0."""
    if last - first == stride:
        canvas[start : start + num_rows * stride] = 0
    else:
        for y in range(num_rows):
            canvas[start + y * stride + first : start + y * stride + last] = 0


@compiled_inline
def _add(pixels: np.ndarray, start: int, count: int, canvas: np.ndarray, to: int) -> None:
    """Add adjacent pixels to the canvas, clipping at 255."""
    source, target = pixels[start : start + count], canvas[to : to + count]
    for p in range(count):
        target[p] = min(np.uint16(target[p]) + np.uint16(source[p]), np.uint16(255))
