"""Checkpoints: how an agent is saved and loaded; no other module knows the format.

A checkpoint is a folder with ``agent.json`` (what the agent is and how it was trained) and ``weights.safetensors``.
Loading a checkpoint cannot run code. The weights carry a checksum.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from glimpse_gym.agents.base import Policy, TaskSpec
from glimpse_gym.agents.registry import make_policy, make_policy_config, policy_name
from glimpse_gym.atomic_io import atomic_write, remove_temporary_files
from glimpse_gym.provenance import package_versions
from glimpse_gym.validation import check_types

_FORMAT = "glimpse_gym agent, format 3"
# Earlier formats, and the last version that reads each.
_OLD_FORMATS = {"glimpse_gym agent, format 2": "0.2.0", "glimpse_gym agent, format 1": "0.1.0"}
_METADATA, _WEIGHTS = "agent.json", "weights.safetensors"


class CheckpointError(RuntimeError):
    """A checkpoint is missing, damaged, in another format, or does not fit the policy or the run."""


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


def holds_agent(folder: Path) -> bool:
    """Return whether a folder holds an agent, or part of one."""
    return any((folder / name).exists() for name in (_METADATA, _WEIGHTS))


def save_agent(folder: Path, policy: Policy, metadata: CheckpointMetadata) -> None:
    """Write a checkpoint; each file is written atomically."""
    folder.mkdir(parents=True, exist_ok=True)
    _save_tensors(folder / _WEIGHTS, policy.state_dict())
    save_metadata(folder, metadata)


def remove_temporary_agent_files(folder: Path) -> None:
    """Remove what a killed :func:`save_agent` left behind. Call it only while no other process saves there."""
    for name in (_METADATA, _WEIGHTS):
        remove_temporary_files(folder / name)


def save_metadata(folder: Path, metadata: CheckpointMetadata) -> None:
    """Write ``agent.json``."""
    with atomic_write(folder / _METADATA) as temporary:
        head = {"format": _FORMAT, "policy": policy_name(metadata.policy_config)}
        entries = head | asdict(metadata) | {"task_spec": metadata.task_spec._asdict()}
        temporary.write_text(json.dumps(entries, indent=2) + "\n")


def add_scores(folder: Path, metadata: CheckpointMetadata, scores: list[dict[str, Any]]) -> None:
    """Add scores to ``agent.json``, replacing earlier scores under the same conditions."""

    def conditions(score: dict[str, Any]) -> tuple[Any, ...]:
        return tuple(score.get(name) for name in ("split", "locations", "sample", "seed", "num_episodes"))

    new = {conditions(score) for score in scores}
    kept = [score for score in metadata.scores if conditions(score) not in new]
    save_metadata(folder, replace(metadata, scores=kept + scores))


def load_metadata(folder: Path) -> CheckpointMetadata:
    """Read ``agent.json``.

    Raises:
        CheckpointError: if the folder or the file is missing, damaged, or in another format.
    """
    path = folder / _METADATA
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(
            f"{folder} holds no agent: {_METADATA} is missing; name a folder made by 'glimpse-gym train'"
        ) from None
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read ({error}): it is damaged or not a checkpoint") from error
    found = entries.get("format") if isinstance(entries, dict) else None
    if found in _OLD_FORMATS:
        raise CheckpointError(
            f"{path} is in an old format ({found!r}): use glimpse_gym {_OLD_FORMATS[found]}, or train the agent again"
        )
    if found != _FORMAT:
        raise CheckpointError(f"{path} is not a checkpoint of this version: its format must be {_FORMAT!r}")
    try:
        return _parse_metadata(entries)
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path} is incomplete or damaged: {error!r}") from error


def _parse_metadata(entries: dict[str, Any]) -> CheckpointMetadata:
    values = {f.name: entries[f.name] for f in fields(CheckpointMetadata)}
    check_types(values, env_id=str, env_kwargs=dict, policy_config=dict, task_spec=dict)
    check_types(values, training=dict, command=str, versions=dict, scores=list)
    if not all(isinstance(score, dict) and "split" in score for score in values["scores"]):
        raise ValueError("every score must name its split")
    policy_config = make_policy_config(entries["policy"], values["policy_config"])
    task_spec = _parse_task_spec(values["task_spec"])
    return CheckpointMetadata(**values | {"policy_config": policy_config, "task_spec": task_spec})


def _parse_task_spec(values: dict[str, Any]) -> TaskSpec:
    spec = TaskSpec(**values)
    shape = spec.glimpse_shape
    if type(shape) is not list or len(shape) != 3 or not isinstance(spec.choice_name, str):
        raise ValueError(f"glimpse_shape must be three numbers and choice_name a string: {values}")
    if not all(type(number) is int and number > 0 for number in (*shape, spec.num_scales, spec.num_choices)):
        raise ValueError(f"numbers of the task specification must be integers >= 1: {values}")
    if not all(type(number) is int and number >= 0 for number in (spec.num_cells, spec.num_glimpses)):
        raise ValueError(f"num_cells and num_glimpses must be integers >= 0: {values}")
    if type(spec.choice_is_final) is not bool:
        raise ValueError(f"choice_is_final must be true or false: {values}")
    return spec._replace(glimpse_shape=tuple(shape))


def load_agent(folder: Path) -> tuple[Policy, CheckpointMetadata]:
    """Load a checkpoint: the policy, ready to act, and its metadata.

    Raises:
        CheckpointError: if the folder or a file is missing, damaged, or in another format.
    """
    metadata = load_metadata(folder)
    policy = make_policy(metadata.task_spec, metadata.policy_config)
    load_weights(policy, _load_tensors(folder / _WEIGHTS), folder / _WEIGHTS)
    return policy.eval(), metadata


def load_weights(policy: Policy, weights: dict[str, Tensor], path: Path) -> None:
    """Copy weights into a policy.

    Raises:
        CheckpointError: if names or shapes do not fit; the message names ``path``.
    """
    try:
        policy.load_state_dict(weights)
    except RuntimeError as error:
        message = " ".join(str(error).split())
        raise CheckpointError(f"{path} does not fit the policy that {_METADATA} describes: {message:.300}") from error


def _save_tensors(path: Path, tensors: dict[str, Tensor]) -> None:
    """Write tensors as safetensors with a checksum."""
    with atomic_write(path) as temporary:
        try:
            contiguous = {name: tensor.contiguous() for name, tensor in tensors.items()}
            safetensors.torch.save_file(contiguous, temporary, {"checksum": _checksum(tensors)})
        except safetensors.SafetensorError as error:  # raised for a full disk, among others
            raise OSError(f"{path} cannot be written: {error}") from error


def _load_tensors(path: Path) -> dict[str, Tensor]:
    try:
        with safetensors.safe_open(path, "pt") as file:
            checksum = (file.metadata() or {}).get("checksum")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except FileNotFoundError:
        raise CheckpointError(f"{path} is missing") from None
    except (OSError, safetensors.SafetensorError) as error:
        raise CheckpointError(f"{path} cannot be read ({error}): it is damaged or not a checkpoint") from error
    if checksum != _checksum(tensors):
        raise CheckpointError(f"{path} is damaged, or was not written by this package: its checksum does not match")
    return tensors


def _checksum(tensors: dict[str, Tensor]) -> str:
    digest = hashlib.sha256(b"{}")
    for name in sorted(tensors):
        tensor = tensors[name].detach().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
