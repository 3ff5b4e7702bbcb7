"""What all kinds of trials share: their interface, random generators, the watchdog and the memory check."""

import signal
import warnings
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np

MAX_GROWTH = 2_000_000_000
"""Bytes by which one attempt may raise the memory of the process: the package's own limit for files."""
_STATUS, _CLEAR_REFS = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class Failure(Exception):
    """The program did something that it must not do."""


class TooSlow(BaseException):
    """The watchdog of an attempt. Not an Exception, so that no ``except Exception`` of the program hides it."""


class Trial(ABC):
    """One kind of attack. An attempt depends on nothing but its generator, so that it can be repeated alone."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        """Folder of this kind in this process, for what all its attempts share."""

    @abstractmethod
    def attempt(self, rng: np.random.Generator, folder: Path) -> int:
        """Attack once, and return the number of tries. ``folder`` is empty, and removed afterwards.

        Raises:
            Failure: the program did something wrong; so did it with any other exception that escapes.
        """


def generator(seed: int, kind: str, number: int) -> np.random.Generator:
    """Make the generator of one attempt."""
    return np.random.default_rng([seed, zlib.crc32(kind.encode()), number])


def describe(value: object) -> str:
    """Shorten the repr of a value, which may have none."""
    try:
        return f"{value!r:.200}".replace("\n", " ")
    except Exception as error:
        return f"<{type(value).__name__} without a repr: {type(error).__name__}>"


@contextmanager
def guarded(max_seconds: float) -> Iterator[None]:
    """Context manager of an attempt: warnings are errors, and both time and memory are limited."""

    def stop(number, frame):
        raise TooSlow(f"it took longer than {max_seconds:g} s")

    with suppress(OSError):
        _CLEAR_REFS.write_text("5")  # resets the peak
    before = _memory("VmRSS")
    previous = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, max_seconds)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    growth = _memory("VmHWM") - before
    if growth > MAX_GROWTH:
        raise Failure(f"it took {growth / 1e9:.1f} GB of memory")


def _memory(name: str) -> int:
    """Return an entry of the process's status in bytes; 0 on systems without such a file."""
    with suppress(OSError):
        for line in _STATUS.read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * 1024
    return 0
