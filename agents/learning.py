"""What a RAM learns by: batches of episodes out of the vector env, and one step of the optimizer after each."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from gymnasium.vector import VectorEnv
from torch import Tensor

from glimpse_gym.agents.evaluation import make_envs
from glimpse_gym.agents.knobs import check_knobs, knob
from glimpse_gym.agents.ram import RAM, Losses, RAMConfig, Rollout, Thought

# Seeds of episodes are counted up, run by run, and are 64 bits wide: no two runs of different seeds share an episode.
_EPISODES_PER_RUN, _MOST_RUNS = 2**40, 2**24


@dataclass(frozen=True)
class TrainConfig:
    """How a RAM is trained."""

    seed: int = knob(0, "of the weights at the start, the episodes and the sampled locations")
    num_images: int = knob(2_000_000, "episodes to train on, copies counted")
    batch_size: int = knob(256, "episodes of one update, copies counted")
    copies: int = knob(1, "episodes on the same image, canvas and first glimpse (M)")
    learning_rate: float = knob(2e-3, "of Adam, at its height; it ends at 0, along a cosine")
    warmup_updates: int = knob(200, "updates in which the learning rate rises to its height")
    max_gradient_norm: float = knob(5.0, "longer gradients are shortened to this")
    num_evaluations: int = knob(20, "how often the validation error is measured")
    validation_images: int = knob(2_000, "on how many images")
    save_seconds: float = knob(30.0, "how often the state of the run is saved")
    # Threads of OpenMP wait for each other at every layer, and spin while they wait; where other threads that spin
    # want the same cores, each wait lasts a time slice. Two trainers of two threads each on two cores came to 480
    # images/s together; told to sleep instead (as the command line does), to 8,700; with one thread each, to 9,000.
    threads: int = knob(1, "of torch; more pay only on cores that nothing else uses")

    def __post_init__(self) -> None:
        numbers = ("num_images", "batch_size", "copies", "num_evaluations", "validation_images", "threads")
        check_knobs(
            self,
            at_least=dict.fromkeys(numbers, 1) | {"seed": 0, "warmup_updates": 0, "save_seconds": 0},
            above={"learning_rate": 0, "max_gradient_norm": 0},
        )
        if self.batch_size % self.copies:
            raise ValueError(f"batch_size must be a multiple of copies={self.copies}, got {self.batch_size}")
        if self.seed >= _MOST_RUNS:
            raise ValueError(f"seed must be less than {_MOST_RUNS}, got {self.seed}")

    @property
    def num_updates(self) -> int:
        """Updates of the whole run."""
        return math.ceil(self.num_images / self.batch_size)


class Learner:
    """An agent, the vector env it learns in, and its optimizer.

    Everything that an update depends on is in ``agent``, ``optimizer`` and ``num_updates_done``: the env has no state
    between updates, since each seeds its episodes by counting.

    Args:
        env_id: of a classification world.
        env_kwargs: its keyword values, without ``split``: an agent learns from the training split.
        config: how to train.
        ram_config: what to train.

    Raises:
        ValueError: an env in which no image is to be classified, or not in the hybrid form.
    """

    def __init__(
        self, env_id: str, env_kwargs: dict[str, Any], config: TrainConfig, ram_config: RAMConfig | None = None
    ) -> None:
        self.config = config
        self.envs = make_envs(env_id, env_kwargs, "train", config.batch_size)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.agent = RAM.for_env(self.envs, ram_config)
        self.agent.seed(config.seed)
        self.optimizer = torch.optim.Adam(self.agent.parameters(), lr=config.learning_rate, fused=True)
        self.num_updates_done = 0

    @property
    def num_glimpses(self) -> int:
        """T, of an episode."""
        return int(self.envs.unwrapped.world.horizon)  # type: ignore[attr-defined]

    @property
    def done(self) -> bool:
        """Whether all updates are done."""
        return self.num_updates_done >= self.config.num_updates

    @property
    def images_seen(self) -> int:
        """Episodes learned from so far."""
        return self.num_updates_done * self.config.batch_size

    def update(self) -> tuple[Losses, float]:
        """One batch of episodes, one step of the optimizer.

        Returns:
            The losses, without gradients, and the share of episodes that were answered wrongly.
        """
        config, done = self.config, self.num_updates_done
        cosine = 0.5 * (1 + math.cos(math.pi * done / config.num_updates))
        warmup = min(1.0, (done + 1) / (config.warmup_updates + 1))
        for group in self.optimizer.param_groups:
            group["lr"] = config.learning_rate * warmup * cosine
        num_images = config.batch_size // config.copies
        first = config.seed * _EPISODES_PER_RUN + done * num_images
        seeds = [first + i for i in range(num_images) for _ in range(config.copies)]
        rollout = roll_out(self.agent, self.envs, seeds)
        losses = self.agent.losses(rollout, config.copies)
        self.optimizer.zero_grad()
        losses.total.backward()
        torch.nn.utils.clip_grad_norm_(self.agent.parameters(), config.max_gradient_norm)
        self.optimizer.step()
        self.num_updates_done += 1
        return Losses(*(part.detach() for part in losses)), 1.0 - float(rollout.correct.float().mean())


def roll_out(agent: RAM, envs: VectorEnv[Any, Any, Any], seeds: list[int]) -> Rollout:
    """Play one episode in every sub-env, all equally long, locations sampled, gradients kept."""
    observation, _ = envs.reset(seed=seeds)  # type: ignore[arg-type]
    hidden: Tensor | None = None
    thoughts: list[Thought] = []
    locations: list[Tensor] = []
    rewards = np.zeros(envs.num_envs)
    ended = np.zeros(envs.num_envs, np.bool_)
    while not ended.all():
        thought = agent.think(observation, hidden)
        location = agent.sample(thought.mean)
        observation, reward, ended, _, infos = envs.step(agent.action(thought, location))
        hidden = thought.hidden
        rewards += reward
        thoughts.append(thought)
        locations.append(location)
    return Rollout(
        Thought(*(torch.stack(parts) for parts in zip(*thoughts, strict=True))),
        torch.stack(locations),
        torch.from_numpy(infos["label"]),
        torch.from_numpy(rewards).float(),
        torch.from_numpy(infos["correct"]),
    )
