"""Atomic file writes: readers see the old or the new file, never a partial one."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Context manager that yields a temporary path and renames it to ``path`` if the block succeeds.

    The temporary file is in the same folder and has the same suffix. It is flushed to disk before the rename, and
    removed if the block or the rename fails; an existing ``path`` is then unchanged.

    Raises:
        OSError: the file cannot be written; the message names ``path``.
    """
    path = Path(path)
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent)
    except OSError as error:
        raise _name_path(error, path) from error
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        # mkstemp creates files that only their owner can read; set the default permissions of a new file.
        mask = os.umask(0)
        os.umask(mask)
        temporary.chmod(0o666 & ~mask)
        os.replace(temporary, path)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename in (None, str(temporary)):
            raise _name_path(error, path) from error
        raise


def check_free_space(path: str | os.PathLike[str], num_bytes: int) -> None:
    """Check that a new file of ``num_bytes`` bytes fits on the disk of ``path``, before it is written.

    Raises:
        OSError: it does not fit, or the folder of ``path`` does not exist.
    """
    folder = Path(path).absolute().parent
    free = shutil.disk_usage(folder).free
    if num_bytes > free:
        reason = (
            f"it needs {num_bytes:,} bytes, and {folder} has {free:,} bytes free; free some, or name another folder"
        )
        raise OSError(errno.ENOSPC, reason, str(path))


def _name_path(error: OSError, path: Path) -> OSError:
    """Make an error of the same class that names ``path``, not the temporary file, or no file as for a full disk."""
    if error.errno is None:
        return OSError(f"{path} cannot be written: {error}")
    return OSError(error.errno, error.strerror, str(path))


def remove_temporary_files(path: str | os.PathLike[str]) -> None:
    """Remove temporary files left by killed writers of ``path``; do not call while another process writes it."""
    path = Path(path)
    for leftover in path.parent.glob(f".{path.stem}-????????{path.suffix}"):
        leftover.unlink(missing_ok=True)
