"""Locks on folders, so that two processes never write into the same one.

The operating system releases a lock when its process ends, however it ends.
"""

from __future__ import annotations

import errno
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from glimpse_gym.safe_io import read_bytes
from glimpse_gym.validation import printable

LOCK, OWNER = ".lock", ".lock-owner"
"""Names of the lock and of the file that says who holds it, in the locked folder."""
_MAX_OWNER_BYTES = 2_000


class FolderInUseError(RuntimeError):
    """Another process, or another thread, writes into the folder."""


@contextmanager
def lock_folder(folder: Path, timeout: float = 1.0) -> Iterator[None]:
    """Context manager that holds the lock of an existing folder; the same thread may hold it several times.

    A process that is forked in the meantime holds it too.

    Args:
        folder: the folder; it must be writable.
        timeout: seconds to wait for another process that holds the lock.

    Raises:
        FolderInUseError: it is held already; the message says by whom.
        OSError: the folder cannot be written, or its file system has no locks.
    """
    # Without the fallback, which is a file that a killed process leaves behind.
    lock = FileLock(folder / LOCK, is_singleton=True, fallback_to_soft=False)
    try:
        lock.acquire(timeout)
    except Timeout:
        raise FolderInUseError(
            f"{folder} is in use by {_read_owner(folder)}: wait until it ends, stop it, or use another folder"
        ) from None
    except (NotImplementedError, OSError) as error:
        if isinstance(error, OSError) and error.errno != errno.ENOSYS:
            raise
        raise OSError(f"{folder} cannot be locked: its file system has no locks; use another folder") from error
    try:
        if lock.lock_counter == 1:
            _write_owner(folder)
        yield
    finally:
        if lock.lock_counter == 1:
            _remove_owner(folder)
        lock.release()


def _write_owner(folder: Path) -> None:
    command = " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])
    started = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    shown_command = command if len(command) <= 300 else f"{command[:300]} ..."
    _remove_owner(folder)
    with suppress(OSError), (folder / OWNER).open("x") as file:  # "x": never writes through a link
        file.write(f"process {os.getpid()} on {socket.gethostname()} since {started} ({shown_command})")


def _remove_owner(folder: Path) -> None:
    with suppress(OSError):  # a full disk, or a folder that was deleted, must not keep a run from ending well
        (folder / OWNER).unlink()


def _read_owner(folder: Path) -> str:
    try:
        text = read_bytes(folder / OWNER, _MAX_OWNER_BYTES).decode(errors="replace")
    except (OSError, ValueError):
        text = ""
    return printable(text) or "another process"
