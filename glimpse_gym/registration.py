"""One table of ids, one loop."""

from __future__ import annotations

import inspect
from typing import Any

import gymnasium as gym
import numpy as np

_DIGIT = {"images": "mnist", "split": "train"}
_SMALL = {"patch_size": 12, "num_scales": 3, "num_glimpses": 8, "canvas_size": 60}
_LARGE = {"patch_size": 12, "num_scales": 4, "num_glimpses": 8, "canvas_size": 100}

# name: (class, keyword values)
_TABLE: dict[str, tuple[str, dict[str, Any]]] = {
    "MNIST": ("Classification", _DIGIT | {"patch_size": 8, "num_scales": 1, "num_glimpses": 7}),
    "TranslatedMNIST": ("Classification", _DIGIT | _SMALL),
    "ClutteredMNIST": ("Classification", _DIGIT | _SMALL | {"num_clutter": 4}),
    "ClutteredMNIST100": ("Classification", _DIGIT | _LARGE | {"num_clutter": 8}),
    "Images": ("Classification", {"split": "all", "patch_size": 12, "num_scales": 3, "num_glimpses": 6}),
    "Catch": ("Catch", {"patch_size": 6, "num_scales": 3, "num_glimpses": 23}),
}


def env_id(name: str, discrete: bool = False) -> str:
    """The id of a world of the table, or of its twin for algorithms that take one flat action."""
    return f"glimpse_gym/{name}{'Discrete' if discrete else ''}-v0"


ENV_IDS: tuple[str, ...] = tuple(env_id(name, discrete) for name in _TABLE for discrete in (False, True))
"""Every id that ``import glimpse_gym`` registers."""


def describe_envs() -> str:
    """Every id with its spaces. No data is needed: ten blank images of the digits' size stand in for the real ones."""
    blank: dict[str, Any] = {"images": np.zeros((10, 28, 28), np.uint8), "labels": np.arange(10), "split": "all"}
    lines = []
    for name, (kind, _) in _TABLE.items():
        for discrete in (False, True):
            env = gym.make(env_id(name, discrete), **(blank if kind == "Classification" else {}))
            lines.append(env_id(name, discrete) + ("  (of the images that are given)" if name == "Images" else ""))
            lines.append(f"    observation  {env.observation_space}")
            lines.append(f"    action       {env.action_space}")
    return "\n".join(lines)


def document_envs() -> str:
    """The page of docs on every id, out of the docstrings of the env classes."""
    from glimpse_gym import envs

    parts = ["# Environments", "Made by `glimpse-gym envs --docs` from the docstrings."]
    for kind in ("Classification", "Catch"):
        parts.append(f"# {kind}")
        for name, (its_kind, kwargs) in _TABLE.items():
            if its_kind == kind:
                values = ", ".join(f"{key}={value!r}" for key, value in kwargs.items())
                parts.append(f"`{env_id(name)}`, `{env_id(name, discrete=True)}`: `{values}`")
        parts.append(inspect.getdoc(getattr(envs, f"{kind}Env")) or "")
    return "\n\n".join(parts)


def register_envs() -> None:
    """Register every id with Gymnasium."""
    for name, (kind, kwargs) in _TABLE.items():
        for discrete in (False, True):
            gym.register(
                id=env_id(name, discrete),
                entry_point=f"glimpse_gym.envs:{kind}Env",
                vector_entry_point=f"glimpse_gym.envs:{kind}VectorEnv",
                order_enforce=False,  # the envs enforce it themselves,
                disable_env_checker=True,  # and the tests check every one of them
                kwargs=kwargs | {"actions": "discrete" if discrete else "hybrid"},
            )
