"""Hyperparameters that all algorithms share, for every registered world."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from gymnasium.envs.registration import load_env_creator

from glimpse_gym.agents.sb3.features import glimpse_policy_kwargs
from glimpse_gym.registration import WORLDS, env_id

NUM_ENVS = 64
"""Sub-envs of every algorithm."""
_MAX_STACK = 8


@dataclass(frozen=True)
class ZooTask:
    """A registered world, as far as hyperparameters depend on it."""

    num_glimpses: int
    num_scales: int
    choice_is_final: bool
    image_moves: bool

    def common(self) -> dict[str, Any]:
        """Return the hyperparameters of every algorithm."""
        return {
            "n_envs": NUM_ENVS,
            "n_timesteps": 1_000_000 if self.image_moves else 500_000,
            # A label is the only reward of its episode, whenever it is given.
            "gamma": 1.0 if self.choice_is_final else 0.99,
        }

    def stack(self) -> dict[str, int]:
        """Return the hyperparameters of algorithms without memory: a stack of glimpses, of all if they are few."""
        return {"frame_stack": min(_MAX_STACK, self.num_glimpses)}

    def policy_kwargs(self, **kwargs: Any) -> dict[str, Any]:
        """Return the keyword arguments of the policy; ``kwargs`` are those of :func:`glimpse_policy_kwargs`."""
        # The few bright pixels of a screen are averaged away in the coarse scales.
        scale_gain = 4.0 if self.image_moves else 1.0
        return glimpse_policy_kwargs(num_scales=self.num_scales, scale_gain=scale_gain, **kwargs)


def zoo_tasks(actions: str) -> Iterator[tuple[str, ZooTask]]:
    """Yield the id in an action form, and the task, of every registered world."""
    for name, (prefix, kwargs) in WORLDS.items():
        env_class: Any = load_env_creator(f"{prefix}Env")
        world = env_class.world_class
        if {"num_glimpses", "num_scales"} <= kwargs.keys():  # not all worlds of other packages have them
            task = ZooTask(kwargs["num_glimpses"], kwargs["num_scales"], world.choice_is_final, world.image_moves)
            yield env_id(name, actions), task
