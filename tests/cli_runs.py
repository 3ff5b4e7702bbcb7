"""A small training run of the command line, and how tests read and compare the folders of runs."""

import csv
import signal
from pathlib import Path
from typing import NamedTuple

import numpy as np
from safetensors.numpy import load_file

from glimpse_gym.agents.learner import Learner
from glimpse_gym.folder_lock import LOCK
from glimpse_gym.safe_io import read_checksummed_json, write_checksummed_json

OPTIONS = {
    "num_episodes": 400,
    "reinforce_weight": 0.2,
    "batch_size": 20,
    "num_evaluations": 4,
    "validation_episodes": 20,
    "learning_rate": 0.02,
    "warmup_updates": 2,
    "glimpse_units": 16,
    "glimpse_features": 16,
    "hidden_units": 16,
}
ENV_KWARGS = {"patch_size": 4, "num_scales": 1, "num_glimpses": 3}
WEIGHTS, STATE = "weights.safetensors", "training.pt"
RUN_FILES = {"agent.json", WEIGHTS, STATE, "log.csv", "curve.png", "tensorboard", LOCK}


class Result(NamedTuple):
    """Exit status and output of a command."""

    status: int
    out: str
    err: str

    @property
    def message(self) -> str:
        """The error message, which is the only line on stderr."""
        (line,) = self.err.splitlines()
        return line


def save_halves(path: Path) -> Path:
    """Write 200 images of 8x8, bright in the left half (label 0) or in the right half (label 1)."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 200)
    pixels = rng.integers(0, 40, (200, 8, 8)).astype(np.uint8)
    for image, label in zip(pixels, labels, strict=True):
        image[:, 4 * label : 4 * label + 4] += 200
    np.savez(path, images=pixels, labels=labels)
    return path


def flags(**values) -> list[str]:
    """``--name=value`` flags of ``train``."""
    return [f"--{name.replace('_', '-')}={value}" for name, value in values.items()]


def contents(folder: Path) -> dict[str, bytes]:
    """All files of a folder except its lock, by relative path."""
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != LOCK]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def read_log(folder: Path) -> list[dict[str, str]]:
    with (folder / "log.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def read_metadata(folder: Path) -> dict:
    return dict(read_checksummed_json(folder / "agent.json").entries)


def change_metadata(folder: Path, **entries) -> None:
    """Change entries of agent.json, with a checksum that matches."""
    write_checksummed_json(folder / "agent.json", read_metadata(folder) | entries)


def assert_equal_weights(folder: Path, expected: Path) -> None:
    """The weights of two runs are bit-equal."""
    weights, wanted = (load_file(path / WEIGHTS) for path in (folder, expected))
    assert weights.keys() == wanted.keys()
    for name, value in wanted.items():
        assert weights[name].dtype == value.dtype
        np.testing.assert_array_equal(weights[name], value, err_msg=name)


def assert_equal_runs(folder: Path, expected: Path) -> None:
    """The weights of two runs are bit-equal, and so are their logs except for the time."""
    assert_equal_weights(folder, expected)
    logs = read_log(folder), read_log(expected)
    for row in [*logs[0], *logs[1]]:
        del row["seconds"]
    assert logs[0] == logs[1]


def send_signals_at(monkeypatch, number: int, *signals: int) -> None:
    """Raise signals in the middle of the update of that number, counted from 1."""
    update = Learner.update

    def update_with_signals(learner):
        if learner.num_updates_done + 1 == number:
            for each in signals:
                signal.raise_signal(each)
        return update(learner)

    monkeypatch.setattr(Learner, "update", update_with_signals)
