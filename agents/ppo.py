"""PPO for recurrent policies (Schulman et al., 2017): trains a RAM from the rewards alone.

B episodes, T steps. Episodes have equal lengths, so that a batch of whole episodes needs no padding.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from glimpse_gym.agents.configs import PPOConfig
from glimpse_gym.agents.learner import Learner
from glimpse_gym.agents.ram import RAM, RAMOutput, to_tensors


class Rollout(NamedTuple):
    """B whole episodes of T steps, without gradients."""

    glimpses: Tensor
    """(T, B, k*C, g, g)."""
    locations: Tensor
    """Where the glimpses were taken, (T, B, 2)."""
    choices: Tensor
    """Labels or moves, int64 (T, B)."""
    sampled_locations: Tensor
    """Sampled next locations before clipping, (T, B, 2)."""
    log_probs: Tensor
    """Log-probabilities of the actions, (T, B)."""
    values: Tensor
    """Value estimates, (T, B)."""
    rewards: Tensor
    """(T, B)."""
    successes: Tensor
    """bool (T, B), True at the last step of an episode with success."""

    def select(self, index: Tensor) -> Rollout:
        """Select some of the episodes."""
        return Rollout(*(part[:, index] for part in self))


class PPO(Learner):
    """Proximal policy optimization of a RAM: several epochs of minibatches on each batch of episodes."""

    policy_class = RAM
    config: PPOConfig

    def _learn(self) -> tuple[dict[str, float], float]:
        config = self.config
        rollout = self.rollout()
        advantages = self.advantages(rollout)
        returns = advantages + rollout.values
        advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
        sums: dict[str, float] = {}
        for _ in range(config.num_epochs):
            order = torch.randperm(config.batch_size, generator=self.policy.generator)
            for index in order.split(config.minibatch_size):
                losses = self.loss(rollout.select(index), advantages[:, index], returns[:, index])
                self._optimizer_step(losses["total"])
                for name, loss in losses.items():
                    sums[name] = sums.get(name, 0.0) + loss.item()
        num_steps = config.num_epochs * config.batch_size // config.minibatch_size
        error = 1.0 - float(rollout.successes[-1].float().mean())
        return {name: total / num_steps for name, total in sums.items()}, error

    @torch.no_grad()
    def rollout(self) -> Rollout:
        """Play one episode in every sub-env with sampled actions."""
        policy = self.policy
        observation, _ = self.envs.reset(seed=self._episode_seeds())  # type: ignore[arg-type]
        state: Tensor | None = None
        steps = []
        terminated = np.zeros(self.envs.num_envs, np.bool_)
        while not terminated.all():
            glimpse, location = to_tensors(observation)
            output, state = policy(glimpse, location, state)
            choice = policy.sample_choice(output.logits)
            sample = policy.sample_location(output.location_mean)
            observation, reward, terminated, _, infos = self.envs.step(policy.to_action(choice, sample))
            log_prob = self._log_prob(output, choice, sample, is_last_step=bool(terminated.all()))
            value = policy.baseline(output.hidden)
            results = torch.from_numpy(reward).float(), torch.from_numpy(infos["success"])
            steps.append(Rollout(glimpse, location, choice, sample, log_prob, value, *results))
        return Rollout(*(torch.stack(parts) for parts in zip(*steps, strict=True)))

    def advantages(self, rollout: Rollout) -> Tensor:
        """Compute generalized advantage estimates (Schulman et al., 2016), (T, B)."""
        config = self.config
        advantages = torch.empty_like(rollout.values)
        gae = next_value = torch.zeros_like(rollout.values[0])  # the value after the last step is 0
        for t in reversed(range(len(advantages))):
            td_error = rollout.rewards[t] + config.gamma * next_value - rollout.values[t]
            advantages[t] = gae = td_error + config.gamma * config.gae_lambda * gae
            next_value = rollout.values[t]
        return advantages

    def loss(self, rollout: Rollout, advantages: Tensor, returns: Tensor) -> dict[str, Tensor]:
        """Compute the clipped policy loss, the value loss and the entropy; ``total`` is to be minimized."""
        config = self.config
        outputs = self.policy.unroll(rollout.glimpses, rollout.locations)
        ratio = (self._log_probs(outputs, rollout) - rollout.log_probs).exp()
        clipped = ratio.clamp(1 - config.clip_coef, 1 + config.clip_coef)
        policy_loss = -torch.minimum(ratio * advantages, clipped * advantages).mean()
        value_loss = functional.mse_loss(self.policy.baseline(outputs.hidden), returns)
        entropy = _entropy(outputs.logits[-1:] if self.policy.task_spec.choice_is_final else outputs.logits)
        ent_coef = config.ent_coef * (1 - self.num_updates_done / config.num_updates)
        total = policy_loss + config.vf_coef * value_loss - ent_coef * entropy
        return {
            "total": total,
            "policy": policy_loss.detach(),
            "baseline": value_loss.detach(),
            "entropy": entropy.detach(),
        }

    def _log_probs(self, outputs: RAMOutput, rollout: Rollout) -> Tensor:
        """Compute the log-probabilities of a rollout's actions, (T, B)."""
        last = len(rollout.choices) - 1
        choices, samples = rollout.choices, rollout.sampled_locations
        if not self.policy.task_spec.choice_is_final:  # all steps are alike: one call for all
            return self._log_prob(outputs, choices, samples, is_last_step=False)
        steps = (RAMOutput(*(part[t] for part in outputs)) for t in range(last + 1))
        return torch.stack(
            [self._log_prob(step, choices[t], samples[t], is_last_step=t == last) for t, step in enumerate(steps)]
        )

    def _log_prob(self, output: RAMOutput, choice: Tensor, sample: Tensor, is_last_step: bool) -> Tensor:
        """Compute the log-probability of the part of an action that has an effect.

        Moves and locations have an effect at every step; a label only at the last step, where a location has none.
        """
        choice_log_prob = output.logits.log_softmax(-1).gather(-1, choice[..., None]).squeeze(-1)
        location_log_prob = self.policy.location_log_prob(sample, output.location_mean)
        if self.policy.task_spec.choice_is_final:
            return choice_log_prob if is_last_step else location_log_prob
        return choice_log_prob + location_log_prob


def _entropy(logits: Tensor) -> Tensor:
    """Compute the mean entropy of categorical distributions, a scalar."""
    log_probs = logits.log_softmax(-1)
    return -(log_probs.exp() * log_probs).sum(-1).mean()
