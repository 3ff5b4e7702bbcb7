"""What commands do with the content of a file once it was read: recordings, agents, results and benchmark records."""

import io
import sys
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any

import gymnasium as gym

from glimpse_gym.agents.benchmark import report as benchmark_report
from glimpse_gym.agents.benchmark.records import success_curves
from glimpse_gym.agents.checkpoint import add_scores, load_metadata
from glimpse_gym.agents.experiments import figures, report, tables
from glimpse_gym.agents.task_envs import make_envs
from glimpse_gym.cli.replay import format_table, verify
from glimpse_gym.images.datasets import DATA_SETS
from glimpse_gym.play.comparison_files import scanpath_figure
from glimpse_gym.play.record_view import draw_record
from glimpse_gym.play.trials import trial_of_record
from glimpse_gym.provenance import UntrustedError
from glimpse_gym.rendering.paper_figures import save_figure
from hostile.trial import Failure, describe

DRAWN = 0.05
"""Fraction of the attempts in which figures are drawn, which takes a second."""
_SCORE = {"split": "test", "locations": "learned", "sample": False, "seed": 7, "num_episodes": 1000}
_UNUSABLE = (gym.error.Error, TypeError, ValueError)  # documented errors of an env that an agent asks for


def use_records(rng: Any, records: dict[Path, Any], folder: Path, own_images: str) -> None:
    """Replay the episodes of a folder, and show them as a table, as trials and, rarely, as pictures.

    Args:
        rng: generator of the attempt.
        records: episodes by path.
        folder: for pictures.
        own_images: the only path that the episodes may open.
    """
    trusted = all(_may_be_permitted(record, own_images) for record in records.values())  # as --trust, for all of them
    printed = io.StringIO()
    try:
        with redirect_stderr(printed):
            problems = verify(records, trusted)
    except UntrustedError:
        if trusted:
            raise
        problems = {}
    else:
        if not trusted and any(map(_names_path, records.values())):
            raise Failure("the env of a recording opened a path without permission")
    check_lines("\n".join([printed.getvalue(), *problems.values()]))
    players = {record.player for record in records.values()}
    check_lines(format_table(records, problems), 1 + len(records) + len(players))
    trials = [trial_of_record(record) for record in records.values()]
    if rng.random() < DRAWN:
        save_figure(scanpath_figure(trials), folder / "scanpaths.png")
        for record in records.values():
            draw_record(record, int(rng.integers(record.num_steps + 1)), (400, 300))


def _may_be_permitted(record: Any, own_images: str) -> bool:
    return record.env_kwargs.get("images") in (None, own_images) and not record.env_kwargs.keys() & {
        "labels",
        "max_bytes",
    }


def _names_path(content: Any) -> bool:
    values = [content.env_kwargs.get(name) for name in ("images", "labels")]
    return any(isinstance(value, str) and value not in DATA_SETS for value in values)


def use_agent(policy: Any, metadata: Any, folder: Path) -> None:
    """Save a score with an agent, and let it act in the env that it asks for."""
    if _names_path(metadata):
        raise Failure("an agent that asks for a path was loaded without permission")
    scores = [_SCORE | {"errors": [0.5], "standard_errors": [0.01]}]
    add_scores(folder, metadata, scores)
    if load_metadata(folder).scores[-1:] != scores:
        raise Failure("a score was not saved")
    try:
        envs = make_envs(metadata.env_id, metadata.env_kwargs, "test", 2)
        try:
            policy.check_env(envs)
            observation, _ = envs.reset(seed=[0, 1])
            action, _ = policy.act(observation, policy.initial_state(2))
            envs.step(action)
        finally:
            envs.close()
    except _UNUSABLE as error:
        if not str(error):
            raise Failure(f"an error without a message: {describe(error)}") from error


def use_results(rng: Any, results: list[Any], folder: Path) -> None:
    """Make the tables of results and the page and, rarely, its figures."""
    for result in results:
        result.errors()
        _ = result.settings
    check_lines(tables.run_table(results), 2 + len(results))
    check_lines(report._page(results, [], [], []))
    if rng.random() < DRAWN:
        figures.save_figures(folder, results)


def use_benchmark_records(records: list[Any]) -> None:
    """Make the curves and the page of a benchmark."""
    success_curves(records)
    check_lines(benchmark_report._page(records, set()))


def check_nothing_imported() -> None:
    """Fail if a file made the program import the module that hostile texts name.

    Raises:
        Failure: it did.
    """
    if "this" in sys.modules:
        raise Failure("a file made the program import a module")


def check_lines(text: str, number: int | None = None) -> None:
    """Fail if a text has control characters, or another number of lines.

    Raises:
        Failure: it has.
    """
    lines = text.removesuffix("\n").split("\n")
    if bad := [line for line in lines if not line.isprintable()]:
        raise Failure(f"a line with characters that cannot be printed: {describe(bad[0])}")
    if number not in (None, len(lines)):
        raise Failure(f"{len(lines)} lines instead of {number}: {describe(text)}")
