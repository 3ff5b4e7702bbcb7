"""Recorded episode: its file is an ``.npz``, a zip of plain arrays that NumPy reads without running code.

``docs/recordings.md`` describes the format. In shapes, n is the number of steps, T = ``num_glimpses`` the number of
glimpses, k the number of scales, C of channels, g the side of a patch, K the number of choices.
"""

from __future__ import annotations

import io
import json
import math
import os
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from glimpse_gym.content_limit import ContentLimitError
from glimpse_gym.images.large import reduced_size
from glimpse_gym.npz_files import read_arrays
from glimpse_gym.retina import Retina
from glimpse_gym.rng import check_seed
from glimpse_gym.safe_io import MAX_BYTES, parse_json
from glimpse_gym.validation import check_max_bytes, check_number, check_types, shown

FORMAT = "glimpse_gym episode, format 1"
_METADATA = "metadata"
_MAX_METADATA, _MAX_TEXT = 100_000, 1000  # characters
_METADATA_BYTES = 50  # of memory that a character of the metadata takes at most, parsed
_MAX_CHANNELS = 4


class RecordError(RuntimeError):
    """A recording that cannot be written, read or replayed."""


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
    """uint8 (1, H, W) or (1, H, W, C); where the image moves, (n + 1, ...), one for each glimpse.

    A large image that stays in a file is reduced; see :func:`glimpse_gym.images.large.reduced_size`.
    """
    guess_probs: np.ndarray | None
    """float32 (n, K), probabilities that the agent gave to the labels or moves; None for people."""
    location_means: np.ndarray | None
    """float32 (n, 2), means of the agent's next locations; None if it chooses none, and for people."""

    @property
    def num_bytes(self) -> int:
        """Bytes of all arrays, and an upper bound of those of the metadata."""
        arrays = sum(array.nbytes for name in _ARRAYS if (array := getattr(self, name)) is not None)
        return arrays + _METADATA_BYTES * len(_metadata_text(self))

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
_FINITE = ("glimpses", "times", "next_locations", "rewards", *_OPTIONAL)
_DAMAGE = (AttributeError, KeyError, MemoryError, OverflowError, RecursionError, TypeError, ValueError)
"""Errors that values of the wrong kind cause when they are decoded."""


def load_record(path: str | os.PathLike[str], max_bytes: int = MAX_BYTES) -> EpisodeRecord:
    """Read one episode.

    Args:
        path: a regular file.
        max_bytes: the most memory to take; see :func:`~glimpse_gym.content_limit.content_limit`.

    Raises:
        RecordError: the file is missing, damaged, too large, of another format, or something else.
    """
    check_max_bytes(max_bytes)
    try:
        arrays, names = read_arrays(path, (_METADATA, *_ARRAYS), max_bytes)
        entries = _parse_metadata(arrays.pop(_METADATA))
        found = entries.pop("format")
    except OSError as error:
        raise RecordError(f"{path} cannot be read: {error.strerror or error}") from error
    except ContentLimitError as error:
        raise RecordError(str(error)) from error
    except (KeyError, MemoryError, ValueError) as error:
        raise RecordError(f"{path} is damaged, or is not a recorded episode ({error})") from error
    if found != FORMAT:
        raise RecordError(
            f"{path} is in the format {shown(found)}, and this version of glimpse_gym reads {FORMAT!r}: "
            f"use the version that recorded it ({_recorded_with(entries)})"
        )
    try:
        if others := set(names) - {_METADATA, *_ARRAYS}:
            raise ValueError(f"it holds {shown(sorted(others))}")
        return _decode(entries, arrays)
    except _DAMAGE as error:
        raise RecordError(f"{path} is damaged: {error}") from error


def _parse_metadata(array: np.ndarray) -> dict[str, Any]:
    """Parse the JSON object that is stored as a text array without dimensions."""
    if array.dtype.kind != "U" or array.ndim:
        raise ValueError(f"metadata must be text, got {array.dtype} {array.shape}")
    if array.nbytes > 4 * _MAX_METADATA:  # 4 bytes a character
        raise ValueError(f"metadata must have at most {_MAX_METADATA:,} characters")
    entries = parse_json(array.item())
    if not isinstance(entries, dict):
        raise ValueError(f"metadata must be a JSON object, got {shown(entries)}")
    return entries


def encode_record(record: EpisodeRecord) -> bytes:
    """Encode an episode as the content of a file.

    Raises:
        RecordError: :func:`load_record` would not accept the file.
    """
    arrays = {name: value for name in _ARRAYS if (value := getattr(record, name)) is not None}
    try:
        metadata = np.array(_metadata_text(record))
        entries = _parse_metadata(metadata)
        del entries["format"]
        _decode(entries, arrays)
    except _DAMAGE as error:
        raise RecordError(f"an episode is not recorded, because it could not be read again: {error}") from error
    buffer = io.BytesIO()
    content: dict[str, Any] = {_METADATA: metadata, **arrays}
    np.savez_compressed(buffer, **content)
    return buffer.getvalue()


def _metadata_text(record: EpisodeRecord) -> str:
    return json.dumps({"format": FORMAT} | {name: getattr(record, name) for name in _ENTRIES})


def _recorded_with(entries: dict[str, Any]) -> str:
    versions = entries.get("versions")
    version = versions.get("glimpse_gym") if isinstance(versions, dict) else None
    return f"glimpse_gym {version:.40}" if isinstance(version, str) else "unknown"


def _decode(entries: dict[str, Any], arrays: dict[str, np.ndarray]) -> EpisodeRecord:
    """Make the record from the metadata and the arrays of a file; raises for those that do not fit each other."""
    if missing := [name for name in _ENTRIES if name not in entries] + [
        name for name in _ARRAYS if name not in arrays and name not in _OPTIONAL
    ]:
        raise ValueError(f"it lacks {', '.join(missing)}")
    if others := entries.keys() - set(_ENTRIES):
        raise ValueError(f"its metadata hold {shown(sorted(others))}")
    check_types(entries, player=str, is_agent=bool, started=str, env_id=str, env_kwargs=dict, seed=int, versions=dict)
    check_types(entries, choice_name=str, choice_names=list, choice_is_final=bool, num_scales=int, patch_size=int)
    check_types(entries, image_size=list, image_moves=bool, num_glimpses=int, image_index=int, label=int, success=bool)
    if entries["location_std"] is not None:
        check_number("location_std", entries["location_std"], at_least=0.0)
    for name, values, kind in (
        ("choice_names", entries["choice_names"], str),
        ("image_size", entries["image_size"], int),
        ("versions", entries["versions"].values(), str),
    ):
        if any(type(value) is not kind for value in values):
            raise TypeError(f"{name} must hold values of type {kind.__name__}, got {shown(entries[name])}")
    for name in ("choice_names", "image_size"):
        entries[name] = tuple(entries[name])
    record = EpisodeRecord(**entries, **dict.fromkeys(_OPTIONAL) | arrays)  # type: ignore[arg-type]
    _check_metadata(record)
    _check_arrays(record)
    return record


def _check_metadata(record: EpisodeRecord) -> None:
    """Raise a ValueError if texts or numbers are not accepted, or all together are too long to be written again."""
    for name in ("player", "started", "env_id", "choice_name"):
        _check_text(name, getattr(record, name))
    for name, texts in (
        ("choice_names", record.choice_names),
        ("versions", [*record.versions, *record.versions.values()]),
    ):
        for text in texts:
            _check_text(f"each text of {name}", text)
    check_seed("seed", record.seed)
    if record.image_index < -1:
        raise ValueError(f"image_index must be >= -1, got {shown(record.image_index)}")
    if len(record.image_size) != 2 or min(record.image_size) < 1:
        raise ValueError(f"image_size must be a height and a width >= 1, got {shown(record.image_size)}")
    if (length := len(_metadata_text(record))) > _MAX_METADATA:
        raise ValueError(f"metadata must have at most {_MAX_METADATA:,} characters, got {length:,}: shorten env_kwargs")


def _check_text(name: str, text: str) -> None:
    if len(text) > _MAX_TEXT or not text.isprintable():
        raise ValueError(f"{name} must be one line of at most {_MAX_TEXT:,} printable characters, got {shown(text)}")


def _check_arrays(record: EpisodeRecord) -> None:
    """Raise a ValueError if dtypes, shapes or ranges do not fit."""
    if record.images.ndim not in (3, 4) or not 1 <= math.prod(record.images.shape[3:]) <= _MAX_CHANNELS:
        raise ValueError(
            f"images must have the shape (n, H, W) or (n, H, W, C) with C from 1 to {_MAX_CHANNELS}, "
            f"got {record.images.shape}"
        )
    n, num_choices = len(record.rewards), len(record.choice_names)
    num_images = n + 1 if record.image_moves else 1
    sizes = record.image_size, reduced_size(record.image_size)
    size = sizes[record.images.shape[1:3] == sizes[1]]
    expected: dict[str, tuple[type, tuple[int, ...]]] = {
        "glimpses": (np.float32, (n + 1, *record.retina.glimpse_shape(math.prod(record.images.shape[3:])))),
        "locations": (np.float32, (n + 1, 2)),
        "times": (np.float32, (n + 1,)),
        "next_locations": (np.float32, (n, 2)),
        "choices": (np.int64, (n,)),
        "rewards": (np.float64, (n,)),
        "guesses": (np.int64, (n,)),
        "seconds": (np.float64, (n,)),
        "images": (np.uint8, (num_images, *size, *record.images.shape[3:])),
        "guess_probs": (np.float32, (n, num_choices)),
        "location_means": (np.float32, (n, 2)),
    }
    for name, (dtype, shape) in expected.items():
        array = getattr(record, name)
        if array is not None and (array.dtype != dtype or array.shape != shape):
            raise ValueError(f"{name} must be {np.dtype(dtype)} {shape}, got {shown(array.dtype)} {array.shape}")
    for name, values, lowest in (
        ("choices", record.choices, 0),
        ("guesses", record.guesses, -1),
        ("label", np.array([record.label]), -1),
    ):
        if values.min() < lowest or values.max() >= num_choices:
            raise ValueError(f"{name} must be from {lowest} to {num_choices - 1}, got {shown(values.tolist())}")
    if not (np.abs(record.locations) <= 1).all():  # also if one is NaN
        raise ValueError("locations must be from -1 to 1")
    for name in _FINITE:
        if (array := getattr(record, name)) is not None and not np.isfinite(array).all():
            raise ValueError(f"{name} must be finite")
    if record.guess_probs is not None and not ((record.guess_probs >= 0) & (record.guess_probs <= 1.001)).all():
        raise ValueError("guess_probs must be from 0 to 1")
    if not 1 <= record.num_glimpses <= n:
        raise ValueError(f"num_glimpses must be from 1 to {n}, got {record.num_glimpses}")
