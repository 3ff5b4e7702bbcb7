"""Images turned, resized and shifted before they are placed. H x W images, C channels, B episodes."""

import copy
import math
import pickle

import gymnasium as gym
import numpy as np
import pytest

import oracles
from glimpse_gym.envs import ClassificationEnv, ClassificationVectorEnv

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


def shown(image, **kwargs):
    """What becomes of one image, uint8 (H, W) or (H, W, C)."""
    env = make(image[None], **kwargs)
    env.reset(seed=0)
    return env.image


def many(number, image, **kwargs):
    """What becomes of one image in many episodes, float64 (B, H, W)."""
    env = make_vec(number, image[None], **kwargs)
    env.reset(seed=0)
    return np.stack(env.image).astype(float)


# ------------------------------------------------------------------------------------------ slow and obvious


def warped(image, rotation, zoom, right, down):
    """Each pixel is what lay where it came from: the weights of all pixels of the image, tents one pixel wide."""
    height, width = image.shape[:2]
    flat = image.reshape(height, width, -1).tolist()
    result = np.zeros((height, width, len(flat[0][0])), np.uint8)
    angle = math.radians(rotation)
    for i in range(height):
        for j in range(width):
            # From the center; y points down, so that a turn against the clock takes x to -y.
            x, y = j - (width - 1) / 2 - right, i - (height - 1) / 2 - down
            x, y = x * math.cos(angle) + y * math.sin(angle), y * math.cos(angle) - x * math.sin(angle)
            x, y = x / zoom + (width - 1) / 2, y / zoom + (height - 1) / 2
            for c in range(result.shape[2]):
                total = 0.0
                for row in range(height):
                    for column in range(width):
                        share = max(0.0, 1 - abs(y - row)) * max(0.0, 1 - abs(x - column))
                        total += share * flat[row][column][c]
                result[i, j, c] = math.floor(total + 0.5)
    return result.reshape(image.shape)


def composed(images, size, seed, episode=0, num_clutter=0, clutter_size=0, warp=None):
    """The canvas of an episode, number for number: image, first location, place, clutter, and the warp's last."""
    position = iter(range(1000))

    def uniform():
        return oracles.uniform(seed, episode, next(position))

    def whole(number):
        return int(uniform() * number)

    def between(low, high):
        return low + (high - low) * uniform()

    index = whole(len(images))
    image = images[index]
    next(position), next(position)  # the first location
    place = [whole(room - side + 1) for room, side in zip(size, image.shape[:2], strict=True)]
    pieces = []
    for _ in range(num_clutter):
        others = [i for i in range(len(images)) if i != index]
        source = images[others[whole(len(others))]]
        top, left = (whole(side - clutter_size + 1) for side in source.shape[:2])
        piece = source[top : top + clutter_size, left : left + clutter_size]
        pieces.append((piece, [whole(room - clutter_size + 1) for room in size]))
    if warp:
        rotation, zoom = between(*warp["rotation"]), between(*warp["zoom"])
        image = warped(image, rotation, zoom, between(*warp["shift"]), between(*warp["shift"]))
    canvas = np.zeros((*size, *image.shape[2:]), int)
    for part, (top, left) in [(image, place), *pieces]:
        height, width = part.shape[:2]
        canvas[top : top + height, left : left + width] += part
    return index, canvas.clip(max=255).astype(np.uint8)


# -------------------------------------------------------------------------------------------- by the oracle


@pytest.mark.parametrize(("height", "width"), [(7, 7), (6, 9), (8, 5), (1, 4), (1, 1)])
@pytest.mark.parametrize(
    ("rotation", "zoom", "shift"),
    [(30, 1, 0), (-123.4, 1, 0), (0, 1.3, 0), (0, 0.7, 0), (0, 1, 1.5), (0, 1, -0.25), (200, 0.8, 1.1), (45, 3, -2)],
)
def test_any_warp_equals_the_oracle(height, width, rotation, zoom, shift):
    image = random_images(1, height, width)[0]
    seen = shown(image, rotation=rotation, zoom=zoom, shift=shift)
    oracles.assert_identical(seen, warped(image, rotation, zoom, shift, shift))


@pytest.mark.parametrize("channels", [None, 1, 3])
@pytest.mark.parametrize("num_clutter", [0, 3])
@pytest.mark.parametrize("warp", [None, RANGES], ids=["as it is", "warped"])
def test_every_number_of_an_episode_has_its_place(channels, num_clutter, warp):
    images = random_images(4, 6, 7, channels)
    kwargs = {"canvas_size": (10, 12), "num_clutter": num_clutter, "clutter_size": 3} | (warp or {})
    env = make_vec(6, images, **kwargs)
    for episode in range(2):
        _, info = env.reset(seed=40 if episode == 0 else None)
        for row in range(6):
            flat = images if channels != 1 else images[..., 0]
            index, canvas = composed(flat, (10, 12), 40 + row, episode, num_clutter, 3, warp)
            assert info["image_index"][row] == index
            oracles.assert_identical(env.image[row], canvas)


def test_images_of_several_sizes_are_warped_each_in_its_own_frame():
    images = [random_images(1, *size)[0] for size in ((5, 8), (9, 4), (3, 3))]
    env = make_vec(12, images, canvas_size=11, **RANGES)
    _, info = env.reset(seed=7)
    for row in range(12):
        index, canvas = composed(images, (11, 11), 7 + row, warp=RANGES)
        assert info["image_index"][row] == index
        oracles.assert_identical(env.image[row], canvas)
    assert set(info["image_index"]) == {0, 1, 2}


# ---------------------------------------------------------------------------------------------- drawn by hand


def test_twice_as_large():
    image = np.zeros((9, 9), np.uint8)
    image[3:6, 3:6] = 200
    edge, inside = [0, 50, 100, 100, 100, 100, 100, 50, 0], [0, 100, 200, 200, 200, 200, 200, 100, 0]
    expected = [[0] * 9, edge, *[inside] * 5, edge, [0] * 9]
    oracles.assert_identical(shown(image, zoom=2), np.array(expected, np.uint8))


def test_half_as_large():
    seen = shown(np.full((8, 8), 77, np.uint8), zoom=0.5)
    expected = np.zeros((8, 8), np.uint8)
    expected[2:6, 2:6] = 77
    oracles.assert_identical(seen, expected)


def test_what_is_the_same_everywhere_stays_so_when_it_is_enlarged():
    image = np.full((7, 10), 131, np.uint8)
    oracles.assert_identical(shown(image, zoom=2.7), image)


@pytest.mark.parametrize("shift", [-9, -8, -3, -1, 1, 2, 5, 8, 100])
def test_shifts_by_whole_pixels_leave_zeros_behind(shift):
    image = random_images(1, 8, 9)[0] | 1
    expected = np.zeros_like(image)
    for i in range(8):
        for j in range(9):
            if 0 <= i - shift < 8 and 0 <= j - shift < 9:
                expected[i, j] = image[i - shift, j - shift]
    oracles.assert_identical(shown(image, shift=shift), expected)


def test_shifts_go_right_and_down():
    image = np.zeros((5, 6), np.uint8)
    image[1, 2] = 200
    expected = np.zeros((5, 6), np.uint8)
    expected[2, 3] = 200
    oracles.assert_identical(shown(image, shift=1), expected)
    expected[:] = 0
    expected[1:3, 2:4] = 50  # half a pixel each way
    oracles.assert_identical(shown(image, shift=0.5), expected)


def test_halves_are_rounded_up():
    image = np.array([[1, 2, 4, 255]], np.uint8).repeat(5, axis=0)
    # In the second column the mean of 1 and 2, then of 2 and 4, and of 4 and 255; the first row is half outside.
    seen = shown(image, shift=0.5)
    assert seen[1:].tolist() == [[1, 2, 3, 130]] * 4
    assert seen[0].tolist() == [0, 1, 2, 65]  # of 0.25, 0.75, 1.5 and 64.75


@pytest.mark.parametrize("side", [4, 7])
@pytest.mark.parametrize("channels", [None, 3])
def test_quarter_turns(side, channels):
    image = random_images(1, side, side, channels)[0]
    for quarters in (-3, -1, 1, 2, 3, 4):
        seen = shown(image, rotation=90 * quarters)
        oracles.assert_identical(seen, np.rot90(image, k=-quarters))


def test_turns_go_with_the_clock():
    image = np.zeros((5, 5), np.uint8)
    image[0, 2] = 255  # at the top
    expected = np.zeros((5, 5), np.uint8)
    expected[2, 4] = 255  # to the right
    oracles.assert_identical(shown(image, rotation=90), expected)


def test_what_leaves_the_images_frame_is_not_on_the_canvas_either():
    image = np.full((1, 4, 4), 90, np.uint8)
    env = make(image, canvas_size=12, shift=3)
    for _ in range(20):
        env.reset(seed=None)
        rows, columns = np.nonzero(env.image)
        assert len(rows) == 1  # its lower right pixel alone
        assert min(rows[0], columns[0]) >= 3


def test_colors_stay_apart():
    image = np.zeros((6, 6, 3), np.uint8)
    image[..., 0], image[..., 2] = random_images(2, 6, 6)
    seen = shown(image, rotation=20, zoom=1.2, shift=0.3)
    for c in range(3):
        oracles.assert_identical(seen[..., c], warped(image[..., c], 20, 1.2, 0.3, 0.3))
    assert seen[..., 0].any()
    assert not seen[..., 1].any()


# ------------------------------------------------------------------------------------------- what is drawn


def uniform_between(values, low, high, slack):
    """Fail unless values fill a range evenly, but for what rounding to whole gray values takes and gives."""
    assert low - slack <= values.min() <= low + 0.01 * (high - low) + slack
    assert high - 0.01 * (high - low) - slack <= values.max() <= high + slack
    counts, _ = np.histogram(values.clip(low, high), bins=10, range=(low, high))
    assert abs(oracles.chi_square(counts)) < 5
    return np.digitize(values, np.linspace(low, high, 5)[1:-1])


def centroids(seen):
    """x and y of the center of what is lit, from the image's center."""
    height, width = seen.shape[1:]
    sums = seen.sum(axis=(1, 2))
    y = (seen.sum(axis=2) * (np.arange(height) - (height - 1) / 2)).sum(axis=1) / sums
    x = (seen.sum(axis=1) * (np.arange(width) - (width - 1) / 2)).sum(axis=1) / sums
    return x, y


def test_shifts_are_uniform_and_drawn_apart():
    image = np.zeros((15, 15), np.uint8)
    image[7, 7] = 255
    right, down = centroids(many(4000, image, shift=(-5, 2.5)))
    pairs = uniform_between(right, -5, 2.5, 0.01), uniform_between(down, -5, 2.5, 0.01)
    assert abs(oracles.chi_square(np.bincount(4 * pairs[0] + pairs[1], minlength=16))) < 5


def test_turns_are_uniform():
    image = np.zeros((25, 25), np.uint8)
    image[2:5, 11:14] = 255  # at the top
    x, y = centroids(many(4000, image, rotation=(-30, 90)))
    uniform_between(np.degrees(np.arctan2(x, -y)), -30, 90, 1.0)


def test_factors_are_uniform_too():
    # Enlarged, a slope rises by less from pixel to pixel; what rounding does to it differs from row to row.
    slope = (4 * np.arange(51) + 2 * np.arange(25)[:, None]).astype(np.uint8)
    seen, offsets = many(4000, slope, zoom=(0.5, 2.0))[:, 7:18, 13:38], np.arange(-12, 13)
    rise = (seen * offsets).sum(axis=(1, 2)) / (11 * (offsets**2).sum())
    uniform_between(4 / rise, 0.5, 2.0, 0.01)


def test_each_episode_is_warped_anew_and_a_number_is_the_same_in_all():
    image = random_images(1, 9, 9)[0]
    drawn, fixed = make(image[None], rotation=(0, 90)), make(image[None], rotation=33)
    for env, distinct in ((drawn, 8), (fixed, 1)):
        seen = []
        for episode in range(8):
            env.reset(seed=3 if episode == 0 else None)
            seen.append(env.image.tobytes())
        assert len(set(seen)) == distinct


def test_an_image_stays_as_it_is_within_an_episode_and_is_what_the_retina_sees():
    images = random_images(3, 9, 8)
    env = make(images, num_glimpses=3, **RANGES)
    observation, _ = env.reset(seed=0)
    before = env.image
    for x in (0.3, -0.7):
        glimpse = oracles.sense_one(before, tuple(observation["location"]), 3, 2)
        oracles.assert_identical(observation["glimpse"], glimpse)
        observation, *_ = env.step({"location": np.array([x, 0.1], np.float32), "label": 0})
        oracles.assert_identical(env.image, before)


@pytest.mark.parametrize("ranges", [{"rotation": (20, 20)}, {"zoom": [1.5, 1.5]}, {"shift": (0.5, 0.5)}])
def test_a_range_of_one_number_is_that_number(ranges):
    image = random_images(1, 8, 8)[0]
    numbers = {name: float(low) for name, (low, _) in ranges.items()}
    oracles.assert_identical(shown(image, **ranges), shown(image, **numbers))
    assert (shown(image, **ranges) != image).any()


def test_the_images_themselves_are_left_alone():
    images = random_images(3, 8, 8)
    before = images.copy()
    env = make_vec(5, images, **RANGES)
    env.reset(seed=0)
    oracles.assert_identical(images, before)


# ------------------------------------------------------------------------------- episodes are those they were


@pytest.mark.parametrize("num_clutter", [0, 4])
def test_image_place_and_clutter_are_the_same_with_a_warp_and_without(num_clutter):
    images = random_images(5, 8, 8)
    kwargs = {"canvas_size": 20, "num_clutter": num_clutter, "clutter_size": 4}
    plain, turned = make_vec(40, images, **kwargs), make_vec(40, images, **kwargs, rotation=360)  # once around
    for seed in (11, None, None):
        oracles.assert_identical(turned.reset(seed=seed), plain.reset(seed=seed))
        oracles.assert_identical(turned.image, plain.image)


def test_image_and_first_glimpse_are_the_same_where_images_are_looked_at_as_they_lie():
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


def test_values_that_change_nothing_cost_nothing():
    images = random_images(3, 8, 8)
    env = make(images, rotation=(0, 0), zoom=1, shift=(0, 0.0))
    assert env.world.canvases is None
    oracles.assert_identical(env.reset(seed=0), make(images).reset(seed=0))


@pytest.mark.parametrize("kwargs", [{}, {"canvas_size": (14, 12), "num_clutter": 2, "clutter_size": 4}])
@pytest.mark.parametrize("channels", [None, 3])
def test_one_alone_equals_one_among_many(kwargs, channels):
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


def test_sub_envs_that_rest_keep_their_canvases():
    env = make_vec(4, random_images(4, 8, 8), **RANGES, autoreset_mode="Disabled")
    env.reset(seed=0)
    before = env.image
    mask = np.array([True, False, False, True])
    env.reset(options={"reset_mask": mask})
    assert [bool((a == b).all()) for a, b in zip(env.image, before, strict=True)] == [False, True, True, False]


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda env: pickle.loads(pickle.dumps(env))])
def test_a_copy_goes_on_alike(duplicate):
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
def test_what_is_no_number_and_no_range_is_refused_by_its_name(make_env, name, value):
    with pytest.raises(ValueError, match=rf"^{name} must be a "):
        make_env(**arguments(random_images(3, 8, 8), **{name: value}))


@pytest.mark.parametrize("make_env", [ClassificationEnv, ClassificationVectorEnv])
@pytest.mark.parametrize("value", [0, 0.0, -1, (0, 2), (-1, 1), [-2, -1]])
def test_a_factor_is_greater_than_zero(make_env, value):
    with pytest.raises(ValueError, match=r"^zoom must be greater than 0, got ") as caught:
        make_env(**arguments(random_images(3, 8, 8), zoom=value))
    assert repr(value) in str(caught.value)


@pytest.mark.parametrize("value", [3, np.float32(3), np.int64(3), (1, 3), [1, np.float64(3.5)]])
def test_numbers_of_any_kind_and_lists_are_accepted(value):
    image = random_images(1, 8, 8)[0]
    for name in RANGES:
        assert (shown(image, **{name: value}) != image).any()


@pytest.mark.parametrize("make_env", [ClassificationEnv, ClassificationVectorEnv])
@pytest.mark.parametrize("name", ["rotation", "zoom", "shift"])
def test_images_of_several_sizes_need_a_canvas_to_be_warped_on(make_env, name):
    images = [random_images(1, *size)[0] for size in ((5, 8), (9, 4))]
    with pytest.raises(ValueError, match="images of several sizes need a canvas: give canvas_size"):
        make_env(**arguments(images, **{name: (2, 3)}))
    make_env(**arguments(images, **{name: (2, 3)}, canvas_size=9)).reset(seed=0)
    make_env(**arguments(images)).reset(seed=0)


def test_bad_values_are_found_before_the_first_episode_and_before_the_others():
    # Where two are wrong, it is the warp that is told of: nothing was made until then.
    with pytest.raises(ValueError, match=r"^shift must be"):
        make(random_images(3, 8, 8), shift="far", num_glimpses=0, patch_size=-1, num_clutter=-1, glimpse_cost="no")
