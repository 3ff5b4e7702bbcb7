"""Children that share what this process has imported, so that a new one takes milliseconds."""

import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress

from hostile.trial import Failure

EXPECTED_KILL = 77
"""Exit status of a child that ended itself where it was told to."""
_MAX_TEXT = 4000  # bytes; fits into the buffer of a pipe


class Child:
    """A forked process that calls a function; an exception that escapes becomes its error, and its status 1."""

    def __init__(self, function: Callable[[], None]) -> None:
        reading, writing = os.pipe()  # not a file: disks are full here
        sys.stdout.flush()
        self.pid = os.fork()
        if not self.pid:
            _run(function, writing)
        os.close(writing)
        self._pipe, self._status = reading, None
        self.error = ""
        """Class and message of the exception, then its traceback; empty if it ended well or was killed."""

    def poll(self, max_seconds: float) -> int | None:
        """Wait for the end: the exit status, negative for a signal, or None if it still runs then."""
        end = time.monotonic() + max_seconds
        while self._status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._close()
                self._status = os.waitstatus_to_exitcode(status)
            elif time.monotonic() > end:
                return None
            else:
                time.sleep(0.002)
        return self._status

    def wait(self, max_seconds: float = 60.0) -> int:
        """Wait for the end, and return the exit status.

        Raises:
            Failure: it does not end.
        """
        status = self.poll(max_seconds)
        if status is None:
            self.kill()
            raise Failure(f"a process did not end within {max_seconds:g} s")
        return status

    def kill(self) -> None:
        """Kill it, as a power failure would."""
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        self._close()

    def _close(self) -> None:
        with os.fdopen(self._pipe, "rb") as pipe:
            self.error = pipe.read(_MAX_TEXT).decode(errors="replace")


def _run(function: Callable[[], None], writing: int) -> None:
    status = 1
    try:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(180)  # never outlives the trial for long
        function()
        status = 0
    except BaseException as error:
        text = f"{type(error).__name__}: {error!s:.1000}\n{traceback.format_exc()[-2000:]}"
        with suppress(OSError):
            os.write(writing, text.encode()[:_MAX_TEXT])
    finally:
        os._exit(status)
