"""Command line: stopping ``train`` in every way, and resuming the run."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

import glimpse_gym
from cli_runs import (
    ENV_KWARGS,
    STATE,
    WEIGHTS,
    assert_equal_runs,
    contents,
    read_log,
    read_metadata,
    send_signals_at,
)
from glimpse_gym import atomic_io
from glimpse_gym.agents import load
from glimpse_gym.folder_lock import LOCK


def without_tensorboard(folder: Path) -> dict[str, bytes]:
    return {name: raw for name, raw in contents(folder).items() if not name.startswith("tensorboard")}


def assert_equal_states(state, expected):
    """Nested containers of tensors and numbers are bit-equal, except for the time."""
    assert type(state) is type(expected)
    if isinstance(expected, dict):
        assert state.keys() == expected.keys()
        for name in expected.keys() - {"seconds"}:
            assert_equal_states(state[name], expected[name])
    elif isinstance(expected, (list, tuple)):
        assert len(state) == len(expected)
        for pair in zip(state, expected, strict=True):
            assert_equal_states(*pair)
    elif isinstance(expected, torch.Tensor):
        assert torch.equal(state, expected)
    else:
        assert state == expected


def test_resuming_a_finished_run_changes_nothing(cli, train_arguments, run_folder, finished_run):
    before, old_state = without_tensorboard(run_folder), finished_run / STATE
    status, out, _ = cli(*train_arguments(run_folder), "--resume")
    assert status == 0
    assert "validation error" in out
    after = without_tensorboard(run_folder)
    assert after.keys() == before.keys()
    # The time of the second command is counted.
    changed = {name for name in after if after[name] != before[name]}
    assert changed <= {"curve.png", "training.pt"}
    assert_equal_states(*(torch.load(path, weights_only=True) for path in (run_folder / STATE, old_state)))


def test_resuming_without_a_run_starts_one(cli, train_arguments, finished_run, tmp_path):
    assert cli(*train_arguments(tmp_path / "new"), "--resume").status == 0
    assert_equal_runs(tmp_path / "new", finished_run)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"seed": 1}, "seed"),
        ({"num_episodes": 800}, "num_episodes"),
        ({"hidden_units": 9}, "hidden_units"),
        ({"sigma": 0.3}, "sigma"),
        ({"env_kwargs": ENV_KWARGS | {"num_glimpses": 4}}, "env_kwargs['num_glimpses']"),
        ({"env": "glimpse_gym/TranslatedMNIST-v0", "env_kwargs": ENV_KWARGS}, "env_id"),
    ],
)
def test_resuming_with_other_settings_is_refused(cli, train_arguments, run_folder, change, said):
    before = contents(run_folder)
    result = cli(*train_arguments(run_folder, **change), "--resume")
    assert result.status == 1
    assert f"holds a run with {said} = " in result.message
    assert contents(run_folder) == before


def test_resuming_in_another_env_is_refused(cli, run_folder):
    before = contents(run_folder)
    result = cli("train", "glimpse_gym/Catch-v0", "--out", run_folder, "--resume")
    assert result.status == 1
    assert "env_id = glimpse_gym/Images-v0 (requested: glimpse_gym/Catch-v0)" in result.message
    assert contents(run_folder) == before


@pytest.mark.parametrize("name", ["agent.json", WEIGHTS])
@pytest.mark.parametrize("damage", [lambda raw: raw[: len(raw) // 2], lambda raw: b"", None])
def test_resuming_writes_a_damaged_agent_again(cli, train_arguments, finished_run, run_folder, name, damage):
    path = run_folder / name
    if damage:
        path.write_bytes(damage(path.read_bytes()))
    else:
        path.unlink()
    assert cli(*train_arguments(run_folder), "--resume").status == 0
    assert_equal_runs(run_folder, finished_run)
    assert load(run_folder).task_spec.num_choices == 2


@pytest.mark.parametrize("damage", [lambda raw: raw[: len(raw) // 2], lambda raw: b"", lambda raw: b"{}" + raw])
def test_resuming_a_damaged_run_is_refused(cli, train_arguments, run_folder, damage):
    path = run_folder / STATE
    path.write_bytes(damage(path.read_bytes()))
    before = contents(run_folder)
    result = cli(*train_arguments(run_folder), "--resume")
    assert result.status == 1
    assert str(path) in result.message
    assert contents(run_folder) == before


def test_a_flipped_bit_in_the_state_is_detected(cli, train_arguments, run_folder):
    path = run_folder / "training.pt"
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)
    assert "checksum" in cli(*train_arguments(run_folder), "--resume").message


@pytest.mark.parametrize("which", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("number", [1, 7])
def test_a_stop_request_finishes_the_update_and_saves(
    cli, train_arguments, finished_run, tmp_path, monkeypatch, which, number
):
    folder = tmp_path / "run"

    def handler(*arguments):
        """Takes the place of the handler that would end this process."""

    before = signal.signal(which, handler)
    try:
        with monkeypatch.context() as patch:
            send_signals_at(patch, number, which)
            status, out, err = cli(*train_arguments(folder))
    finally:
        after = signal.signal(which, before)
    assert after is handler
    assert (status, out) == (130, "")
    assert err.splitlines()[-1] == f"stopped after {20 * number} episodes; the same command with --resume resumes"
    assert load(folder).task_spec.num_choices == 2
    assert cli(*train_arguments(folder), "--resume").status == 0
    assert_equal_runs(folder, finished_run)


def test_a_stop_request_in_the_last_update_has_no_effect(cli, train_arguments, finished_run, tmp_path, monkeypatch):
    send_signals_at(monkeypatch, 20, signal.SIGINT)
    assert cli(*train_arguments(tmp_path / "run")).status == 0
    assert_equal_runs(tmp_path / "run", finished_run)


def test_a_second_stop_request_interrupts_at_once(cli, train_arguments, finished_run, tmp_path, monkeypatch):
    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        send_signals_at(patch, 7, signal.SIGINT, signal.SIGINT)
        status, out, err = cli(*train_arguments(folder, save_interval=0))
    assert (status, out) == (130, "")
    assert err.splitlines()[-1] == "stopped"
    assert load(folder).task_spec.num_choices == 2
    assert cli(*train_arguments(folder, save_interval=0), "--resume").status == 0
    assert_equal_runs(folder, finished_run)


@pytest.mark.parametrize("file", ["weights.safetensors", "agent.json", "log.csv", "training.pt"])
def test_a_kill_between_two_files_of_one_state(cli, train_arguments, finished_run, tmp_path, monkeypatch, file):
    folder = tmp_path / "run"
    replace = os.replace

    class Killed(BaseException):
        """Caught by nothing but the removal of the temporary file."""

    def replace_or_die(source, target):
        if Path(target).name == file and (folder / "log.csv").exists():
            raise Killed
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(atomic_io.os, "replace", replace_or_die)
        with pytest.raises(Killed):
            cli(*train_arguments(folder, save_interval=0))
    assert load(folder).task_spec.num_choices == 2
    assert cli(*train_arguments(folder, save_interval=0), "--resume").status == 0
    assert_equal_runs(folder, finished_run)


# `python -m glimpse_gym`, with the module path of this process: in a checkout that is not installed, only conftest.py
# maps envs/ and agents/. After the first line of the log every update takes half a second, so that a signal is in time.
PROCESS = f"""
import runpy, time, glimpse_gym
glimpse_gym.__path__[:] = {list(glimpse_gym.__path__)!r}
from glimpse_gym.agents.learner import Learner
update = Learner.update

def slow_update(learner):
    time.sleep(0.5 if learner.num_updates_done >= 5 else 0)
    return update(learner)

Learner.update = slow_update
runpy.run_module("glimpse_gym", run_name="__main__")
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGKILL"])
def test_a_stopped_process_loses_nothing(cli, train_arguments, finished_run, tmp_path, name):
    folder = tmp_path / "run"
    arguments = train_arguments(folder, save_interval=0)
    pipe = subprocess.PIPE
    process = subprocess.Popen([sys.executable, "-c", PROCESS, *arguments], stdout=pipe, stderr=pipe, text=True)
    try:
        deadline = time.monotonic() + 120
        while not (folder / "log.csv").exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(getattr(signal, name))
        out, err = process.communicate(timeout=120)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == (130 if name == "SIGINT" else -signal.SIGKILL), err
    assert "Traceback" not in err
    assert out == ""
    if name == "SIGINT":
        assert re.search(r"\nstopped after \d+ episodes; the same command with --resume resumes\n$", err)
        assert [path.name for path in folder.glob(".*")] == [LOCK]  # no temporary file
    assert load(folder).task_spec.num_choices == 2
    assert 1 <= len(read_log(folder)) < 4
    assert "holds a run already" in cli(*arguments).message
    assert cli(*arguments, "--resume").status == 0
    assert_equal_runs(folder, finished_run)


def test_a_finished_run_with_scores_resumes_as_finished(cli, train_arguments, run_folder):
    cli("eval", "--trust", run_folder)
    scores = read_metadata(run_folder)["scores"]
    assert scores
    assert cli(*train_arguments(run_folder), "--resume").status == 0
    assert read_metadata(run_folder)["scores"] == scores


def test_scores_are_dropped_when_training_continues(cli, train_arguments, tmp_path, monkeypatch):
    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        send_signals_at(patch, 5, signal.SIGINT)
        assert cli(*train_arguments(folder)).status == 130
    assert cli("eval", "--trust", folder).status == 0
    assert cli(*train_arguments(folder), "--resume").status == 0
    assert read_metadata(folder)["scores"] == []


def test_an_agent_without_its_training_state_is_not_overwritten(cli, train_arguments, run_folder):
    (run_folder / STATE).unlink()
    before = contents(run_folder)
    for resume in ([], ["--resume"]):
        assert cli(*train_arguments(run_folder, seed=1), *resume).status == 1
        assert contents(run_folder) == before


def test_a_run_of_version_0_2_is_refused(cli, train_arguments, run_folder):
    (run_folder / STATE).rename(run_folder / "training.safetensors")
    before = contents(run_folder)
    result = cli(*train_arguments(run_folder), "--resume")
    assert result.status == 1
    assert "glimpse_gym 0.2.0" in result.message
    assert contents(run_folder) == before
