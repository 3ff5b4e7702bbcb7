"""Rules for where to look: against locations computed by hand, row resets, independence of the rows.

B episodes, T glimpses.
"""

import math
from typing import get_args, get_type_hints

import numpy as np
import pytest
import torch

import oracles
from glimpse_gym.agents.configs import RAMConfig
from glimpse_gym.agents.location_policies import (
    LOCATION_RULES,
    OracleLocations,
    RasterLocations,
    SaliencyLocations,
    ScriptedLocations,
    SpiralLocations,
)
from runs import (
    CATCH,
    IMAGES,
    NoWorld,
    make_envs,
    noise_images,
    square_images,
)
from toy_world import SideVectorEnv

N = SaliencyLocations.num_cells
SIDE = 48  # of images in which a map cell is 2 x 2 pixels


def bound(name, envs):
    rule = LOCATION_RULES[name]()
    rule.bind(envs)
    return rule


def zeros(rule, number):
    return torch.zeros(number, rule.memory_size)


def look(envs, rule, seed=0, options=None):
    """Play one episode by a rule: locations of all glimpses, (T, B, 2)."""
    scripted = ScriptedLocations(envs, rule)
    observation, _ = scripted.reset(seed=seed, options=options)
    locations, terminated = [], np.zeros(envs.num_envs, bool)
    while not terminated.all():
        locations.append(observation["location"])
        observation, _, terminated, _, _ = scripted.step(envs.action_space.sample())
    return np.stack(locations)


def image_of(points, side=SIDE):
    """Image with bright squares of 2 x 2 pixels: (row, column) -> brightness."""
    image = np.zeros((side, side), np.uint8)
    for (row, column), value in points.items():
        image[row : row + 2, column : column + 2] = value
    return image


def look_at(images, rule, **changes):
    """Play one episode on each image, from its center if ``changes`` do not say otherwise: locations, (T, B, 2)."""
    kwargs = {"patch_size": 8, "num_scales": 3, "num_glimpses": 6, "first_glimpse": "center"} | changes
    envs = make_envs(num_envs=len(images), images=np.stack(images), labels=np.zeros(len(images), int), **kwargs)
    return look(envs, rule, options={"image_index": np.arange(len(images))})


def center_of(row, column, side=SIDE):
    """Location of the center of a square of 2 x 2 pixels."""
    return [2 * (column + 1) / side - 1, 2 * (row + 1) / side - 1]


# ---------------------------------------------------------------------------------------- fixed sequences


def test_rules_are_those_of_the_configuration():
    accepted = get_args(get_type_hints(RAMConfig)["location_policy"])
    assert accepted == ("learned", "random", *LOCATION_RULES)


@pytest.mark.parametrize(
    ("number", "rows"),
    [(1, [1]), (2, [2]), (3, [2, 1]), (4, [2, 2]), (6, [3, 3]), (7, [2, 3, 2]), (22, [4, 5, 4, 5, 4])],
)
def test_raster_covers_the_image_row_by_row(number, rows):
    expected = [
        ((2 * column + 1) / length - 1, (2 * row + 1) / len(rows) - 1)
        for row, length in enumerate(rows)
        for column in range(length)
    ]
    np.testing.assert_allclose(RasterLocations.sequence(number), expected, atol=1e-7)


def test_raster_of_seven_locations_by_hand():
    third = 2 / 3
    expected = [(-0.5, -third), (0.5, -third), (-third, 0), (0, 0), (third, 0), (-0.5, third), (0.5, third)]
    np.testing.assert_allclose(RasterLocations.sequence(7), expected, atol=1e-7)


def test_spiral_by_hand():
    degrees = [0, 137.50776, 275.01553, 412.52329]
    expected = [
        (math.sqrt(i / 4) * math.cos(math.radians(d)), math.sqrt(i / 4) * math.sin(math.radians(d)))
        for i, d in enumerate(degrees)
    ]
    np.testing.assert_allclose(SpiralLocations.sequence(4), expected, atol=1e-6)


def test_spiral_goes_outward_and_stays_inside():
    radius = SpiralLocations.sequence(22).norm(dim=1)
    assert radius[0] == 0
    assert (radius.diff() > 0).all()
    assert radius[-1] < 1


@pytest.mark.parametrize(("name", "rule_class"), [("raster", RasterLocations), ("spiral", SpiralLocations)])
@pytest.mark.parametrize("num_glimpses", [1, 2, 5, 8])
def test_sequences_follow_the_first_glimpse_in_every_row(name, rule_class, num_glimpses):
    envs = make_envs(num_envs=3, **noise_images(num_glimpses=num_glimpses))
    locations = look(envs, bound(name, envs))
    assert len(locations) == num_glimpses
    expected = rule_class.sequence(max(num_glimpses - 1, 1))[: num_glimpses - 1].float()
    np.testing.assert_array_equal(locations[1:], expected[:, None].expand(-1, 3, -1))


@pytest.mark.parametrize("name", ["raster", "spiral"])
def test_sequences_know_each_rows_step_from_its_time(name):
    rule = bound(name, make_envs(num_envs=4, **noise_images(num_glimpses=5)))
    time = np.array([[0.2], [0.0], [0.6], [1.0]], np.float32)
    location, _ = rule.next_location({"time": time}, zeros(rule, 4))
    assert torch.equal(location, rule.sequence(4)[[1, 0, 3, 3]].float())


def test_center_is_always_the_center():
    locations = look(make_envs(num_envs=3, **noise_images()), LOCATION_RULES["center"]())
    assert locations[0].any()
    assert not locations[1:].any()


# ------------------------------------------------------------------------------------------------ saliency


def test_saliency_looks_at_the_brightest_spot_first_and_never_twice_at_one():
    # All are outside the first fovea, of 8 x 8 pixels at the center, and farther than a fovea from each other.
    spots = {(8, 8): 150, (32, 8): 255, (36, 34): 200, (10, 36): 90}
    locations = look_at([image_of(spots)], SaliencyLocations())[:, 0]
    order = sorted(spots, key=spots.get, reverse=True)
    # At a coarser scale the place of a spot is known to half a cell of 4 x 4 pixels; the fovea shows the spot.
    np.testing.assert_allclose(locations[1:5], [center_of(*spot) for spot in order], atol=2 * 2.1 / SIDE)
    assert min(np.abs(locations[5] - center_of(*spot)).max() for spot in spots) > 2 * 4 / SIDE


def test_saliency_of_an_empty_image_searches_outward_from_the_center():
    locations = look_at([image_of({})], SaliencyLocations())[:, 0]
    from_center = np.abs(locations).max(axis=1)
    assert from_center[0] == 0
    fovea = 8 / SIDE  # half of it, as a difference of coordinates
    assert (from_center[1:5] > fovea).all()  # the center has been fixated
    assert (from_center[1:5] < 3 * fovea).all()  # what is next to it has not
    distances = np.abs(locations[:, None] - locations).max(axis=2) + 2 * np.eye(len(locations))
    assert distances.min() > fovea


@pytest.mark.parametrize(("axis", "sign"), [(0, -1), (0, 1), (1, -1), (1, 1)])
def test_saliency_with_one_scale_moves_over_the_brightest_border(axis, sign):
    # A bar from the center to one side; the first fovea shows its beginning.
    image = np.zeros((SIDE, SIDE), np.uint8)
    image[22:26, 24:] = 255
    image = {(0, 1): image, (0, -1): image[:, ::-1], (1, 1): image.T, (1, -1): image.T[::-1]}[axis, sign]
    first, second = look_at([image], SaliencyLocations(), num_scales=1, num_glimpses=2)[:, 0]
    assert not first.any()
    fovea = 2 * 8 / SIDE
    assert fovea / 2 < sign * second[axis] <= fovea
    assert abs(second[1 - axis]) < fovea / 4


def slow_saliency(images, glimpse_locations, g, k):
    """Saliency of every cell after some glimpses at each image, (B, N, N), in plain loops and from the pixels."""
    batch, height, width = images.shape
    weights = []
    for extent in (height, width):
        pixel = (np.arange(N) + 0.5) * extent / N
        distance = np.abs(pixel[:, None] - pixel) / (g / 3)
        weight = np.exp(-(distance**2) / 2) * (distance <= 4)
        weights.append(weight / weight.sum(1).max())
    rows, columns = weights
    result = np.zeros((batch, N, N))
    for b in range(batch):
        brightness, how_seen = np.zeros((N, N)), np.zeros((N, N))
        for location in glimpse_locations[:, b].astype(float):
            glimpse = oracles.sense_one(images[b], tuple(location), g, k)
            px, py = (location[0] + 1) * width / 2, (location[1] + 1) * height / 2
            for i in range(N):
                for j in range(N):
                    for scale in range(k):
                        corner = [math.floor(p - g * 2**scale / 2 + 0.5) for p in (py, px)]
                        cell_row = math.floor(((i + 0.5) * height / N - corner[0]) / 2**scale)
                        cell_column = math.floor(((j + 0.5) * width / N - corner[1]) / 2**scale)
                        if 0 <= cell_row < g and 0 <= cell_column < g:
                            brightness[i, j] = glimpse[scale, cell_row, cell_column]
                            how_seen[i, j] = max(how_seen[i, j], 1 if scale else 2)
                            break
        cells = (2 * np.arange(N) + 1) / N - 1
        expected = np.where(how_seen == 0, rows @ brightness @ columns, brightness)
        expected += 0.01 * (1 - (cells[:, None] ** 2 + cells**2) / 4)
        result[b] = rows @ np.where(how_seen == 2, 0, expected) @ columns
    return result


@pytest.mark.parametrize("num_scales", [1, 3])
@pytest.mark.parametrize("shape", [(30, 42), (16, 16)])
def test_saliency_against_plain_loops(num_scales, shape):
    images = np.random.default_rng(3).integers(0, 256, (3, *shape), np.uint8)
    changes = {"patch_size": 5, "num_scales": num_scales, "num_glimpses": 5, "first_glimpse": "random"}
    locations = look_at(images, SaliencyLocations(), **changes)
    cells = (2 * np.arange(N) + 1) / N - 1
    for t in range(1, 5):
        saliency = slow_saliency(images, locations[:t], 5, num_scales)
        for b, (x, y) in enumerate(locations[t]):
            chosen = saliency[b, np.abs(cells - y).argmin(), np.abs(cells - x).argmin()]
            assert chosen >= saliency[b].max() - 1e-5
            assert min(np.abs(cells - x).min(), np.abs(cells - y).min()) < 1e-6


def test_saliency_averages_the_channels():
    image = np.zeros((SIDE, SIDE, 3), np.uint8)
    image[..., 0] = image[..., 1] = image_of({(8, 8): 150})  # 100 on average
    image[..., 2] = image_of({(36, 34): 250})  # 83
    locations = look_at([image], SaliencyLocations())[:, 0]
    np.testing.assert_allclose(locations[1:3], [center_of(8, 8), center_of(36, 34)], atol=2 * 2.1 / SIDE)


def test_saliency_memory_is_reset_where_time_is_zero():
    envs = make_envs(num_envs=3, **noise_images())
    rule = bound("saliency", envs)
    observation, _ = envs.reset(seed=0)
    fresh, fresh_memory = rule.next_location(observation, zeros(rule, 3))
    old = torch.rand(3, rule.memory_size) * 2
    observation["time"] = np.array([[0.0], [0.5], [0.0]], np.float32)
    location, memory = rule.next_location(observation, old)
    assert [torch.equal(a, b) for a, b in zip(memory, fresh_memory, strict=True)] == [True, False, True]
    assert torch.equal(location[[0, 2]], fresh[[0, 2]])


# -------------------------------------------------------------------------------------------------- oracle

RING = [(0, 0), (0, -1), (0, 1), (-1, 0), (1, 0), (-1, -1), (1, -1), (-1, 1), (1, 1)]


def test_oracle_looks_at_the_center_of_the_image_on_its_canvas_and_around_it():
    images = np.full((5, 8, 12), 255, np.uint8)
    kwargs = {"images": images, "labels": np.arange(5), "canvas_size": (40, 60), "patch_size": 4, "num_glimpses": 12}
    envs = make_envs(num_envs=20, **kwargs)
    locations = look(envs, OracleLocations())
    for b, canvas in enumerate(envs.unwrapped.image):
        rows, columns = np.nonzero(canvas)
        center = np.array([columns.min() + columns.max() + 1, rows.min() + rows.max() + 1]) / 2
        for t in range(1, 12):
            pixel = center + np.array(RING[(t - 1) % 9]) * (3, 2)
            np.testing.assert_allclose(locations[t, b], 2 * pixel / (60, 40) - 1, atol=1e-6)


@pytest.mark.parametrize("canvas_size", [60, 600])  # a large canvas is composed tile by tile
def test_oracle_is_not_misled_by_clutter(canvas_size):
    images = np.zeros((6, 20, 20), np.uint8)
    images[:, 9:11, 9:11] = 255
    images[:, 0, 0], images[:, 19, 19] = 70, 140  # clutter shows parts of other images only
    kwargs = {"canvas_size": canvas_size, "num_clutter": 6, "patch_size": 4, "num_glimpses": 3}
    envs = make_envs(num_envs=12, images=images, labels=np.arange(6), **kwargs)
    envs.reset(seed=1)
    for canvas, (top, left, height, width) in zip(envs.image, envs.unwrapped.world.target_boxes, strict=True):
        assert (height, width) == (20, 20)
        assert (canvas[top : top + 20, left : left + 20] >= images[0]).all()  # clutter is added


def test_target_of_an_image_without_canvas_is_all_of_it():
    images = [np.zeros((10, 14), np.uint8), np.zeros((20, 6), np.uint8)]
    envs = make_envs(num_envs=2, images=images, labels=[0, 1], num_glimpses=3)
    envs.reset(seed=0, options={"image_index": np.array([1, 0])})
    assert envs.unwrapped.world.target_boxes.tolist() == [[0, 0, 20, 6], [0, 0, 10, 14]]
    location, _ = bound("oracle", envs).next_location({"time": np.zeros((2, 1), np.float32)}, torch.zeros(2, 0))
    assert not location.any()


def test_oracle_looks_at_the_ball():
    envs = make_envs(CATCH, 50)
    rule = bound("oracle", envs)
    observation, _ = envs.reset(seed=0)
    for _ in range(22):
        location, _ = rule.next_location(observation, zeros(rule, 50))
        column, row = ((location.numpy() + 1) * 12).astype(int).T
        screens = np.stack(envs.image)
        assert (screens[np.arange(50), row, column] == 255).all()
        assert (row == np.arange(24)[round(float(observation["time"][0, 0]) * 23)]).all()
        observation, *_ = envs.step(envs.action_space.sample())


def test_oracle_needs_a_world_that_says_where_its_target_is():
    envs = SideVectorEnv(num_envs=2)
    with pytest.raises(ValueError, match="target_boxes of the world, and SideWorld has none: choose another"):
        OracleLocations().bind(envs)


# ------------------------------------------------------------------------------------------------ all rules


@pytest.mark.parametrize("name", ["raster", "spiral", "saliency", "oracle"])
def test_rules_that_depend_on_the_env_say_so(name):
    rule = LOCATION_RULES[name]()
    observation = {"glimpse": np.zeros((1, 1, 4, 4)), "location": np.zeros((1, 2)), "time": np.zeros((1, 1))}
    with pytest.raises(ValueError, match=r"call check_env\(envs\) first"):
        rule.next_location(observation, zeros(rule, 1))


@pytest.mark.parametrize("name", sorted(set(LOCATION_RULES) - {"oracle"}))
def test_only_the_oracle_reaches_behind_the_interface(name):
    look(NoWorld(make_envs(num_envs=2, **noise_images())), LOCATION_RULES[name]())
    with pytest.raises(AssertionError, match="reached behind"):
        OracleLocations().bind(NoWorld(make_envs(num_envs=2, **noise_images())))


@pytest.mark.parametrize("env_id", [IMAGES, CATCH])
@pytest.mark.parametrize("name", LOCATION_RULES)
def test_looks_of_a_row_do_not_depend_on_its_neighbors(name, env_id):
    kwargs = square_images() if env_id == IMAGES else {}
    seeds = [5, 6, 7, 8]
    together = look(make_envs(env_id, 4, **kwargs), LOCATION_RULES[name](), seeds)
    turned = look(make_envs(env_id, 4, **kwargs), LOCATION_RULES[name](), seeds[::-1])
    alone = look(make_envs(env_id, 1, **kwargs), LOCATION_RULES[name](), seeds[2:3])
    if name == "saliency" and env_id == CATCH:  # moves differ from run to run, and so does what it sees
        together, turned, alone = (locations[:2] for locations in (together, turned, alone))
    np.testing.assert_array_equal(together, turned[:, ::-1])
    np.testing.assert_array_equal(together[:, 2:3], alone)


def test_vector_env_of_a_rule_leaves_the_given_action_as_it_was():
    envs = ScriptedLocations(make_envs(num_envs=2, **noise_images()), LOCATION_RULES["center"]())
    envs.reset(seed=0)
    action = {"next_location": np.full((2, 2), 0.5, np.float32), "label": np.zeros(2, np.int64)}
    observation, *_ = envs.step(action)
    assert (action["next_location"] == 0.5).all()
    assert not observation["location"].any()
