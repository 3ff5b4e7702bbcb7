"""PPO for recurrent policies (Schulman et al., 2017): trains a RAM, or its discrete form, from the rewards alone.

B episodes of at most T steps. An update plays and learns whole episodes, so that no recurrent state is stored and no
value is bootstrapped. With discrete actions episodes can end early: the steps after an episode's end are recorded, but
``active`` is False there, and nothing is learned from them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from glimpse_gym.agents.configs import PPOConfig
from glimpse_gym.agents.learner import Learner
from glimpse_gym.agents.networks import initialize_orthogonal
from glimpse_gym.agents.recurrent import RecurrentPolicy


class Rollout(NamedTuple):
    """B whole episodes, without gradients."""

    glimpses: Tensor
    """(T, B, k*C, g, g)."""
    locations: Tensor
    """Locations of the glimpses, (T, B, 2)."""
    masks: Tensor | None
    """Masks of valid actions, bool (T, B, n); None if all actions are always valid."""
    samples: tuple[Tensor, ...]
    """Parts of the sampled actions, each (T, B, ...); see :meth:`RecurrentPolicy.sample`."""
    log_probs: Tensor
    """Log-probabilities of the actions, (T, B)."""
    values: Tensor
    """Value estimates, (T, B); 0 after the end of an episode."""
    rewards: Tensor
    """(T, B); 0 after the end of an episode."""
    successes: Tensor
    """bool (T, B), True at the last step of an episode with success."""
    active: Tensor
    """bool (T, B), True until the last step of an episode, inclusive."""

    @property
    def is_last_step(self) -> Tensor:
        """bool (T, B), True at the last step of each episode."""
        later = torch.cat([self.active[1:], torch.zeros_like(self.active[:1])])
        return self.active & ~later


class Steps(NamedTuple):
    """The N steps of some episodes, packed as in :mod:`glimpse_gym.agents.recurrent`, with the targets of learning."""

    glimpses: Tensor
    locations: Tensor
    masks: Tensor | None
    samples: tuple[Tensor, ...]
    log_probs: Tensor
    is_last_step: Tensor
    advantages: Tensor
    returns: Tensor
    batch_sizes: list[int]
    """Number of episodes that have a first step, a second step, and so on."""


class PPO(Learner):
    """Proximal policy optimization of a recurrent policy: several epochs of minibatches on each batch of episodes."""

    policy_class = RecurrentPolicy
    config: PPOConfig

    def _initialize_weights(self) -> None:
        if self.config.init == "orthogonal":
            initialize_orthogonal(self.policy)

    def _learn(self) -> tuple[dict[str, float], float]:
        config = self.config
        with self._autocast():
            rollout = self.rollout()
        advantages = self.advantages(rollout)
        returns = advantages + rollout.values
        inside = advantages[rollout.active]
        advantages = (advantages - inside.mean()) / (inside.std() + 1e-8)
        sums: dict[str, float] = {}
        for _ in range(config.num_epochs):
            order = torch.randperm(config.batch_size, generator=self.policy.generator).to(self.policy.device)
            for index in order.split(config.minibatch_size):
                with self._autocast():
                    losses = self.loss(pack(rollout, advantages, returns, index))
                self._optimizer_step(losses["total"])
                for name, loss in losses.items():
                    sums[name] = sums.get(name, 0.0) + loss.item()
        self.num_steps_done += len(inside)
        num_optimizer_steps = config.num_epochs * config.batch_size // config.minibatch_size
        error = 1.0 - float(rollout.successes.any(0).float().mean())
        return {name: total / num_optimizer_steps for name, total in sums.items()}, error

    @torch.no_grad()
    def rollout(self) -> Rollout:
        """Play one episode in every sub-env with sampled actions."""
        return Rollout(*_stack(self._play()))

    def _play(self) -> Iterator[Rollout]:
        """Yield the steps of a rollout, without the leading axis T."""
        policy = self.policy
        observation, _ = self.envs.reset(seed=self._episode_seeds())  # type: ignore[arg-type]
        state: Tensor | None = None
        active = torch.ones(self.envs.num_envs, dtype=torch.bool, device=policy.device)
        while active.any():  # sub-envs that have ended go on with other episodes, which do not count
            glimpse, location = observation["glimpse"], observation["location"]
            mask = policy.action_mask(observation)
            output, state = policy(glimpse, location, state, mask)
            sample = policy.sample(output)
            observation, reward, terminated, _, infos = self.envs.step(policy.to_action(*sample))
            ended = terminated & active
            log_prob = policy.log_prob(output, sample, ended)
            value = policy.baseline(output.hidden).float() * active
            reward = (reward * active).float()
            yield Rollout(glimpse, location, mask, sample, log_prob, value, reward, infos["success"] & ended, active)
            active = active & ~ended

    def advantages(self, rollout: Rollout) -> Tensor:
        """Compute generalized advantage estimates (Schulman et al., 2016), (T, B); 0 after the end of an episode."""
        config = self.config
        advantages = torch.empty_like(rollout.values)
        gae = next_value = torch.zeros_like(rollout.values[0])  # the value after the last step is 0
        for t in reversed(range(len(advantages))):
            td_error = rollout.rewards[t] + config.gamma * next_value - rollout.values[t]
            advantages[t] = gae = td_error + config.gamma * config.gae_lambda * gae
            next_value = rollout.values[t]
        return advantages

    def loss(self, steps: Steps) -> dict[str, Tensor]:
        """Compute the clipped policy loss, the value loss and the entropy; ``total`` is to be minimized."""
        config, policy = self.config, self.policy
        output = policy.unroll(steps.glimpses, steps.locations, steps.batch_sizes, steps.masks)
        ratio = (policy.log_prob(output, steps.samples, steps.is_last_step) - steps.log_probs).exp()
        clipped = ratio.clamp(1 - config.clip_coef, 1 + config.clip_coef)
        policy_loss = -torch.minimum(ratio * steps.advantages, clipped * steps.advantages).mean()
        value_loss = functional.mse_loss(policy.baseline(output.hidden), steps.returns)
        entropy = policy.entropy(output, steps.is_last_step)
        ent_coef = config.ent_coef * (1 - self.progress)
        total = policy_loss + config.vf_coef * value_loss - ent_coef * entropy
        return {
            "total": total,
            "policy": policy_loss.detach(),
            "baseline": value_loss.detach(),
            "entropy": entropy.detach(),
        }


def pack(rollout: Rollout, advantages: Tensor, returns: Tensor, index: Tensor) -> Steps:
    """Pack the steps of some episodes of a rollout, int64 (b,), with their advantages and returns, each (T, B)."""
    active = rollout.active[:, index]
    if not active.all():  # the longest episode first
        index = index[active.sum(0).argsort(descending=True, stable=True)]
        active = rollout.active[:, index]
    # Numbers of the steps in a rollout whose first two axes are flattened.
    numbers = (torch.arange(len(active), device=active.device)[:, None] * rollout.active.shape[1] + index)[active]

    def select(part: Tensor) -> Tensor:
        return part.flatten(0, 1)[numbers]

    return Steps(
        select(rollout.glimpses),
        select(rollout.locations),
        None if rollout.masks is None else select(rollout.masks),
        tuple(map(select, rollout.samples)),
        select(rollout.log_probs),
        select(rollout.is_last_step),
        select(advantages),
        select(returns),
        [number for number in active.sum(1).tolist() if number],
    )


def _stack(steps: Iterator[Rollout]) -> Iterator[Any]:
    """Stack the fields of single steps along a new axis T."""
    for parts in zip(*steps, strict=True):
        if isinstance(parts[0], tuple):
            yield tuple(torch.stack(part) for part in zip(*parts, strict=True))
        else:
            yield None if parts[0] is None else torch.stack(parts)
