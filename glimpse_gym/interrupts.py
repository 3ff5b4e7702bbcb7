"""Ctrl-C and SIGTERM in the command line program. This module imports the standard library alone."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


def let_interrupts_kill() -> None:
    """Let Ctrl-C end the command line program at once while its modules load, without a traceback."""
    program = sys.argv[0].replace("\\", "/").rpartition("/")[2] if sys.argv else ""
    if program.startswith("glimpse-gym") or sys.orig_argv[1:3] == ["-m", "glimpse_gym"]:
        _replace(signal.SIGINT, signal.default_int_handler, signal.SIG_DFL)


@contextmanager
def raised_interrupts() -> Iterator[None]:
    """Context manager in which Ctrl-C and SIGTERM raise KeyboardInterrupt."""
    _replace(signal.SIGINT, signal.SIG_DFL, signal.default_int_handler)
    was_replaced = _replace(signal.SIGTERM, signal.SIG_DFL, signal.default_int_handler)
    try:
        yield
    finally:
        if was_replaced:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


@contextmanager
def handled_interrupts(handler: Callable[[int, Any], Any] | signal.Handlers) -> Iterator[None]:
    """Context manager with another handler of Ctrl-C and SIGTERM, if this is the main thread."""
    if threading.current_thread() is not threading.main_thread():  # Python handles signals there only
        yield
        return
    previous = {number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, old in previous.items():
            signal.signal(number, old)


def _replace(number: signal.Signals, old: Any, new: Any) -> bool:
    """Replace the handler of a signal if it is ``old``, and return whether it was; only the main thread can."""
    found = threading.current_thread() is threading.main_thread() and signal.getsignal(number) == old
    if found:
        signal.signal(number, new)
    return found
