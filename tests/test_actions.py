"""Action forms: masks for MaskablePPO and keys for gymnasium.utils.play. Decoding is tested with each world."""

import gymnasium as gym
import numpy as np
import pytest

import oracles
from small_classification import GOOD, K, T, make, make_vec

LEFT, RIGHT = 1073741904, 1073741903  # pygame's codes of the arrow keys


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


def test_hybrid_actions_have_neither_masks_nor_keys():
    env = make()
    env.reset(seed=0)
    with pytest.raises(ValueError, match="no action masks: make the env with actions='discrete'"):
        env.action_masks()
    with pytest.raises(ValueError, match="no keys: make the env with actions='discrete'"):
        env.get_keys_to_action()
    env.step(GOOD)


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
