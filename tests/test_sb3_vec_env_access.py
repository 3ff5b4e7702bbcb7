"""The bridge to Stable-Baselines3: attributes and methods, seeds, options, images, and vector envs that it refuses."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, VectorActionWrapper
from gymnasium.wrappers.vector import RecordEpisodeStatistics
from sb3_contrib.common.maskable.utils import get_action_masks, is_masking_supported
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import VecMonitor

from glimpse_gym.agents.sb3.vec_env import to_sb3
from oracles import assert_identical
from sb3_envs import CATCH, MNIST, SAME_STEP, BusyInfo, SameStepCartPole, cart_poles, dummy, native


def test_action_masks():
    env, expected = native(MNIST, num_glimpses=2), dummy(MNIST, num_glimpses=2)
    assert is_masking_supported(VecMonitor(env))
    for one in (env, expected):
        one.reset()
        one.step(np.zeros(3, int))
    masks = get_action_masks(env)
    np.testing.assert_array_equal(masks, get_action_masks(expected))
    assert set(masks.flat) == {True, False}
    np.testing.assert_array_equal(env.env_method("action_masks", indices=[2, 0]), masks[[2, 0]])
    assert not is_masking_supported(to_sb3(SameStepCartPole(2)))


def test_attributes_of_a_native_vector_env():
    env = native(CATCH, render_mode="rgb_array")
    assert env.get_attr("observation_space") == [env.observation_space] * 3
    assert env.get_attr("action_space", indices=1) == [env.action_space]
    assert env.get_attr("metadata", [0, 2]) == [env.vector_env.metadata] * 2
    assert env.metadata["num_glimpses"] == 23
    assert env.spec.id == CATCH
    assert env.render_mode == "rgb_array"
    env.set_attr("mark", 5)
    assert env.vector_env.mark == 5
    with pytest.raises(ValueError, match=r"cannot set 'mark' in some sub-envs only, got indices \[1\]"):
        env.set_attr("mark", 6, indices=1)
    assert not env.has_attr("nothing")
    with pytest.raises(AttributeError, match="nothing"):
        env.env_method("nothing")
    assert env.env_is_wrapped(Monitor) == [False] * 3
    # What is not one for each sub-env is given to all.
    assert to_sb3(SameStepCartPole(3)).env_method("shape") == [(4, 4, 4, 4)] * 3
    wrapped = RecordEpisodeStatistics(gym.make_vec(CATCH, num_envs=2, autoreset_mode=SAME_STEP))
    assert to_sb3(wrapped).env_is_wrapped(RecordEpisodeStatistics, [1]) == [True]
    assert to_sb3(wrapped).get_attr("episode_count") == [0, 0]
    np.testing.assert_array_equal(to_sb3(wrapped).env_method("action_masks"), wrapped.unwrapped.action_masks())


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_attributes_of_sub_envs(mode):
    env = to_sb3(cart_poles(mode, 3))
    env.reset()
    env.set_attr("gravity", 5.0, indices=[0, 2])
    assert env.get_attr("gravity") == [5.0, 9.8, 5.0]
    env.set_attr("time", 7)
    assert env.get_attr("time", [1]) == [7]
    assert env.env_method("sides", shift=1) == [8, 8, 8]
    assert [env.has_attr(name) for name in ("sides", "nothing")] == [True, False]
    with pytest.raises(AttributeError, match="nothing"):
        env.env_method("nothing")
    assert env.env_is_wrapped(BusyInfo, 0) == [True]
    assert env.env_is_wrapped(Monitor) == [False] * 3
    if mode == "sync":
        assert env.env_method("sides", 2, indices=[0]) == [9]
        assert [method() for method in env.get_attr("sides")] == [7, 7, 7]
    else:
        with pytest.raises(ValueError, match="cannot call 'sides' in some sub-envs only"):
            env.env_method("sides", indices=[0])
    env.step(np.zeros(3, int))  # still alive
    env.close()


class SeedRecorder(gym.vector.VectorWrapper):
    def reset(self, *, seed=None, options=None):
        self.seed, self.options = seed, options
        return super().reset(seed=seed, options=options)


def test_seeds_are_used_once():
    recorder = SeedRecorder(gym.make_vec(MNIST, num_envs=3, autoreset_mode=SAME_STEP))
    env = to_sb3(recorder)
    assert env.seed(np.int64(7)) == [7, 8, 9]
    env.reset()
    assert_identical(recorder.seed, 7)
    env.reset()
    assert recorder.seed is None
    np.random.seed(0)  # noqa: NPY002  Stable-Baselines3 draws from it
    first = env.seed()
    assert first == [first[0] + i for i in range(3)]
    assert first != env.seed()
    env._seeds = [5, None, 3]
    env.reset()
    assert recorder.seed == [5, None, 3]


def test_options_are_used_once_and_the_same_for_all():
    recorder = SeedRecorder(gym.make_vec(MNIST, num_envs=3, autoreset_mode=SAME_STEP))
    env = to_sb3(recorder)
    env.set_options({"image_index": np.array([3, 1, 4])})
    env.reset()
    assert [info["image_index"] for info in env.reset_infos] == [3, 1, 4]
    env.reset()
    assert recorder.options is None
    env.set_options([{"image_index": 2}] * 3)
    env.reset()
    assert [info["image_index"] for info in env.reset_infos] == [2, 2, 2]
    with pytest.raises(ValueError, match="one dict of options for all sub-envs"):
        env.set_options([{"image_index": 2}, {"image_index": 2}, {"image_index": 3}])
    with pytest.raises(ValueError, match="one for each of 3 sub-envs"):
        env.set_options([{}])


@pytest.mark.parametrize(
    "make",
    [
        native,
        lambda *args, **kwargs: to_sb3(
            gym.make_vec(
                *args, num_envs=3, vectorization_mode="sync", vector_kwargs={"autoreset_mode": SAME_STEP}, **kwargs
            )
        ),
    ],
)
def test_images(make):
    env, expected = make(CATCH, render_mode="rgb_array"), dummy(CATCH, render_mode="rgb_array")
    for one in (env, expected):
        one.seed(0)
        one.reset()
    assert_identical(env.get_images(), expected.get_images())
    assert_identical(env.render(), expected.render())
    assert env.metadata["render_fps"] == 4
    with pytest.warns(UserWarning, match="rgb_array"):
        assert make(CATCH).get_images() == [None] * 3


def test_close():
    env = native(MNIST)
    env.close()
    env.close()
    assert env.vector_env.closed


def test_action_spaces_that_stable_baselines3_cannot_take():
    with pytest.raises(
        ValueError, match=r"use glimpse_gym/MNISTDiscrete-v0 or glimpse_gym/MNISTContinuous-v0, or .*HybridActions"
    ):
        native("glimpse_gym/MNIST-v0")

    class TupleActions(VectorActionWrapper):
        single_action_space = gym.spaces.Tuple([gym.spaces.Discrete(2)])

    with pytest.raises(
        ValueError, match=r"Box, Discrete, MultiDiscrete, MultiBinary, got Tuple\(Discrete\(2\)\): wrap"
    ):
        to_sb3(TupleActions(SameStepCartPole(2)))


def test_autoreset_modes_that_stable_baselines3_cannot_use():
    for mode in (AutoresetMode.NEXT_STEP, AutoresetMode.DISABLED):
        advice = rf"got {mode} from .*gym.make_vec\('{MNIST}', num_envs=2, autoreset_mode=AutoresetMode.SAME_STEP\)"
        with pytest.raises(ValueError, match=advice):
            to_sb3(gym.make_vec(MNIST, num_envs=2, autoreset_mode=mode))
        sync = gym.make_vec(MNIST, 2, "sync", vector_kwargs={"autoreset_mode": mode})
        with pytest.raises(ValueError, match=r'"sync", vector_kwargs=\{"autoreset_mode": AutoresetMode.SAME_STEP\}'):
            to_sb3(sync)
    with pytest.raises(ValueError, match="has no such argument"):
        to_sb3(gym.make_vec("CartPole-v1", num_envs=2, vectorization_mode="vector_entry_point"))
    with pytest.raises(TypeError, match=r"takes a gymnasium.vector.VectorEnv, got .*CatchEnv"):
        to_sb3(gym.make(CATCH))


def test_same_step_without_last_observations():
    class Forgetful(SameStepCartPole):
        def step(self, action):
            *rest, infos = super().step(action)
            return *rest, {"so_far": infos["so_far"]}

    env = to_sb3(Forgetful(2, max_episode_steps=1))
    env.reset()
    with pytest.raises(ValueError, match=r"its infos had no 'final_obs', only \['so_far'\]"):
        env.step(np.zeros(2, int))
