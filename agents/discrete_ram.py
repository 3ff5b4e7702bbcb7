"""Recurrent attention model for discrete actions: one categorical distribution over looks and choices.

B episodes, n actions, M*M cells of the grid of locations, K labels or moves, H hidden units.
"""

from __future__ import annotations

import math
from typing import ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor

from glimpse_gym.agents.base import Decision, TaskSpec
from glimpse_gym.agents.configs import DiscreteRAMConfig
from glimpse_gym.agents.networks import Baseline, ChoiceNetwork
from glimpse_gym.agents.recurrent import (
    RecurrentPolicy,
    categorical_log_prob,
    categorical_sample,
    mean_entropy,
    to_tensors,
)
from glimpse_gym.agents.tensor_envs import to_arrays

# Logit of an action that is not valid. Its probability is exactly 0, and unlike -inf it keeps the entropy finite.
_NEVER = -1e8


class DiscreteRAMOutput(NamedTuple):
    """Output of the networks."""

    hidden: Tensor
    """h, (B, H)."""
    logits: Tensor
    """Logits of the actions, (B, n); those of actions that are not valid are very low."""


class DiscreteRAM(RecurrentPolicy):
    """Recurrent attention model whose one action is a look, an answer, or a move with a look.

    The network gives each cell and each choice a score. Where an action is either a look or an answer, the scores are
    its logits. Where it is a pair, its logit is the sum of the two scores, so that what is learned about a move holds
    for all cells.

    Args:
        task_spec: task that the policy is made for.
        config: sizes and kinds of the networks.
    """

    actions: ClassVar[str] = "discrete"
    config: DiscreteRAMConfig
    initial_scores: Tensor

    def __init__(self, task_spec: TaskSpec, config: DiscreteRAMConfig | None = None) -> None:
        config = config or DiscreteRAMConfig()
        super().__init__(task_spec, config)
        self.action_network = ChoiceNetwork(config.hidden_units, task_spec.num_cells + task_spec.num_choices)
        self.baseline = Baseline(config.hidden_units)
        self.register_buffer("initial_scores", self._initial_scores(), persistent=False)

    def _initial_scores(self) -> Tensor:
        """Compute scores, (M*M + K,), that are added to the network's: the first policy is that of the config."""
        spec, prob = self.task_spec, self.config.initial_answer_prob
        side = math.isqrt(spec.num_cells)
        squares = ((2 * torch.arange(side) + 1) / side - 1).square()
        distances = (squares[:, None] + squares).flatten()
        looks = (-distances / (2 * self.config.initial_sigma**2)).log_softmax(0) + math.log(1 - prob)
        return torch.cat([looks, torch.full((spec.num_choices,), math.log(prob / spec.num_choices))])

    @torch.no_grad()
    def decide(self, observation: dict[str, np.ndarray], state: Tensor, sample: bool = False) -> Decision:
        """See :meth:`Policy.decide`. The action is int64 (B,); with ``sample``, all of it is sampled, a label too."""
        seen = to_tensors(observation, self.device)
        state = torch.where(seen["time"] == 0, 0.0, state)  # at the first step of an episode
        output, state = self(seen["glimpse"], seen["location"], state, self.action_mask(seen))
        (action,) = self.sample(output) if sample else (output.logits.argmax(-1),)
        return Decision(to_arrays(self.to_action(action)), state, to_arrays(self._choice_probs(output.logits)))

    def action_mask(self, observation: dict[str, Tensor]) -> Tensor | None:
        """Return the mask of valid actions, equal to the vector env's: at the last step only answers are valid."""
        spec = self.task_spec
        if not spec.choice_is_final:
            return None
        is_last_step = observation["time"] * spec.num_glimpses > spec.num_glimpses - 1.5  # (B, 1)
        is_look = torch.arange(spec.num_actions, device=is_last_step.device) < spec.num_cells
        return ~(is_last_step & is_look)

    def _heads(self, hidden: Tensor, mask: Tensor | None) -> DiscreteRAMOutput:
        logits = self.action_network(hidden) + self.initial_scores
        if not self.task_spec.choice_is_final:
            looks, choices = logits.tensor_split([self.task_spec.num_cells], dim=-1)
            logits = (choices[..., :, None] + looks[..., None, :]).flatten(-2)  # choice * M*M + cell
        return DiscreteRAMOutput(hidden, logits if mask is None else logits.masked_fill(~mask, _NEVER))

    def sample(self, output: DiscreteRAMOutput) -> tuple[Tensor]:
        """Sample actions, int64 (B,), from their probabilities."""
        return (categorical_sample(output.logits, self.generator),)

    def log_prob(self, output: DiscreteRAMOutput, sample: tuple[Tensor, ...], is_last_step: Tensor) -> Tensor:
        """Compute the log-probabilities of actions, (...)."""
        return categorical_log_prob(output.logits, *sample)

    def entropy(self, output: DiscreteRAMOutput, is_last_step: Tensor) -> Tensor:
        """Compute the mean entropy of the actions, a scalar."""
        return mean_entropy(output.logits)

    def to_action(self, *sample: Tensor) -> Tensor:
        """Build the action of the vector env, int64 (B,)."""
        return sample[0]

    def _choice_probs(self, logits: Tensor) -> Tensor:
        """Compute the probabilities of the labels, given that one is answered, or of the moves: (B, K)."""
        if self.task_spec.choice_is_final:
            return logits[:, self.task_spec.num_cells :].softmax(-1)
        return logits.softmax(-1).unflatten(1, (-1, self.task_spec.num_cells)).sum(-1)
