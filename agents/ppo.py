"""Proximal policy optimization (Schulman et al., 2017) of a RAM that plays: the final reward is all it learns from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from glimpse_gym.agents.configs import check_knobs, knob, knob_of
from glimpse_gym.agents.learner import Learner, TrainConfig
from glimpse_gym.agents.ram import RAM, RAMConfig, Thought, seen_in
from glimpse_gym.agents.registry import AnyConfig


@dataclass(frozen=True)
class GameTrainConfig(TrainConfig):
    """How an agent is trained to play."""

    num_episodes: int = knob_of(TrainConfig, "num_episodes", 869_565)
    batch_size: int = knob_of(TrainConfig, "batch_size", 256)
    optimizer: str = knob_of(TrainConfig, "optimizer", "adam")
    learning_rate: float = knob_of(TrainConfig, "learning_rate", 1e-3)
    schedule: str = knob_of(TrainConfig, "schedule", "linear")
    warmup_updates: int = knob_of(TrainConfig, "warmup_updates", 0)
    max_gradient_norm: float = knob_of(TrainConfig, "max_gradient_norm", 0.5)
    epochs: int = knob(3, "how often each batch of games is learned from")
    minibatch_size: int = knob(64, "games of one step of the optimizer")
    discount: float = knob(0.99, "of a reward one step later (gamma)")
    trace: float = knob(0.95, "how far advantages look ahead (lambda of GAE, Schulman et al., 2016)")
    clip: float = knob(0.2, "how far the ratio of new to old probabilities may leave 1 and still be learned from")
    entropy_weight: float = knob(0.01, "of the moves' entropy, which is kept up; it falls to 0, linearly")
    value_weight: float = knob(0.5, "of the squared error of the baseline")

    def __post_init__(self) -> None:
        super().__post_init__()
        check_knobs(
            self,
            at_least={
                "epochs": 1,
                "minibatch_size": 1,
                "discount": 0,
                "trace": 0,
                "entropy_weight": 0,
                "value_weight": 0,
            },
            above={"clip": 0},
        )
        if self.batch_size % self.minibatch_size:
            raise ValueError(
                f"batch_size must be a multiple of minibatch_size={self.minibatch_size}, got {self.batch_size}"
            )


PLAYER = RAMConfig(
    glimpse_network="full", glimpse_units=128, location_units=128, scale_gain=4.0, core="lstm", pathwise_limit=0.0
)
"""A RAM that learns to play: the paper's, with each scale brought to a like magnitude."""


class Games(NamedTuple):
    """B whole games of T steps, as they were played, without gradients."""

    glimpses: Tensor
    """(T, B, k*C, g, g)."""
    locations: Tensor
    """Where they were taken, (T, B, 2)."""
    choices: Tensor
    """int64 (T, B)."""
    drawn: Tensor
    """Where it was to look next, before it was clipped, (T, B, 2)."""
    log_probabilities: Tensor
    """Of both, (T, B)."""
    values: Tensor
    """What the baseline expected, (T, B)."""
    rewards: Tensor
    """(T, B)."""

    def rows(self, index: Tensor) -> Games:
        """Some of the games."""
        return Games(*(part[:, index] for part in self))


class GameLearner(Learner):
    """Learns to play, several times from each batch of games."""

    config: GameTrainConfig
    agent: RAM

    def __init__(
        self, env_id: str, env_kwargs: dict[str, Any], config: GameTrainConfig, agent_config: AnyConfig
    ) -> None:
        super().__init__(env_id, env_kwargs, config, agent_config)
        if self.agent.task.choice_name != "move" or not isinstance(self.agent, RAM):
            raise ValueError(f"{env_id} with {type(agent_config).__name__}: it takes a RAM and a game to learn to play")

    def _learn(self) -> tuple[dict[str, float], float]:
        config = self.config
        games = self._play()
        advantages = self._advantages(games)
        returns = advantages + games.values
        advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
        sums: dict[str, float] = {}
        for _ in range(config.epochs):
            order = torch.randperm(config.batch_size, generator=self.agent.generator)
            for index in order.split(config.minibatch_size):
                losses = self._losses(games.rows(index), advantages[:, index], returns[:, index])
                self._descend(losses["total"])
                for name, loss in losses.items():
                    sums[name] = sums.get(name, 0.0) + loss.item()
        steps = config.epochs * config.batch_size // config.minibatch_size
        return {name: total / steps for name, total in sums.items()}, 1.0 - float(games.rewards.sum(0).mean())

    @torch.no_grad()
    def _play(self) -> Games:
        agent = self.agent
        observation, _ = self.envs.reset(seed=self._seeds())  # type: ignore[arg-type]
        state: Tensor | None = None
        steps = []
        ended = np.zeros(self.envs.num_envs, np.bool_)
        while not ended.all():  # all games are equally long
            glimpse, location = seen_in(observation)
            thought, state = agent.think(glimpse, location, state)
            choice, drawn = agent.sample_choice(thought.logits), agent.sample(thought.mean)
            value = agent.baseline(thought.hidden)
            log_probability = self._log_probability(thought, choice, drawn)
            observation, reward, ended, _, _ = self.envs.step(agent.action(choice, drawn))
            won = torch.from_numpy(reward).float()
            steps.append(Games(glimpse, location, choice, drawn, log_probability, value, won))
        return Games(*(torch.stack(parts) for parts in zip(*steps, strict=True)))

    def _advantages(self, games: Games) -> Tensor:
        """Generalised advantages, (T, B)."""
        config = self.config
        advantages = torch.empty_like(games.values)
        ahead = next_value = torch.zeros_like(games.values[0])  # nothing is won after the end
        for t in reversed(range(len(advantages))):
            surprise = games.rewards[t] + config.discount * next_value - games.values[t]
            advantages[t] = ahead = surprise + config.discount * config.trace * ahead
            next_value = games.values[t]
        return advantages

    def _losses(self, games: Games, advantages: Tensor, returns: Tensor) -> dict[str, Tensor]:
        config = self.config
        thoughts = self.agent.think_through(games.glimpses, games.locations)
        ratio = (self._log_probability(thoughts, games.choices, games.drawn) - games.log_probabilities).exp()
        clipped = ratio.clamp(1 - config.clip, 1 + config.clip)
        policy = -torch.minimum(ratio * advantages, clipped * advantages).mean()
        value = functional.mse_loss(self.agent.baseline(thoughts.hidden), returns)
        log_probabilities = thoughts.logits.log_softmax(-1)
        entropy = -(log_probabilities.exp() * log_probabilities).sum(-1).mean()
        left = 1 - self.num_updates_done / config.num_updates
        total = policy + config.value_weight * value - config.entropy_weight * left * entropy
        return {"total": total, "policy": policy.detach(), "baseline": value.detach(), "entropy": entropy.detach()}

    def _log_probability(self, thought: Thought, choice: Tensor, drawn: Tensor) -> Tensor:
        chosen = thought.logits.log_softmax(-1).gather(-1, choice[..., None]).squeeze(-1)
        return chosen + self.agent.log_probability(drawn, thought.mean)
