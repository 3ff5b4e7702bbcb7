"""Vector envs for training and evaluation, made from an env id. This module does not import torch."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import load_env_creator
from gymnasium.vector import AutoresetMode, VectorEnv

from glimpse_gym.vector import GlimpseVectorEnv

_RESERVED = {"split", "num_envs", "autoreset_mode", "device", "render_mode"}


def vector_env_class(env_id: str) -> type[GlimpseVectorEnv]:
    """Return the native vector env class of an id.

    Raises:
        ValueError: if the id does not belong to this package's worlds.
        gymnasium.error.Error: if the id is not registered.
    """
    entry_point = gym.spec(env_id).vector_entry_point
    creator: Any = load_env_creator(entry_point) if isinstance(entry_point, str) else entry_point
    if not (isinstance(creator, type) and issubclass(creator, GlimpseVectorEnv)):
        raise ValueError(f"{env_id} is not a glimpse_gym env; only those can be played, trained in and evaluated in")
    return creator


def has_splits(env_id: str) -> bool:
    """Return whether an env has train, validation and test images; without them, splits differ in their seeds only."""
    return "split" in gym.spec(env_id).kwargs


def make_envs(
    env_id: str, env_kwargs: dict[str, Any], split: str, num_envs: int, device: str = "cpu"
) -> VectorEnv[Any, Any, Any]:
    """Make a vector env, on one split if the env has splits. Sub-envs that have ended restart at their next step.

    Args:
        env_id: id of one of this package's envs.
        env_kwargs: keyword arguments of the env, without ``split``.
        split: ``"train"``, ``"validation"`` or ``"test"``.
        num_envs: number of sub-envs.
        device: as in :class:`glimpse_gym.vector.GlimpseVectorEnv`.

    Raises:
        ValueError: if the env is of another package, or a keyword argument is reserved or not accepted.
    """
    vector_env_class(env_id)
    if chosen := env_kwargs.keys() & _RESERVED:
        raise ValueError(f"{sorted(chosen)} cannot be given as env keyword arguments: training and evaluation set them")
    kwargs = env_kwargs | {"device": device} | ({"split": split} if has_splits(env_id) else {})
    return gym.make_vec(env_id, num_envs=num_envs, autoreset_mode=AutoresetMode.NEXT_STEP, **kwargs)
