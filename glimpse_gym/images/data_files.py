"""Files of named data sets: find, read and verify them."""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple


class DataError(RuntimeError):
    """A data file is missing, damaged, or not what its name says."""


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


def read_content(path: Path) -> bytes:
    """Read a file, and uncompress it if it is gzip, whatever its name.

    Raises:
        DataError: The file cannot be read or is damaged gzip.
    """
    try:
        raw = path.read_bytes()
        return gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read, expected a complete file, plain or gzip: {error}") from error


def find_file(folder: Path, file: DataFile) -> Path | None:
    """Find the path of a file in the folder, plain or compressed; None if it is not there."""
    try:
        return next((p for p in (folder / file.name, folder / f"{file.name}.gz") if p.is_file()), None)
    except OSError as error:
        raise DataError(f"{folder}: cannot be read: {error}; set GLIMPSE_GYM_DATA to another folder") from error


def read_verified(folder: Path, file: DataFile) -> bytes:
    """Read the uncompressed content of a file in the folder, and verify its checksum.

    Raises:
        DataError: The file cannot be read, or its checksum is wrong.
    """
    path = find_file(folder, file) or folder / file.name
    content = read_content(path)
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
