"""Effect of the rounded weights of the page on its agents: ``python -m glimpse_gym.browser.rounding``.

Prints a Markdown table: the test error of each pretrained agent with its own weights and with those of the page, on the
same episodes, and how much its decisions differ on the same glimpses.
"""

from __future__ import annotations

import argparse
import copy
from typing import Any, NamedTuple

import numpy as np
import torch

from glimpse_gym.agents.base import Policy
from glimpse_gym.agents.checkpoint import load_agent
from glimpse_gym.agents.evaluation import EvalConditions, evaluate, play_episodes
from glimpse_gym.agents.pretrained import agent_folder, pretrained_names
from glimpse_gym.browser.weights import rounded_tensors


class RoundingEffect(NamedTuple):
    """Effect of rounded weights on an agent."""

    num_episodes: int
    error: float
    """Error on the test split after the last glimpse, with the agent's own weights."""
    rounded_error: float
    """The same with rounded weights, on the same episodes."""
    difference: float
    """Largest difference of a probability or a coordinate of a location, on glimpses of the agent's own choice."""


def rounded_policy(policy: Policy) -> Policy:
    """Copy a policy, with the weights rounded as in the page."""
    rounded = copy.deepcopy(policy)
    tensors = rounded_tensors({name: each.numpy() for name, each in policy.state_dict().items()})
    rounded.load_state_dict({name: torch.from_numpy(each.copy()) for name, each in tensors.items()})
    return rounded


class _Pair:
    """An agent that acts, and a copy with rounded weights that decides on the same glimpses."""

    def __init__(self, policy: Policy) -> None:
        self._policy, self._rounded = policy, rounded_policy(policy)
        self.check_env, self.seed = policy.check_env, policy.seed
        self.difference = 0.0

    def initial_state(self, num_envs: int) -> Any:
        return self._policy.initial_state(num_envs), self._rounded.initial_state(num_envs)

    def act(self, observation: Any, state: Any, sample: bool = False) -> tuple[Any, Any]:
        decision = self._policy.decide(observation, state[0], sample)
        other = self._rounded.decide(observation, state[1], sample)
        for name in ("choice_probs", "location_mean"):
            self.difference = max(self.difference, float(np.abs(getattr(decision, name) - getattr(other, name)).max()))
        return decision.action, (decision.state, other.state)


def measure_rounding(name: str, num_episodes: int | None = None) -> RoundingEffect:
    """Measure the effect of rounding on a pretrained agent.

    Args:
        name: of the agent.
        num_episodes: as in :func:`glimpse_gym.agents.evaluation.evaluate`.
    """
    policy, metadata = load_agent(agent_folder(name), trusted=True)
    conditions = EvalConditions("test")
    env = metadata.env_id, metadata.env_kwargs, conditions
    pair = _Pair(policy)
    failures = [batch.incorrect[-1] for batch in play_episodes(pair, *env, num_episodes=num_episodes)]
    failed = np.concatenate(failures)
    rounded = evaluate(rounded_policy(policy), *env, num_episodes=num_episodes)
    return RoundingEffect(len(failed), float(failed.mean()), rounded.errors[-1], pair.difference)


def main() -> None:
    """Print the table of all pretrained agents."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--num-episodes", type=int, help="of each agent; all images, or 100,000 games, if left out")
    num_episodes = parser.parse_args().num_episodes
    print("| agent | episodes | test error | with rounded weights | largest difference of a decision |")
    print("| --- | --- | --- | --- | --- |")
    for name in pretrained_names():
        effect = measure_rounding(name, num_episodes)
        errors = f"{effect.error:.2%} | {effect.rounded_error:.2%}"
        print(f"| {name} | {effect.num_episodes:,} | {errors} | {effect.difference:.1e} |", flush=True)


if __name__ == "__main__":
    main()
