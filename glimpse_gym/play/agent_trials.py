"""Trials of an agent at the pictures that others saw, with its own locations and with two baselines of locations."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv

from glimpse_gym.agents.base import Policy, TaskSpec
from glimpse_gym.agents.checkpoint import load_agent
from glimpse_gym.agents.evaluation import LOCATIONS
from glimpse_gym.agents.pretrained import agent_folder
from glimpse_gym.agents.task_envs import has_splits
from glimpse_gym.play.recording import EpisodeRecord
from glimpse_gym.play.trials import Trial, describe_task, picture_key
from glimpse_gym.retina import Retina


def agent_trials_of_records(name_or_path: str, records: Sequence[EpisodeRecord]) -> list[Trial]:
    """Let an agent play recorded episodes: with learned locations, at random places and at the center.

    Args:
        name_or_path: name of a pretrained agent, or path of a checkpoint folder.
        records: episodes of others; each env and seed is played once.

    Raises:
        CheckpointError: no such agent.
        ValueError: the agent was made for none of the envs.
    """
    policy, _ = load_agent(agent_folder(name_or_path))
    tasks: dict[str, tuple[str, dict[str, Any], list[int]]] = {}
    for record in records:
        key = record.env_id + json.dumps(record.env_kwargs, sort_keys=True)
        tasks.setdefault(key, (record.env_id, record.env_kwargs, []))[2].append(record.seed)
    trials: list[Trial] = []
    refusals: list[ValueError] = []
    for env_id, env_kwargs, seeds in tasks.values():
        try:
            task = describe_task(env_id, env_kwargs)
            trials += _play_all(policy, name_or_path, task, env_id, env_kwargs, list(dict.fromkeys(seeds)))
        except ValueError as error:
            refusals.append(error)
    if not trials and refusals:
        raise ValueError(f"{name_or_path} cannot play the recorded episodes: {refusals[0]}") from refusals[0]
    return trials


def agent_trials_of_images(name_or_path: str, others: Sequence[Trial], seed: int = 0) -> list[Trial]:
    """Let an agent play each still image that others saw once, as :func:`agent_trials_of_records`.

    Args:
        name_or_path: name of a pretrained agent, or path of a checkpoint folder.
        others: trials of one task, at images of one size.
        seed: of the first glimpses.

    Raises:
        CheckpointError: no such agent.
        ValueError: the agent was made for other images.
    """
    policy, metadata = load_agent(agent_folder(name_or_path))
    distinct = {trial.picture: trial for trial in others}
    images = np.stack([trial.image for trial in distinct.values()])
    env_kwargs = metadata.env_kwargs | {
        "images": images,
        "labels": np.array([trial.label for trial in distinct.values()]),
        "num_classes": metadata.task_spec.num_choices,
        "split": "all",
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
        trials += _play(policy, envs, player, task, seeds, image_index, locations)
        envs.close()
    return trials


def _play(
    policy: Policy,
    envs: VectorEnv[Any, Any, Any],
    player: str,
    task: str,
    seeds: list[int],
    image_index: np.ndarray | None,
    locations: str,
) -> list[Trial]:
    options = None if image_index is None else {"image_index": image_index}
    observation, _ = envs.reset(seed=seeds, options=options)  # type: ignore[arg-type]
    choice_name, rng = TaskSpec.from_env(envs).choice_name, np.random.default_rng(seeds[0])
    images = list(envs.unwrapped.image)  # type: ignore[attr-defined]
    state, terminated = policy.initial_state(len(seeds)), np.zeros(len(seeds), np.bool_)
    seen, guesses, probs = [], [], []
    while not terminated.all():  # with hybrid actions all episodes have the same length
        action, state, choice_probs, *_ = policy.decide(observation, state)
        if locations == "random":
            action["next_location"] = rng.uniform(-1.0, 1.0, (len(seeds), 2)).astype(np.float32)
        elif locations == "center":
            action["next_location"] = np.zeros((len(seeds), 2), np.float32)
        seen.append(observation["location"])
        guesses.append(action[choice_name])
        probs.append(choice_probs)
        observation, _, terminated, _, infos = envs.step(action)
    metadata = envs.metadata
    if metadata["image_moves"]:
        images = list(envs.unwrapped.image)  # type: ignore[attr-defined]
    paths, said = np.stack(seen, axis=1), np.stack(guesses, axis=1)
    return [
        Trial(
            player=player,
            task=task,
            picture=f"{task}, seed {seeds[i]}" if metadata["image_moves"] else picture_key(images[i]),
            image=images[i],
            locations=paths[i],
            guesses=said[i] if "label" in infos else np.full(len(said[i]), -1),
            label=int(infos["label"][i]) if "label" in infos else -1,
            success=bool(infos["success"][i]),
            seconds=np.full(len(said[i]), np.nan),
            image_moves=metadata["image_moves"],
            choice_names=tuple(metadata["choice_names"]),
            guess_probs=None if probs[0] is None else np.stack([p[i] for p in probs]),
            retina=Retina(metadata["patch_size"], metadata["num_scales"]),
            is_baseline=locations != "learned",
        )
        for i in range(len(seeds))
    ]
