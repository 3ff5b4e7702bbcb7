"""Base class of learning algorithms: a policy, the vector env it is trained in, and its optimizers.

An algorithm is a subclass with a rollout and a loss: see :mod:`glimpse_gym.agents.reinforce`,
:mod:`glimpse_gym.agents.ppo` and :mod:`glimpse_gym.agents.supervised`. They are listed in
:mod:`glimpse_gym.agents.registry`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from glimpse_gym.agents.base import Policy, TaskSpec
from glimpse_gym.agents.configs import TrainConfig
from glimpse_gym.agents.muon import Muon
from glimpse_gym.agents.parallel import Parallel, choose_owners
from glimpse_gym.agents.registry import make_policy
from glimpse_gym.agents.task_envs import make_envs
from glimpse_gym.agents.tensor_envs import TensorEnvs
from glimpse_gym.validation import NotFiniteError

# Episode seeds are 64 bits wide and count upward within a run, so that runs with different seeds share no episode.
# The upper half is reserved for evaluation. MAX_SEEDS * _EPISODES_PER_RUN = 2**63.
_EPISODES_PER_RUN = 2**40
# Matrices with a side below this are optimized by Adam even if the optimizer is Muon.
_MIN_MUON_SIDE = 32
_SGD_MOMENTUM = 0.9  # the paper's, section 4


class Learner(ABC):
    """Learning algorithm, with the policy that it trains and the vector env that it trains in.

    All state of a run lies in ``policy`` (weights and random generator), ``optimizers``, ``num_updates_done`` and
    ``num_steps_done``: the vector env carries no state from one update to the next, because each update seeds its
    episodes by their number.

    Args:
        env_id: id of one of this package's envs.
        env_kwargs: its keyword arguments, without ``split``: training uses the training split.
        config: settings of the algorithm.
        policy_config: configuration of the policy.
        parallel: this process's part in a run with several processes; None for the only one. Its vector env has the
            sub-envs of its rows of a batch.

    Raises:
        ValueError: if the algorithm cannot train in this env, cannot train this policy, or cannot divide its batches
            among the processes.
    """

    policy_class: ClassVar[type[Policy]]
    """Class of the policies that the algorithm trains."""
    needs_label: ClassVar[bool] = False
    """True if the algorithm learns from the true label, which the env must then ask for."""
    can_divide_batches: ClassVar[bool] = False
    """True if the algorithm gives the same result when a batch is divided among several processes."""

    def __init__(
        self,
        env_id: str,
        env_kwargs: dict[str, Any],
        config: TrainConfig,
        policy_config: Any,
        parallel: Parallel | None = None,
    ) -> None:
        self.config = config
        self.parallel = parallel or Parallel()
        config.check_processes(self.parallel.world_size)
        num_envs = config.batch_size // self.parallel.world_size
        self.envs = make_envs(env_id, env_kwargs, "train", num_envs, config.device)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.policy: Any = make_policy(TaskSpec.from_env(self.envs), policy_config)
            torch.manual_seed(config.seed)
            self._initialize_weights()
        self._check_task(env_id)
        self.envs = TensorEnvs(self.policy.wrap_envs(self.envs))
        self.policy.to(config.device.removeprefix("torch:"))
        self.policy.seed(config.seed)
        self.optimizers = _make_optimizers(self.policy, config)
        self._weights = {
            weight: each for each in self.optimizers for group in each.param_groups for weight in group["params"]
        }
        costs = [_step_cost(weight, optimizer) for weight, optimizer in self._weights.items()]
        self._owners = choose_owners(costs, self.parallel.world_size)  # of the weights
        self.num_updates_done = 0
        self.num_steps_done = 0
        """Training steps so far, summed over all sub-envs; of an episode that ends early, those before its end."""
        self.policy.eval()

    def _initialize_weights(self) -> None:  # noqa: B027 (most algorithms keep those that torch makes)
        """Initialize the weights of the policy with torch's random numbers, on the CPU."""

    def _check_task(self, env_id: str) -> None:
        name = type(self).__name__
        if not isinstance(self.policy, self.policy_class):
            raise ValueError(f"{name} trains a {self.policy_class.__name__}, got a {type(self.policy).__name__}")
        if self.needs_label and self.policy.task_spec.choice_name != "label":
            raise ValueError(f"{name} learns from labels, and {env_id} has none: use --algorithm ppo (PPOConfig)")
        if self.parallel.world_size == 1:
            return
        if not self.can_divide_batches:
            raise ValueError(f"{name} trains in one process only, got {self.parallel.world_size}")
        if any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in self.policy.modules()):
            raise ValueError(
                "batch normalization averages over the episodes of one process only: train this network in one process"
            )

    @property
    def horizon(self) -> int:
        """T, the number of steps of an episode."""
        return int(self.envs.metadata["num_glimpses"])

    @property
    def progress(self) -> float:
        """Fraction of the run that is done, from 0 to 1."""
        return self.config.progress(self.num_updates_done, self.num_steps_done)

    @property
    def done(self) -> bool:
        """True if the run is finished."""
        return self.progress >= 1

    @property
    def num_episodes_done(self) -> int:
        """Number of training episodes so far."""
        return self.num_updates_done * self.config.batch_size

    @property
    def num_episodes_played(self) -> int:
        """Number of episodes played in training so far, those that were not learned from included."""
        return self.num_episodes_done

    def update(self) -> tuple[dict[str, float], float]:
        """Collect one batch of episodes and update the policy on it.

        Returns:
            The losses by name, and the fraction of episodes without success.

        Raises:
            NotFiniteError: if the training diverged. The weights may be lost.
        """
        learning_rate = self.config.learning_rate_at(self.num_updates_done, self.num_steps_done)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = learning_rate
        self.policy.train()
        with _flush_denormals():
            losses, error = self._learn()
        self.policy.eval()
        self.num_updates_done += 1
        return losses, error

    @abstractmethod
    def _learn(self) -> tuple[dict[str, float], float]:
        """Do one update: rollout, loss, optimizer steps. See :meth:`update` for what is returned."""

    def _update_seeds(self, number: int) -> np.ndarray:
        """Return the seeds of the episodes of the current update, uint64 (number,), the same in all processes."""
        first = self.config.seed * _EPISODES_PER_RUN + self.num_updates_done * number
        return np.arange(first, first + number, dtype=np.uint64)

    def _episode_seeds(self, copies: int = 1) -> np.ndarray:
        """Return the seeds of this process's episodes in the current update, uint64, each ``copies`` times in a row."""
        seeds = np.repeat(self._update_seeds(self.config.batch_size // copies), copies)
        return seeds[self.parallel.own_rows(self.config.batch_size)]

    def _autocast(self) -> torch.autocast:
        """Return the context manager in which the networks compute, in the precision of the configuration."""
        return torch.autocast(self.policy.device.type, torch.bfloat16, enabled=self.config.precision == "bfloat16")

    def _optimizer_step(self, loss: Tensor, values: dict[str, Tensor] | None = None) -> dict[str, float]:
        """Do one step of all optimizers.

        Args:
            loss: the mean loss of this process's episodes.
            values: further means over this process's episodes, scalars by name.

        Returns:
            The values, averaged over the processes.

        Raises:
            NotFiniteError: if the gradient is not finite; in all processes, and before the step.
        """
        self.policy.zero_grad()
        loss.backward()
        means = self.parallel.average([*self._weights], values or {})
        norm = torch.nn.utils.clip_grad_norm_(self.policy.parameters(), self.config.max_grad_norm)
        if not norm.isfinite():
            raise NotFiniteError(f"the norm of the gradient must be finite, got {norm}")
        for weight, owner in zip(self._weights, self._owners, strict=True):
            if owner != self.parallel.rank:
                weight.grad = None  # the optimizers leave it alone
        for optimizer in self.optimizers:
            optimizer.step()
        self.parallel.share([*self._weights], self._owners)
        return means

    def collect_optimizer_state(self) -> None:
        """Copy the optimizers' state of all weights from their owners to process 0. Call it in all processes."""
        weights = [*self._weights.items()]
        own = {
            index: {name: value.cpu() for name, value in optimizer.state[weight].items()}
            for index, (weight, optimizer) in enumerate(weights)
            if self._owners[index] == self.parallel.rank != 0 and weight in optimizer.state
        }
        for part in self.parallel.gather(own):
            for index, entries in part.items():
                weight, optimizer = weights[index]
                optimizer.state[weight] = entries  # to be saved only: process 0 does not update this weight


@contextmanager
def _flush_denormals() -> Iterator[None]:
    """Context manager that flushes denormal floating-point numbers to 0.

    The optimizer's averages for a dead ReLU unit decay into denormals, which slow down a CPU many times: training a RAM
    with a ReLU core fell from 1,200 to 140 episodes per second.
    """
    was_enabled = float(torch.tensor(1e-39) * 1.0) == 0.0  # torch has no getter
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(was_enabled)


def _make_optimizers(policy: Policy, config: TrainConfig) -> list[torch.optim.Optimizer]:
    """Make the optimizers: SGD or Adam for all weights; or Muon for matrices between layers, Adam for the rest."""

    def uses_muon(weight: Tensor) -> bool:
        return config.optimizer == "muon" and weight.ndim == 2 and min(weight.shape) >= _MIN_MUON_SIDE

    weights = list(policy.parameters())
    if config.optimizer == "sgd":
        return [torch.optim.SGD(weights, lr=config.learning_rate, momentum=_SGD_MOMENTUM, fused=True)]
    optimizers: list[torch.optim.Optimizer] = []
    if matrices := [weight for weight in weights if uses_muon(weight)]:
        optimizers.append(Muon(matrices, lr=config.learning_rate))
    if others := [weight for weight in weights if not uses_muon(weight)]:
        optimizers.append(torch.optim.Adam(others, lr=config.learning_rate, fused=True))
    return optimizers


def _step_cost(weight: Tensor, optimizer: torch.optim.Optimizer) -> int:
    """Estimate the cost of the optimizer step of a weight: multiply-adds, up to a factor."""
    return weight.numel() * (min(weight.shape) if isinstance(optimizer, Muon) else 1)
