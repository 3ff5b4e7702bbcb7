"""Worlds: classification and Catch. Each module has the rules and the env classes that ``gym.make`` creates."""

from glimpse_gym.envs.catch import CatchEnv, CatchVectorEnv, CatchWorld
from glimpse_gym.envs.classification import ClassificationEnv, ClassificationVectorEnv, ClassificationWorld

__all__ = [
    "CatchEnv",
    "CatchVectorEnv",
    "CatchWorld",
    "ClassificationEnv",
    "ClassificationVectorEnv",
    "ClassificationWorld",
]
