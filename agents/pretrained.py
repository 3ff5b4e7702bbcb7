"""The trained agents that come with the package: of each task the one with the lowest validation error."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from glimpse_gym.agents.checkpoint import CheckpointError

SHIPPED = Path(str(resources.files("glimpse_gym.agents"))) / "pretrained"


def shipped_names() -> list[str]:
    """What they are called."""
    return sorted(path.parent.name for path in SHIPPED.glob("*/agent.json"))


def agent_folder(name_or_path: str | Path) -> Path:
    """The folder of a shipped agent, or the path of another, as it is.

    Raises:
        CheckpointError: neither an agent of that name nor a folder is there.
    """
    if isinstance(name_or_path, str) and name_or_path in shipped_names():
        return SHIPPED / name_or_path
    path = Path(name_or_path)
    if not path.is_dir():
        names = ", ".join(shipped_names()) or "none"
        raise CheckpointError(f"there is no folder {path}, and no agent of that name; shipped are: {names}")
    return path
