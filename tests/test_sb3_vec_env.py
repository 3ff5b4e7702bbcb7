"""The bridge to Stable-Baselines3, against its own ``DummyVecEnv`` on the same seeds and actions."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.wrappers import TimeLimit
from gymnasium.wrappers.vector import RecordEpisodeStatistics
from sb3_contrib import MaskablePPO
from stable_baselines3 import PPO
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecFrameStack, VecMonitor, VecNormalize

from glimpse_gym.agents.sb3.vec_env import to_sb3
from oracles import assert_identical
from sb3_envs import CATCH, MNIST, SAME_STEP, BusyInfo, SameStepCartPole, cart_poles, dummy, native

our_envs = pytest.mark.parametrize(
    ("env_id", "kwargs"),
    [
        (MNIST, {}),
        (MNIST, {"observations": "flat"}),
        (CATCH, {}),
        (CATCH, {"observations": "flat", "num_glimpses": 4}),
        (MNIST, {"actions": "multidiscrete"}),
        (MNIST, {"actions": "continuous"}),
    ],
)


def plain(observations):
    """DummyVecEnv gives an OrderedDict."""
    return dict(observations) if isinstance(observations, dict) else observations


def assert_steps_same(actual, expected, num_steps=60, seed=5):
    """Play both to the same random actions; return the infos of the ends of episodes."""
    expected.action_space.seed(0)
    assert actual.seed(seed) == expected.seed(seed)
    ends = []
    for _ in range(2):  # the second reset is in the middle of episodes, and unseeded
        assert_identical(plain(actual.reset()), plain(expected.reset()))
        for _ in range(num_steps // 2):
            assert_identical(actual.unwrapped.reset_infos, expected.unwrapped.reset_infos)
            actions = np.array([expected.action_space.sample() for _ in range(expected.num_envs)])
            (observations, *rest), (expected_observations, *expected_rest) = (
                actual.step(actions),
                expected.step(actions),
            )
            assert_identical(plain(observations), plain(expected_observations))
            assert_identical(rest, expected_rest)
            ends += [info for info, done in zip(rest[2], rest[1], strict=True) if done]
    assert ends
    return ends


@our_envs
def test_own_envs_equal_dummy_vec_env(env_id, kwargs):
    ends = assert_steps_same(native(env_id, **kwargs), dummy(env_id, **kwargs), num_steps=100)
    assert all("terminal_observation" in info for info in ends)


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_sync_and_async_vector_envs_equal_dummy_vec_env(mode):
    actual = to_sb3(cart_poles(mode))
    ends = assert_steps_same(actual, dummy("CartPole-v1", 4, BusyInfo, max_episode_steps=12), num_steps=100)
    actual.close()
    assert {info["TimeLimit.truncated"] for info in ends} == {True, False}


def test_native_vector_env_with_truncation_equals_dummy_vec_env_on_the_same_states():
    vector_env = SameStepCartPole(4, max_episode_steps=12)

    class Follower(gym.Wrapper):
        def __init__(self, row):
            super().__init__(TimeLimit(gym.make("CartPole-v1").unwrapped, 12))
            self.row = row

        def reset(self, **kwargs):
            super().reset(**kwargs)
            self.unwrapped.state = tuple(vector_env.state[:, self.row])
            return np.array(self.unwrapped.state, np.float32), {}

    actual, expected = to_sb3(vector_env), DummyVecEnv([lambda row=row: Follower(row) for row in range(4)])
    np.testing.assert_array_equal(actual.reset(), expected.reset())
    ends = []
    for actions in np.random.default_rng(0).integers(0, 2, (80, 4)):
        (observations, *rest), (expected_observations, *expected_rest) = actual.step(actions), expected.step(actions)
        np.testing.assert_allclose(observations, expected_observations, rtol=1e-5, atol=1e-7)  # sines of NumPy and math
        assert_identical(rest[:2], expected_rest[:2])
        for info, expected_info in zip(rest[2], expected_rest[2], strict=True):
            assert bool(info["TimeLimit.truncated"]) == bool(expected_info["TimeLimit.truncated"])
            assert ("terminal_observation" in info) == ("terminal_observation" in expected_info)
            if "terminal_observation" in info:
                last = expected_info["terminal_observation"]
                np.testing.assert_allclose(info["terminal_observation"], last, rtol=1e-5, atol=1e-7)
                ends.append(info["TimeLimit.truncated"])
    assert set(ends) == {True, False}


def test_what_was_returned_is_not_overwritten():
    env = to_sb3(SameStepCartPole(4, max_episode_steps=12))
    env.seed(0)
    results = [(env.reset(), [dict(info) for info in env.reset_infos])]
    copies = [repr(results[0])]
    for actions in np.random.default_rng(0).integers(0, 2, (30, 4)):
        results.append(env.step(actions))
        copies.append(repr(results[-1]))
    assert [repr(result) for result in results] == copies


def test_infos_are_separate():
    env = native(CATCH)
    env.reset()
    _, _, _, infos = env.step(np.zeros(3, int))
    infos[0]["mine"] = True
    assert "mine" not in infos[1]
    assert "mine" not in env.step(np.zeros(3, int))[3][0]


@our_envs
def test_vec_monitor_counts_as_monitor_does(env_id, kwargs):
    actual, expected = VecMonitor(native(env_id, **kwargs)), dummy(env_id, wrapper=Monitor, **kwargs)
    episodes = {actual: [], expected: []}
    actions = [[expected.action_space.sample() for _ in range(3)] for _ in range(60)]
    for env, ended in episodes.items():
        env.seed(1)
        env.reset()
        for action in actions:
            infos = env.step(np.array(action))[3]
            ended += [
                (i, info["episode"]["r"], info["episode"]["l"]) for i, info in enumerate(infos) if "episode" in info
            ]
    assert episodes[actual]
    np.testing.assert_allclose(episodes[actual], episodes[expected], atol=1e-6)  # Monitor rounds


def test_vec_monitor_writes_its_file(tmp_path):
    env = VecMonitor(native(MNIST), str(tmp_path / "log"), info_keywords=("success",))
    env.reset()
    while env.episode_count < 3:
        env.step(np.zeros(3, int))
    env.close()
    header, names, *rows = (tmp_path / "log.monitor.csv").read_text().splitlines()
    assert f'"env_id": "{MNIST}"' in header
    assert names == "r,l,t,success"
    assert len(rows) >= 3


def test_statistics_of_gymnasiums_wrapper_belong_to_the_episode_that_ended():
    vector_env = gym.make_vec(MNIST, num_envs=3, autoreset_mode=SAME_STEP, num_glimpses=2)
    env = to_sb3(RecordEpisodeStatistics(vector_env))
    env.reset()
    env.step(np.zeros(3, int))
    _, rewards, dones, infos = env.step(np.zeros(3, int))
    for reward, done, info, reset_info in zip(rewards, dones, infos, env.reset_infos, strict=True):
        assert done
        assert info["episode"]["r"] == reward
        assert "episode" not in reset_info


@pytest.mark.parametrize(
    "wrap", [lambda env: VecFrameStack(env, 3), VecNormalize, lambda env: VecNormalize(VecFrameStack(env, 2))]
)
@our_envs
def test_wrappers_of_stable_baselines3(wrap, env_id, kwargs):
    actual, expected = wrap(native(env_id, **kwargs)), wrap(dummy(env_id, **kwargs))
    assert_steps_same(actual, expected)


def test_training_and_evaluation_equal_those_on_dummy_vec_env():
    settings = {"n_steps": 8, "batch_size": 12, "n_epochs": 1, "seed": 3, "device": "cpu"}
    for algorithm, env_id in ((PPO, CATCH), (MaskablePPO, MNIST)):
        envs = VecMonitor(native(env_id)), VecMonitor(dummy(env_id))
        models = [algorithm("MultiInputPolicy", env, **settings).learn(24) for env in envs]
        actual, expected = (model.policy.state_dict() for model in models)
        for name, weights in expected.items():
            assert weights.equal(actual[name]), name
        scores = [evaluate_policy(model, model.get_env(), 5, return_episode_rewards=True) for model in models]
        assert scores[0] == scores[1]
