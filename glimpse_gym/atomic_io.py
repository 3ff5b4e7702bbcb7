"""Files that are either wholly there or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary name beside ``path`` to write to; it takes the place of ``path`` when all went well.

    The temporary file keeps the ending of the name, is flushed to the disk, and is removed after any failure.
    """
    path = Path(path)
    handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        # mkstemp makes files that only their owner can read; give this one what any new file has.
        mask = os.umask(0)
        os.umask(mask)
        temporary.chmod(0o666 & ~mask)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def remove_temporary_files(path: str | os.PathLike[str]) -> None:
    """Remove what a killed writer of ``path`` left behind; to be called where nobody else is writing it."""
    path = Path(path)
    for leftover in path.parent.glob(f".{path.stem}-????????{path.suffix}"):
        leftover.unlink(missing_ok=True)
