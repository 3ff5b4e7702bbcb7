"""Saved state of a training run: the file ``training.pt`` in its folder."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from glimpse_gym.agents.checkpoint import CheckpointError, CheckpointMetadata, holds_agent, load_weights
from glimpse_gym.agents.learner import Learner
from glimpse_gym.agents.muon import Muon
from glimpse_gym.agents.registry import policy_name
from glimpse_gym.atomic_io import atomic_write
from glimpse_gym.safe_io import read_bytes
from glimpse_gym.validation import check_types, printable

STATE = "training.pt"
HISTORY = ("episodes", "seconds", "validation_error", "training_error")
"""Entries that each record of a history has; losses follow, by name."""
_FORMAT = "glimpse_gym run, format 3"
_OLD_STATE = "training.safetensors"  # of glimpse_gym 0.2.0
_OPTIMIZER_ENTRIES = {
    torch.optim.Adam: {"step", "exp_avg", "exp_avg_sq"},
    torch.optim.SGD: {"momentum_buffer"},
    Muon: {"momentum"},
}
_CHECKSUM_BYTES = hashlib.sha256().digest_size


def check_folder(folder: Path, resume: bool) -> bool:
    """Return whether a folder holds a run to resume; raise CheckpointError if it must not be used."""
    if (folder / _OLD_STATE).exists():
        raise CheckpointError(
            f"{folder} holds a run of glimpse_gym 0.2.0: finish it with that version, or use another folder"
        )
    exists = (folder / STATE).exists()
    if not resume and (exists or holds_agent(folder)):
        raise CheckpointError(
            f"{folder} holds a run already: resume it (--resume, or resume=True), or use another folder"
        )
    if holds_agent(folder) and not exists:
        raise CheckpointError(f"{folder} holds an agent without the state to resume from: use another folder")
    return exists


def state_version(folder: Path) -> tuple[int, int] | None:
    """Return a value that differs after every save; None if there is no state."""
    try:
        status = (folder / STATE).stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns


def run_settings(metadata: CheckpointMetadata) -> dict[str, Any]:
    """Collect the settings that must be equal to resume a run, by name, as JSON stores them."""
    values = {"env_id": metadata.env_id, "policy": policy_name(metadata.policy_config)}
    values |= metadata.task_spec._asdict()
    values |= {f"env_kwargs[{name!r}]": value for name, value in metadata.env_kwargs.items()}
    values |= metadata.training | asdict(metadata.policy_config)
    return dict(json.loads(json.dumps(values)))


def describe_differences(found: dict[str, Any], expected: dict[str, Any], remark: str) -> str:
    """Describe the settings that are not as expected, by name, each with a remark on the expected value; "" if none."""
    names = sorted(name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name))
    return ", ".join(f"{name} = {found.get(name)} ({remark.format(expected.get(name))})" for name in names)


def check_settings(folder: Path, found: dict[str, Any], requested: dict[str, Any]) -> None:
    """Raise a CheckpointError that names the settings of the run in a folder that are not as requested."""
    if differences := describe_differences(found, requested, "requested: {}"):
        raise CheckpointError(
            f"{folder} holds a run with {printable(differences)}: give the same settings, or use another folder"
        )


def save_state(folder: Path, state: dict[str, Any]) -> None:
    """Write a state atomically, with ``torch.save``, followed by the SHA-256 of the file so far.

    Raises:
        OSError: the file cannot be written; the message names it.
    """
    buffer = io.BytesIO()
    torch.save({"format": _FORMAT} | state, buffer)
    content = buffer.getvalue()
    with atomic_write(folder / STATE) as temporary:
        temporary.write_bytes(content + hashlib.sha256(content).digest())


def load_state(folder: Path, max_bytes: int) -> dict[str, Any]:
    """Read a state. ``weights_only`` keeps the file from running code.

    Raises:
        CheckpointError: if the file is missing, damaged, of another format, or larger than ``max_bytes``.
    """
    path = folder / STATE
    try:
        data = read_bytes(path, max_bytes)
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read ({error})") from error
    content, checksum = data[:-_CHECKSUM_BYTES], data[-_CHECKSUM_BYTES:]
    # torch does not verify the checksums of the archive that it reads.
    if hashlib.sha256(content).digest() != checksum:
        raise CheckpointError(f"{path} is damaged, or was not written by this package: its checksum does not match")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = archive.infolist()
        # Compressed entries, or entries that overlap, could unpack to any size.
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
            raise ValueError("it is compressed")
        if sum(entry.file_size for entry in entries) > len(content):
            raise ValueError("its entries overlap")
        state = dict(torch.load(io.BytesIO(content), map_location="cpu", weights_only=True))
    except Exception as error:  # torch raises many types for a file that is intact, but not of this package
        raise CheckpointError(f"{path} is not the state of a run: {error!r:.200}") from error
    if state.get("format") != _FORMAT:
        raise CheckpointError(
            f"{path} is not of this version: finish the run with the version that began it (glimpse_gym 0.5.0 or "
            "earlier), or use another folder"
        )
    try:
        _check_entries(state)
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path} is not the state of a run: {error!r:.200}") from error
    return state


def learner_state(learner: Learner) -> dict[str, Any]:
    """Return the part of the state that is the learner's, without copies of its tensors."""
    return {
        "policy": learner.policy.state_dict(),
        "optimizers": [optimizer.state_dict() for optimizer in learner.optimizers],
        "generator": learner.policy.generator.get_state(),
        "num_updates_done": learner.num_updates_done,
        "num_steps_done": learner.num_steps_done,
    }


def set_learner_state(learner: Learner, state: dict[str, Any], path: Path) -> None:
    """Set the state of a learner.

    Raises:
        CheckpointError: if the weights do not fit; the message names ``path``.
        ValueError: if the state of an optimizer does not fit; other errors are possible for the state of a stranger.
    """
    load_weights(learner.policy, state["policy"], path)
    for optimizer, optimizer_state in zip(learner.optimizers, state["optimizers"], strict=True):
        load_optimizer_state(optimizer, optimizer_state)
    learner.policy.generator.set_state(state["generator"])
    learner.num_updates_done = state["num_updates_done"]
    learner.num_steps_done = state["num_steps_done"]


def load_optimizer_state(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Load the state of an optimizer, and check that it fits: torch counts the weights, and trusts the rest.

    Raises:
        ValueError: if it is the state of another optimizer or of other weights.
    """
    settings = _settings(optimizer)
    values = [value for entries in state["state"].values() for value in entries.values()]
    if any(isinstance(value, Tensor) and value.is_complex() for value in values):  # torch would drop a part of them
        raise ValueError("the optimizer has complex numbers")
    optimizer.load_state_dict(state)
    if _settings(optimizer) != settings:
        raise ValueError("the optimizer has other settings")
    for weight in (weight for group in optimizer.param_groups for weight in group["params"]):
        entries = optimizer.state.get(weight, {})  # empty before the first update
        if entries and entries.keys() != _OPTIMIZER_ENTRIES[type(optimizer)]:
            raise ValueError(f"the optimizer keeps {sorted(map(str, entries))} for a weight")
        for name, value in entries.items():
            like = torch.zeros(()) if name == "step" else weight
            if not (type(value) is Tensor and value.dtype == like.dtype and value.shape == like.shape):
                raise ValueError(f"{name} of the optimizer does not fit its weight")
            if value.stride() != like.stride():
                raise ValueError(f"{name} of the optimizer is not laid out as its weight")


def _settings(optimizer: torch.optim.Optimizer) -> list[dict[str, Any]]:
    """Return the settings of each group of weights, without the learning rate, which changes during training."""
    return [
        {name: value for name, value in group.items() if name not in ("lr", "params")}
        for group in optimizer.param_groups
    ]


def _check_entries(state: dict[str, Any]) -> None:
    check_types(state, settings=dict, num_updates_done=int, num_steps_done=int, seconds=float)
    check_types(state, history=list, recent_errors=list)
    if state["num_updates_done"] < 0 or state["num_steps_done"] < 0 or not state["seconds"] >= 0:
        raise ValueError("numbers of updates, steps and seconds must be at least 0")
    rows = state["history"]
    if not all(isinstance(row, dict) and row.keys() == rows[0].keys() >= set(HISTORY) for row in rows):
        raise TypeError(f"each record of the history must have {', '.join(HISTORY)} and the same losses")
    numbers = [*state["recent_errors"], *(value for row in rows for value in row.values())]
    if not all(isinstance(number, int | float) for number in numbers):
        raise TypeError("history and recent_errors must hold numbers")
