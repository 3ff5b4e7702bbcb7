"""Bad input of the classification envs: errors that change nothing."""

import math

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.error import ResetNeeded

import oracles
from glimpse_gym.envs import ClassificationEnv, ClassificationVectorEnv
from glimpse_gym.validation import shown
from small_classification import GOOD, IMAGES, LABELS, K, T, look_rows, make, make_vec, patterned

NAN = math.nan
BAD_HYBRID = [
    None,
    1,
    "look",
    (np.zeros(2, np.float32), 1),
    np.zeros(3, np.float32),
    {},
    {"next_location": GOOD["next_location"]},
    {"label": 1},
    GOOD | {"move": 1},
    GOOD | {3: 1},
    *(
        GOOD | {"next_location": bad}
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
            np.ma.array([0.5, 0.5], mask=[False, True]),
            torch.zeros(2, requires_grad=True),
            range(10**12),
            "center",
            None,
        )
    ),
    *(
        GOOD | {"label": bad}
        for bad in (-1, K, 10**30, 1.0, NAN, True, "1", None, [1], np.array([1]), np.zeros(0, int))
    ),
    GOOD | {"label": 10**5000},
    GOOD | {"label": np.ma.array(1)},
    GOOD | {"label": np.timedelta64(1)},
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
    np.array([2**64 - 1, 0], np.uint64),
    np.ma.array([1, 1]),
    [True, 1],
    {},
    GOOD,
]
GOOD_CONTINUOUS = np.array([0.5, -0.5, 0.1, 0.9, 0.2, 0.3], np.float32)


def with_value(position, value, action=GOOD_CONTINUOUS):
    """A continuous action, or one for each sub-env, with another value at a position."""
    changed = action.copy()
    changed[position] = value
    return changed


BAD_CONTINUOUS = [
    None,
    1.0,
    "look",
    {},
    GOOD,
    GOOD_CONTINUOUS[:-1],
    GOOD_CONTINUOUS[:2],
    GOOD_CONTINUOUS[None],
    np.zeros(3 + K, np.float32),
    np.zeros(2 + K, np.int64),
    np.zeros(2 + K, np.bool_),
    np.zeros(2 + K, object),
    np.zeros(2 + K, complex),
    np.ma.zeros(2 + K),
    torch.zeros(2 + K, requires_grad=True),
    [0] * (2 + K),
    [0.5, [0.5]],
    ["0.5"] * (2 + K),
    *(with_value(position, bad) for position in (0, 1, 2, 1 + K) for bad in (NAN, np.inf, -np.inf)),
]
BAD_ACTIONS = [
    *(("hybrid", bad) for bad in BAD_HYBRID),
    *(("discrete", bad) for bad in BAD_DISCRETE),
    *(("multidiscrete", bad) for bad in BAD_MULTIDISCRETE),
    *(("continuous", bad) for bad in BAD_CONTINUOUS),
]
GOOD_ACTION = {"hybrid": GOOD, "discrete": 7, "multidiscrete": np.array([7, 1]), "continuous": GOOD_CONTINUOUS}


INTEGERS = ("num_glimpses", "patch_size", "num_scales", "grid_size", "canvas_size", "num_clutter", "clutter_size")


def continue_both(env, twin, action):
    """Assert that both envs behave alike to the end of the episode and in the next one."""
    terminated = False
    while not terminated:
        mine = env.step(action)
        oracles.assert_identical(mine, twin.step(action))
        terminated = np.all(mine[2])
    oracles.assert_identical(env.reset(), twin.reset())
    oracles.assert_identical(env.image, twin.image)


@pytest.mark.parametrize(("actions", "bad"), BAD_ACTIONS, ids=shown)
def test_bad_action_changes_nothing(actions, bad):
    env, twin = (make(actions=actions, canvas_size=15, num_clutter=1) for _ in range(2))
    oracles.assert_identical(env.reset(seed=5), twin.reset(seed=5))
    oracles.assert_identical(env.step(GOOD_ACTION[actions]), twin.step(GOOD_ACTION[actions]))
    with pytest.raises(ValueError, match=r"(location|label|action|cell) must be"):
        env.step(bad)
    continue_both(env, twin, GOOD_ACTION[actions])


def with_bad_row(action, row, bad):
    """A vector action that is bad in one row."""
    changed = {name: value.copy() for name, value in action.items()}
    for name, value in bad.items():
        changed[name][row] = value
    return changed


GOOD_ROWS = look_rows((0.5, 0.5, 1), (-0.5, 0.5, 0), (0.0, 0.1, 3))
BAD_ROWS = [
    None,
    1,
    {},
    GOOD,
    [GOOD, GOOD, GOOD],
    GOOD_ROWS | {"move": np.zeros(3, int)},
    {"next_location": GOOD_ROWS["next_location"]},
    with_bad_row(GOOD_ROWS, 1, {"next_location": NAN}),
    with_bad_row(GOOD_ROWS, 2, {"next_location": [np.inf, 0.0]}),
    with_bad_row(GOOD_ROWS, 0, {"label": -1}),
    with_bad_row(GOOD_ROWS, 2, {"label": K}),
    GOOD_ROWS | {"next_location": GOOD_ROWS["next_location"][:2]},
    GOOD_ROWS | {"next_location": GOOD_ROWS["next_location"].T},
    GOOD_ROWS | {"next_location": GOOD_ROWS["next_location"].astype(int)},
    GOOD_ROWS | {"label": GOOD_ROWS["label"][:2]},
    GOOD_ROWS | {"label": GOOD_ROWS["label"][:, None]},
    GOOD_ROWS | {"label": GOOD_ROWS["label"].astype(float)},
    GOOD_ROWS | {"label": 1},
]


@pytest.mark.parametrize("bad", BAD_ROWS, ids=shown)
def test_bad_action_in_one_sub_env_changes_nothing(bad):
    env, twin = (make_vec(3, canvas_size=15, num_clutter=1).unwrapped for _ in range(2))
    oracles.assert_identical(env.reset(seed=5), twin.reset(seed=5))
    oracles.assert_identical(env.step(GOOD_ROWS), twin.step(GOOD_ROWS))
    with pytest.raises(ValueError, match=r"(location|label|action) must be"):
        env.step(bad)
    continue_both(env, twin, GOOD_ROWS)


@pytest.mark.parametrize("bad", [-1, K + 25, 1.0, None], ids=shown)
def test_bad_discrete_action_in_one_sub_env_changes_nothing(bad):
    env, twin = (make_vec(3, actions="discrete").unwrapped for _ in range(2))
    oracles.assert_identical(env.reset(seed=5), twin.reset(seed=5))
    with pytest.raises(ValueError, match="action must be"):
        env.step(np.array([3, bad, 4]))
    continue_both(env, twin, np.array([3, 4, 5]))


GOOD_CONTINUOUS_ROWS = np.stack([GOOD_CONTINUOUS, -GOOD_CONTINUOUS, 2 * GOOD_CONTINUOUS])


@pytest.mark.parametrize(
    "bad",
    [
        *(with_value((1, position), bad, GOOD_CONTINUOUS_ROWS) for position in (1, 3) for bad in (NAN, np.inf)),
        GOOD_CONTINUOUS,
        GOOD_CONTINUOUS_ROWS[:2],
        GOOD_CONTINUOUS_ROWS.T,
        GOOD_CONTINUOUS_ROWS.astype(int),
        GOOD_ROWS,
        None,
    ],
    ids=shown,
)
def test_bad_continuous_action_in_one_sub_env_changes_nothing(bad):
    env, twin = (make_vec(3, actions="continuous").unwrapped for _ in range(2))
    oracles.assert_identical(env.reset(seed=5), twin.reset(seed=5))
    oracles.assert_identical(env.step(GOOD_CONTINUOUS_ROWS), twin.step(GOOD_CONTINUOUS_ROWS))
    with pytest.raises(ValueError, match=r"(location|action) must be"):
        env.step(bad)
    continue_both(env, twin, GOOD_CONTINUOUS_ROWS)


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
BAD_RESETS += [{"options": {"image_index": bad}} for bad in (np.ma.array(1), np.timedelta64(1), range(10**12))]
BAD_RESETS += [{"seed": bad} for bad in (-1, 1.5, "1", [1], 2**64, 10**5000, torch.tensor(1), np.ma.array(1))]


@pytest.mark.parametrize("bad", BAD_RESETS, ids=shown)
def test_bad_reset_changes_nothing(bad):
    env, twin = (make(canvas_size=15, num_clutter=1) for _ in range(2))
    oracles.assert_identical(env.reset(seed=5), twin.reset(seed=5))
    env.step(GOOD), twin.step(GOOD)
    with pytest.raises(ValueError, match=r"image_index must be|unknown options|seed must be"):
        env.reset(**bad)
    continue_both(env, twin, GOOD)


BAD_VECTOR_RESETS = [
    {"options": {"image_index": bad}}
    for bad in (-1, 12, 1.0, "0", None, [0, 1], [0, 1, 12], np.array([-1, 0, 0]), np.zeros(3), np.zeros((3, 1), int))
]
BAD_VECTOR_RESETS += [{"options": {"images": 0}}, {"seed": -1}, {"seed": [1, 2]}, {"seed": [1, 2, -3]}]
BAD_VECTOR_RESETS += [
    {"options": {"image_index": bad}} for bad in (np.ma.array([0, 1, 2]), torch.ones(3), [True, 1, 1])
]
BAD_VECTOR_RESETS += [{"seed": [1, 2, 0.5]}, {"seed": [4, 5, 6], "options": {"image_index": 12}}]


@pytest.mark.parametrize("bad", BAD_VECTOR_RESETS, ids=shown)
def test_bad_vector_reset_changes_nothing(bad):
    env, twin = (make_vec(3, canvas_size=15, num_clutter=1).unwrapped for _ in range(2))
    oracles.assert_identical(env.reset(seed=5), twin.reset(seed=5))
    env.step(GOOD_ROWS), twin.step(GOOD_ROWS)
    with pytest.raises(ValueError, match=r"image_index must be|unknown options|seed"):
        env.reset(**bad)
    continue_both(env, twin, GOOD_ROWS)


def test_step_needs_a_reset_first_and_after_the_end():
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
        *((name, bad) for name in INTEGERS for bad in (2**63, 10**30, 10**5000, np.timedelta64(3), np.array(3))),
        *(("num_glimpses", bad) for bad in (0, -1, 1.5, "6", None, True, 2**31 - 1)),
        *(("patch_size", bad) for bad in (0, 2.0, None, 2**31 - 1)),
        *(("num_scales", bad) for bad in (0, 13, 1.0)),
        *(("grid_size", bad) for bad in (0, 2.0, None, 1001)),
        *(("canvas_size", bad) for bad in (0, -5, 9, (9, 60), (60, 8), (60,), (60, 60, 1), 60.0, "60", (60.0, 60))),
        *(("canvas_size", bad) for bad in (2**31 - 1, (30, 2**31 - 1), (30, 10**30), np.array([30, 30]))),
        *(("num_clutter", bad) for bad in (-1, 1.0, None, 10_001)),
        *(("clutter_size", bad) for bad in (0, 2.5, 10)),
        *(("max_bytes", bad) for bad in (0, -1, 1e9, None, True, 2**63)),
        *(("first_glimpse", bad) for bad in ("middle", None, 0)),
        *(("glimpse_cost", bad) for bad in (NAN, math.inf, "1", None, 1e308, -1_000_001, np.timedelta64(1))),
        *(("reveal_label", bad) for bad in ("yes", None, np.timedelta64(1), np.zeros(2))),
        *(("actions", bad) for bad in ("Discrete", "Continuous", "", None, ["hybrid"])),
        *(("split", bad) for bad in ("dev", None)),
        *(("num_classes", bad) for bad in (0, 3, "4", True, 100_001)),
        *(("images", bad) for bad in ("no-such-set", None, 5, IMAGES.astype(np.float32), IMAGES[:, 0])),
        *(("labels", bad) for bad in (None, LABELS[:5], LABELS / 2, LABELS - 1)),
        ("render_mode", "svg"),
        ("glimpses", 6),
    ],
    ids=shown,
)
@pytest.mark.parametrize("kind", [ClassificationEnv, ClassificationVectorEnv])
def test_bad_keyword_arguments_are_named(kind, name, value):
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


def test_missing_images_are_named():
    with pytest.raises(TypeError, match="images"):
        gym.make("glimpse_gym/Images-v0")


def test_numpy_numbers_as_keyword_arguments():
    env = make(
        canvas_size=np.int64(20), num_glimpses=np.int64(2), num_clutter=np.uint8(1), glimpse_cost=np.float32(0.5)
    )
    env.reset(seed=0)
    assert env.image.shape == (20, 20)
    assert env.step(GOOD)[1] == -0.5
