"""Agents that play single episodes, as opponents of a person or to be recorded."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gymnasium as gym

from glimpse_gym.extras import require_extra
from glimpse_gym.play.episode import Episode, PlayEnv
from glimpse_gym.play.episode_record import EpisodeRecord
from glimpse_gym.provenance import storable_kwargs

if TYPE_CHECKING:
    from glimpse_gym.agents.base import Decision


class AgentPlayer:
    """An agent that plays single episodes, each in an env of its own.

    Args:
        name_or_path: name of a pretrained agent, or path of a checkpoint folder.
        sample: draw locations and moves from the policy instead of taking the mean and the most probable.
        trusted: as in :func:`glimpse_gym.agents.checkpoint.load_agent`; pretrained agents always are.

    Raises:
        CheckpointError: no such agent, or a damaged one.
        UntrustedError: it needs a permission that was not given.
        ModuleNotFoundError: packages of the extra ``agents`` are not installed.
    """

    def __init__(self, name_or_path: str | Path, sample: bool = False, trusted: bool = False) -> None:
        require_extra("agents")
        from glimpse_gym.agents.checkpoint import load_agent
        from glimpse_gym.agents.pretrained import agent_folder, is_pretrained

        folder = agent_folder(name_or_path)
        self.policy, self.metadata = load_agent(folder, trusted or is_pretrained(folder))
        self.name, self.sample = folder.resolve().name, sample
        self._env: PlayEnv | None = None

    def check_env(self, env: PlayEnv) -> None:
        """Raise a ValueError, which names the env that the agent wants, if it was made for another kind of env."""
        try:
            self.policy.check_env(env.envs)
        except ValueError as error:
            raise ValueError(
                f"the agent {self.name} was made for {self.metadata.env_id} and cannot play {env.env_id}: {error}"
            ) from error

    def begin(self, env_id: str, env_kwargs: dict[str, Any] | None, seed: int) -> Episode:
        """Start the episode of a seed; call :meth:`step` until it is over.

        Raises:
            ValueError: an env that the agent was not made for, or that cannot be played.
        """
        kwargs = storable_kwargs(gym.spec(env_id).kwargs | (env_kwargs or {}))
        if self._env is None or (self._env.env_id, self._env.env_kwargs) != (env_id, kwargs):
            self._env = PlayEnv(env_id, kwargs)
        self.check_env(self._env)
        self.policy.seed(seed % 2**63)
        self._state = self.policy.initial_state(1)
        return Episode(self._env, seed)

    def step(self, episode: Episode) -> Decision:
        """Take one step of the episode that :meth:`begin` started, and return the decision, batched with B = 1."""
        start = time.perf_counter()
        batch = {name: value[None] for name, value in episode.observation.items()}
        decision = self.policy.decide(batch, self._state, self.sample)
        self._state = decision.state
        seconds = time.perf_counter() - start
        choice = int(decision.action[episode.env.choice_name][0])
        guess = choice if episode.env.metadata["choice_is_final"] else None
        episode.add_decision(decision)
        episode.step(decision.action["next_location"][0], choice, guess, seconds)
        return decision

    def play(self, env_id: str, env_kwargs: dict[str, Any] | None, seed: int) -> EpisodeRecord:
        """Play the episode of a seed to its end.

        Raises:
            ValueError: an env that the agent was not made for, or that cannot be played.
        """
        episode = self.begin(env_id, env_kwargs, seed)
        while not episode.over:
            self.step(episode)
        return episode.record(self.name, is_agent=True)


class AgentOpponent:
    """Agent that plays the episodes of a person, in an env of its own.

    Args:
        name_or_path: as in :class:`AgentPlayer`.
        env: the person's env.

    Raises:
        ValueError: the agent was made for another kind of env.
    """

    def __init__(self, name_or_path: str | Path, env: PlayEnv) -> None:
        # Trusted: what an agent asks for concerns the env that it was trained in, and it plays in the person's.
        self._player = AgentPlayer(name_or_path, trusted=True)
        self._player.check_env(env)
        self._env_id, self._env_kwargs = env.env_id, env.env_kwargs
        self.name = self._player.name

    def play(self, seed: int) -> EpisodeRecord:
        """Play the whole episode of a seed."""
        return self._player.play(self._env_id, self._env_kwargs, seed)
