"""Interfaces of agents: the protocol of all agents, the task specification, and the base class of policies."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np
import torch
from gymnasium import spaces
from gymnasium.vector import VectorEnv
from torch import nn


class Agent(Protocol):
    """Protocol of all agents: batched actions in the vector env that the agent was made for."""

    def check_env(self, envs: VectorEnv[Any, Any, Any]) -> None:
        """Raise ValueError if the agent was made for another kind of env."""

    def seed(self, seed: int) -> None:
        """Seed the random generator that samples are drawn from."""

    def initial_state(self, num_envs: int) -> Any:
        """Return the recurrent state before the first observation."""

    def act(self, observation: Any, state: Any, sample: bool = False) -> tuple[Any, Any]:
        """Return the action and the new recurrent state. The state is reset in the rows where ``time`` is 0."""


class TaskSpec(NamedTuple):
    """Shapes of a task's observations and actions, as a policy needs them."""

    glimpse_shape: tuple[int, ...]
    """``(k*C, g, g)``, shape of one glimpse."""
    num_scales: int
    """k."""
    choice_name: str
    """Key of the choice in a hybrid action. If it is ``"label"``, ``info`` holds the true label at the end of an
    episode. In the discrete form ``"choice"``."""
    num_choices: int
    """K."""
    choice_is_final: bool
    """True if one choice ends the episode (a label); False if there is a choice at every step (a move)."""
    num_cells: int = 0
    """M*M, the number of cells of the grid of locations in the discrete form; 0 in the hybrid form."""
    num_glimpses: int = 0
    """T, if the last step has other valid actions than the rest: in the discrete form with a final choice; else 0."""

    @classmethod
    def from_env(cls, envs: VectorEnv[Any, Any, Any]) -> TaskSpec:
        """Read the specification from the spaces and the metadata of a vector env.

        Raises:
            ValueError: if the env lacks hybrid or discrete actions or dict observations, or is not of this package.
        """
        actions, observations, metadata = envs.single_action_space, envs.single_observation_space, envs.metadata
        if "choice_is_final" in metadata and isinstance(observations, spaces.Dict):
            glimpse_shape, is_final = tuple(observations["glimpse"].shape or ()), metadata["choice_is_final"]
            if isinstance(actions, spaces.Dict):
                ((choice_name, choices),) = ((key, part) for key, part in actions.items() if key != "next_location")
                return cls(glimpse_shape, metadata["num_scales"], choice_name, int(choices.n), is_final)  # type: ignore[attr-defined]
            if isinstance(actions, spaces.Discrete):
                number, num_choices = int(actions.n), len(metadata["choice_names"])
                num_cells = number - num_choices if is_final else number // num_choices
                num_glimpses = metadata["num_glimpses"] if is_final else 0
                numbers = num_choices, is_final, num_cells, num_glimpses
                return cls(glimpse_shape, metadata["num_scales"], "choice", *numbers)
        raise ValueError(
            "agents act in envs with hybrid actions, Dict(next_location=..., label=... or move=...), or discrete ones, "
            f"and dict observations; got the action space {actions} and the observation space {observations}"
        )

    @property
    def actions(self) -> str:
        """Action form, ``"hybrid"`` or ``"discrete"``."""
        return "discrete" if self.num_cells else "hybrid"

    @property
    def num_actions(self) -> int:
        """n, the number of discrete actions: looks and labels, or pairs of a move and a look."""
        return self.num_cells + self.num_choices if self.choice_is_final else self.num_cells * self.num_choices

    def check(self, envs: VectorEnv[Any, Any, Any]) -> None:
        """Raise ValueError if the env has another specification."""
        found = TaskSpec.from_env(envs)
        if found != self:
            raise ValueError(
                f"the agent was made for {self.describe()}, and the env has {found.describe()}: "
                "use the env that the agent was made for"
            )

    def describe(self) -> str:
        """Describe the task for error messages."""
        glimpses = f"glimpses of shape {self.glimpse_shape} at {self.num_scales} scales and {self.num_choices}"
        if self.actions == "hybrid":
            return f"{glimpses} {self.choice_name}s"
        horizon = f" in {self.num_glimpses} steps" if self.num_glimpses else ""
        return f"{glimpses} choices{horizon}, as {self.num_actions} discrete actions"


class Decision(NamedTuple):
    """Action of a policy, with the distributions that it was chosen from."""

    action: Any
    """``next_location`` float32 (B, 2), and the choice, int64 (B,); in the discrete form one array, int64 (B,)."""
    state: Any
    """The new recurrent state."""
    choice_probs: np.ndarray | None = None
    """Probabilities of the labels or moves, float32 (B, K); None if the policy has none."""
    location_mean: np.ndarray | None = None
    """Mean of the next location, float32 (B, 2); None if the policy does not choose locations."""
    location_std: float | None = None
    """Standard deviation of sampled next locations; the image spans 2 units, from -1 to 1."""


class Policy(nn.Module):
    """Base class of policies: an :class:`Agent` with weights, a task specification and a random generator.

    Subclasses implement ``decide`` and, if they are recurrent, ``initial_state``.

    Args:
        task_spec: task that the policy is made for.
        config: its configuration, a dataclass of :mod:`glimpse_gym.agents.configs`.

    Raises:
        ValueError: if the task has another action form than the policy.
    """

    actions: ClassVar[str] = "hybrid"
    """Action form of the policy, as :attr:`TaskSpec.actions`."""

    def __init__(self, task_spec: TaskSpec, config: Any) -> None:
        super().__init__()
        if task_spec.actions != self.actions:
            raise ValueError(
                f"a {type(self).__name__} acts in envs with {self.actions} actions, got an env with "
                f"{task_spec.actions} actions: use the env's other id (with or without 'Discrete'), or another policy"
            )
        self.task_spec, self.config = task_spec, config
        self.generator = torch.Generator()
        """Random generator that samples are drawn from; on the CPU, so that they do not depend on the device."""

    @property
    def device(self) -> torch.device:
        """Device of the weights, on which the networks compute."""
        return next(self.parameters()).device

    def seed(self, seed: int) -> None:
        """Seed the random generator."""
        self.generator.manual_seed(seed)

    def check_env(self, envs: VectorEnv[Any, Any, Any]) -> None:
        """Raise ValueError if the policy was made for another kind of env."""
        self.task_spec.check(envs)

    def wrap_envs(self, envs: VectorEnv[Any, Any, Any]) -> VectorEnv[Any, Any, Any]:
        """Return the vector env that a learner of this policy acts in: the given one, unless a subclass wraps it."""
        return envs

    def initial_state(self, num_envs: int) -> Any:
        """Return the recurrent state before the first observation: None in policies that are not recurrent."""

    def act(self, observation: dict[str, np.ndarray], state: Any, sample: bool = False) -> tuple[Any, Any]:
        """Choose the next location and the label or move.

        Args:
            observation: of B sub-envs. The recurrent state is reset in the rows where ``time`` is 0.
            state: recurrent state from the previous step, or from :meth:`initial_state`.
            sample: sample the location, and the move, from the policy; otherwise use the mean location and the most
                probable move. Labels are never sampled: the most probable one is used. In the discrete form actions
                are sampled as they are.

        Returns:
            The action, ``label`` or ``move`` int64 (B,) and ``next_location`` float32 (B, 2), or in the discrete form
            int64 (B,), and the new state.
        """
        decision = self.decide(observation, state, sample)
        return decision.action, decision.state

    @abstractmethod
    def decide(self, observation: dict[str, np.ndarray], state: Any, sample: bool = False) -> Decision:
        """Choose an action as :meth:`act` does, and also return the distributions that it was chosen from."""
