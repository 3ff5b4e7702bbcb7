"""Tables of the benchmark, in Markdown, and the names and the order of tasks and algorithms. Scores are in percent."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np

from glimpse_gym.agents.benchmark import statistics
from glimpse_gym.agents.benchmark.algorithms import ALGORITHMS, is_run_on
from glimpse_gym.agents.benchmark.protocol import SEEDS, TASKS
from glimpse_gym.agents.benchmark.records import RunRecord, select
from glimpse_gym.agents.benchmark.statistics import Estimate, bootstrap
from glimpse_gym.agents.markdown import markdown_table

COST_SUFFIX = "-cost"
"""Ending of the name of a task that is another task with a glimpse cost."""
OTHER_BUDGET = "‡"
"""Mark of runs with another number of steps than the protocol's."""
_NONE = "–"
_MIN_SEEDS = 3  # of an interval on a single task
_STATISTICS = {
    "IQM": statistics.iqm,
    "mean": statistics.mean,
    "median": statistics.median,
    "optimality gap": statistics.optimality_gap,
}


class Suite(NamedTuple):
    """Tasks over which algorithms are compared."""

    tasks: tuple[str, ...]
    algorithms: tuple[str, ...]
    """The algorithms that have runs on all of the tasks."""
    incomplete: tuple[str, ...]
    """The algorithms that have runs on some of the tasks only."""


def task_names(records: Iterable[RunRecord]) -> list[str]:
    """List the tasks that have runs: those of the protocol in its order, then others."""
    return _in_order({record.task for record in records}, TASKS)


def algorithm_names(records: Iterable[RunRecord]) -> list[str]:
    """List the algorithms that have runs: those of the table in its order, then others."""
    return _in_order({record.algorithm for record in records}, ALGORITHMS)


def _in_order(names: Iterable[str], order: Iterable[str]) -> list[str]:
    position = {name: i for i, name in enumerate(order)}
    return sorted(names, key=lambda name: (position.get(name, len(position)), name))


def task_title(name: str) -> str:
    """Return the title of a task; its name if the protocol does not have it."""
    return TASKS[name].title if name in TASKS else name


def algorithm_label(name: str) -> str:
    """Return the label of an algorithm; its name if the table does not have it."""
    return ALGORITHMS[name].label if name in ALGORITHMS else name


def group_of(algorithm: str) -> str:
    """Return the group of an algorithm; "others" if the table does not have it."""
    return ALGORITHMS[algorithm].group if algorithm in ALGORITHMS else "others"


def suites(records: Sequence[RunRecord]) -> list[Suite]:
    """List the suites over which algorithms are compared, those with the most tasks first.

    Each is a set of tasks that the protocol runs with all algorithms, restricted to the worlds of some algorithm. Only
    suites of several tasks with at least two complete algorithms are listed.
    """
    main = [task for task in TASKS.values() if task.algorithms is None]
    worlds = {entry.worlds for entry in ALGORITHMS.values()} | {None}
    sets = {tuple(task.name for task in main if kept is None or task.world in kept) for kept in worlds}
    found = []
    for tasks in sorted(sets, key=lambda names: (-len(names), names)):
        done = {name: [bool(select(records, task, name)) for task in tasks] for name in algorithm_names(records)}
        complete = tuple(name for name, has_runs in done.items() if all(has_runs))
        incomplete = tuple(name for name, has_runs in done.items() if any(has_runs) and not all(has_runs))
        if len(tasks) > 1 and len(complete) > 1:
            found.append(Suite(tasks, complete, incomplete))
    return found


def suite_scores(records: Sequence[RunRecord], suite: Suite, algorithm: str) -> list[np.ndarray]:
    """Return the test success of one algorithm, one float64 array for each task of a suite."""
    return [final_success(select(records, task, algorithm)) for task in suite.tasks]


def final_success(records: Sequence[RunRecord]) -> np.ndarray:
    """Return the test success of runs: float64 (S,)."""
    return np.array([record.test["success"] for record in records])


def has_other_budget(record: RunRecord) -> bool:
    """Return whether a run had another number of steps than the protocol has for its task."""
    return record.task in TASKS and record.num_steps != TASKS[record.task].num_steps


def cost_pairs(records: Sequence[RunRecord]) -> list[tuple[str, str, str]]:
    """List (task, the same task with a glimpse cost, algorithm) where there are runs of both."""
    return [
        (task.removesuffix(COST_SUFFIX), task, algorithm)
        for task in task_names(records)
        for algorithm in algorithm_names(records)
        if task.endswith(COST_SUFFIX)
        and select(records, task, algorithm)
        and select(records, task.removesuffix(COST_SUFFIX), algorithm)
    ]


def task_table(records: Sequence[RunRecord]) -> str:
    """Make the table of the tasks: those of the protocol, then others that have runs."""
    rows = []
    for name in _in_order({*TASKS, *task_names(records)}, TASKS):
        task = TASKS.get(name)
        steps, chance = (f"{task.num_steps:,}", f"{100 * task.chance:.1f}") if task else (_NONE, _NONE)
        hours = sum(record.seconds for record in records if record.task == name) / 3600
        rows.append([f"`{name}`", task_title(name), steps, chance, f"{hours:.1f}"])
    return markdown_table(["task", "", "env steps of a run", "chance, %", "hours of training"], rows)


def progress_table(records: Sequence[RunRecord]) -> str:
    """Make the table of the numbers of seeds that each algorithm has run on each task."""
    tasks = _in_order({*TASKS, *task_names(records)}, TASKS)
    rows = []
    for algorithm in _in_order({*ALGORITHMS, *algorithm_names(records)}, ALGORITHMS):
        cells = [_format_progress(records, task, algorithm) for task in tasks]
        rows.append([f"`{algorithm}`", algorithm_label(algorithm), *cells])
    return markdown_table(["algorithm", "", *(f"`{task}`" for task in tasks)], rows)


def _format_progress(records: Sequence[RunRecord], task: str, algorithm: str) -> str:
    done = {record.seed for record in select(records, task, algorithm)}
    if missing_seeds(records, task, algorithm):
        return f"{len(done)} of {len(SEEDS)}"
    return str(len(done)) if done else _NONE


def missing_seeds(records: Sequence[RunRecord], task: str, algorithm: str) -> list[int]:
    """List the seeds that the protocol has for an algorithm on a task, and that it has not run."""
    if task not in TASKS or algorithm not in ALGORITHMS or not is_run_on(algorithm, TASKS[task]):
        return []
    return sorted(set(SEEDS) - {record.seed for record in select(records, task, algorithm)})


def result_table(records: Sequence[RunRecord], task: str) -> str:
    """Make the table of the results in one task, one row for each algorithm."""
    rows = []
    for algorithm in algorithm_names(records):
        if found := select(records, task, algorithm):
            seconds, steps = (sum(getattr(record, name) for record in found) for name in ("seconds", "num_steps"))
            mark = f" {OTHER_BUDGET}" if any(map(has_other_budget, found)) else ""
            success = bootstrap(statistics.iqm, [final_success(found)])
            rows.append(
                [
                    algorithm_label(algorithm) + mark,
                    format_percent(success, has_interval=len(found) >= _MIN_SEEDS),
                    str(len(found)),
                    f"{np.mean([record.test['num_glimpses'] for record in found]):.2f}",
                    f"{steps / seconds:,.0f}" if seconds > len(found) else _NONE,  # else nothing was trained
                    f"{seconds / len(found) / 60:.1f}",
                ]
            )
    header = ["algorithm", "test success, % (95 % interval)", "seeds", "glimpses used", "env steps/s", "minutes"]
    return markdown_table(header, rows)


def aggregate_table(records: Sequence[RunRecord], suite: Suite) -> str:
    """Make the table of the aggregate scores over a suite, with intervals, the highest IQM first."""
    scores = {name: suite_scores(records, suite, name) for name in suite.algorithms}
    rows = [
        [algorithm_label(name), *(_format_statistic(f, scores[name]) for f in _STATISTICS.values())]
        for name in sorted(scores, key=lambda name: -statistics.iqm(scores[name]))
    ]
    return markdown_table(["algorithm", *(f"{name}, %" for name in _STATISTICS)], rows)


def _format_statistic(statistic: Callable[..., np.ndarray], scores: Sequence[np.ndarray]) -> str:
    return format_percent(bootstrap(statistic, scores), has_interval=any(len(task) > 1 for task in scores))


def cost_table(records: Sequence[RunRecord]) -> str:
    """Make the table of glimpses used and errors, without and with a glimpse cost."""
    rows = []
    for free, costly, algorithm in cost_pairs(records):
        cells = []
        for name, scale in (("num_glimpses", 1), ("success", 100)):
            for task in (free, costly):
                values = scale * np.array([record.test[name] for record in select(records, task, algorithm)])
                cells.append(f"{values.mean():.2f}" + (f" ± {values.std(ddof=1):.2f}" if len(values) > 1 else ""))
        rows.append([f"`{free}`", algorithm_label(algorithm), *cells])
    header = ["task", "algorithm", "glimpses, without cost", "with", "success, %, without cost", "with"]
    return markdown_table(header, rows)


def format_percent(estimate: Estimate, has_interval: bool = True) -> str:
    """Format a fraction in percent, with its interval."""
    value, low, high = (f"{100 * float(number):.1f}" for number in estimate)
    return f"{value} ({low} to {high})" if has_interval else value
