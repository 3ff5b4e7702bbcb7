"""The grid of tasks, algorithms and seeds: which runs there are, which are left, and their execution."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from glimpse_gym.agents.benchmark.algorithms import ALGORITHMS, is_run_on
from glimpse_gym.agents.benchmark.engine import Engine, Finished, run_all
from glimpse_gym.agents.benchmark.protocol import TASKS
from glimpse_gym.agents.benchmark.records import load_record, record_path, save_record
from glimpse_gym.agents.benchmark.runs import Run, execute
from glimpse_gym.validation import check_choice, check_integer


def make_runs(
    tasks: Sequence[str], algorithms: Sequence[str], seeds: Sequence[int], num_steps: int | None = None
) -> list[Run]:
    """List the runs of a grid: all of the first seed, then all of the next one.

    Args:
        tasks: keys of TASKS.
        algorithms: keys of ALGORITHMS; an algorithm is left out of the tasks that are not for it.
        seeds: integers >= 0.
        num_steps: budget that replaces those of the tasks.

    Raises:
        ValueError: if a name is unknown, a seed or the budget is not accepted, or there are no runs.
    """
    runs = []
    for seed in seeds:
        check_integer("seed", seed, at_least=0)
        for task in (TASKS[check_choice("task", name, tuple(TASKS))] for name in tasks):
            budgeted = task if num_steps is None else task.with_budget(num_steps)
            for name in algorithms:
                algorithm = ALGORITHMS[check_choice("algorithm", name, tuple(ALGORITHMS))]
                if is_run_on(name, task):
                    runs.append(Run(budgeted, name, algorithm, seed))
    if not runs:
        raise ValueError(f"none of the algorithms {list(algorithms)} is run on any of the tasks {list(tasks)}")
    return runs


def runs_left(runs: Iterable[Run], folder: Path) -> list[Run]:
    """Select the runs that have no record in a folder.

    Raises:
        RecordError: if there is a record that cannot be used, such as one of another protocol.
        ValueError: if there is a record of a run with another budget.
    """
    left = []
    for run in runs:
        path = record_path(folder, run.task.name, run.name, run.seed)
        if not path.exists():
            left.append(run)
        elif (found := load_record(path).num_steps) != run.task.num_steps:
            raise ValueError(f"{path} has a budget of {found} steps, not {run.task.num_steps}: use another folder")
    return left


def run_grid(
    runs: Sequence[Run], folder: Path, engine: Engine, num_retries: int, on_end: Callable[[Finished], None]
) -> list[Finished]:
    """Execute runs, and write a record of each as soon as it ends.

    Args:
        runs: what to execute.
        folder: of the records.
        engine: where the runs are executed.
        num_retries: how many times a run that fails is tried again, while the others go on.
        on_end: called with every run that has ended or failed.

    Returns:
        The runs that were given up.
    """
    given_up = []
    for finished in run_all(engine, execute, runs, num_retries):
        if finished.error is None:
            save_record(folder, finished.result)
        elif not finished.attempts_left:
            given_up.append(finished)
        on_end(finished)
    return given_up
