"""Trials of an agent on the pictures that others saw: at learned, random and central locations."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv

from glimpse_gym.agents.base import Policy, TaskSpec
from glimpse_gym.agents.checkpoint import load_agent
from glimpse_gym.agents.evaluation import LOCATIONS, check_steps
from glimpse_gym.agents.pretrained import agent_folder
from glimpse_gym.agents.task_envs import has_splits
from glimpse_gym.play.episode_record import EpisodeRecord
from glimpse_gym.play.trials import Trial, describe_task, picture_of
from glimpse_gym.provenance import require_trust
from glimpse_gym.retina import Retina
from glimpse_gym.safe_io import MAX_BYTES


def agent_trials_of_records(name_or_path: str, records: Sequence[EpisodeRecord], trusted: bool = False) -> list[Trial]:
    """Let an agent play recorded episodes at learned locations, at random locations and fixed at the center.

    Args:
        name_or_path: name of a pretrained agent, or path of a checkpoint folder.
        records: episodes of others; each env and seed is played once.
        trusted: as in :func:`glimpse_gym.play.replay.env_of_record`.

    Raises:
        CheckpointError: no such agent.
        UntrustedError: a record needs a permission that was not given.
        ValueError: the agent was made for none of the envs.
    """
    tasks: dict[str, tuple[str, dict[str, Any], list[int]]] = {}
    for record in records:
        key = record.env_id + json.dumps(record.env_kwargs, sort_keys=True)
        tasks.setdefault(key, (record.env_id, record.env_kwargs, []))[2].append(record.seed)
    for env_id, env_kwargs, _ in tasks.values():
        require_trust("a recorded episode", env_id, env_kwargs, trusted)
    policy, _ = load_agent(agent_folder(name_or_path), trusted=True)  # it plays in the envs of the records
    trials: list[Trial] = []
    errors: list[ValueError] = []
    for env_id, env_kwargs, seeds in tasks.values():
        try:
            task = describe_task(env_id, env_kwargs)
            trials += _play_all(policy, name_or_path, task, env_id, env_kwargs, list(dict.fromkeys(seeds)))
        except ValueError as error:
            errors.append(error)
    if not trials and errors:
        raise ValueError(f"{name_or_path} cannot play the recorded episodes: {errors[0]}") from errors[0]
    return trials


def agent_trials_of_images(name_or_path: str, others: Sequence[Trial], seed: int = 0) -> list[Trial]:
    """Let an agent play each distinct still image of others, as :func:`agent_trials_of_records` does.

    Args:
        name_or_path: name of a pretrained agent, or path of a checkpoint folder.
        others: trials of one task, with images of one size.
        seed: seed of the first glimpses.

    Raises:
        CheckpointError: no such agent.
        ValueError: the agent was made for other images.
    """
    policy, metadata = load_agent(agent_folder(name_or_path), trusted=True)  # its own images are not opened
    distinct = {trial.picture: trial for trial in others}
    images = np.stack([trial.image for trial in distinct.values()])
    env_kwargs = metadata.env_kwargs | {
        "images": images,
        "labels": np.array([trial.label for trial in distinct.values()]),
        "num_classes": metadata.task_spec.num_choices,
        "split": "all",
        "max_bytes": MAX_BYTES,
    }
    if has_splits(metadata.env_id):
        seeds = list(range(seed, seed + len(images)))
        indices = np.arange(len(images))
        trials = _play_all(policy, name_or_path, others[0].task, metadata.env_id, env_kwargs, seeds, indices)
        if all(trial.picture in distinct for trial in trials):
            return trials
    side = " x ".join(map(str, images.shape[1:3]))
    raise ValueError(
        f"{name_or_path} was made for {metadata.env_id}, and does not see these images as they are: name an agent made "
        f"for images of {side} pixels, such as ram-mnist"
    )


def _play_all(
    policy: Policy,
    name: str,
    task: str,
    env_id: str,
    env_kwargs: dict[str, Any],
    seeds: list[int],
    image_index: np.ndarray | None = None,
) -> list[Trial]:
    """Play all episodes under each of the conditions of :mod:`glimpse_gym.agents.evaluation`."""
    trials = []
    for locations in LOCATIONS:
        at_center = {"first_glimpse": "center"} if locations == "center" and has_splits(env_id) else {}
        envs = gym.make_vec(
            env_id, num_envs=len(seeds), autoreset_mode=AutoresetMode.DISABLED, **(env_kwargs | at_center)
        )
        policy.check_env(envs)
        policy.seed(0)
        player = Path(name).name + {"random": ", random locations", "center": ", fixed at center"}.get(locations, "")
        options = None if image_index is None else {"image_index": image_index}
        played = _play(policy, envs, seeds, options, locations)
        trials += _trials(played, envs.metadata, player, task, seeds, locations != "learned")
        envs.close()
    return trials


class _Played(NamedTuple):
    """B finished episodes of T glimpses."""

    locations: np.ndarray
    """float32 (B, T, 2)."""
    choices: np.ndarray
    """int64 (B, T)."""
    probs: np.ndarray | None
    """float32 (B, T, K); None if the policy has none."""
    images: list[np.ndarray]
    """Image of each row at the end."""
    infos: dict[str, np.ndarray]
    """Infos of the last step, each (B,)."""


def _play(
    policy: Policy, envs: VectorEnv[Any, Any, Any], seeds: list[int], options: dict[str, Any] | None, locations: str
) -> _Played:
    """Play one episode in each row; ``locations`` is one of LOCATIONS.

    Raises:
        ValueError: the steps would take too much memory.
    """
    check_steps(len(seeds), envs.metadata["num_glimpses"], len(envs.metadata["choice_names"]))
    observation, _ = envs.reset(seed=seeds, options=options)  # type: ignore[arg-type]
    choice_name, rng = TaskSpec.from_env(envs).choice_name, np.random.default_rng(seeds[0])
    state, terminated = policy.initial_state(len(seeds)), np.zeros(len(seeds), np.bool_)
    looked, choices, probs = [], [], []
    while not terminated.all():  # with hybrid actions all episodes have the same length
        decision = policy.decide(observation, state)
        action, state = decision.action, decision.state
        if locations == "random":
            action["next_location"] = rng.uniform(-1.0, 1.0, (len(seeds), 2)).astype(np.float32)
        elif locations == "center":
            action["next_location"] = np.zeros((len(seeds), 2), np.float32)
        looked.append(observation["location"])
        choices.append(action[choice_name])
        if decision.choice_probs is not None:
            probs.append(decision.choice_probs)
        observation, _, terminated, _, infos = envs.step(action)
    images = list(envs.unwrapped.picture)  # type: ignore[attr-defined]
    all_probs = np.stack(probs, axis=1) if probs else None
    return _Played(np.stack(looked, axis=1), np.stack(choices, axis=1), all_probs, images, infos)


def _trials(
    played: _Played, metadata: dict[str, Any], player: str, task: str, seeds: list[int], is_baseline: bool
) -> list[Trial]:
    infos, image_moves, (num_episodes, num_glimpses) = played.infos, metadata["image_moves"], played.choices.shape
    no_labels = np.full(num_episodes, -1)
    return [
        Trial(
            player=player,
            task=task,
            picture=picture_of(task, seeds[i], played.images[i], image_moves),
            image=played.images[i],
            locations=played.locations[i],
            guesses=played.choices[i] if "label" in infos else np.full(num_glimpses, -1),
            label=int(infos.get("label", no_labels)[i]),
            success=bool(infos["success"][i]),
            seconds=np.full(num_glimpses, np.nan),
            image_moves=image_moves,
            choice_names=tuple(metadata["choice_names"]),
            guess_probs=None if played.probs is None else played.probs[i],
            retina=Retina(metadata["patch_size"], metadata["num_scales"]),
            is_baseline=is_baseline,
        )
        for i in range(num_episodes)
    ]
