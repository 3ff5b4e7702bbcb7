"""Action forms: the continuous form, masks for MaskablePPO and keys for gymnasium.utils.play.

The decoding of the other forms is tested with each world.
"""

import gymnasium as gym
import numpy as np
import pytest

import oracles
from glimpse_gym.actions import CODECS, make_codec
from small_classification import GOOD, LABELS, K, T, end_info, make, make_vec

LEFT, RIGHT = 1073741904, 1073741903  # pygame's codes of the arrow keys


# ---------------------------------------------------------------- continuous form


def test_space_of_the_continuous_form():
    assert make(actions="continuous").action_space == gym.spaces.Box(-1, 1, (2 + K,), np.float32)
    assert make_vec(3, actions="continuous").action_space == gym.spaces.Box(-1, 1, (3, 2 + K), np.float32)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize(
    ("action", "location", "choice"),
    [
        ([0.5, -0.25, 0, 0, 0, 0.125], [0.5, -0.25], 3),
        ([0, 0, 0.25, 0.5, 0.5, 0], [0, 0], 1),  # the first of equals
        ([0, 0, 0, 0, 0, 0], [0, 0], 0),
        ([3, -7, -1, -0.5, -0.75, -1], [1, -1], 1),  # the location is clipped
        ([0, 1, 7, 5, 60_000, 2], [0, 1], 2),  # scores are not
        ([0, 1, -5, -60_000, -3, -4], [0, 1], 2),
    ],
)
def test_continuous_actions_are_a_location_and_scores(action, location, choice, dtype):
    codec = make(actions="continuous").codec
    given = np.array(action, dtype)
    decoded = codec.decode(given, ())
    oracles.assert_identical(decoded.location, np.array([location], np.float32))
    oracles.assert_identical(decoded.choice, np.array([choice]))
    assert decoded.commits is None
    oracles.assert_identical(codec.decode([float(value) for value in action], ()), decoded)
    # Each row of a batch is decoded as if it were alone.
    batch = codec.decode(np.stack([np.zeros(2 + K, dtype), given]), (2,))
    oracles.assert_identical(batch.location[1:], decoded.location)
    oracles.assert_identical(batch.choice, np.array([0, choice]))
    assert not np.shares_memory(decoded.location, given)
    oracles.assert_identical(given, np.array(action, dtype))


def test_continuous_actions_of_large_numbers():
    action = np.array([1e300, -1e300, 1e300, 2e300, -1e300, 0])
    decoded = make(actions="continuous").codec.decode(action, ())
    oracles.assert_identical(decoded.location, np.array([[1, -1]], np.float32))
    assert decoded.choice.tolist() == [1]


@pytest.mark.parametrize(
    ("position", "message"),
    [(0, "location must be finite, got"), (2, "action must be finite, got a score of"), (1 + K, "one score per label")],
)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_continuous_actions_must_be_finite(bad, position, message):
    actions = np.zeros((3, 2 + K), np.float32)
    actions[1, position] = bad
    codec = make(actions="continuous").codec
    with pytest.raises(ValueError, match=message):
        codec.decode(actions, (3,))
    with pytest.raises(ValueError, match=message):
        codec.decode(actions[1], ())


def test_error_of_a_wrong_shape_says_what_to_pass():
    message = r"of shape \(5,\), got float64 of shape \(2,\): .*; pass x, y and one score per move as floats"
    with pytest.raises(ValueError, match=message):
        gym.make("glimpse_gym/CatchContinuous-v0").unwrapped.codec.decode(np.zeros(2), ())


@pytest.mark.parametrize(
    ("env_id", "kwargs"), [("MNIST", {"glimpse_cost": 0.125}), ("ClutteredMNIST", {"split": "test"}), ("Catch", {})]
)
@pytest.mark.parametrize("num_envs", [None, 4])
def test_hybrid_and_continuous_actions_give_the_same_episodes(env_id, kwargs, num_envs):
    make_one = gym.make if num_envs is None else lambda *a, **k: gym.make_vec(*a, **k, num_envs=num_envs)
    hybrid = make_one(f"glimpse_gym/{env_id}-v0", **kwargs)
    continuous = make_one(f"glimpse_gym/{env_id}Continuous-v0", **kwargs)
    choice_name = hybrid.unwrapped.codec.choice_name
    oracles.assert_identical(continuous.reset(seed=4), hybrid.reset(seed=4))
    continuous.action_space.seed(0)
    rewards = []
    for _ in range(250):
        action = continuous.action_space.sample() * 1.5  # also out of range
        choice = action[..., 2:].argmax(axis=-1)
        told = hybrid.step({"next_location": action[..., :2], choice_name: choice})
        oracles.assert_identical(continuous.step(action), told)
        oracles.assert_identical(continuous.unwrapped.image, hybrid.unwrapped.image)
        rewards.append(told[1])
        if num_envs is None and told[2]:
            oracles.assert_identical(continuous.reset(), hybrid.reset())
    assert np.max(rewards) == 1.0


def test_only_the_label_of_the_last_step_counts_in_the_continuous_form():
    env = make(actions="continuous")
    scores = np.eye(K, dtype=np.float32)
    for label in range(K):
        env.reset(seed=0, options={"image_index": 6})
        answers = [(label + 1) % K] * (T - 1) + [label]
        steps = [env.step(np.array([0.25, -0.5, *scores[answer]], np.float32)) for answer in answers]
        assert [reward for _, reward, *_ in steps] == [0.0] * (T - 1) + [float(label == LABELS[6])]
        assert [terminated for _, _, terminated, *_ in steps] == [False] * (T - 1) + [True]
        oracles.assert_identical(steps[0][0]["location"], np.array([0.25, -0.5], np.float32))
        oracles.assert_identical(steps[-1][4], end_info(6, label))


# ---------------------------------------------------------------- names of forms


def test_unknown_forms_are_named():
    with pytest.raises(ValueError, match=r"actions must be one of 'hybrid', .*'continuous'; got 'Continuous'"):
        make(actions="Continuous")
    world = make().world
    assert {name: type(make_codec(name, world, 5)) for name in CODECS} == CODECS


# ---------------------------------------------------------------- masks


def test_discrete_masks_leave_only_answers_at_the_last_step():
    env = make(actions="discrete")
    env.reset(seed=0)
    everything, answers = np.ones(25 + K, bool), np.arange(25 + K) >= 25
    for _ in range(2):
        for step in range(T):
            oracles.assert_identical(env.action_masks(), answers if step == T - 1 else everything)
            env.step(3)
        env.reset()
        oracles.assert_identical(env.action_masks(), everything)


def test_masks_of_vector_envs_are_those_of_their_sub_envs():
    envs = make_vec(4, actions="discrete")
    envs.reset(seed=0)
    envs.step(np.array([1, 26, 2, 3]))
    envs.step(np.array([1, 2, 26, 3]))  # sub-env 1 is reset
    masks = envs.unwrapped.action_masks()
    assert masks.shape == (4, 25 + K)
    assert masks.dtype == np.bool_
    assert masks[:, 25:].all()
    assert masks[:, :25].all(axis=1).tolist() == [False, True, True, False]  # sub-env 2 has ended
    assert masks[:, :25].any(axis=1).tolist() == [False, True, True, False]


@pytest.mark.parametrize(
    ("env_id", "kwargs", "number"),
    [
        ("Catch", {"actions": "discrete"}, 75),
        ("Catch", {"actions": "multidiscrete", "grid_size": 3}, 12),
        ("MNIST", {"actions": "multidiscrete"}, 35),
    ],
)
def test_other_masks_allow_everything(env_id, kwargs, number):
    env = gym.make(f"glimpse_gym/{env_id}-v0", **kwargs, num_glimpses=3).unwrapped
    envs = gym.make_vec(f"glimpse_gym/{env_id}-v0", num_envs=2, **kwargs, num_glimpses=3).unwrapped
    env.reset(seed=0), envs.reset(seed=0)
    for _ in range(3):
        oracles.assert_identical(env.action_masks(), np.ones(number, bool))
        oracles.assert_identical(envs.action_masks(), np.ones((2, number), bool))
        env.step(env.action_space.sample()), envs.step(envs.action_space.sample())


@pytest.mark.parametrize(
    ("actions", "good"), [("hybrid", GOOD), ("continuous", np.zeros(2 + K, np.float32))], ids=["hybrid", "continuous"]
)
def test_forms_with_coordinates_have_neither_masks_nor_keys(actions, good):
    env = make(actions=actions)
    env.reset(seed=0)
    with pytest.raises(ValueError, match="no action masks: make the env with actions='discrete'"):
        env.action_masks()
    with pytest.raises(ValueError, match="no keys: make the env with actions='discrete'"):
        env.get_keys_to_action()
    env.step(good)
    envs = make_vec(2, actions=actions).unwrapped
    with pytest.raises(ValueError, match="no action masks: make the env with actions='discrete'"):
        envs.action_masks()


# ---------------------------------------------------------------- keys


@pytest.mark.parametrize("grid_size", [1, 2, 5])
@pytest.mark.parametrize("actions", ["discrete", "multidiscrete"])
@pytest.mark.parametrize("env_id", ["MNIST", "Catch"])
def test_keys_reach_every_action(env_id, actions, grid_size):
    env = gym.make(f"glimpse_gym/{env_id}-v0", actions=actions, grid_size=grid_size)
    keys = env.unwrapped.get_keys_to_action()
    assert all(action in env.action_space for action in keys.values())
    reached = {tuple(np.atleast_1d(action).tolist()) for action in keys.values()}
    size = env.action_space.n if actions == "discrete" else int(np.prod(env.action_space.nvec))
    assert len(reached) == size
    for combination in keys:  # as play() reads them
        assert all(isinstance(key, int) or len(key) == 1 for key in combination)
    codes = [tuple(sorted(ord(key) if isinstance(key, str) else key for key in combination)) for combination in keys]
    assert len(set(codes)) == len(codes)


def test_keys_of_classification():
    keys = make(actions="discrete").get_keys_to_action()
    assert (keys["a",], keys["y",], keys["0",], keys["3",]) == (0, 24, 25, 28)
    keys = make(actions="multidiscrete").get_keys_to_action()
    assert [keys[key].tolist() for key in (("a",), ("3",), ("b", "3"))] == [[0, 0], [12, 3], [1, 3]]


def test_keys_of_catch():
    keys = gym.make("glimpse_gym/CatchDiscrete-v0").unwrapped.get_keys_to_action()
    assert keys["a",] == 25  # stay, and look at the first cell
    assert keys[LEFT,] == 12  # move left, and look at the center
    assert keys["b", RIGHT] == 51
    assert len(keys) == 25 + 3 + 3 * 25


def test_too_few_keys():
    with pytest.raises(ValueError, match="grid_size=5"):
        make(actions="discrete", grid_size=6).get_keys_to_action()
    images = np.zeros((11, 8, 8), np.uint8)
    with pytest.raises(ValueError, match="11 choices"):
        make(actions="discrete", images=images, labels=np.arange(11)).get_keys_to_action()
