"""Algorithms of Stable-Baselines3 and sb3-contrib in the benchmark, on native vector envs.

All of them see glimpses through :class:`~glimpse_gym.agents.sb3.features.GlimpseExtractor`. Settings were chosen on the
validation split.
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
from gymnasium.vector import AutoresetMode, VectorEnv
from sb3_contrib import RecurrentPPO
from stable_baselines3 import DQN, PPO, SAC
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import VecEnv, VecFrameStack

from glimpse_gym.agents.base import Agent
from glimpse_gym.agents.benchmark.runs import Budget
from glimpse_gym.agents.sb3.agent import SB3Agent
from glimpse_gym.agents.sb3.features import glimpse_policy_kwargs
from glimpse_gym.agents.sb3.hybrid import HybridActions, HybridPolicy
from glimpse_gym.agents.sb3.vec_env import to_sb3

_NUM_ENVS = 64
# Glimpses in a stack: all of an episode where it is short.
_MAX_STACK = 8
# Sizes for algorithms that take several gradient steps for each step of the envs.
_SMALL = {"units": 64, "location_units": 64, "features": 64}
# Sub-env i is seeded with seed + i: distances between the seeds of runs keep their episodes apart.
_SEED_DISTANCE = 2**16


def ppo(env_id: str, seed: int, budget: Budget, stack: bool = False) -> Agent:
    """Train by PPO, without memory or with a stack of glimpses."""
    envs = _make_envs(env_id)
    model = PPO(
        "MultiInputPolicy",
        _to_sb3(envs, stack),
        policy_kwargs=_policy_kwargs(envs),
        **_ppo_settings(envs),
        **_common(seed),
    )
    return _learn(model, budget)


def hybrid_ppo(env_id: str, seed: int, budget: Budget) -> Agent:
    """Train by PPO with a Gaussian over the location and a categorical over the choice, with a stack of glimpses."""
    envs = HybridActions(_make_envs(env_id))
    model = PPO(
        HybridPolicy,
        _to_sb3(envs, stack=True),
        policy_kwargs=_policy_kwargs(envs, gaussian=True),
        **_ppo_settings(envs),
        **_common(seed),
    )
    return _learn(model, budget)


def recurrent_ppo(env_id: str, seed: int, budget: Budget) -> Agent:
    """Train by RecurrentPPO, with one LSTM for actor and critic."""
    envs = _make_envs(env_id)
    lstm = {"lstm_hidden_size": 128, "shared_lstm": True, "enable_critic_lstm": False}
    model = RecurrentPPO(
        "MultiInputLstmPolicy",
        _to_sb3(envs),
        policy_kwargs=_policy_kwargs(envs) | lstm,
        **_ppo_settings(envs) | {"n_epochs": 4},
        **_common(seed),
    )
    return _learn(model, budget)


def dqn(env_id: str, seed: int, budget: Budget) -> Agent:
    """Train by DQN, with a stack of glimpses."""
    envs = _make_envs(env_id)
    model = DQN(
        "MultiInputPolicy",
        _to_sb3(envs, stack=True),
        policy_kwargs=_policy_kwargs(envs, **_SMALL),
        learning_rate=5e-4,
        buffer_size=100_000,
        learning_starts=5_000,
        batch_size=256,
        gamma=_gamma(envs),
        train_freq=1,
        gradient_steps=4,
        target_update_interval=1_000,
        exploration_fraction=0.5,
        exploration_final_eps=0.05,
        **_common(seed),
    )
    return _learn(model, budget)


def sac(env_id: str, seed: int, budget: Budget) -> Agent:
    """Train by SAC on the continuous form, with a stack of glimpses."""
    envs = _make_envs(env_id)
    model = SAC(
        "MultiInputPolicy",
        _to_sb3(envs, stack=True),
        policy_kwargs=_policy_kwargs(envs, **_SMALL),
        learning_rate=1e-3,
        buffer_size=100_000,
        learning_starts=5_000,
        batch_size=256,
        gamma=_gamma(envs),
        train_freq=1,
        gradient_steps=2,
        ent_coef="auto_0.01",
        **_common(seed),
    )
    return _learn(model, budget)


class _Report(BaseCallback):
    """Report the steps done to the budget."""

    def __init__(self, budget: Budget, agent: Agent) -> None:
        super().__init__()
        self.budget, self.agent = budget, agent

    def _on_step(self) -> bool:
        self.budget.report(self.num_timesteps, self.agent)
        return True


def _learn(model: BaseAlgorithm, budget: Budget) -> Agent:
    agent = SB3Agent(model)
    model.learn(budget.num_steps, callback=_Report(budget, agent))
    return agent


def _make_envs(env_id: str) -> VectorEnv[Any, Any, Any]:
    return gym.make_vec(env_id, num_envs=_NUM_ENVS, autoreset_mode=AutoresetMode.SAME_STEP)


def _to_sb3(envs: VectorEnv[Any, Any, Any], stack: bool = False) -> VecEnv:
    env = to_sb3(envs)
    return VecFrameStack(env, min(_MAX_STACK, envs.metadata["num_glimpses"])) if stack else env


def _policy_kwargs(envs: VectorEnv[Any, Any, Any], **kwargs: Any) -> dict[str, Any]:
    metadata = envs.metadata
    # Catch has a few bright pixels, which averaging makes dark at the coarse scales.
    scale_gain = 4.0 if metadata["image_moves"] else 1.0
    return glimpse_policy_kwargs(num_scales=metadata["num_scales"], scale_gain=scale_gain, **kwargs)


def _ppo_settings(envs: VectorEnv[Any, Any, Any]) -> dict[str, Any]:
    # Eight whole episodes of each sub-env, or two of Catch's longer ones.
    num_steps = envs.metadata["num_glimpses"] * (2 if envs.metadata["image_moves"] else 8)
    return {
        "learning_rate": lambda progress_remaining: 1e-4 + 9e-4 * progress_remaining,
        "n_steps": num_steps,
        "batch_size": _NUM_ENVS * num_steps // 8,
        "n_epochs": 6,
        "gamma": _gamma(envs),
        "ent_coef": 0.01,
    }


def _gamma(envs: VectorEnv[Any, Any, Any]) -> float:
    # A label is the only reward of its episode, whenever it is given.
    return 1.0 if envs.metadata["choice_is_final"] else 0.99


def _common(seed: int) -> dict[str, Any]:
    return {"seed": seed * _SEED_DISTANCE, "device": "cpu"}
