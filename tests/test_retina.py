"""Retina, compared bit for bit with a slow oracle. B images of H x W pixels, patch size g, k scales, C channels."""

import math
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import glimpse_gym
import oracles
from glimpse_gym import Retina


class Backend(NamedTuple):
    name: str
    from_numpy: Callable[[np.ndarray], Any]
    to_numpy: Callable[[Any], np.ndarray]


# All comparisons with the oracle run with each of these.
BACKENDS = [Backend("numpy", np.asarray, np.asarray)]
every_backend = pytest.mark.parametrize("backend", BACKENDS, ids=lambda backend: backend.name)
thorough = settings(derandomize=True, deadline=None, max_examples=250, database=None)


def assert_equals_oracle(backend, images, locations, g, k):
    glimpses = Retina(patch_size=g, num_scales=k).sense(backend.from_numpy(images), backend.from_numpy(locations))
    oracles.assert_identical(backend.to_numpy(glimpses), oracles.sense(images, locations, g, k))


def random_images(seed, shape):
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


@st.composite
def retina_inputs(draw):
    """Arbitrary images, locations, g and k, small enough for the oracle."""
    k = draw(st.integers(1, 5))
    g = draw(st.integers(1, {1: 9, 2: 7, 3: 5, 4: 4, 5: 3}[k]))
    shape = draw(st.tuples(st.integers(0, 3), st.integers(1, 40), st.integers(1, 40)))
    if draw(st.booleans()):
        shape += (draw(st.integers(1, 4)),)
    images = random_images(draw(st.integers(0, 10**6)), shape)
    if draw(st.booleans()):
        images |= np.uint8(draw(st.sampled_from([0xF0, 0xFF])))  # large sums
    dtype = draw(st.sampled_from([np.float32, np.float64, np.float16]))
    height, width = shape[1:3]
    # Coordinates where rounding matters: edges and centers of pixels, and the corners of the image.
    edges = st.one_of(
        st.integers(0, 2 * width).map(lambda i: i / width - 1),
        st.integers(0, 2 * height).map(lambda i: i / height - 1),
        st.sampled_from([-1.0, -0.0, 0.0, 1.0, 1e-30, -1e-30, 7.5, -300.0]),
    )
    coordinates = st.one_of(edges, st.floats(-1, 1), st.floats(-3, 3))
    locations = draw(st.lists(st.tuples(coordinates, coordinates), min_size=shape[0], max_size=shape[0]))
    return images, np.array(locations, dtype).reshape(-1, 2), g, k


@every_backend
@given(inputs=retina_inputs())
@example(inputs=(np.full((1, 1, 1), 255, np.uint8), np.zeros((1, 2), np.float32), 1, 1))
@thorough
def test_equals_oracle(backend, inputs):
    assert_equals_oracle(backend, *inputs)


@every_backend
@pytest.mark.parametrize("g", [1, 2, 3, 4])
@pytest.mark.parametrize("width", [1, 2, 3, 5, 8, 28, 60])
def test_rounding_at_pixel_edges_and_centers(backend, width, g):
    exact = (np.arange(2 * width + 1) / width - 1).astype(np.float32)
    x = np.concatenate([np.nextafter(exact, np.float32(-2)), exact, np.nextafter(exact, np.float32(2))])
    locations = np.stack([x, x[::-1]], axis=1)
    images = np.broadcast_to(random_images(width, (1, width, width)), (len(x), width, width))
    assert_equals_oracle(backend, images, locations, g, 1)


@every_backend
@pytest.mark.parametrize(
    ("shape", "g", "k"),
    [
        ((2, 1, 1), 4, 3),
        ((2, 5, 7), 12, 4),
        ((1, 300, 310), 3, 6),
        ((1, 300, 310), 2, 8),
        ((1, 260, 40, 3), 2, 7),
    ],
)
@pytest.mark.parametrize("value", [255, 254, None])
def test_large_patches_and_large_sums(backend, shape, g, k, value):
    images = random_images(3, shape) if value is None else np.full(shape, value, np.uint8)
    locations = np.random.default_rng(4).uniform(-1, 1, (shape[0], 2)).astype(np.float32)
    assert_equals_oracle(backend, images, locations, g, k)
    assert_equals_oracle(backend, images, np.zeros((shape[0], 2), np.float32), g, k)


@every_backend
def test_largest_num_scales_has_exact_sums(backend):
    # A cell of 2048 x 2048 pixels, all 255 except one.
    image = np.full((1, 2048, 2048), 255, np.uint8)
    image[0, 5, 5] = 0
    glimpses = Retina(1, 12).sense(backend.from_numpy(image), backend.from_numpy(np.zeros((1, 2), np.float32)))
    total = 255 * (2048 * 2048 - 1)
    assert backend.to_numpy(glimpses)[0, 11, 0, 0] == np.float32(total) / np.float32(255 * 4**11)
    assert (backend.to_numpy(glimpses)[0, :11] == 1.0).all()


@every_backend
@pytest.mark.parametrize("channels", [None, 1, 2, 3, 4])
@pytest.mark.parametrize("g", [1, 2, 3, 8])
def test_patches_beyond_every_corner(backend, channels, g):
    corners = [(x, y) for x in (-1.0, -0.9, 0.0, 1.0) for y in (-1.0, 0.0, 0.95, 1.0)]
    shape = (len(corners), 6, 9) if channels is None else (len(corners), 6, 9, channels)
    assert_equals_oracle(backend, random_images(5, shape), np.array(corners, np.float32), g, 3)


@every_backend
def test_non_contiguous_images(backend):
    whole = random_images(6, (6, 20, 24, 3))
    locations = np.random.default_rng(7).uniform(-1.2, 1.2, (3, 2)).astype(np.float32)
    for images in (
        whole[::2],
        whole[:3, ::2, ::3],
        whole[:3, ::-1, ::-1, ::-1],
        whole[:3, ..., 1],
        whole[:3].transpose(0, 2, 1, 3),
        np.asfortranarray(whole[:3]),
        np.broadcast_to(whole[:1], (3, 20, 24, 3)),
    ):
        assert not images.flags.c_contiguous
        assert_equals_oracle(backend, images, locations, 3, 3)
    strided = np.repeat(locations, 2, axis=0)[::2]
    assert not strided.flags.c_contiguous
    assert_equals_oracle(backend, whole[:3], strided, 3, 3)


@every_backend
@pytest.mark.parametrize(("shape", "expected"), [((0, 5, 6), (0, 2, 3, 3)), ((0, 5, 6, 3), (0, 6, 3, 3))])
def test_empty_batch(backend, shape, expected):
    images, locations = np.zeros(shape, np.uint8), np.zeros((0, 2), np.float32)
    glimpses = backend.to_numpy(Retina(3, 2).sense(backend.from_numpy(images), backend.from_numpy(locations)))
    assert (glimpses.shape, glimpses.dtype) == (expected, np.float32)


# 4 x 4 pixels; expected values are glimpses times 255.
IMAGE = np.arange(1, 17, dtype=np.uint8).reshape(1, 4, 4)


@pytest.mark.parametrize(
    ("location", "g", "expected"),
    [
        ((0, 0), 2, [[6, 7], [10, 11]]),
        ((0, 0), 1, [[11]]),  # the center is on a pixel corner: it belongs to the pixel below and to the right
        ((0, 0), 3, [[6, 7, 8], [10, 11, 12], [14, 15, 16]]),
        ((-1, -1), 2, [[0, 0], [0, 1]]),
        ((1, 1), 2, [[16, 0], [0, 0]]),
        ((1, -1), 2, [[0, 0], [4, 0]]),
        ((-1, 1), 2, [[0, 13], [0, 0]]),
        ((1, 1), 1, [[0]]),
        ((0.25, 0.0), 2, [[7, 8], [11, 12]]),  # px = 2.5: halves are rounded to the right
        ((0.24, 0.0), 2, [[6, 7], [10, 11]]),
        ((-0.75, -0.25), 1, [[5]]),
        ((0.0, 0.5), 2, [[10, 11], [14, 15]]),
    ],
)
def test_hand_computed_glimpses(location, g, expected):
    glimpses = Retina(g).sense(IMAGE, np.array([location], np.float32))
    np.testing.assert_array_equal(glimpses[0, 0] * 255, expected)


def test_order_of_scales_and_channels():
    image = np.zeros((1, 4, 4, 2), np.uint8)
    image[..., 0], image[..., 1] = 100, 200
    image[0, 1:3, 1:3] += 40
    glimpses = Retina(2, 2).sense(image, np.zeros((1, 2), np.float32))
    assert [round(float(patch.mean()) * 255) for patch in glimpses[0]] == [140, 240, 110, 210]


def test_x_points_right_and_y_points_down():
    image = np.zeros((1, 9, 5), np.uint8)
    image[0, 8, 0] = 255
    assert Retina(1).sense(image, np.array([[-0.9, 0.9]], np.float32)).item() == 1.0
    assert Retina(1).sense(image, np.array([[0.9, -0.9]], np.float32)).item() == 0.0


@every_backend
def test_rows_are_independent(backend):
    rng = np.random.default_rng(8)
    images, locations = random_images(9, (20, 17, 13, 3)), rng.uniform(-1.3, 1.3, (20, 2)).astype(np.float32)
    retina = Retina(4, 4)

    def sense(rows):
        return backend.to_numpy(retina.sense(backend.from_numpy(images[rows]), backend.from_numpy(locations[rows])))

    together = sense(np.arange(20))
    shuffled = rng.permutation(20)
    oracles.assert_identical(sense(shuffled), together[shuffled])
    for row in range(20):
        oracles.assert_identical(sense([row]), together[[row]])


@every_backend
def test_inputs_are_unchanged_and_outputs_are_new_arrays(backend):
    images = random_images(10, (3, 9, 9))
    locations = np.array([[0.3, 4.0], [-7.0, 0.1], [0.0, 0.0]], np.float32)
    sent = backend.from_numpy(images.copy()), backend.from_numpy(locations.copy())
    retina = Retina(3, 2)
    first = retina.sense(*sent)
    kept = backend.to_numpy(first).copy()
    first[:] = 7.0
    second = retina.sense(*sent)
    oracles.assert_identical(backend.to_numpy(sent[0]), images)
    oracles.assert_identical(backend.to_numpy(sent[1]), locations)
    oracles.assert_identical(backend.to_numpy(second), kept)
    assert not np.shares_memory(backend.to_numpy(first), backend.to_numpy(second))
    # A white image of one pixel under a patch of one pixel equals its glimpse except for the dtype.
    pixel = np.full((1, 1, 1), 255, np.uint8)
    assert not np.shares_memory(Retina(1).sense(pixel, np.zeros((1, 2), np.float32)), pixel)


def test_read_only_arrays():
    images, locations = random_images(11, (2, 9, 9)), np.zeros((2, 2), np.float32)
    expected = Retina(3, 2).sense(images, locations)
    images.setflags(write=False)
    locations.setflags(write=False)
    oracles.assert_identical(Retina(3, 2).sense(images, locations), expected)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_locations_of_any_float_dtype_are_clipped(dtype):
    images = random_images(12, (4, 11, 11))
    far = np.array([[300, -300], [1.5, 0.25], [-1.0009765625, 1.0009765625], [60000, 0.5]], dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        glimpses = Retina(5, 2).sense(images, far)
    oracles.assert_identical(glimpses, Retina(5, 2).sense(images, far.clip(-1, 1).astype(np.float32)))
    oracles.assert_identical(glimpses, oracles.sense(images, far, 5, 2))


def test_huge_but_finite_locations_are_clipped():
    images = random_images(13, (2, 11, 11))
    ones = np.array([[1, -1], [-1, 1]], np.float32)
    for huge in (np.finfo(np.float64).max * ones.astype(np.float64), np.finfo(np.float32).max * ones):
        oracles.assert_identical(Retina(5).sense(images, huge), Retina(5).sense(images, ones))


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("place", [(0, 0), (2, 1)])
def test_non_finite_location_error(bad, dtype, place):
    locations = np.full((3, 2), 0.25, dtype)
    locations[place] = bad
    with pytest.raises(ValueError, match=rf"location must be finite.*{bad}"):
        Retina(2).sense(random_images(14, (3, 4, 4)), locations)


@pytest.mark.parametrize(
    "locations",
    [
        np.zeros((1, 2), np.float32),
        np.zeros((3, 2), np.float32),
        np.zeros((2, 3), np.float32),
        np.zeros((2, 1), np.float32),
        np.zeros((4,), np.float32),
        np.zeros((2,), np.float32),
        np.zeros((2, 2, 1), np.float32),
        np.zeros((2, 2), np.int64),
        np.zeros((2, 2), np.uint8),
        np.zeros((2, 2), np.bool_),
        np.zeros((2, 2), np.complex64),
        np.zeros((2, 2), object),
        np.full((2, 2), "0.5"),
        [[0, 0], [1, 0]],
        "center",
        None,
        0.5,
    ],
    ids=repr,
)
def test_invalid_locations_error(locations):
    with pytest.raises(ValueError, match="location must be floating point of shape"):
        Retina(2).sense(random_images(15, (2, 4, 4)), locations)


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((1, 4, 4), np.float32),
        np.zeros((1, 4, 4), np.float64),
        np.zeros((1, 4, 4), np.int8),
        np.zeros((1, 4, 4), np.uint16),
        np.zeros((1, 4, 4), np.bool_),
        np.zeros((4, 4), np.uint8),
        np.zeros((1, 1, 4, 4, 1), np.uint8),
        np.zeros((1, 0, 4), np.uint8),
        np.zeros((1, 4, 0), np.uint8),
        np.zeros((1, 4, 4, 0), np.uint8),
    ],
    ids=lambda images: f"{images.dtype}-{images.shape}",
)
def test_invalid_images_error(images):
    with pytest.raises(ValueError, match=rf"images must be uint8 .* got {images.dtype} of shape"):
        Retina(2).sense(images, np.zeros((1, 2), np.float32))


@pytest.mark.parametrize("images", [None, [[[1]]], "image", 5])
def test_images_must_be_numpy_arrays(images):
    with pytest.raises(TypeError, match="images must be a NumPy array, got"):
        Retina(2).sense(images, np.zeros((1, 2), np.float32))


@pytest.mark.parametrize("bad", [0, -1, 2.0, 1.5, "2", None, True, math.nan, [2]])
def test_patch_size_and_num_scales_must_be_positive_integers(bad):
    with pytest.raises(ValueError, match="patch_size must be an integer from 1 to 2147483647, got"):
        Retina(patch_size=bad)
    with pytest.raises(ValueError, match="num_scales must be an integer from 1 to 12, got"):
        Retina(patch_size=2, num_scales=bad)


def test_too_many_scales_error():
    for bad in (13, 2**63, 10**30):
        with pytest.raises(ValueError, match=f"num_scales must be an integer from 1 to 12, got {bad}$"):
            Retina(patch_size=2, num_scales=bad)


@pytest.mark.parametrize("bad", [-1, 3, 1.0, None, True, 10**30])
def test_scales_are_checked(bad):
    for method in (Retina(4, 3).patch_side, lambda scale: Retina(4, 3).patch_corner((0.0, 0.0), (9, 9), scale)):
        with pytest.raises(ValueError, match="scale must be an integer from 0 to 2, got"):
            method(bad)


@pytest.mark.parametrize(
    ("location", "size"),
    [((math.nan, 0.0), (9, 9)), ((0.0,), (9, 9)), ("ab", (9, 9)), ((0.0, 0.0), (9,)), (None, None)],
)
def test_bad_locations_and_sizes_of_patch_corner(location, size):
    with pytest.raises(ValueError, match="location and size must be two finite numbers and two integers, got"):
        Retina(4).patch_corner(location, size, 0)


@pytest.mark.parametrize("bad", [0, 1.0, None, True])
def test_num_channels_is_checked(bad):
    with pytest.raises(ValueError, match="num_channels must be an integer from 1 to"):
        Retina(4).glimpse_shape(bad)


def test_masked_arrays_are_not_accepted():
    images = random_images(15, (2, 4, 4))
    with pytest.raises(ValueError, match="images must not be a masked array"):
        Retina(2).sense(np.ma.array(images), np.zeros((2, 2)))
    with pytest.raises(ValueError, match=r"(?s)location must be .* a masked array is not accepted"):
        Retina(2).sense(images, np.ma.array(np.zeros((2, 2))))


def test_glimpses_that_take_too_much_memory():
    images, locations = random_images(15, (2, 4, 4)), np.zeros((2, 2))
    message = r"2 glimpses of Retina\(patch_size=100000, num_scales=12\) take .* bytes of memory, more than max_bytes="
    with pytest.raises(ValueError, match=message + "2,000,000,000"):
        Retina(100_000, 12).sense(images, locations)
    expected = Retina(2, 2).sense(images, locations)
    assert Retina(2, 2).num_bytes(num_images=2, num_channels=1) == expected.nbytes + 4 * 2 * 4
    oracles.assert_identical(Retina(2, 2).sense(images, locations, max_bytes=96), expected)
    with pytest.raises(ValueError, match="more than max_bytes=95"):
        Retina(2, 2).sense(images, locations, max_bytes=95)


def test_numpy_integers_are_accepted():
    retina = Retina(np.int64(3), np.uint8(2))
    assert (type(retina.patch_size), type(retina.num_scales)) == (int, int)
    assert retina.glimpse_shape() == (2, 3, 3)
    assert retina.glimpse_shape(3) == (6, 3, 3)
    assert [retina.patch_side(scale) for scale in range(2)] == [3, 6]
    assert repr(retina) == "Retina(patch_size=3, num_scales=2)"


def test_patch_corner_and_patch_side_match_sense():
    retina, rng = Retina(3, 3), np.random.default_rng(16)
    image = random_images(17, (1, 30, 20))
    padded = np.pad(image[0], 40)
    for location in rng.uniform(-1, 1, (50, 2)).astype(np.float32):
        glimpses = retina.sense(image, location[None])
        for scale in range(3):
            top, left = retina.patch_corner(location, (30, 20), scale)
            side = retina.patch_side(scale)
            patch = padded[40 + top : 40 + top + side, 40 + left : 40 + left + side].astype(int)
            cells = patch.reshape(3, 2**scale, 3, 2**scale).sum(axis=(1, 3))
            np.testing.assert_allclose(glimpses[0, scale], cells / (255 * 4**scale), rtol=1e-6)


def test_public_name():
    assert glimpse_gym.Retina is Retina
