"""Episodes that are played one at a time, by a person or an agent.

An episode is determined by ``(env_id, env_kwargs, seed)`` and the actions: the vector env with one row is reset with
``seed=[seed]``, so that different players get the same image, canvas and first glimpse.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode, VectorEnv

from glimpse_gym.agents.task_envs import vector_env_class
from glimpse_gym.play.episode_record import EpisodeRecord
from glimpse_gym.provenance import package_versions, storable_kwargs
from glimpse_gym.retina import Retina
from glimpse_gym.rng import check_seed
from glimpse_gym.safe_io import MAX_BYTES
from glimpse_gym.validation import check_memory

if TYPE_CHECKING:
    from glimpse_gym.agents.base import Decision

_RESERVED = {"num_envs", "autoreset_mode", "render_mode"}


class PlayEnv:
    """Vector env with one row, and the arguments to make it again. One episode runs at a time.

    Args:
        env_id: id of one of this package's envs.
        env_kwargs: its keyword arguments, ``split`` included; the others are those of the id.

    Raises:
        ValueError: an env without hybrid actions and dict observations, not of this package, a value that is not
            accepted, or one that JSON cannot store, such as an array.
        gymnasium.error.Error: an id that is not registered.
    """

    def __init__(self, env_id: str, env_kwargs: dict[str, Any] | None = None) -> None:
        vector_env_class(env_id)
        env_kwargs = gym.spec(env_id).kwargs | (env_kwargs or {})
        if chosen := env_kwargs.keys() & _RESERVED:
            raise ValueError(f"{sorted(chosen)} cannot be given as env keyword arguments: playing sets them")
        if env_kwargs.get("actions", "hybrid") != "hybrid" or env_kwargs.get("observations", "dict") != "dict":
            raise ValueError(
                f"{env_id} is made with other actions or observations than people and agents play with: use an id "
                "without 'Discrete' or 'Continuous', actions='hybrid' and observations='dict'"
            )
        self.env_id, self.env_kwargs = env_id, storable_kwargs(env_kwargs)
        self.envs: VectorEnv[Any, Any, Any] = gym.make_vec(
            env_id, num_envs=1, autoreset_mode=AutoresetMode.DISABLED, **self.env_kwargs
        )
        self.metadata = self.envs.metadata
        """Description of the task, see the reference page of the env."""
        (self.choice_name,) = set(self.envs.single_action_space) - {"next_location"}  # type: ignore[call-overload]
        self.choice_names: tuple[str, ...] = tuple(self.metadata["choice_names"])
        self.episode: Episode | None = None
        """The latest episode."""

    @property
    def retina(self) -> Retina:
        """The retina of the glimpses."""
        return Retina(self.metadata["patch_size"], self.metadata["num_scales"])

    def close(self) -> None:
        """Close the vector env."""
        self.envs.close()


class Episode:
    """Episode in progress, which collects the data of its record.

    Args:
        env: the env to play in. An earlier episode in the same env can no longer be continued.
        seed: integer >= 0.

    Raises:
        ValueError: if the seed is not accepted, or the glimpses and images would take more memory than ``max_bytes``.
    """

    def __init__(self, env: PlayEnv, seed: int) -> None:
        self.env, self.seed = env, check_seed("seed", seed)
        batch, infos = env.envs.reset(seed=[self.seed])  # type: ignore[arg-type]
        _check_memory(env, batch["glimpse"][0].nbytes)
        env.episode = self
        self.started = datetime.now(UTC).isoformat(timespec="seconds")
        self.over = False
        self.num_glimpses = 1
        """Glimpses so far. Those that repeat the last one, because the player gave up the rest of the budget, are not
        counted."""
        self._observations: list[dict[str, np.ndarray]] = []
        self._images: list[np.ndarray] = []
        self._next_locations: list[np.ndarray] = []
        self._choices: list[int] = []
        self._rewards: list[float] = []
        self._guesses: list[int] = []
        self._seconds: list[float] = []
        self._decisions: list[Decision] = []
        self._add(batch, infos)

    @property
    def observation(self) -> dict[str, np.ndarray]:
        """The latest observation: ``glimpse`` (k*C, g, g), ``location`` (2,), ``time`` (1,), all float32."""
        return self._observations[-1]

    @property
    def observations(self) -> tuple[dict[str, np.ndarray], ...]:
        """Observations so far, that of the reset first."""
        return tuple(self._observations)

    @property
    def image(self) -> np.ndarray:
        """The whole current image, uint8 (H, W) or (H, W, C). A player must not see it before the end.

        A large image that stays in a file is reduced.
        """
        return self._images[-1]

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width of the current image in pixels, before it was reduced."""
        height, width = self.env.envs.unwrapped.world.sizes[0].tolist()  # type: ignore[attr-defined]
        return height, width

    @property
    def num_steps(self) -> int:
        """Steps so far."""
        return len(self._rewards)

    @property
    def num_steps_left(self) -> int:
        """Steps until the end. In a world with a final choice, the last of them takes the answer."""
        return int(self.env.metadata["num_glimpses"]) - self.num_steps

    @property
    def glimpses_left(self) -> int:
        """Glimpses that can still be taken. In a world with a final choice, an answer is due at 0."""
        return int(self.env.metadata["num_glimpses"]) - self.num_glimpses

    @property
    def choice_name(self) -> str:
        """``"label"`` or ``"move"``."""
        return self.env.choice_name

    @property
    def choice_names(self) -> tuple[str, ...]:
        """Names of the labels or moves."""
        return self.env.choice_names

    @property
    def image_moves(self) -> bool:
        """True if the image changes in the course of the episode."""
        return bool(self.env.metadata["image_moves"])

    @property
    def total_reward(self) -> float:
        """Sum of the rewards so far."""
        return sum(self._rewards)

    def step(self, next_location: Any, choice: int = 0, guess: int | None = None, seconds: float = math.nan) -> None:
        """Take one step.

        Args:
            next_location: x and y in [-1, 1]. At the last step of a world with a final choice it is ignored.
            choice: the label, of which only that of the last step counts, or the move.
            guess: the label that the player would give now; None if none was given. At the last step of a world with a
                final choice it is the choice.
            seconds: response time.

        Raises:
            ResetNeeded: the episode is over, or another one has started in the env.
            ValueError: an action or a guess that is not accepted; the episode does not change.
        """
        if self.over or self.env.episode is not self:
            raise ResetNeeded("the episode is over, or another one has started: make a new Episode")
        num_choices = len(self.env.choice_names)
        if guess is not None and not 0 <= guess < num_choices:
            raise ValueError(f"guess must be from 0 to {num_choices - 1}, or None; got {guess}")
        action = {
            "next_location": np.asarray(next_location, np.float32)[None],
            self.env.choice_name: np.asarray(choice)[None],
        }
        batch, rewards, terminated, _, infos = self.env.envs.step(action)
        self.over = bool(terminated[0])
        if self.over and self.env.metadata["choice_is_final"]:
            guess = choice
        else:
            self.num_glimpses += not self.over
        self._next_locations.append(action["next_location"][0])
        self._choices.append(int(choice))
        self._rewards.append(float(rewards[0]))
        self._guesses.append(-1 if guess is None else int(guess))
        self._seconds.append(float(seconds))
        self._add(batch, infos)

    def answer(self, choice: int, seconds: float = math.nan) -> None:
        """Give the final answer now. The steps that remain repeat the location, and are no glimpses of the record.

        Raises:
            ResetNeeded: as in :meth:`step`.
            ValueError: a choice that is not accepted, or a world without a final choice.
        """
        if not self.env.metadata["choice_is_final"]:
            raise ValueError(f"every step of {self.env.env_id} has a {self.env.choice_name}: there is no final answer")
        num_glimpses = self.num_glimpses
        self.step(self.observation["location"], choice, choice, seconds)
        while not self.over:
            self.step(self.observation["location"], choice, choice, 0.0)
        self.num_glimpses = num_glimpses

    def add_decision(self, decision: Decision) -> None:
        """Keep the distributions from which an agent chose its next step; call it before every step, or never."""
        self._decisions.append(decision)

    def record(self, player: str, is_agent: bool = False) -> EpisodeRecord:
        """The finished episode as data.

        Args:
            player: name of the person, or of the agent.
            is_agent: it was an agent.

        Raises:
            ValueError: the episode is not over.
        """
        if not self.over:
            raise ValueError("only a finished episode can be recorded")
        env, metadata = self.env, self.env.metadata
        return EpisodeRecord(
            player=player,
            is_agent=is_agent,
            started=self.started,
            env_id=env.env_id,
            env_kwargs=env.env_kwargs,
            seed=self.seed,
            versions=package_versions(*(["torch"] if self._decisions else [])),
            choice_name=env.choice_name,
            choice_names=env.choice_names,
            choice_is_final=metadata["choice_is_final"],
            num_scales=metadata["num_scales"],
            patch_size=metadata["patch_size"],
            image_size=self.image_size,
            image_moves=metadata["image_moves"],
            num_glimpses=self.num_glimpses,
            image_index=self.info.get("image_index", -1),
            label=self.info.get("label", -1),
            success=self.info["success"],
            glimpses=np.stack([each["glimpse"] for each in self._observations]),
            locations=np.stack([each["location"] for each in self._observations]),
            times=np.concatenate([each["time"] for each in self._observations]),
            next_locations=np.stack(self._next_locations),
            choices=np.array(self._choices, np.int64),
            rewards=np.array(self._rewards, np.float64),
            guesses=np.array(self._guesses, np.int64),
            seconds=np.array(self._seconds, np.float64),
            images=np.stack(self._images),
            **_distributions(self._decisions),
        )

    def _add(self, batch: dict[str, np.ndarray], infos: dict[str, np.ndarray]) -> None:
        self._observations.append({name: values[0] for name, values in batch.items()})
        self.info: dict[str, Any] = {
            name: values[0].item() for name, values in infos.items() if not name.startswith("_")
        }
        if self.env.metadata["image_moves"] or not self._images:
            self._images.append(self.env.envs.unwrapped.picture[0])  # type: ignore[attr-defined]


def _check_memory(env: PlayEnv, glimpse_bytes: int) -> None:
    """Raise ValueError if an episode cannot be kept in memory; it is copied when it is recorded."""
    num_glimpses = int(env.metadata["num_glimpses"])
    image_bytes = env.envs.unwrapped.picture[0].nbytes if env.metadata["image_moves"] else 0  # type: ignore[attr-defined]
    check_memory(
        2 * (num_glimpses + 1) * (glimpse_bytes + image_bytes),
        env.env_kwargs.get("max_bytes", MAX_BYTES),
        f"the glimpses and images of an episode with num_glimpses={num_glimpses}",
        "fewer glimpses",
    )


def _distributions(decisions: list[Decision]) -> dict[str, Any]:
    """Fields of a record that come from an agent's decisions."""
    fields: dict[str, Any] = {"guess_probs": None, "location_means": None, "location_std": None}
    if decisions and all(each.choice_probs is not None for each in decisions):
        fields["guess_probs"] = np.concatenate([each.choice_probs for each in decisions])
    if decisions and all(each.location_mean is not None for each in decisions):
        fields["location_means"] = np.concatenate([each.location_mean for each in decisions])
        std = decisions[-1].location_std
        fields["location_std"] = None if std is None else float(std)
    return fields
