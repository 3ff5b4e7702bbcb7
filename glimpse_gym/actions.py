"""The three forms of action, each turned into the one that worlds understand.

M is the side of the grid of places, K the number of choices (labels or moves), B the number of rows.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from gymnasium import spaces

from glimpse_gym.validation import check_choice, check_integer, check_integers, check_locations
from glimpse_gym.world import Action, World


class ActionCodec(ABC):
    """One form of action: its space, and how it is read.

    Args:
        world: whose choices are meant.
        grid_size: M; a location is named by the cell of an M x M grid, row by row, and means the cell's center.
    """

    space: spaces.Space[Any]

    def __init__(self, world: World, grid_size: int) -> None:
        self.choice_name, self.num_choices = world.choice_name, world.num_choices
        self.choice_ends = world.choice_ends
        # (M*M, 2): x and y of each cell's center.
        centers = (2 * np.arange(grid_size) + 1) / grid_size - 1
        self.centers = np.stack(np.meshgrid(centers, centers), axis=-1).reshape(-1, 2).astype(np.float32)

    @abstractmethod
    def decode(self, actions: Any, shape: tuple[int, ...]) -> Action:
        """Read the actions of one row, ``shape`` (), or of B rows, ``shape`` (B,), into one batch.

        Raises:
            ValueError: actions that do not belong to the space.
        """


class HybridCodec(ActionCodec):
    """``Dict(location=Box(-1, 1, (2,)), <choice>=Discrete(K))``."""

    def __init__(self, world: World, grid_size: int) -> None:
        super().__init__(world, grid_size)
        self.space = spaces.Dict(
            {
                "location": spaces.Box(-1.0, 1.0, (2,), np.float32),
                self.choice_name: spaces.Discrete(self.num_choices),
            }
        )

    def decode(self, actions: Any, shape: tuple[int, ...]) -> Action:
        """See :meth:`ActionCodec.decode`."""
        if not isinstance(actions, dict) or actions.keys() != {"location", self.choice_name}:
            given = f"keys {sorted(map(str, actions))}" if isinstance(actions, dict) else f"{actions!r:.200}"
            raise ValueError(f"an action must be a dict with the keys 'location' and '{self.choice_name}', got {given}")
        location = check_locations(actions["location"], (*shape, 2))
        choice = check_integers(self.choice_name, actions[self.choice_name], shape, self.num_choices)
        return Action(location.reshape(-1, 2), choice.reshape(-1), None)


class DiscreteCodec(ActionCodec):
    """One whole number.

    Where a choice ends the episode, ``Discrete(M*M + K)``: below M*M a look at a cell, from there on a choice.
    Otherwise every step takes both, ``Discrete(K*M*M)``: choice * M*M + cell.
    """

    def __init__(self, world: World, grid_size: int) -> None:
        super().__init__(world, grid_size)
        num_cells = len(self.centers)
        if self.choice_ends:
            self.space = spaces.Discrete(num_cells + self.num_choices)
        else:
            self.space = spaces.Discrete(num_cells * self.num_choices)

    def decode(self, actions: Any, shape: tuple[int, ...]) -> Action:
        """See :meth:`ActionCodec.decode`."""
        number = check_integers("action", actions, shape, int(self.space.n)).reshape(-1)  # type: ignore[attr-defined]
        num_cells = len(self.centers)
        if not self.choice_ends:
            return Action(self.centers[number % num_cells], number // num_cells, None)
        commits = number >= num_cells
        cell = np.where(commits, 0, number)  # a choice names no cell; the world does not look then
        return Action(self.centers[cell], np.where(commits, number - num_cells, 0), commits)


class MultiDiscreteCodec(ActionCodec):
    """``MultiDiscrete([M*M, K])``, or ``MultiDiscrete([K, M*M])`` where a choice is made at every step."""

    def __init__(self, world: World, grid_size: int) -> None:
        super().__init__(world, grid_size)
        numbers = [len(self.centers), self.num_choices]
        self.names = ["cell", self.choice_name]
        if not self.choice_ends:
            numbers.reverse()
            self.names.reverse()
        self.space = spaces.MultiDiscrete(numbers)
        self.numbers = numbers

    def decode(self, actions: Any, shape: tuple[int, ...]) -> Action:
        """See :meth:`ActionCodec.decode`."""
        pairs = check_integers("action", actions, (*shape, 2)).reshape(-1, 2)
        parts = {
            name: check_integers(name, pairs[:, i], (len(pairs),), self.numbers[i]) for i, name in enumerate(self.names)
        }
        return Action(self.centers[parts["cell"]], parts[self.choice_name], None)


CODECS: dict[str, type[ActionCodec]] = {
    "hybrid": HybridCodec,
    "discrete": DiscreteCodec,
    "multidiscrete": MultiDiscreteCodec,
}


def make_codec(actions: str, world: World, grid_size: int) -> ActionCodec:
    """The codec of this form of action.

    Raises:
        ValueError: a form that does not exist, or a grid size that is no whole number of at least 1.
    """
    check_choice("actions", actions, CODECS)
    return CODECS[actions](world, check_integer("grid_size", grid_size, at_least=1))
