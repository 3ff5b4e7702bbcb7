"""What an evaluation leaves behind: a table of errors, a plate of scan paths, and a moving picture of the gaze."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from glimpse_gym.agents.checkpoint import Card
from glimpse_gym.agents.evaluation import Agent, Conditions, Episodes, Score, evaluate, play
from glimpse_gym.plates import Gaze, gaze_frames, save_gif, save_png, scanpath_plate

_FRAME_MS, _LAST_FRAME_MS = 500, 2000


def evaluate_all(
    agent: Agent, card: Card, split: str, seed: int, num_images: int | None, progress: bool
) -> list[Score]:
    """The scores that tell whether an agent sees by looking: its own locations, mean and sampled, against none."""
    return [
        evaluate(
            agent,
            card.env_id,
            card.env_kwargs,
            Conditions(split, locations, sample, seed),
            num_images=num_images,
            progress=progress,
        )
        for locations, sample in (("learned", False), ("learned", True), ("random", False), ("center", False))
    ]


def table(scores: Sequence[Score]) -> str:
    """Errors after each glimpse, in per cent, a line for each score; the last with its standard error."""
    num_glimpses = len(scores[0].errors)
    lines = ["locations           " + "".join(f"{t + 1:>8}" for t in range(num_glimpses)) + "   ± s.e."]
    for score in scores:
        name = score.locations + {"learned": ", sampled" if score.sample else ", mean"}.get(score.locations, "")
        errors = "".join(f"{100 * error:8.2f}" for error in score.errors)
        lines.append(f"{name:<20}{errors}   ± {100 * score.standard_errors[-1]:.2f}")
    return "\n".join(lines)


def save_pictures(folder: Path, agent: Agent, card: Card, split: str, seed: int) -> tuple[Path, Path]:
    """Write ``scanpaths.png`` and ``gaze.gif`` of the first images of a split, at mean locations."""
    conditions = Conditions(split, seed=seed)
    batches = play(agent, card.env_id, card.env_kwargs, conditions, num_images=24, num_envs=24, keep_images=True)
    gazes = _to_gazes(next(batches))
    plate, gif = folder / "scanpaths.png", folder / "gaze.gif"
    num_right = sum(bool(gaze.good) for gaze in gazes)
    title = f"{card.env_id}: {num_right} of {len(gazes)} named right"
    save_png(plate, scanpath_plate(gazes, columns=8, title=title))
    frames = gaze_frames(gazes[:8])
    save_gif(gif, frames, [_FRAME_MS] * (len(frames) - 1) + [_LAST_FRAME_MS])
    return plate, gif


def _to_gazes(episodes: Episodes) -> list[Gaze]:
    names = episodes.class_names
    return [
        Gaze(
            image,
            episodes.locations[:, i],
            episodes.retina,
            caption=f"{names[label]} \u2192 {names[episodes.guesses[-1, i]]}",
            good=bool(label == episodes.guesses[-1, i]),
            guesses=tuple(names[guess] for guess in episodes.guesses[:, i]),
        )
        for i, (image, label) in enumerate(zip(episodes.images, episodes.labels, strict=True))
    ]
