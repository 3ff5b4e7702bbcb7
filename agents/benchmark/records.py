"""Records of benchmark runs: one checksummed JSON file for each task, algorithm and seed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from glimpse_gym.agents.benchmark.protocol import PROTOCOL_VERSION
from glimpse_gym.agents.json_checks import (
    MAX_NUMBER,
    RunFileFormat,
    check_amount,
    check_count,
    check_entries,
    check_env_id,
    check_fraction,
    check_list,
    check_name,
    check_settings,
    check_text,
    check_versions,
)
from glimpse_gym.validation import check_number, shown

_FORMAT_PREFIX = "glimpse_gym benchmark run, protocol "
_SCORES = {"success", "episode_return", "num_glimpses"}
_POINT = _SCORES | {"num_steps", "seconds"}
_TEST = _SCORES | {"num_episodes", "episodes_by_glimpses", "successes_by_glimpses"}


class RecordError(RuntimeError):
    """A record is missing, damaged, changed by hand, of another protocol, or no record at all."""


@dataclass(frozen=True)
class RunRecord:
    """One run: an algorithm, trained with a seed in the env of a task, and evaluated.

    Scores are dicts with the entries "success", the fraction of the episodes that succeeded, which is the score in all
    statistics; "episode_return", the mean return; and "num_glimpses", the mean number of glimpses used.
    """

    task: str
    """Name of the task: letters, digits, - and _."""
    algorithm: str
    """Name of the algorithm: letters, digits, - and _."""
    seed: int
    env_id: str
    env_kwargs: dict[str, Any]
    num_steps: int
    """Env steps of the training, summed over all sub-envs."""
    curve: list[dict[str, float]]
    """Validation scores during training, each with "num_steps" and "seconds" so far, by steps; may be empty."""
    test: dict[str, Any]
    """Test scores after training, with "num_episodes", and with "episodes_by_glimpses" and "successes_by_glimpses":
    lists of the numbers of episodes, and of those that succeeded, that used 0, 1, ... glimpses."""
    seconds: float
    """CPU time of the training, without evaluations."""
    versions: dict[str, str]
    machine: str
    command: str = ""
    """Command that makes this run."""


def record_path(folder: Path, task: str, algorithm: str, seed: int) -> Path:
    """Return the path of the record of one run.

    Raises:
        ValueError: if a name has other characters than letters, digits, - and _, or is longer than 80, or the seed is
            not an integer >= 0.
    """
    check_name("task", task)
    check_name("algorithm", algorithm)
    return folder / f"{task}.{algorithm}.seed{check_count('seed', seed)}.json"


def save_record(folder: Path, record: RunRecord) -> Path:
    """Write a record atomically, into a folder that is made if it is missing.

    Raises:
        ValueError: if a value of the record is of the wrong type or out of range.
    """
    label = f"the record of {record.task}, {record.algorithm}, seed {record.seed}"
    return _FORMAT.save(folder, asdict(record), label)


def load_record(path: Path) -> RunRecord:
    """Read one record.

    Raises:
        RecordError: if the file is missing, damaged, changed by hand, of another protocol, no record, or named for
            another run.
    """
    return RunRecord(**_FORMAT.load(path))


def load_records(folder: Path) -> list[RunRecord]:
    """Read all records of a folder, sorted by task, algorithm and seed.

    Raises:
        RecordError: if the folder has no records, or :func:`load_record` raises it for a file.
    """
    records = [load_record(path) for path in sorted(folder.glob("[!.]*.json"))]
    if not records:
        raise RecordError(f"{folder} holds no records of runs: make some with 'glimpse-gym benchmark run'")
    return sorted(records, key=lambda record: (record.task, record.algorithm, record.seed))


def select(records: Iterable[RunRecord], task: str, algorithm: str) -> list[RunRecord]:
    """Select the runs of one algorithm in one task, one for each seed."""
    return [record for record in records if (record.task, record.algorithm) == (task, algorithm)]


def success_curves(records: Iterable[RunRecord]) -> tuple[np.ndarray, np.ndarray]:
    """Validation success during training, at the same steps for all runs.

    Where runs were evaluated at different steps, their curves are linearly interpolated. The steps are those of any
    run, from the latest first evaluation to the earliest last one. Runs without a curve are ignored.

    Returns:
        Steps, float64 (P,), and success in [0, 1], float64 (S, P) for S runs; P is 0 if the curves share no steps.
    """
    curves = [record.curve for record in records if record.curve]
    if not curves:
        return np.zeros(0), np.zeros((0, 0))
    steps = np.unique([point["num_steps"] for curve in curves for point in curve]).astype(np.float64)
    first, last = max(curve[0]["num_steps"] for curve in curves), min(curve[-1]["num_steps"] for curve in curves)
    steps = steps[(steps >= first) & (steps <= last)]
    rows = [np.interp(steps, [p["num_steps"] for p in curve], [p["success"] for p in curve]) for curve in curves]
    return steps, np.stack(rows)


def _file_name(entries: dict[str, Any]) -> str:
    return record_path(Path(), entries["task"], entries["algorithm"], entries["seed"]).name


def _check(entries: dict[str, Any]) -> None:
    """Check the entries of a record.

    Raises:
        ValueError: an entry is missing, unknown, of the wrong type or out of range, or two contradict each other.
    """
    check_entries("the record", entries, {field.name for field in fields(RunRecord)})
    _file_name(entries)
    check_env_id("env_id", entries["env_id"])
    check_settings("env_kwargs", entries["env_kwargs"])
    check_count("num_steps", entries["num_steps"])
    check_amount("seconds", entries["seconds"])
    check_versions("versions", entries["versions"])
    for name in ("machine", "command"):
        check_text(name, entries[name])
    steps = [point["num_steps"] for point in check_list("curve", entries["curve"], _check_point)]
    if steps != sorted(set(steps)):
        raise ValueError(f"curve must be in the order of num_steps, each once, got {shown(steps)}")
    _check_scores("test", check_entries("test", entries["test"], _TEST))
    _check_counts(**entries["test"])


def _check_point(name: str, point: Any) -> None:
    check_entries(name, point, _POINT)
    check_count(f"{name}.num_steps", point["num_steps"])
    check_amount(f"{name}.seconds", point["seconds"])
    _check_scores(name, point)


def _check_scores(name: str, scores: dict[str, Any]) -> None:
    check_fraction(f"{name}.success", scores["success"])
    check_number(f"{name}.episode_return", scores["episode_return"], -MAX_NUMBER, MAX_NUMBER)
    check_amount(f"{name}.num_glimpses", scores["num_glimpses"])


def _check_counts(
    num_episodes: Any, success: float, episodes_by_glimpses: Any, successes_by_glimpses: Any, **_: Any
) -> None:
    """Check the numbers of episodes in the test scores, and that they agree with each other."""
    check_count("test.num_episodes", num_episodes, 1)
    check_list("test.episodes_by_glimpses", episodes_by_glimpses, check_count)
    check_list("test.successes_by_glimpses", successes_by_glimpses, check_count)
    if len(episodes_by_glimpses) != len(successes_by_glimpses) or any(
        np.array(successes_by_glimpses) > episodes_by_glimpses
    ):
        raise ValueError(
            "test.successes_by_glimpses must have the length of test.episodes_by_glimpses, and no entry above it, got "
            f"{shown(successes_by_glimpses)} and {shown(episodes_by_glimpses)}"
        )
    episodes, successes = sum(episodes_by_glimpses), sum(successes_by_glimpses)
    if episodes != num_episodes or abs(successes - success * num_episodes) > 0.5:
        raise ValueError(
            f"test.num_episodes and test.success must agree with the numbers by glimpses, got {num_episodes} and "
            f"{success}, but {successes} successes in {episodes} episodes"
        )


class _RecordFormat(RunFileFormat):
    def describe_other(self, found: Any) -> str:
        if isinstance(found, str) and found.startswith(_FORMAT_PREFIX):
            return (
                f"is of protocol {found.removeprefix(_FORMAT_PREFIX):.80}, and only protocol {PROTOCOL_VERSION} is "
                "accepted here, because scores of different protocols do not compare: use another folder, or remove "
                "it and run it again"
            )
        return (
            f"is no record of a benchmark run: its format must be {self.name!r}, got {shown(found)}; move it to "
            "another folder"
        )


_FORMAT = _RecordFormat(
    f"{_FORMAT_PREFIX}{PROTOCOL_VERSION}",
    "record",
    "remove it and run it again",
    RecordError,
    checksum_error=(
        "is damaged, was changed by hand, or was written by glimpse_gym 0.4.0: its checksum is missing or does not "
        "match"
    ),
    check=_check,
    file_name=_file_name,
)
