"""The one place that knows how an agent lies on disk.

A checkpoint is a folder: ``agent.json``, what the agent is and how it came about, and ``weights.safetensors``.
Neither can run code when it is read. The weights carry a checksum of themselves.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import platform
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from glimpse_gym.agents.base import Task
from glimpse_gym.agents.registry import AnyAgent, AnyConfig, kind_of, make_agent, make_config
from glimpse_gym.atomic_io import atomic_write, remove_temporary_files
from glimpse_gym.validation import check_types
from glimpse_gym.version import __version__

_FORMAT = "glimpse_gym agent, format 2"
_CARD, _WEIGHTS = "agent.json", "weights.safetensors"


class CheckpointError(RuntimeError):
    """A checkpoint that is missing, damaged, foreign, or does not fit."""


def package_versions() -> dict[str, str]:
    """What the agent was made with."""
    others = {name: importlib.metadata.version(name) for name in ("gymnasium", "numpy", "torch")}
    return {"python": platform.python_version(), "glimpse_gym": __version__, **others}


@dataclass(frozen=True)
class Card:
    """What is to be known of an agent beside its weights."""

    env_id: str
    env_kwargs: dict[str, Any]
    config: AnyConfig
    task: Task
    training: dict[str, Any] = field(default_factory=dict)
    """The configuration of the run that made it, its seed among it."""
    command: str = ""
    """What was typed to make it, if it was typed."""
    versions: dict[str, str] = field(default_factory=package_versions)
    scores: list[dict[str, Any]] = field(default_factory=list)
    """What it scored, as :class:`glimpse_gym.agents.evaluation.Score` says it."""


def holds_agent(folder: Path) -> bool:
    """Whether there is an agent, or a part of one, in the folder."""
    return any((folder / name).exists() for name in (_CARD, _WEIGHTS))


def save_agent(folder: Path, agent: AnyAgent, card: Card) -> None:
    """Write an agent's folder; each file takes its name only when it is whole."""
    folder.mkdir(parents=True, exist_ok=True)
    save_tensors(folder / _WEIGHTS, agent.state_dict(), {})
    save_card(folder, card)


def remove_agent_leftovers(folder: Path) -> None:
    """Remove what a killed :func:`save_agent` left behind; to be called where nobody else is saving there."""
    for name in (_CARD, _WEIGHTS):
        remove_temporary_files(folder / name)


def save_card(folder: Path, card: Card) -> None:
    """Write what is to be known of the agent, without its weights."""
    with atomic_write(folder / _CARD) as temporary:
        entries = {"format": _FORMAT, "agent": kind_of(card.config)} | asdict(card) | {"task": card.task._asdict()}
        temporary.write_text(json.dumps(entries, indent=2) + "\n")


def add_scores(folder: Path, card: Card, scores: list[dict[str, Any]]) -> None:
    """Write what the agent scored beside it, in the place of earlier scores under the same conditions."""

    def conditions(score: dict[str, Any]) -> tuple[Any, ...]:
        return tuple(score.get(name) for name in ("split", "locations", "sample", "seed", "num_episodes"))

    new = {conditions(score) for score in scores}
    kept = [score for score in card.scores if conditions(score) not in new]
    save_card(folder, replace(card, scores=kept + scores))


def load_card(folder: Path) -> Card:
    """Read what is to be known of an agent.

    Raises:
        CheckpointError: the folder or the file is missing, damaged, or something else.
    """
    path = folder / _CARD
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(
            f"{folder} holds no agent: {_CARD} is missing; name a folder that 'glimpse-gym train' made"
        ) from None
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read ({error}); it is damaged or no checkpoint") from error
    if not isinstance(entries, dict) or entries.get("format") != _FORMAT:
        raise CheckpointError(f"{path} is no agent that this version reads: format must be {_FORMAT!r}")
    try:
        return _to_card(entries)
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path} does not say what an agent needs: {error!r}") from error


def _to_card(entries: dict[str, Any]) -> Card:
    values = {f.name: entries[f.name] for f in fields(Card)}
    check_types(values, env_id=str, env_kwargs=dict, config=dict, task=dict)
    check_types(values, training=dict, command=str, versions=dict, scores=list)
    task = _to_task(values["task"])
    if not all(isinstance(score, dict) and "split" in score for score in values["scores"]):
        raise ValueError("each of its scores must name its split")
    return Card(**values | {"config": make_config(entries["agent"], values["config"]), "task": task})


def _to_task(values: dict[str, Any]) -> Task:
    task = Task(**values)
    shape = task.glimpse_shape
    if type(shape) is not list or len(shape) != 3 or task.choice_name not in ("label", "move"):
        raise ValueError(f"the task's glimpse_shape must be three numbers, and its choice_name label or move: {values}")
    if not all(type(number) is int and number > 0 for number in (*shape, task.num_scales, task.num_choices)):
        raise ValueError(f"the task's numbers must be whole and at least 1: {values}")
    return task._replace(glimpse_shape=tuple(shape))


def load_agent(folder: Path) -> tuple[AnyAgent, Card]:
    """Read an agent's folder.

    Raises:
        CheckpointError: the folder or a file is missing, damaged, or something else.
    """
    card = load_card(folder)
    tensors, _ = load_tensors(folder / _WEIGHTS)
    agent = make_agent(card.task, card.config)
    load_weights(agent, tensors, folder / _WEIGHTS)
    return agent.eval(), card


def load_weights(agent: AnyAgent, tensors: dict[str, Tensor], path: Path) -> None:
    """Put weights in their places, or raise a CheckpointError where they do not fit."""
    try:
        agent.load_state_dict(tensors)
    except RuntimeError as error:
        said = " ".join(str(error).split())
        raise CheckpointError(f"{path} does not fit the agent that {_CARD} describes: {said:.300}") from error


def save_tensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Write tensors and strings as safetensors, with a checksum of the whole."""
    metadata = metadata | {"checksum": _checksum(tensors, metadata)}
    with atomic_write(path) as temporary:
        try:
            safetensors.torch.save_file({name: t.contiguous() for name, t in tensors.items()}, temporary, metadata)
        except safetensors.SafetensorError as error:  # what it makes of a full disk, among others
            raise OSError(f"{path} cannot be written: {error}") from error


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read what :func:`save_tensors` wrote.

    Raises:
        CheckpointError: the file is missing, damaged, or something else.
    """
    try:
        with safetensors.safe_open(path, "pt") as file:
            metadata = dict(file.metadata() or {})
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no dict)
    except FileNotFoundError:
        raise CheckpointError(f"{path} is missing") from None
    except (OSError, safetensors.SafetensorError) as error:
        raise CheckpointError(f"{path} cannot be read ({error}); it is damaged or no checkpoint") from error
    if metadata.pop("checksum", None) != _checksum(tensors, metadata):
        raise CheckpointError(f"{path} is damaged, or was not written by this package: its checksum does not match")
    return tensors, metadata


def _checksum(tensors: dict[str, Tensor], metadata: dict[str, str]) -> str:
    digest = hashlib.sha256(json.dumps(metadata, sort_keys=True).encode())
    for name in sorted(tensors):
        tensor = tensors[name].detach().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
