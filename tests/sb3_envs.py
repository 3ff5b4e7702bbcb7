"""Envs for the tests of the bridge to Stable-Baselines3."""

import gymnasium as gym
import numpy as np
from gymnasium.envs.classic_control.cartpole import CartPoleVectorEnv
from gymnasium.vector import AutoresetMode
from stable_baselines3.common.vec_env import DummyVecEnv

import glimpse_gym  # noqa: F401  registers the ids
from glimpse_gym.agents.sb3.vec_env import to_sb3

SAME_STEP = AutoresetMode.SAME_STEP
MNIST, CATCH = "glimpse_gym/MNISTDiscrete-v0", "glimpse_gym/CatchDiscrete-v0"


def native(env_id, n=3, **kwargs):
    return to_sb3(gym.make_vec(env_id, num_envs=n, autoreset_mode=SAME_STEP, **kwargs))


def dummy(env_id, n=3, wrapper=lambda env: env, **kwargs):
    return DummyVecEnv([lambda: wrapper(gym.make(env_id, **kwargs))] * n)


class BusyInfo(gym.Wrapper):
    """Infos of every kind, some of them only now and then."""

    def reset(self, **kwargs):
        self.time = 0
        observation, _ = self.env.reset(**kwargs)
        return observation, {"fresh": True, "time": 0}

    def step(self, action):
        self.time += 1
        observation, reward, terminated, truncated, _ = self.env.step(action)
        info = {"time": self.time, "half": self.time / 2, "single": np.float32(self.time), "name": f"step {self.time}"}
        info |= {"state": observation * 2, "nested": {"push": int(action), "deeper": {"done": terminated}}, "_own": 1}
        if action:
            info["pushed"] = info["nested"]["at"] = self.time
        return observation, reward, terminated, truncated, info

    def sides(self, shift=0):
        return self.time + shift


def cart_poles(mode, n=4, **kwargs):
    make = {"sync": gym.vector.SyncVectorEnv, "async": gym.vector.AsyncVectorEnv}[mode]
    return make(
        [lambda: BusyInfo(gym.make("CartPole-v1", max_episode_steps=12, **kwargs))] * n, autoreset_mode=SAME_STEP
    )


class SameStepCartPole(CartPoleVectorEnv):
    """Native vector env with truncation that reuses its arrays, and gives the last observations as a batch."""

    metadata = CartPoleVectorEnv.metadata | {"autoreset_mode": SAME_STEP}

    def reset(self, **kwargs):
        self.observations, _ = super().reset(**kwargs)
        self.rewards, self.last = np.zeros(self.num_envs), np.zeros((self.num_envs, 4), np.float32)
        self.steps_so_far = self.steps[:, None]  # a view
        return self.observations, {"so_far": self.steps_so_far}

    def step(self, action):
        self.prev_done[:] = False
        self.observations[...], self.rewards[...], terminated, truncated, _ = super().step(action)
        done = terminated | truncated
        self.last[...] = self.observations
        self.state[:, done] = self.np_random.uniform(self.low, self.high, (4, done.sum()))
        self.steps[done] = 0
        self.observations[...] = self.state.T
        infos = {"final_obs": self.last} if done.any() else {}
        return self.observations, self.rewards, terminated, truncated, infos | {"so_far": self.steps_so_far}

    def shape(self):
        return (4, 4, 4, 4)
