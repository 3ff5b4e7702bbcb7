"""The pretrained agents of the envs."""

from glimpse_gym.agents.checkpoint_files import read_entries
from glimpse_gym.agents.pretrained import PRETRAINED, pretrained_names


def agents_by_env() -> dict[str, str]:
    """Return the names of the pretrained agents by the ids of their envs."""
    return {read_entries(PRETRAINED / name)["env_id"]: name for name in pretrained_names()}
