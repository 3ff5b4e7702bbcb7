"""Options that ``play``, ``watch`` and ``replay`` share."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def add_episode_options(parser: argparse.ArgumentParser, num_episodes: str) -> None:
    """Add the options that choose and record episodes; ``num_episodes`` describes the default of ``--episodes``."""
    parser.add_argument("--seed", type=int, default=0, help="seed of the first episode; each later one has the next")
    parser.add_argument("--episodes", metavar="N", type=int, help=f"number of episodes (default: {num_episodes})")
    parser.add_argument(
        "--split", metavar="NAME", help="split of the env's images (default: validation, if the env has splits)"
    )
    parser.add_argument("--record", type=Path, metavar="FOLDER", help="record every finished episode in this folder")


def add_window_options(parser: argparse.ArgumentParser, pace: float, pace_help: str) -> None:
    """Add the options of speed and size."""
    parser.add_argument("--pace", metavar="N", type=float, default=pace, help=pace_help)
    parser.add_argument(
        "--scale", metavar="X", type=float, default=1.0, help="size of the window, relative to 960 x 640"
    )


def check_episode_options(parsed: argparse.Namespace) -> None:
    """Raise a ValueError if a number of episodes or a seed is not accepted."""
    from glimpse_gym.rng import MAX_SEED
    from glimpse_gym.validation import check_integer

    check_integer("--seed", parsed.seed, 0, MAX_SEED)
    if parsed.episodes is not None:
        check_integer("--episodes", parsed.episodes, at_least=1)


def check_window_options(parsed: argparse.Namespace) -> None:
    """Raise a ValueError if a speed or a size is not accepted."""
    if not 0.1 <= parsed.pace <= 60:
        raise ValueError(f"--pace must be from 0.1 to 60 steps per second, got {parsed.pace}")
    if not 0.25 <= parsed.scale <= 8:
        raise ValueError(f"--scale must be from 0.25 to 8, got {parsed.scale}")


def with_split(env_id: str, env_kwargs: dict[str, Any], split: str | None) -> dict[str, Any]:
    """Return env keyword arguments with a split; None is the validation split, if the env has splits.

    Raises:
        ValueError: an id that is not registered, or a split for an env without splits.
    """
    import gymnasium as gym

    from glimpse_gym.agents.task_envs import has_splits
    from glimpse_gym.registration import ENV_IDS

    if env_id not in gym.registry:
        raise ValueError(f"there is no env {env_id}; 'glimpse-gym envs' lists them: {', '.join(ENV_IDS)}")
    if split is not None and not has_splits(env_id):
        raise ValueError(f"{env_id} has no splits: leave --split out")
    if split is None and ("split" in env_kwargs or not has_splits(env_id)):
        return env_kwargs
    return env_kwargs | {"split": split or "validation"}
