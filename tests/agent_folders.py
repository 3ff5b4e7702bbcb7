"""A small agent in a folder, and changes of its files whose checksums match."""

import hashlib
from pathlib import Path

from glimpse_gym.agents.base import TaskSpec
from glimpse_gym.agents.checkpoint import CheckpointMetadata, save_agent
from glimpse_gym.agents.configs import RAMConfig
from glimpse_gym.agents.ram import RAM
from glimpse_gym.safe_io import parse_json, write_checksummed_json
from runs import IMAGES, SMALL_RAM, noise_file

TASK_SPEC = TaskSpec((1, 4, 4), 1, "label", 3, choice_is_final=True)
CONFIG = RAMConfig(**SMALL_RAM, core="lstm", sigma=0.2)


def make_metadata(folder: Path) -> CheckpointMetadata:
    """Metadata of an agent whose images are in a file of this folder."""
    return CheckpointMetadata(IMAGES, noise_file(folder), CONFIG, TASK_SPEC, {"seed": 3}, "a command")


def make_agent(folder: Path) -> Path:
    """Save an untrained agent in a new subfolder."""
    save_agent(folder / "agent", RAM(TASK_SPEC, CONFIG), make_metadata(folder))
    return folder / "agent"


def read_entries(folder: Path) -> dict:
    return dict(parse_json((folder / "agent.json").read_bytes()))


def change_entries(folder: Path, **changes) -> None:
    """Change entries of agent.json, with a checksum that matches."""
    write_checksummed_json(folder / "agent.json", read_entries(folder) | changes, indent=2)


def replace_weights(folder: Path, content: bytes) -> None:
    """Write the file of the weights, with a checksum in agent.json that matches."""
    (folder / "weights.safetensors").write_bytes(content)
    change_entries(folder, weights_checksum=hashlib.sha256(content).hexdigest())
