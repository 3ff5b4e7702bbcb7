"""Evaluation report of an agent: scores at learned, random and center locations, scanpaths, and an animated gaze."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium.vector import VectorEnv
from matplotlib.figure import Figure

from glimpse_gym.agents.base import Agent
from glimpse_gym.agents.checkpoint import CheckpointMetadata
from glimpse_gym.agents.configs import RAMConfig
from glimpse_gym.agents.evaluation import Episodes, EvalConditions, Score, evaluate, play_episodes
from glimpse_gym.rendering.animation import ScanpathEpisode, gaze_frames, save_gif
from glimpse_gym.rendering.figures import scanpath_plate
from glimpse_gym.rendering.paper_figures import save_figure
from glimpse_gym.retina import Retina

_FRAME_MS, _LAST_FRAME_MS = 500, 2000


def evaluate_all(
    agent: Agent,
    metadata: CheckpointMetadata,
    split: str,
    seed: int,
    num_episodes: int | None = None,
    progress: bool = True,
) -> list[Score]:
    """Evaluate at the agent's mean locations and, for a RAM, at sampled, random and center locations."""
    variants = [("learned", False)]
    if isinstance(metadata.policy_config, RAMConfig):  # other policies choose no locations
        variants += [("learned", True), ("random", False), ("center", False)]
    return [
        evaluate(
            agent,
            metadata.env_id,
            metadata.env_kwargs,
            EvalConditions(split, locations, sample, seed),
            num_episodes=num_episodes,
            progress=progress,
        )
        for locations, sample in variants
    ]


def format_scores(scores: Sequence[Score]) -> str:
    """Format scores as a text table: errors in percent after each glimpse, and the standard error of the last one."""
    num_glimpses = len(scores[0].errors)
    lines = [f"{'split, locations':<28}" + "".join(f"{t + 1:>8}" for t in range(num_glimpses)) + "   ± s.e."]
    for score in scores:
        name = f"{score.split}, {score.locations}"
        if score.locations == "learned":
            name += ", sampled" if score.sample else ", mean"
        errors = "".join(f"{100 * error:8.2f}" for error in score.errors)
        lines.append(f"{name:<28}{errors}   ± {100 * score.standard_errors[-1]:.2f}")
    return "\n".join(lines)


def save_pictures(folder: Path, agent: Agent, metadata: CheckpointMetadata, split: str, seed: int) -> tuple[Path, Path]:
    """Write ``scanpaths.png`` and ``gaze.gif`` of the first episodes of a split, at mean locations."""
    folder.mkdir(parents=True, exist_ok=True)
    episodes = record_scanpaths(agent, metadata, split, seed, num_episodes=24)
    figure, gif = folder / "scanpaths.png", folder / "gaze.gif"
    save_figure(scanpath_figure(episodes, metadata), figure)
    frames = gaze_frames(episodes[:8])
    save_gif(gif, frames, [_FRAME_MS] * (len(frames) - 1) + [_LAST_FRAME_MS])
    return figure, gif


def scanpath_figure(episodes: Sequence[ScanpathEpisode], metadata: CheckpointMetadata) -> Figure:
    """Draw scanpaths side by side under a title that counts the successes."""
    num_successes = sum(bool(episode.success) for episode in episodes)
    success = {"label": "correct", "move": "caught"}.get(metadata.task_spec.choice_name, "successful")
    return scanpath_plate(episodes, columns=8, title=f"{metadata.env_id}: {num_successes} of {len(episodes)} {success}")


def record_scanpaths(
    agent: Agent, metadata: CheckpointMetadata, split: str, seed: int, num_episodes: int
) -> list[ScanpathEpisode]:
    """Play the first episodes of a split at mean locations, and record what is needed to draw them.

    An image that changes during an episode is shown as its maximum over time, so that moving objects leave a trace.
    """
    all_envs: list[VectorEnv[Any, Any, Any]] = []
    shown: list[np.ndarray] = []  # of each episode

    def keep_images(envs: VectorEnv[Any, Any, Any], observation: dict[str, np.ndarray]) -> None:
        if not shown:
            all_envs.append(envs)
            shown.extend(np.array(image) for image in envs.unwrapped.picture)  # type: ignore[attr-defined]
        elif envs.metadata["image_moves"]:
            for kept, image in zip(shown, envs.unwrapped.picture, strict=True):  # type: ignore[attr-defined]
                np.maximum(kept, image, out=kept)

    batches = play_episodes(
        agent,
        metadata.env_id,
        metadata.env_kwargs,
        EvalConditions(split, seed=seed),
        num_episodes=num_episodes,
        num_envs=num_episodes,
        on_step=keep_images,
    )
    episodes = next(batches)
    env_metadata = all_envs[0].metadata
    retina = Retina(env_metadata["patch_size"], env_metadata["num_scales"])
    sizes = all_envs[0].unwrapped.world.sizes.tolist()  # type: ignore[attr-defined]
    return [
        ScanpathEpisode(
            *(shown[i], episodes.locations[:, i], retina, caption, not episodes.incorrect[-1, i], guesses),
            image_size=tuple(sizes[i]),
        )
        for i, (caption, guesses) in enumerate(_captions(episodes, env_metadata["choice_names"]))
    ]


def _captions(episodes: Episodes, choice_names: Sequence[str]) -> list[tuple[str, tuple[str, ...]]]:
    """Caption each episode and, in classification, list the label that the agent would give after each glimpse."""
    infos = episodes.infos
    if "label" in infos:
        return [
            (
                f"{choice_names[label]} \u2192 {choice_names[guesses[-1]]}",
                tuple(choice_names[guess] for guess in guesses),
            )
            for label, guesses in zip(infos["label"], episodes.choices.T, strict=True)
        ]
    yes, no = ("caught", "missed") if "caught" in infos else ("success", "failure")
    return [(yes if success else no, ()) for success in infos["success"]]
