"""The classification world, rule by rule. B rows, T glimpses, K classes, an M x M grid of places."""

import math

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.error import ResetNeeded

import oracles
from glimpse_gym.envs import ClassificationEnv, ClassificationVectorEnv
from glimpse_gym.images import datasets as data

K, T = 4, 3


def patterned(*sizes, channels=None):
    """Images of these sizes whose pixels all differ and are never 0, so that each is found on a canvas."""
    shapes = [size if channels is None else (*size, channels) for size in sizes]
    return [(np.arange(np.prod(shape)) % 251 + 1).astype(np.uint8).reshape(shape) for shape in shapes]


def constant(values, size=(8, 8)):
    return np.array([np.full(size, value, np.uint8) for value in values])


IMAGES = np.random.default_rng(0).integers(0, 256, (12, 10, 9), np.uint8)
LABELS = np.arange(12) % K


def make(**kwargs):
    kwargs = {"images": IMAGES, "labels": LABELS, "num_glimpses": T, "patch_size": 4, "num_scales": 2} | kwargs
    return gym.make("glimpse_gym/Images-v0", **kwargs).unwrapped


def make_vec(num_envs, **kwargs):
    kwargs = {"images": IMAGES, "labels": LABELS, "num_glimpses": T, "patch_size": 4, "num_scales": 2} | kwargs
    return gym.make_vec("glimpse_gym/Images-v0", num_envs=num_envs, **kwargs)


def canvases(num_envs, seed=0, options=None, **kwargs):
    """What lies on ``num_envs`` canvases (B, H, W), and what their resets told."""
    env = make_vec(num_envs, **kwargs)
    _, info = env.reset(seed=seed, options=options)
    return np.stack(env.unwrapped.image), info


def look(x, y, label=0):
    return {"location": np.array([x, y], np.float32), "label": label}


def looks(*rows):
    """A vector env's action out of (x, y, label) of each row."""
    return {"location": np.array([row[:2] for row in rows], np.float32), "label": np.array([row[2] for row in rows])}


# ---------------------------------------------------------------- canvases


@pytest.mark.parametrize("channels", [None, 3])
def test_every_image_lies_wholly_inside(channels):
    images = patterned((3, 4), (5, 2), (9, 12), (1, 1), channels=channels)
    seen, info = canvases(300, images=images, labels=[0, 1, 2, 3], canvas_size=(9, 12))
    for canvas, index in zip(seen, info["image_index"], strict=True):
        lit = canvas.reshape(9, 12, -1).any(axis=-1)
        rows, columns = np.flatnonzero(lit.any(axis=1)), np.flatnonzero(lit.any(axis=0))
        box = canvas[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        np.testing.assert_array_equal(box, images[index])
        assert not canvas[~lit].any()
    assert set(info["image_index"]) == {0, 1, 2, 3}


def top_left(canvas):
    lit = canvas.any(axis=2) if canvas.ndim == 3 else canvas > 0
    return np.flatnonzero(lit.any(axis=1))[0], np.flatnonzero(lit.any(axis=0))[0]


def test_places_are_uniform():
    images = patterned((3, 4), (3, 4))
    env = make_vec(6000, images=images, labels=[0, 1], canvas_size=(7, 9))
    observation, info = env.reset(seed=0)
    counts = np.zeros((5, 6, 2, 2, 2))
    quadrants = (observation["location"] > 0).astype(int)
    for canvas, quadrant, index in zip(env.unwrapped.image, quadrants, info["image_index"], strict=True):
        counts[(*top_left(canvas), *quadrant, index)] += 1
    # Nor do the place, the first location and the image tell of each other.
    for sums in (counts.sum(axis=(2, 3, 4)), counts.sum(axis=(0, 1)), counts):
        assert sums.min() > 0
        assert abs(oracles.chi_square(sums)) < 5


def test_places_of_several_pieces_are_independent():
    # Two pieces of one pixel on a row of four.
    kwargs = {"images": constant([0, 1], size=(1, 1)), "labels": [0, 1], "canvas_size": (1, 4)}
    seen, _ = canvases(4000, **kwargs, num_clutter=2, clutter_size=1, options={"image_index": 0})
    rows = seen[:, 0].astype(int)
    assert (rows.sum(axis=1) == 2).all()
    # Both lie on one pixel in one of four cases, and anywhere.
    oracles.assert_binomial(int((rows == 2).any(axis=1).sum()), 4000, 1 / 4)
    assert abs(oracles.chi_square(rows.sum(axis=0))) < 5


@pytest.mark.parametrize("canvas_size", [60, (60, 60)])
def test_canvas_size_is_a_side_or_height_and_width(canvas_size):
    env = make(canvas_size=canvas_size)
    env.reset(seed=0)
    assert env.image.shape == (60, 60)
    env = make(canvas_size=(60, 61))
    env.reset(seed=0)
    assert env.image.shape == (60, 61)


def test_without_a_canvas_the_image_itself_is_the_world():
    images = patterned((3, 4), (7, 2))
    env = make(images=images, labels=[0, 1])
    for index in (0, 1, 0):
        env.reset(seed=0, options={"image_index": index})
        oracles.assert_identical(env.image, images[index])


def test_a_canvas_of_the_size_of_the_image_leaves_no_choice():
    env = make(canvas_size=(10, 9))
    for index in range(5):
        env.reset(seed=index, options={"image_index": index})
        oracles.assert_identical(env.image, IMAGES[index])


def test_the_image_handed_out_is_a_copy():
    for env in (make(), make(canvas_size=20)):
        env.reset(seed=0)
        before = env.image
        env.image[:] = 0
        oracles.assert_identical(env.image, before)
    assert IMAGES.any()


# ---------------------------------------------------------------- clutter


def test_each_piece_is_8_by_8_wholly_inside_and_comes_from_any_other_image():
    # Each image is of a value of its own, so that sums tell which one a piece was cut out of.
    values = np.arange(1, 7)
    images = constant(20 * values)
    seen, info = canvases(3000, images=images, labels=[0, 1] * 3, canvas_size=24, num_clutter=1)
    sources = np.zeros((6, 6))
    for canvas, index in zip(seen.astype(int), info["image_index"], strict=True):
        # The image (value a) and the piece (value b) overlap where a + b is seen.
        a = 20 * (index + 1)
        total = canvas.sum()
        b = (total - 64 * a) // 64
        assert total == 64 * (a + b)
        assert set(np.unique(canvas)) <= {0, a, b, a + b}
        sources[index, b // 20 - 1] += 1
    assert not sources.diagonal().any()
    others = sources[~np.eye(6, dtype=bool)]
    assert abs(oracles.chi_square(others)) < 5


def test_pieces_never_come_from_the_image_shown():
    # Of two images the other one is the only source.
    images = constant([100, 1])
    seen, _ = canvases(50, images=images, labels=[0, 1], canvas_size=20, num_clutter=9, options={"image_index": 0})
    assert (seen.astype(int).sum(axis=(1, 2)) == 64 * (100 + 9)).all()
    images = constant([1, 25])
    seen, _ = canvases(50, images=images, labels=[0, 1], canvas_size=20, num_clutter=9, options={"image_index": 0})
    assert (seen.astype(int).sum(axis=(1, 2)) == 64 * (1 + 9 * 25)).all()


def test_windows_are_cut_and_placed_uniformly():
    source = patterned((10, 11))[0]
    images = [np.zeros((8, 8), np.uint8), source]
    kwargs = {"images": images, "labels": [0, 1], "canvas_size": (12, 11), "num_clutter": 1}
    seen, _ = canvases(6000, **kwargs, options={"image_index": 0})
    counts = np.zeros((3, 4, 5, 4))
    for canvas in seen:
        row, column = top_left(canvas)
        cut = divmod(int(canvas[row, column]) - 1, 11)
        expected = np.zeros((12, 11), np.uint8)
        expected[row : row + 8, column : column + 8] = source[cut[0] : cut[0] + 8, cut[1] : cut[1] + 8]
        np.testing.assert_array_equal(canvas, expected)
        counts[(*cut, row, column)] += 1
    # So is each cut with each place: neither tells of the other.
    for sums in (counts.sum(axis=(2, 3)), counts.sum(axis=(0, 1)), counts):
        assert sums.min() > 0
        assert abs(oracles.chi_square(sums)) < 5


def test_clutter_is_added_and_clipped_at_255():
    images = constant([0, 100])
    kwargs = {"images": images, "labels": [0, 1], "canvas_size": 9, "options": {"image_index": 0}}
    seen, _ = canvases(200, **kwargs, num_clutter=8)
    assert set(np.unique(seen)) == {0, 100, 200, 255}
    # Two pieces on 9 x 9 pixels always overlap: what both cover is the sum, none is left out, none replaced.
    seen, _ = canvases(200, **kwargs, num_clutter=2)
    assert (seen.astype(int).sum(axis=(1, 2)) == 2 * 64 * 100).all()
    # And clutter is added to the image, too.
    images = constant([200, 100])
    seen, _ = canvases(50, **kwargs | {"images": images, "canvas_size": 8}, num_clutter=1)
    assert (seen == 255).all()
    images = constant([155, 100])
    seen, _ = canvases(50, **kwargs | {"images": images, "canvas_size": 8}, num_clutter=1)
    assert (seen == 255).all()
    images = constant([154, 100])
    seen, _ = canvases(50, **kwargs | {"images": images, "canvas_size": 8}, num_clutter=1)
    assert (seen == 254).all()


def test_the_number_and_the_size_of_the_pieces():
    images = constant([0, 1], size=(12, 12))
    for num_clutter, clutter_size in ((0, 8), (1, 1), (4, 8), (8, 3), (100, 12)):
        kwargs = {"canvas_size": 30, "num_clutter": num_clutter, "clutter_size": clutter_size}
        seen, _ = canvases(20, images=images, labels=[0, 1], **kwargs, options={"image_index": 0})
        assert (seen.astype(int).sum(axis=(1, 2)) == num_clutter * clutter_size**2).all()


def test_colors_of_clutter_stay_apart():
    images = np.zeros((2, 8, 8, 3), np.uint8)
    images[1] = 10, 20, 30
    kwargs = {"images": images, "labels": [0, 1], "canvas_size": (14, 9), "num_clutter": 2}
    seen, _ = canvases(30, **kwargs, options={"image_index": 0})
    assert seen.shape == (30, 14, 9, 3)
    assert (seen.astype(int).sum(axis=(1, 2)) == [2 * 64 * 10, 2 * 64 * 20, 2 * 64 * 30]).all()


def test_clutter_comes_from_the_same_split():
    images = constant(range(1, 41))
    mine = {"train": set(range(8)), "validation": {8}, "test": {9}}
    for split, digits in mine.items():
        kwargs = {"images": images, "labels": np.zeros(40, int), "split": split, "num_classes": 2}
        seen, info = canvases(400, **kwargs, canvas_size=17, num_clutter=1)
        in_split = [i for i in range(40) if i % 10 in digits]
        for canvas, index in zip(seen.astype(int), info["image_index"], strict=True):
            shown = in_split[index] + 1
            piece = canvas.sum() // 64 - shown
            assert canvas.sum() == 64 * (shown + piece)
            assert piece - 1 in in_split
            assert piece != shown


def test_each_episode_is_composed_anew():
    env = make(canvas_size=30, num_clutter=2, num_glimpses=1)
    env.reset(seed=0, options={"image_index": 3})
    first = env.image
    env.step(look(0, 0))
    oracles.assert_identical(env.image, first)
    env.reset(options={"image_index": 3})
    assert (env.image != first).any()


# ---------------------------------------------------------------- starting states


def test_images_and_first_locations_are_uniform():
    env = make_vec(6000)
    observation, info = env.reset(seed=1)
    assert abs(oracles.chi_square(np.bincount(info["image_index"], minlength=12))) < 5
    cells = np.floor((observation["location"] + 1) * 4).astype(int)
    counts = np.bincount(cells[:, 0] * 8 + cells[:, 1], minlength=64)
    assert len(counts) == 64
    assert abs(oracles.chi_square(counts)) < 5


def test_a_centred_first_glimpse():
    env = make(first_glimpse="center")
    for seed in range(3):
        observation, _ = env.reset(seed=seed)
        assert observation["location"].tolist() == [0.0, 0.0]
        oracles.assert_identical(observation["glimpse"], oracles.sense_one(env.image, (0, 0), 4, 2))


# ---------------------------------------------------------------- observations, actions and info


@pytest.mark.parametrize("channels", [None, 1, 3])
@pytest.mark.parametrize("canvas", [{}, {"canvas_size": (20, 24), "num_clutter": 2, "clutter_size": 3}])
def test_an_episode_of_the_hybrid_form(channels, canvas):
    shape = (12, 10, 9) if channels is None else (12, 10, 9, channels)
    images = np.random.default_rng(1).integers(0, 256, shape, np.uint8)
    env = make(images=images, **canvas)
    assert env.observation_space == spaces.Dict(
        {
            "glimpse": spaces.Box(0, 1, (2 * (channels or 1), 4, 4), np.float32),
            "location": spaces.Box(-1, 1, (2,), np.float32),
            "time": spaces.Box(0, 1, (1,), np.float32),
        }
    )
    assert env.action_space == spaces.Dict(
        {"location": spaces.Box(-1, 1, (2,), np.float32), "label": spaces.Discrete(K)}
    )
    rng = np.random.default_rng(2)
    for seed in range(6):
        observation, info = env.reset(seed=seed)
        assert info.keys() == {"image_index"}
        assert type(info["image_index"]) is int
        label = LABELS[info["image_index"]]
        location = observation["location"]
        answer = int(rng.integers(K))
        for step in range(T + 1):
            assert observation in env.observation_space
            expected = oracles.sense_one(env.image, location, 4, 2)
            oracles.assert_identical(observation["glimpse"], expected)
            oracles.assert_identical(observation["location"], location)
            oracles.assert_identical(observation["time"], np.array([step / T], np.float32))
            if step == T:
                break
            target = rng.uniform(-1.4, 1.4, 2).astype(np.float32)
            # All labels but the last are ignored: the right one is said first, to no avail.
            said = answer if step == T - 1 else int(label)
            observation, reward, terminated, truncated, info = env.step({"location": target, "label": said})
            assert (type(reward), type(terminated), truncated) == (float, bool, False)
            assert terminated == (step == T - 1)
            if terminated:  # the last step looks nowhere
                assert reward == (1.0 if answer == label else 0.0)
                assert info == {"label": label, "prediction": answer, "correct": bool(answer == label)}
                assert [type(info[name]) for name in ("label", "prediction", "correct")] == [int, int, bool]
            else:
                assert (reward, info) == (0.0, {})
                location = target.clip(-1, 1)


def test_with_one_glimpse_the_first_step_judges():
    env = make(num_glimpses=1)
    observation, _ = env.reset(seed=0, options={"image_index": 5})
    last, reward, terminated, _, info = env.step(look(1, 1, int(LABELS[5])))
    assert (reward, terminated, info["correct"]) == (1.0, True, True)
    oracles.assert_identical(last, observation | {"time": np.ones(1, np.float32)})


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_locations_of_any_precision_come_back_as_float32(dtype):
    env = make()
    env.reset(seed=0)
    observation, *_ = env.step({"location": np.array([0.3, -9], dtype), "label": np.int64(1)})
    oracles.assert_identical(observation["location"], np.array([dtype(0.3), -1], np.float32))
    env.step({"location": [0.5, 0.5], "label": np.array(2, np.uint8)})


def test_the_discrete_form():
    M = 3
    env = make(actions="discrete", grid_size=M, num_glimpses=M * M + 1)
    assert env.action_space == spaces.Discrete(M * M + K)
    observation, info = env.reset(seed=0)
    for cell in range(M * M):
        observation, reward, terminated, truncated, info = env.step(cell)
        assert (reward, terminated, truncated, info) == (0.0, False, False, {})
        location = oracles.cell_center(cell, M)
        assert tuple(observation["location"]) == location
        oracles.assert_identical(observation["glimpse"], oracles.sense_one(env.image, location, 4, 2))
    # Row by row: the first three cells lie in the upper row, from the left to the right.
    env.reset(seed=0)
    upper = [env.step(cell)[0]["location"].tolist() for cell in range(3)]
    np.testing.assert_allclose(upper, [[-2 / 3, -2 / 3], [0, -2 / 3], [2 / 3, -2 / 3]], rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("grid_size", [1, 2, 5])
def test_cells_are_counted_row_by_row(grid_size):
    cells = grid_size**2
    for actions in ("discrete", "multidiscrete"):
        env = make_vec(cells, actions=actions, grid_size=grid_size)
        env.reset(seed=0)
        action = np.arange(cells) if actions == "discrete" else np.stack([np.arange(cells), np.zeros(cells, int)], 1)
        observation, *_ = env.step(action)
        expected = np.array([oracles.cell_center(cell, grid_size) for cell in range(cells)], np.float32)
        oracles.assert_identical(observation["location"], expected)


def test_five_by_five_places_unless_told_otherwise():
    assert make(actions="discrete").action_space == spaces.Discrete(25 + K)
    assert make(actions="multidiscrete").action_space == spaces.MultiDiscrete([25, K])


@pytest.mark.parametrize("num_looks", [0, 1, 2])
@pytest.mark.parametrize("right", [True, False])
def test_an_answer_ends_the_episode_at_once(num_looks, right):
    env = make(actions="discrete")
    before, info = env.reset(seed=num_looks)
    label = int(LABELS[info["image_index"]])
    answer = label if right else (label + 1) % K
    for _ in range(num_looks):
        before, _, terminated, _, _ = env.step(7)
        assert not terminated
    after, reward, terminated, truncated, info = env.step(25 + answer)
    assert (reward, terminated, truncated) == (float(right), True, False)
    assert info == {"label": label, "prediction": answer, "correct": right}
    time = np.array([(num_looks + 1) / T], np.float32)
    oracles.assert_identical(after, before | {"time": time})


def test_a_look_at_the_last_step_ends_the_episode_with_nothing():
    env = make(actions="discrete")
    env.reset(seed=0, options={"image_index": 6})
    assert env.step(25 + int(LABELS[6]))[1] == 1.0  # what was right before does not count again
    env.reset(options={"image_index": 6})
    env.step(3)
    before, *_ = env.step(4)
    after, reward, terminated, truncated, info = env.step(5)
    assert (reward, terminated, truncated) == (0.0, True, False)
    assert (info["label"], info["correct"]) == (LABELS[6], False)
    assert info["prediction"] not in range(K)
    oracles.assert_identical(after, before | {"time": np.ones(1, np.float32)})


def test_what_a_glimpse_costs():
    # In the discrete form each look, but neither an answer nor the look that only runs out of time.
    env = make(actions="discrete", glimpse_cost=0.25)
    label = env.reset(seed=0, options={"image_index": 6})[1]["image_index"] % K
    assert [env.step(a)[1] for a in (0, 1, 25 + label)] == [-0.25, -0.25, 1.0]
    env.reset(options={"image_index": 6})
    assert [env.step(a)[1] for a in (0, 1, 2)] == [-0.25, -0.25, 0.0]
    # In the two others every step but the last is a look.
    env = make(glimpse_cost=0.25)
    env.reset(options={"image_index": 6})
    assert [env.step(look(0, 0, label))[1] for _ in range(T)] == [-0.25, -0.25, 1.0]
    env = make(actions="multidiscrete", glimpse_cost=0.25)
    env.reset(options={"image_index": 6})
    assert [env.step(np.array([0, label]))[1] for _ in range(T)] == [-0.25, -0.25, 1.0]


def test_the_multidiscrete_form_is_a_cell_and_a_label_the_last_of_which_is_judged():
    env, hybrid = make(actions="multidiscrete"), make()
    rng = np.random.default_rng(3)
    for seed in range(20):
        oracles.assert_identical(env.reset(seed=seed), hybrid.reset(seed=seed))
        for _ in range(T):
            cell, label = int(rng.integers(25)), int(rng.integers(K))
            action = look(*oracles.cell_center(cell, 5), label)
            oracles.assert_identical(env.step(np.array([cell, label])), hybrid.step(action))


def test_reveal_label():
    assert "label" not in make().reset(seed=0)[1]
    env = make(reveal_label=True)
    for seed in range(5):
        _, info = env.reset(seed=seed)
        assert info == {"image_index": info["image_index"], "label": LABELS[info["image_index"]]}
        assert type(info["label"]) is int
    _, info = make_vec(5, reveal_label=True).reset(seed=0)
    oracles.assert_identical(info["label"], LABELS[info["image_index"]])
    assert info["_label"].all()
    assert make_vec(5).reset(seed=0)[1].keys() == {"image_index", "_image_index"}


def test_nothing_tells_the_label_before_the_end():
    # Two sets that differ in their labels alone look the same until the last step.
    env, other = make(), make(labels=(LABELS + 1) % K)
    for seed in range(5):
        oracles.assert_identical(env.reset(seed=seed), other.reset(seed=seed))
        for step in range(T - 1):
            oracles.assert_identical(env.step(look(0, 0.1 * step, 1)), other.step(look(0, 0.1 * step, 1)))
        oracles.assert_identical(env.step(look(0, 0))[0], other.step(look(0, 0))[0])


# ---------------------------------------------------------------- image_index and splits


@pytest.mark.parametrize("index", [0, 7, 11, np.int64(3), np.array(4), np.uint8(5)])
def test_asking_for_an_image(index):
    env = make()
    _, info = env.reset(seed=0, options={"image_index": index})
    assert info == {"image_index": int(index)}
    assert type(info["image_index"]) is int
    oracles.assert_identical(env.image, IMAGES[index])
    _, info = make_vec(3).reset(seed=0, options={"image_index": index})
    oracles.assert_identical(info["image_index"], np.full(3, int(index)))


@pytest.mark.parametrize("kind", [list, np.array, tuple])
def test_asking_for_one_image_per_row(kind):
    env = make_vec(4, autoreset_mode="Disabled")
    _, info = env.reset(seed=0, options={"image_index": kind([3, 0, 11, 3])})
    oracles.assert_identical(info["image_index"], np.array([3, 0, 11, 3]))
    for row, index in enumerate((3, 0, 11, 3)):
        oracles.assert_identical(env.unwrapped.image[row], IMAGES[index])
    # With a mask the array still has one for each row, and those that rest keep their images.
    mask = np.array([False, True, False, True])
    _, info = env.reset(options={"reset_mask": mask, "image_index": kind([8, 9, 10, 11])})
    oracles.assert_identical(info["image_index"][mask], np.array([9, 11]))
    oracles.assert_identical(info["_image_index"], mask)
    for row, index in enumerate((3, 9, 11, 11)):
        oracles.assert_identical(env.unwrapped.image[row], IMAGES[index])
    _, info = env.reset(options={"reset_mask": mask, "image_index": 2})
    oracles.assert_identical(info["image_index"][mask], np.array([2, 2]))


def test_an_index_counts_within_its_split():
    images, labels = constant(range(30)), np.arange(30)
    wanted = {"train": [i for i in range(30) if i % 10 < 8], "validation": [8, 18, 28], "test": [9, 19, 29]}
    for split, indices in wanted.items():
        env = make(images=images, labels=labels, split=split, reveal_label=True)
        for index, original in enumerate(indices):
            _, info = env.reset(seed=0, options={"image_index": index})
            assert info["label"] == original
            assert (env.image == original).all()
        with pytest.raises(ValueError, match="image_index"):
            env.reset(options={"image_index": len(indices)})
        drawn = {env.reset(seed=seed)[1]["label"] for seed in range(200)}
        assert drawn == set(indices)


@pytest.mark.parametrize(("split", "size"), [("train", 50_000), ("validation", 10_000), ("test", 10_000)])
def test_the_splits_of_mnist(split, size):
    env = gym.make("glimpse_gym/MNIST-v0", split=split, reveal_label=True).unwrapped
    images, labels = data.load("mnist", split)
    assert len(images) == size
    for index in (0, 1, size - 1):
        _, info = env.reset(seed=0, options={"image_index": index})
        np.testing.assert_array_equal(env.image, images[index])
        assert info == {"image_index": index, "label": labels[index]}
    with pytest.raises(ValueError, match=f"image_index must be from 0 to {size - 1}"):
        env.reset(options={"image_index": size})


def test_a_translated_digit_is_the_digit_asked_for():
    images, _ = data.load("mnist", "test")
    env = gym.make("glimpse_gym/TranslatedMNIST-v0", split="test").unwrapped
    for index in (0, 17, 9999):
        env.reset(seed=index, options={"image_index": index})
        canvas = env.image
        assert canvas.shape == (60, 60)
        windows = np.lib.stride_tricks.sliding_window_view(canvas, (28, 28)).reshape(-1, 28, 28)
        places = np.flatnonzero((windows == images[index]).all(axis=(1, 2)))
        assert len(places) >= 1
        assert canvas.sum() == images[index].sum()


# ---------------------------------------------------------------- players


def play(env, act, num_steps, seed=0):
    """The returns of all episodes that a vector env finishes within ``num_steps``."""
    observation, info = env.reset(seed=seed)
    finished = []
    for _ in range(num_steps):
        observation, reward, terminated, _, info = env.step(act(observation, info))
        finished += reward[terminated].tolist()
    return np.array(finished)


def test_a_player_who_is_told_the_label_is_always_right():
    env = make_vec(50, reveal_label=True, autoreset_mode="SameStep")
    known = np.zeros(50, int)

    def act(observation, info):
        if "label" in info:
            known[info["_label"]] = info["label"][info["_label"]]
        return {"location": observation["location"], "label": known}

    scores = play(env, act, 20 * T)
    assert len(scores) == 50 * 20
    assert scores.mean() == 1.0


def test_a_player_who_sees_the_image_is_always_right():
    env = make_vec(20, canvas_size=14)

    def nearest(canvas):
        windows = np.lib.stride_tricks.sliding_window_view(canvas.astype(int), (10, 9)).reshape(-1, 1, 10, 9)
        return LABELS[np.abs(windows - IMAGES).sum(axis=(2, 3)).min(axis=0).argmin()]

    def act(observation, info):
        labels = np.array([nearest(canvas) for canvas in env.unwrapped.image])
        return {"location": observation["location"], "label": labels}

    scores = play(env, act, 10)
    assert len(scores) == 40
    assert scores.mean() == 1.0


def test_a_player_who_guesses_is_right_once_in_k():
    rng = np.random.default_rng(4)
    scores = play(
        make_vec(1000, autoreset_mode="SameStep"),
        lambda observation, info: {"location": observation["location"], "label": rng.integers(K, size=1000)},
        5 * T,
    )
    assert len(scores) == 5000
    oracles.assert_binomial(int(scores.sum()), 5000, 1 / K)
    scores = play(
        make_vec(1000, actions="discrete", autoreset_mode="SameStep"),
        lambda observation, info: 25 + rng.integers(K, size=1000),
        5,
    )
    assert len(scores) == 5000
    oracles.assert_binomial(int(scores.sum()), 5000, 1 / K)


# ---------------------------------------------------------------- what is not accepted

NAN = math.nan
GOOD = {"location": np.array([0.5, -0.5], np.float32), "label": 1}
BAD_HYBRID = [
    None,
    1,
    "look",
    (np.zeros(2, np.float32), 1),
    np.zeros(3, np.float32),
    {},
    {"location": GOOD["location"]},
    {"label": 1},
    GOOD | {"move": 1},
    GOOD | {3: 1},
    *(
        GOOD | {"location": bad}
        for bad in (
            np.array([NAN, 0.0], np.float32),
            np.array([0.0, NAN], np.float64),
            np.array([0.0, np.inf], np.float32),
            np.array([-np.inf, 0.0], np.float16),
            np.zeros(3, np.float32),
            np.zeros(1, np.float32),
            np.zeros((1, 2), np.float32),
            np.zeros((), np.float32),
            np.zeros(2, np.int64),
            np.zeros(2, np.bool_),
            np.zeros(2, object),
            [0, 1],
            ["0.5", "0.5"],
            [0.1, [0.2]],
            "center",
            None,
        )
    ),
    *(
        GOOD | {"label": bad}
        for bad in (-1, K, 10**30, 1.0, NAN, True, "1", None, [1], np.array([1]), np.zeros(0, int))
    ),
]
BAD_DISCRETE = [None, -1, 25 + K, 10**30, 1.0, NAN, True, "1", [1], np.array([1]), np.array([1, 1]), {}, GOOD]
BAD_MULTIDISCRETE = [
    None,
    1,
    "12",
    (1, 2, 3),
    [1],
    np.array([[1, 1]]),
    np.array([-1, 0]),
    np.array([25, 0]),
    np.array([0, -1]),
    np.array([0, K]),
    np.array([0.0, 1.0]),
    np.array([True, False]),
    np.array([1, None]),
    {},
    GOOD,
]
BAD_ACTIONS = [
    *(("hybrid", bad) for bad in BAD_HYBRID),
    *(("discrete", bad) for bad in BAD_DISCRETE),
    *(("multidiscrete", bad) for bad in BAD_MULTIDISCRETE),
]
GOOD_ACTION = {"hybrid": GOOD, "discrete": 7, "multidiscrete": np.array([7, 1])}


def play_on(env, twin, action):
    """Both go on alike, to the end of the episode and into the next."""
    terminated = False
    while not terminated:
        mine = env.step(action)
        oracles.assert_identical(mine, twin.step(action))
        terminated = np.all(mine[2])
    oracles.assert_identical(env.reset(), twin.reset())
    oracles.assert_identical(env.image, twin.image)


@pytest.mark.parametrize(("actions", "bad"), BAD_ACTIONS, ids=repr)
def test_a_bad_action_leaves_the_episode_as_it_was(actions, bad):
    env, twin = (make(actions=actions, canvas_size=15, num_clutter=1) for _ in range(2))
    oracles.assert_identical(env.reset(seed=5), twin.reset(seed=5))
    oracles.assert_identical(env.step(GOOD_ACTION[actions]), twin.step(GOOD_ACTION[actions]))
    with pytest.raises(ValueError, match=r"(location|label|action|cell) must be"):
        env.step(bad)
    play_on(env, twin, GOOD_ACTION[actions])


def spoil(action, row, bad):
    """A vector env's action that is bad in one row."""
    spoilt = {name: value.copy() for name, value in action.items()}
    for name, value in bad.items():
        spoilt[name][row] = value
    return spoilt


GOOD_ROWS = looks((0.5, 0.5, 1), (-0.5, 0.5, 0), (0.0, 0.1, 3))
BAD_ROWS = [
    None,
    1,
    {},
    GOOD,
    [GOOD, GOOD, GOOD],
    GOOD_ROWS | {"move": np.zeros(3, int)},
    {"location": GOOD_ROWS["location"]},
    spoil(GOOD_ROWS, 1, {"location": NAN}),
    spoil(GOOD_ROWS, 2, {"location": [np.inf, 0.0]}),
    spoil(GOOD_ROWS, 0, {"label": -1}),
    spoil(GOOD_ROWS, 2, {"label": K}),
    GOOD_ROWS | {"location": GOOD_ROWS["location"][:2]},
    GOOD_ROWS | {"location": GOOD_ROWS["location"].T},
    GOOD_ROWS | {"location": GOOD_ROWS["location"].astype(int)},
    GOOD_ROWS | {"label": GOOD_ROWS["label"][:2]},
    GOOD_ROWS | {"label": GOOD_ROWS["label"][:, None]},
    GOOD_ROWS | {"label": GOOD_ROWS["label"].astype(float)},
    GOOD_ROWS | {"label": 1},
]


@pytest.mark.parametrize("bad", BAD_ROWS, ids=repr)
def test_a_bad_action_in_one_row_leaves_all_episodes_as_they_were(bad):
    env, twin = (make_vec(3, canvas_size=15, num_clutter=1).unwrapped for _ in range(2))
    oracles.assert_identical(env.reset(seed=5), twin.reset(seed=5))
    oracles.assert_identical(env.step(GOOD_ROWS), twin.step(GOOD_ROWS))
    with pytest.raises(ValueError, match=r"(location|label|action) must be"):
        env.step(bad)
    play_on(env, twin, GOOD_ROWS)


@pytest.mark.parametrize("bad", [-1, K + 25, 1.0, None], ids=repr)
def test_a_bad_flat_action_in_one_row_leaves_all_episodes_as_they_were(bad):
    env, twin = (make_vec(3, actions="discrete").unwrapped for _ in range(2))
    oracles.assert_identical(env.reset(seed=5), twin.reset(seed=5))
    with pytest.raises(ValueError, match="action must be"):
        env.step(np.array([3, bad, 4]))
    play_on(env, twin, np.array([3, 4, 5]))


BAD_RESETS = [
    {"options": {"image_index": bad}}
    for bad in (-1, 12, 10**30, 1.0, NAN, True, "0", None, [0, 1], np.array([[0]]), np.array([], int))
]
BAD_RESETS += [
    {"options": {"image": 0}},
    {"options": {"image_index": 0, "label": 1}},
    {"options": {3: 1}},
    {"options": {"image_index": 0}, "seed": -1},
    {"options": {"image_index": 12}, "seed": 4},
]
BAD_RESETS += [{"seed": bad} for bad in (-1, 1.5, "1", [1])]


@pytest.mark.parametrize("bad", BAD_RESETS, ids=repr)
def test_a_bad_reset_leaves_the_episode_as_it_was(bad):
    env, twin = (make(canvas_size=15, num_clutter=1) for _ in range(2))
    oracles.assert_identical(env.reset(seed=5), twin.reset(seed=5))
    env.step(GOOD), twin.step(GOOD)
    with pytest.raises(ValueError, match=r"image_index must be|unknown options|seed must be"):
        env.reset(**bad)
    play_on(env, twin, GOOD)


BAD_VECTOR_RESETS = [
    {"options": {"image_index": bad}}
    for bad in (-1, 12, 1.0, "0", None, [0, 1], [0, 1, 12], np.array([-1, 0, 0]), np.zeros(3), np.zeros((3, 1), int))
]
BAD_VECTOR_RESETS += [{"options": {"images": 0}}, {"seed": -1}, {"seed": [1, 2]}, {"seed": [1, 2, -3]}]
BAD_VECTOR_RESETS += [{"seed": [1, 2, 0.5]}, {"seed": [4, 5, 6], "options": {"image_index": 12}}]


@pytest.mark.parametrize("bad", BAD_VECTOR_RESETS, ids=repr)
def test_a_bad_reset_of_many_leaves_all_episodes_as_they_were(bad):
    env, twin = (make_vec(3, canvas_size=15, num_clutter=1).unwrapped for _ in range(2))
    oracles.assert_identical(env.reset(seed=5), twin.reset(seed=5))
    env.step(GOOD_ROWS), twin.step(GOOD_ROWS)
    with pytest.raises(ValueError, match=r"image_index must be|unknown options|seed"):
        env.reset(**bad)
    play_on(env, twin, GOOD_ROWS)


def test_no_step_before_the_first_reset_nor_after_the_end():
    env, twin = make(), make()
    with pytest.raises(ResetNeeded):
        env.step(GOOD)
    oracles.assert_identical(env.reset(seed=1), twin.reset(seed=1))
    for _ in range(T):
        env.step(GOOD), twin.step(GOOD)
    for _ in range(2):
        with pytest.raises(ResetNeeded):
            env.step(GOOD)
    oracles.assert_identical(env.image, twin.image)
    oracles.assert_identical(env.reset(), twin.reset())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("num_glimpses", bad) for bad in (0, -1, 1.5, "6", None, True)),
        *(("patch_size", bad) for bad in (0, 2.0, None)),
        *(("num_scales", bad) for bad in (0, 13, 1.0)),
        *(("grid_size", bad) for bad in (0, 2.0, None)),
        *(("canvas_size", bad) for bad in (0, -5, 9, (9, 60), (60, 8), (60,), (60, 60, 1), 60.0, "60", (60.0, 60))),
        *(("num_clutter", bad) for bad in (-1, 1.0, None)),
        *(("clutter_size", bad) for bad in (0, 2.5, 10)),
        *(("first_glimpse", bad) for bad in ("middle", None, 0)),
        *(("glimpse_cost", bad) for bad in (NAN, math.inf, "1", None)),
        *(("reveal_label", bad) for bad in ("yes", None)),
        *(("actions", bad) for bad in ("Discrete", "", None, ["hybrid"])),
        *(("split", bad) for bad in ("dev", None)),
        *(("num_classes", bad) for bad in (0, 3, "4")),
        *(("images", bad) for bad in ("no-such-set", None, 5, IMAGES.astype(np.float32), IMAGES[:, 0])),
        *(("labels", bad) for bad in (None, LABELS[:5], LABELS / 2, LABELS - 1)),
        ("render_mode", "ansi"),
        ("glimpses", 6),
    ],
    ids=repr,
)
@pytest.mark.parametrize("kind", [ClassificationEnv, ClassificationVectorEnv])
def test_wrong_values_at_construction_are_named(kind, name, value):
    kwargs = {"images": IMAGES, "labels": LABELS, "canvas_size": 30, "num_clutter": 1}
    with pytest.raises((ValueError, TypeError), match=name):
        kind(**kwargs | {name: value})


def test_clutter_needs_a_canvas_and_another_image():
    with pytest.raises(ValueError, match="clutter needs a canvas"):
        make(num_clutter=1)
    with pytest.raises(ValueError, match="there is only one"):
        make(images=IMAGES[:1], labels=LABELS[:1], canvas_size=30, num_clutter=1)
    with pytest.raises(ValueError, match="clutter_size"):
        make(images=patterned((9, 9), (9, 7)), labels=[0, 1], canvas_size=30, num_clutter=1)


def test_without_images_the_error_says_so():
    with pytest.raises(TypeError, match="images"):
        gym.make("glimpse_gym/Images-v0")


def test_numpy_numbers_will_do_as_keyword_values():
    env = make(
        canvas_size=np.int64(20), num_glimpses=np.int64(2), num_clutter=np.uint8(1), glimpse_cost=np.float32(0.5)
    )
    env.reset(seed=0)
    assert env.image.shape == (20, 20)
    assert env.step(GOOD)[1] == -0.5
