"""Scripted players of Catch: lower and upper bounds for the success of a learned one."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from gymnasium.vector import VectorEnv

from glimpse_gym.agents.base import Decision, Policy, TaskSpec
from glimpse_gym.agents.configs import ScriptedConfig
from glimpse_gym.envs.catch import CatchWorld

_STAY = 1
_LIT = 0.5  # threshold of a lit pixel


class ScriptedPlayer(Policy):
    """Scripted player of Catch, without weights, that always looks at the center.

    Args:
        task_spec: task that the player is made for.
        config: kind of player.
    """

    config: ScriptedConfig

    def __init__(self, task_spec: TaskSpec, config: ScriptedConfig | None = None) -> None:
        super().__init__(task_spec, config or ScriptedConfig())
        if task_spec.choice_name != "move":
            raise ValueError(f"scripted players play Catch; this is a task of {task_spec.describe()}")
        self._world: CatchWorld | None = None

    def check_env(self, envs: VectorEnv[Any, Any, Any]) -> None:
        """Raise ValueError if the player was made for another kind of env."""
        super().check_env(envs)
        if self.config.player == "chaser" and self.task_spec.glimpse_shape[1:] != tuple(envs.metadata["image_size"]):
            raise ValueError("the chaser sees the whole screen: make the env with observe='screen'")
        if self.config.player == "oracle":
            # Cheating: the only agent in this package that reads the state of the world.
            self._world = envs.unwrapped.world  # type: ignore[attr-defined]

    def decide(self, observation: dict[str, np.ndarray], state: None, sample: bool = False) -> Decision:
        """See :meth:`Policy.decide`. The next location is always the center."""
        num_games = len(observation["time"])
        if self.config.player == "random":
            move = torch.randint(self.task_spec.num_choices, (num_games,), generator=self.generator).numpy()
        elif self.config.player == "chaser":
            move = _move_toward(*_ball_and_paddle_columns(observation["glimpse"][:, 0]))
        else:
            if self._world is None:
                raise ValueError("the oracle reads the world: call check_env(envs) first")
            move = _move_toward(self._world.landing_column, self._world.paddle)
        return Decision({"next_location": np.zeros((num_games, 2), np.float32), "move": move}, None)


def _ball_and_paddle_columns(screens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find the column of the ball and the left column of the paddle, each int64 (B,), from screens (B, side, side)."""
    lit = screens > _LIT
    return lit[:, :-1].any(axis=1).argmax(axis=1), lit[:, -1].argmax(axis=1)


def _move_toward(column: np.ndarray, paddle: np.ndarray) -> np.ndarray:
    """Choose the move that brings a paddle of two columns closer to covering a column."""
    return np.where(column < paddle, _STAY - 1, np.where(column > paddle + 1, _STAY + 1, _STAY))
