"""Reader of ``.npz`` files from anyone: plain arrays only, and sizes are checked before memory is taken."""

from __future__ import annotations

import math
import os
import zipfile
from collections.abc import Collection
from typing import IO, Any, BinaryIO, NamedTuple

import numpy as np
from numpy.lib import format as npy_format

from glimpse_gym.content_limit import check_content
from glimpse_gym.safe_io import MAX_BYTES, open_regular
from glimpse_gym.validation import shown

_SUFFIX = ".npy"
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # zipfile unpacks others without a limit on a piece
_MAX_LIST = 1_000_000  # bytes of the list of members, 20,000 of them


class NpzContent(NamedTuple):
    """Arrays of an ``.npz``.

    Attributes:
        arrays: Those of the wanted arrays that the file holds.
        names: Names of all members of the file, those of arrays without ``.npy``.
    """

    arrays: dict[str, np.ndarray]
    names: list[str]


def read_arrays(path: str | os.PathLike[str], wanted: Collection[str], max_bytes: int = MAX_BYTES) -> NpzContent:
    """Read the wanted arrays of an ``.npz``, if it holds them; the others are not read.

    Args:
        path: A regular file.
        wanted: Names of arrays.
        max_bytes: The most memory to take; see :func:`~glimpse_gym.content_limit.content_limit`.

    Raises:
        OSError: The file cannot be opened, or is not a regular file.
        ContentLimitError: The wanted arrays are larger than the limit.
        ValueError: The file is damaged, or is not an ``.npz`` of plain arrays.
    """
    with open_regular(path) as file:
        try:
            stream: Any = _ZipStream(file)
            with zipfile.ZipFile(stream) as archive:
                stream.is_opening = False
                return _read_archive(archive, wanted, os.fspath(path), max_bytes)
        except ValueError:
            raise
        except Exception as error:  # zipfile and NumPy raise many types, depending on where the damage is
            raise ValueError(f"{shown(error, 200)}") from error


class _ZipStream:
    """File for ``zipfile`` that refuses a long list of members, which would take ten times its length in memory."""

    def __init__(self, file: BinaryIO) -> None:
        self.is_opening = True
        self.seek, self.tell, self.seekable = file.seek, file.tell, file.seekable
        self._read = file.read

    def read(self, size: int = -1) -> bytes:
        if self.is_opening and size > _MAX_LIST:  # zipfile reads the list at once
            raise ValueError(f"its list of members takes {size:,} bytes, and the limit is {_MAX_LIST:,}")
        return self._read(size)


def _read_archive(archive: zipfile.ZipFile, wanted: Collection[str], where: str, max_bytes: int) -> NpzContent:
    infos = {info.filename.removesuffix(_SUFFIX): info for info in archive.infolist()}
    chosen = {name: info for name, info in infos.items() if name in wanted}
    check_content(where, sum(info.file_size for info in chosen.values()), max_bytes)
    return NpzContent({name: _read_member(archive, name, info) for name, info in chosen.items()}, list(infos))


def _read_member(archive: zipfile.ZipFile, name: str, info: zipfile.ZipInfo) -> np.ndarray:
    if info.compress_type not in _METHODS:
        raise ValueError(f"{shown(name)} is compressed by method {info.compress_type}, not stored or deflated")
    with archive.open(info) as member:
        _check_header(member, name, info.file_size)
    with archive.open(info) as member:
        return npy_format.read_array(member, allow_pickle=False)


def _check_header(member: IO[bytes], name: str, size: int) -> None:
    """Raise ValueError if the array is not plain, or not as large as its member."""
    version = npy_format.read_magic(member)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"{shown(name)} has version {version} of the .npy format, not 1.0 or 2.0")
    read_header = npy_format.read_array_header_1_0 if version == (1, 0) else npy_format.read_array_header_2_0
    shape, _, dtype = read_header(member)
    if dtype.kind in "OV" or dtype.itemsize == 0:
        raise ValueError(f"{shown(name)} is not a plain array: it holds {shown(dtype)}; objects are never loaded")
    expected, found = math.prod(shape) * dtype.itemsize, size - member.tell()
    if min(shape, default=0) < 0 or expected != found:
        raise ValueError(
            f"{shown(name)} has {found:,} bytes of values, expected {expected:,} for {shown(dtype)} {shown(shape)}"
        )
