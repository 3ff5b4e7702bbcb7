"""Subcommand ``glimpse-gym benchmark``: run algorithms on the benchmark's tasks, and report their results."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glimpse_gym.cli.commands import FAILURE
from glimpse_gym.extras import require_extra

if TYPE_CHECKING:
    from glimpse_gym.agents.benchmark.engine import Engine, Finished

_FOLDER = Path("results/benchmark")


def add_benchmark_command(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the subcommand to the parser; ``add`` is described in :mod:`glimpse_gym.cli`."""
    parser = add("benchmark", _list, "Compare algorithms: list, run, report.")
    subparsers = parser.add_subparsers(metavar="ACTION", required=True)

    def add_action(name: str, run: Callable[[argparse.Namespace], int | None], text: str) -> argparse.ArgumentParser:
        child = subparsers.add_parser(name, help=text, description=text, formatter_class=parser.formatter_class)
        child.set_defaults(run=run)
        return child

    _add_import(add_action("list", _list, "List the tasks and the algorithms."))
    _add_run(add_action("run", _run, "Train and evaluate algorithms on tasks with several seeds."))
    report = add_action("report", _report, "Write the page of results, with its tables and figures.")
    _add_import(report)
    report.add_argument("--results", metavar="DIR", type=Path, default=_FOLDER, help="folder of the records")
    report.add_argument("--docs", metavar="DIR", type=Path, default=Path("docs"), help="folder of the page")
    speed = add_action("speed", _speed, "Measure the speed of training with Stable-Baselines3 and with our agents.")
    speed.add_argument("--seconds", type=float, default=10.0, help="duration of each measurement")


def _add_import(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--import",
        dest="imports",
        metavar="MODULE",
        nargs="+",
        default=[],
        help="modules, in the current folder or installed, that add algorithms or tasks",
    )


def _add_run(parser: argparse.ArgumentParser) -> None:
    from glimpse_gym.agents.benchmark.protocol import SEEDS

    _add_import(parser)
    parser.add_argument("--tasks", metavar="TASK", nargs="+", help="tasks (default: all)")
    parser.add_argument("--algorithms", metavar="NAME", nargs="+", help="algorithms (default: all)")
    parser.add_argument(
        "--seeds", metavar="SEED", type=int, nargs="+", default=list(SEEDS), help="seeds (default: 0-4)"
    )
    parser.add_argument("--num-steps", metavar="N", type=int, help="another budget, for trials: use another --out")
    parser.add_argument("--num-workers", metavar="N", type=int, help="runs at a time (default: one for each core)")
    parser.add_argument(
        "--ray",
        metavar="ADDRESS",
        nargs="?",
        const="auto",
        help="run on a Ray cluster (default address: the one that this machine belongs to)",
    )
    parser.add_argument("--retries", metavar="N", type=int, default=2, help="attempts after a run has failed")
    parser.add_argument("--out", metavar="DIR", type=Path, default=_FOLDER, help="folder of the records")


def _import_modules(names: list[str]) -> None:
    sys.path.insert(0, "")  # as `python -m` has it: modules of the current folder
    for name in names:
        import_module(name)


def _list(parsed: argparse.Namespace) -> None:
    """List the tasks and the algorithms."""
    _import_modules(parsed.imports)
    from glimpse_gym.agents.benchmark.algorithms import ALGORITHMS
    from glimpse_gym.agents.benchmark.protocol import TASKS

    print("tasks")
    for task in TASKS.values():
        print(f"  {task.name:<26}{task.title}; {task.num_steps:,} steps")
    print("algorithms")
    for name, algorithm in ALGORITHMS.items():
        print(f"  {name:<26}{algorithm.label} ({algorithm.group}; {algorithm.actions} actions)")


def _run(parsed: argparse.Namespace) -> int | None:
    """Train and evaluate algorithms on tasks with several seeds."""
    require_extra("sb3")
    _import_modules(parsed.imports)
    from tqdm import tqdm

    from glimpse_gym.agents.benchmark import grid
    from glimpse_gym.agents.benchmark.algorithms import ALGORITHMS
    from glimpse_gym.agents.benchmark.protocol import TASKS

    tasks, algorithms = parsed.tasks or list(TASKS), parsed.algorithms or list(ALGORITHMS)
    runs = grid.make_runs(tasks, algorithms, parsed.seeds, parsed.num_steps)
    left = grid.runs_left(runs, parsed.out)
    print(f"{len(runs)} runs, of which {len(runs) - len(left)} are in {parsed.out} already")
    with tqdm(total=len(left), unit="run", disable=not left) as bar, _engine(parsed) as engine:

        def show(finished: Finished) -> None:
            bar.update(finished.attempts_left == 0)
            bar.write(_describe(finished))
            sys.stdout.flush()

        given_up = grid.run_grid(left, parsed.out, engine, parsed.retries, show)
    if given_up:
        names = "; ".join(finished.argument.describe() for finished in given_up)
        print(f"{len(given_up)} runs failed ({names}): the same command tries them again", file=sys.stderr)
        return FAILURE
    return None


def _engine(parsed: argparse.Namespace) -> Engine:
    from glimpse_gym.agents.benchmark.engine import LocalEngine, RayEngine

    return RayEngine(parsed.ray) if parsed.ray else LocalEngine(parsed.num_workers)


def _describe(finished: Finished) -> str:
    run: Any = finished.argument
    if finished.error:
        error = finished.error
        details = getattr(error, "traceback", "")
        then = f"{finished.attempts_left} attempts left" if finished.attempts_left else "given up"
        summary = str(error).partition("\n")[0]  # Ray adds pages of its own state
        return f"{run.describe()}: failed, {then}: {type(error).__name__}: {summary}\n{details}".rstrip()
    test = finished.result.test
    return (
        f"{run.describe()}: success {test['success']:.1%}, {test['num_glimpses']:.1f} glimpses, "
        f"{finished.result.seconds:.0f} s"
    )


def _report(parsed: argparse.Namespace) -> None:
    """Write the page of results, with its tables and figures."""
    require_extra("figures")
    _import_modules(parsed.imports)
    from glimpse_gym.agents.benchmark.report import write_report

    for path in write_report(parsed.results, parsed.docs):
        print(path)


def _speed(parsed: argparse.Namespace) -> None:
    """Measure the speed of training."""
    require_extra("sb3")
    from glimpse_gym.agents.benchmark.speed import measure

    for line in measure(parsed.seconds):
        print(line, flush=True)
