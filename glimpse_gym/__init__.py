"""Gymnasium environments seen through a retina, one glimpse at a time, and agents that learn where to look."""

from glimpse_gym.registration import ENV_IDS, register_envs
from glimpse_gym.retina import Retina
from glimpse_gym.version import __version__

__all__ = ["ENV_IDS", "Retina", "__version__"]

register_envs()
