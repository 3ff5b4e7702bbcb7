"""This package's algorithms in the benchmark, and the reference of random actions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import gymnasium as gym
from gymnasium.vector import VectorEnv
from gymnasium.vector.utils import batch_space

from glimpse_gym.agents.base import Agent, Policy
from glimpse_gym.agents.benchmark.runs import Budget
from glimpse_gym.agents.configs import PPOConfig, ReinforceConfig
from glimpse_gym.agents.registry import default_configs, make_learner

# The defaults are for longer trainings: within the budgets here they leave too few updates.
_REINFORCE_BATCH_SIZE = 64
_PPO_FOR_MOVES: dict[str, Any] = {
    "batch_size": 128,
    "minibatch_size": 32,
    "num_epochs": 3,
    "learning_rate": 2e-3,
    "ent_coef": 0.003,
}
_SMALL = {"glimpse_features": 128, "core": "gru", "hidden_units": 128}


class RandomAgent:
    """Agent that samples every action uniformly from the action space.

    Args:
        action_space: of one env.
    """

    def __init__(self, action_space: gym.Space[Any]) -> None:
        self.action_space = action_space

    def check_env(self, envs: VectorEnv[Any, Any, Any]) -> None:
        """Raise ValueError if the env has another action space."""
        if envs.single_action_space != self.action_space:
            raise ValueError(f"the agent acts in {self.action_space}, the env has {envs.single_action_space}")

    def seed(self, seed: int) -> None:
        """Seed the actions."""
        self.action_space.seed(seed)

    def initial_state(self, num_envs: int) -> None:
        """Return None: there is no recurrent state."""

    def act(self, observation: Any, state: None, sample: bool = False) -> tuple[Any, None]:
        """Sample actions; see :meth:`glimpse_gym.agents.base.Agent.act`."""
        part = next(iter(observation.values())) if isinstance(observation, dict) else observation
        batch = batch_space(self.action_space, len(part))
        batch.seed(int(self.action_space.np_random.integers(2**31)))
        return batch.sample(), None


def random(env_id: str, seed: int, budget: Budget) -> Agent:
    """Act at random; nothing is trained."""
    return RandomAgent(gym.make(env_id).action_space)


def ram(env_id: str, seed: int, budget: Budget) -> Agent:
    """Train a RAM with the hybrid loss: cross-entropy for labels, REINFORCE and a pathwise gradient for locations."""
    return _train(env_id, seed, budget, "reinforce")


def recurrent_ppo(env_id: str, seed: int, budget: Budget) -> Agent:
    """Train a recurrent policy by PPO, from the rewards alone."""
    return _train(env_id, seed, budget, "ppo")


def scripted_looks(env_id: str, seed: int, budget: Budget, location_policy: str) -> Agent:
    """Train a RAM that looks by a script: the label by cross-entropy, or the moves by PPO."""
    return _train(env_id, seed, budget, None, {"location_policy": location_policy})


def _train(
    env_id: str, seed: int, budget: Budget, algorithm: str | None, policy_settings: dict[str, Any] | None = None
) -> Policy:
    config, policy_config = default_configs(env_id, algorithm)
    metadata = gym.make(env_id).metadata
    num_glimpses = metadata["num_glimpses"]
    settings: dict[str, Any] = {"seed": seed, "num_episodes": max(1, budget.num_steps // num_glimpses)}
    if isinstance(config, ReinforceConfig):
        settings["batch_size"] = _REINFORCE_BATCH_SIZE
    elif isinstance(config, PPOConfig):  # episodes may end early: the steps are the limit
        settings |= {"num_steps": budget.num_steps, "num_episodes": budget.num_steps}
        if not metadata["choice_is_final"]:
            settings |= _PPO_FOR_MOVES
            policy_config = replace(policy_config, **_SMALL)
    learner = make_learner(env_id, {}, replace(config, **settings), replace(policy_config, **(policy_settings or {})))
    policy = learner.policy
    while not learner.done:
        learner.update()
        generator_state = policy.generator.get_state()  # evaluating must not change the samples drawn in training
        budget.report(learner.num_steps_done, policy)
        policy.generator.set_state(generator_state)
    return policy
