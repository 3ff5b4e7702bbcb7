"""``sense``, ``compose`` and ``uniforms`` for NumPy arrays, compiled by Numba for one thread.

The compiled code is kept on disk and made anew when *this* file changes. Whoever changes ``first_pixel`` or ``mix``,
which are compiled from here, must touch this file too (the tests compile everything afresh).

B episodes, k scales, patches of g x g cells, images of H x W pixels with C channels, n pieces of clutter.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np

from glimpse_gym.kernels.geometry import first_pixel
from glimpse_gym.kernels.splitmix import GOLDEN, mix


def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile at the first call and keep the result on disk, where there is a folder that can be written."""
    # NumPy's error model has no check for a zero divisor, which would keep loops from being vectorized.
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy"}
    try:
        return numba.njit(cache=True, **options)(function)
    except RuntimeError:  # Numba found no folder for its cache: compile anew in every process
        return numba.njit(**options)(function)


_compiled_inline = numba.njit(inline="always", error_model="numpy")
_first_pixel = _compiled(first_pixel)
_mix = _compiled(mix)


def sense(
    pixels: np.ndarray,
    offsets: np.ndarray,
    sizes: np.ndarray,
    channels: int,
    locations: np.ndarray,
    patch_size: int,
    num_scales: int,
) -> np.ndarray:
    """What a retina sees at one location of each of B images.

    Args:
        pixels: uint8 (total,). Image b lies row-major, (H, W, C), from ``pixels[offsets[b]]`` on.
        offsets: int64 (B,).
        sizes: int64 (B, 2), height and width of each image.
        channels: C.
        locations: float32 (B, 2), x and y in [-1, 1].
        patch_size: g.
        num_scales: k.

    Returns:
        float32 (B, k*C, g, g), a new array.
    """
    glimpses = np.empty((len(locations), num_scales * channels, patch_size, patch_size), np.float32)
    # The sum of a cell of 16 x 16 pixels is the largest that 16 bits hold, and narrow numbers add faster.
    sums = np.empty(patch_size * 2 ** (num_scales - 1) * channels, np.uint16 if num_scales <= 5 else np.uint32)
    _sense(pixels, offsets, sizes, channels, locations, sums, glimpses)
    return glimpses


@_compiled
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
            if channels == 1:  # a constant here makes loops that the compiler can vectorize
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
    """Cut one patch into cells of ``cell`` x ``cell`` pixels and write their means into ``patch``, (C, g, g)."""
    patch_size = patch.shape[1]
    side = patch_size * cell
    # Only the part of the patch that lies on the image is read; what lies outside counts as 0.
    x_start, x_stop = max(left, 0), min(left + side, width)
    count = (x_stop - x_start) * channels
    if count <= 0:
        patch[:] = 0.0
        return
    lead = (x_start - left) * channels
    stride = width * channels
    divisor = np.float32(255 * cell * cell)
    inside = sums[lead : lead + count]
    for i in range(patch_size):
        y, y_stop = max(top + i * cell, 0), min(top + (i + 1) * cell, height)
        if y >= y_stop:
            patch[:, i, :] = 0.0
            continue
        # Down the columns first, four rows at a time: loops over neighboring bytes.
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
        # Then along the row: neighbors in pairs, until one number is left of each cell and channel.
        num_sums = side
        while num_sums > patch_size:
            num_sums //= 2
            if channels == 1:  # as below, in a form that the compiler vectorizes
                for j in range(num_sums):
                    sums[j] = sums[2 * j] + sums[2 * j + 1]
            else:
                for j in range(num_sums):
                    for c in range(channels):
                        sums[j * channels + c] = sums[2 * j * channels + c] + sums[(2 * j + 1) * channels + c]
        for c in range(channels):
            for j in range(patch_size):
                patch[c, i, j] = np.float32(sums[j * channels + c]) / divisor


@_compiled
def _warp(pixels: np.ndarray, offset: int, warp: np.ndarray, frame: np.ndarray) -> None:
    """Look an image up, pixel by pixel, and write what is found into ``frame``, (H, W, C), of the image's size."""
    height, width, channels = frame.shape
    middle_x, middle_y = (width - 1) / 2, (height - 1) / 2
    for i in range(height):
        for j in range(width):
            x = warp[0, 0] * (j - middle_x) + warp[0, 1] * (i - middle_y) + warp[0, 2] + middle_x
            y = warp[1, 0] * (j - middle_x) + warp[1, 1] * (i - middle_y) + warp[1, 2] + middle_y
            left, top = int(np.floor(x)), int(np.floor(y))
            if left < -1 or left >= width or top < -1 or top >= height:
                continue  # the canvas is blank already
            right_share, bottom_share = x - left, y - top
            for c in range(channels):
                total = 0.0
                for dy in range(2):
                    for dx in range(2):
                        if 0 <= top + dy < height and 0 <= left + dx < width:
                            share_y = bottom_share if dy else 1 - bottom_share
                            share_x = right_share if dx else 1 - right_share
                            total += (
                                share_y * share_x * pixels[offset + ((top + dy) * width + left + dx) * channels + c]
                            )
                frame[i, j, c] = int(total + 0.5)


@_compiled
def compose(
    pixels: np.ndarray,
    offsets: np.ndarray,
    sizes: np.ndarray,
    canvases: np.ndarray,
    rows: np.ndarray,
    images: np.ndarray,
    corners: np.ndarray,
    warps: np.ndarray,
    clutter_images: np.ndarray,
    clutter_cuts: np.ndarray,
    clutter_corners: np.ndarray,
    clutter_size: int,
) -> None:
    """Clear canvases, place an image on each, and add pieces of other images, clipping at 255.

    Args:
        pixels: uint8 (total,), the images end to end, as in :func:`sense`.
        offsets: int64 (N,), of every image of the set.
        sizes: int64 (N, 2), height and width of every image of the set.
        canvases: uint8 (B, canvas height, canvas width, C), written.
        rows: int64 (R,), which of the B canvases to make.
        images: int64 (R,), which image goes on each.
        corners: int64 (R, 2), row and column of the image's top left pixel.
        warps: float64 (R, 2, 3), from a pixel's (x, y, 1), counted from the image's center, to where it is looked up,
            bilinearly, 0 outside the image; or (0, 2, 3), and every image is placed as it is.
        clutter_images: int64 (R, n), which image each piece is cut out of.
        clutter_cuts: int64 (R, n, 2), row and column in that image of the piece's top left pixel.
        clutter_corners: int64 (R, n, 2), row and column on the canvas of the piece's top left pixel.
        clutter_size: the side of a piece in pixels.
    """
    channels = canvases.shape[3]
    for r in range(rows.size):
        canvas = canvases[rows[r]]
        canvas[:] = 0
        i = images[r]
        height, width = sizes[i]
        if len(warps):
            frame = canvas[corners[r, 0] : corners[r, 0] + height, corners[r, 1] : corners[r, 1] + width]
            _warp(pixels, offsets[i], warps[r], frame)
        else:
            for y in range(height):
                start = offsets[i] + y * width * channels
                for x in range(width):
                    for c in range(channels):
                        canvas[corners[r, 0] + y, corners[r, 1] + x, c] = pixels[start + x * channels + c]
        for n in range(clutter_images.shape[1]):
            i = clutter_images[r, n]
            width = sizes[i, 1]
            for y in range(clutter_size):
                start = offsets[i] + ((clutter_cuts[r, n, 0] + y) * width + clutter_cuts[r, n, 1]) * channels
                for x in range(clutter_size):
                    for c in range(channels):
                        total = np.int64(canvas[clutter_corners[r, n, 0] + y, clutter_corners[r, n, 1] + x, c])
                        total += pixels[start + x * channels + c]
                        canvas[clutter_corners[r, n, 0] + y, clutter_corners[r, n, 1] + x, c] = min(total, 255)


@_compiled
def uniforms(keys: np.ndarray, episodes: np.ndarray, count: int) -> np.ndarray:
    """The random numbers of an episode, float64 (R, count), uniform in [0, 1); see :mod:`glimpse_gym.rng`.

    Args:
        keys: int64 (R,), one for each row.
        episodes: int64 (R,), how many episodes the row has had under its key.
        count: how many numbers each row gets.
    """
    numbers = np.empty((keys.size, count))
    for r in range(keys.size):
        start = _mix(keys[r] + episodes[r] * GOLDEN)
        for j in range(count):
            numbers[r, j] = ((_mix(start + (j + 1) * GOLDEN) >> 11) & (2**53 - 1)) * 2.0**-53
    return numbers
