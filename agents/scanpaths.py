"""What an evaluation leaves behind: a table of errors, a plate of scan paths, and a moving picture of the gaze."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from glimpse_gym.agents.checkpoint import Card
from glimpse_gym.agents.evaluation import Agent, Conditions, Score, evaluate, play
from glimpse_gym.agents.ram import RAMConfig
from glimpse_gym.envs.classification import ClassificationWorld
from glimpse_gym.rendering.figures import Gaze, gaze_frames, save_gif, save_png, scanpath_plate
from glimpse_gym.world import World

_FRAME_MS, _LAST_FRAME_MS = 500, 2000


def evaluate_all(
    agent: Agent, card: Card, split: str, seed: int, num_episodes: int | None = None, progress: bool = True
) -> list[Score]:
    """The scores that tell whether an agent sees by looking: its own locations, mean and sampled, against none."""
    looks = [("learned", False)]
    if isinstance(card.config, RAMConfig):  # others do not look around
        looks += [("learned", True), ("random", False), ("center", False)]
    return [
        evaluate(
            agent,
            card.env_id,
            card.env_kwargs,
            Conditions(split, locations, sample, seed),
            num_episodes=num_episodes,
            progress=progress,
        )
        for locations, sample in looks
    ]


def table(scores: Sequence[Score]) -> str:
    """Errors after each glimpse, in per cent, a line for each score; the last with its standard error."""
    num_glimpses = len(scores[0].errors)
    lines = [f"{'split, locations':<28}" + "".join(f"{t + 1:>8}" for t in range(num_glimpses)) + "   ± s.e."]
    for score in scores:
        name = f"{score.split}, {score.locations}"
        if score.locations == "learned":
            name += ", sampled" if score.sample else ", mean"
        errors = "".join(f"{100 * error:8.2f}" for error in score.errors)
        lines.append(f"{name:<28}{errors}   ± {100 * score.standard_errors[-1]:.2f}")
    return "\n".join(lines)


def save_pictures(folder: Path, agent: Agent, card: Card, split: str, seed: int) -> tuple[Path, Path]:
    """Write ``scanpaths.png`` and ``gaze.gif`` of the first images or games of a split, at mean locations."""
    folder.mkdir(parents=True, exist_ok=True)
    gazes = look(agent, card, split, seed, number=24)
    plate, gif = folder / "scanpaths.png", folder / "gaze.gif"
    save_png(plate, plate_of(gazes, card))
    frames = gaze_frames(gazes[:8])
    save_gif(gif, frames, [_FRAME_MS] * (len(frames) - 1) + [_LAST_FRAME_MS])
    return plate, gif


def plate_of(gazes: Sequence[Gaze], card: Card) -> np.ndarray:
    """A plate of scan paths, uint8 (height, width, 3), with how many episodes ended well."""
    num_right = sum(bool(gaze.good) for gaze in gazes)
    ended = "named right" if card.task.choice_name == "label" else "caught"
    return scanpath_plate(gazes, columns=8, title=f"{card.env_id}: {num_right} of {len(gazes)} {ended}")


def look(agent: Agent, card: Card, split: str, seed: int, number: int) -> list[Gaze]:
    """Where an agent looks, at mean locations, in the first episodes of a split."""
    worlds: list[World] = []
    images: list[list[np.ndarray]] = []

    def watch(world: World) -> None:
        worlds.append(world)
        images.append([world.image(row) for row in range(number)])

    batches = play(
        agent,
        card.env_id,
        card.env_kwargs,
        Conditions(split, seed=seed),
        num_episodes=number,
        num_envs=number,
        watch=watch,
    )
    episodes, world = next(batches), worlds[0]
    if isinstance(world, ClassificationWorld):
        names = world.images.class_names
        said = [
            (f"{names[label]} \u2192 {names[guesses[-1]]}", tuple(names[guess] for guess in guesses))
            for label, guesses in zip(episodes.infos["label"], episodes.choices.T, strict=True)
        ]
    else:  # all that was on the screen in the course of the game
        images[0] = [np.max(screens, axis=0) for screens in zip(*images, strict=True)]
        said = [("caught" if caught else "missed", ()) for caught in episodes.infos["caught"]]
    return [
        Gaze(images[0][i], episodes.locations[:, i], world.retina, caption, not episodes.wrong[-1, i], guesses)
        for i, (caption, guesses) in enumerate(said)
    ]
