"""What agents learn by: batches of episodes out of the vector env, and steps of the optimizer after each."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from glimpse_gym.agents.base import Task
from glimpse_gym.agents.classifier import Classifier
from glimpse_gym.agents.configs import check_knobs, knob
from glimpse_gym.agents.evaluation import make_envs
from glimpse_gym.agents.muon import Muon
from glimpse_gym.agents.ram import RAM
from glimpse_gym.agents.registry import AnyAgent, AnyConfig, make_agent
from glimpse_gym.validation import check_choice

# Seeds of episodes are counted up, run by run, and are 64 bits wide: no two runs of different seeds share an episode.
# The upper half is kept for evaluations.
_EPISODES_PER_RUN, _MOST_RUNS = 2**40, 2**23
# A layer with fewer numbers on one side than this is learned by Adam in any case.
_FEW = 32


@dataclass(frozen=True)
class TrainConfig:
    """How an agent is trained, whatever it learns."""

    seed: int = knob(0, "of the weights at the start, the episodes and the samples")
    num_episodes: int = knob(1_200_000, "episodes to train on, copies counted")
    batch_size: int = knob(512, "episodes of one update, copies counted")
    optimizer: str = knob("muon", "'adam', or 'muon': Muon for the weights between layers, Adam for the rest")
    learning_rate: float = knob(3e-3, "at its height; it ends at 0")
    schedule: str = knob("cosine", "along which it falls, 'cosine' or 'linear'")
    warmup_updates: int = knob(50, "updates in which the learning rate rises to its height")
    max_gradient_norm: float = knob(5.0, "longer gradients are shortened to this")
    num_evaluations: int = knob(20, "how often the validation error is measured")
    validation_episodes: int = knob(2_000, "on how many episodes")
    save_seconds: float = knob(30.0, "how often the state of the run is saved")
    # Threads of OpenMP wait for each other at every layer, and spin while they wait; where other threads that spin
    # want the same cores, each wait lasts a time slice. Two trainers of two threads each on two cores came to 480
    # images/s together; told to sleep instead (as the command line does), to 8,700; with one thread each, to 9,000.
    threads: int = knob(1, "of torch; more pay only on cores that nothing else uses")

    def __post_init__(self) -> None:
        numbers = ("num_episodes", "batch_size", "num_evaluations", "validation_episodes", "threads")
        check_knobs(
            self,
            at_least=dict.fromkeys(numbers, 1) | {"seed": 0, "warmup_updates": 0, "save_seconds": 0},
            above={"learning_rate": 0, "max_gradient_norm": 0},
        )
        check_choice("optimizer", self.optimizer, ("adam", "muon"))
        check_choice("schedule", self.schedule, ("cosine", "linear"))
        if self.seed >= _MOST_RUNS:
            raise ValueError(f"seed must be less than {_MOST_RUNS}, got {self.seed}")

    @property
    def num_updates(self) -> int:
        """Updates of the whole run."""
        return math.ceil(self.num_episodes / self.batch_size)

    def learning_rate_at(self, share: float, num_updates_done: int) -> float:
        """The learning rate when a share of the run, in [0, 1], is done."""
        falling = 0.5 * (1 + math.cos(math.pi * share)) if self.schedule == "cosine" else 1 - share
        return self.learning_rate * falling * min(1.0, (num_updates_done + 1) / (self.warmup_updates + 1))


@dataclass(frozen=True)
class ImageTrainConfig(TrainConfig):
    """How an agent is trained to name images."""

    copies: int = knob(1, "episodes on the same image, canvas and first glimpse (M)")

    def __post_init__(self) -> None:
        super().__post_init__()
        check_knobs(self, at_least={"copies": 1})
        if self.batch_size % self.copies:
            raise ValueError(f"batch_size must be a multiple of copies={self.copies}, got {self.batch_size}")


class Learner(ABC):
    """An agent, the vector env it learns in, and its optimizers.

    Everything that an update depends on is in ``agent`` (its weights and its generator), ``optimizers`` and
    ``num_updates_done``: the env has no state between updates, since each seeds its episodes by counting.

    Args:
        env_id: of one of our worlds.
        env_kwargs: its keyword values, without ``split``: an agent learns from the training split.
        config: how to train.
        agent_config: what to train.

    Raises:
        ValueError: an env that this agent cannot act in.
    """

    def __init__(self, env_id: str, env_kwargs: dict[str, Any], config: TrainConfig, agent_config: AnyConfig) -> None:
        self.config = config
        self.envs = make_envs(env_id, env_kwargs, "train", config.batch_size)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.agent: AnyAgent = make_agent(Task.of(self.envs), agent_config)
        self.agent.seed(config.seed)
        self.optimizers = _make_optimizers(self.agent, config)
        self.num_updates_done = 0
        self.agent.eval()

    @property
    def horizon(self) -> int:
        """T, the steps of an episode."""
        return int(self.envs.unwrapped.world.horizon)  # type: ignore[attr-defined]

    @property
    def done(self) -> bool:
        """Whether all updates are done."""
        return self.num_updates_done >= self.config.num_updates

    @property
    def episodes_seen(self) -> int:
        """Episodes learned from so far."""
        return self.num_updates_done * self.config.batch_size

    def update(self) -> tuple[dict[str, float], float]:
        """One batch of episodes, and what is learned from it.

        Returns:
            The losses by name, and the share of episodes that ended without reward.
        """
        share = self.num_updates_done / self.config.num_updates
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = self.config.learning_rate_at(share, self.num_updates_done)
        self.agent.train()
        with _denormals_flushed():
            losses, error = self._learn()
        self.agent.eval()
        self.num_updates_done += 1
        return losses, error

    @abstractmethod
    def _learn(self) -> tuple[dict[str, float], float]:
        """See :meth:`update`."""

    def _seeds(self, copies: int = 1) -> list[int]:
        """Those of the episodes of the present update, each image's ``copies`` neighbors equal."""
        number = self.config.batch_size // copies
        first = self.config.seed * _EPISODES_PER_RUN + self.num_updates_done * number
        return [first + i for i in range(number) for _ in range(copies)]

    def _descend(self, loss: torch.Tensor) -> None:
        """One step of the optimizers."""
        self.agent.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.agent.parameters(), self.config.max_gradient_norm)
        for optimizer in self.optimizers:
            optimizer.step()


@contextmanager
def _denormals_flushed() -> Iterator[None]:
    """In here a number too small to be normal is 0.

    What the optimizers remember of a rectifier that has died shrinks towards 0 for ever, and a processor multiplies
    such numbers many times slower: a RAM with a core of rectifiers learned from 1,200 episodes a second at first, and
    from 140 later.
    """
    before = float(torch.tensor(1e-39) * 1.0) == 0.0  # torch tells it in no other way
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)


def _make_optimizers(agent: AnyAgent, config: TrainConfig) -> list[torch.optim.Optimizer]:
    """One for the weights between layers and one for the rest, or, with Adam alone, one for all."""

    def is_between_layers(weight: torch.Tensor) -> bool:
        return config.optimizer == "muon" and weight.ndim == 2 and min(weight.shape) >= _FEW

    weights = list(agent.parameters())
    optimizers: list[torch.optim.Optimizer] = []
    if between := [weight for weight in weights if is_between_layers(weight)]:
        optimizers.append(Muon(between, lr=config.learning_rate))
    if others := [weight for weight in weights if not is_between_layers(weight)]:
        optimizers.append(torch.optim.Adam(others, lr=config.learning_rate, fused=True))
    return optimizers


class ImageLearner(Learner):
    """Learns to name images, one step of the optimizer after each batch."""

    config: ImageTrainConfig
    agent: RAM | Classifier

    def __init__(
        self, env_id: str, env_kwargs: dict[str, Any], config: ImageTrainConfig, agent_config: AnyConfig
    ) -> None:
        super().__init__(env_id, env_kwargs, config, agent_config)
        if self.agent.task.choice_name != "label":
            raise ValueError(f"{env_id} shows no images to be named")

    def _learn(self) -> tuple[dict[str, float], float]:
        losses, correct = self.agent.learn_from(self.envs, self._seeds(self.config.copies), self.config.copies)
        self._descend(losses.total)
        named = {name: float(part.detach()) for name, part in losses._asdict().items()}
        return named, 1.0 - float(correct.float().mean())
