"""Random search: running the trials, stopping and resuming."""

import dataclasses
import shutil
import signal

import numpy as np
import pytest

from glimpse_gym.agents.checkpoint import load_metadata
from glimpse_gym.agents.evaluation import EvalConditions, evaluate
from glimpse_gym.agents.experiments import search as search_module
from glimpse_gym.agents.experiments.search import run_search
from glimpse_gym.agents.experiments.search_files import load_searches
from glimpse_gym.agents.experiments.search_journal import JOURNAL, Journal, SearchError, draw_values
from glimpse_gym.agents.learner import Learner
from glimpse_gym.agents.trainer import Trainer
from glimpse_gym.folder_lock import FolderInUseError, lock_folder
from kills import die, run_forked, running
from small_searches import make_search

pytestmark = pytest.mark.usefixtures("no_curves")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A search, its folder, and its result."""
    folder = tmp_path_factory.mktemp("made")
    search = make_search(folder)
    return search, folder, run(search, folder)


def run(search, folder, **arguments):
    return run_search(search, folder / "runs", folder / "results", progress=False, **arguments)


def without_times(result):
    """A result without the durations, which differ between equal runs."""
    trials = [
        dataclasses.replace(trial, outcome=dataclasses.replace(trial.outcome, seconds=0.0)) for trial in result.trials
    ]
    return dataclasses.replace(result, trials=trials)


def act_at(monkeypatch, trial, update, act):
    """Call a function before an update of a trial, both by number."""
    original = Learner.update

    def update_or_act(learner):
        if (learner.config.seed, learner.num_updates_done) == (trial, update):
            act()
        return original(learner)

    monkeypatch.setattr(Learner, "update", update_or_act)


# ---------------------------------------------------------------- results


def test_result_has_all_trials(made):
    search, folder, result = made
    assert load_searches(folder / "results") == [result]
    assert (result.name, result.space, result.settings) == ("paper-mine", search.space, search.settings)
    assert [trial.number for trial in result.trials] == [0, 1, 2]
    assert [trial.values for trial in result.trials] == [draw_values(search.space, number) for number in range(3)]
    for trial in result.trials:
        assert trial.outcome.episodes == 200
        assert trial.outcome.seconds > 0
    assert result.versions.keys() == {"python", "glimpse_gym", "gymnasium", "numpy", "optuna", "torch"}
    assert [path.name for path in (folder / "runs").iterdir()] == ["search-paper-mine"]


def test_trials_are_trainings_with_the_values_and_the_number_as_seed(made):
    search, folder, result = made
    for trial in result.trials:
        path = folder / "runs" / "search-paper-mine" / f"trial-{trial.number}"
        metadata = load_metadata(path)
        settings = metadata.training | dataclasses.asdict(metadata.policy_config)
        assert {name: settings[name] for name in trial.values} == trial.values
        assert metadata.training["seed"] == trial.number
        assert metadata.training["augmentation"] == {"shift": [-1, 1]}
        assert metadata.command == "glimpse-gym search paper-mine"
        trainer = Trainer(
            path,
            search.recipe.env_id,
            search.recipe.env_kwargs,
            *search.make_configs(trial.values, trial.number),
            resume=True,
            augmentation=search.recipe.augmentation,
        )
        score = evaluate(
            trainer.policy, metadata.env_id, metadata.env_kwargs, EvalConditions("validation"), num_episodes=20
        )
        assert trial.outcome.validation_error == score.errors[-1] == trainer.history[-1]["validation_error"]
        assert trial.outcome.training_error == trainer.history[-1]["training_error"]
        assert trial.outcome.seconds == trainer.seconds


def test_file_is_written_after_every_trial(tmp_path, monkeypatch):
    saved = []
    save = search_module.save_search
    monkeypatch.setattr(
        search_module, "save_search", lambda folder, result: saved.append(len(result.trials)) or save(folder, result)
    )
    run(make_search(tmp_path), tmp_path, num_trials=2)
    assert saved == [1, 2, 2]


def test_progress_names_values_and_errors(tmp_path, capsys):
    search = make_search(tmp_path)
    (trial,) = run_search(search, tmp_path / "runs", tmp_path / "results", num_trials=1).trials
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"trial 0: learning_rate = {trial.values['learning_rate']:g}, sigma = ")
    assert lines[1].startswith(f"trial 0: validation error {trial.outcome.validation_error:.2%}, ")


@pytest.mark.parametrize("number", [0, -1, 1.5, True])
def test_number_of_trials_must_be_positive(tmp_path, number):
    with pytest.raises(ValueError, match="num_trials must be an integer from 1"):
        run(make_search(tmp_path), tmp_path, num_trials=number)
    assert not (tmp_path / "runs").exists()


# ---------------------------------------------------------------- resuming


def test_finished_search_trains_nothing(made, tmp_path, monkeypatch):
    search, folder, result = made
    monkeypatch.setattr(Learner, "update", lambda learner: pytest.fail("it trains"))
    for number in (None, 1):
        assert run_search(search, folder / "runs", tmp_path, number, progress=False) == result
        assert load_searches(tmp_path) == [result]


def test_more_trials_are_added(made, tmp_path):
    search, folder, result = made
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    more = run(search, tmp_path, num_trials=4)
    assert more.trials[:3] == result.trials
    assert more.trials[3].values == draw_values(search.space, 3)


def test_trials_made_elsewhere_are_not_lost(made, tmp_path):
    search, folder, _ = made
    shutil.copytree(folder / "results", tmp_path / "results")
    before = load_searches(tmp_path / "results")
    with pytest.raises(SearchError, match=r"has 3 trials that are not in .*search-paper-mine, and would be lost"):
        run(search, tmp_path)
    assert load_searches(tmp_path / "results") == before


def test_lost_journal_is_made_again_from_the_trials(made, tmp_path, monkeypatch):
    search, folder, result = made
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    (tmp_path / "runs" / "search-paper-mine" / JOURNAL).unlink()
    monkeypatch.setattr(Learner, "update", lambda learner: pytest.fail("it trains"))
    assert run(search, tmp_path) == result


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_search_is_resumed(made, tmp_path, monkeypatch, number):
    search, _, expected = made
    with monkeypatch.context() as patch:
        act_at(patch, 1, 3, lambda: signal.raise_signal(number))
        assert run(search, tmp_path) is None
    assert [trial.number for trial in load_searches(tmp_path / "results")[0].trials] == [0]
    updates, update = [], Learner.update
    monkeypatch.setattr(
        Learner,
        "update",
        lambda learner: updates.append((learner.config.seed, learner.num_updates_done)) or update(learner),
    )
    result = run(search, tmp_path)
    assert updates == [*((1, i) for i in range(4, 10)), *((2, i) for i in range(10))]
    assert without_times(result) == without_times(expected)
    assert load_searches(tmp_path / "results") == [result]


@pytest.mark.parametrize(("trial", "update"), [(0, 0), (1, 5), (2, 9)])
def test_killed_search_is_resumed(made, tmp_path, monkeypatch, trial, update):
    search, _, expected = made
    with monkeypatch.context() as patch:
        act_at(patch, trial, update, die)
        assert run_forked(lambda: run(search, tmp_path)).was_killed
    assert without_times(run(search, tmp_path)) == without_times(expected)


def test_killed_after_a_training_and_before_its_record(made, tmp_path, monkeypatch):
    search, _, expected = made
    with monkeypatch.context() as patch:
        patch.setattr(Journal, "finish_trial", lambda journal, number, outcome: die())
        assert run_forked(lambda: run(search, tmp_path)).was_killed
    act_at(monkeypatch, 0, 0, lambda: pytest.fail("it trains again"))
    assert without_times(run(search, tmp_path)) == without_times(expected)


# ---------------------------------------------------------------- refusals


def test_another_configuration_is_refused(made):
    _, folder, result = made
    other = make_search(folder, num_episodes=400, warmup_updates=1)
    message = r"holds trials with num_episodes = 190 \(now: 400\), warmup_updates = 0 \(now: 1\): undo the changes"
    with pytest.raises(SearchError, match=message):
        run(other, folder)
    assert load_searches(folder / "results") == [result]


def test_recipe_that_takes_the_values_of_a_trial_is_no_other_configuration(made, tmp_path):
    search, folder, result = made
    training, policy_config = search.make_configs(result.trials[1].values, seed=0)
    recipe = dataclasses.replace(search.recipe, training=training, policy_config=policy_config)
    tuned = dataclasses.replace(search, recipe=recipe)
    assert run_search(tuned, folder / "runs", tmp_path, progress=False) == result


def test_second_process_is_refused(made, tmp_path):
    search, _, _ = made
    folder = tmp_path / "runs" / "search-paper-mine"
    folder.mkdir(parents=True)

    def hold(wait):
        with lock_folder(folder):
            wait()

    with running(hold) as child, pytest.raises(FolderInUseError, match=f"is in use by process {child} "):
        run(search, tmp_path)
    assert not (folder / JOURNAL).exists()


def test_damaged_journal_is_refused(made, tmp_path):
    search, folder, _ = made
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    path = tmp_path / "runs" / "search-paper-mine" / JOURNAL
    path.write_text(path.read_text()[5:])
    with pytest.raises(SearchError, match=r"is damaged .*: remove it and run the search again"):
        run(search, tmp_path)


# ---------------------------------------------------------------- divergence


def diverging_search(folder):
    """A search in which one of two learning rates makes the training diverge."""
    return make_search(folder, {"learning_rate": {"choices": [0.01, 1e14]}}, num_trials=5)


def test_trial_that_diverges_is_recorded_and_the_search_goes_on(tmp_path):
    search = diverging_search(tmp_path)
    result = run(search, tmp_path)
    assert {trial.values["learning_rate"] for trial in result.trials} == {0.01, 1e14}
    for trial in result.trials:
        outcome = trial.outcome
        if trial.values["learning_rate"] == 1e14:
            assert (outcome.validation_error, outcome.training_error) == (None, None)
            assert outcome.episodes < 200
        else:
            assert outcome.validation_error is not None
            assert outcome.episodes == 200
    assert load_searches(tmp_path / "results") == [result]
    assert run(search, tmp_path) == result


def test_weights_that_diverge_in_the_last_update_are_noticed_by_the_evaluation(tmp_path, monkeypatch):
    def spoil(learner):
        found = update(learner)
        if learner.done:
            for weight in learner.policy.parameters():
                weight.data.fill_(np.nan)
        return found

    update = Learner.update
    monkeypatch.setattr(Learner, "update", spoil)
    (trial,) = run(make_search(tmp_path), tmp_path, num_trials=1).trials
    assert (trial.outcome.validation_error, trial.outcome.episodes) == (None, 200)


def test_another_error_is_raised_and_the_trial_stays_unfinished(made, tmp_path, monkeypatch):
    search, _, expected = made

    def fail():
        raise ValueError("no such label")

    with monkeypatch.context() as patch:
        act_at(patch, 1, 3, fail)
        with pytest.raises(ValueError, match="no such label"):
            run(search, tmp_path)
    assert without_times(run(search, tmp_path)) == without_times(expected)
