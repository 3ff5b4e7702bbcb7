"""NumPy kernels, compared with slow versions at every length where another vector instruction is used."""

import numpy as np
import pytest

import oracles
from glimpse_gym.kernels import numpy_kernels
from glimpse_gym.kernels.instructions import sum_rows

GUARD = 77  # around what a kernel may change


def random_pixels(seed, *shape):
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


# ---------------------------------------------------------------- sums and quotients


@pytest.mark.parametrize("dtype", [np.uint16, np.uint32])
@pytest.mark.parametrize("num_rows", [1, 2, 7, 8])
def test_sum_rows_of_every_length(dtype, num_rows):
    pixels, stride = random_pixels(1, 2000), 113
    for count in range(110):
        start = len(pixels) - (num_rows - 1) * stride - count  # the last pixel is the last of the array
        sums = np.full(count + 40, GUARD, dtype)
        sum_rows(pixels, start, stride, num_rows, count, sums, 20)
        rows = [pixels[start + i * stride : start + i * stride + count] for i in range(num_rows)]
        assert sums[20 : 20 + count].tolist() == np.sum(rows, axis=0, dtype=int).tolist()
        assert (sums[:20] == GUARD).all()
        assert (sums[20 + count :] == GUARD).all()


def test_sum_rows_copies_one_row():
    pixels = random_pixels(2, 300)
    pixels.flags.writeable = False
    for count in range(110):
        copied = np.full(count + 2, GUARD, np.uint8)
        sum_rows(pixels, 300 - count, 0, 1, count, copied, 1)
        assert copied.tolist() == [GUARD, *pixels[300 - count :].tolist(), GUARD]


def test_sum_rows_of_large_sums():
    sums = np.zeros(50, np.uint16)
    sum_rows(np.full(50, 255, np.uint8), 0, 0, 257, 50, sums, 0)
    assert (sums == 65_535).all()


@pytest.mark.parametrize("step", [1, 3])
@pytest.mark.parametrize("scale", range(5))
def test_quotient_of_every_sum(scale, step):
    number = 255 * 4**scale + 1
    sums = np.full(number * step, GUARD, np.uint16)
    sums[::step] = np.arange(number)
    means = np.empty(number, np.float32)
    numpy_kernels._divide(sums, step, scale, means)
    oracles.assert_identical(means, np.arange(number).astype(np.float32) / np.float32(255 * 4**scale))


@pytest.mark.parametrize("scale", range(5, 12))
def test_quotients_of_large_sums(scale):
    largest = 255 * 4**scale
    sums = np.random.default_rng(scale).integers(0, largest, 100_000, np.uint32, endpoint=True)
    sums[:2] = 0, largest
    means = np.empty(len(sums), np.float32)
    numpy_kernels._divide(sums, 1, scale, means)
    oracles.assert_identical(means, sums.astype(np.float32) / np.float32(largest))


# ---------------------------------------------------------------- glimpses


def sense(images, locations, g, k):
    """Call the kernel with images between pixels of 255, which must not be read."""
    batch, height, width, channels = images.shape
    size = height * width * channels
    pixels = np.full(batch * (size + 50) + 50, 255, np.uint8)
    offsets = 50 + np.arange(batch) * (size + 50)
    for offset, image in zip(offsets, images, strict=True):
        pixels[offset : offset + size] = image.reshape(-1)
    sizes = np.full((batch, 2), (height, width))
    return numpy_kernels.sense(pixels, offsets, sizes, channels, locations, g, k)


def patch_of_padded_image(image, location, g, scale):
    """Compute one patch of an image, uint8 (H, W, C), with its surroundings as pixels: float32 (C, g, g)."""
    height, width, channels = image.shape
    cell = 2**scale
    side = g * cell
    x, y = (float(value) for value in location)
    left = int(np.floor((x + 1) * width / 2 - side / 2 + 0.5))
    top = int(np.floor((y + 1) * height / 2 - side / 2 + 0.5))
    padded = np.pad(image, ((side, side), (side, side), (0, 0)))
    patch = padded[top + side : top + 2 * side, left + side : left + 2 * side].astype(np.int64)
    sums = patch.reshape(g, cell, g, cell, channels).sum(axis=(1, 3))
    return np.moveaxis(sums, 2, 0).astype(np.float32) / np.float32(255 * 4**scale)


def assert_equals_padded(images, locations, g, k):
    glimpses = sense(images, locations, g, k)
    for image, location, glimpse in zip(images, locations, glimpses, strict=True):
        patches = [patch_of_padded_image(image, location, g, scale) for scale in range(k)]
        oracles.assert_identical(glimpse, np.concatenate(patches))


def some_locations(seed, number):
    locations = np.random.default_rng(seed).uniform(-1, 1, (number, 2)).astype(np.float32)
    locations[:5] = (-1, -1), (1, 1), (-1, 1), (1, -1), (0, 0)
    return locations


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
@pytest.mark.parametrize(("g", "k"), [(1, 1), (3, 2), (5, 3), (6, 3), (8, 1), (12, 3), (7, 4), (33, 1)])
def test_sense_at_every_overlap(g, k, channels):
    for height, width in ((41, 67), (9, 5), (1, 30)):
        images = random_pixels(g + width, 40, height, width, channels) | np.uint8(0x80)
        assert_equals_padded(images, some_locations(width, 40), g, k)


def test_padded_oracle_equals_the_slow_one():
    images, locations = random_pixels(3, 6, 11, 7, 2), some_locations(4, 6)
    oracles.assert_identical(sense(images, locations, 3, 3), oracles.sense(images, locations, 3, 3))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("g", "k"), [(12, 5), (40, 5), (12, 6), (12, 8), (3, 9)])
def test_patches_whose_sums_are_computed_in_several_parts(g, k, channels):
    images = random_pixels(k, 6, 150, 170, channels) | np.uint8(0xC0)
    assert_equals_padded(images, some_locations(5, 6), g, k)


def test_brightest_cells_do_not_overflow():
    for k in (5, 6):
        glimpses = sense(np.full((1, 600, 600, 1), 255, np.uint8), np.zeros((1, 2), np.float32), 16, k)
        assert (glimpses == 1.0).all()


# ---------------------------------------------------------------- canvases


def compose_slowly(images, canvas, image_index, corner, pieces, size, window):
    """Compose one canvas, uint8 (H, W, C), pixel by pixel, in place, from a list of images."""
    channels = canvas.shape[2]
    top, left, bottom, right = window
    whole = np.zeros_like(canvas)
    height, width = images[image_index].shape[:2]
    whole[corner[0] : corner[0] + height, corner[1] : corner[1] + width] = images[image_index]
    for i, source_row, source_column, row, column in pieces:
        for y in range(size):
            for x in range(size):
                for c in range(channels):
                    total = int(whole[row + y, column + x, c]) + int(images[i][source_row + y, source_column + x, c])
                    whole[row + y, column + x, c] = min(total, 255)
    canvas[top:bottom, left:right] = whole[top:bottom, left:right]


def random_layout(rng, images, canvas_shape, num_rows, num_clutter, size):
    """Draw the arguments ``image_index`` to ``pieces`` of the kernel, without warps."""
    shapes = np.array([image.shape[:2] for image in images])
    image_index = rng.integers(0, len(images), num_rows)
    corners = rng.integers(0, np.array(canvas_shape) - shapes[image_index] + 1)
    clutter_index = rng.integers(0, len(images), (num_rows, num_clutter))
    sources = rng.integers(0, shapes[clutter_index] - size + 1)
    clutter_corners = rng.integers(0, np.array(canvas_shape) - size + 1, (num_rows, num_clutter, 2))
    if num_clutter > 1:  # pieces in two corners of the canvas
        clutter_corners[:, 0] = 0
        clutter_corners[:, 1] = np.array(canvas_shape) - size
    pieces = np.concatenate([clutter_index[:, :, None], sources, clutter_corners], axis=2)
    return image_index, corners, np.empty((0, 2, 3)), pieces


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("size", "num_clutter"), [(1, 3), (3, 9), (4, 4), (8, 0), (8, 6), (9, 5), (17, 4)])
@pytest.mark.parametrize("whole", [True, False])
def test_compose_equals_loops(whole, size, num_clutter, channels):
    rng = np.random.default_rng(size)
    # Images of many widths, one of them larger than what is prefetched; bright ones, so that sums are clipped.
    shapes = [(17 + 3 * i, 17 + i) for i in range(12)] + [(60, 70)]
    images = [rng.integers(100, 256, (*shape, channels), np.uint8) for shape in shapes]
    flat = np.concatenate([image.reshape(-1) for image in images])
    flat.flags.writeable = False
    offsets = np.cumsum([0, *(image.size for image in images)])[:-1]
    height, width = 63, 75
    rows = np.array([4, 0, 5, 1, 2])
    layout = random_layout(rng, images, (height, width), len(rows), num_clutter, size)
    windows = np.tile([0, 0, height, width], (len(rows), 1))
    if not whole:
        windows = np.array([[5, 7, 40, 60], [0, 0, 63, 33], [10, 0, 11, 75], [62, 74, 63, 75], [20, 30, 20, 30]])
    canvases = random_pixels(6, 7, height, width, channels)
    expected = canvases.copy()
    numpy_kernels.compose(flat, offsets, np.array(shapes), canvases, rows, *layout, size, windows)
    for r, row in enumerate(rows):
        image_index, corners, _, pieces = (part[r] if len(part) else None for part in layout)
        compose_slowly(images, expected[row], image_index, corners, pieces, size, windows[r])
    assert (expected == 255).any() or num_clutter == 0
    oracles.assert_identical(canvases, expected)


def test_compose_one_canvas_without_other_rows():
    images = random_pixels(7, 2, 10, 10)
    canvases = np.full((1, 10, 10, 1), GUARD, np.uint8)
    zero, no_clutter = np.zeros(1, np.int64), np.zeros((1, 0, 5), np.int64)
    numpy_kernels.compose(
        *(images.reshape(-1), np.array([0, 100]), np.full((2, 2), 10), canvases, zero, zero + 1),
        *(np.zeros((1, 2), np.int64), np.empty((0, 2, 3)), no_clutter, 8, np.array([[0, 0, 10, 10]])),
    )
    oracles.assert_identical(canvases[0, :, :, 0], images[1])
