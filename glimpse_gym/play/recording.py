"""Recordings: a folder with one self-contained file per finished episode, of people or agents."""

from __future__ import annotations

import os
import re
import warnings
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from glimpse_gym.atomic_io import atomic_write, remove_temporary_files
from glimpse_gym.content_limit import ContentLimitError, content_limit, memory_for
from glimpse_gym.folder_lock import FolderInUseError, lock_folder
from glimpse_gym.play.episode_record import EpisodeRecord, RecordError, encode_record, load_record
from glimpse_gym.safe_io import MAX_BYTES

_FILE_NAME = re.compile(r"(\d{6,})-[\w.-]+\.npz", re.ASCII)
_LOCK_SECONDS = 20.0  # another process writes an episode in a fraction of a second


class RecordWarning(UserWarning):
    """A file of a recording that was left out because it cannot be read."""


class Recording(NamedTuple):
    """Episodes of a folder, in the order in which they ended."""

    records: dict[Path, EpisodeRecord]
    damaged: dict[Path, RecordError]
    """Files that cannot be read, and why."""


def open_recording(folder: str | os.PathLike[str]) -> Path:
    """Check that episodes can be recorded in a folder, and make it if it does not exist.

    The folder may hold recorded episodes already; several players may record into it at the same time.

    Raises:
        RecordError: it holds other files, is not a folder, or cannot be written.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        names = [path.name for path in folder.iterdir()]
    except (FileExistsError, NotADirectoryError):
        raise RecordError(f"{folder} is not a folder: give the name of a folder to record into") from None
    except OSError as error:
        raise RecordError(f"{folder} cannot be made or read ({error.strerror}): record into another folder") from error
    others = sorted(name for name in names if not (_FILE_NAME.fullmatch(name) or name.startswith(".")))
    if others:
        raise RecordError(
            f"{folder} holds other files than recorded episodes ({', '.join(others[:3])}): "
            "record into a new folder, or into one that holds episodes only"
        )
    if not os.access(folder, os.W_OK | os.X_OK):
        raise RecordError(f"{folder} cannot be written (permission denied): record into another folder")
    return folder


def save_record(folder: str | os.PathLike[str], record: EpisodeRecord) -> Path:
    """Write an episode to a file ``NNNNNN-PLAYER.npz`` of its own, atomically.

    Args:
        folder: from :func:`open_recording`. Other processes may write there at the same time.
        record: the episode.

    Returns:
        Path of the file.

    Raises:
        RecordError: it cannot be written, for example because the disk is full, or could not be read again; nothing is
            left behind.
    """
    folder = Path(folder)
    player = re.sub(r"[^A-Za-z0-9_.-]+", "-", record.player)[:60].strip("-.") or "player"
    content = encode_record(record)
    try:
        with lock_folder(folder, _LOCK_SECONDS):
            numbers = [int(match[1]) for path in folder.iterdir() if (match := _FILE_NAME.fullmatch(path.name))]
            path = folder / f"{max(numbers, default=0) + 1:06d}-{player}.npz"
            remove_temporary_files(path)
            with atomic_write(path) as temporary:
                temporary.write_bytes(content)
            _flush_folder(folder)
    except (OSError, FolderInUseError) as error:
        reason = getattr(error, "strerror", None) or error
        raise RecordError(
            f"an episode cannot be written to {folder} ({reason}), and is not recorded: "
            "free some space, or record into another folder"
        ) from error
    return path


def _flush_folder(folder: Path) -> None:
    """Make the names of new files survive a power failure, where the system can."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def record_paths(folder: str | os.PathLike[str]) -> list[Path]:
    """Files of the episodes of a folder, in the order in which they ended.

    Raises:
        RecordError: the folder does not exist, or holds no episode.
    """
    folder = Path(folder)
    try:
        if not folder.is_dir():
            raise RecordError(f"{folder} is not a folder: name a folder that --record wrote")
        matches = [(match, path) for path in folder.iterdir() if (match := _FILE_NAME.fullmatch(path.name))]
    except OSError as error:
        raise RecordError(f"{folder} cannot be read: {error.strerror or error}") from error
    if not matches:
        raise RecordError(f"{folder} holds no recorded episodes: name a folder that --record wrote")
    return [path for _, path in sorted(matches, key=lambda pair: (int(pair[0][1]), pair[1].name))]


def load_recording(folder: str | os.PathLike[str], max_bytes: int = MAX_BYTES) -> Recording:
    """Read all episodes of a folder; files that cannot be read are listed with their errors.

    Args:
        folder: of episodes.
        max_bytes: the most memory to take for all; see :func:`~glimpse_gym.content_limit.content_limit`.

    Raises:
        RecordError: the folder does not exist, holds no episode, or too many.
    """
    limit = content_limit(max_bytes)
    recording = Recording({}, {})
    size = 0
    for path in record_paths(folder):
        left = max(max_bytes - memory_for(size), 1)
        try:
            record = load_record(path, left)
        except RecordError as error:
            if size and isinstance(error.__cause__, ContentLimitError):
                raise _too_large(folder, path, limit, max_bytes) from None
            # The traceback and the cause of the original would keep the arrays of the damaged file in memory.
            recording.damaged[path] = RecordError(str(error))
            continue
        size += record.num_bytes
        if size > limit:
            raise _too_large(folder, path, limit, max_bytes)
        recording.records[path] = record
    return recording


def _too_large(folder: str | os.PathLike[str], path: Path, limit: int, max_bytes: int) -> RecordError:
    return RecordError(
        f"{folder}, up to {path.name}: its content takes more than {limit:,} bytes, two fifths of "
        f"max_bytes={max_bytes:,}; move some files to another folder or, if you trust them, give a larger max_bytes"
    )


def load_records(folder: str | os.PathLike[str], max_bytes: int = MAX_BYTES) -> list[EpisodeRecord]:
    """Read the episodes of a folder; there is a :class:`RecordWarning` for each file that cannot be read.

    Args:
        folder: of episodes.
        max_bytes: as in :func:`load_recording`.

    Raises:
        RecordError: the folder does not exist, no episode can be read, or there are too many.
    """
    records, damaged = load_recording(folder, max_bytes)
    if not records:
        raise next(iter(damaged.values()))
    for error in damaged.values():
        warnings.warn(str(error), RecordWarning, stacklevel=2)
    return list(records.values())
