"""What every world has. A world is a batch of B episodes, and resetting some of them is its primitive.

No world knows Gymnasium, and nothing outside a world knows a rule.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection
from typing import Any, ClassVar, NamedTuple

import numpy as np

from glimpse_gym.kernels import kernels_for
from glimpse_gym.retina import Retina


class Action(NamedTuple):
    """What B rows do, in the one form that worlds understand."""

    location: np.ndarray
    """float32 (B, 2), where to look, in [-1, 1]."""
    choice: np.ndarray
    """int64 (B,): the label or the move, from 0 to ``num_choices - 1``."""
    commits: np.ndarray | None
    """bool (B,): the choice is meant, whatever the time. None: each world takes choices at the time of its own."""


class Outcome(NamedTuple):
    """What came of a step. Rows that rested have neither reward nor end."""

    reward: np.ndarray
    """float64 (B,)."""
    terminated: np.ndarray
    """bool (B,)."""


class World(ABC):
    """B episodes of one task side by side, each on its own image.

    Args:
        num_rows: B.
        retina: what is seen of an image.
        num_channels: C, of every image.
        horizon: T, the steps of the longest episode.
        num_choices: how many labels or moves there are.
        num_draws: how many random numbers an episode takes.
    """

    choice_name: ClassVar[str]
    """What a choice is called in actions."""
    choice_ends: ClassVar[bool]
    """Whether a choice ends the episode, so that one flat action is *either* a look *or* a choice."""
    image_moves: ClassVar[bool]
    """Whether the image changes within an episode, so that earlier glimpses tell of earlier images."""
    reset_options: ClassVar[Collection[str]] = ()
    """The names that ``reset`` accepts in ``options``."""

    def __init__(
        self, num_rows: int, retina: Retina, num_channels: int, horizon: int, num_choices: int, num_draws: int
    ) -> None:
        self.num_rows = num_rows
        self.retina = retina
        self.num_channels = num_channels
        self.horizon = horizon
        self.num_choices = num_choices
        self.offsets = np.zeros(num_rows, np.int64)
        self.sizes = np.ones((num_rows, 2), np.int64)
        self.locations = np.zeros((num_rows, 2), np.float32)
        self.steps = np.zeros(num_rows, np.int64)
        self.running = np.zeros(num_rows, np.bool_)
        self._num_draws = num_draws
        self._times = (np.arange(horizon + 1) / horizon).astype(np.float32)[:, None]
        self._keys = np.zeros(num_rows, np.int64)
        self._episodes = np.zeros(num_rows, np.int64)

    def seed(self, rows: np.ndarray, keys: np.ndarray) -> None:
        """Begin the random streams of some rows anew, from int64 keys (R,)."""
        self._keys[rows] = keys
        self._episodes[rows] = 0

    def check_options(self, options: dict[str, Any], num_rows: int) -> dict[str, Any]:
        """The options of a reset, as :meth:`reset` takes them: arrays of ``num_rows``. Nothing is changed yet.

        Raises:
            ValueError: an option that this world does not have, or a value it does not accept.
        """
        accepted = ", ".join(map(repr, self.reset_options)) or "none"
        if not isinstance(options, dict):
            raise ValueError(f"options must be a dict or None, got {options!r:.200}; accepted here: {accepted}")
        if unknown := set(options) - set(self.reset_options):
            raise ValueError(f"unknown options {', '.join(sorted(map(repr, unknown)))}; accepted here: {accepted}")
        return options

    def reset(self, rows: np.ndarray, **options: Any) -> None:
        """Begin a new episode in some rows, int64 (R,), without touching the others."""
        episodes = self._episodes[rows]
        draws = kernels_for(rows).uniforms(self._keys[rows], episodes, self._num_draws)
        self._episodes[rows] = episodes + 1
        self.steps[rows] = 0
        self.running[rows] = True
        self._begin(rows, draws, **options)

    def step(self, action: Action, active: np.ndarray) -> Outcome:
        """Take one step in the rows where ``active``, bool (B,), is true; the others rest and get reward 0."""
        self.steps = self.steps + active
        outcome = self._play(action, active)
        self.running ^= outcome.terminated
        return outcome

    def observe(self, rows: np.ndarray | None = None) -> dict[str, np.ndarray]:
        """What all rows see, or only some: arrays of their own, a pure function of the present state.

        Returns:
            ``glimpse`` float32 (R, k*C, g, g) in [0, 1], ``location`` float32 (R, 2) in [-1, 1], where it was
            taken, and ``time`` float32 (R, 1) in [0, 1], steps taken / T.
        """
        offsets, sizes, locations, steps = self.offsets, self.sizes, self.locations, self.steps
        if rows is not None:
            offsets, sizes, locations, steps = offsets[rows], sizes[rows], locations[rows], steps[rows]
        return {
            "glimpse": self.retina.sense_flat(self._pixels, offsets, sizes, self.num_channels, locations),
            "location": locations.copy(),
            "time": self._times[steps],
        }

    def image(self, row: int) -> np.ndarray:
        """The whole present image of one row, a copy: uint8 (H, W), or (H, W, C) where it has colors."""
        (height, width), channels = self.sizes[row], self.num_channels
        start = self.offsets[row]
        pixels = self._pixels[start : start + height * width * channels].copy()
        return pixels.reshape((height, width) if channels == 1 else (height, width, channels))

    @property
    @abstractmethod
    def _pixels(self) -> np.ndarray:
        """uint8 (total,), in which ``offsets`` and ``sizes`` say where each image lies."""

    @abstractmethod
    def _begin(self, rows: np.ndarray, draws: np.ndarray) -> None:
        """Set up new episodes in these rows from their random numbers, float64 (R, num_draws) in [0, 1)."""

    @abstractmethod
    def _play(self, action: Action, active: np.ndarray) -> Outcome:
        """The rules of one step; ``steps`` already counts it."""

    @abstractmethod
    def begin_info(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """What is told of rows whose episode has just begun: name -> array (R,)."""

    @abstractmethod
    def end_info(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """What is told of rows whose episode has just ended: name -> array (R,)."""


def scaled(draws: np.ndarray, sizes: Any) -> np.ndarray:
    """Whole numbers from 0 to ``sizes - 1``, int64, out of uniform numbers in [0, 1)."""
    return (draws * sizes).astype(np.int64)
