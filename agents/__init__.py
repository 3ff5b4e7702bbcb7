"""Agents: policies, learning algorithms, evaluation and pretrained agents. Importing it does not import torch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from glimpse_gym.extras import require_extra
from glimpse_gym.safe_io import MAX_BYTES

if TYPE_CHECKING:
    from glimpse_gym.agents.base import Policy

__all__ = ["load"]


def load(name_or_path: str | Path, max_bytes: int = MAX_BYTES) -> Policy:
    """Load an agent that is ready to act in the vector env it was made for.

    Args:
        name_or_path: name of a pretrained agent, such as ``"ram-cluttered60"``, or path of a checkpoint folder.
        max_bytes: memory that loading may take.

    Raises:
        CheckpointError: if there is no such agent, or a file is missing, damaged, or not a checkpoint.
        ModuleNotFoundError: if packages of the extra ``agents`` are not installed; the message names all of them.
    """
    require_extra("agents")
    from glimpse_gym.agents.checkpoint import load_agent
    from glimpse_gym.agents.pretrained import agent_folder

    # Trusted: what an agent asks for concerns the env that it was trained in, which is not made here.
    return load_agent(agent_folder(name_or_path), trusted=True, max_bytes=max_bytes)[0]
