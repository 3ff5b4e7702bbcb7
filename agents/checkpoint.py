"""Checkpoints: how an agent is saved and loaded. :mod:`glimpse_gym.agents.checkpoint_files` reads and checks the files.

A checkpoint is a folder with ``agent.json`` (what the agent is and how it was trained) and ``weights.safetensors``.
``agent.json`` carries the checksums of both. A new agent takes the place of an old one in a single step, the rename of
its ``agent.json``: until then its weights are in a hidden file, where a reader finds them if they are not in place yet.

Loading a checkpoint from a stranger runs no code and takes a bounded amount of memory. What its ``env_kwargs`` would
open or download needs the caller's permission.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from glimpse_gym.agents.base import Policy, TaskSpec
from glimpse_gym.agents.checkpoint_files import (
    FORMAT,
    METADATA,
    NEXT_WEIGHTS,
    WEIGHTS,
    CheckpointError,
    checksum_of,
    read_checkpoint,
    read_entries,
)
from glimpse_gym.agents.evaluation import check_score
from glimpse_gym.agents.json_checks import check_list
from glimpse_gym.agents.registry import make_policy, make_policy_config, policy_name
from glimpse_gym.atomic_io import atomic_write, remove_temporary_files
from glimpse_gym.folder_lock import lock_folder
from glimpse_gym.provenance import package_versions, require_trust
from glimpse_gym.safe_io import MAX_BYTES, open_regular, write_checksummed_json
from glimpse_gym.validation import check_types

_MAX_SIZE = 2**20  # the largest number in a task specification


def agent_versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that affect results."""
    return package_versions("torch")


@dataclass(frozen=True)
class CheckpointMetadata:
    """Everything about an agent except its weights."""

    env_id: str
    env_kwargs: dict[str, Any]
    policy_config: Any
    task_spec: TaskSpec
    training: dict[str, Any] = field(default_factory=dict)
    """Algorithm, its configuration (with the seed), and the augmentation of the run that trained the agent."""
    command: str = ""
    """Command that started the run, if there was one."""
    versions: dict[str, str] = field(default_factory=agent_versions)
    scores: list[dict[str, Any]] = field(default_factory=list)
    """Scores, with the fields of :class:`glimpse_gym.agents.evaluation.Score`."""
    weights_checksum: str = ""
    """SHA-256 of the file of the weights; empty before the agent is saved."""


def holds_agent(folder: Path) -> bool:
    """Return whether a folder holds an agent, or part of one."""
    return any((folder / name).exists() for name in (METADATA, WEIGHTS))


def save_agent(folder: Path, policy: Policy, metadata: CheckpointMetadata) -> CheckpointMetadata:
    """Write a checkpoint. If this is cut off at any point, the folder holds the old agent or the new one.

    Returns:
        The metadata, with the checksum of the weights.

    Raises:
        OSError: a file cannot be written; the message names it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _finish_save(folder)
    content = _encode_weights(policy)
    metadata = replace(metadata, weights_checksum=checksum_of(content))
    with atomic_write(folder / NEXT_WEIGHTS) as temporary:
        temporary.write_bytes(content)
    _save_metadata(folder, metadata)
    os.replace(folder / NEXT_WEIGHTS, folder / WEIGHTS)
    return metadata


def _finish_save(folder: Path) -> None:
    """Put weights in their place if a save was cut off when only that was left to do."""
    try:
        with open_regular(folder / NEXT_WEIGHTS) as file:
            checksum = hashlib.file_digest(file, "sha256").hexdigest()
        is_next = checksum == load_metadata(folder).weights_checksum
    except (CheckpointError, OSError):  # nothing was cut off, or there is no agent to keep
        return
    if is_next:
        os.replace(folder / NEXT_WEIGHTS, folder / WEIGHTS)


def weights_checksum(policy: Policy) -> str:
    """Return the checksum that the weights of a policy have when they are saved."""
    return checksum_of(_encode_weights(policy))


def _encode_weights(policy: Policy) -> bytes:
    return bytes(safetensors.torch.save({name: each.contiguous() for name, each in policy.state_dict().items()}))


def remove_temporary_agent_files(folder: Path) -> None:
    """Remove the temporary files of a killed :func:`save_agent`. Call it only while no other process saves there.

    Weights that were written in full stay, because the agent may need them, until the next agent is saved.
    """
    for name in (METADATA, NEXT_WEIGHTS):
        remove_temporary_files(folder / name)


def _save_metadata(folder: Path, metadata: CheckpointMetadata) -> None:
    head = {"format": FORMAT.name, "policy": policy_name(metadata.policy_config)}
    entries = head | asdict(metadata) | {"task_spec": metadata.task_spec._asdict()}
    write_checksummed_json(folder / METADATA, entries, indent=2)


def add_scores(folder: Path, metadata: CheckpointMetadata, scores: list[dict[str, Any]]) -> None:
    """Add scores to ``agent.json``, replacing earlier scores under the same conditions.

    Args:
        folder: a checkpoint.
        metadata: of the agent that was evaluated.
        scores: of that agent.

    Raises:
        CheckpointError: the folder holds another agent by now, because training went on.
        ValueError: a score is not accepted.
        FolderInUseError: another process trains the agent.
        OSError: the file cannot be written.
    """

    def conditions(score: dict[str, Any]) -> tuple[Any, ...]:
        return tuple(score[name] for name in ("split", "locations", "sample", "seed", "num_episodes"))

    with lock_folder(folder):
        current = load_metadata(folder)
        if current.weights_checksum != metadata.weights_checksum:
            raise CheckpointError(f"{folder} holds another agent than the one evaluated: its training has gone on")
        check_list("scores", scores, check_score)
        new = {conditions(score) for score in scores}
        kept = [score for score in current.scores if conditions(score) not in new]
        _save_metadata(folder, replace(current, scores=kept + scores))


def load_metadata(folder: Path) -> CheckpointMetadata:
    """Read ``agent.json``.

    Raises:
        CheckpointError: if the folder or the file is missing, damaged, or in another format.
    """
    return _parse_metadata(folder, read_entries(folder))


def _parse_metadata(folder: Path, entries: dict[str, Any]) -> CheckpointMetadata:
    try:
        return _check_metadata(entries)
    except (KeyError, OverflowError, TypeError, ValueError) as error:
        raise CheckpointError(f"{folder / METADATA} is incomplete or damaged: {error!r:.500}") from error


def _check_metadata(entries: dict[str, Any]) -> CheckpointMetadata:
    values = {f.name: entries[f.name] for f in fields(CheckpointMetadata)}
    check_types(values, env_id=str, env_kwargs=dict, policy_config=dict, task_spec=dict, weights_checksum=str)
    check_types(values, training=dict, command=str, versions=dict)
    check_list("scores", values["scores"], check_score)
    policy_config = make_policy_config(entries["policy"], values["policy_config"])
    task_spec = _parse_task_spec(values["task_spec"])
    return CheckpointMetadata(**values | {"policy_config": policy_config, "task_spec": task_spec})


def _parse_task_spec(values: dict[str, Any]) -> TaskSpec:
    spec = TaskSpec(**values)
    shape = spec.glimpse_shape
    if type(shape) is not list or len(shape) != 3 or not isinstance(spec.choice_name, str):
        raise ValueError(f"glimpse_shape must be three numbers and choice_name a string: {values}")
    if not all(type(number) is int and 0 < number <= _MAX_SIZE for number in (*shape, spec.num_scales)):
        raise ValueError(f"sizes of glimpses must be integers from 1 to {_MAX_SIZE}: {values}")
    if type(spec.num_choices) is not int or not 0 < spec.num_choices <= _MAX_SIZE:
        raise ValueError(f"num_choices must be an integer from 1 to {_MAX_SIZE}: {values}")
    if not all(type(number) is int and 0 <= number <= _MAX_SIZE for number in (spec.num_cells, spec.num_glimpses)):
        raise ValueError(f"num_cells and num_glimpses must be integers from 0 to {_MAX_SIZE}: {values}")
    if type(spec.choice_is_final) is not bool:
        raise ValueError(f"choice_is_final must be true or false: {values}")
    return spec._replace(glimpse_shape=tuple(shape))


def load_agent(folder: Path, trusted: bool = False, max_bytes: int = MAX_BYTES) -> tuple[Policy, CheckpointMetadata]:
    """Load a checkpoint: the policy, ready to act, and its metadata.

    Args:
        folder: the checkpoint.
        trusted: permits all that its ``env_kwargs`` ask for; see :func:`glimpse_gym.provenance.require_trust`.
        max_bytes: memory that loading may take.

    Raises:
        CheckpointError: if the folder or a file is missing, damaged, in another format, or too large.
        UntrustedError: if ``env_kwargs`` need a permission that was not given.
    """

    def parse(entries: dict[str, Any]) -> CheckpointMetadata:
        metadata = _parse_metadata(folder, entries)
        require_trust(f"the agent in {folder}", metadata.env_id, metadata.env_kwargs, trusted)
        return metadata

    metadata, content = read_checkpoint(folder, parse, max_bytes)
    return _make_policy(metadata, content, folder / WEIGHTS).eval(), metadata


def _make_policy(metadata: CheckpointMetadata, content: bytes, path: Path) -> Policy:
    """Make the policy with its weights, after their names, types and shapes are known to fit its configuration."""
    try:
        weights = safetensors.torch.load(content)
        with torch.device("meta"):  # takes no memory
            expected = make_policy(metadata.task_spec, metadata.policy_config).state_dict()
    except (safetensors.SafetensorError, KeyError, OverflowError, RuntimeError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read, or {METADATA} is damaged: {error!r:.300}") from error
    _check_fit(weights, expected, path)
    policy = make_policy(metadata.task_spec, metadata.policy_config)
    policy.load_state_dict(weights)
    return policy


def load_weights(policy: Policy, weights: dict[str, Tensor], path: Path) -> None:
    """Copy weights into a policy.

    Raises:
        CheckpointError: if names, types or shapes do not fit; the message names ``path``.
    """
    _check_fit(weights, policy.state_dict(), path)
    policy.load_state_dict(weights)


def _check_fit(weights: dict[str, Tensor], expected: dict[str, Tensor], path: Path) -> None:
    """Raise a CheckpointError that names the first tensor whose name, type or shape is not as expected."""
    found, wanted = (
        {name: f"{each.dtype} {tuple(each.shape)}" for name, each in named.items()} for named in (weights, expected)
    )
    if differing := sorted(name for name in found.keys() | wanted.keys() if found.get(name) != wanted.get(name)):
        name = differing[0]
        raise CheckpointError(
            f"{path} does not fit the policy that {METADATA} describes: {name!r:.100} is "
            f"{found.get(name, 'missing')}, expected {wanted.get(name, 'none')}; {len(differing)} tensors differ"
        )
