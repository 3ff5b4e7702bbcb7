"""The one evaluation: the error after each glimpse, on a named split, of anything that acts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple, Protocol

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import load_env_creator
from gymnasium.vector import AutoresetMode, VectorEnv
from tqdm import tqdm

from glimpse_gym.checks import check_one_of
from glimpse_gym.envs import ClassificationVectorEnv
from glimpse_gym.retina import Retina

LOCATIONS = ("learned", "random", "center")
# The seed of image i is its index plus this many times the seed that was asked for.
_IMAGES_PER_SEED = 2**32


class Agent(Protocol):
    """Everything that acts: batched, for the vector env it was made for."""

    def check_env(self, envs: VectorEnv[Any, Any, Any]) -> None:
        """Raise a ValueError where this is not the kind of vector env that the agent was made for."""

    def seed(self, seed: int) -> None:
        """Begin anew whatever it draws its samples from."""

    def initial_state(self, num_envs: int) -> Any:
        """The memory before the first observation."""

    def act(self, observation: Any, state: Any, sample: bool = False) -> tuple[Any, Any]:
        """An action and the new memory, which starts afresh in the rows where ``time`` is 0."""


class Score(NamedTuple):
    """How well an agent did on a split."""

    split: str
    locations: str
    """Who chose them: "learned" (the agent), "random" (uniformly) or "center" (always there, the first too)."""
    sample: bool
    """Whether the agent drew from its policy, or took its mean."""
    seed: int
    """Of the canvases, the first glimpses, and all that is drawn."""
    num_images: int
    errors: list[float]
    """The share of wrong labels after each glimpse, in [0, 1]."""
    standard_errors: list[float]
    """Of each of them, over the images."""


class Episodes(NamedTuple):
    """B whole episodes of T glimpses, as an evaluation sees them."""

    image_index: np.ndarray
    """int64 (B,)."""
    locations: np.ndarray
    """float32 (T, B, 2), of every glimpse."""
    guesses: np.ndarray
    """int64 (T, B), what the agent would have answered after every glimpse."""
    labels: np.ndarray
    """int64 (B,)."""
    images: tuple[np.ndarray, ...]
    """The B images, for drawing; empty where none were asked for."""
    class_names: tuple[str, ...]
    retina: Retina
    total: int
    """How many images are shown in all, in this and the other batches."""


@dataclass(frozen=True)
class Conditions:
    """Under what conditions an agent is looked at."""

    split: str = "validation"
    locations: str = "learned"
    sample: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        check_one_of("locations", self.locations, LOCATIONS)
        if not 0 <= self.seed < 2**32:
            raise ValueError(f"seed must be from 0 to 2**32 - 1, got {self.seed}")


def evaluate(
    agent: Agent,
    env_id: str,
    env_kwargs: dict[str, Any],
    conditions: Conditions,
    *,
    num_images: int | None = None,
    progress: bool = False,
) -> Score:
    """Show every image of a split once, and count the errors after each glimpse.

    Args:
        agent: for this env, in the hybrid form.
        env_id: of a classification world.
        env_kwargs: keyword values, without ``split``.
        conditions: the split, who chooses the locations, and the seed: the same seed gives the same canvases.
        num_images: at most so many, the first of the split; None for all.
        progress: show a bar.

    Raises:
        ValueError: no images, or conditions that do not exist.
    """
    wrong: np.ndarray | float = 0.0
    count = 0
    batches = play(agent, env_id, env_kwargs, conditions, num_images=num_images)
    with tqdm(desc=_describe(conditions), unit="image", disable=not progress, leave=False) as bar:
        for batch in batches:
            wrong = wrong + (batch.guesses != batch.labels).sum(axis=1)
            count += len(batch.labels)
            bar.total = batch.total
            bar.update(len(batch.labels))
    errors = np.asarray(wrong) / count
    standard = np.sqrt(errors * (1 - errors) / count)
    return Score(**asdict(conditions), num_images=count, errors=errors.tolist(), standard_errors=standard.tolist())


def play(
    agent: Agent,
    env_id: str,
    env_kwargs: dict[str, Any],
    conditions: Conditions,
    *,
    num_images: int | None = None,
    num_envs: int = 500,
    keep_images: bool = False,
) -> Iterator[Episodes]:
    """The episodes behind :func:`evaluate`, in file order, at most ``num_envs`` at a time."""
    kwargs = env_kwargs | ({"first_glimpse": "center"} if conditions.locations == "center" else {})
    envs = make_envs(env_id, kwargs, conditions.split, num_envs)
    agent.check_env(envs)
    split_size = len(envs.unwrapped.world.images)  # type: ignore[attr-defined]
    total = split_size if num_images is None else min(num_images, split_size)
    if total < 1:
        raise ValueError(f"num_images must be at least 1, got {num_images}")
    agent.seed(conditions.seed)
    rng = np.random.default_rng(conditions.seed)
    for first in range(0, total, num_envs):
        # The env has a fixed number of rows: the last batch repeats its last image, and drops it again.
        image_index = np.minimum(np.arange(first, first + num_envs), total - 1)
        batch = _play_batch(agent, envs, image_index, conditions, rng, keep_images)
        yield _first_rows(batch, total - first)._replace(total=total)
    envs.close()


def make_envs(env_id: str, env_kwargs: dict[str, Any], split: str, num_envs: int) -> VectorEnv[Any, Any, Any]:
    """The vector env of a classification world, on one split, without autoreset.

    Raises:
        ValueError: an env in which no images are classified, or keyword values it does not accept.
    """
    if chosen := env_kwargs.keys() & {"split", "num_envs", "autoreset_mode", "render_mode"}:
        raise ValueError(
            f"{sorted(chosen)} cannot be keyword values of the env here: learning and evaluation choose them"
        )
    entry_point = gym.spec(env_id).vector_entry_point
    creator = load_env_creator(entry_point) if isinstance(entry_point, str) else entry_point
    if not (isinstance(creator, type) and issubclass(creator, ClassificationVectorEnv)):
        raise ValueError(f"{env_id} is no classification env: it has no labels to learn and to be evaluated on")
    return gym.make_vec(env_id, num_envs=num_envs, split=split, autoreset_mode=AutoresetMode.DISABLED, **env_kwargs)


def _play_batch(
    agent: Agent,
    envs: VectorEnv[Any, Any, Any],
    image_index: np.ndarray,
    conditions: Conditions,
    rng: np.random.Generator,
    keep_images: bool,
) -> Episodes:
    num_envs = len(image_index)
    seeds = [conditions.seed * _IMAGES_PER_SEED + int(i) for i in image_index]
    observation, _ = envs.reset(seed=seeds, options={"image_index": image_index})  # type: ignore[arg-type]
    images = envs.unwrapped.image if keep_images else ()  # type: ignore[attr-defined]
    state = agent.initial_state(num_envs)
    locations, guesses = [], []
    ended = np.zeros(num_envs, np.bool_)
    while not ended.all():  # in the hybrid form all episodes are equally long
        action, state = agent.act(observation, state, conditions.sample)
        if conditions.locations == "random":
            action["location"] = rng.uniform(-1.0, 1.0, (num_envs, 2)).astype(np.float32)
        elif conditions.locations == "center":
            action["location"] = np.zeros((num_envs, 2), np.float32)
        locations.append(observation["location"])
        guesses.append(action["label"])
        observation, _, ended, _, infos = envs.step(action)
    world = envs.unwrapped.world  # type: ignore[attr-defined]
    return Episodes(
        image_index,
        np.stack(locations),
        np.stack(guesses),
        infos["label"],
        images,
        world.images.class_names,
        world.retina,
        total=num_envs,
    )


def _first_rows(batch: Episodes, number: int) -> Episodes:
    return batch._replace(
        image_index=batch.image_index[:number],
        locations=batch.locations[:, :number],
        guesses=batch.guesses[:, :number],
        labels=batch.labels[:number],
        images=batch.images[:number],
    )


def _describe(conditions: Conditions) -> str:
    return f"{conditions.split}, {conditions.locations}{' sampled' if conditions.sample else ''}"
