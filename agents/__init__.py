"""What learns or acts in the worlds. Importing this package imports no torch: what needs it says so by its name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from glimpse_gym.agents.registry import AnyAgent

__all__ = ["load"]


def load(name_or_path: str | Path) -> AnyAgent:
    """An agent, ready to act in the vector env it was made for.

    Args:
        name_or_path: of a shipped agent, such as ``"ram-cluttered60"``, or the folder of another.

    Raises:
        CheckpointError: there is no such agent, or a file is missing, damaged, or something else.
    """
    from glimpse_gym.agents.checkpoint import load_agent
    from glimpse_gym.agents.pretrained import agent_folder

    return load_agent(agent_folder(name_or_path))[0]
