"""Pretrained agents that ship with the package: for each task, the one with the lowest validation error."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from glimpse_gym.agents.checkpoint_files import CheckpointError

PRETRAINED = Path(str(resources.files("glimpse_gym.agents"))) / "pretrained"
"""Folder of the pretrained agents."""


def pretrained_names() -> list[str]:
    """List the names of the pretrained agents."""
    return sorted(path.parent.name for path in PRETRAINED.glob("*/agent.json"))


def is_pretrained(folder: Path) -> bool:
    """Return whether a folder is that of a pretrained agent."""
    return folder.parent == PRETRAINED


def agent_folder(name_or_path: str | Path) -> Path:
    """Return the folder of a pretrained agent, or of a training run.

    Args:
        name_or_path: name of a pretrained agent, or path of a checkpoint folder.

    Raises:
        CheckpointError: if neither exists.
    """
    if isinstance(name_or_path, str) and name_or_path in pretrained_names():
        return PRETRAINED / name_or_path
    path = Path(name_or_path)
    if not path.is_dir():
        names = ", ".join(pretrained_names()) or "none"
        raise CheckpointError(f"no pretrained agent and no folder is called {path}; pretrained agents: {names}")
    return path
