"""Results of recipes: train, evaluate, and save scores and all settings in a result file."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium.vector import VectorEnv

from glimpse_gym.agents.base import Agent, Policy, TaskSpec
from glimpse_gym.agents.checkpoint import CheckpointMetadata, add_scores, agent_versions
from glimpse_gym.agents.configs import RAMConfig
from glimpse_gym.agents.evaluation import EvalConditions, Score, evaluate, play_episodes
from glimpse_gym.agents.experiments.recipes import Recipe
from glimpse_gym.agents.experiments.result_files import Result, save_result
from glimpse_gym.agents.registry import make_policy
from glimpse_gym.agents.run_state import HISTORY
from glimpse_gym.agents.scanpaths import evaluate_all
from glimpse_gym.agents.task_envs import has_splits, make_envs
from glimpse_gym.agents.trainer import Trainer
from glimpse_gym.folder_lock import lock_folder
from glimpse_gym.machine import machine_name

TEST_DRAWS = range(5)
"""Seeds of the test set's canvases and first glimpses; a reported error is the mean over them."""


def reproduce(recipe: Recipe, seed: int, runs: Path, results: Path, progress: bool = True) -> Result | None:
    """Train a recipe's agent, or resume its training, evaluate it, and write the result file.

    Args:
        recipe: recipe to run.
        seed: seed of the run.
        runs: parent of the run folders.
        results: folder of the result files.
        progress: show progress bars.

    Returns:
        The result, or None if training was interrupted.

    Raises:
        CheckpointError: if the run's folder holds a different run, or a damaged one.
        FolderInUseError: if another process reproduces it at this moment; the message names it.
        OSError: if a file cannot be written; the message names it.
    """
    result: Result | None
    if recipe.training is None:
        task_spec = TaskSpec.from_env(make_envs(recipe.env_id, recipe.env_kwargs, "test", 1))
        policy = make_policy(task_spec, recipe.policy_config)
        metadata = CheckpointMetadata(recipe.env_id, recipe.env_kwargs, recipe.policy_config, task_spec)
        result = _measure(recipe, seed, policy, metadata, progress)
    else:
        folder = runs / f"{recipe.name}-seed{seed}"
        folder.mkdir(parents=True, exist_ok=True)
        with lock_folder(folder):
            result = _train_and_measure(recipe, seed, folder, progress)
    if result is not None:
        save_result(results, result)
    return result


def _train_and_measure(recipe: Recipe, seed: int, folder: Path, progress: bool) -> Result | None:
    """Train in a folder, evaluate, and save the scores with the agent; None if training was interrupted."""
    trainer = _make_trainer(recipe, seed, folder)
    if not trainer.train(progress):
        return None
    result = _measure(recipe, seed, trainer.policy, trainer.metadata, progress)
    add_scores(folder, trainer.metadata, result.scores)
    num_episodes = trainer.learner.num_episodes_played
    return replace(
        result,
        history=[{name: record[name] for name in HISTORY} for record in trainer.history],
        num_episodes=num_episodes,
        num_frames=trainer.learner.num_steps_done,
        training_seconds=trainer.seconds,
    )


def _make_trainer(recipe: Recipe, seed: int, folder: Path) -> Trainer:
    """Make the trainer of a recipe: a new run, or the one in the folder, to be resumed."""
    assert recipe.training is not None
    return Trainer(
        folder,
        recipe.env_id,
        recipe.env_kwargs,
        replace(recipe.training, seed=seed),
        recipe.policy_config,
        resume=True,
        augmentation=recipe.augmentation,
        command=f"glimpse-gym reproduce {recipe.name} --seed {seed}",
    )


def _measure(recipe: Recipe, seed: int, policy: Policy, metadata: CheckpointMetadata, progress: bool) -> Result:
    """Evaluate an agent and build its result, without the fields that describe the training."""

    def measure(conditions: EvalConditions, **changes: Any) -> Score:
        return evaluate(policy, metadata.env_id, metadata.env_kwargs | changes, conditions, progress=progress)

    scores = evaluate_all(policy, metadata, "validation", seed=0, num_episodes=10_000, progress=progress)
    if recipe.test:
        scores += evaluate_all(policy, metadata, "test", seed=0, progress=progress)
        if has_splits(metadata.env_id):  # test splits are small; an env without splits already plays enough games
            scores += [measure(EvalConditions("test", seed=draw)) for draw in TEST_DRAWS[1:]]
    tracks_ball = recipe.task == "catch" and isinstance(metadata.policy_config, RAMConfig)
    return Result(
        recipe=recipe.name,
        task=recipe.task,
        model=recipe.model,
        seed=seed,
        scores=[score._asdict() for score in scores],
        env_id=metadata.env_id,
        env_kwargs=metadata.env_kwargs,
        values_per_glimpse=int(np.prod(metadata.task_spec.glimpse_shape)),
        num_parameters=sum(weight.numel() for weight in policy.parameters()),
        policy_config=asdict(metadata.policy_config),
        training=metadata.training,
        history=[],
        num_episodes=0,
        num_frames=0,
        training_seconds=0.0,
        generalization=[
            {"env_kwargs": changes, "score": measure(EvalConditions("test"), **changes)._asdict()}
            for changes in recipe.generalization_envs
        ],
        gaze_distances=gaze_distances(policy, metadata.env_id, metadata.env_kwargs) if tracks_ball else None,
        machine=machine_name(),
        versions=agent_versions(),
    )


def gaze_distances(agent: Agent, env_id: str, env_kwargs: dict[str, Any], num_games: int = 10_000) -> list[float]:
    """Measure the mean distance from gaze to ball, in pixels, at each step of Catch, in test games."""
    batches: list[list[float]] = []

    def measure(envs: VectorEnv[Any, Any, Any], observation: dict[str, np.ndarray]) -> None:
        if not observation["time"].any():
            batches.append([])
        step = len(batches[-1])
        screens = np.stack(envs.unwrapped.image)  # type: ignore[attr-defined]  # uint8 (B, side, side)
        # The ball is in row ``step``, and before the end of the game it is alone there.
        column = screens[:, step].argmax(axis=1)
        ball = np.stack([column, np.full_like(column, step)], axis=1) + 0.5
        gaze = (observation["location"].astype(np.float64) + 1) * screens.shape[-1] / 2
        batches[-1].append(float(np.linalg.norm(gaze - ball, axis=1).mean()))

    for _ in play_episodes(agent, env_id, env_kwargs, EvalConditions("test"), num_episodes=num_games, on_step=measure):
        pass
    return [float(distance) for distance in np.mean(batches, axis=0)]
