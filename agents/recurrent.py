"""Base class of the policies with the networks of the recurrent attention model, in the form in which PPO trains them.

B episodes, H hidden units, S numbers in the core's state, n discrete actions. The steps of several episodes are packed
as in :class:`torch.nn.utils.rnn.PackedSequence`: the first steps of all episodes, then the second steps of those that
have one, and so on, with the longest episode first. N is the number of steps of all episodes together.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from glimpse_gym.agents.base import Policy, TaskSpec
from glimpse_gym.agents.configs import RecurrentConfig
from glimpse_gym.agents.networks import CORES, Baseline, GlimpseNetwork


class RecurrentPolicy(Policy):
    """Recurrent policy: a glimpse network, a core and a baseline. Subclasses add heads, samples and actions.

    ``output`` is a NamedTuple of tensors that starts with h, and ``sample`` a tuple of tensors; both have a leading
    axis, over episodes (B) or packed steps (N).

    Args:
        task_spec: task that the policy is made for.
        config: sizes and kinds of the networks.
    """

    config: RecurrentConfig
    baseline: Baseline

    def __init__(self, task_spec: TaskSpec, config: RecurrentConfig) -> None:
        super().__init__(task_spec, config)
        self.glimpse_network = GlimpseNetwork(
            task_spec.glimpse_shape,
            task_spec.num_scales,
            encoder=config.glimpse_network,
            units=config.glimpse_units,
            location_units=config.location_units,
            features=config.glimpse_features,
            scale_gain=config.scale_gain,
            filters=config.glimpse_filters,
        )
        self.core_network = CORES[config.core](config.glimpse_features, config.hidden_units)

    def initial_state(self, num_envs: int) -> Tensor:
        """Return the initial state of the core: zeros, (B, S)."""
        return torch.zeros(num_envs, self.core_network.state_size, device=self.device)

    def forward(
        self, glimpse: Tensor, location: Tensor, state: Tensor | None, mask: Tensor | None = None
    ) -> tuple[Any, Tensor]:
        """Run the networks for one step.

        Args:
            glimpse: (B, k*C, g, g).
            location: where the glimpse was taken, (B, 2).
            state: of the core, (B, S); None at the first step of all episodes.
            mask: from :meth:`action_mask`.

        Returns:
            The output and the new state of the core.
        """
        hidden, state = self.core_network(self.glimpse_network(glimpse, location), state)
        return self._heads(hidden, mask), state

    def unroll(
        self, glimpses: Tensor, locations: Tensor, batch_sizes: Sequence[int], masks: Tensor | None = None
    ) -> Any:
        """Run the networks over whole recorded episodes.

        Args:
            glimpses: packed, (N, k*C, g, g).
            locations: packed, (N, 2).
            batch_sizes: number of episodes that have a first step, a second step, and so on; never increasing.
            masks: from :meth:`action_mask`, packed, (N, n).

        Returns:
            The packed output, (N, ...).
        """
        return self._heads(self.core_network.unroll(self.glimpse_network(glimpses, locations), batch_sizes), masks)

    def action_mask(self, observation: dict[str, Tensor]) -> Tensor | None:
        """Return the mask of valid actions, bool (B, n); None if all actions are always valid."""
        return None

    @abstractmethod
    def _heads(self, hidden: Tensor, mask: Tensor | None) -> Any:
        """Compute the output from h, (..., H)."""

    @abstractmethod
    def sample(self, output: Any) -> tuple[Tensor, ...]:
        """Sample an action for each row from the policy, without gradients."""

    @abstractmethod
    def log_prob(self, output: Any, sample: tuple[Tensor, ...], is_last_step: Tensor) -> Tensor:
        """Compute the log-probability of the part of a sample that has an effect, up to a constant: (...).

        Args:
            output: of the networks.
            sample: from :meth:`sample`.
            is_last_step: bool (...), True if the step ended the episode.
        """

    @abstractmethod
    def entropy(self, output: Any, is_last_step: Tensor) -> Tensor:
        """Compute the mean entropy of the categorical distributions whose samples have an effect, a scalar."""

    @abstractmethod
    def to_action(self, *sample: Tensor) -> Any:
        """Build the action of the vector env from the parts of a sample."""


def to_tensors(observation: dict[str, Any], device: torch.device) -> dict[str, Tensor]:
    """Convert the observation of a vector env to tensors on a device."""
    return {name: torch.as_tensor(value, device=device) for name, value in observation.items()}


def categorical_sample(logits: Tensor, generator: torch.Generator) -> Tensor:
    """Sample from categorical distributions, (B, K): int64 (B,)."""
    probs = logits.detach().softmax(-1).to(generator.device)
    return torch.multinomial(probs, 1, generator=generator).squeeze(-1).to(logits.device)


def categorical_log_prob(logits: Tensor, choice: Tensor) -> Tensor:
    """Compute the log-probabilities of choices, (...), from logits, (..., K)."""
    return logits.log_softmax(-1).gather(-1, choice[..., None]).squeeze(-1)


def mean_entropy(logits: Tensor) -> Tensor:
    """Compute the mean entropy of categorical distributions, a scalar, from logits, (..., K)."""
    log_probs = logits.log_softmax(-1)
    return -(log_probs.exp() * log_probs).sum(-1).mean()
