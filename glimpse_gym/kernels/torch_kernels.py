"""``sense``, ``compose`` and ``uniforms`` for torch tensors on any device with 64-bit numbers.

The results have the same bits as those of :mod:`glimpse_gym.kernels.numpy_kernels`, whose docstrings describe the
arguments. No function waits for the device (``compose`` does once per image set), and all shapes are known on the host.

B episodes, k scales, patches of g x g cells, images of H x W pixels with C channels.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary

from glimpse_gym.kernels.geometry import first_pixel
from glimpse_gym.kernels.splitmix import GOLDEN, mix

MARGIN = 4096
"""Zeros before and after the pixels of :func:`with_margin`, so that :func:`sense` need not copy them."""
WORKSPACE_BYTES = 600_000_000
"""Upper bound of the memory for intermediate results of a kernel, beside its arguments and results."""
BYTES_PER_PIXEL = 13
"""Memory for a pixel of a patch while it is sensed: the pixel and, if cells are as small as pixels, three sums."""
# Rows are processed in chunks whose intermediate results take about so many bytes, if each pixel takes this many more.
_MAX_CHUNK_BYTES = 2**28
_BYTES_PER_INDEX, _BYTES_PER_WARP = 48, 120
_largest_sizes = WeakIdKeyDictionary()


def with_margin(num_pixels: int, device: torch.device) -> Tensor:
    """Allocate uint8 zeros (num_pixels,) inside a larger array of zeros."""
    return torch.zeros(num_pixels + 2 * MARGIN, dtype=torch.uint8, device=device)[MARGIN : MARGIN + num_pixels]


def sense(
    pixels: Tensor,
    offsets: Tensor,
    sizes: Tensor,
    channels: int,
    locations: Tensor,
    patch_size: int,
    num_scales: int,
) -> Tensor:
    """Compute the glimpse at one location of each of B images: float32 (B, k*C, g, g), a new tensor."""
    x, y = locations.to(torch.float64).unbind(1)
    height, width = sizes.unbind(1)
    sums = locations.new_empty((len(locations), num_scales, channels, patch_size, patch_size), dtype=torch.int32)
    for s in range(num_scales):
        cell = 2**s
        side = patch_size * cell
        left = first_pixel(x, width, side).to(torch.int64)
        top = first_pixel(y, height, side).to(torch.int64)
        bytes_per_row = side * (side + patch_size * (BYTES_PER_PIXEL - 1)) * channels
        for chunk in _chunks(len(locations), bytes_per_row):
            images = offsets[chunk], height[chunk], width[chunk], channels
            sums[chunk, s] = _sum_cells(pixels, *images, left[chunk], top[chunk], patch_size, cell)
    # Rounding a float64 quotient of float32 numbers gives the float32 quotient, even if the device computes it with an
    # error in the last bits, as CUDA does with a float32 quotient.
    divisors = 255 << 2 * torch.arange(num_scales, device=pixels.device)
    means = sums.to(torch.float32).to(torch.float64) / divisors.to(torch.float64)[:, None, None, None]
    return means.to(torch.float32).flatten(1, 2)


def _chunks(num_rows: int, bytes_per_row: int) -> list[slice]:
    """Divide rows into slices of at most _MAX_CHUNK_BYTES, and at least one row."""
    if torch.compiler.is_compiling():  # compiled code has no such intermediate results
        return [slice(0, num_rows)]
    step = max(_MAX_CHUNK_BYTES // max(bytes_per_row, 1), 1)
    return [slice(start, start + step) for start in range(0, num_rows, step)]


def _sum_cells(
    pixels: Tensor,
    offsets: Tensor,
    height: Tensor,
    width: Tensor,
    channels: int,
    left: Tensor,
    top: Tensor,
    patch_size: int,
    cell: int,
) -> Tensor:
    """Sum the pixels of each cell of one patch of B images: int32 (B, C, g, g). Pixels outside count as 0."""
    side = patch_size * cell
    y, x = _steps(top[:, None], side), _steps(left[:, None], side)
    first = offsets[:, None] + (y * width[:, None] + left[:, None]) * channels
    rows = _read_runs(pixels, first, (y >= 0) & (y < height[:, None]), side * channels)
    columns = rows.unflatten(1, (patch_size, cell)).sum(2, dtype=torch.int32).unflatten(2, (side, channels))
    inside = (x >= 0) & (x < width[:, None])
    cells = (columns * inside[:, None, :, None]).unflatten(2, (patch_size, cell)).sum(3, dtype=torch.int32)
    return cells.movedim(3, 1)


def _read_runs(pixels: Tensor, first: Tensor, inside: Tensor, count: int) -> Tensor:
    """Read ``count`` adjacent bytes from each index in ``first``, (R, I): uint8 (R, I, count), 0 if not ``inside``.

    Runs may begin before the first pixel or end after the last; what they have there is undefined.
    """
    if torch.compiler.is_compiling():  # the compiler reads where it needs a pixel, and stores no indices
        index = first[..., None] + torch.arange(count, device=pixels.device)
        return pixels[index.clamp(0, len(pixels) - 1)] * inside[..., None]
    # Every run as a row of a view, so that one index copies all its bytes.
    buffer, start = _padded(pixels, count)
    runs = buffer.as_strided((len(buffer) - count + 1, count), (1, 1))
    return runs[torch.where(inside, first + start, 0)]  # run 0 is in the margin


def _padded(pixels: Tensor, margin: int) -> tuple[Tensor, int]:
    """Return an array with the pixels between margins of at least this size, the first all 0, and their first index."""
    num_pixels, start = len(pixels), pixels.storage_offset()
    if margin <= MARGIN <= start and start + num_pixels + MARGIN <= pixels.untyped_storage().nbytes():
        return pixels.as_strided((num_pixels + 2 * MARGIN,), (1,), start - MARGIN), MARGIN
    return torch.nn.functional.pad(pixels, (margin, margin)), margin


def compose(
    pixels: Tensor,
    offsets: Tensor,
    sizes: Tensor,
    canvases: Tensor,
    rows: Tensor,
    image_index: Tensor,
    corners: Tensor,
    warps: Tensor,
    pieces: Tensor,
    clutter_size: int,
    windows: None,
) -> None:
    """Compose some canvases: clear them, place an image, and add pieces of other images, clipping at 255.

    There are no windows: the whole canvases are composed.
    """
    assert windows is None
    canvases.index_fill_(0, rows, 0)
    starts = rows * canvases[0].numel()
    images = pixels, offsets, sizes
    _place_images(canvases, starts, images, image_index, corners, warps)
    _add_clutter(canvases, starts, images, pieces, clutter_size)


def _place_images(
    canvases: Tensor,
    starts: Tensor,
    images: tuple[Tensor, Tensor, Tensor],
    image_index: Tensor,
    corners: Tensor,
    warps: Tensor,
) -> None:
    """Place an image on each of R canvases, which begin at ``starts`` in the flat array of all pixels."""
    pixels, offsets, sizes = images
    canvas_height, canvas_width, channels = canvases.shape[1:]
    flat = canvases.view(-1)
    height, width = _largest_size(sizes)
    bytes_per_pixel = _BYTES_PER_WARP if len(warps) else _BYTES_PER_INDEX
    for chunk in _chunks(len(starts), height * width * channels * bytes_per_pixel):
        # A window inside the canvas that contains the image, which may be smaller.
        row, column = corners[chunk].unbind(1)
        top, left = row.clamp(max=canvas_height - height), column.clamp(max=canvas_width - width)
        i, j = _steps((top - row)[:, None], height), _steps((left - column)[:, None], width)
        source = pixels, offsets[image_index[chunk]], sizes[image_index[chunk]], channels
        values = _warp(*source, i, j, warps[chunk]) if len(warps) else _read(*source, i, j)
        target = _indices(_steps(top[:, None], height), _steps(left[:, None], width), canvas_width, channels)
        flat[starts[chunk, None, None, None] + target] = values


def _add_clutter(
    canvases: Tensor,
    starts: Tensor,
    images: tuple[Tensor, Tensor, Tensor],
    pieces: Tensor,
    side: int,
) -> None:
    """Add n pieces of clutter, int64 (R, n, 5), of ``side`` pixels to each of R canvases; see :func:`compose`."""
    pixels, offsets, sizes = images
    index, sources, corners = pieces[:, :, 0], pieces[:, :, 1:3], pieces[:, :, 3:5]
    canvas_width, channels = canvases.shape[2:]
    flat = canvases.view(-1)
    bytes_per_piece = side**2 * channels * _BYTES_PER_INDEX
    for group in _chunks(index.shape[1], bytes_per_piece):
        for chunk in _chunks(len(starts), index[:1, group].numel() * bytes_per_piece):
            image = index[chunk, group]
            source = _squares(sources[chunk, group], side, sizes[image, 1, None, None], channels)
            target = _squares(corners[chunk, group], side, canvas_width, channels)
            values = pixels[source + offsets[image, None, None, None]]
            _add(flat, target + starts[chunk, None, None, None, None], values)


def _add(flat: Tensor, index: Tensor, pieces: Tensor) -> None:
    """Add pieces to pixels, clipping at 255. Both are (R, n, ...): one by one along n, because pieces overlap."""
    for i, piece in zip(index.unbind(1), pieces.unbind(1), strict=True):
        before = flat[i]
        flat[i] = before + torch.minimum(piece, 255 - before)


def _squares(corners: Tensor, side: int, width: Tensor | int, channels: int) -> Tensor:
    """Return the indices of the pixels of squares in flat images: int64 (..., side, side, C) for corners (..., 2)."""
    return _indices(_steps(corners[..., 0, None], side), _steps(corners[..., 1, None], side), width, channels)


def _largest_size(sizes: Tensor) -> tuple[int, int]:
    """Return the largest height and the largest width of an image set. Reads them from the device only once."""
    if sizes not in _largest_sizes:
        _largest_sizes[sizes] = tuple(sizes.amax(0).tolist())
    return _largest_sizes[sizes]


def _steps(first: Tensor, count: int) -> Tensor:
    """Count upward from ``first``, int64 (..., 1): int64 (..., count)."""
    return first + torch.arange(count, device=first.device)


def _indices(row: Tensor, column: Tensor, width: Tensor | int, channels: int) -> Tensor:
    """Return the indices of pixels in a flat image: int64 (..., I, J, C) for rows (..., I) and columns (..., J)."""
    pixel = row[..., :, None] * width + column[..., None, :]
    return (pixel * channels)[..., None] + torch.arange(channels, device=row.device)


def _read(pixels: Tensor, offsets: Tensor, sizes: Tensor, channels: int, row: Tensor, column: Tensor) -> Tensor:
    """Read pixels of R images, uint8 (R, I, J, C), at rows (R, I) and columns (R, J). Pixels outside are 0."""
    return _read_points(pixels, offsets, sizes, channels, row[:, :, None], column[:, None, :])


def _read_points(pixels: Tensor, offsets: Tensor, sizes: Tensor, channels: int, row: Tensor, column: Tensor) -> Tensor:
    """Read pixels of R images, uint8 (R, I, J, C), at points whose rows and columns broadcast to (R, I, J)."""
    height, width = sizes[:, 0, None, None], sizes[:, 1, None, None]
    inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    index = offsets[:, None, None] + (row * width + column) * channels
    index = torch.where(inside, index, 0)[..., None] + torch.arange(channels, device=row.device)
    return pixels[index] * inside[..., None]


def _warp(
    pixels: Tensor, offsets: Tensor, sizes: Tensor, channels: int, row: Tensor, column: Tensor, matrix: Tensor
) -> Tensor:
    """Warp R images with bilinear interpolation: uint8 (R, I, J, C), values at rows (R, I) and columns (R, J).

    Pixels outside the frame of the image are 0. The order of the operations is that of the NumPy kernel.
    """
    (xx, xy, x1), (yx, yy, y1) = ((value[:, None, None] for value in line.unbind(1)) for line in matrix.unbind(1))
    height, width = sizes[:, 0, None, None], sizes[:, 1, None, None]
    row, column = row[:, :, None], column[:, None, :]
    center_x, center_y = (width.to(torch.float64) - 1) / 2, (height.to(torch.float64) - 1) / 2
    dx, dy = column - center_x, row - center_y
    x = xx * dx + xy * dy + x1 + center_x
    y = yx * dx + yy * dy + y1 + center_y
    left, top = x.floor(), y.floor()
    right_weight, bottom_weight = x - left, y - top
    left, top = left.to(torch.int64), top.to(torch.int64)
    total = torch.zeros((), dtype=torch.float64, device=pixels.device)
    for i, weight_y in ((0, 1 - bottom_weight), (1, bottom_weight)):
        for j, weight_x in ((0, 1 - right_weight), (1, right_weight)):
            values = _read_points(pixels, offsets, sizes, channels, top + i, left + j)
            total = total + (weight_y * weight_x)[..., None] * values
    in_frame = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    return (total + 0.5).to(torch.uint8) * in_frame[..., None]


def uniforms(keys: Tensor, episodes: Tensor, count: int) -> Tensor:
    """Generate the random numbers of one episode per row: float64 (R, count), uniform in [0, 1)."""
    start = mix(keys + episodes * GOLDEN)
    position = torch.arange(1, count + 1, device=keys.device)
    bits = (mix(start[:, None] + position * GOLDEN) >> 11) & (2**53 - 1)
    return bits.to(torch.float64) * 2.0**-53
