"""Gymnasium environments seen through a retina, one glimpse at a time, and agents that learn where to look."""

from glimpse_gym.interrupts import let_interrupts_kill

let_interrupts_kill()  # before the modules that take long to load

from glimpse_gym.registration import ENV_IDS, register_envs  # noqa: E402
from glimpse_gym.retina import Retina  # noqa: E402
from glimpse_gym.version import __version__  # noqa: E402

__all__ = ["ENV_IDS", "Retina", "__version__"]

register_envs()
