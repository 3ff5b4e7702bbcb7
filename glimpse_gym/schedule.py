"""Which rows of a world run an episode and which episodes have ended, as the host needs it for autoreset."""

from __future__ import annotations

import numpy as np

from glimpse_gym.world import Action, Outcome, World


class Schedule:
    """Host's view of the running episodes of a world whose arrays are NumPy arrays."""

    def __init__(self, world: World) -> None:
        self._world = world

    @property
    def running(self) -> np.ndarray:
        """bool (B,): an episode runs."""
        return self._world.running

    def record_reset(self, rows: np.ndarray) -> None:
        """Note that new episodes have begun in some rows, int64 (R,)."""

    def record_step(self, action: Action, outcome: Outcome) -> np.ndarray:
        """Note that all running episodes have taken a step, and return the rows that have ended, int64 (R,)."""
        return outcome.terminated.nonzero()[0]


class DeviceSchedule(Schedule):
    """Host's view of a world on a device.

    In worlds whose episodes have a fixed length, steps are counted on the host, without reading the device. Where an
    action can end an episode early, every step reads from the device which episodes have ended.
    """

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._steps = np.zeros(world.num_rows, np.int64)
        self._running = np.zeros(world.num_rows, np.bool_)

    @property
    def running(self) -> np.ndarray:
        """See :attr:`Schedule.running`."""
        return self._running

    def record_reset(self, rows: np.ndarray) -> None:
        """See :meth:`Schedule.record_reset`."""
        self._steps[rows] = 0
        self._running[rows] = True

    def record_step(self, action: Action, outcome: Outcome) -> np.ndarray:
        """See :meth:`Schedule.record_step`."""
        self._steps += self._running
        if self._world.length_is_fixed and action.commits is None:
            ended = self._running & (self._steps >= self._world.horizon)
        else:
            ended = self._world.backend.to_host(outcome.terminated)
        self._running = self._running & ~ended
        return ended.nonzero()[0]
