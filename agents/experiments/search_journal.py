"""Journal of a search: an optuna study in a file. No other module knows optuna.

The values of a trial depend on its number alone, so that they are the same however a search is divided into runs.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.samplers import RandomSampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from glimpse_gym.agents.experiments.search_files import Outcome, Trial, check_outcome
from glimpse_gym.agents.experiments.search_spaces import Choices, Range, Search, Space, check_values, round_value
from glimpse_gym.agents.run_state import describe_differences
from glimpse_gym.atomic_io import atomic_write
from glimpse_gym.safe_io import MAX_JSON_BYTES, parse_json, read_bytes
from glimpse_gym.validation import printable

JOURNAL = "journal.log"
"""Name of the file, in the folder of the search."""
_CONFIGURATION = "configuration"
_STATES = (TrialState.RUNNING, TrialState.COMPLETE, TrialState.FAIL)


class SearchError(RuntimeError):
    """The journal of a search is damaged, or belongs to another configuration of the search."""


def draw_values(space: Space, number: int) -> dict[str, Any]:
    """Draw the values of the trial of a number, by name."""
    with _silence():
        # One sampler for a whole study would begin with the values of trial 0 again whenever a search is resumed.
        trial = optuna.create_study(sampler=RandomSampler(seed=number)).ask(_distributions(space))
    return {
        name: round_value(trial.params[name]) if isinstance(setting, Range) else trial.params[name]
        for name, setting in space.items()
    }


class Journal:
    """Trials of a search, in a file. The caller holds the lock of the folder.

    Args:
        folder: folder of the search; a journal in it is continued.
        search: the search.

    Raises:
        SearchError: if the journal in the folder is damaged, or of another configuration.
        OSError: if the journal cannot be read or written; the message names it.
    """

    def __init__(self, folder: Path, search: Search) -> None:
        self.search, self.path = search, folder / JOURNAL
        with _silence():
            self._study = self._open()
            self._check_configuration()
            for trial in self._study.get_trials():
                self._check_trial(trial)

    def start_trial(self, number: int) -> dict[str, Any]:
        """Return the values of a trial that is to be run: those in the journal if it was begun, else new ones.

        Args:
            number: of an unfinished trial, at most the number of trials in the journal.
        """
        trials = self._study.get_trials()
        if number < len(trials):
            return self._values(trials[number])
        values = draw_values(self.search.space, number)
        new = create_trial(state=TrialState.RUNNING, params=values, distributions=_distributions(self.search.space))
        self._study.add_trial(new)  # in one line of the file: a trial is begun with all its values or not at all
        return values

    def finish_trial(self, number: int, outcome: Outcome) -> None:
        """Record the outcome of a trial that was begun."""
        with _silence():
            self._study.set_user_attr(_outcome_name(number), asdict(outcome))
            if outcome.validation_error is None:
                self._study.tell(number, state=TrialState.FAIL)
            else:
                self._study.tell(number, outcome.validation_error)

    def unfinished(self, num_trials: int) -> list[int]:
        """List the numbers below ``num_trials`` of trials that are not finished, in order."""
        finished = {trial.number for trial in self.finished()}
        return [number for number in range(num_trials) if number not in finished]

    def finished(self) -> list[Trial]:
        """List the finished trials, by number."""
        outcomes = self._study.user_attrs
        return [
            Trial(trial.number, self._values(trial), Outcome(**outcomes[_outcome_name(trial.number)]))
            for trial in self._study.get_trials()
            if trial.state.is_finished()
        ]

    def _open(self) -> optuna.Study:
        """Open the study in the file, or create it."""
        # Locks of the journal are of killed processes: this one has the folder's lock.
        for leftover in self.path.parent.glob(f"{JOURNAL}.lock*"):
            leftover.unlink()
        self._repair()
        try:
            lock = JournalFileOpenLock(str(self.path))
            storage = JournalStorage(JournalFileBackend(str(self.path), lock))
            names = optuna.get_all_study_names(storage)
            if names not in ([], [self.search.name]):
                raise ValueError(f"it holds the studies {names}")
            open_study = optuna.load_study if names else optuna.create_study
            return open_study(study_name=self.search.name, storage=storage)
        except OSError:
            raise
        except Exception as error:  # optuna raises many types for a damaged file
            raise self._damaged(error) from error

    def _repair(self) -> None:
        """Remove the last line if a killed process wrote a part of it, lest the next one be appended to it."""
        try:
            content = read_bytes(self.path, MAX_JSON_BYTES)
        except FileNotFoundError:
            return
        except ValueError as error:
            raise self._damaged(error) from error
        *lines, partial_line = content.split(b"\n")
        try:
            for line in lines:
                parse_json(line)  # optuna overlooks a damaged line if it is the last one
        except ValueError as error:
            raise self._damaged(error) from error
        if partial_line:
            with atomic_write(self.path) as temporary:
                temporary.write_bytes(content.removesuffix(partial_line))

    def _check_configuration(self) -> None:
        """Check that the study is of the same configuration, or store the configuration in a new study."""
        space = {f"space.{name}": asdict(setting) for name, setting in self.search.space.items()}
        expected = json.loads(json.dumps(self.search.settings | space))
        found = self._study.user_attrs.get(_CONFIGURATION)
        if found is None and not self._study.get_trials():
            self._study.set_user_attr(_CONFIGURATION, expected)
        elif type(found) is not dict or self._study.directions != [StudyDirection.MINIMIZE]:
            raise self._damaged(ValueError("it does not say of which configuration it is"))
        elif differences := describe_differences(found, expected, "now: {}"):
            raise SearchError(
                f"{self.path} holds trials with {printable(differences)}: undo the changes, or use another folder"
            )

    def _check_trial(self, trial: FrozenTrial) -> None:
        try:
            if trial.state not in _STATES:
                raise ValueError(f"trial {trial.number} is {trial.state.name.lower()}")
            check_values(f"values of trial {trial.number}", trial.params, self.search.space)
            if trial.state.is_finished():
                name = _outcome_name(trial.number)
                outcome = check_outcome(name, self._study.user_attrs.get(name))
                value = trial.value if trial.state == TrialState.COMPLETE else None
                if value != outcome.validation_error:
                    raise ValueError(f"{name} has another validation error than the trial")
        except ValueError as error:
            raise self._damaged(error) from error

    def _values(self, trial: FrozenTrial) -> dict[str, Any]:
        return {name: trial.params[name] for name in self.search.space}

    def _damaged(self, error: Exception) -> SearchError:
        return SearchError(
            f"{self.path} is damaged ({error!r:.200}): remove it and run the search again; what is trained in its "
            "folder is not trained again"
        )


def _outcome_name(number: int) -> str:
    return f"outcome of trial {number}"


def _distributions(space: Space) -> dict[str, BaseDistribution]:
    """Return optuna's distributions of the settings, sorted by name: the order decides which is drawn first."""
    return {name: _distribution(space[name]) for name in sorted(space)}


def _distribution(setting: Range | Choices) -> BaseDistribution:
    if isinstance(setting, Range):
        return FloatDistribution(setting.low, setting.high, log=setting.log)
    return CategoricalDistribution(setting.choices)


@contextmanager
def _silence() -> Iterator[None]:
    """Context manager in which optuna logs errors only."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)
