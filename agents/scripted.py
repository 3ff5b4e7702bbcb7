"""Players of Catch that learn nothing: what a learned one is to be measured against."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from gymnasium.vector import VectorEnv

from glimpse_gym.agents.base import Task, TaskAgent
from glimpse_gym.agents.configs import check_knobs, knob
from glimpse_gym.envs.catch import CatchWorld
from glimpse_gym.validation import check_choice

_STAY, _LIT = 1, 0.5


@dataclass(frozen=True)
class ScriptedConfig:
    """Which player."""

    player: str = knob(
        "random",
        "'random': uniformly random moves; 'chaser': sees the whole screen, and follows the ball's present column; "
        "'oracle': is told where the ball will land, which is cheating",
    )

    def __post_init__(self) -> None:
        check_knobs(self)
        check_choice("player", self.player, ("random", "chaser", "oracle"))


class Scripted(TaskAgent):
    """A player without weights, and an agent: batched, for the vector env it was made for.

    Args:
        task: what it is made for.
        config: the knobs.
    """

    def __init__(self, task: Task, config: ScriptedConfig | None = None) -> None:
        super().__init__(task, config or ScriptedConfig())
        if task.choice_name != "move":
            raise ValueError(f"scripted players play Catch, and this is a task of {task.describe()}")
        self._world: CatchWorld | None = None

    def check_env(self, envs: VectorEnv[Any, Any, Any]) -> None:
        """Raise a ValueError where this is not what it was made for; and look behind the scene, for the oracle."""
        super().check_env(envs)
        world: CatchWorld = envs.unwrapped.world  # type: ignore[attr-defined]
        if self.config.player == "chaser" and not world.whole_screen:
            raise ValueError("the chaser sees the whole screen: make the env with observe='screen'")
        self._world = world

    def act(
        self, observation: dict[str, np.ndarray], state: None, sample: bool = False
    ) -> tuple[dict[str, np.ndarray], None]:
        """A move, ``move`` int64 (B,), and the center to look at, ``location`` float32 (B, 2)."""
        num_games = len(observation["time"])
        if self.config.player == "random":
            move = torch.randint(self.task.num_choices, (num_games,), generator=self.generator).numpy()
        elif self.config.player == "chaser":
            move = _towards(*_ball_and_paddle(observation["glimpse"][:, 0]))
        else:
            if self._world is None:
                raise ValueError("the oracle must be shown its env first: call check_env(envs)")
            move = _towards(self._world.landing_column, self._world.paddle)
        return {"move": move, "location": np.zeros((num_games, 2), np.float32)}, None


def _ball_and_paddle(screens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The ball's column and the left one of the paddle's, each int64 (B,), on screens (B, side, side)."""
    lit = screens > _LIT
    return lit[:, :-1].any(axis=1).argmax(axis=1), lit[:, -1].argmax(axis=1)


def _towards(column: np.ndarray, paddle: np.ndarray) -> np.ndarray:
    """The move that brings a paddle, two columns wide, nearer to covering a column."""
    return np.where(column < paddle, _STAY - 1, np.where(column > paddle + 1, _STAY + 1, _STAY))
