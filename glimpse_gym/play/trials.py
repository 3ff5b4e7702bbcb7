"""Trials: finished episodes of people and agents, from any source, as comparisons and figures use them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np

from glimpse_gym.play.episode_record import EpisodeRecord
from glimpse_gym.retina import Retina


@dataclass(frozen=True, eq=False)
class Trial:
    """Episode of one player with one picture and T glimpses."""

    player: str
    task: str
    """Env id and keyword arguments, or the name of a data set. Accuracies are counted for each task separately."""
    picture: str
    """Equal in two trials if both players saw the same picture: the same still image, or the same game."""
    image: np.ndarray
    """uint8 (H, W) or (H, W, C); of a moving image, the last frame."""
    locations: np.ndarray
    """float (T, 2) in [-1, 1], location of every glimpse."""
    guesses: np.ndarray
    """int64 (T,), label guessed after every glimpse; -1: no guess."""
    label: int
    """True label; -1: the task has no labels."""
    success: bool
    seconds: np.ndarray
    """float (n,), response times; NaN where unknown."""
    image_index: int = -1
    """Index of the image in the task's images; -1: there are none."""
    num_given: int = 1
    """Number of glimpses at the start whose location the player did not choose."""
    image_moves: bool = False
    choice_names: tuple[str, ...] = ()
    """Names of the labels or moves."""
    guess_probs: np.ndarray | None = None
    """float (T, K), probabilities of the labels after every glimpse; None if the player has none."""
    retina: Retina | None = None
    """The retina that took the glimpses; None if unknown."""
    is_baseline: bool = False

    @property
    def chosen(self) -> np.ndarray:
        """Locations that the player chose, float (n, 2)."""
        return self.locations[self.num_given :]

    def guesses_after(self, num_glimpses: int) -> np.ndarray:
        """Guesses after 1 to ``num_glimpses`` glimpses, int64; the last guess stands once the trial has ended."""
        missing = max(num_glimpses - len(self.guesses), 0)
        return np.concatenate([self.guesses, np.repeat(self.guesses[-1:], missing)])[:num_glimpses]


def trial_of_record(record: EpisodeRecord) -> Trial:
    """Convert a recorded episode. The location of its first glimpse is the env's choice."""
    guesses = record.guesses[: record.num_glimpses].copy()
    if record.label >= 0:
        guesses[-1] = record.choices[-1]  # the answer, whether or not guesses were recorded
    task = describe_task(record.env_id, record.env_kwargs)
    return Trial(
        player=record.player,
        task=task,
        picture=picture_of(task, record.seed, record.image, record.image_moves),
        image=record.image,
        locations=record.fixations,
        guesses=guesses,
        label=record.label,
        success=record.success,
        seconds=record.seconds[: record.num_glimpses],
        image_index=record.image_index,
        image_moves=record.image_moves,
        choice_names=record.choice_names,
        guess_probs=None if record.guess_probs is None else record.guess_probs[: record.num_glimpses],
        retina=record.retina,
    )


def describe_task(env_id: str, env_kwargs: dict[str, Any]) -> str:
    """Env id, and the keyword arguments that differ from those of the id, as text; equal for equal tasks."""
    spec = gym.registry.get(env_id)
    defaults = spec.kwargs if spec else {}
    values = [
        f"{name}={json.dumps(value, default=str)}"
        for name, value in sorted(env_kwargs.items())
        if name not in defaults or json.dumps(defaults[name], default=str) != json.dumps(value, default=str)
    ]
    return f"{env_id} ({', '.join(values)})" if values else env_id


def picture_of(task: str, seed: int, image: np.ndarray, image_moves: bool) -> str:
    """Value of :attr:`Trial.picture`: a still image is known by its pixels, a game by its task and seed."""
    return f"{task}, seed {seed}" if image_moves else picture_key(image)


def picture_key(image: np.ndarray) -> str:
    """Key of a still image, equal for images with the same pixels."""
    return f"{image.shape} {hashlib.sha256(np.ascontiguousarray(image).tobytes()).hexdigest()}"


def mean_image(images: Sequence[np.ndarray]) -> np.ndarray:
    """Mean of images as float (H, W) in [0, 1]: channels are averaged, smaller images enlarged to the largest sides."""
    height, width = (max(image.shape[axis] for image in images) for axis in (0, 1))
    total = np.zeros((height, width))
    for image in images:
        gray = image.reshape(*image.shape[:2], -1).mean(axis=2)
        rows, columns = (np.arange(side) * gray.shape[axis] // side for axis, side in enumerate(total.shape))
        total += gray[np.ix_(rows, columns)]
    return total / (255 * len(images))
