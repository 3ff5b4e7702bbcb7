"""Functions that run in a forked child process, where they are killed or find the disk full."""

import os
import pickle
import resource
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

_FILE_EVENTS = {"open", "os.chmod", "os.mkdir", "os.remove", "os.rename"}
_KILLED = 9


class Ending(NamedTuple):
    """How a function ended in a child process."""

    was_killed: bool
    error: BaseException | None = None
    """What it raised, if it was not killed."""


def run_forked(function: Callable[[], Any], prepare: Callable[[], Any] | None = None) -> Ending:
    """Run a function in a child process.

    Args:
        function: what it returns is dropped.
        prepare: called first, in the child: `kill_at` and `limit_file_size` make such functions.
    """
    results, write = os.pipe()
    child = _fork()
    if not child:
        error = None
        try:
            if prepare:
                prepare()
            function()
        except BaseException as raised:
            error = raised
        try:
            os.write(write, pickle.dumps(error))
        finally:
            os._exit(0)
    os.close(write)
    with open(results, "rb") as file:
        content = file.read()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return Ending(was_killed=False, error=pickle.loads(content)) if status == 0 else Ending(was_killed=True)


@contextmanager
def running(function: Callable[[Callable[[], None]], Any]) -> Iterator[int]:
    """Context manager with the process id of a child that runs a function, and is killed at the end.

    Args:
        function: gets a function that it must call when the block may begin, and that never returns.
    """
    ready, write = os.pipe()
    child = _fork()
    if not child:

        def wait() -> None:
            os.write(write, b"ready")
            while True:
                signal.pause()

        try:
            function(wait)
        finally:
            os._exit(1)
    os.close(write)
    try:
        with open(ready, "rb") as file:
            assert file.read(5) == b"ready", "the function ended before it was ready"
        yield child
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def _fork() -> int:
    with warnings.catch_warnings():
        # Python 3.12 warns because libraries have made threads, which are idle.
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def kill_at(number: int, folder: Path) -> Callable[[], None]:
    """Make a function that has its process killed before the file operation of that number, from 1, in a folder.

    File operations are opening, renaming, removing and changing the permissions of a file, and making a folder.
    """
    prefix = str(folder)
    count = 0

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal count
        if event in _FILE_EVENTS and any(str(argument).startswith(prefix) for argument in arguments[:2]):
            count += 1
            if count == number:
                os._exit(_KILLED)

    return lambda: sys.addaudithook(watch)


def limit_file_size(num_bytes: int) -> Callable[[], None]:
    """Make a function that limits the size of all files that its process writes, as a full disk does."""
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, resource.RLIM_INFINITY))
