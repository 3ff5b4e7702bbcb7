"""Protocol of the benchmark: tasks, budgets, seeds, and evaluations. This module does not import torch.

A change that makes scores incomparable with earlier ones raises :data:`PROTOCOL_VERSION`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import gymnasium as gym

from glimpse_gym import registration
from glimpse_gym.agents.json_checks import check_count

PROTOCOL_VERSION = 1
SEEDS = (0, 1, 2, 3, 4)
NUM_EVALUATIONS = 20
"""Evaluations during a run, at equal distances in environment steps, on the validation split."""
VALIDATION_EPISODES = 1_000
"""Episodes of each of them, always the same."""
TEST_EPISODES = 10_000
"""Episodes of the evaluation after a run, on the test split: each image once, or so many games."""


@dataclass(frozen=True)
class BenchmarkTask:
    """A world with a budget. Every algorithm gets it in the action form that it takes."""

    name: str
    world: str
    """Name of a registered world, a key of :data:`glimpse_gym.registration.WORLDS`."""
    title: str
    num_steps: int
    """Budget: environment steps of training, summed over all sub-envs."""
    chance: float
    """Success rate of uniformly random answers or moves."""
    env_kwargs: Mapping[str, Any] = field(default_factory=dict)
    """Keyword arguments in which the env differs from the registered one."""
    algorithms: tuple[str, ...] | None = None
    """Names of the algorithms that are run on this task; None: all."""

    def env_id(self, actions: str) -> str:
        """Return the id of the env in an action form; keyword arguments are registered under an id of their own."""
        base = registration.env_id(self.world, actions)
        if not self.env_kwargs:
            return base
        spec = gym.spec(base)
        own_id = f"glimpse_gym_benchmark/{self.name}-{spec.name}-v{spec.version}"
        gym.registry[own_id] = replace(spec, id=own_id, kwargs=spec.kwargs | dict(self.env_kwargs))
        return own_id

    def with_budget(self, num_steps: int) -> BenchmarkTask:
        """Return the task with another budget.

        Raises:
            ValueError: if the budget is not an integer >= 1.
        """
        return replace(self, num_steps=check_count("num_steps", num_steps, at_least=1))


_TABLE = (
    BenchmarkTask("MNIST", "MNIST", "MNIST, 28 × 28, 7 glimpses", 500_000, 1 / 10),
    BenchmarkTask("Cluttered", "ClutteredMNIST", "Cluttered MNIST, 60 × 60, 8 glimpses", 500_000, 1 / 10),
    BenchmarkTask("Catch", "Catch", "Catch, 24 × 24, 23 frames", 1_000_000, 45 / 529),
    BenchmarkTask(
        *("MNIST-2M", "MNIST", "MNIST, four times the budget", 2_000_000, 1 / 10),
        algorithms=("recurrent-ppo-discrete", "recurrent-ppo", "ram"),
    ),
    BenchmarkTask(
        *("Catch-2M", "Catch", "Catch, twice the budget", 2_000_000, 45 / 529),
        algorithms=("recurrent-ppo-discrete", "recurrent-ppo"),
    ),
    BenchmarkTask(
        *("MNIST-cost", "MNIST", "MNIST, a cost of 0.02 for every glimpse", 500_000, 1 / 10),
        env_kwargs={"glimpse_cost": 0.02},
        algorithms=("sb3-ppo-stack", "recurrent-ppo-discrete"),
    ),
)

TASKS: dict[str, BenchmarkTask] = {task.name: task for task in _TABLE}
"""Tasks by name. Add a task here."""
