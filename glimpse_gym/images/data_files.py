"""Files of named data sets: find, read and verify them."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, cast

from glimpse_gym.safe_io import open_regular


class DataError(RuntimeError):
    """A data file is missing, damaged, too large, or not what its name says."""


class DataFile(NamedTuple):
    """One file of a data set.

    Attributes:
        name: File name in the folder of the data set, where ``NAME.gz`` is accepted too.
        size: Bytes of the uncompressed content.
        md5: MD5 of the uncompressed content, in hexadecimal.
        remote_name: Path below a mirror's address if it differs from the name, as for a compressed file or a subfolder.
    """

    name: str
    size: int
    md5: str
    remote_name: str = ""


def md5_of(content: bytes) -> str:
    """Compute the MD5 in hexadecimal."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def total_size(files: Iterable[DataFile]) -> int:
    """Return the size in bytes of the uncompressed content of all files."""
    return sum(file.size for file in files)


@contextmanager
def open_content(path: str | os.PathLike[str]) -> Iterator[io.BufferedIOBase]:
    """Context manager that yields the content of a regular file, uncompressed if it is gzip, whatever its name.

    Raises:
        DataError: The file cannot be read, is not a regular file, or is damaged gzip; also from within the block.
    """
    try:
        with open_regular(path) as file:
            is_gzip = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            if not is_gzip:
                yield cast(io.BufferedIOBase, file)
                return
            with gzip.GzipFile(fileobj=file, mode="rb") as content:
                yield content
    except (OSError, EOFError, zlib.error, MemoryError) as error:
        reason = str(error) or repr(error)
        raise DataError(f"{path}: cannot be read, expected a complete file, plain or gzip: {reason}") from error


def read_content(path: Path, max_size: int) -> bytes:
    """Read a file, uncompressed if it is gzip, up to ``max_size + 1`` bytes: one more shows that it is too long.

    Raises:
        DataError: As in `open_content`.
    """
    with open_content(path) as content:
        return content.read(max_size + 1)


def find_file(folder: Path, file: DataFile) -> Path | None:
    """Find the path of a file in the folder, plain or compressed; None if it is not there."""
    try:
        return next((p for p in (folder / file.name, folder / f"{file.name}.gz") if p.is_file()), None)
    except OSError as error:
        raise DataError(f"{folder}: cannot be read: {error}; set GLIMPSE_GYM_DATA to another folder") from error


def read_verified(folder: Path, file: DataFile) -> bytes:
    """Read the uncompressed content of a file in the folder, and verify its size and checksum.

    Raises:
        DataError: The file cannot be read, or its size or checksum is wrong.
    """
    path = find_file(folder, file) or folder / file.name
    content = read_content(path, file.size)
    if len(content) > file.size:
        raise DataError(f"{path} is damaged: more than the expected {file.size} bytes; delete it and try again")
    if (found := md5_of(content)) != file.md5:
        raise DataError(f"{path} is damaged: MD5 {found}, expected {file.md5}; delete it and try again")
    return content


def find_missing(folder: Path, files: Iterable[DataFile]) -> list[DataFile]:
    """List the files that are not in the folder, and verify the others.

    Raises:
        DataError: A file that is in the folder is damaged.
    """
    missing = []
    for file in files:
        if find_file(folder, file) is None:
            missing.append(file)
        else:
            read_verified(folder, file)
    return missing
