"""The one evaluation: the error after each glimpse, on a named split, of anything that acts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple, Protocol

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import load_env_creator
from gymnasium.vector import AutoresetMode, VectorEnv
from tqdm import tqdm

from glimpse_gym.envs.classification import ClassificationWorld
from glimpse_gym.validation import check_choice
from glimpse_gym.vector import GlimpseVectorEnv
from glimpse_gym.world import World

LOCATIONS = ("learned", "random", "center")
GAMES = 100_000
"""How many games are played where no number is given."""
# The seed of episode i is i, plus this many times the seed that was asked for, plus, where no split tells a game from
# those that were learned from, a number that does.
_EPISODES_PER_SEED = 2**32
_GAMES_OF = {"train": 0, "validation": 2**63, "test": 2**63 + 2**62}


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
    """Of the canvases or games, the first glimpses, and all that is drawn."""
    num_episodes: int
    errors: list[float]
    """The share of wrong labels after each glimpse, or the share of balls missed, alone; in [0, 1]."""
    standard_errors: list[float]
    """Of each of them, over the episodes."""


class Episodes(NamedTuple):
    """B whole episodes of T glimpses, as an evaluation sees them."""

    wrong: np.ndarray
    """bool (T, B), whether the label would have been wrong after each glimpse; bool (1, B), whether the ball was
    missed."""
    locations: np.ndarray
    """float32 (T, B, 2), of every glimpse."""
    choices: np.ndarray
    """int64 (T, B), the label that the agent would have given after every glimpse, or its moves."""
    infos: dict[str, np.ndarray]
    """What the env told at the end, each (B,)."""
    total: int
    """How many episodes are shown in all, in this and the other batches."""

    def first_rows(self, number: int) -> Episodes:
        """The first of the episodes."""
        return self._replace(
            wrong=self.wrong[:, :number],
            locations=self.locations[:, :number],
            choices=self.choices[:, :number],
            infos={name: values[:number] for name, values in self.infos.items()},
        )


@dataclass(frozen=True)
class Conditions:
    """Under what conditions an agent is looked at."""

    split: str = "validation"
    locations: str = "learned"
    sample: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        check_choice("locations", self.locations, LOCATIONS)
        if not 0 <= self.seed < 2**30:
            raise ValueError(f"seed must be from 0 to 2**30 - 1, got {self.seed}")


def evaluate(
    agent: Agent,
    env_id: str,
    env_kwargs: dict[str, Any],
    conditions: Conditions,
    *,
    num_episodes: int | None = None,
    progress: bool = False,
) -> Score:
    """Show every image of a split once, or play so many games, and count the errors.

    Args:
        agent: for this env, in the hybrid form.
        env_id: of one of our worlds.
        env_kwargs: keyword values, without ``split``.
        conditions: the split, who chooses the locations, and the seed: the same seed gives the same canvases or games.
        num_episodes: at most so many, the first of the split; None for all (of games, GAMES).
        progress: show a bar.

    Raises:
        ValueError: an env that the agent was not made for, keyword values that are not accepted, or no episodes.
    """
    wrong, count = np.zeros(1), 0
    batches = play(agent, env_id, env_kwargs, conditions, num_episodes=num_episodes)
    with tqdm(desc=_describe(conditions), unit="episode", disable=not progress, leave=False) as bar:
        for batch in batches:
            wrong = wrong + batch.wrong.sum(axis=1)
            count += batch.wrong.shape[1]
            bar.total = batch.total
            bar.update(batch.wrong.shape[1])
    errors = wrong / count
    standard = np.sqrt(errors * (1 - errors) / count)
    return Score(**asdict(conditions), num_episodes=count, errors=errors.tolist(), standard_errors=standard.tolist())


def play(
    agent: Agent,
    env_id: str,
    env_kwargs: dict[str, Any],
    conditions: Conditions,
    *,
    num_episodes: int | None = None,
    num_envs: int = 500,
    watch: Callable[[World], None] | None = None,
) -> Iterator[Episodes]:
    """The episodes behind :func:`evaluate`, in the order of their images or seeds, at most ``num_envs`` at a time.

    Args:
        agent: as in :func:`evaluate`, and so are the others.
        num_envs: how many at a time.
        watch: called with the world before every step, for what the agent is not shown.
    """
    at_center = {"first_glimpse": "center"} if names_images(env_id) and conditions.locations == "center" else {}
    envs = make_envs(env_id, env_kwargs | at_center, conditions.split, num_envs)
    agent.check_env(envs)
    world: World = envs.unwrapped.world  # type: ignore[attr-defined]
    there = len(world.images) if isinstance(world, ClassificationWorld) else GAMES
    total = there if num_episodes is None else min(num_episodes, there)
    if total < 1:
        raise ValueError(f"num_episodes must be at least 1, got {num_episodes}")
    agent.seed(conditions.seed)
    rng = np.random.default_rng(conditions.seed)
    for first in range(0, total, num_envs):
        # The env has a fixed number of rows: the last batch repeats its last episode, and drops it again.
        index = np.minimum(np.arange(first, first + num_envs), total - 1)
        yield _play_batch(agent, envs, index, conditions, rng, watch)._replace(total=total).first_rows(total - first)
    envs.close()


def vector_class(env_id: str) -> type[GlimpseVectorEnv]:
    """The native vector env behind an id.

    Raises:
        ValueError: an id that is none of ours.
    """
    entry_point = gym.spec(env_id).vector_entry_point
    creator: Any = load_env_creator(entry_point) if isinstance(entry_point, str) else entry_point
    if not (isinstance(creator, type) and issubclass(creator, GlimpseVectorEnv)):
        raise ValueError(f"{env_id} is none of this package's envs: agents learn and are evaluated in those")
    return creator


def names_images(env_id: str) -> bool:
    """Whether images are to be named in the env of this id, which have splits; else a game is to be played."""
    return issubclass(vector_class(env_id).world_class, ClassificationWorld)


def make_envs(env_id: str, env_kwargs: dict[str, Any], split: str, num_envs: int) -> VectorEnv[Any, Any, Any]:
    """The vector env of a world, on one split if it has images, without autoreset.

    Raises:
        ValueError: an env that is none of ours, or keyword values it does not accept.
    """
    if chosen := env_kwargs.keys() & {"split", "num_envs", "autoreset_mode", "render_mode"}:
        raise ValueError(
            f"{sorted(chosen)} cannot be keyword values of the env here: learning and evaluation choose them"
        )
    kwargs = env_kwargs | ({"split": split} if names_images(env_id) else {})
    return gym.make_vec(env_id, num_envs=num_envs, autoreset_mode=AutoresetMode.DISABLED, **kwargs)


def _play_batch(
    agent: Agent,
    envs: VectorEnv[Any, Any, Any],
    index: np.ndarray,
    conditions: Conditions,
    rng: np.random.Generator,
    watch: Callable[[World], None] | None,
) -> Episodes:
    num_envs = len(index)
    world: World = envs.unwrapped.world  # type: ignore[attr-defined]
    has_images = isinstance(world, ClassificationWorld)
    first_seed = conditions.seed * _EPISODES_PER_SEED + (0 if has_images else _GAMES_OF[conditions.split])
    observation, _ = envs.reset(
        seed=[first_seed + int(i) for i in index],  # type: ignore[arg-type]
        options={"image_index": index} if has_images else None,
    )
    state = agent.initial_state(num_envs)
    locations, choices = [], []
    ended = np.zeros(num_envs, np.bool_)
    while not ended.all():  # in the hybrid form all episodes are equally long
        if watch:
            watch(world)
        action, state = agent.act(observation, state, conditions.sample)
        if conditions.locations == "random":
            action["location"] = rng.uniform(-1.0, 1.0, (num_envs, 2)).astype(np.float32)
        elif conditions.locations == "center":
            action["location"] = np.zeros((num_envs, 2), np.float32)
        locations.append(observation["location"])
        choices.append(action[world.choice_name])
        observation, _, ended, _, infos = envs.step(action)
    wrong = np.stack(choices) != infos["label"] if has_images else ~infos["caught"][None]
    told = {name: values for name, values in infos.items() if not name.startswith("_")}
    return Episodes(wrong, np.stack(locations), np.stack(choices), told, total=num_envs)


def _describe(conditions: Conditions) -> str:
    return f"{conditions.split}, {conditions.locations}{' sampled' if conditions.sample else ''}"
