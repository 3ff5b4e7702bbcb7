"""Files of searches: one checksummed JSON file for each search, with all its finished trials.

No other module knows the format.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

from glimpse_gym.agents.experiments.result_files import ResultError, check_training
from glimpse_gym.agents.experiments.search_spaces import Space, check_values, parse_space
from glimpse_gym.agents.json_checks import (
    RunFileFormat,
    check_amount,
    check_count,
    check_entries,
    check_env_id,
    check_fraction,
    check_list,
    check_name,
    check_text,
    check_versions,
)

_FOLDER = "searches"


@dataclass(frozen=True)
class Outcome:
    """Outcome of the training of a trial."""

    validation_error: float | None
    """Validation error at the end; None if the training diverged."""
    training_error: float | None
    """Training error between the last two evaluations; None if the training diverged."""
    episodes: int
    """Training episodes."""
    seconds: float
    """Duration of the training, including the evaluations during it."""


@dataclass(frozen=True)
class Trial:
    """Finished trial of a search."""

    number: int
    """Number of the trial, from 0, which is also the seed of its training."""
    values: dict[str, Any]
    """Values of the settings that the search draws, by name."""
    outcome: Outcome


@dataclass(frozen=True)
class SearchResult:
    """Finished trials of a search."""

    name: str
    """Name of the search and of the recipe that it tunes."""
    settings: dict[str, Any]
    """Settings that are the same in all trials."""
    space: Space
    trials: list[Trial]
    """In the order of their numbers."""
    machine: str
    versions: dict[str, str]


def save_search(results: Path, search: SearchResult) -> Path:
    """Write the file of a search atomically, into a subfolder of the results that is made if it is missing.

    Raises:
        ValueError: if a value is of the wrong type or out of range.
        OSError: if the file cannot be written; the message names it.
    """
    return _FORMAT.save(results / _FOLDER, asdict(search), f"the result of the search {search.name}")


def load_search_file(results: Path, name: str) -> SearchResult | None:
    """Load the search of a name; None if there is no file of it.

    Raises:
        ResultError: if the file is damaged, was changed by hand, is in another format, or is named for another search.
    """
    path = results / _FOLDER / f"{name}.json"
    return _load(path) if path.exists() else None


def load_searches(results: Path) -> list[SearchResult]:
    """Load all searches of a folder of results, sorted by file name; an empty list if it has none.

    Raises:
        ResultError: if a file is damaged, was changed by hand, is in another format, or is named for another search.
    """
    return [_load(path) for path in sorted((results / _FOLDER).glob("[!.]*.json"))]


def check_outcome(name: str, value: Any) -> Outcome:
    """Return the outcome of a trial from its entries in a JSON file; raise ValueError if they are none."""
    check_entries(name, value, {field.name for field in fields(Outcome)})
    errors = ("validation_error", "training_error")
    if any(value[error] is not None for error in errors):  # else the training diverged
        for error in errors:
            check_fraction(f"{name}.{error}", value[error])
    check_count(f"{name}.episodes", value["episodes"])
    check_amount(f"{name}.seconds", value["seconds"])
    return Outcome(**value)


def _load(path: Path) -> SearchResult:
    entries = _FORMAT.load(path)
    trials = [Trial(**trial | {"outcome": Outcome(**trial["outcome"])}) for trial in entries["trials"]]
    return SearchResult(**entries | {"space": parse_space("space", entries["space"]), "trials": trials})


def _check(entries: dict[str, Any]) -> None:
    """Check the entries of a search.

    Raises:
        ValueError: an entry is missing, unknown, of the wrong type or out of range, or two contradict each other.
    """
    check_entries("the search", entries, {field.name for field in fields(SearchResult)})
    check_name("name", entries["name"])
    check_text("machine", entries["machine"])
    check_versions("versions", entries["versions"], ("glimpse_gym", "optuna", "torch"))
    space = parse_space("space", entries["space"])
    _check_settings(entries["settings"], space)
    trials = check_list("trials", entries["trials"], partial(_check_trial, space=space))
    numbers = [trial["number"] for trial in trials]
    if not numbers or numbers != sorted(set(numbers)):
        raise ValueError("trials must be at least one, in the order of their numbers, each once")


def _check_settings(settings: Any, space: Space) -> None:
    check_training("settings", settings)
    for name in ("num_episodes", "validation_episodes"):
        check_count(f"settings.{name}", settings.get(name), 1)
    check_env_id("settings.env_id", settings.get("env_id"))
    if drawn := sorted(settings.keys() & space.keys()):
        raise ValueError(f"settings must be those that the search does not draw, got {drawn}")


def _check_trial(name: str, trial: Any, space: Space) -> None:
    check_entries(name, trial, {field.name for field in fields(Trial)})
    check_count(f"{name}.number", trial["number"])
    check_values(f"{name}.values", trial["values"], space)
    check_outcome(f"{name}.outcome", trial["outcome"])


def _file_name(entries: dict[str, Any]) -> str:
    return f"{entries['name']}.json"


_FORMAT = RunFileFormat(
    "glimpse_gym search, format 1",
    "file of a search",
    "run 'glimpse-gym search' again",
    ResultError,
    check=_check,
    file_name=_file_name,
)
