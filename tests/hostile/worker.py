"""A process of the trial: makes attempts of several kinds in turn, and reports them to the runner."""

import os
import resource
import shutil
import tempfile
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hostile.kinds import KINDS, make_trial
from hostile.trial import Trial, generator, guarded

_MAX_ADDRESSES = 8 * 2**30  # bytes; an allocation beyond is a MemoryError here, and kills no other process


@dataclass(frozen=True)
class Found:
    """A failed attempt."""

    kind: str
    seed: int
    number: int
    message: str

    @property
    def command(self) -> str:
        """Command that repeats it, in the folder ``tests``."""
        return f"python -m hostile --only {self.kind} --seed {self.seed} --attempt {self.number}"


@dataclass(frozen=True)
class WorkerConfig:
    """Configuration of one process: it makes attempts ``start``, ``start + stride``, ... of each kind."""

    kinds: tuple[str, ...]
    seed: int
    seconds: float
    start: dict[str, int]
    stride: int


def run_attempt(trial: Trial, kind: str, seed: int, number: int) -> int:
    """Make one attempt in a folder of its own; returns the number of tries, and raises what escapes."""
    folder = Path(tempfile.mkdtemp(prefix=f"{number}-", dir=trial.folder))
    try:
        with guarded(KINDS[kind].max_seconds):
            return trial.attempt(generator(seed, kind, number), folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def prepare_process() -> None:
    """Bound the memory of this process, and use one thread."""
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (_MAX_ADDRESSES, hard))
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"


def work(config: WorkerConfig, folder: Path, reports: Any, current: Any) -> None:
    """Make attempts until the time is over; the kind that is furthest behind its share comes next.

    Args:
        config: kinds, seed, time and numbers of the attempts.
        folder: empty folder of this process.
        reports: queue for ``(kind, tries)`` and :class:`Found`.
        current: shared array in which the running attempt is announced: index of its kind, number, start time.
    """
    with (folder / "stderr").open("wb") as log:
        os.dup2(log.fileno(), 2)  # image libraries write there what they think of damaged files
    os.setpgrp()  # the runner ends this process with all its children
    prepare_process()
    end = time.monotonic() + config.seconds  # of attempts, so that it is moved by the time that imports take
    trials: dict[str, Trial] = {}
    numbers, used = dict(config.start), dict.fromkeys(config.kinds, 0.0)
    kinds = list(config.kinds)
    while kinds and time.monotonic() < end:
        kind = min(kinds, key=lambda name: used[name] / KINDS[name].share)
        start, number = time.monotonic(), numbers[kind]
        numbers[kind] += config.stride
        current[:] = config.kinds.index(kind), number, start
        try:
            if kind not in trials:
                trials[kind] = make_trial(kind, folder)
                end += time.monotonic() - start
                current[2] = start = time.monotonic()
            reports.put((kind, run_attempt(trials[kind], kind, config.seed, number)))
        except BaseException as error:
            reports.put(Found(kind, config.seed, number, _describe(error)))
            if kind not in trials:  # its module cannot be imported
                kinds.remove(kind)
        used[kind] += time.monotonic() - start
    current[2] = 0.0


def _describe(error: BaseException) -> str:
    """Describe an exception and where it was raised, in at most a few lines."""
    frames = traceback.extract_tb(error.__traceback__)[-3:]
    places = "\n".join(f"    {frame.filename}:{frame.lineno} in {frame.name}" for frame in frames)
    return f"{type(error).__name__}: {error!s:.600}\n{places}"
