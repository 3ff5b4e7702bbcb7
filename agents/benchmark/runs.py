"""One run of the benchmark: train an algorithm on a task with a seed, evaluate it, and record what came out."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
import torch

from glimpse_gym.agents.base import Agent
from glimpse_gym.agents.benchmark.algorithms import Algorithm
from glimpse_gym.agents.benchmark.protocol import (
    NUM_EVALUATIONS,
    TASKS,
    TEST_EPISODES,
    VALIDATION_EPISODES,
    BenchmarkTask,
)
from glimpse_gym.agents.benchmark.records import RunRecord
from glimpse_gym.agents.evaluation import EvalConditions, Outcomes, play_to_the_end
from glimpse_gym.machine import machine_name
from glimpse_gym.provenance import package_versions


@dataclass(frozen=True)
class Run:
    """One cell of the grid of tasks, algorithms and seeds."""

    task: BenchmarkTask
    name: str
    """Name of the algorithm."""
    algorithm: Algorithm
    seed: int

    def describe(self) -> str:
        """Describe the run in a few words."""
        return f"{self.task.name}, {self.name}, seed {self.seed}"

    @property
    def command(self) -> str:
        """Command that executes this run alone."""
        words = f"--tasks {self.task.name} --algorithms {self.name} --seeds {self.seed}"
        if self.task != TASKS.get(self.task.name):
            words += f" --num-steps {self.task.num_steps}"
        return f"glimpse-gym benchmark run {words}"


class Budget:
    """Environment steps that an algorithm may take, and the evaluations along the way.

    Args:
        num_steps: environment steps, summed over all sub-envs.
        evaluate: evaluates an agent on the validation split, and returns its scores by name.
        num_evaluations: number of evaluations, at equal distances.
    """

    def __init__(
        self, num_steps: int, evaluate: Callable[[Agent], dict[str, float]], num_evaluations: int = NUM_EVALUATIONS
    ) -> None:
        self.num_steps = num_steps
        self.curve: list[dict[str, float]] = []
        """Scores by name at each evaluation, with ``num_steps`` and ``seconds`` of training so far."""
        self._evaluate = evaluate
        self._interval = num_steps / num_evaluations
        self._num_steps_done = 0
        self._evaluation_seconds = 0.0
        self._start = time.process_time()

    @property
    def seconds(self) -> float:
        """CPU time of this process since the start, without that of evaluations: other processes do not count."""
        return time.process_time() - self._start - self._evaluation_seconds

    def report(self, num_steps_done: int, agent: Agent) -> None:
        """Evaluate the agent if an evaluation is due; otherwise return at once, so call it as often as you like.

        Args:
            num_steps_done: environment steps taken since the start.
            agent: the agent as it is now. It is evaluated without sampling; call this when that disturbs nothing.

        Raises:
            ValueError: if the number of steps is smaller than the last one reported.
        """
        if num_steps_done < self._num_steps_done:
            raise ValueError(
                f"num_steps_done must not fall, got {num_steps_done} after {self._num_steps_done}: "
                "count the steps of all sub-envs since the start of the training"
            )
        is_due = num_steps_done // self._interval > self._num_steps_done // self._interval
        self._num_steps_done = num_steps_done
        if not is_due:
            return
        seconds, start = self.seconds, time.process_time()
        scores = self._evaluate(agent)
        self.curve.append({"num_steps": num_steps_done, "seconds": seconds, **scores})
        self._evaluation_seconds += time.process_time() - start


def execute(run: Run, num_threads: int = 1) -> RunRecord:
    """Train and evaluate. The test split is touched once, after the training.

    Args:
        run: task, algorithm and seed.
        num_threads: number of torch threads.

    Raises:
        ImportError: if the algorithm's function, or a package that it needs, is missing.
    """
    torch.set_num_threads(num_threads)
    module, _, function = run.algorithm.entry_point.partition(":")
    train = getattr(import_module(module), function)
    env_id = run.task.env_id(run.algorithm.actions)

    def evaluate(agent: Agent) -> dict[str, float]:
        return _means(play_to_the_end(agent, env_id, {}, EvalConditions(), num_episodes=VALIDATION_EPISODES))

    budget = Budget(run.task.num_steps, evaluate)
    agent = train(env_id, run.seed, budget, **run.algorithm.kwargs)
    seconds = budget.seconds
    outcomes = play_to_the_end(agent, env_id, {}, EvalConditions("test"), num_episodes=TEST_EPISODES)
    return RunRecord(
        task=run.task.name,
        algorithm=run.name,
        seed=run.seed,
        env_id=env_id,
        env_kwargs=dict(run.task.env_kwargs),
        num_steps=run.task.num_steps,
        curve=budget.curve,
        test={"num_episodes": len(outcomes.success), **_means(outcomes), **_by_glimpses(outcomes)},
        seconds=seconds,
        versions=package_versions("torch", "stable-baselines3", "sb3-contrib"),
        machine=machine_name(),
        command=run.command,
    )


def _means(outcomes: Outcomes) -> dict[str, float]:
    return {name: float(values.mean()) for name, values in outcomes._asdict().items()}


def _by_glimpses(outcomes: Outcomes) -> dict[str, Any]:
    """Count episodes and successes by the number of glimpses; index 0 is never used, and the last index is T."""
    episodes = np.bincount(outcomes.num_glimpses)
    successes = np.bincount(outcomes.num_glimpses[outcomes.success], minlength=len(episodes))
    return {"episodes_by_glimpses": episodes.tolist(), "successes_by_glimpses": successes.tolist()}
