"""What learns or acts in the worlds. Importing this package imports no torch: what needs it says so by its name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from glimpse_gym.agents.ram import RAM

__all__ = ["load"]


def load(path: str | Path) -> RAM:
    """The agent in a checkpoint folder, ready to act in the vector env it was made for.

    Raises:
        CheckpointError: the folder or a file is missing, damaged, or something else.
    """
    from glimpse_gym.agents.checkpoint import load_agent

    return load_agent(Path(path))[0]
