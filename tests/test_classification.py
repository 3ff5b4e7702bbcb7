"""Rules of the classification world. B rows, T glimpses, K classes, an M x M grid of locations."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

import oracles
from glimpse_gym.images import datasets
from small_classification import GOOD, IMAGES, LABELS, K, T, constant, end_info, look, make, make_vec, running_info

# ---------------------------------------------------------------- starting states


def test_images_and_first_locations_are_uniform():
    env = make_vec(6000)
    observation, info = env.reset(seed=1)
    assert abs(oracles.chi_square(np.bincount(info["image_index"], minlength=12))) < 5
    cells = np.floor((observation["location"] + 1) * 4).astype(int)
    counts = np.bincount(cells[:, 0] * 8 + cells[:, 1], minlength=64)
    assert len(counts) == 64
    assert abs(oracles.chi_square(counts)) < 5


def test_first_glimpse_at_the_center():
    env = make(first_glimpse="center")
    for seed in range(3):
        observation, _ = env.reset(seed=seed)
        assert observation["location"].tolist() == [0.0, 0.0]
        oracles.assert_identical(observation["glimpse"], oracles.sense_one(env.image, (0, 0), 4, 2))


# ---------------------------------------------------------------- observations, actions and info


@pytest.mark.parametrize("channels", [None, 1, 3])
@pytest.mark.parametrize("canvas", [{}, {"canvas_size": (20, 24), "num_clutter": 2, "clutter_size": 3}])
def test_episode_with_hybrid_actions(channels, canvas):
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
        {"next_location": spaces.Box(-1, 1, (2,), np.float32), "label": spaces.Discrete(K)}
    )
    rng = np.random.default_rng(2)
    for seed in range(6):
        observation, info = env.reset(seed=seed)
        index = info["image_index"]
        label = LABELS[index]
        oracles.assert_identical(info, running_info(index))
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
            # Only the last label counts: the steps before give the right one, which is ignored.
            said = answer if step == T - 1 else int(label)
            observation, reward, terminated, truncated, info = env.step({"next_location": target, "label": said})
            assert (type(reward), type(terminated), truncated) == (float, bool, False)
            assert terminated == (step == T - 1)
            if terminated:  # the last step takes no glimpse
                assert reward == (1.0 if answer == label else 0.0)
                oracles.assert_identical(info, end_info(index, answer))
            else:
                assert reward == 0.0
                oracles.assert_identical(info, running_info(index))
                location = target.clip(-1, 1)


def test_with_one_glimpse_the_first_step_is_the_answer():
    env = make(num_glimpses=1)
    observation, _ = env.reset(seed=0, options={"image_index": 5})
    last, reward, terminated, _, info = env.step(look(1, 1, int(LABELS[5])))
    assert (reward, terminated, info["correct"]) == (1.0, True, True)
    oracles.assert_identical(last, observation | {"time": np.ones(1, np.float32)})


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_locations_of_any_float_dtype_are_returned_as_float32(dtype):
    env = make()
    env.reset(seed=0)
    observation, *_ = env.step({"next_location": np.array([0.3, -9], dtype), "label": np.int64(1)})
    oracles.assert_identical(observation["location"], np.array([dtype(0.3), -1], np.float32))
    env.step({"next_location": [0.5, 0.5], "label": np.array(2, np.uint8)})


def test_discrete_actions_look_at_cells():
    M = 3
    env = make(actions="discrete", grid_size=M, num_glimpses=M * M + 1)
    assert env.action_space == spaces.Discrete(M * M + K)
    observation, info = env.reset(seed=0)
    for cell in range(M * M):
        observation, *others = env.step(cell)
        assert others == [0.0, False, False, info]
        location = oracles.cell_center(cell, M)
        assert tuple(observation["location"]) == location
        oracles.assert_identical(observation["glimpse"], oracles.sense_one(env.image, location, 4, 2))
    # Row by row: the first three cells are the upper row, from left to right.
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


def test_default_grid_is_5_by_5():
    assert make(actions="discrete").action_space == spaces.Discrete(25 + K)
    assert make(actions="multidiscrete").action_space == spaces.MultiDiscrete([25, K])


@pytest.mark.parametrize("num_glimpses_taken", [0, 1, 2])
@pytest.mark.parametrize("right", [True, False])
def test_discrete_answer_ends_the_episode(num_glimpses_taken, right):
    env = make(actions="discrete")
    before, info = env.reset(seed=num_glimpses_taken)
    index = info["image_index"]
    label = int(LABELS[index])
    answer = label if right else (label + 1) % K
    for _ in range(num_glimpses_taken):
        before, _, terminated, _, _ = env.step(7)
        assert not terminated
    after, reward, terminated, truncated, info = env.step(25 + answer)
    assert (reward, terminated, truncated) == (float(right), True, False)
    oracles.assert_identical(info, end_info(index, answer))
    time = np.array([(num_glimpses_taken + 1) / T], np.float32)
    oracles.assert_identical(after, before | {"time": time})


def test_looking_at_the_last_step_ends_the_episode_without_reward():
    env = make(actions="discrete")
    env.reset(seed=0, options={"image_index": 6})
    assert env.step(25 + int(LABELS[6]))[1] == 1.0  # a right answer of an earlier episode does not count again
    env.reset(options={"image_index": 6})
    env.step(3)
    before, *_ = env.step(4)
    after, reward, terminated, truncated, info = env.step(5)
    assert (reward, terminated, truncated) == (0.0, True, False)
    oracles.assert_identical(info, end_info(6, -1))
    oracles.assert_identical(after, before | {"time": np.ones(1, np.float32)})


def test_glimpse_cost():
    # Discrete: every glimpse taken costs; an answer does not, nor does looking at step T, which takes none.
    env = make(actions="discrete", glimpse_cost=0.25)
    label = env.reset(seed=0, options={"image_index": 6})[1]["image_index"] % K
    assert [env.step(a)[1] for a in (0, 1, 25 + label)] == [-0.25, -0.25, 1.0]
    env.reset(options={"image_index": 6})
    assert [env.step(a)[1] for a in (0, 1, 2)] == [-0.25, -0.25, 0.0]
    # The other forms: every step but the last takes a glimpse.
    env = make(glimpse_cost=0.25)
    env.reset(options={"image_index": 6})
    assert [env.step(look(0, 0, label))[1] for _ in range(T)] == [-0.25, -0.25, 1.0]
    env = make(actions="multidiscrete", glimpse_cost=0.25)
    env.reset(options={"image_index": 6})
    assert [env.step(np.array([0, label]))[1] for _ in range(T)] == [-0.25, -0.25, 1.0]
    env = make(actions="continuous", glimpse_cost=0.25)
    env.reset(options={"image_index": 6})
    action = np.array([0, 0, *np.eye(K)[label]])
    assert [env.step(action)[1] for _ in range(T)] == [-0.25, -0.25, 1.0]


def test_multidiscrete_actions_are_a_cell_and_a_label():
    env, hybrid = make(actions="multidiscrete"), make()
    rng = np.random.default_rng(3)
    for seed in range(20):
        oracles.assert_identical(env.reset(seed=seed), hybrid.reset(seed=seed))
        for _ in range(T):
            cell, label = int(rng.integers(25)), int(rng.integers(K))
            action = look(*oracles.cell_center(cell, 5), label)
            oracles.assert_identical(env.step(np.array([cell, label])), hybrid.step(action))


def test_reveal_label():
    assert make().reset(seed=0)[1]["label"] == -1
    env = make(reveal_label=True)
    for seed in range(5):
        _, info = env.reset(seed=seed)
        index = info["image_index"]
        oracles.assert_identical(info, running_info(index) | {"label": int(LABELS[index])})
        oracles.assert_identical(env.step(GOOD)[4], info)
    _, info = make_vec(5, reveal_label=True).reset(seed=0)
    oracles.assert_identical(info["label"], LABELS[info["image_index"]])
    assert info["_label"].all()
    assert (make_vec(5).reset(seed=0)[1]["label"] == -1).all()


def test_the_label_is_hidden_before_the_end():
    # Two image sets that differ only in their labels are indistinguishable before the last step.
    env, other = make(), make(labels=(LABELS + 1) % K)
    for seed in range(5):
        oracles.assert_identical(env.reset(seed=seed), other.reset(seed=seed))
        for step in range(T - 1):
            oracles.assert_identical(env.step(look(0, 0.1 * step, 1)), other.step(look(0, 0.1 * step, 1)))
        oracles.assert_identical(env.step(look(0, 0))[0], other.step(look(0, 0))[0])


# ---------------------------------------------------------------- image_index and splits


@pytest.mark.parametrize("index", [0, 7, 11, np.int64(3), np.array(4), np.uint8(5)])
def test_reset_with_image_index(index):
    env = make()
    _, info = env.reset(seed=0, options={"image_index": index})
    oracles.assert_identical(info, running_info(int(index)))
    oracles.assert_identical(env.image, IMAGES[index])
    _, info = make_vec(3).reset(seed=0, options={"image_index": index})
    oracles.assert_identical(info["image_index"], np.full(3, int(index)))


@pytest.mark.parametrize("kind", [list, np.array, tuple])
def test_vector_reset_with_one_image_index_per_sub_env(kind):
    env = make_vec(4, autoreset_mode="Disabled")
    _, info = env.reset(seed=0, options={"image_index": kind([3, 0, 11, 3])})
    oracles.assert_identical(info["image_index"], np.array([3, 0, 11, 3]))
    for row, index in enumerate((3, 0, 11, 3)):
        oracles.assert_identical(env.unwrapped.image[row], IMAGES[index])
    # With a mask the array still has one index per sub-env; sub-envs that are not reset keep their images.
    mask = np.array([False, True, False, True])
    _, info = env.reset(options={"reset_mask": mask, "image_index": kind([8, 9, 10, 11])})
    oracles.assert_identical(info["image_index"][mask], np.array([9, 11]))
    oracles.assert_identical(info["_image_index"], mask)
    for row, index in enumerate((3, 9, 11, 11)):
        oracles.assert_identical(env.unwrapped.image[row], IMAGES[index])
    _, info = env.reset(options={"reset_mask": mask, "image_index": 2})
    oracles.assert_identical(info["image_index"][mask], np.array([2, 2]))


def test_image_index_counts_within_the_split():
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
        found = {env.reset(seed=seed)[1]["label"] for seed in range(200)}
        assert found == set(indices)


@pytest.mark.parametrize(("split", "size"), [("train", 50_000), ("validation", 10_000), ("test", 10_000)])
def test_splits_of_mnist(split, size):
    env = gym.make("glimpse_gym/MNIST-v0", split=split, reveal_label=True).unwrapped
    images, labels = datasets.load("mnist", split)
    assert len(images) == size
    for index in (0, 1, size - 1):
        _, info = env.reset(seed=0, options={"image_index": index})
        np.testing.assert_array_equal(env.image, images[index])
        oracles.assert_identical(info, running_info(index) | {"label": int(labels[index])})
    with pytest.raises(ValueError, match=f"image_index must be from 0 to {size - 1}"):
        env.reset(options={"image_index": size})


def test_translated_digit_is_the_selected_digit():
    images, _ = datasets.load("mnist", "test")
    env = gym.make("glimpse_gym/TranslatedMNIST-v0", split="test").unwrapped
    for index in (0, 17, 9999):
        env.reset(seed=index, options={"image_index": index})
        canvas = env.image
        assert canvas.shape == (60, 60)
        windows = np.lib.stride_tricks.sliding_window_view(canvas, (28, 28)).reshape(-1, 28, 28)
        places = np.flatnonzero((windows == images[index]).all(axis=(1, 2)))
        assert len(places) >= 1
        assert canvas.sum() == images[index].sum()


# ---------------------------------------------------------------- policies


def play(env, act, num_steps, seed=0):
    """Returns of all episodes that end within ``num_steps``."""
    observation, info = env.reset(seed=seed)
    finished = []
    for _ in range(num_steps):
        observation, reward, terminated, _, info = env.step(act(observation, info))
        finished += reward[terminated].tolist()
    return np.array(finished)


def test_policy_that_knows_the_label_scores_1():
    env = make_vec(50, reveal_label=True, autoreset_mode="SameStep")
    known = np.zeros(50, int)

    def act(observation, info):
        known[info["_label"]] = info["label"][info["_label"]]
        return {"next_location": observation["location"], "label": known}

    scores = play(env, act, 20 * T)
    assert len(scores) == 50 * 20
    assert scores.mean() == 1.0


def test_policy_that_sees_the_whole_image_scores_1():
    env = make_vec(20, canvas_size=14)

    def nearest(canvas):
        windows = np.lib.stride_tricks.sliding_window_view(canvas.astype(int), (10, 9)).reshape(-1, 1, 10, 9)
        return LABELS[np.abs(windows - IMAGES).sum(axis=(2, 3)).min(axis=0).argmin()]

    def act(observation, info):
        labels = np.array([nearest(canvas) for canvas in env.unwrapped.image])
        return {"next_location": observation["location"], "label": labels}

    scores = play(env, act, 10)
    assert len(scores) == 40
    assert scores.mean() == 1.0


def test_random_labels_are_right_once_in_k():
    rng = np.random.default_rng(4)
    scores = play(
        make_vec(1000, autoreset_mode="SameStep"),
        lambda observation, info: {"next_location": observation["location"], "label": rng.integers(K, size=1000)},
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
