"""Command line of the hostile trial: ``python -m hostile`` in the folder ``tests``, or ``make hostile``."""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

from hostile.kinds import KINDS, make_trial
from hostile.runner import Outcome, run
from hostile.worker import prepare_process, run_attempt

_EVERY = 30.0  # seconds between lines of progress
_SHOWN = 20  # failures of each kind that are described at the end


def main() -> int:
    """Run the trial; the exit status is 1 if any attempt failed."""
    parser = argparse.ArgumentParser(prog="python -m hostile", description="Attack glimpse_gym at random.")
    parser.add_argument("--minutes", type=float, default=20.0, help="how long to run (default: 20)")
    parser.add_argument("--seed", type=int, help="seed of all attempts (default: from the clock)")
    parser.add_argument("--only", nargs="+", choices=KINDS, default=list(KINDS), help="kinds of trials (default: all)")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="how many run at once")
    parser.add_argument("--attempt", type=int, dest="number", help="number of the attempt to repeat, and nothing else")
    arguments = parser.parse_args()
    seed = int(time.time()) % 2**31 if arguments.seed is None else arguments.seed
    if arguments.number is not None:
        return _repeat(arguments.only, seed, arguments.number)
    print(f"seed {seed} for each of the kinds {', '.join(arguments.only)}; {arguments.minutes:g} minutes", flush=True)
    outcome = run(arguments.only, seed, 60 * arguments.minutes, arguments.processes, _Progress())
    print(outcome.table())
    for kind in outcome.kinds:
        failures = [found for found in outcome.failures if found.kind == kind]
        for found in failures[:_SHOWN]:
            print(f"\nFAILED: {found.command}\n  {found.message}")
        if len(failures) > _SHOWN:
            print(f"\n... and {len(failures) - _SHOWN} more failures of {kind}")
    return 1 if outcome.failures else 0


def _repeat(kinds: list[str], seed: int, number: int) -> int:
    prepare_process()
    with tempfile.TemporaryDirectory(prefix="hostile-", ignore_cleanup_errors=True) as folder:
        for kind in kinds:
            trial = make_trial(kind, Path(folder))
            tries = run_attempt(trial, kind, seed, number)  # a failure shows its traceback
            print(f"{kind}: {tries} {KINDS[kind].unit}, no failure")
    return 0


class _Progress:
    """Prints a line now and then, and every failure at once."""

    def __init__(self) -> None:
        self.next, self.shown = _EVERY, 0

    def __call__(self, outcome: Outcome, seconds: float) -> None:
        for found in outcome.failures[self.shown :]:
            print(f"{seconds:6.0f} s  FAILED: {found.command}: {found.message.splitlines()[0]:.200}", flush=True)
        self.shown = len(outcome.failures)
        if seconds >= self.next:
            self.next += _EVERY
            counts = ", ".join(f"{outcome.tries[kind]:,} {KINDS[kind].unit}" for kind in outcome.kinds)
            print(f"{seconds:6.0f} s  {counts}; {self.shown} failures", flush=True)


if __name__ == "__main__":
    sys.exit(main())
