"""Supervised learning of whole-image classifiers by cross-entropy."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor
from torch.nn import functional

from glimpse_gym.agents.classifier import Classifier
from glimpse_gym.agents.configs import SupervisedConfig
from glimpse_gym.agents.learner import Learner


class Rollout(NamedTuple):
    """B episodes, with gradients."""

    logits: Tensor
    """(B, K)."""
    labels: Tensor
    """True labels, int64 (B,)."""
    correct: Tensor
    """bool (B,)."""


class Supervised(Learner):
    """Supervised training of a classifier: one optimizer step on each batch of images."""

    policy_class = Classifier
    needs_label = True
    can_divide_batches = True
    config: SupervisedConfig

    def _learn(self) -> tuple[dict[str, float], float]:
        with self._autocast():
            rollout = self.rollout()
            loss = self.loss(rollout)
        values = self._optimizer_step(loss, {"total": loss, "correct": rollout.correct.float().mean()})
        self.num_steps_done += self.horizon * self.config.batch_size
        error = 1.0 - values.pop("correct")
        return values, error

    def rollout(self) -> Rollout:
        """Classify the first glimpse of one episode in every sub-env, then play to the end, which reveals the label."""
        observation, _ = self.envs.reset(seed=self._episode_seeds())  # type: ignore[arg-type]
        logits = self.policy(observation["glimpse"])
        action = self.policy.to_action(logits)
        for _ in range(self.horizon):
            infos = self.envs.step(action)[-1]
        return Rollout(logits, infos["label"], infos["correct"])

    def loss(self, rollout: Rollout) -> Tensor:
        """Compute the mean cross-entropy."""
        return functional.cross_entropy(rollout.logits, rollout.labels)
