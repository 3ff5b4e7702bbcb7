"""Functions that run in a forked child process, where they are killed or find the disk full."""

import errno
import os
import pickle
import resource
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

_FILE_EVENTS = {"open", "os.chmod", "os.mkdir", "os.remove", "os.rename"}
_WRITES, _WRITE_FLAGS = {"open", "os.mkdir", "os.rename"}, os.O_WRONLY | os.O_RDWR
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
        os.write(write, _dump(error))
        os._exit(0)
    os.close(write)
    with open(results, "rb") as file:
        content = file.read()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status in (_KILLED, -signal.SIGKILL):
        return Ending(was_killed=True)
    assert status == 0, f"the child ended with status {status}"
    return Ending(was_killed=False, error=pickle.loads(content))


def _dump(error: BaseException | None) -> bytes:
    try:
        return pickle.dumps(error)
    except Exception:
        return pickle.dumps(RuntimeError(repr(error)))


def die() -> NoReturn:
    """End this process at once, as a kill does."""
    os._exit(_KILLED)


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


def start_forked(function: Callable[[], Any]) -> int:
    """Run a function in a child process, and return the child's process id without waiting for it."""
    child = _fork()
    if not child:
        try:
            function()
        finally:
            os._exit(0)
    return child


def _fork() -> int:
    with warnings.catch_warnings():
        # Python 3.12 warns because libraries have made threads, which are idle.
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def kill_at(number: int, folder: Path) -> Callable[[], None]:
    """Make a function that has its process killed before the file operation of that number, from 1, in a folder.

    File operations are opening, renaming, removing and changing the permissions of a file, and making a folder.
    """

    def kill(count: int, path: str) -> None:
        if count == number:
            die()

    return lambda: _watch(folder, kill, writes_only=False)


def fail_from(number: int, folder: Path) -> Callable[[], None]:
    """Make a function that has all file operations in a folder that need space fail from that number on.

    They are opening a file for writing, renaming a file and making a folder. Unlike `limit_file_size`, this also hits
    small files after large ones.
    """

    def fail(count: int, path: str) -> None:
        if count >= number:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)

    return lambda: _watch(folder, fail, writes_only=True)


def _watch(folder: Path, act: Callable[[int, str], None], writes_only: bool) -> None:
    """Call ``act(count, path)`` before every file operation in a folder, in this process from now on."""
    count = 0

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal count
        if event not in _FILE_EVENTS or not any(str(each).startswith(str(folder)) for each in arguments[:2]):
            return
        if writes_only and (event not in _WRITES or (event == "open" and not arguments[2] & _WRITE_FLAGS)):
            return
        count += 1
        act(count, str(arguments[0]))

    sys.addaudithook(watch)


def limit_file_size(num_bytes: int) -> Callable[[], None]:
    """Make a function that limits the size of all files that its process writes, as a full disk does."""
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, resource.RLIM_INFINITY))
