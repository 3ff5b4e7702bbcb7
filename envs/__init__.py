"""The worlds: classification and Catch. Their rules, and the env classes that ``gym.make`` makes."""

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
