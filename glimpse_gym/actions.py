"""Action forms: the Gymnasium space of each, and the decoding of its actions for the worlds.

M is the side of the grid of locations, K the number of choices (labels or moves), B the number of rows.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from gymnasium import spaces

from glimpse_gym.validation import (
    check_choice,
    check_floats,
    check_integer,
    check_integers,
    check_locations,
    shown,
)
from glimpse_gym.world import Action, World

Keys = tuple[int | str, ...]
"""Keyboard keys pressed together: characters, or pygame's key codes."""

# pygame.K_LEFT, ...; pygame itself is only needed to play.
_ARROWS = {"right": 1073741903, "left": 1073741904, "down": 1073741905, "up": 1073741906}
_MAX_GRID_SIZE = 1000
# Upper bounds, which the tests compare with measured peaks: a cell of the grid, a score with its bounds in the space,
# and the mask of a discrete action.
_BYTES_PER_CELL, _BYTES_PER_SCORE, _BYTES_PER_MASK = 64, 80, 4
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


class ActionCodec(ABC):
    """One action form of a world.

    Args:
        world: the world that will receive the decoded actions.
        grid_size: M. In the forms without coordinates a location is the center of a cell of an M x M grid; cells
            are numbered row by row.
    """

    space: spaces.Space[Any]
    """Action space of one env."""

    def __init__(self, world: World, grid_size: int) -> None:
        self.choice_name, self.choice_names = world.choice_name, world.choice_names
        self.num_choices = world.num_choices
        self.choice_is_final = world.choice_is_final
        self.grid_size = grid_size
        # (M*M, 2): x and y of each cell's center.
        centers = (2 * np.arange(grid_size) + 1) / grid_size - 1
        self.centers = np.stack(np.meshgrid(centers, centers), axis=-1).reshape(-1, 2).astype(np.float32)

    @property
    def num_cells(self) -> int:
        """Number of cells, M*M."""
        return len(self.centers)

    @abstractmethod
    def decode(self, actions: Any, shape: tuple[int, ...]) -> Action:
        """Decode the action of one row, ``shape`` (), or the actions of B rows, ``shape`` (B,), into one batch.

        Raises:
            ValueError: if an action does not belong to the space.
        """

    def masks(self, last_step: np.ndarray) -> np.ndarray:
        """Return the mask of valid actions. Only looking is ever masked, when no glimpse is left.

        Args:
            last_step: bool (B,): the next step is step T.

        Returns:
            bool (B, n), True for valid actions; n is the number of discrete actions, summed over all dimensions.

        Raises:
            ValueError: if the form is not discrete.
        """
        raise ValueError(f"{self.space} has no action masks: make the env with actions='discrete' or 'multidiscrete'")

    def keys_to_action(self) -> dict[Keys, Any]:
        """Map keys to actions, for :func:`gymnasium.utils.play.play`.

        Cells are the letters a, b, c, ... row by row. Choices are digits, or arrow keys if they are called "left",
        "right", "up" or "down"; the choice called "stay" needs no key.

        Raises:
            ValueError: if the form is not discrete, or if there are more cells or choices than keys.
        """
        raise ValueError(f"{self.space} has no keys: make the env with actions='discrete' or 'multidiscrete'")

    def _cell_keys(self) -> list[str]:
        if self.num_cells > len(_LETTERS):
            raise ValueError(
                f"a grid of {self.num_cells} cells has more cells than there are letters: make the env with grid_size=5"
            )
        return list(_LETTERS[: self.num_cells])

    def _choice_keys(self) -> list[int | str]:
        keys = [_ARROWS.get(name, str(i)) for i, name in enumerate(self.choice_names)]
        if len(keys) > 10:
            raise ValueError(f"{len(keys)} choices are more than there are digits: give keys_to_action yourself")
        return keys


class HybridCodec(ActionCodec):
    """Hybrid action form: ``Dict(next_location=Box(-1, 1, (2,)), <choice>=Discrete(K))``."""

    def __init__(self, world: World, grid_size: int) -> None:
        super().__init__(world, grid_size)
        self._keys = {"next_location", self.choice_name}
        self.space = spaces.Dict(
            {
                "next_location": spaces.Box(-1.0, 1.0, (2,), np.float32),
                self.choice_name: spaces.Discrete(self.num_choices),
            }
        )

    def decode(self, actions: Any, shape: tuple[int, ...]) -> Action:
        """See :meth:`ActionCodec.decode`."""
        if not isinstance(actions, dict) or actions.keys() != self._keys:
            given = f"the keys {shown(list(actions))}" if isinstance(actions, dict) else shown(actions, 200)
            raise ValueError(
                f"an action must be a dict with the keys 'next_location' and '{self.choice_name}', got {given}"
            )
        location = check_locations(actions["next_location"], (*shape, 2))
        choice = check_integers(self.choice_name, actions[self.choice_name], shape, self.num_choices)
        return Action(location.reshape(-1, 2), choice.reshape(-1), None)


class _CellCodec(ActionCodec):
    """Base class of the action forms in which a location is a cell."""

    @abstractmethod
    def _encode(self, cell: int, choice: int) -> Any:
        """Encode a cell and a choice as one action."""

    def masks(self, last_step: np.ndarray) -> np.ndarray:
        """See :meth:`ActionCodec.masks`."""
        return np.ones((len(last_step), spaces.utils.flatdim(self.space)), np.bool_)

    def keys_to_action(self) -> dict[Keys, Any]:
        """See :meth:`ActionCodec.keys_to_action`. A choice without a letter looks at the center of the grid."""
        cells, choices = self._cell_keys(), self._choice_keys()
        center = (self.num_cells + self.grid_size) // 2 if self.grid_size % 2 == 0 else self.num_cells // 2
        stay = self.choice_names.index("stay") if "stay" in self.choice_names else 0
        keys: dict[Keys, Any] = {(letter,): self._encode(cell, stay) for cell, letter in enumerate(cells)}
        for choice, key in enumerate(choices):
            keys[(key,)] = self._encode(center, choice)
            keys |= {(letter, key): self._encode(cell, choice) for cell, letter in enumerate(cells)}
        return keys


class DiscreteCodec(_CellCodec):
    """Discrete action form: one integer.

    If a choice is final, ``Discrete(M*M + K)``: actions below M*M look at a cell, the others make a choice.
    Otherwise every action does both, ``Discrete(K*M*M)``: choice * M*M + cell.
    """

    def __init__(self, world: World, grid_size: int) -> None:
        super().__init__(world, grid_size)
        if self.choice_is_final:
            self.space = spaces.Discrete(self.num_cells + self.num_choices)
        else:
            self.space = spaces.Discrete(self.num_cells * self.num_choices)

    def decode(self, actions: Any, shape: tuple[int, ...]) -> Action:
        """See :meth:`ActionCodec.decode`."""
        number = check_integers("action", actions, shape, int(self.space.n)).reshape(-1)  # type: ignore[attr-defined]
        num_cells = len(self.centers)
        if not self.choice_is_final:
            return Action(self.centers[number % num_cells], number // num_cells, None)
        commits = number >= num_cells
        cell = np.where(commits, 0, number)  # a choice has no cell; the world ignores it
        return Action(self.centers[cell], np.where(commits, number - num_cells, 0), commits)

    def _encode(self, cell: int, choice: int) -> int:
        return choice * self.num_cells + cell

    def masks(self, last_step: np.ndarray) -> np.ndarray:
        """See :meth:`ActionCodec.masks`. Step T takes no glimpse, so only the choices are left."""
        masks = super().masks(last_step)
        if self.choice_is_final:
            masks[last_step, : self.num_cells] = False
        return masks

    def keys_to_action(self) -> dict[Keys, Any]:
        """See :meth:`ActionCodec.keys_to_action`."""
        if not self.choice_is_final:
            return super().keys_to_action()
        keys = [*self._cell_keys(), *self._choice_keys()]
        return {(key,): action for action, key in enumerate(keys)}


class MultiDiscreteCodec(_CellCodec):
    """MultiDiscrete action form: ``[M*M, K]``, or ``[K, M*M]`` if a choice is made at every step."""

    def __init__(self, world: World, grid_size: int) -> None:
        super().__init__(world, grid_size)
        sizes = {"cell": self.num_cells, self.choice_name: self.num_choices}
        self.names = ["cell", self.choice_name] if self.choice_is_final else [self.choice_name, "cell"]
        self.sizes = [sizes[name] for name in self.names]
        self.space = spaces.MultiDiscrete(self.sizes)

    def decode(self, actions: Any, shape: tuple[int, ...]) -> Action:
        """See :meth:`ActionCodec.decode`."""
        pairs = check_integers("action", actions, (*shape, 2)).reshape(-1, 2)
        parts = {
            name: check_integers(name, pairs[:, i], (len(pairs),), self.sizes[i]) for i, name in enumerate(self.names)
        }
        return Action(self.centers[parts["cell"]], parts[self.choice_name], None)

    def _encode(self, cell: int, choice: int) -> np.ndarray:
        values = {"cell": cell, self.choice_name: choice}
        return np.array([values[name] for name in self.names])


class ContinuousCodec(ActionCodec):
    """Continuous action form: ``Box(-1, 1, (2 + K,))``, the location, then one score per choice.

    The choice with the highest score is made, the first of equals. Locations are clipped; scores may be any finite
    numbers.
    """

    def __init__(self, world: World, grid_size: int) -> None:
        super().__init__(world, grid_size)
        self.space = spaces.Box(-1.0, 1.0, (2 + self.num_choices,), np.float32)
        self._hint = f"pass x, y and one score per {self.choice_name} as floats"

    def decode(self, actions: Any, shape: tuple[int, ...]) -> Action:
        """See :meth:`ActionCodec.decode`."""
        array = check_floats("action", actions, (*shape, 2 + self.num_choices), self._hint)
        location, scores = check_locations(array[..., :2], (*shape, 2)), array[..., 2:]
        finite = np.isfinite(scores)
        if not finite.all():
            raise ValueError(f"action must be finite, got a score of {scores[~finite][0]}; {self._hint}")
        return Action(location.reshape(-1, 2), scores.argmax(axis=-1).reshape(-1), None)


CODECS: dict[str, type[ActionCodec]] = {
    "hybrid": HybridCodec,
    "discrete": DiscreteCodec,
    "multidiscrete": MultiDiscreteCodec,
    "continuous": ContinuousCodec,
}
"""Action forms by name. Add a form here."""


def make_codec(actions: str, world: World, grid_size: int) -> ActionCodec:
    """Make the codec of an action form by name.

    Raises:
        ValueError: if there is no such form, if ``grid_size`` is not an integer from 1 to 1000, or if the actions of
            all rows take too much memory.
    """
    codec_class = CODECS[check_choice("actions", actions, CODECS)]
    codec = codec_class(world, check_integer("grid_size", grid_size, at_least=1, at_most=_MAX_GRID_SIZE))
    bytes_per_value = _BYTES_PER_SCORE if isinstance(codec.space, spaces.Box) else _BYTES_PER_MASK
    world.claim_memory(
        codec.num_cells * _BYTES_PER_CELL + world.num_rows * spaces.flatdim(codec.space) * bytes_per_value,
        f"num_envs={world.num_rows}, grid_size={codec.grid_size} and {world.num_choices} choices",
        "fewer sub-envs or a smaller grid_size",
    )
    return codec
