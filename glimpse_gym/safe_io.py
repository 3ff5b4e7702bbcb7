"""Reads of files that may come from anyone: regular files only, and never more than a limit.

Devices, FIFOs and sockets are refused before they are opened, because reading them may never end.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Iterable
from io import BufferedReader
from pathlib import Path
from typing import Any, NamedTuple

from glimpse_gym.atomic_io import atomic_write

MAX_BYTES = 2_000_000_000
"""Default limit on the memory that a file from anywhere may take, in bytes; ``max_bytes`` arguments lift it."""
MAX_JSON_BYTES = 16_000_000
"""Limit on the size of a JSON file."""
MAX_DEPTH = 50
"""Largest depth of lists and objects in a JSON file."""
JSON_MEMORY = 55
"""Most memory that reading JSON takes, in sizes of the file: 48 for nested lists of one item each, 5 for the text."""

_CHECKSUM_START = '"checksum": "'


def open_regular(path: str | os.PathLike[str]) -> BufferedReader:
    """Open a regular file for reading in binary mode.

    Raises:
        OSError: the file cannot be opened, or is not a regular file.
    """
    _check_regular(path, os.stat(path))  # opening a device can have effects of its own
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        _check_regular(path, os.fstat(handle))  # in case the path was replaced in between
    except OSError:
        os.close(handle)
        raise
    return os.fdopen(handle, "rb")


def _check_regular(path: str | os.PathLike[str], status: os.stat_result) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(f"{os.fspath(path)} is a folder, not a file")
    if not stat.S_ISREG(status.st_mode):
        raise OSError(f"{os.fspath(path)} is not a regular file: devices, FIFOs and sockets are not read")


def read_bytes(path: str | os.PathLike[str], max_bytes: int) -> bytes:
    """Read a regular file.

    Raises:
        OSError: the file cannot be read, or is not a regular file.
        ValueError: the file is larger than ``max_bytes``.
    """
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        content = file.read(min(size, max_bytes) + 1)  # one more, in case the file grows
    if len(content) > max_bytes:
        raise ValueError(f"{os.fspath(path)} is larger than the limit of {max_bytes:,} bytes")
    return content


def parse_json(content: str | bytes) -> Any:
    """Parse JSON; raise ValueError if it is not JSON, or nested more than MAX_DEPTH deep.

    Functions that go through a value by calling themselves then work with it.
    """
    too_deep = f"its brackets are nested too deeply: more than {MAX_DEPTH} levels"
    try:
        value = json.loads(content)
    except RecursionError:
        raise ValueError(too_deep) from None
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [item for each in level for item in _items(each)]
    if any(isinstance(each, dict | list) for each in level):
        raise ValueError(too_deep)
    return value


def _items(value: Any) -> Iterable[Any]:
    """Return the items of a list, the values of a dict, and nothing of other values."""
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


class ChecksummedJSON(NamedTuple):
    """Content of a checksummed JSON file."""

    entries: Any
    is_intact: bool
    """The checksum matches: no bit has changed since the file was written."""


def write_checksummed_json(path: Path, entries: dict[str, Any], indent: int = 1, allow_nan: bool = True) -> None:
    """Write a JSON object atomically, with the SHA-256 of all that precedes it as its last entry, "checksum".

    Raises:
        OSError: the file cannot be written; an existing one is unchanged.
        TypeError, ValueError: JSON cannot store an entry; without ``allow_nan`` also NaN and infinity.
    """
    others = {name: value for name, value in entries.items() if name != "checksum"}  # it must come last
    text = json.dumps(others | {"checksum": ""}, indent=indent, allow_nan=allow_nan)
    head = text[: text.rindex(_CHECKSUM_START) + len(_CHECKSUM_START)]
    with atomic_write(path) as temporary:
        temporary.write_bytes((head + _checksum_end(head)).encode())


def read_checksummed_json(path: str | os.PathLike[str]) -> ChecksummedJSON:
    """Read a file that :func:`write_checksummed_json` wrote, and verify its checksum.

    Raises:
        OSError: the file cannot be read, or is not a regular file.
        ValueError: the file is too large, or not JSON.
    """
    # A version control system may have changed the ends of lines.
    text = read_bytes(path, MAX_JSON_BYTES).decode("utf-8").replace("\r\n", "\n")
    entries = parse_json(text)
    head, mark, tail = text.rpartition(_CHECKSUM_START)
    if isinstance(entries, dict):
        entries.pop("checksum", None)
    return ChecksummedJSON(entries, bool(mark) and tail == _checksum_end(head + mark))


def _checksum_end(head: str) -> str:
    return hashlib.sha256(head.encode()).hexdigest() + '"\n}\n'
