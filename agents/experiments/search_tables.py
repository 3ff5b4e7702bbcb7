"""Tables of searches, in Markdown. Errors are in percent."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from glimpse_gym.agents.experiments.recipes import format_value
from glimpse_gym.agents.experiments.search_files import Outcome, SearchResult
from glimpse_gym.agents.experiments.significance import binomial_standard_error
from glimpse_gym.agents.markdown import markdown_table

_DIVERGED = "diverged"


def search_table(search: SearchResult) -> str:
    """Make the table of all trials, lowest validation error first, those that diverged last."""
    rows = []
    for trial in sorted(search.trials, key=lambda trial: (_sort_key(trial.outcome), trial.number)):
        values = [format_value(trial.values[name]) for name in search.space]
        errors = _format_errors(trial.outcome, search.settings["validation_episodes"])
        rows.append([str(trial.number), *values, *errors])
    header = ["trial", *search.space, "validation error ± s.e.", "training error"]
    return markdown_table(header, rows)


def search_caption(search: SearchResult) -> str:
    """Describe a search in one line: recipe, number and length of the trials, and the ranges of the settings."""
    number, settings = len(search.trials), search.settings
    trials = f"{number} trial{'s' * (number > 1)} of {settings['num_episodes']:,} episodes"
    ranges = ", ".join(f"{name} {setting.describe()}" for name, setting in search.space.items())
    return (
        f"Random search for the settings of `{search.name}`: {trials}{' each' * (number > 1)}, with the error on "
        f"{settings['validation_episodes']:,} validation images; {ranges}."
    )


def describe_values(values: Mapping[str, Any]) -> str:
    """Describe the values of a trial in one line."""
    return ", ".join(f"{name} = {format_value(value)}" for name, value in values.items())


def describe_outcome(outcome: Outcome) -> str:
    """Describe the outcome of a trial in one line."""
    error = outcome.validation_error
    text = f"{_DIVERGED} after {outcome.episodes:,} episodes" if error is None else f"validation error {error:.2%}"
    return f"{text}, {outcome.seconds:.0f} s"


def _sort_key(outcome: Outcome) -> float:
    return math.inf if outcome.validation_error is None else outcome.validation_error


def _format_errors(outcome: Outcome, validation_episodes: int) -> list[str]:
    """Format the validation error with its binomial standard error, and the training error."""
    error, training_error = outcome.validation_error, outcome.training_error
    if error is None or training_error is None:
        return [_DIVERGED, _DIVERGED]
    standard_error = binomial_standard_error(100 * error, validation_episodes)
    return [f"{100 * error:.2f} ± {standard_error:.2f}", f"{100 * training_error:.2f}"]
