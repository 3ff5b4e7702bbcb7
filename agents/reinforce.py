"""REINFORCE with the hybrid loss of Mnih et al. (2014): cross-entropy for the label, REINFORCE for the locations.

B episodes, T glimpses, K labels.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from glimpse_gym.agents.configs import ReinforceConfig
from glimpse_gym.agents.learner import Learner
from glimpse_gym.agents.pathwise import with_pathwise_gradient
from glimpse_gym.agents.ram import RAM, RAMOutput

_MIN_LOSS = 1e-4  # added to losses, so that any episode can be chosen


class Rollout(NamedTuple):
    """B whole episodes of T glimpses, with gradients."""

    outputs: RAMOutput
    """Each (T, B, ...)."""
    sampled_locations: Tensor
    """Sampled next locations before clipping, (T, B, 2). The last is never looked at, and none of a rule's policy."""
    labels: Tensor
    """True labels, int64 (B,)."""
    returns: Tensor
    """Sum of each episode's rewards, (B,)."""
    correct: Tensor
    """bool (B,)."""


class Losses(NamedTuple):
    """The terms of the loss, each averaged over the batch and over time."""

    total: Tensor
    classification: Tensor
    reinforce: Tensor
    baseline: Tensor


class Reinforce(Learner):
    """REINFORCE training of a RAM that classifies: one optimizer step on each batch of episodes."""

    policy_class = RAM
    needs_label = True
    can_divide_batches = True
    config: ReinforceConfig

    def _learn(self) -> tuple[dict[str, float], float]:
        seeds, correct = self._choose_episodes()
        with self._autocast():
            rollout = self.rollout(seeds)
            losses = self.loss(rollout)
        # The error is that of all candidates, since chosen episodes are difficult.
        correct = rollout.correct if correct is None else correct
        values = self._optimizer_step(losses.total, losses._asdict() | {"correct": correct.float().mean()})
        self.num_steps_done += self.horizon * self.config.batch_size
        error = 1.0 - values.pop("correct")
        return values, error

    def _choose_episodes(self) -> tuple[np.ndarray, Tensor | None]:
        """Choose the episodes to learn from.

        Returns:
            Seeds of this process's episodes, uint64 (B,), and whether its candidates were correct, bool; None if there
            was no choice.
        """
        config = self.config
        own_rows = self.parallel.own_rows(config.batch_size)
        if config.candidates_per_episode == 1:
            return self._episode_seeds(config.copies_per_image), None
        seeds = self._update_seeds(config.batch_size * config.candidates_per_episode)
        if self.progress < config.selection_start:
            return seeds[: config.batch_size][own_rows], None
        losses, correct = [], []
        for part in np.split(seeds, config.candidates_per_episode):
            # Autocast of its own: until it ends, older versions of torch reuse weights that were cast without gradient.
            with torch.no_grad(), self._autocast():
                rollout = self.rollout(part[own_rows])
                cross_entropy = self._cross_entropy(rollout)
            losses.append(cross_entropy[len(cross_entropy) // 2 :].mean(0))  # in the second half of the glimpses
            correct.append(rollout.correct)
        self.num_steps_done += self.horizon * len(seeds)
        all_losses = self.parallel.all_rows(torch.stack(losses)).flatten()
        chosen = draw_by_weight(all_losses + _MIN_LOSS, config.batch_size, self.policy.generator)
        return seeds[chosen.numpy()][own_rows], torch.stack(correct)

    @property
    def num_episodes_played(self) -> int:
        """See :meth:`Learner.num_episodes_played`."""
        return self.num_steps_done // self.horizon

    def rollout(self, seeds: np.ndarray | None = None) -> Rollout:
        """Play one episode in every sub-env with sampled locations, keeping gradients. All episodes have T steps.

        Args:
            seeds: of the episodes, uint64 (B,); None takes those of the current update.
        """
        if seeds is None:
            seeds = self._episode_seeds(self.config.copies_per_image)
        policy = self.policy
        half_size, max_norm = self._half_image_size(), self._pathwise_max_norm()
        observation, _ = self.envs.reset(seed=seeds)  # type: ignore[arg-type]
        glimpse, location = observation["glimpse"], observation["location"]
        state: Tensor | None = None
        outputs: list[RAMOutput] = []
        samples: list[Tensor] = []
        returns = torch.zeros(self.envs.num_envs, dtype=torch.float64, device=policy.device)
        for _ in range(self.horizon):
            output, state = policy(glimpse, location, state)
            sample = self.parallel.sample(policy.sample_location, output.location_mean)
            action = policy.to_action(output.logits.detach().argmax(-1), sample)
            observation, reward, _, _, infos = self.envs.step(action)
            glimpse, location = observation["glimpse"], observation["location"]
            if max_norm:
                # Reparameterization: the location is the mean plus noise, so that the mean receives the gradient.
                noise = sample - output.location_mean.detach()
                location = (output.location_mean + noise).clamp(-1.0, 1.0)
                glimpse = with_pathwise_gradient(glimpse, location, policy.task_spec.num_scales, half_size, max_norm)
            returns = returns + reward
            outputs.append(output)
            samples.append(sample)
        return Rollout(
            RAMOutput(*(torch.stack(parts) for parts in zip(*outputs, strict=True))),
            torch.stack(samples),
            infos["label"],
            returns.float(),
            infos["correct"],
        )

    def loss(self, rollout: Rollout) -> Losses:
        """Compute the hybrid loss: cross-entropy plus REINFORCE with a learned baseline (section 3, equation 2)."""
        config, outputs = self.config, rollout.outputs
        cross_entropy = self._cross_entropy(rollout)
        classification = self._classification_loss(cross_entropy)
        if len(cross_entropy) == 1 or self.policy.config.location_policy != "learned":  # the policy chose no location
            zero = classification.new_zeros(())
            return Losses(classification, classification, zero, zero)
        returns = self._returns(cross_entropy.detach(), rollout.returns)
        values = self.policy.baseline(outputs.hidden[:-1].detach())  # trains the baseline, not the core
        advantages = self._advantages(returns, values.detach())
        log_prob = self.policy.location_log_prob(rollout.sampled_locations[:-1], outputs.location_mean[:-1])
        reinforce = -(advantages * log_prob).mean()
        baseline = functional.mse_loss(values, returns)
        total = classification + config.reinforce_weight * reinforce + baseline
        return Losses(total, classification, reinforce, baseline)

    @staticmethod
    def _cross_entropy(rollout: Rollout) -> Tensor:
        """Compute the cross-entropy of each episode after each glimpse, (T, B)."""
        logits = rollout.outputs.logits
        losses = functional.cross_entropy(logits.flatten(0, 1), rollout.labels.repeat(len(logits)), reduction="none")
        return losses.view(logits.shape[:2])

    def _classification_loss(self, cross_entropy: Tensor) -> Tensor:
        """Average the cross-entropy, (T, B), over episodes and, with weights, over glimpses."""
        if self.config.loss_weighting == "last":
            return cross_entropy[-1].mean()
        weights = torch.ones(len(cross_entropy), device=cross_entropy.device)
        if self.config.loss_weighting == "linear":
            weights = weights.cumsum(0)
        return (weights / weights.sum()) @ cross_entropy.mean(1)

    def _returns(self, cross_entropy: Tensor, reward_sums: Tensor) -> Tensor:
        """Compute the return of each location except the last, (T-1, B)."""
        num_locations = len(cross_entropy) - 1
        if self.config.loss_weighting == "last":
            return reward_sums.expand(num_locations, -1)
        # exp(-cross-entropy) is the true class's probability; the return is its mean over the later glimpses.
        later = torch.exp(-cross_entropy)[1:].flip(0).cumsum(0).flip(0)
        return later / torch.arange(num_locations, 0, -1, device=later.device)[:, None]

    def _advantages(self, returns: Tensor, values: Tensor) -> Tensor:
        """Subtract the baseline and, with several copies of an image, the mean of the other copies: (T-1, B)."""
        advantages, copies = returns - values, self.config.copies_per_image
        if copies == 1:
            return advantages
        groups = advantages.view(len(advantages), -1, copies)
        others = (groups.sum(-1, keepdim=True) - groups) / (copies - 1)
        return (groups - others).view_as(advantages)

    def _half_image_size(self) -> Tensor:
        height, width = self.envs.metadata["image_size"]
        return torch.tensor([width, height], dtype=torch.float64, device=self.policy.device) / 2

    def _pathwise_max_norm(self) -> float:
        """Return the maximum norm of the pathwise gradient; 0 if it is not used."""
        has_gradient = self.policy.config.location_policy == "learned" and self.policy.task_spec.num_scales > 1
        return self.config.pathwise_max_norm if has_gradient else 0.0


def draw_by_weight(weights: Tensor, number: int, generator: torch.Generator) -> Tensor:
    """Draw distinct indices one after another, each with a probability proportional to its weight.

    With exponential times at these rates, the smallest come in this order (Efraimidis and Spirakis, 2006).

    Args:
        weights: positive, (n,).
        number: of indices, at most n.
        generator: on the CPU.

    Returns:
        Indices in ascending order, int64 (number,).
    """
    times = torch.empty_like(weights).exponential_(generator=generator) / weights
    return times.topk(number, largest=False).indices.sort().values
