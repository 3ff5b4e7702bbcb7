"""The recurrent attention model (RAM) of Mnih et al., "Recurrent Models of Visual Attention", 2014, as a policy.

B episodes, T glimpses, K labels or moves, H hidden units, S numbers in the core's state.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from gymnasium.vector import VectorEnv
from torch import Tensor

from glimpse_gym.agents.base import Decision, TaskSpec
from glimpse_gym.agents.configs import RAMConfig
from glimpse_gym.agents.location_policies import LOCATION_RULES, ScriptedLocations
from glimpse_gym.agents.networks import Baseline, ChoiceNetwork, LocationNetwork
from glimpse_gym.agents.recurrent import (
    RecurrentPolicy,
    categorical_log_prob,
    categorical_sample,
    mean_entropy,
    to_tensors,
)
from glimpse_gym.agents.tensor_envs import to_arrays


class RAMOutput(NamedTuple):
    """Output of the networks after one glimpse, or after each of T glimpses (with a leading axis T)."""

    hidden: Tensor
    """h, (B, H)."""
    logits: Tensor
    """Logits of the labels or moves, (B, K)."""
    location_mean: Tensor
    """Mean of the next location, (B, 2) in [-1, 1]."""


class RAM(RecurrentPolicy):
    """Recurrent attention model: networks, sampling, and choice of actions.

    Args:
        task_spec: task that the policy is made for.
        config: sizes and kinds of the networks, and the location policy.
    """

    config: RAMConfig

    def __init__(self, task_spec: TaskSpec, config: RAMConfig | None = None) -> None:
        config = config or RAMConfig()
        super().__init__(task_spec, config)
        self.location_network = LocationNetwork(config.hidden_units)
        self.choice_network = ChoiceNetwork(config.hidden_units, task_spec.num_choices)
        self.baseline = Baseline(config.hidden_units)
        rule = LOCATION_RULES.get(config.location_policy)
        self.location_rule = rule() if rule else None
        """Rule that chooses the locations; None if they are learned or random."""

    def check_env(self, envs: VectorEnv[Any, Any, Any]) -> None:
        """See :meth:`Policy.check_env`. A location rule also reads from the env what it depends on."""
        super().check_env(envs)
        if self.location_rule:
            self.location_rule.bind(envs)

    def wrap_envs(self, envs: VectorEnv[Any, Any, Any]) -> VectorEnv[Any, Any, Any]:
        """See :meth:`Policy.wrap_envs`. The location rule, if there is one, replaces the locations of the actions."""
        rule = LOCATION_RULES.get(self.config.location_policy)
        return ScriptedLocations(envs, rule()) if rule else envs

    def initial_state(self, num_envs: int) -> Tensor:
        """Return zeros, (B, S + M): the state of the core, and M numbers of memory of the location rule."""
        memory_size = self.location_rule.memory_size if self.location_rule else 0
        return torch.zeros(num_envs, self.core_network.state_size + memory_size, device=self.device)

    @torch.no_grad()
    def decide(self, observation: dict[str, np.ndarray], state: Tensor, sample: bool = False) -> Decision:
        """See :meth:`Policy.decide`. The recurrent state is as in :meth:`initial_state`."""
        state, memory = state.tensor_split([self.core_network.state_size], dim=1)
        seen = to_tensors(observation, self.device)
        state = torch.where(seen["time"] == 0, 0.0, state)  # at the first step of an episode
        output, state = self(seen["glimpse"], seen["location"], state)
        location, is_learned = output.location_mean, self.config.location_policy == "learned"
        if self.location_rule:
            location, memory = self.location_rule.next_location(observation, memory)
        elif sample or not is_learned:
            location = self.sample_location(location)
        choice = output.logits.argmax(-1)
        if sample and not self.task_spec.choice_is_final:
            choice = self.sample_choice(output.logits)
        probs = to_arrays(output.logits.softmax(-1))
        mean, std = (to_arrays(output.location_mean), self.config.sigma) if is_learned else (None, None)
        action = to_arrays(self.to_action(choice, location))
        return Decision(action, torch.cat([state, memory], dim=1), probs, mean, std)

    def _heads(self, hidden: Tensor, mask: Tensor | None) -> RAMOutput:
        location_input = hidden.detach() if self.config.detach_location_network else hidden
        return RAMOutput(hidden, self.choice_network(hidden), self.location_network(location_input))

    def sample_location(self, mean: Tensor) -> Tensor:
        """Sample locations, (..., 2), not clipped, from the Gaussian policy, or uniformly; detached from ``mean``.

        With a location rule they are of no effect: in training :meth:`wrap_envs` replaces them.
        """
        if self.config.location_policy == "random":
            return 2 * torch.rand(mean.shape, generator=self.generator).to(mean.device) - 1
        noise = torch.randn(mean.shape, generator=self.generator).to(mean.device)
        return mean.detach() + self.config.sigma * noise

    def sample_choice(self, logits: Tensor) -> Tensor:
        """Sample labels or moves, int64 (B,), from their probabilities."""
        return categorical_sample(logits, self.generator)

    def sample(self, output: RAMOutput) -> tuple[Tensor, Tensor]:
        """Sample labels or moves, int64 (B,), and locations, not clipped, (B, 2)."""
        return self.sample_choice(output.logits), self.sample_location(output.location_mean)

    def location_log_prob(self, location: Tensor, mean: Tensor) -> Tensor:
        """Compute the log-probability of locations sampled *before* clipping, (..., 2), up to a constant: (...)."""
        if self.config.location_policy != "learned":  # independent of the mean
            return torch.zeros_like(mean[..., 0])
        return -((location - mean) ** 2).sum(-1) / (2 * self.config.sigma**2)

    def log_prob(self, output: RAMOutput, sample: tuple[Tensor, ...], is_last_step: Tensor) -> Tensor:
        """Compute the log-probability of the part of a sample that has an effect, up to a constant: (...).

        Moves and locations have an effect at every step; a label only at the last step, where a location has none.
        """
        choice_log_prob = categorical_log_prob(output.logits, sample[0])
        location_log_prob = self.location_log_prob(sample[1], output.location_mean)
        if self.task_spec.choice_is_final:
            return torch.where(is_last_step, choice_log_prob, location_log_prob)
        return choice_log_prob + location_log_prob

    def entropy(self, output: RAMOutput, is_last_step: Tensor) -> Tensor:
        """Compute the mean entropy of the moves, or of the labels of the last steps, a scalar."""
        return mean_entropy(output.logits[is_last_step] if self.task_spec.choice_is_final else output.logits)

    def to_action(self, *sample: Tensor) -> dict[str, Tensor]:
        """Build the action of the vector env from choices, int64 (B,), and locations, (B, 2), clipped to [-1, 1]."""
        choice, location = sample
        return {
            "next_location": location.detach().float().clamp(-1.0, 1.0),
            self.task_spec.choice_name: choice,
        }
