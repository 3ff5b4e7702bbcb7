"""Random search: run the trials of a search, each a training run of its recipe, and save their outcomes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from glimpse_gym.agents.experiments.search_files import Outcome, SearchResult, Trial, load_search_file, save_search
from glimpse_gym.agents.experiments.search_journal import Journal, SearchError
from glimpse_gym.agents.experiments.search_spaces import Search
from glimpse_gym.agents.experiments.search_tables import describe_outcome, describe_values
from glimpse_gym.agents.json_checks import check_count
from glimpse_gym.agents.trainer import DivergenceError, Trainer
from glimpse_gym.folder_lock import lock_folder
from glimpse_gym.machine import machine_name
from glimpse_gym.provenance import package_versions


def run_search(
    search: Search, runs: Path, results: Path, num_trials: int | None = None, progress: bool = True
) -> SearchResult | None:
    """Run the trials of a search that are not finished, and write its file after each of them.

    Args:
        search: search to run.
        runs: parent of the folder of the search, in which an unfinished search and its trials are resumed.
        results: folder of the result files.
        num_trials: number of trials, those that are finished included; None takes that of the search.
        progress: show progress bars, and print the values and the errors of the trials.

    Returns:
        All finished trials, or None if a training was interrupted.

    Raises:
        SearchError: if the folder holds trials of another configuration, or a damaged journal; or if the file of the
            search has trials that are not in the folder.
        ResultError: if the file of the search is damaged.
        CheckpointError: if the folder of a trial holds a different training, or a damaged one.
        FolderInUseError: if another process runs the search at this moment; the message names it.
        OSError: if a file cannot be written; the message names it.
        ValueError: if ``num_trials`` is not a positive integer.
    """
    number_of_trials = check_count("num_trials", search.num_trials if num_trials is None else num_trials, 1)
    folder = runs / f"search-{search.name}"
    folder.mkdir(parents=True, exist_ok=True)
    with lock_folder(folder):
        journal = Journal(folder, search)
        _check_known(results, search.name, journal.finished(), folder)
        for number in journal.unfinished(number_of_trials):
            values = journal.start_trial(number)
            if progress:
                print(f"trial {number}: {describe_values(values)}", flush=True)
            outcome = _run_trial(search, number, values, _trial_folder(folder, number), progress)
            if outcome is None:
                return None
            journal.finish_trial(number, outcome)
            _save(results, search, journal)
            if progress:
                print(f"trial {number}: {describe_outcome(outcome)}", flush=True)
        return _save(results, search, journal)


def _check_known(results: Path, name: str, trials: list[Trial], folder: Path) -> None:
    """Raise SearchError if the file of the search has trials that are not in the folder: they would be lost."""
    saved = load_search_file(results, name)
    others = [trial for trial in saved.trials if trial not in trials] if saved else []
    if lost := [trial for trial in others if not _trial_folder(folder, trial.number).is_dir()]:
        raise SearchError(
            f"the file of the search {name} in {results} has {len(lost)} trials that are not in {folder}, and would be "
            "lost: continue the search where they were made (--runs), or use another folder of results (--results)"
        )


def _trial_folder(folder: Path, number: int) -> Path:
    return folder / f"trial-{number}"


def _run_trial(search: Search, number: int, values: dict[str, Any], folder: Path, progress: bool) -> Outcome | None:
    """Train in a folder with the values of a trial, or resume that; None if the training was interrupted."""
    training, policy_config = search.make_configs(values, seed=number)
    recipe = search.recipe
    trainer = Trainer(
        folder,
        recipe.env_id,
        recipe.env_kwargs,
        training,
        policy_config,
        resume=True,
        augmentation=recipe.augmentation,
        command=f"glimpse-gym search {search.name}",
    )
    try:
        if not trainer.train(progress):
            return None
    except DivergenceError:
        return Outcome(None, None, trainer.learner.num_episodes_played, trainer.seconds)
    last, episodes = trainer.history[-1], trainer.learner.num_episodes_played
    return Outcome(last["validation_error"], last["training_error"], episodes, trainer.seconds)


def _save(results: Path, search: Search, journal: Journal) -> SearchResult:
    versions = package_versions("optuna", "torch")
    result = SearchResult(search.name, search.settings, search.space, journal.finished(), machine_name(), versions)
    save_search(results, result)
    return result
