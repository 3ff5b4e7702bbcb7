"""Training runs that are cut off: by a kill at any file operation, a full disk, a deleted folder, another process."""

import itertools
import os
import shutil
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from glimpse_gym.agents.checkpoint import CheckpointError, load_agent
from glimpse_gym.agents.configs import RAMConfig, ReinforceConfig
from glimpse_gym.agents.trainer import Trainer
from glimpse_gym.folder_lock import LOCK, FolderInUseError
from kills import die, fail_from, kill_at, limit_file_size, run_forked, running
from runs import IMAGES, assert_same_weights, noise_file, stop_after

POLICY = RAMConfig(glimpse_network="fc", glimpse_units=4, location_units=4, glimpse_features=4, hidden_units=4)
CONFIG = ReinforceConfig(
    num_episodes=8, batch_size=4, num_evaluations=2, validation_episodes=4, warmup_updates=0, optimizer="adam"
)
VISIBLE_FILES = {"agent.json", "weights.safetensors", "training.pt", "log.csv", "tensorboard"}


@pytest.fixture(autouse=True)
def _no_curve_no_fsync(monkeypatch):
    """Without the plot and the flushes to disk, which take longer than a tiny training; a kill loses nothing."""
    monkeypatch.setattr(Trainer, "_save_curve", lambda trainer: None)
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture
def make_trainer(tmp_path):
    env_kwargs = noise_file(tmp_path)

    def make(name, resume=True, **changes):
        return Trainer(tmp_path / name, IMAGES, env_kwargs, replace(CONFIG, **changes), POLICY, resume)

    return make


@pytest.fixture
def whole(make_trainer):
    """An undisturbed run."""
    trainer = make_trainer("whole")
    assert trainer.train(progress=False)
    return trainer


def assert_same_run(trainer, whole):
    """Fail unless a finished run equals the undisturbed one: in memory, and as files."""
    assert trainer.learner.done
    without_time = [[record | {"seconds": 0} for record in each.history] for each in (trainer, whole)]
    assert without_time[0] == without_time[1]
    assert len(without_time[0]) == 2
    weights = whole.policy.state_dict()
    assert_same_weights(trainer.policy.state_dict(), weights)
    assert_same_weights(load_agent(trainer.folder, trusted=True)[0].state_dict(), weights)
    assert evaluations(trainer.folder) == evaluations(whole.folder)
    names = {path.name for path in trainer.folder.iterdir()}
    assert names == VISIBLE_FILES | {LOCK}


def evaluations(folder):
    """Steps and values of the validation error, as TensorBoard shows them."""
    events = EventAccumulator(str(folder / "tensorboard")).Reload()
    return [(each.step, each.value) for each in events.Scalars("validation_error")]


def assert_whole_agent_or_none(folder: Path) -> None:
    if (folder / "agent.json").exists():
        load_agent(folder, trusted=True)


# -------------------------------------------------------------------------------------------- kills, full disks


def test_kill_at_any_file_operation_leaves_a_run_to_resume(make_trainer, whole, tmp_path):
    for number in itertools.count(1):
        folder = tmp_path / f"run-{number}"
        ending = run_forked(lambda: make_trainer(folder.name).train(progress=False), kill_at(number, folder))  # noqa: B023
        assert ending.error is None
        if not ending.was_killed:
            break
        if folder.exists():
            assert_whole_agent_or_none(folder)
        resumed = make_trainer(folder.name)
        resumed.train(progress=False)
        assert_same_run(resumed, whole)
        shutil.rmtree(folder)
    assert number > 40


def test_kill_at_any_file_operation_of_a_resume_keeps_a_whole_agent(make_trainer, tmp_path):
    """The run to resume was killed when its new agent.json was in place and its weights were not yet."""
    before = tmp_path / "before"

    def train_until_agent_json_is_in_place():
        trainer = make_trainer("before")
        really_replace = os.replace

        def replace_or_end(source, target):
            if Path(source).name == ".next-weights.safetensors":
                die()
            really_replace(source, target)

        os.replace = replace_or_end
        trainer.train(progress=False)

    assert run_forked(train_until_agent_json_is_in_place).was_killed
    assert (before / ".next-weights.safetensors").exists()
    expected = load_agent(before, trusted=True)[0].state_dict()
    for number in itertools.count(1):
        folder = tmp_path / f"run-{number}"
        shutil.copytree(before, folder)
        ending = run_forked(lambda: make_trainer(folder.name), kill_at(number, folder))  # noqa: B023
        assert ending.error is None
        assert_same_weights(load_agent(folder, trusted=True)[0].state_dict(), expected)
        if not ending.was_killed:
            break
        resumed = make_trainer(folder.name)
        assert_same_weights(resumed.policy.state_dict(), expected)
        assert not (folder / ".next-weights.safetensors").exists()
        assert_same_weights(load_agent(folder, trusted=True)[0].state_dict(), expected)
    assert number > 20


def assert_stays_resumable(error: BaseException, folder: Path, make_trainer, whole) -> None:
    """Fail unless a full disk was a single error that names a path, and left a folder to resume from."""
    assert isinstance(error, OSError), error
    assert str(folder) in str(error)
    assert_whole_agent_or_none(folder)
    if folder.exists():
        names = {path.name for path in folder.iterdir()}
        assert names <= VISIBLE_FILES | {LOCK, ".next-weights.safetensors"}
    resumed = make_trainer(folder.name)
    resumed.train(progress=False)
    assert_same_run(resumed, whole)


@pytest.mark.parametrize("limits_first_save", [True, False])
def test_disk_that_is_full_after_some_bytes_leaves_a_run_to_resume(
    make_trainer, whole, tmp_path, limits_first_save, capfd
):
    def train(name, limit):
        limit_file_size(limit if limits_first_save else 10**6)()
        trainer = make_trainer(name)
        limit_file_size(limit)()
        trainer.train(progress=False)

    for limit in (0, 1, 100, 300, 1_000, 4_000, 15_000, 10**6):
        folder = tmp_path / f"run-{limit}"
        ending = run_forked(lambda: train(folder.name, limit))  # noqa: B023
        if ending.error is None:
            break
        assert_stays_resumable(ending.error, folder, make_trainer, whole)
    assert limit > 1_000
    assert ending == (False, None)
    assert capfd.readouterr() == ("", "")


def test_disk_that_is_full_at_any_file_leaves_a_run_to_resume(make_trainer, whole, tmp_path, capfd):
    for number in itertools.count(1):
        folder = tmp_path / f"run-{number}"
        ending = run_forked(lambda: make_trainer(folder.name).train(progress=False), fail_from(number, folder))  # noqa: B023
        if ending.error is None:
            break
        assert_stays_resumable(ending.error, folder, make_trainer, whole)
        shutil.rmtree(folder)
    assert number > 20
    assert ending == (False, None)
    assert capfd.readouterr() == ("", "")


def test_folder_deleted_in_training_is_one_error_that_names_it(make_trainer, capfd):
    trainer = make_trainer("run")
    update = trainer.learner.update

    def delete_and_update():
        shutil.rmtree(trainer.folder)
        return update()

    trainer.learner.update = delete_and_update
    with pytest.raises(FileNotFoundError, match=str(trainer.folder)):
        trainer.train(progress=False)
    assert not trainer.folder.exists()
    assert capfd.readouterr() == ("", "")


def test_folder_replaced_in_training_keeps_the_other_run(make_trainer, tmp_path, whole):
    trainer = make_trainer("run")
    update = trainer.learner.update

    def replace_and_update():
        if not (tmp_path / "moved").exists():
            trainer.folder.rename(tmp_path / "moved")
            make_trainer("run", seed=1)
        return update()

    trainer.learner.update = replace_and_update
    with pytest.raises((CheckpointError, FileNotFoundError), match=str(trainer.folder)):  # whichever is noticed first
        trainer.train(progress=False)
    assert load_agent(trainer.folder, trusted=True)[1].training["seed"] == 1
    resumed = make_trainer("moved")
    resumed.train(progress=False)
    assert_same_run(resumed, whole)


# ------------------------------------------------------------------------------------------------ TensorBoard


def test_evaluation_right_before_a_stop_is_shown_once(make_trainer, whole):
    trainer = make_trainer("stopped")
    stop_after(trainer, 1)
    assert not trainer.train(progress=False)
    assert [step for step, _ in evaluations(trainer.folder)] == [4]
    resumed = make_trainer("stopped")
    resumed.train(progress=False)
    assert_same_run(resumed, whole)
    assert [step for step, _ in evaluations(trainer.folder)] == [4, 8]


@pytest.mark.parametrize("cut", [0, 1, 15])
def test_evaluations_between_the_last_save_and_a_kill_are_shown_once(make_trainer, whole, tmp_path, cut):
    def train():
        trainer = make_trainer("killed")
        trainer.save = die
        trainer.train(progress=False)

    assert run_forked(train).was_killed
    (path,) = (tmp_path / "killed" / "tensorboard").iterdir()
    assert [step for step, _ in evaluations(tmp_path / "killed")] == [4, 8]
    os.truncate(path, path.stat().st_size - cut)
    resumed = make_trainer("killed")
    assert resumed.learner.num_updates_done == 0
    resumed.train(progress=False)
    assert_same_run(resumed, whole)


# -------------------------------------------------------------------------------------------- several processes


def test_folder_in_which_another_process_trains_is_refused(make_trainer, whole):
    def train(wait):
        trainer = make_trainer("run")
        trainer.learner.update = wait
        trainer.train(progress=False)

    with running(train) as process:
        for arguments in ({}, {"resume": False, "seed": 1}):
            with pytest.raises(FolderInUseError, match=f"is in use by process {process} on"):
                make_trainer("run", **arguments)
    resumed = make_trainer("run")
    resumed.train(progress=False)
    assert_same_run(resumed, whole)


def test_of_two_processes_that_start_at_once_one_trains(make_trainer, tmp_path):
    expected = {seed: make_trainer(f"whole-{seed}", seed=seed) for seed in (0, 1)}
    for trainer in expected.values():
        trainer.train(progress=False)
    for number in range(4):
        name, outcomes = f"run-{number}", [None, None]

        def run(seed, name=name, outcomes=outcomes):
            outcomes[seed] = run_forked(lambda: make_trainer(name, resume=False, seed=seed).train(progress=False))

        threads = [threading.Thread(target=run, args=[seed]) for seed in (0, 1)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        errors = [outcome.error for outcome in outcomes]
        (winner,) = (seed for seed in (0, 1) if errors[seed] is None)
        assert isinstance(errors[1 - winner], FolderInUseError | CheckpointError)
        policy, metadata = load_agent(tmp_path / name, trusted=True)
        assert metadata.training["seed"] == winner
        assert_same_weights(policy.state_dict(), expected[winner].policy.state_dict())


def test_trainer_made_before_another_process_trained_refuses_to_train(make_trainer, whole):
    trainer = make_trainer("run")
    assert run_forked(lambda: make_trainer("run").train(progress=False)).error is None
    with pytest.raises(CheckpointError, match=r"run was deleted or moved, or changed by another run, since .* resume"):
        trainer.train(progress=False)
    assert_same_run(make_trainer("run"), whole)
