"""Worlds seen through a retina, a few glimpses at a time: Gymnasium environments and agents that learn in them."""

from glimpse_gym.registration import ENV_IDS, register_envs
from glimpse_gym.retina import Retina
from glimpse_gym.version import __version__

__all__ = ["ENV_IDS", "Retina", "__version__"]

register_envs()
