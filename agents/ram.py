"""The recurrent attention model (RAM) of Mnih et al., "Recurrent Models of Visual Attention", 2014, as a policy.

B episodes, T glimpses, K labels or moves, H hidden units, S numbers in the core's state.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from glimpse_gym.agents.base import Decision, Policy, TaskSpec
from glimpse_gym.agents.configs import RAMConfig
from glimpse_gym.agents.networks import CORES, Baseline, ChoiceNetwork, GlimpseNetwork, LocationNetwork


class RAMOutput(NamedTuple):
    """Output of the networks after one glimpse, or after each of T glimpses (with a leading axis T)."""

    hidden: Tensor
    """h, (B, H)."""
    logits: Tensor
    """Logits of the labels or moves, (B, K)."""
    location_mean: Tensor
    """Mean of the next location, (B, 2) in [-1, 1]."""


class RAM(Policy):
    """Recurrent attention model: networks, sampling, and choice of actions.

    Args:
        task_spec: task that the policy is made for.
        config: sizes and kinds of the networks, and the location policy.
    """

    config: RAMConfig

    def __init__(self, task_spec: TaskSpec, config: RAMConfig | None = None) -> None:
        config = config or RAMConfig()
        super().__init__(task_spec, config)
        self.glimpse_network = GlimpseNetwork(
            task_spec.glimpse_shape,
            task_spec.num_scales,
            encoder=config.glimpse_network,
            units=config.glimpse_units,
            location_units=config.location_units,
            features=config.glimpse_features,
            scale_gain=config.scale_gain,
        )
        self.core_network = CORES[config.core](config.glimpse_features, config.hidden_units)
        self.location_network = LocationNetwork(config.hidden_units)
        self.choice_network = ChoiceNetwork(config.hidden_units, task_spec.num_choices)
        self.baseline = Baseline(config.hidden_units)

    def initial_state(self, num_envs: int) -> Tensor:
        """Return the initial state of the core: zeros, (B, S)."""
        return torch.zeros(num_envs, self.core_network.state_size)

    @torch.no_grad()
    def decide(self, observation: dict[str, np.ndarray], state: Tensor, sample: bool = False) -> Decision:
        """See :meth:`Policy.decide`. The recurrent state is that of the core, (B, S)."""
        is_first_step = torch.from_numpy(observation["time"]) == 0  # (B, 1)
        output, state = self(*to_tensors(observation), torch.where(is_first_step, 0.0, state))
        location, is_random = output.location_mean, self.config.location_policy == "random"
        if sample or is_random:
            location = self.sample_location(location)
        choice = output.logits.argmax(-1)
        if sample and not self.task_spec.choice_is_final:
            choice = self.sample_choice(output.logits)
        probs = output.logits.softmax(-1).numpy()
        mean, std = (None, None) if is_random else (output.location_mean.numpy(), self.config.sigma)
        return Decision(self.to_action(choice, location), state, probs, mean, std)

    def forward(self, glimpse: Tensor, location: Tensor, state: Tensor | None) -> tuple[RAMOutput, Tensor]:
        """Run the networks for one step.

        Args:
            glimpse: (B, k*C, g, g).
            location: where the glimpse was taken, (B, 2).
            state: of the core, (B, S); None at the first step of all episodes.

        Returns:
            The output and the new state of the core.
        """
        hidden, state = self.core_network(self.glimpse_network(glimpse, location), state)
        return self._heads(hidden), state

    def unroll(self, glimpses: Tensor, locations: Tensor) -> RAMOutput:
        """Run the networks over whole recorded episodes.

        Args:
            glimpses: (T, B, k*C, g, g).
            locations: (T, B, 2).

        Returns:
            Outputs, each (T, B, ...).
        """
        features = self.glimpse_network(glimpses.flatten(0, 1), locations.flatten(0, 1))  # (T*B, features)
        state: Tensor | None = None
        hiddens = []
        for step_features in features.chunk(len(glimpses)):
            hidden, state = self.core_network(step_features, state)
            hiddens.append(hidden)
        return self._heads(torch.stack(hiddens))

    def _heads(self, hidden: Tensor) -> RAMOutput:
        location_input = hidden.detach() if self.config.detach_location_network else hidden
        return RAMOutput(hidden, self.choice_network(hidden), self.location_network(location_input))

    def sample_location(self, mean: Tensor) -> Tensor:
        """Sample locations, (..., 2), not clipped, from the Gaussian policy, or uniformly; detached from ``mean``."""
        if self.config.location_policy == "random":
            return 2 * torch.rand(mean.shape, generator=self.generator) - 1
        noise = torch.randn(mean.shape, generator=self.generator)
        return mean.detach() + self.config.sigma * noise

    def sample_choice(self, logits: Tensor) -> Tensor:
        """Sample labels or moves, int64 (B,), from their probabilities."""
        return torch.multinomial(logits.detach().softmax(-1), 1, generator=self.generator).squeeze(-1)

    def location_log_prob(self, location: Tensor, mean: Tensor) -> Tensor:
        """Compute the log-probability of locations sampled *before* clipping, (..., 2), up to a constant: (...)."""
        if self.config.location_policy == "random":  # independent of the mean
            return torch.zeros_like(mean[..., 0])
        return -((location - mean) ** 2).sum(-1) / (2 * self.config.sigma**2)

    def to_action(self, choice: Tensor, location: Tensor) -> dict[str, np.ndarray]:
        """Build the action of the vector env, with the location clipped to [-1, 1]."""
        return {
            "next_location": location.detach().clamp(-1.0, 1.0).numpy(),
            self.task_spec.choice_name: choice.numpy(),
        }


def to_tensors(observation: dict[str, np.ndarray]) -> tuple[Tensor, Tensor]:
    """Convert an observation to tensors: glimpse, (B, k*C, g, g), and location, (B, 2)."""
    return torch.from_numpy(observation["glimpse"]), torch.from_numpy(observation["location"])
