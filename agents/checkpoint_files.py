"""The files of a checkpoint, as bytes and JSON: their names, their format and their checksums. Does not import torch.

:mod:`glimpse_gym.agents.checkpoint` describes a checkpoint, and knows what its entries mean.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from glimpse_gym.agents.json_checks import FileFormat
from glimpse_gym.safe_io import MAX_BYTES, read_bytes

METADATA, WEIGHTS = "agent.json", "weights.safetensors"
NEXT_WEIGHTS = ".next-weights.safetensors"  # of an agent whose agent.json is about to be written, or just was
_NUM_COPIES = 4  # of the weights in memory while an agent is loaded
_NUM_ATTEMPTS = 5

Parsed = TypeVar("Parsed")


class CheckpointError(RuntimeError):
    """A checkpoint is missing, damaged, in another format, or does not fit the policy or the run."""


FORMAT = FileFormat(
    "glimpse_gym agent, format 4",
    "checkpoint",
    "train the agent again",
    CheckpointError,
    old={
        "glimpse_gym agent, format 3": "0.4.0",
        "glimpse_gym agent, format 2": "0.2.0",
        "glimpse_gym agent, format 1": "0.1.0",
    },
)


def read_entries(folder: Path) -> dict[str, Any]:
    """Read the entries of ``agent.json``, after its format and its checksum were checked.

    Raises:
        CheckpointError: if the folder or the file is missing, damaged, or in another format.
    """
    try:
        return FORMAT.read(folder / METADATA)
    except CheckpointError as error:
        if not isinstance(error.__cause__, FileNotFoundError):
            raise
        raise CheckpointError(
            f"{folder} holds no agent: {METADATA} is missing; name a folder made by 'glimpse-gym train'"
        ) from None


def read_checkpoint(
    folder: Path, parse: Callable[[dict[str, Any]], Parsed], max_bytes: int = MAX_BYTES
) -> tuple[Parsed, bytes]:
    """Read a checkpoint whose agent may be replaced by another at any moment.

    Args:
        folder: the checkpoint.
        parse: called with the entries of ``agent.json``; raises an error unless ``weights_checksum`` is a text.
        max_bytes: memory that loading may take.

    Returns:
        What ``parse`` returned, and the content of the file of the weights.

    Raises:
        CheckpointError: if the folder or a file is missing, damaged, in another format, or too large.
    """
    for attempt in range(_NUM_ATTEMPTS):
        entries = read_entries(folder)
        parsed = parse(entries)
        content = _read_weights(folder, entries["weights_checksum"], max_bytes // _NUM_COPIES)
        if content is not None:
            return parsed, content
        time.sleep(0.05 * attempt)  # a training may be saving another agent at this moment
    if not (folder / WEIGHTS).exists():
        raise CheckpointError(f"{folder / WEIGHTS} is missing")
    raise CheckpointError(
        f"{folder / WEIGHTS} is damaged, or does not belong to {METADATA} beside it: its checksum does not match"
    )


def _read_weights(folder: Path, checksum: str, max_bytes: int) -> bytes | None:
    """Read the weights with a checksum; None if there are none, or only others."""
    for name in (WEIGHTS, NEXT_WEIGHTS):
        try:
            content = read_bytes(folder / name, max_bytes)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise CheckpointError(f"{folder / name} cannot be read ({error})") from error
        except ValueError as error:
            raise CheckpointError(f"{error}: give a larger max_bytes, of {_NUM_COPIES} times that") from error
        if checksum_of(content) == checksum:
            return content
    return None


def checksum_of(content: bytes) -> str:
    """Return the SHA-256 of the content of a file of weights."""
    return hashlib.sha256(content).hexdigest()
