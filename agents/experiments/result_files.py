"""Result files: one checksummed JSON file for each run of a recipe. No other module knows the format."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from glimpse_gym.agents.evaluation import check_score
from glimpse_gym.agents.experiments.recipes import run_settings
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
    check_ranges,
    check_settings,
    check_text,
    check_versions,
)
from glimpse_gym.agents.run_state import HISTORY, describe_differences
from glimpse_gym.agents.scores import mean_errors
from glimpse_gym.validation import check_number, printable

_MAX_CHANGED = 20
"""Largest accepted number of keyword arguments that are changed for generalization: a figure has a panel for each."""


class ResultError(RuntimeError):
    """A result file is missing, damaged, changed by hand, or in another format."""


@dataclass(frozen=True)
class Result:
    """Scores and settings of one run of a recipe."""

    recipe: str
    task: str
    model: str
    """Label in the tables."""
    seed: int
    scores: list[dict[str, Any]]
    """Entries have the fields of :class:`glimpse_gym.agents.evaluation.Score`."""
    env_id: str
    env_kwargs: dict[str, Any]
    values_per_glimpse: int
    """Number of values in one glimpse."""
    num_parameters: int
    policy_config: dict[str, Any]
    training: dict[str, Any]
    """Configuration of the algorithm, with "algorithm" and "augmentation"; empty if nothing was trained."""
    history: list[dict[str, float]]
    """Evaluations during training: episodes and seconds so far, validation_error, training_error."""
    num_episodes: int
    """Episodes played in training."""
    num_frames: int
    """Glimpses taken in training."""
    training_seconds: float
    """Duration of the training, including the evaluations during it."""
    generalization: list[dict[str, Any]]
    """Test scores in changed envs, each a dict with the changed "env_kwargs" and the "score"."""
    gaze_distances: list[float] | None
    """Catch only: mean distance between gaze and ball at each step, in pixels."""
    machine: str
    versions: dict[str, str]

    @property
    def settings(self) -> dict[str, Any]:
        """All settings of the training run; see :func:`glimpse_gym.agents.experiments.recipes.run_settings`."""
        return run_settings(self.env_id, self.env_kwargs, self.policy_config, self.training)

    def errors(self, locations: str = "learned", sample: bool = False, split: str = "test") -> np.ndarray | None:
        """Average the errors after each glimpse over the draws of a split: float64 (T,), or None if not measured."""
        errors = mean_errors(self.scores, split, locations, sample)
        return errors if errors.size else None


def save_result(folder: Path, result: Result) -> Path:
    """Write a result file atomically, into a folder that is made if it is missing.

    Raises:
        ValueError: if a value of the result is of the wrong type or out of range.
    """
    return _FORMAT.save(folder, asdict(result), f"the result of {result.recipe}, seed {result.seed}")


def load_results(folder: Path) -> list[Result]:
    """Load all results of a folder, sorted by file name.

    Raises:
        ResultError: if the folder holds no results; if a file is damaged, was changed by hand, is in another format, or
            is named for another run; or if results of one recipe have different settings, apart from the seed, or
            different numbers of errors.
    """
    results = [_load(path) for path in sorted(folder.glob("[!.]*.json"))]
    if not results:
        raise ResultError(f"{folder} holds no results: make them with 'glimpse-gym reproduce'")
    _check_same_recipe(folder, results)
    return results


def _file_name(entries: dict[str, Any]) -> str:
    return f"{entries['recipe']}-seed{entries['seed']}.json"


def _load(path: Path) -> Result:
    return Result(**_FORMAT.load(path))


def _check_same_recipe(folder: Path, results: Sequence[Result]) -> None:
    """Check that results of one recipe, over which tables and figures average, are of the same kind of run."""
    firsts: dict[str, Result] = {}
    for result in results:
        first = firsts.setdefault(result.recipe, result)
        paths = [folder / _file_name({"recipe": r.recipe, "seed": r.seed}) for r in (first, result)]
        if differences := describe_differences(result.settings, first.settings, f"{paths[0].name}: {{}}"):
            raise ResultError(
                f"{paths[0]} and {paths[1]} are of two versions of a recipe, so that no mean can be taken: "
                f"{paths[1].name} has {printable(differences)}; run the older one again, or remove it"
            )
        if len(result.scores[0]["errors"]) != len(first.scores[0]["errors"]):
            raise ResultError(
                f"{paths[0]} and {paths[1]} have different numbers of errors, so that no mean can be taken: remove one"
            )


def _check(entries: dict[str, Any]) -> None:
    """Check the entries of a result.

    Raises:
        ValueError: an entry is missing, unknown, of the wrong type or out of range, or two contradict each other.
    """
    check_entries("the result", entries, {field.name for field in fields(Result)})
    for name in ("recipe", "task"):
        check_name(name, entries[name])
    for name in ("model", "machine"):
        check_text(name, entries[name])
    check_env_id("env_id", entries["env_id"])
    for name in ("seed", "num_parameters", "num_episodes", "num_frames"):
        check_count(name, entries[name])
    check_count("values_per_glimpse", entries["values_per_glimpse"], 1)
    check_amount("training_seconds", entries["training_seconds"])
    for name in ("env_kwargs", "policy_config"):
        check_settings(name, entries[name])
    check_training("training", entries["training"])
    check_versions("versions", entries["versions"], ("glimpse_gym", "torch"))
    _check_scores(check_list("scores", entries["scores"], check_score))
    _check_history(check_list("history", entries["history"], _check_evaluation))
    _check_changed(check_list("generalization", entries["generalization"], _check_generalization))
    if entries["gaze_distances"] is not None:
        check_list("gaze_distances", entries["gaze_distances"], check_amount)


def check_training(name: str, training: Any) -> None:
    """Check settings of a training run by name; raise ValueError if they are none."""
    augmentation = training.get("augmentation", {}) if type(training) is dict else {}
    check_ranges(f"{name}.augmentation", augmentation)
    # The other settings are plain values, or lists of them.
    check_settings(name, training | {"augmentation": None} if type(training) is dict else training)


def _check_scores(scores: list[dict[str, Any]]) -> None:
    """Check that the scores can be averaged, and that the one which every table has is there."""
    conditions = [tuple(score[name] for name in ("split", "locations", "sample", "seed")) for score in scores]
    if len(set(conditions)) < len(conditions):
        raise ValueError("scores must each have other conditions: split, locations, sample and seed")
    if len({len(score["errors"]) for score in scores}) > 1:
        raise ValueError("scores must all have the same number of errors")
    if not any(score["locations"] == "learned" and not score["sample"] for score in scores):
        raise ValueError("scores must include one at learned locations without sampling")


def _check_evaluation(name: str, evaluation: Any) -> None:
    check_entries(name, evaluation, HISTORY)
    check_count(f"{name}.episodes", evaluation["episodes"])
    check_amount(f"{name}.seconds", evaluation["seconds"])
    for fraction in ("validation_error", "training_error"):
        check_fraction(f"{name}.{fraction}", evaluation[fraction])


def _check_history(history: list[dict[str, Any]]) -> None:
    episodes = [evaluation["episodes"] for evaluation in history]
    if episodes != sorted(set(episodes)):
        raise ValueError("history must be in the order of episodes, each once")


def _check_generalization(name: str, entry: Any) -> None:
    check_entries(name, entry, ("env_kwargs", "score"))
    changes = check_settings(f"{name}.env_kwargs", entry["env_kwargs"])
    if len(changes) != 1:
        raise ValueError(f"{name}.env_kwargs must be one changed keyword argument, got {len(changes)}")
    for key, value in changes.items():
        check_number(f"{name}.env_kwargs.{key}", value, -MAX_NUMBER, MAX_NUMBER)
    check_score(f"{name}.score", entry["score"])


def _check_changed(generalization: list[dict[str, Any]]) -> None:
    changed = {key for entry in generalization for key in entry["env_kwargs"]}
    if len(changed) > _MAX_CHANGED:
        raise ValueError(f"generalization must change at most {_MAX_CHANGED} keyword arguments, got {len(changed)}")


_FORMAT = RunFileFormat(
    "glimpse_gym result, format 3",
    "result file",
    "run its recipe again",
    ResultError,
    old={"glimpse_gym result, format 2": "0.4.0", "glimpse_gym result, format 1": "0.2.0"},
    check=_check,
    file_name=_file_name,
)
