"""Runs kinds of trials side by side in several processes, and survives whatever happens to those."""

import multiprocessing
import os
import queue
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hostile.kinds import KINDS
from hostile.worker import Found, WorkerConfig, work

_SLACK = 60.0  # seconds that an attempt, or the start of a process, may take beyond its limit before it is killed


@dataclass
class Outcome:
    """What all attempts found."""

    kinds: Sequence[str]
    attempts: Counter[str] = field(default_factory=Counter)
    tries: Counter[str] = field(default_factory=Counter)
    failures: list[Found] = field(default_factory=list)

    def add(self, report: Any) -> None:
        """Count a report of a process."""
        if isinstance(report, Found):
            self.failures.append(report)
            self.tries[report.kind] += 1
            self.attempts[report.kind] += 1
        else:
            kind, tries = report
            self.tries[kind] += tries
            self.attempts[kind] += 1

    def table(self) -> str:
        """Format kinds, tries and failures."""
        failed = Counter(found.kind for found in self.failures)
        rows = [f"{kind:14}{self.tries[kind]:>12,} {KINDS[kind].unit:14}{failed[kind]:>9}" for kind in self.kinds]
        return "\n".join([f"{'kind':14}{'tries':>12} {'of':14}{'failures':>9}", *rows])


class _Process:
    """A process of the trial, which is started again if it dies."""

    def __init__(self, config: WorkerConfig, folder: Path) -> None:
        self.config, self.folder, self.starts = config, folder, 0
        self.context = multiprocessing.get_context("spawn")
        self.reports = self.context.Queue()
        self.current = self.context.Array("d", 3, lock=False)
        self.end = time.monotonic() + config.seconds
        self._start()

    def _start(self) -> None:
        self.starts += 1
        folder = self.folder / f"start{self.starts}"
        folder.mkdir(parents=True)
        config = replace(self.config, seconds=self.end - time.monotonic())
        self.process = self.context.Process(target=work, args=(config, folder, self.reports, self.current), daemon=True)
        self.process.start()

    def check(self) -> Found | None:
        """Return the attempt that killed the process, or that does not end; the process then starts again."""
        index, number, start = int(self.current[0]), int(self.current[1]), self.current[2]
        kind = self.config.kinds[index]
        if not self.current[2]:
            return None
        if self.process.exitcode:
            errors = (self.folder / f"start{self.starts}" / "stderr").read_text(errors="replace")[-600:]
            message = f"the process ended with exit code {self.process.exitcode}: {errors}"
        elif self.process.exitcode is None and time.monotonic() - start > self._patience(kind):
            message = f"it did not end within {self._patience(kind):g} s, not even by the watchdog"
        else:
            return None
        self.stop()
        starts = {name: first + 1_000_000 * self.starts for name, first in self.config.start.items()}
        self.config = replace(self.config, start=starts)
        self.current[2] = 0.0
        if time.monotonic() < self.end:
            self._start()
        return Found(kind, self.config.seed, number, message)

    def _patience(self, kind: str) -> float:
        return KINDS[kind].max_seconds + _SLACK

    def stop(self) -> None:
        """Kill the process and its children."""
        with suppress(OSError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.kill()
        self.process.join()


def run(
    kinds: Sequence[str],
    seed: int,
    seconds: float,
    num_processes: int = 2,
    on_progress: Callable[[Outcome, float], None] = lambda outcome, seconds: None,
) -> Outcome:
    """Run kinds of trials for some time.

    Args:
        kinds: names of the kinds.
        seed: seed of all attempts.
        seconds: after this time no attempt begins.
        num_processes: number of processes; each makes attempts of all kinds.
        on_progress: called about once a second with what was found so far, and the seconds so far.
    """
    outcome, begin = Outcome(kinds), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="hostile-", ignore_cleanup_errors=True) as name:
        processes = []
        try:
            for i in range(num_processes):
                first = i * len(kinds) // num_processes  # they begin with different kinds
                turned = (*kinds[first:], *kinds[:first])
                config = WorkerConfig(turned, seed, seconds, dict.fromkeys(kinds, i), num_processes)
                processes.append(_Process(config, Path(name) / f"process{i}"))
            while any(each.process.exitcode is None for each in processes):
                time.sleep(0.5)
                _collect(outcome, processes)
                for found in filter(None, [each.check() for each in processes]):
                    outcome.add(found)
                on_progress(outcome, time.monotonic() - begin)
        except KeyboardInterrupt:
            pass
        finally:
            for each in processes:
                each.stop()
        _collect(outcome, processes)
    return outcome


def _collect(outcome: Outcome, processes: Sequence[_Process]) -> None:
    for each in processes:
        with suppress(queue.Empty):
            while True:
                outcome.add(each.reports.get_nowait())
