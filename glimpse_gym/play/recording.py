"""Recordings: a folder with one self-contained file per finished episode, of people or agents.

A file is an ``.npz``, a zip of plain arrays that NumPy reads without running code; ``docs/recordings.md`` describes it.

In shapes, n is the number of steps, T = ``num_glimpses`` the number of glimpses, k the number of scales, C of channels,
g the side of a patch, K the number of choices.
"""

from __future__ import annotations

import io
import json
import math
import os
import re
import warnings
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from types import NoneType
from typing import Any, NamedTuple

import numpy as np
from filelock import FileLock

from glimpse_gym.atomic_io import atomic_write, remove_temporary_files
from glimpse_gym.retina import Retina
from glimpse_gym.validation import check_types

FORMAT = "glimpse_gym episode, format 1"
_METADATA, _LOCK = "metadata", ".lock"
_FILE_NAME = re.compile(r"(\d{6,})-[\w.-]+\.npz", re.ASCII)
_LOCK_SECONDS = 20.0  # another process writes an episode in a fraction of a second


class RecordError(RuntimeError):
    """A recording that cannot be written, read or replayed."""


class RecordWarning(UserWarning):
    """A file of a recording that was left out because it cannot be read."""


@dataclass(frozen=True, eq=False)
class EpisodeRecord:
    """A finished episode of n steps. ``(env_id, env_kwargs, seed)`` and the actions give the same episode again."""

    player: str
    """Name of the agent, or of the person."""
    is_agent: bool
    started: str
    """Date and time of the start, UTC, in ISO 8601."""
    env_id: str
    env_kwargs: dict[str, Any]
    """Keyword arguments of the vector env, those of the id included. It has one row, and was reset with ``[seed]``."""
    seed: int
    versions: dict[str, str]
    """Versions of Python and of the packages that the episode was played with."""
    choice_name: str
    """``"label"`` or ``"move"``, key of the choice in an action."""
    choice_names: tuple[str, ...]
    """Names of the K labels or moves."""
    choice_is_final: bool
    """True if the last choice is the answer (a label); False if every step has a choice of its own (a move)."""
    num_scales: int
    patch_size: int
    image_size: tuple[int, int]
    """Height and width of the image in pixels."""
    image_moves: bool
    num_glimpses: int
    """Glimpses before the answer. The rest of the budget, if any, was given up: those steps repeat the location."""
    image_index: int
    """Index of the image in its split; -1 in worlds without images."""
    label: int
    """True label; -1 in worlds without labels."""
    success: bool
    location_std: float | None
    """Standard deviation of the agent's next locations, in units in which the image is 2 wide; None if unknown."""
    glimpses: np.ndarray
    """float32 (n + 1, k*C, g, g) in [0, 1], of the reset and of every step."""
    locations: np.ndarray
    """float32 (n + 1, 2) in [-1, 1], where they were taken."""
    times: np.ndarray
    """float32 (n + 1,), steps taken divided by the horizon."""
    next_locations: np.ndarray
    """float32 (n, 2), of the actions."""
    choices: np.ndarray
    """int64 (n,), of the actions. If the choice is final, only the last one counts."""
    rewards: np.ndarray
    """float64 (n,)."""
    guesses: np.ndarray
    """int64 (n,), label that the player would have given after each glimpse; -1: none given."""
    seconds: np.ndarray
    """float64 (n,), response time of each step; NaN if it was not measured."""
    images: np.ndarray
    """uint8 (1, H, W) or (1, H, W, C); where the image moves, (n + 1, ...), one for each glimpse."""
    guess_probs: np.ndarray | None
    """float32 (n, K), probabilities that the agent gave to the labels or moves; None for people."""
    location_means: np.ndarray | None
    """float32 (n, 2), means of the agent's next locations; None if it chooses none, and for people."""

    @property
    def num_steps(self) -> int:
        """n."""
        return len(self.rewards)

    @property
    def fixations(self) -> np.ndarray:
        """Locations of the T glimpses before the answer, float32 (T, 2)."""
        return self.locations[: self.num_glimpses]

    @property
    def image(self) -> np.ndarray:
        """The image at the end, uint8 (H, W) or (H, W, C)."""
        return self.images[-1]

    @property
    def outcome(self) -> str:
        """Outcome in a word: right or wrong, caught or missed, success or failure."""
        return _OUTCOMES.get(self.choice_name, ("failure", "success"))[self.success]

    @property
    def retina(self) -> Retina:
        """The retina of the glimpses."""
        return Retina(self.patch_size, self.num_scales)


_OUTCOMES = {"label": ("wrong", "right"), "move": ("missed", "caught")}
_ARRAYS = tuple(field.name for field in fields(EpisodeRecord) if str(field.type).startswith("np.ndarray"))
_ENTRIES = tuple(field.name for field in fields(EpisodeRecord) if field.name not in _ARRAYS)
_OPTIONAL = ("guess_probs", "location_means")


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
        RecordError: it cannot be written, for example because the disk is full; nothing is left behind.
    """
    folder = Path(folder)
    player = re.sub(r"[^A-Za-z0-9_.-]+", "-", record.player)[:60].strip("-.") or "player"
    content = _encode(record)
    try:
        with FileLock(folder / _LOCK, timeout=_LOCK_SECONDS):
            numbers = [int(match[1]) for path in folder.iterdir() if (match := _FILE_NAME.fullmatch(path.name))]
            path = folder / f"{max(numbers, default=0) + 1:06d}-{player}.npz"
            remove_temporary_files(path)
            with atomic_write(path) as temporary:
                temporary.write_bytes(content)
            _flush_folder(folder)
    except (OSError, NotImplementedError) as error:  # FileLock raises the latter where files cannot be locked
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
    if not folder.is_dir():
        raise RecordError(f"{folder} is not a folder: name a folder that --record wrote")
    matches = [(match, path) for path in folder.iterdir() if (match := _FILE_NAME.fullmatch(path.name))]
    if not matches:
        raise RecordError(f"{folder} holds no recorded episodes: name a folder that --record wrote")
    return [path for _, path in sorted(matches, key=lambda pair: (int(pair[0][1]), pair[1].name))]


def load_recording(folder: str | os.PathLike[str]) -> Recording:
    """Read all episodes of a folder; files that cannot be read are listed with their errors.

    Raises:
        RecordError: the folder does not exist, or holds no episode.
    """
    recording = Recording({}, {})
    for path in record_paths(folder):
        try:
            recording.records[path] = load_record(path)
        except RecordError as error:
            recording.damaged[path] = error
    return recording


def load_records(folder: str | os.PathLike[str]) -> list[EpisodeRecord]:
    """Read the episodes of a folder; there is a :class:`RecordWarning` for each file that cannot be read.

    Raises:
        RecordError: the folder does not exist, or no episode can be read.
    """
    records, damaged = load_recording(folder)
    if not records:
        raise next(iter(damaged.values()))
    for error in damaged.values():
        warnings.warn(str(error), RecordWarning, stacklevel=2)
    return list(records.values())


def load_record(path: str | os.PathLike[str]) -> EpisodeRecord:
    """Read one episode.

    Raises:
        RecordError: the file is missing, damaged, of another format, or something else.
    """
    try:
        with np.load(io.BytesIO(Path(path).read_bytes()), allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        entries = json.loads(str(arrays.pop(_METADATA)))
        found = entries.pop("format")
    except OSError as error:
        raise RecordError(f"{path} cannot be read: {error.strerror or error}") from error
    except Exception as error:  # NumPy and zipfile raise all kinds of errors for damaged files
        raise RecordError(f"{path} is damaged, or is not a recorded episode ({error})") from error
    if found != FORMAT:
        raise RecordError(
            f"{path} is in the format {found!r:.80}, and this version of glimpse_gym reads {FORMAT!r}: "
            f"use the version that recorded it ({_recorded_with(entries)})"
        )
    try:
        return _decode(entries, arrays)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise RecordError(f"{path} is damaged: {error}") from error


def _encode(record: EpisodeRecord) -> bytes:
    """Contents of a file."""
    entries = {"format": FORMAT} | {name: getattr(record, name) for name in _ENTRIES}
    arrays: dict[str, Any] = {_METADATA: np.array(json.dumps(entries))}
    arrays |= {name: value for name in _ARRAYS if (value := getattr(record, name)) is not None}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def _recorded_with(entries: dict[str, Any]) -> str:
    versions = entries.get("versions")
    return f"glimpse_gym {versions.get('glimpse_gym', 'unknown')}" if isinstance(versions, dict) else "unknown"


def _decode(entries: dict[str, Any], arrays: dict[str, np.ndarray]) -> EpisodeRecord:
    """Make the record from the metadata and the arrays of a file; raises for those that do not fit each other."""
    if missing := [name for name in _ENTRIES if name not in entries] + [
        name for name in _ARRAYS if name not in arrays and name not in _OPTIONAL
    ]:
        raise ValueError(f"it lacks {', '.join(missing)}")
    check_types(entries, player=str, is_agent=bool, started=str, env_id=str, env_kwargs=dict, seed=int, versions=dict)
    check_types(entries, choice_name=str, choice_names=list, choice_is_final=bool, num_scales=int, patch_size=int)
    check_types(entries, image_size=list, image_moves=bool, num_glimpses=int, image_index=int, label=int, success=bool)
    if type(entries["location_std"]) not in (float, int, NoneType):
        raise TypeError(f"location_std must be a number or null, got {entries['location_std']!r:.80}")
    for name in ("choice_names", "image_size"):
        entries[name] = tuple(entries[name])
    record = EpisodeRecord(**entries, **dict.fromkeys(_OPTIONAL) | arrays)  # type: ignore[arg-type]
    _check_arrays(record)
    return record


def _check_arrays(record: EpisodeRecord) -> None:
    """Raise a ValueError if dtypes, shapes or ranges do not fit."""
    n, num_choices = len(record.rewards), len(record.choice_names)
    num_images = n + 1 if record.image_moves else 1
    expected: dict[str, tuple[type, tuple[int, ...]]] = {
        "glimpses": (np.float32, (n + 1, *record.retina.glimpse_shape(math.prod(record.images.shape[3:])))),
        "locations": (np.float32, (n + 1, 2)),
        "times": (np.float32, (n + 1,)),
        "next_locations": (np.float32, (n, 2)),
        "choices": (np.int64, (n,)),
        "rewards": (np.float64, (n,)),
        "guesses": (np.int64, (n,)),
        "seconds": (np.float64, (n,)),
        "images": (np.uint8, (num_images, *record.image_size, *record.images.shape[3:])),
        "guess_probs": (np.float32, (n, num_choices)),
        "location_means": (np.float32, (n, 2)),
    }
    for name, (dtype, shape) in expected.items():
        array = getattr(record, name)
        if array is not None and (array.dtype != dtype or array.shape != shape):
            raise ValueError(f"{name} must be {np.dtype(dtype)} {shape}, got {array.dtype} {array.shape}")
    for name, values, lowest in (
        ("choices", record.choices, 0),
        ("guesses", record.guesses, -1),
        ("label", np.array([record.label]), -1),
    ):
        if values.min() < lowest or values.max() >= num_choices:
            raise ValueError(f"{name} must be from {lowest} to {num_choices - 1}, got {values.tolist()}")
    if not (np.abs(record.locations) <= 1).all():  # also if one is NaN
        raise ValueError("locations must be from -1 to 1")
    if not 1 <= record.num_glimpses <= n:
        raise ValueError(f"num_glimpses must be from 1 to {n}, got {record.num_glimpses}")
