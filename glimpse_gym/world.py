"""Base class of all worlds. A world is a batch of B episodes, any rows of which can be reset on their own.

A world holds the rules of a task and does not depend on Gymnasium. The env classes in :mod:`glimpse_gym.env` and
:mod:`glimpse_gym.vector` wrap it and do not depend on the rules.

All arrays of a world are arrays of its backend (:mod:`glimpse_gym.kernels.backend`): NumPy arrays, or torch tensors on
a device. A step changes state in place and reads no values on the host, so that it can be captured as a CUDA graph.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection
from typing import Any, ClassVar, NamedTuple

import numpy as np

from glimpse_gym.kernels.backend import NUMPY, Array, Backend
from glimpse_gym.retina import Retina
from glimpse_gym.safe_io import MAX_BYTES
from glimpse_gym.validation import check_memory, shown

# Upper bounds, which the tests compare with measured peaks. Each row has counters, infos and dicts of its last
# observation; each value of an observation is computed, flattened and handed out, and has bounds in the space; each
# time step has an entry in the table of times, which is computed from longer numbers.
_BYTES_PER_ROW, _BYTES_PER_VALUE, _BYTES_PER_STEP, _FIXED_BYTES = 1000, 32, 24, 50_000


class Action(NamedTuple):
    """Batched action, the same for all action forms."""

    location: Array
    """float32 (B, 2) in [-1, 1]: where to look next."""
    choice: Array
    """int64 (B,), from 0 to ``num_choices - 1``: the label or the move."""
    commits: Array | None
    """bool (B,): the choice is final at this step. None: the world decides which choices count."""


class Outcome(NamedTuple):
    """Batched result of a step. In inactive rows the reward is 0 and the others are False."""

    reward: Array
    """float64 (B,)."""
    terminated: Array
    """bool (B,)."""
    looked: Array
    """bool (B,): the step took a new glimpse."""


class World(ABC):
    """Batch of B episodes of one task, each with its own image.

    Args:
        num_rows: B.
        retina: senses the glimpses.
        num_channels: C, channels of every image.
        horizon: T, the maximum number of steps of an episode.
        choice_names: a name for each label or move.
        num_draws: how many random numbers each episode uses.
        image_bytes: memory in bytes that the subclass takes for the images of all rows.
        max_bytes: the most memory in bytes that all rows together may take.
        backend: array library and device. A world whose class has no such argument computes with NumPy.

    Raises:
        ValueError: if they take more, or more than the device has.
    """

    choice_name: ClassVar[str]
    """Key of the choice in a Dict action, such as ``"label"`` or ``"move"``."""
    choice_is_final: ClassVar[bool]
    """Making a choice ends the episode, so that a Discrete action is *either* a glimpse *or* a choice."""
    image_moves: ClassVar[bool]
    """The image changes during an episode."""
    length_is_fixed: ClassVar[bool] = False
    """An episode has exactly T steps, unless an action commits. Then a device need not be asked which have ended."""
    reset_options: ClassVar[Collection[str]] = ()
    """Keys accepted in the ``options`` of a reset."""

    def __init__(
        self,
        num_rows: int,
        retina: Retina,
        num_channels: int,
        horizon: int,
        choice_names: Collection[str],
        num_draws: int,
        image_bytes: int = 0,
        max_bytes: int = MAX_BYTES,
        backend: Backend = NUMPY,
    ) -> None:
        self.backend = backend
        self._max_bytes = max_bytes
        self.claimed_bytes = 0  # of max_bytes
        glimpse_bytes = retina.num_bytes(num_rows, num_channels) // 4 * _BYTES_PER_VALUE
        row_bytes = num_rows * (_BYTES_PER_ROW + 8 * num_draws)
        fixed_bytes = _FIXED_BYTES + backend.patch_bytes(retina.patch_side(retina.num_scales - 1), num_channels)
        self.claim_memory(
            image_bytes + glimpse_bytes + row_bytes + horizon * _BYTES_PER_STEP + fixed_bytes,
            f"num_envs={num_rows}, num_glimpses={horizon} and {retina!r}",
            "fewer sub-envs, fewer glimpses, smaller patches or smaller images",
        )
        self.num_rows = num_rows
        self.retina = retina
        self.num_channels = num_channels
        self.horizon = horizon
        self.choice_names = tuple(choice_names)
        self.num_choices = len(self.choice_names)
        self.offsets = backend.zeros(num_rows, np.int64)
        self.sizes = backend.from_host(np.ones((num_rows, 2), np.int64))
        self.locations = backend.zeros((num_rows, 2), np.float32)
        self.steps = backend.zeros(num_rows, np.int64)
        self.running = backend.zeros(num_rows, np.bool_)
        self.images_are_lazy = False  # a subclass that composes images on demand sets this to True
        self._num_draws = num_draws
        # As arrays: NumPy computes much faster with them than with Python numbers.
        self._one, self._horizon = backend.from_host(np.array(1)), backend.from_host(np.array(horizon))
        self._times = backend.from_host((np.arange(horizon + 1) / horizon).astype(np.float32))
        self._keys = backend.zeros(num_rows, np.int64)
        self._episodes = backend.zeros(num_rows, np.int64)

    def claim_memory(self, num_bytes: int, settings: str, hint: str) -> None:
        """Count bytes towards the limit of the world, before they are allocated.

        Args:
            num_bytes: bytes to add, a Python int.
            settings: the settings that determine it, with their values, for the error message.
            hint: what to change, for the error message.

        Raises:
            ValueError: if all claims together are more than ``max_bytes``.
        """
        check_memory(self.claimed_bytes + num_bytes, self._max_bytes, settings, hint)
        self.claimed_bytes += num_bytes
        self.backend.check_free_memory(num_bytes, settings, hint)

    def seed(self, rows: Array, keys: Array) -> None:
        """Restart the random streams of some rows, int64 (R,), from int64 keys (R,)."""
        self._keys[rows] = keys
        self.backend.fill(self._episodes, rows, 0)

    def check_options(self, options: dict[str, Any], num_rows: int) -> dict[str, Any]:
        """Validate the options of a reset, without changing any state.

        Returns:
            Keyword arguments for :meth:`reset`: arrays whose first axis has ``num_rows`` entries.

        Raises:
            ValueError: if an option is unknown or its value is not accepted.
        """
        if isinstance(options, dict) and not options:
            return {}
        accepted = ", ".join(map(repr, self.reset_options)) or "none"
        if not isinstance(options, dict):
            raise ValueError(f"options must be a dict or None, got {shown(options, 200)}; accepted here: {accepted}")
        if unknown := set(options) - set(self.reset_options):
            raise ValueError(f"unknown options {', '.join(sorted(map(shown, unknown))[:5])}; accepted here: {accepted}")
        return options

    def reset(self, rows: Array, **options: Any) -> None:
        """Start a new episode in some rows, int64 (R,). The other rows do not change."""
        episodes = self._episodes[rows]
        draws = self.backend.kernels.uniforms(self._keys[rows], episodes, self._num_draws)
        self._episodes[rows] = episodes + 1
        self.backend.fill(self.steps, rows, 0)
        self.backend.fill(self.running, rows, True)
        self._reset_rows(rows, draws, **options)

    def step(self, action: Action, active: Array) -> Outcome:
        """Take one step in the rows where ``active``, bool (B,), is True. The other rows do not change.

        ``active`` must not be ``running`` itself, which may change in place.
        """
        backend = self.backend
        self.steps = backend.update(self.steps, self.steps + self._one, where=active)
        outcome = self._step_rows(action, active)
        if not backend.known_none(outcome.terminated):
            self.running = backend.update(self.running, self.running ^ outcome.terminated)
        return outcome

    def observe(self, rows: Array | None = None) -> dict[str, Array]:
        """Compute the observations of all rows, or of some rows, int64 (R,), as new arrays.

        Returns:
            ``glimpse`` float32 (R, k*C, g, g) in [0, 1]; ``location`` float32 (R, 2) in [-1, 1], where the glimpse
            was taken; ``time`` float32 (R, 1) in [0, 1], steps taken / T.
        """
        if self.images_are_lazy:
            self._compose_visible(np.arange(self.num_rows) if rows is None else rows)
        glimpse = self._sense(rows)
        if rows is None:
            locations, steps = self.backend.copy(self.locations), self.steps
        else:
            locations, steps = self.locations[rows], self.steps[rows]
        return {"glimpse": glimpse, "location": locations, "time": self._times[steps][:, None]}

    def glimpses_at(self, row: int, locations: Array) -> Array:
        """Compute the glimpses at locations, float32 (n, 2), of the current image of a row: float32 (n, k*C, g, g)."""
        if self.images_are_lazy:
            self._compose_whole(row)
        rows = self.backend.zeros(len(locations), np.int64) + row  # n times the same image
        offsets, sizes = self.offsets[rows], self.sizes[rows]
        retina = self.retina.patch_size, self.retina.num_scales
        return self.backend.kernels.sense(self._pixels, offsets, sizes, self.num_channels, locations, *retina)

    def picture(self, row: int) -> Array:
        """Return the current image of a row for drawing: that of :meth:`image`, or a large one reduced."""
        return self.image(row)

    def image(self, row: int) -> Array:
        """Copy the current image of one row: uint8 (H, W), or (H, W, C) if it has several channels."""
        if self.images_are_lazy:
            self._compose_whole(row)
        height, width = map(int, self.sizes[row])
        start, channels = int(self.offsets[row]), self.num_channels
        pixels = self.backend.copy(self._pixels[start : start + height * width * channels])
        return pixels.reshape((height, width) if channels == 1 else (height, width, channels))

    @property
    def time_is_up(self) -> Array:
        """bool (B,): the current step is step T, or later."""
        return self.steps >= self._horizon

    @property
    def before_last_step(self) -> Array:
        """bool (B,): the episode is running and its next step is step T."""
        return self.running & (self.steps == self._horizon - 1)

    @property
    def image_size(self) -> tuple[float, float]:
        """Height and width of the images in pixels, averaged over all images if they differ."""
        height, width = self.backend.to_host(self.sizes).mean(axis=0).tolist()
        return height, width

    @property
    def num_images(self) -> int | None:
        """Number of images that episodes are sampled from; None if the world generates its own."""
        return None

    @property
    @abstractmethod
    def _pixels(self) -> Array:
        """uint8 (total,): the pixels of all images; ``offsets`` and ``sizes`` locate the image of each row."""

    def _sense(self, rows: Array | None) -> Array:
        """Compute the glimpses of all rows, or of some rows, int64 (R,): float32 (R, k*C, g, g), a new array."""
        offsets, sizes, locations = self.offsets, self.sizes, self.locations
        if rows is not None:
            offsets, sizes, locations = offsets[rows], sizes[rows], locations[rows]
        retina, channels = self.retina, self.num_channels
        return self.backend.kernels.sense(
            self._pixels, offsets, sizes, channels, locations, retina.patch_size, retina.num_scales
        )

    @abstractmethod
    def _reset_rows(self, rows: Array, draws: Array) -> None:
        """Set up new episodes in these rows from their random numbers, float64 (R, num_draws) in [0, 1)."""

    @abstractmethod
    def _step_rows(self, action: Action, active: Array) -> Outcome:
        """Apply the rules of one step to the active rows; ``steps`` already counts the step.

        Shapes must not depend on values: use ``backend.copyto`` instead of indexing with masks. Change state by
        indexing, ``backend.copyto`` or ``backend.update``.
        """

    def _compose_visible(self, rows: np.ndarray) -> None:
        """Compose the parts of these rows' images that the retina sees. Called before glimpses if images are lazy."""
        raise NotImplementedError

    def _compose_whole(self, row: int) -> None:
        """Compose the whole image of a row. Called before it is copied if images are lazy."""
        raise NotImplementedError

    @abstractmethod
    def info(self, rows: Array) -> dict[str, Array]:
        """Info of these rows: name -> int64, float64 or bool array (R,), always with the same names.

        ``success``, bool, is one of them. The values must not change before the last step: what may be revealed only
        at the end is -1 or False until then.
        """
