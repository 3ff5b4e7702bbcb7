"""Results: what a recipe came to, in a file that says all that is needed to have it again."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from glimpse_gym.agents.base import Task
from glimpse_gym.agents.checkpoint import Card, add_scores, package_versions
from glimpse_gym.agents.evaluation import Agent, Conditions, Score, evaluate, make_envs, play
from glimpse_gym.agents.experiments.recipes import Recipe
from glimpse_gym.agents.ram import RAM
from glimpse_gym.agents.registry import AnyAgent, make_agent
from glimpse_gym.agents.scanpaths import evaluate_all
from glimpse_gym.atomic_io import atomic_write
from glimpse_gym.envs.catch import CatchWorld
from glimpse_gym.machine import machine_name
from glimpse_gym.validation import check_types
from glimpse_gym.world import World

_FORMAT = "glimpse_gym result, format 1"
TEST_DRAWS = range(5)
"""Seeds of the test set's canvases and first glimpses; a reported error is the mean over them."""


class ResultError(RuntimeError):
    """A result file that is damaged, or of another version."""


@dataclass(frozen=True)
class Result:
    """What one run of a recipe came to."""

    recipe: str
    task: str
    model: str
    seed: int
    scores: list[dict[str, Any]]
    """As :class:`glimpse_gym.agents.evaluation.Score` has them."""
    env_id: str
    env_kwargs: dict[str, Any]
    values_per_glimpse: int
    num_parameters: int
    config: dict[str, Any]
    training: dict[str, Any]
    history: list[dict[str, float]]
    """Of the validation split: episodes and seconds, and the error."""
    episodes: int
    frames: int
    """Glimpses that were looked at in training."""
    seconds: float
    """Of training, evaluations of the validation split among it."""
    generalization: list[dict[str, Any]]
    """Scores in other envs than the agent was trained in, each with the keyword values that differ."""
    gaze: list[float] | None
    """Of Catch: the mean distance of the gaze from the ball at each step, in pixels."""
    machine: str
    versions: dict[str, str]

    def errors(self, locations: str = "learned", sample: bool = False, split: str = "test") -> np.ndarray | None:
        """Errors after each glimpse, the mean over the draws that were made, float64 (T,), or None."""
        found = [
            score["errors"]
            for score in self.scores
            if (score["split"], score["locations"], score["sample"]) == (split, locations, sample)
        ]
        return np.mean(found, axis=0) if found else None


def reproduce(recipe: Recipe, seed: int, runs: Path, results: Path, progress: bool = True) -> Result | None:
    """Train by a recipe, or go on with it, then measure on the test split and write the result.

    Args:
        recipe: what to do.
        seed: of the run.
        runs: the folder of run folders.
        results: the folder of result files.
        progress: show bars.

    Returns:
        The result, or None where the training was asked to stop.

    Raises:
        CheckpointError: the run's folder holds another run, or a damaged one.
    """
    if recipe.training is None:
        envs = make_envs(recipe.env_id, recipe.env_kwargs, "test", 1)
        agent: AnyAgent = make_agent(Task.of(envs), recipe.config)
        result = _measure(
            recipe, seed, agent, Card(recipe.env_id, recipe.env_kwargs, recipe.config, agent.task), progress
        )
    else:
        folder = runs / f"{recipe.name}-seed{seed}"
        run = recipe.run(folder, seed)
        if not run.train(progress):
            return None
        result = _measure(recipe, seed, run.agent, run.card, progress)
        add_scores(folder, run.card, result.scores)
        history = [
            {name: record[name] for name in ("episodes", "seconds", "validation_error", "training_error")}
            for record in run.history
        ]
        episodes = run.learner.episodes_seen
        frames = episodes * run.learner.horizon
        result = replace(result, history=history, episodes=episodes, frames=frames, seconds=run.seconds)
    save_result(results, result)
    return result


def _measure(recipe: Recipe, seed: int, agent: AnyAgent, card: Card, progress: bool) -> Result:
    """The result, but for what it took to get there."""

    def measure(conditions: Conditions, **changes: Any) -> Score:
        return evaluate(agent, card.env_id, card.env_kwargs | changes, conditions, progress=progress)

    scores = evaluate_all(agent, card, "validation", seed=0, num_episodes=10_000, progress=progress)
    if recipe.final:
        scores += evaluate_all(agent, card, "test", seed=0, progress=progress)
        if card.task.choice_name == "label":  # of games there are enough
            scores += [measure(Conditions("test", seed=draw)) for draw in TEST_DRAWS[1:]]
    return Result(
        recipe=recipe.name,
        task=recipe.task,
        model=recipe.model,
        seed=seed,
        scores=[score._asdict() for score in scores],
        env_id=card.env_id,
        env_kwargs=card.env_kwargs,
        values_per_glimpse=int(np.prod(card.task.glimpse_shape)),
        num_parameters=sum(weight.numel() for weight in agent.parameters()),
        config=asdict(card.config),
        training=card.training,
        history=[],
        episodes=0,
        frames=0,
        seconds=0.0,
        generalization=[
            {"env_kwargs": changes, "score": measure(Conditions("test"), **changes)._asdict()}
            for changes in recipe.elsewhere
        ],
        gaze=_gaze_distances(agent, card) if isinstance(agent, RAM) and card.task.choice_name == "move" else None,
        machine=machine_name(),
        versions=package_versions(),
    )


def _gaze_distances(agent: Agent, card: Card, num_games: int = 10_000) -> list[float]:
    """How far from the ball the gaze is at each step, in pixels, the mean over games."""
    distances: list[list[float]] = []

    def watch(world: World) -> None:
        assert isinstance(world, CatchWorld)
        ball = np.stack([world.column, world.steps], axis=1) + 0.5
        gaze = (world.locations.astype(np.float64) + 1) * world.side / 2
        if not world.steps.any():
            distances.append([])
        distances[-1].append(float(np.linalg.norm(gaze - ball, axis=1).mean()))

    for _ in play(agent, card.env_id, card.env_kwargs, Conditions("test"), num_episodes=num_games, watch=watch):
        pass
    return np.mean(distances, axis=0).tolist()


def save_result(folder: Path, result: Result) -> Path:
    """Write a result's file, whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{result.recipe}-seed{result.seed}.json"
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps({"format": _FORMAT} | asdict(result), indent=1) + "\n")
    return path


def load_results(folder: Path) -> list[Result]:
    """All results of a folder, by name.

    Raises:
        ResultError: there are none, or a file is damaged or of another version.
    """
    paths = sorted(folder.glob("[!.]*.json"))
    if not paths:
        raise ResultError(f"{folder} holds no results: 'glimpse-gym reproduce' makes them")
    return [_load(path) for path in paths]


def _load(path: Path) -> Result:
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ResultError(f"{path} cannot be read ({error}): it is damaged; make it again") from error
    if not isinstance(entries, dict) or entries.pop("format", None) != _FORMAT:
        raise ResultError(f"{path} is no result that this version reads: its format must be {_FORMAT!r}")
    names = {f.name for f in fields(Result)}
    if entries.keys() != names:
        raise ResultError(f"{path} is damaged: it lacks or has too much of {sorted(entries.keys() ^ names)}")
    result = Result(**entries)
    try:
        check_types(
            entries, seed=int, scores=list, history=list, episodes=int, frames=int, seconds=float, versions=dict
        )
        scores = [Score(**score) for score in result.scores]
    except TypeError as error:
        raise ResultError(f"{path} is damaged: {error}") from error
    if not scores:
        raise ResultError(f"{path} is damaged: it holds no score")
    return result
