"""What an agent has to know of the env it is made for, what all agents have, and the parts of what they learn by."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from gymnasium import spaces
from gymnasium.vector import VectorEnv
from torch import Tensor, nn


class Task(NamedTuple):
    """The shape of what is seen, and what is to be chosen."""

    glimpse_shape: tuple[int, ...]
    """``(k*C, g, g)``, of one observation."""
    num_scales: int
    """k."""
    choice_name: str
    """``"label"`` or ``"move"``."""
    num_choices: int
    """K."""

    @classmethod
    def of(cls, envs: VectorEnv[Any, Any, Any]) -> Task:
        """The task of this vector env.

        Raises:
            ValueError: one of ours that is not in the hybrid form, or none of ours.
        """
        actions, observations = envs.single_action_space, envs.single_observation_space
        world = getattr(envs.unwrapped, "world", None)
        if world is None or not (isinstance(actions, spaces.Dict) and set(actions) == {world.choice_name, "location"}):
            raise ValueError(
                "agents act in the hybrid form of a world, Dict(location=..., label=... or move=...); "
                f"got the action space {actions}"
            )
        glimpse = observations["glimpse"]  # type: ignore[index]
        return cls(tuple(glimpse.shape), world.retina.num_scales, world.choice_name, world.num_choices)

    def check(self, envs: VectorEnv[Any, Any, Any]) -> None:
        """Raise a ValueError where this is not the kind of vector env that the agent was made for."""
        found = Task.of(envs)
        if found != self:
            raise ValueError(
                f"the agent was made for {self.describe()}, and the env has {found.describe()}: "
                "give it the env it was made for"
            )

    def describe(self) -> str:
        """In words."""
        return (
            f"glimpses of shape {self.glimpse_shape} at {self.num_scales} scales and {self.num_choices} "
            f"{self.choice_name}s"
        )


class TaskAgent(nn.Module):
    """What acts in a task, batched: its weights, its memory and its samples.

    Args:
        task: what it is made for.
        config: its knobs.
    """

    def __init__(self, task: Task, config: Any) -> None:
        super().__init__()
        self.task, self.config = task, config
        self.generator = torch.Generator()
        """Where samples come from, if any are drawn."""

    def seed(self, seed: int) -> None:
        """Begin the stream of samples anew."""
        self.generator.manual_seed(seed)

    def check_env(self, envs: VectorEnv[Any, Any, Any]) -> None:
        """Raise a ValueError where this is not the kind of vector env that the agent was made for."""
        self.task.check(envs)

    def initial_state(self, num_envs: int) -> Any:
        """The memory before the first glimpse: none."""


class Losses(NamedTuple):
    """The parts of what is made small, each averaged over the batch and over time."""

    total: Tensor
    classification: Tensor
    reinforce: Tensor
    baseline: Tensor
