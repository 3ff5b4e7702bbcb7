"""Random rotation, zoom and shift of images on canvases. H x W images, C channels, B episodes."""

import copy
import math
import pickle

import gymnasium as gym
import numpy as np
import pytest

import oracles
from glimpse_gym import clutter
from glimpse_gym.clutter import Canvases, Warp
from glimpse_gym.envs import ClassificationEnv, ClassificationVectorEnv
from glimpse_gym.images import open_images

RANGES = {"rotation": (-70, 110), "zoom": (0.6, 1.7), "shift": (-2.5, 3.0)}


def random_images(number, height, width, channels=None):
    shape = (number, height, width) if channels is None else (number, height, width, channels)
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def arguments(images, **kwargs):
    labels = np.zeros(len(images), int)
    return {"images": images, "labels": labels, "patch_size": 3, "num_scales": 2, "num_glimpses": 2} | kwargs


def make(images, **kwargs):
    return gym.make("glimpse_gym/Images-v0", **arguments(images, **kwargs)).unwrapped


def make_vec(num_envs, images, **kwargs):
    return gym.make_vec("glimpse_gym/Images-v0", num_envs=num_envs, **arguments(images, **kwargs)).unwrapped


def transform(image, **kwargs):
    """Transform one image, uint8 (H, W) or (H, W, C), by an env."""
    env = make(image[None], **kwargs)
    env.reset(seed=0)
    return env.image


def transform_many(num_episodes, image, **kwargs):
    """Transform one image in many episodes, float64 (B, H, W)."""
    env = make_vec(num_episodes, image[None], **kwargs)
    env.reset(seed=0)
    return np.stack(env.image).astype(float)


# ----------------------------------------------------------------------------------------------- slow oracles


def warp_oracle(image, rotation, zoom, right, down):
    """Compute each pixel as a bilinearly weighted sum over all pixels of the image."""
    height, width = image.shape[:2]
    flat = image.reshape(height, width, -1).tolist()
    result = np.zeros((height, width, len(flat[0][0])), np.uint8)
    angle = math.radians(rotation)
    for i in range(height):
        for j in range(width):
            # Relative to the center; y points down, so that a counterclockwise rotation maps x to -y.
            x, y = j - (width - 1) / 2 - right, i - (height - 1) / 2 - down
            x, y = x * math.cos(angle) + y * math.sin(angle), y * math.cos(angle) - x * math.sin(angle)
            x, y = x / zoom + (width - 1) / 2, y / zoom + (height - 1) / 2
            for c in range(result.shape[2]):
                total = 0.0
                for row in range(height):
                    for column in range(width):
                        weight = max(0.0, 1 - abs(y - row)) * max(0.0, 1 - abs(x - column))
                        total += weight * flat[row][column][c]
                result[i, j, c] = math.floor(total + 0.5)
    return result.reshape(image.shape)


def compose_oracle(images, size, seed, episode=0, num_clutter=0, clutter_size=0, warp=None):
    """Compose the canvas of an episode from its random numbers: image, first location, corner, clutter, warp."""
    position = iter(range(1000))

    def uniform():
        return oracles.uniform(seed, episode, next(position))

    def integer_below(number):
        return int(uniform() * number)

    def between(low, high):
        return low + (high - low) * uniform()

    index = integer_below(len(images))
    image = images[index]
    next(position), next(position)  # skip the first location
    corner = [integer_below(extent - side + 1) for extent, side in zip(size, image.shape[:2], strict=True)]
    pieces = []
    for _ in range(num_clutter):
        others = [i for i in range(len(images)) if i != index]
        source = images[others[integer_below(len(others))]]
        top, left = (integer_below(side - clutter_size + 1) for side in source.shape[:2])
        piece = source[top : top + clutter_size, left : left + clutter_size]
        pieces.append((piece, [integer_below(extent - clutter_size + 1) for extent in size]))
    if warp:
        rotation, zoom = between(*warp["rotation"]), between(*warp["zoom"])
        image = warp_oracle(image, rotation, zoom, between(*warp["shift"]), between(*warp["shift"]))
    canvas = np.zeros((*size, *image.shape[2:]), int)
    for part, (top, left) in [(image, corner), *pieces]:
        height, width = part.shape[:2]
        canvas[top : top + height, left : left + width] += part
    return index, canvas.clip(max=255).astype(np.uint8)


# -------------------------------------------------------------------------------------- compared with oracles


@pytest.mark.parametrize(("height", "width"), [(7, 7), (6, 9), (8, 5), (1, 4), (1, 1)])
@pytest.mark.parametrize(
    ("rotation", "zoom", "shift"),
    [(30, 1, 0), (-123.4, 1, 0), (0, 1.3, 0), (0, 0.7, 0), (0, 1, 1.5), (0, 1, -0.25), (200, 0.8, 1.1), (45, 3, -2)],
)
def test_warp_equals_oracle(height, width, rotation, zoom, shift):
    image = random_images(1, height, width)[0]
    transformed = transform(image, rotation=rotation, zoom=zoom, shift=shift)
    oracles.assert_identical(transformed, warp_oracle(image, rotation, zoom, shift, shift))


@pytest.mark.parametrize("channels", [None, 1, 3])
@pytest.mark.parametrize("num_clutter", [0, 3])
@pytest.mark.parametrize("warp", [None, RANGES], ids=["no warp", "warp"])
def test_canvas_equals_oracle(channels, num_clutter, warp):
    images = random_images(4, 6, 7, channels)
    kwargs = {"canvas_size": (10, 12), "num_clutter": num_clutter, "clutter_size": 3} | (warp or {})
    env = make_vec(6, images, **kwargs)
    for episode in range(2):
        _, info = env.reset(seed=40 if episode == 0 else None)
        for row in range(6):
            flat = images if channels != 1 else images[..., 0]
            index, canvas = compose_oracle(flat, (10, 12), 40 + row, episode, num_clutter, 3, warp)
            assert info["image_index"][row] == index
            oracles.assert_identical(env.image[row], canvas)


def test_warp_of_images_of_different_sizes_equals_oracle():
    images = [random_images(1, *size)[0] for size in ((5, 8), (9, 4), (3, 3))]
    env = make_vec(12, images, canvas_size=11, **RANGES)
    _, info = env.reset(seed=7)
    for row in range(12):
        index, canvas = compose_oracle(images, (11, 11), 7 + row, warp=RANGES)
        assert info["image_index"][row] == index
        oracles.assert_identical(env.image[row], canvas)
    assert set(info["image_index"]) == {0, 1, 2}


# --------------------------------------------------------------------------------------- hand-computed images


def test_zoom_2():
    image = np.zeros((9, 9), np.uint8)
    image[3:6, 3:6] = 200
    edge, inside = [0, 50, 100, 100, 100, 100, 100, 50, 0], [0, 100, 200, 200, 200, 200, 200, 100, 0]
    expected = [[0] * 9, edge, *[inside] * 5, edge, [0] * 9]
    oracles.assert_identical(transform(image, zoom=2), np.array(expected, np.uint8))


def test_zoom_half():
    transformed = transform(np.full((8, 8), 77, np.uint8), zoom=0.5)
    expected = np.zeros((8, 8), np.uint8)
    expected[2:6, 2:6] = 77
    oracles.assert_identical(transformed, expected)


def test_zoom_keeps_a_constant_image():
    image = np.full((7, 10), 131, np.uint8)
    oracles.assert_identical(transform(image, zoom=2.7), image)


@pytest.mark.parametrize("shift", [-9, -8, -3, -1, 1, 2, 5, 8, 100])
def test_integer_shift_fills_with_zeros(shift):
    image = random_images(1, 8, 9)[0] | 1
    expected = np.zeros_like(image)
    for i in range(8):
        for j in range(9):
            if 0 <= i - shift < 8 and 0 <= j - shift < 9:
                expected[i, j] = image[i - shift, j - shift]
    oracles.assert_identical(transform(image, shift=shift), expected)


def test_shift_goes_right_and_down():
    image = np.zeros((5, 6), np.uint8)
    image[1, 2] = 200
    expected = np.zeros((5, 6), np.uint8)
    expected[2, 3] = 200
    oracles.assert_identical(transform(image, shift=1), expected)
    expected[:] = 0
    expected[1:3, 2:4] = 50  # half a pixel each way
    oracles.assert_identical(transform(image, shift=0.5), expected)


def test_interpolated_halves_are_rounded_up():
    image = np.array([[1, 2, 4, 255]], np.uint8).repeat(5, axis=0)
    # Columns are means of 1 and 2, of 2 and 4, and of 4 and 255; the first row is half outside.
    transformed = transform(image, shift=0.5)
    assert transformed[1:].tolist() == [[1, 2, 3, 130]] * 4
    assert transformed[0].tolist() == [0, 1, 2, 65]  # of 0.25, 0.75, 1.5 and 64.75


@pytest.mark.parametrize("side", [4, 7])
@pytest.mark.parametrize("channels", [None, 3])
def test_rotation_by_multiples_of_90_degrees(side, channels):
    image = random_images(1, side, side, channels)[0]
    for quarter_turns in (-3, -1, 1, 2, 3, 4):
        transformed = transform(image, rotation=90 * quarter_turns)
        oracles.assert_identical(transformed, np.rot90(image, k=-quarter_turns))


def test_rotation_is_clockwise():
    image = np.zeros((5, 5), np.uint8)
    image[0, 2] = 255  # at the top
    expected = np.zeros((5, 5), np.uint8)
    expected[2, 4] = 255  # to the right
    oracles.assert_identical(transform(image, rotation=90), expected)


def test_pixels_shifted_out_of_the_frame_are_not_on_the_canvas():
    image = np.full((1, 4, 4), 90, np.uint8)
    env = make(image, canvas_size=12, shift=3)
    for _ in range(20):
        env.reset(seed=None)
        rows, columns = np.nonzero(env.image)
        assert len(rows) == 1  # only the lower-right pixel of the frame
        assert min(rows[0], columns[0]) >= 3


def test_channels_are_independent():
    image = np.zeros((6, 6, 3), np.uint8)
    image[..., 0], image[..., 2] = random_images(2, 6, 6)
    transformed = transform(image, rotation=20, zoom=1.2, shift=0.3)
    for c in range(3):
        oracles.assert_identical(transformed[..., c], warp_oracle(image[..., c], 20, 1.2, 0.3, 0.3))
    assert transformed[..., 0].any()
    assert not transformed[..., 1].any()


# ------------------------------------------------------------------------------------- random distributions


def assert_uniform(values, low, high, tolerance):
    """Fail unless values are uniform in a range, up to rounding errors. Returns the quarter that each lies in."""
    assert low - tolerance <= values.min() <= low + 0.01 * (high - low) + tolerance
    assert high - 0.01 * (high - low) - tolerance <= values.max() <= high + tolerance
    counts, _ = np.histogram(values.clip(low, high), bins=10, range=(low, high))
    assert abs(oracles.chi_square(counts)) < 5
    return np.digitize(values, np.linspace(low, high, 5)[1:-1])


def centroids(transformed):
    """x and y of the centers of brightness, relative to the center of the image."""
    height, width = transformed.shape[1:]
    sums = transformed.sum(axis=(1, 2))
    y = (transformed.sum(axis=2) * (np.arange(height) - (height - 1) / 2)).sum(axis=1) / sums
    x = (transformed.sum(axis=1) * (np.arange(width) - (width - 1) / 2)).sum(axis=1) / sums
    return x, y


def test_shifts_are_uniform_and_independent():
    image = np.zeros((15, 15), np.uint8)
    image[7, 7] = 255
    right, down = centroids(transform_many(4000, image, shift=(-5, 2.5)))
    pairs = assert_uniform(right, -5, 2.5, 0.01), assert_uniform(down, -5, 2.5, 0.01)
    assert abs(oracles.chi_square(np.bincount(4 * pairs[0] + pairs[1], minlength=16))) < 5


def test_rotations_are_uniform():
    image = np.zeros((25, 25), np.uint8)
    image[2:5, 11:14] = 255  # at the top
    x, y = centroids(transform_many(4000, image, rotation=(-30, 90)))
    assert_uniform(np.degrees(np.arctan2(x, -y)), -30, 90, 1.0)


def test_zooms_are_uniform():
    # Zooming divides the gradient of a ramp; rows differ in offset, so that rounding errors average out.
    ramp = (4 * np.arange(51) + 2 * np.arange(25)[:, None]).astype(np.uint8)
    transformed, offsets = transform_many(4000, ramp, zoom=(0.5, 2.0))[:, 7:18, 13:38], np.arange(-12, 13)
    gradient = (transformed * offsets).sum(axis=(1, 2)) / (11 * (offsets**2).sum())
    assert_uniform(4 / gradient, 0.5, 2.0, 0.01)


def test_range_varies_between_episodes_and_number_does_not():
    image = random_images(1, 9, 9)[0]
    random, fixed = make(image[None], rotation=(0, 90)), make(image[None], rotation=33)
    for env, distinct in ((random, 8), (fixed, 1)):
        transformed = []
        for episode in range(8):
            env.reset(seed=3 if episode == 0 else None)
            transformed.append(env.image.tobytes())
        assert len(set(transformed)) == distinct


def test_image_is_constant_within_an_episode_and_matches_glimpses():
    images = random_images(3, 9, 8)
    env = make(images, num_glimpses=3, **RANGES)
    observation, _ = env.reset(seed=0)
    before = env.image
    for x in (0.3, -0.7):
        glimpse = oracles.sense_one(before, tuple(observation["location"]), 3, 2)
        oracles.assert_identical(observation["glimpse"], glimpse)
        observation, *_ = env.step({"next_location": np.array([x, 0.1], np.float32), "label": 0})
        oracles.assert_identical(env.image, before)


@pytest.mark.parametrize("ranges", [{"rotation": (20, 20)}, {"zoom": [1.5, 1.5]}, {"shift": (0.5, 0.5)}])
def test_range_of_equal_numbers_equals_that_number(ranges):
    image = random_images(1, 8, 8)[0]
    numbers = {name: float(low) for name, (low, _) in ranges.items()}
    oracles.assert_identical(transform(image, **ranges), transform(image, **numbers))
    assert (transform(image, **ranges) != image).any()


def test_source_images_are_not_modified():
    images = random_images(3, 8, 8)
    before = images.copy()
    env = make_vec(5, images, **RANGES)
    env.reset(seed=0)
    oracles.assert_identical(images, before)


# ------------------------------------------------------------------- episodes with and without transformations


@pytest.mark.parametrize("num_clutter", [0, 4])
def test_warp_does_not_change_image_corner_and_clutter(num_clutter):
    images = random_images(5, 8, 8)
    kwargs = {"canvas_size": 20, "num_clutter": num_clutter, "clutter_size": 4}
    plain, turned = make_vec(40, images, **kwargs), make_vec(40, images, **kwargs, rotation=360)  # a full turn
    for seed in (11, None, None):
        oracles.assert_identical(turned.reset(seed=seed), plain.reset(seed=seed))
        oracles.assert_identical(turned.image, plain.image)


def test_warp_does_not_change_image_and_first_location_of_plain_images():
    images = random_images(5, 8, 8)
    plain, turned = make_vec(40, images), make_vec(40, images, rotation=360)
    for seed in (11, None, None):
        oracles.assert_identical(turned.reset(seed=seed), plain.reset(seed=seed))
    warp = make_vec(40, images, **RANGES)
    observation, info = warp.reset(seed=11)
    expected, expected_info = plain.reset(seed=11)
    oracles.assert_identical(info, expected_info)
    oracles.assert_identical(observation["location"], expected["location"])
    assert (observation["glimpse"] != expected["glimpse"]).any()


def test_identity_warp_needs_no_canvas():
    images = random_images(3, 8, 8)
    env = make(images, rotation=(0, 0), zoom=1, shift=(0, 0.0))
    assert env.world.canvases is None
    oracles.assert_identical(env.reset(seed=0), make(images).reset(seed=0))


@pytest.mark.parametrize("kwargs", [{}, {"canvas_size": (14, 12), "num_clutter": 2, "clutter_size": 4}])
@pytest.mark.parametrize("channels", [None, 3])
def test_single_env_equals_row_of_vector_env(kwargs, channels):
    images = random_images(4, 9, 7, channels)
    vector = make_vec(4, images, **kwargs, **RANGES)
    singles = [make(images, **kwargs, **RANGES) for _ in range(4)]
    for seed in (5, None):
        observation, info = vector.reset(seed=seed)
        for row, single in enumerate(singles):
            own, own_info = single.reset(seed=None if seed is None else seed + row)
            oracles.assert_identical({name: values[row] for name, values in observation.items()}, own)
            assert info["image_index"][row] == own_info["image_index"]
            oracles.assert_identical(vector.image[row], single.image)


def test_partial_reset_keeps_other_canvases():
    env = make_vec(4, random_images(4, 8, 8), **RANGES, autoreset_mode="Disabled")
    env.reset(seed=0)
    before = env.image
    mask = np.array([True, False, False, True])
    env.reset(options={"reset_mask": mask})
    assert [bool((a == b).all()) for a, b in zip(env.image, before, strict=True)] == [False, True, True, False]


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda env: pickle.loads(pickle.dumps(env))])
def test_copied_env_continues_identically(duplicate):
    env = make(random_images(4, 8, 8), **RANGES)
    env.reset(seed=0)
    other = duplicate(env)
    oracles.assert_identical(other.image, env.image)
    oracles.assert_identical(other.reset(), env.reset())
    oracles.assert_identical(other.image, env.image)


# ------------------------------------------------------------------------------------------------- bad input

NUMBERS = [math.nan, math.inf, "12", True, None, (1, 2, 3), (1,), (), (1, math.nan), (2, 1), ("1", "2"), (False, 1)]


@pytest.mark.parametrize("make_env", [ClassificationEnv, ClassificationVectorEnv])
@pytest.mark.parametrize("name", ["rotation", "zoom", "shift"])
@pytest.mark.parametrize("value", [*NUMBERS, {"low": 1}, np.array([1.0, 2.0]), 1 + 0j], ids=repr)
def test_invalid_range_error(make_env, name, value):
    with pytest.raises(ValueError, match=rf"^{name} must be a "):
        make_env(**arguments(random_images(3, 8, 8), **{name: value}))


@pytest.mark.parametrize("make_env", [ClassificationEnv, ClassificationVectorEnv])
@pytest.mark.parametrize("value", [0, 0.0, -1, (0, 2), (-1, 1), [-2, -1]])
def test_zoom_must_be_positive(make_env, value):
    low = value[0] if isinstance(value, (tuple, list)) else value
    with pytest.raises(ValueError, match=rf"^zoom must be a number from 0.001 to 1,000, got {low}$"):
        make_env(**arguments(random_images(3, 8, 8), zoom=value))


@pytest.mark.parametrize(
    ("name", "bound"),
    [("rotation", 36_000), ("rotation", -36_000), ("zoom", 0.001), ("zoom", 1000), ("shift", 1e6), ("shift", -1e6)],
)
def test_bounds_of_warps(name, bound):
    env = make(random_images(3, 8, 8), **{name: bound})
    env.reset(seed=0)
    assert env.image.shape == (8, 8)
    beyond = bound / 1.001 if bound == 0.001 else bound * 1.001
    for value in (beyond, (1, beyond) if beyond > 1 else (beyond, 1), math.copysign(1e300, bound)):
        with pytest.raises(ValueError, match=rf"^{name} must be a number from "):
            make(random_images(3, 8, 8), **{name: value})


def test_whole_turns_of_a_warp_change_nothing():
    image = random_images(1, 8, 8)[0]
    np.testing.assert_allclose(transform(image, rotation=36_000).astype(int), image.astype(int), atol=1)


@pytest.mark.parametrize("bad", [10_001, 2**63, 10**30, np.timedelta64(2)])
def test_bad_numbers_of_pieces_of_clutter(bad):
    with pytest.raises(ValueError, match=r"^num_clutter must be an integer from 0 to 10000, got "):
        make(random_images(3, 8, 8), canvas_size=20, num_clutter=bad)


@pytest.mark.parametrize(
    ("position", "bad", "error", "message"),
    [
        (0, 0, ValueError, "num_rows must be an integer from 1 to"),
        (0, 10**6, ValueError, "num_envs=1000000, canvas_size=20 x 20 and num_clutter=1 take 1,650,000,000 bytes"),
        (1, np.zeros((3, 8, 8), np.uint8), TypeError, "images must be an ImageSet and warp a Warp, got array"),
        (2, 2**31, ValueError, "canvas_size must be an integer from 1 to 2147483647"),
        (2, 2**31 - 1, ValueError, "canvas_size=2147483647 x 2147483647 and num_clutter=1 take "),
        (4, 2.0, ValueError, "clutter_size must be an integer from 1 to"),
        (5, None, TypeError, "images must be an ImageSet and warp a Warp, got .* and None"),
        (6, 0, ValueError, "max_bytes must be an integer from 1 to"),
        (6, 1000, ValueError, "take 3,300 bytes of memory, more than max_bytes=1,000: pass fewer sub-envs, a smaller"),
    ],
)
def test_bad_arguments_of_canvases(position, bad, error, message):
    images = open_images(random_images(3, 8, 8), labels=[0, 1, 2])
    values = [2, images, 20, 1, 3, Warp(0.0, 1.0, 0.0), 1_500_000_000]
    assert Canvases(*values).num_bytes == 3300
    values[position] = bad
    with pytest.raises(error, match=message):
        Canvases(*values)


@pytest.mark.parametrize("value", [3, np.float32(3), np.int64(3), (1, 3), [1, np.float64(3.5)]])
def test_number_types_and_lists_are_accepted(value):
    image = random_images(1, 8, 8)[0]
    for name in RANGES:
        assert (transform(image, **{name: value}) != image).any()


@pytest.mark.parametrize("make_env", [ClassificationEnv, ClassificationVectorEnv])
@pytest.mark.parametrize("name", ["rotation", "zoom", "shift"])
def test_warping_images_of_different_sizes_needs_a_canvas(make_env, name):
    images = [random_images(1, *size)[0] for size in ((5, 8), (9, 4))]
    with pytest.raises(ValueError, match="warping images of different sizes needs a canvas: pass canvas_size"):
        make_env(**arguments(images, **{name: (2, 3)}))
    make_env(**arguments(images, **{name: (2, 3)}, canvas_size=9)).reset(seed=0)
    make_env(**arguments(images)).reset(seed=0)


def test_warp_arguments_are_checked_first():
    # With several invalid arguments the error names the warp's, before any canvas is made.
    with pytest.raises(ValueError, match=r"^shift must be"):
        make(random_images(3, 8, 8), shift="far", num_glimpses=0, patch_size=-1, num_clutter=-1, glimpse_cost="no")


# ---------------------------------------------------------------------------------------------------- tiles


@pytest.mark.parametrize(
    "kwargs",
    [
        {"rotation": (-30, 30), "zoom": (0.8, 1.2)},
        {"canvas_size": (150, 130), "num_clutter": 4, "clutter_size": 40},
        {"canvas_size": 140, "rotation": 20, "num_clutter": 2, "clutter_size": 8},
    ],
)
def test_tiled_canvases_equal_canvases_composed_at_once(monkeypatch, kwargs):
    images = np.random.default_rng(0).integers(0, 256, (6, 90, 120), dtype=np.uint8)

    def play(tile):
        monkeypatch.setattr(clutter, "_TILE", tile)
        monkeypatch.setattr(clutter, "_MAX_UNTILED", tile)
        envs = gym.make_vec(
            "glimpse_gym/Images-v0", num_envs=3, images=images, labels=np.arange(6) % 2, split="all", **kwargs
        )
        assert envs.unwrapped.world.canvases.is_tiled is (tile == 32)
        glimpses = [envs.reset(seed=1)[0]["glimpse"]]
        locations = np.random.default_rng(3)
        for _ in range(20):
            next_location = locations.uniform(-1, 1, (3, 2)).astype(np.float32)
            glimpses.append(envs.step({"next_location": next_location, "label": np.zeros(3, int)})[0]["glimpse"])
        return np.stack(glimpses), np.stack(envs.unwrapped.image)

    for tiled, at_once in zip(play(32), play(10_000), strict=True):
        assert np.array_equal(tiled, at_once)


def test_large_canvas_composes_only_visible_tiles():
    images = np.full((2, 2000, 2000), 200, np.uint8)
    env = gym.make("glimpse_gym/Images-v0", images=images, labels=np.arange(2), split="all", rotation=10, patch_size=8)
    env.reset(seed=0)
    composed = env.unwrapped.world.canvases._composed
    assert 1 <= composed.sum() <= 4 < composed.size
    assert env.unwrapped.image.shape == (2000, 2000)
    assert composed.all()
