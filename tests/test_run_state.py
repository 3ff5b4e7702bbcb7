"""Saved state of a training run: written and read, damaged, foreign and hostile."""

import hashlib
import io
import os
import pickle
import zipfile
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from glimpse_gym.agents import run_state
from glimpse_gym.agents.checkpoint import CheckpointError
from glimpse_gym.agents.muon import Muon
from glimpse_gym.agents.run_state import (
    STATE,
    check_folder,
    load_optimizer_state,
    load_state,
    save_state,
    state_version,
)
from kills import limit_file_size, run_forked
from runs import assert_same_weights

RECORD = {"episodes": 100, "seconds": 1.5, "validation_error": 0.5, "training_error": 0.25, "loss": 3.0}
VALUES = {
    "settings": {"seed": 3},
    "policy": {"weight": torch.arange(6.0).reshape(2, 3)},
    "optimizers": [{"state": {0: {"step": torch.tensor(1.0)}}}],
    "generator": torch.Generator().get_state(),
    "num_updates_done": 5,
    "num_steps_done": 20,
    "seconds": 1.5,
    "history": [RECORD],
    "recent_errors": [0.5, 0.25],
}
MAX_BYTES = 1_000_000


@pytest.fixture
def folder(tmp_path):
    save_state(tmp_path, VALUES)
    return tmp_path


def write_content(folder: Path, content: bytes) -> None:
    """Write a state with a checksum that matches."""
    (folder / STATE).write_bytes(content + hashlib.sha256(content).digest())


def write_archive(folder: Path, value, **changes) -> None:
    """Write what torch.save makes of a value, after a change of its archive."""
    buffer = io.BytesIO()
    torch.save(value, buffer)
    with zipfile.ZipFile(buffer) as archive:
        entries = {entry.filename: archive.read(entry) for entry in archive.infolist()}
    changed = io.BytesIO()
    with zipfile.ZipFile(changed, "w", **changes) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    write_content(folder, changed.getvalue())


def test_state_equals_the_saved_one(folder):
    state = load_state(folder, MAX_BYTES)
    assert_same_weights(state["policy"], VALUES["policy"])
    assert torch.equal(state["generator"], VALUES["generator"])
    for name in ("settings", "num_updates_done", "num_steps_done", "seconds", "history", "recent_errors"):
        assert state[name] == VALUES[name]
    assert os.listdir(folder) == [STATE]


def test_version_differs_after_every_save(folder):
    versions = {state_version(folder)}
    for _ in range(5):
        save_state(folder, VALUES)
        versions.add(state_version(folder))
    assert len(versions) == 6
    load_state(folder, MAX_BYTES)
    assert state_version(folder) in versions
    (folder / STATE).unlink()
    assert state_version(folder) is None


def test_folders_to_use_to_resume_or_to_refuse(tmp_path):
    assert not check_folder(tmp_path / "missing", resume=False)
    assert not check_folder(tmp_path, resume=True)
    save_state(tmp_path, VALUES)
    assert check_folder(tmp_path, resume=True)
    with pytest.raises(CheckpointError, match=r"holds a run already: resume it \(--resume, or resume=True\)"):
        check_folder(tmp_path, resume=False)
    (tmp_path / STATE).rename(tmp_path / "agent.json")
    with pytest.raises(CheckpointError, match="holds an agent without the state to resume from"):
        check_folder(tmp_path, resume=True)
    (tmp_path / "training.safetensors").touch()
    with pytest.raises(CheckpointError, match=r"holds a run of glimpse_gym 0\.2\.0"):
        check_folder(tmp_path, resume=True)


def test_flipped_bits_are_found(folder):
    path, rng = folder / STATE, np.random.default_rng(0)
    content = path.read_bytes()
    last = range(8 * (len(content) - 40), 8 * len(content))  # the checksum and what precedes it
    for position in [*rng.integers(8 * len(content), size=400).tolist(), *last]:
        changed = bytearray(content)
        changed[position // 8] ^= 1 << position % 8
        path.write_bytes(changed)
        with pytest.raises(CheckpointError, match=r"training\.pt is damaged, or was not written by this package"):
            load_state(folder, MAX_BYTES)


@pytest.mark.parametrize("length", [0, 1, 31, 32, 33, 1000])
def test_cut_file_is_refused(folder, length):
    path = folder / STATE
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(CheckpointError, match=r"training\.pt is damaged|is not the state of a run"):
        load_state(folder, MAX_BYTES)


def test_larger_file_is_refused(folder):
    size = (folder / STATE).stat().st_size
    load_state(folder, size)
    with pytest.raises(CheckpointError, match=r"training\.pt is larger than the limit"):
        load_state(folder, size - 1)


@pytest.mark.parametrize("kind", ["missing", "folder", "FIFO", "endless"])
def test_what_is_not_a_file_is_refused(tmp_path, kind):
    path = tmp_path / STATE
    if kind == "folder":
        path.mkdir()
    elif kind == "FIFO":
        os.mkfifo(path)
    elif kind == "endless":
        path.symlink_to("/dev/zero")
    with pytest.raises(CheckpointError, match=r"training\.pt cannot be read"):
        load_state(tmp_path, MAX_BYTES)


def test_state_of_an_earlier_version_names_what_to_do(tmp_path):
    save = io.BytesIO()
    torch.save(VALUES, save)
    write_content(tmp_path, save.getvalue())
    with pytest.raises(CheckpointError, match=r"not of this version: finish the run with the version that began it"):
        load_state(tmp_path, MAX_BYTES)


def test_compressed_archive_is_refused(tmp_path):
    state = {"format": run_state._FORMAT} | VALUES
    write_archive(tmp_path, state)
    load_state(tmp_path, MAX_BYTES)
    write_archive(tmp_path, state | {"policy": torch.zeros(10**7)}, compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(CheckpointError, match="it is compressed"):
        load_state(tmp_path, MAX_BYTES)


def test_archive_whose_entries_overlap_is_refused(folder):
    """Each entry of the archive's directory unpacks the same bytes again."""
    content = (folder / STATE).read_bytes()[: -hashlib.sha256().digest_size]
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        largest = max(archive.infolist(), key=lambda entry: entry.file_size)
    changed = io.BytesIO(content)
    with zipfile.ZipFile(changed, "a") as archive:
        archive.filelist += [largest] * 1000
        archive._didModify = True
    write_content(folder, changed.getvalue())
    with pytest.raises(CheckpointError, match="its entries overlap"):
        load_state(folder, MAX_BYTES)


class Evil:
    """Runs code when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return self.path.touch, ()


@pytest.mark.parametrize("save", [torch.save, lambda value, file: file.write(pickle.dumps(value))])
def test_no_code_of_the_file_runs(tmp_path, save):
    buffer = io.BytesIO()
    save({"format": run_state._FORMAT} | VALUES | {"seconds": Evil(tmp_path / "ran")}, buffer)
    write_content(tmp_path, buffer.getvalue())
    with pytest.raises(CheckpointError, match="is not the state of a run"):
        load_state(tmp_path, MAX_BYTES)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("value", [3, [], "text", [1, 2], torch.zeros(2)], ids=str)
def test_other_objects_are_refused(tmp_path, value):
    buffer = io.BytesIO()
    torch.save(value, buffer)
    write_content(tmp_path, buffer.getvalue())
    with pytest.raises(CheckpointError, match="is not"):
        load_state(tmp_path, MAX_BYTES)


@pytest.mark.parametrize(
    "changes",
    [
        {"settings": []},
        {"num_updates_done": 1.0},
        {"num_steps_done": True},
        {"seconds": "1"},
        {"num_updates_done": -1},
        {"num_steps_done": -1},
        {"seconds": -0.5},
        {"seconds": float("nan")},
        {"recent_errors": 0.5},
        {"recent_errors": ["0.5"]},
        {"history": {}},
        {"history": ["record"]},
        {"history": [{}]},
        {"history": [RECORD, RECORD | {"other_loss": 1.0}]},
        {"history": [RECORD | {"seconds": None}]},
    ],
    ids=str,
)
def test_state_with_wrong_entries_is_refused(tmp_path, changes):
    save_state(tmp_path, VALUES | changes)
    with pytest.raises(CheckpointError, match=r"is not the state of a run: (Type|Value)Error"):
        load_state(tmp_path, MAX_BYTES)


@pytest.mark.parametrize("name", ["settings", "num_updates_done", "history", "recent_errors"])
def test_state_without_an_entry_is_refused(tmp_path, name):
    save_state(tmp_path, {key: value for key, value in VALUES.items() if key != name})
    with pytest.raises(CheckpointError, match=f"is not the state of a run: KeyError\\('{name}'"):
        load_state(tmp_path, MAX_BYTES)


def test_full_disk_keeps_the_old_state_and_names_the_file(folder):
    size = (folder / STATE).stat().st_size
    for limit in (0, 1, size - 1):
        ending = run_forked(lambda: save_state(folder, VALUES), limit_file_size(limit))
        assert isinstance(ending.error, OSError)
        assert ending.error.filename == str(folder / STATE)
        assert os.listdir(folder) == [STATE]
        load_state(folder, MAX_BYTES)
    assert run_forked(lambda: save_state(folder, VALUES), limit_file_size(size)).error is None


# ------------------------------------------------------------------------------------------------ optimizers


def make_optimizer(kind, num_updates=2):
    weights = [torch.nn.Parameter(torch.arange(12.0).reshape(3, 4)), torch.nn.Parameter(torch.ones(4, 2))]
    kinds = {
        "adam": partial(torch.optim.Adam, fused=True),
        "muon": Muon,
        "sgd": partial(torch.optim.SGD, momentum=0.9, fused=True),
    }
    optimizer = kinds[kind](weights, lr=0.1)
    for _ in range(num_updates):
        for weight in weights:
            weight.grad = torch.ones_like(weight)
        optimizer.step()
    return optimizer


@pytest.mark.parametrize("kind", ["adam", "muon", "sgd"])
@pytest.mark.parametrize("num_updates", [0, 2])
def test_loaded_optimizer_has_the_saved_state(kind, num_updates):
    saved, loaded = make_optimizer(kind, num_updates), make_optimizer(kind, 0)
    saved.param_groups[0]["lr"] = 0.05
    load_optimizer_state(loaded, saved.state_dict())
    assert loaded.state_dict()["param_groups"] == saved.state_dict()["param_groups"]
    assert str(loaded.state_dict()) == str(saved.state_dict())


def change_moment(name, change):
    def damage(state):
        state["state"][1][name] = change(state["state"][1][name])

    return damage


OPTIMIZER_DAMAGES = {
    "other shape": ("adam", change_moment("exp_avg", lambda value: value[:2])),
    "other layout": ("adam", change_moment("exp_avg", lambda value: torch.zeros(2, 4).T)),
    "one number": ("adam", change_moment("exp_avg_sq", lambda value: 1.0)),
    "many steps": ("adam", change_moment("step", lambda value: torch.zeros(3))),
    "complex numbers": ("adam", change_moment("exp_avg", lambda value: value.to(torch.complex64))),
    "missing entry": ("adam", lambda state: state["state"][0].pop("exp_avg")),
    "unknown entry": ("muon", lambda state: state["state"][0].update(other=torch.zeros(3, 4))),
    "other momentum": ("muon", change_moment("momentum", lambda value: torch.zeros(1))),
    "other setting": ("adam", lambda state: state["param_groups"][0].update(betas=(0.1, 0.2))),
    "other weights": ("adam", lambda state: state["param_groups"][0].update(params=[0])),
}


@pytest.mark.parametrize("name", OPTIMIZER_DAMAGES)
def test_optimizer_state_that_does_not_fit_is_refused(name):
    kind, damage = OPTIMIZER_DAMAGES[name]
    state = make_optimizer(kind).state_dict()
    damage(state)
    with pytest.raises(ValueError, match="optimizer"):
        load_optimizer_state(make_optimizer(kind, 0), state)
