"""A run that is killed again and again: at random moments, and at every operation on files."""

from pathlib import Path

import numpy as np

from hostile import tiny_run
from hostile.forked import EXPECTED_KILL, Child
from hostile.trial import Failure, Trial

_NUM_STARTS = 8


class Kills(Trial):
    def __init__(self, folder):
        super().__init__(folder)
        self.undisturbed = tiny_run.Undisturbed(folder)

    def attempt(self, rng, folder):
        """Train a run to its end, with up to eight kills on the way; returns the number of kills."""
        run, kills = folder / "run", 0
        for _ in range(_NUM_STARTS):
            if self._killed(rng, run):
                kills += 1
                tiny_run.check_agent(run)
        self.undisturbed.check_finish(run)
        return kills

    def _killed(self, rng: np.random.Generator, run: Path) -> bool:
        """Start or resume the run, and kill it; returns False if it ended before that."""
        early = rng.random() ** 2  # most of the work is done again after each kill
        if rng.random() < 0.6:
            last = 1 + int(early * self.undisturbed.num_operations)
            child = Child(lambda: tiny_run.train_until(run, last))
            status = child.wait()
            killed = status == EXPECTED_KILL
        else:
            child = Child(lambda: tiny_run.train(run))
            status = child.poll(early * self.undisturbed.seconds)
            killed = status is None
            if killed:
                child.kill()
        if not killed and status != 0:
            raise Failure(f"a run that was resumed after a kill failed: {child.error}")
        return killed
