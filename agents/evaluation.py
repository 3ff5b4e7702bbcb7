"""Evaluation of any agent on one split: its error after each glimpse, or the outcomes of whole episodes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
from gymnasium.vector import VectorEnv
from tqdm import tqdm

from glimpse_gym.agents.base import Agent, TaskSpec
from glimpse_gym.agents.json_checks import check_count, check_entries, check_fraction, check_list
from glimpse_gym.agents.task_envs import has_splits, make_envs
from glimpse_gym.safe_io import MAX_BYTES
from glimpse_gym.validation import check_choice, shown

LOCATIONS = ("learned", "random", "center")
NUM_GAMES = 100_000
"""Default number of episodes in an env without images."""
# The seed of episode i is (seed of the evaluation) * _EPISODES_PER_SEED + i. In an env without splits an offset is
# added, so that training, validation and test never share an episode.
_EPISODES_PER_SEED = 2**32
_BYTES_PER_STEP = 34  # of a recorded location, choice and success, and of the copies made when steps are put together
_SPLIT_OFFSETS = {"train": 0, "validation": 2**63, "test": 2**63 + 2**62}


class Score(NamedTuple):
    """Result of an evaluation."""

    split: str
    locations: str
    """Source of the locations: "learned" (the agent), "random" (uniform) or "center" (fixed, the first included)."""
    sample: bool
    """True if the agent sampled from its policy, False if it used the mean."""
    seed: int
    """Seed of the canvases or games, the first glimpses, and all samples."""
    num_episodes: int
    errors: list[float]
    """Fraction of wrong labels after each glimpse; in a task without labels one number, the fraction of failures."""
    standard_errors: list[float]
    """Standard error of each, over the episodes."""


def check_score(name: str, value: Any) -> None:
    """Check a score from a file, a dict with the fields of :class:`Score`.

    Raises:
        ValueError: an entry is missing, unknown, of the wrong type or out of range.
    """
    check_entries(name, value, Score._fields)
    check_choice(f"{name}.split", value["split"], tuple(_SPLIT_OFFSETS))
    check_choice(f"{name}.locations", value["locations"], LOCATIONS)
    if type(value["sample"]) is not bool:
        raise ValueError(f"{name}.sample must be True or False, got {shown(value['sample'])}")
    check_count(f"{name}.seed", value["seed"])
    check_count(f"{name}.num_episodes", value["num_episodes"], at_least=1)
    lengths = [len(check_list(f"{name}.{key}", value[key], check_fraction)) for key in ("errors", "standard_errors")]
    if not 0 < lengths[0] == lengths[1]:
        raise ValueError(
            f"{name}.errors and {name}.standard_errors must have the same length, at least 1, got {lengths[0]} and "
            f"{lengths[1]}"
        )


class Episodes(NamedTuple):
    """B whole episodes of T glimpses."""

    incorrect: np.ndarray
    """bool (T, B), the label after a glimpse was wrong; in a task without labels bool (1, B), the episode failed."""
    locations: np.ndarray
    """float32 (T, B, 2), location of every glimpse."""
    choices: np.ndarray
    """int64 (T, B), the label that the agent would have given after each glimpse, or its moves."""
    infos: dict[str, np.ndarray]
    """``info`` at the end of the episodes, each (B,)."""
    total: int
    """Number of episodes in all batches together."""

    def first(self, number: int) -> Episodes:
        """Select the first ``number`` episodes."""
        return self._replace(
            incorrect=self.incorrect[:, :number],
            locations=self.locations[:, :number],
            choices=self.choices[:, :number],
            infos={name: values[:number] for name, values in self.infos.items()},
        )


@dataclass(frozen=True)
class EvalConditions:
    """Conditions of an evaluation; see :class:`Score`."""

    split: str = "validation"
    locations: str = "learned"
    sample: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        check_choice("locations", self.locations, LOCATIONS)
        if not 0 <= self.seed < 2**30:
            raise ValueError(f"seed must be from 0 to 2**30 - 1, got {self.seed}")

    def describe(self) -> str:
        """Describe the conditions in a few words, for a progress bar."""
        return f"{self.split}, {self.locations}{' sampled' if self.sample else ''}"


def evaluate(
    agent: Agent,
    env_id: str,
    env_kwargs: dict[str, Any],
    conditions: EvalConditions,
    *,
    num_episodes: int | None = None,
    progress: bool = False,
) -> Score:
    """Play one episode per image of a split, or a number of games, and measure the error rate.

    An agent with discrete actions may end an episode early, and has no label after each glimpse: its errors are one
    number, the fraction of failures.

    Args:
        agent: made for this env.
        env_id: id of one of this package's envs.
        env_kwargs: its keyword arguments, without ``split``.
        conditions: split, source of the locations, and seed. The same seed gives the same canvases or games.
        num_episodes: number of episodes, from the start of the split; None for all images, or NUM_GAMES games.
        progress: show a progress bar.

    Raises:
        ValueError: if the agent was not made for this env, an argument is not accepted, or there are no episodes.
    """
    if getattr(agent, "actions", "hybrid") == "discrete":
        success = play_to_the_end(agent, env_id, env_kwargs, conditions, num_episodes=num_episodes).success
        return _score(conditions, np.array([np.count_nonzero(~success)]), len(success))
    incorrect, count = np.zeros(1), 0
    batches = play_episodes(agent, env_id, env_kwargs, conditions, num_episodes=num_episodes)
    with tqdm(desc=conditions.describe(), unit="episode", disable=not progress, leave=False) as bar:
        for batch in batches:
            incorrect = incorrect + batch.incorrect.sum(axis=1)
            count += batch.incorrect.shape[1]
            bar.total = batch.total
            bar.update(batch.incorrect.shape[1])
    return _score(conditions, incorrect, count)


def _score(conditions: EvalConditions, incorrect: np.ndarray, count: int) -> Score:
    errors = incorrect / count
    standard = np.sqrt(errors * (1 - errors) / count)
    return Score(**asdict(conditions), num_episodes=count, errors=errors.tolist(), standard_errors=standard.tolist())


def play_episodes(
    agent: Agent,
    env_id: str,
    env_kwargs: dict[str, Any],
    conditions: EvalConditions,
    *,
    num_episodes: int | None = None,
    num_envs: int = 500,
    on_step: Callable[[VectorEnv[Any, Any, Any], dict[str, np.ndarray]], None] | None = None,
) -> Iterator[Episodes]:
    """Yield the episodes of :func:`evaluate`, ordered by image or seed, in batches of at most ``num_envs``.

    Args:
        agent: as in :func:`evaluate`; so are the arguments not listed here.
        num_envs: number of sub-envs.
        on_step: called with the vector env and the observation before every step.
    """
    at_center = {"first_glimpse": "center"} if has_splits(env_id) and conditions.locations == "center" else {}
    envs = make_envs(env_id, env_kwargs | at_center, conditions.split, num_envs)
    check_steps(num_envs, envs.metadata["num_glimpses"])
    rng = np.random.default_rng(conditions.seed)
    total, batches = _start(agent, envs, conditions, num_episodes)
    for index in batches:
        batch = _play_batch(agent, envs, index, conditions, rng, on_step)
        yield batch._replace(total=total).first(total - int(index[0]))
    envs.close()


def check_steps(num_envs: int, num_glimpses: int, num_probs: int = 0) -> None:
    """Raise ValueError if the recorded steps of episodes would take too much memory.

    Args:
        num_envs: number of episodes.
        num_glimpses: steps of each.
        num_probs: probabilities that are recorded at each step, float32.
    """
    num_bytes = num_envs * num_glimpses * (_BYTES_PER_STEP + 8 * num_probs)  # 4 bytes each, copied once
    if num_bytes > MAX_BYTES:
        raise ValueError(
            f"num_glimpses={num_glimpses}: the steps of {num_envs} episodes take {num_bytes:,} bytes, "
            f"more than {MAX_BYTES:,}; use fewer glimpses"
        )


class Outcomes(NamedTuple):
    """Outcomes of N whole episodes, in any action form."""

    success: np.ndarray
    """bool (N,): right label, or ball caught."""
    episode_return: np.ndarray
    """float64 (N,): sum of the rewards."""
    num_glimpses: np.ndarray
    """int64 (N,): glimpses that the agent had seen when it took its last action; fewer than T if it answered early."""


def play_to_the_end(
    agent: Agent,
    env_id: str,
    env_kwargs: dict[str, Any],
    conditions: EvalConditions,
    *,
    num_episodes: int | None = None,
    num_envs: int = 500,
) -> Outcomes:
    """Play the episodes of :func:`evaluate` with an agent of any action form, at locations of its own choice.

    Args:
        agent: made for this env.
        env_id: as in :func:`evaluate`; so are the arguments not listed here.
        num_envs: number of sub-envs.

    Raises:
        ValueError: as :func:`evaluate`; also if ``conditions.locations`` is not "learned".
    """
    if conditions.locations != "learned":
        raise ValueError(f"locations must be 'learned' here, got {conditions.locations!r}")
    envs = make_envs(env_id, env_kwargs, conditions.split, num_envs)
    total, batches = _start(agent, envs, conditions, num_episodes)
    parts = [_play_batch_to_the_end(agent, envs, index, conditions) for index in batches]
    envs.close()
    return Outcomes(*(np.concatenate(values)[:total] for values in zip(*parts, strict=True)))


def _start(
    agent: Agent, envs: VectorEnv[Any, Any, Any], conditions: EvalConditions, num_episodes: int | None
) -> tuple[int, Iterator[np.ndarray]]:
    """Check the agent, seed it, and return the number of episodes and their numbers in batches, each (num_envs,).

    The number of sub-envs is fixed: the last batch is padded with copies of its last episode, to be dropped afterwards.
    """
    agent.check_env(envs)
    available = envs.metadata["num_images"] or NUM_GAMES
    total = available if num_episodes is None else min(num_episodes, available)
    if total < 1:
        raise ValueError(f"num_episodes must be at least 1, got {num_episodes}")
    agent.seed(conditions.seed)
    firsts = range(0, total, envs.num_envs)
    return total, (np.minimum(np.arange(first, first + envs.num_envs), total - 1) for first in firsts)


def _reset_batch(envs: VectorEnv[Any, Any, Any], index: np.ndarray, conditions: EvalConditions) -> Any:
    """Start the episodes with these numbers, and return the first observation."""
    has_images = envs.metadata["num_images"] is not None
    first_seed = conditions.seed * _EPISODES_PER_SEED
    if not has_images:
        first_seed += _SPLIT_OFFSETS[check_choice("split", conditions.split, tuple(_SPLIT_OFFSETS))]
    observation, _ = envs.reset(
        seed=[first_seed + int(i) for i in index],  # type: ignore[arg-type]
        options={"image_index": index} if has_images else None,
    )
    return observation


def _play_batch_to_the_end(
    agent: Agent, envs: VectorEnv[Any, Any, Any], index: np.ndarray, conditions: EvalConditions
) -> Outcomes:
    observation = _reset_batch(envs, index, conditions)
    state = agent.initial_state(len(index))
    outcomes = Outcomes(np.zeros(len(index), np.bool_), np.zeros(len(index)), np.zeros(len(index), np.int64))
    active = np.ones(len(index), np.bool_)
    while active.any():  # sub-envs that have ended go on with other episodes, which do not count
        action, state = agent.act(observation, state, conditions.sample)
        observation, reward, terminated, truncated, infos = envs.step(action)
        outcomes.episode_return[active] += reward[active]
        outcomes.num_glimpses[active] += 1
        ended = active & (terminated | truncated)
        outcomes.success[ended] = infos["success"][ended]
        active &= ~ended
    return outcomes


def _play_batch(
    agent: Agent,
    envs: VectorEnv[Any, Any, Any],
    index: np.ndarray,
    conditions: EvalConditions,
    rng: np.random.Generator,
    on_step: Callable[[VectorEnv[Any, Any, Any], dict[str, np.ndarray]], None] | None,
) -> Episodes:
    num_envs = len(index)
    observation = _reset_batch(envs, index, conditions)
    choice_name = TaskSpec.from_env(envs).choice_name
    state = agent.initial_state(num_envs)
    locations, choices = [], []
    terminated = np.zeros(num_envs, np.bool_)
    while not terminated.all():  # with hybrid actions all episodes have the same length
        if on_step:
            on_step(envs, observation)
        action, state = agent.act(observation, state, conditions.sample)
        if conditions.locations == "random":
            action["next_location"] = rng.uniform(-1.0, 1.0, (num_envs, 2)).astype(np.float32)
        elif conditions.locations == "center":
            action["next_location"] = np.zeros((num_envs, 2), np.float32)
        locations.append(observation["location"])
        choices.append(action[choice_name])
        observation, _, terminated, _, infos = envs.step(action)
    incorrect = np.stack(choices) != infos["label"] if "label" in infos else ~infos["success"][None]
    info = {name: values for name, values in infos.items() if not name.startswith("_")}
    return Episodes(incorrect, np.stack(locations), np.stack(choices), info, total=num_envs)
