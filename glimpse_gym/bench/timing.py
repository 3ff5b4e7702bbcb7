"""Timing of repeated calls."""

from __future__ import annotations

import time
from collections.abc import Callable


def check_seconds(seconds: float) -> None:
    """Raise ValueError if a duration is not greater than 0."""
    if not seconds > 0:
        raise ValueError(f"seconds must be greater than 0, got {seconds}")


def seconds_per_call(function: Callable[[], object], seconds: float, calls_at_once: int = 1) -> float:
    """Call a function repeatedly for some seconds, at least once, and return the mean time of a call.

    Args:
        function: the function.
        seconds: duration of the measurement.
        calls_at_once: calls between two looks at the clock, so that these cost little beside short calls.
    """
    num_calls, start = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - start) < seconds or not num_calls:
        for _ in range(calls_at_once):
            function()
        num_calls += calls_at_once
    return elapsed / num_calls
