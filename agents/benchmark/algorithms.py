"""Table of the benchmark's algorithms. To add one, write a function and a line here. Does not import torch.

The function trains an agent within a budget::

    def train(env_id: str, seed: int, budget: Budget) -> Agent: ...

``budget.num_steps`` is the number of environment steps that it may take. It calls ``budget.report(num_steps_done,
agent)`` as often as it likes; the agent is evaluated when an evaluation is due. See
:class:`glimpse_gym.agents.benchmark.runs.Budget`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from glimpse_gym.agents.benchmark.protocol import BenchmarkTask
from glimpse_gym.registration import ACTION_INFIXES
from glimpse_gym.validation import check_choice


@dataclass(frozen=True)
class Algorithm:
    """An entry of the table.

    Raises:
        ValueError: if the entry point is not ``"module:function"``, or there is no such action form.
    """

    entry_point: str
    """``"module:function"``; the function is described at the top of this module."""
    actions: str
    """Action form of the env that it is trained in: ``"hybrid"``, ``"discrete"`` or ``"continuous"``."""
    label: str
    """Name in tables and figures."""
    group: str = "yours"
    """Algorithms of a group share a panel of the figures."""
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    """Further keyword arguments of the function."""
    worlds: tuple[str, ...] | None = None
    """Worlds that it can be trained in; None: all."""

    def __post_init__(self) -> None:
        module, _, function = self.entry_point.partition(":")
        if not (module and function):
            raise ValueError(f"entry_point must be 'module:function', got {self.entry_point!r}")
        check_choice("actions", self.actions, ACTION_INFIXES)


_SB3, _OWN = "glimpse_gym.agents.benchmark.sb3_algorithms", "glimpse_gym.agents.benchmark.own_algorithms"

_STILL = ("MNIST", "ClutteredMNIST")  # worlds whose image does not move

ALGORITHMS: dict[str, Algorithm] = {
    "random": Algorithm(f"{_OWN}:random", "discrete", "random actions", "reference"),
    "sb3-ppo": Algorithm(f"{_SB3}:ppo", "discrete", "PPO", "SB3"),
    "sb3-ppo-stack": Algorithm(f"{_SB3}:ppo", "discrete", "PPO, stacked glimpses", "SB3", {"stack": True}),
    "sb3-recurrent-ppo": Algorithm(f"{_SB3}:recurrent_ppo", "discrete", "RecurrentPPO", "SB3"),
    "sb3-dqn": Algorithm(f"{_SB3}:dqn", "discrete", "DQN, stacked glimpses", "SB3"),
    "sb3-sac": Algorithm(f"{_SB3}:sac", "continuous", "SAC, stacked glimpses", "SB3"),
    "sb3-hybrid-ppo": Algorithm(f"{_SB3}:hybrid_ppo", "hybrid", "PPO, hybrid actions, stacked glimpses", "SB3"),
    "recurrent-ppo": Algorithm(f"{_OWN}:recurrent_ppo", "hybrid", "our recurrent PPO", "ours"),
    "recurrent-ppo-discrete": Algorithm(f"{_OWN}:recurrent_ppo", "discrete", "our recurrent PPO, discrete", "ours"),
    # Catch has no labels, which the hybrid loss needs.
    "ram": Algorithm(f"{_OWN}:ram", "hybrid", "RAM, hybrid loss", "ours", worlds=_STILL),
} | {
    f"looks-{name}": Algorithm(
        f"{_OWN}:scripted_looks", "hybrid", label, "scripted looks", {"location_policy": name}, worlds
    )
    for name, label, worlds in (
        ("random", "looks at random", None),
        ("center", "looks at the center", None),
        ("raster", "looks along a grid", _STILL),
        ("spiral", "looks along a spiral", _STILL),
        ("saliency", "looks at the most salient place", _STILL),
        ("oracle", "oracle looks (cheating)", None),
    )
}
"""Algorithms by name. Add an algorithm here."""


def is_run_on(name: str, task: BenchmarkTask) -> bool:
    """Return whether an algorithm of the table is run on a task."""
    worlds = ALGORITHMS[name].worlds
    return (worlds is None or task.world in worlds) and (task.algorithms is None or name in task.algorithms)
