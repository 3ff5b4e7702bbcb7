"""Table of the kinds of trials. To add one, write its module and add a line here."""

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from hostile.trial import Trial


@dataclass(frozen=True)
class Kind:
    """Entry of the table of kinds."""

    entry_point: str
    """``"module:class"``, imported on first use."""
    unit: str
    """Plural of what is counted."""
    share: float
    """Share of the time, relative to the other kinds."""
    max_seconds: float
    """An attempt that takes longer has failed."""


KINDS: dict[str, Kind] = {
    "steps": Kind("hostile.steps:Steps", "steps", 6, 30),
    "constructors": Kind("hostile.constructors:Constructors", "calls", 2, 30),
    "files": Kind("hostile.files:Files", "files", 5, 30),
    "kills": Kind("hostile.kills:Kills", "kills", 4, 180),
    "disks": Kind("hostile.disks:Disks", "full disks", 2, 180),
    "processes": Kind("hostile.processes:Processes", "groups", 2, 180),
}


def make_trial(kind: str, folder: Path) -> Trial:
    """Make the trial of a kind, with a folder of its own."""
    module, _, name = KINDS[kind].entry_point.partition(":")
    own = folder / kind
    own.mkdir(parents=True, exist_ok=True)
    return getattr(import_module(module), name)(own)
