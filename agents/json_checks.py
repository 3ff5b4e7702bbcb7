"""Checks of JSON files that may come from anyone, and of their values: errors name the file, or the entry.

Messages show the start of a refused value only, because it may be long, or nested deeply.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import Any

from glimpse_gym.safe_io import read_checksummed_json, write_checksummed_json
from glimpse_gym.validation import check_integer, check_number, shown

MAX_NUMBER = 10**15
"""Largest accepted number where nothing else limits it; floats store all integers up to here exactly."""
MAX_ITEMS = 10_000
"""Largest accepted length of a list or dict."""
MAX_TEXT = 1_000
"""Largest accepted length of a text, in characters."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,79}")
_ENV_ID = re.compile(r"([A-Za-z0-9][\w-]{0,79}/)?[A-Za-z0-9][\w.-]{0,79}", re.ASCII)
# These have a meaning in Markdown, HTML, or the formulas of Matplotlib.
_MARKUP = "|`<>[]$"


@dataclass(frozen=True)
class FileFormat:
    """Format of a kind of JSON file with a checksum."""

    name: str
    """Entry "format" of the files."""
    kind: str
    """The word for such a file in errors."""
    remedy: str
    """Advice on a damaged file, in errors."""
    error: type[Exception]
    """Raised for every file that is not accepted."""
    old: Mapping[str, str] = field(default_factory=dict)
    """Earlier formats, and the last version of glimpse_gym that reads each."""
    checksum_error: str = "is damaged, or was changed by hand: its checksum does not match"

    def read(self, path: Path) -> dict[str, Any]:
        """Return the entries of a file, without its format, after its format and its checksum were checked."""
        try:
            entries, is_intact = read_checksummed_json(path)
        except (OSError, ValueError) as error:
            reason = f"{path} cannot be read ({error}): it is damaged, or no {self.kind}; {self.remedy}"
            raise self.error(reason) from error
        found = entries.pop("format", None) if isinstance(entries, dict) else None
        if found != self.name:
            raise self.error(f"{path} {self.describe_other(found)}")
        if not is_intact:
            raise self.error(f"{path} {self.checksum_error}; restore it, or {self.remedy}")
        return dict(entries)

    def describe_other(self, found: Any) -> str:
        """Say what a file of another format is, and what to do."""
        if isinstance(found, str) and found in self.old:
            return f"is in an old format ({found!r}): use glimpse_gym {self.old[found]} to read it, or {self.remedy}"
        return f"is not a {self.kind} of this version: its format must be {self.name!r}, got {shown(found)}"


@dataclass(frozen=True)
class RunFileFormat(FileFormat):
    """Format of files each of which holds one run, and is named for it."""

    check: Callable[[dict[str, Any]], None] = field(kw_only=True)
    """Raises ValueError for entries that are not accepted."""
    file_name: Callable[[dict[str, Any]], str] = field(kw_only=True)
    """Returns the name of the file with these entries."""

    def save(self, folder: Path, entries: dict[str, Any], label: str) -> Path:
        """Write a file atomically, into a folder that is made if it is missing.

        Raises:
            ValueError: an entry is not accepted; the message begins with ``label``.
        """
        try:
            self.check(entries)
            folder.mkdir(parents=True, exist_ok=True)
            path = folder / self.file_name(entries)
            write_checksummed_json(path, {"format": self.name} | entries, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{label} cannot be saved: {error}") from error
        return path

    def load(self, path: Path) -> dict[str, Any]:
        """Read a file, and check its entries and its name."""
        entries = self.read(path)
        try:
            self.check(entries)
        except ValueError as error:
            raise self.error(f"{path} is damaged: {error}; {self.remedy}") from error
        expected = path.with_name(self.file_name(entries))
        if path.name != expected.name:
            twin = f", as {expected.name} beside it does: remove one" if expected.exists() else ": rename it"
            raise self.error(f"{path} holds the run of {expected.name}{twin}")
        return entries


def check_entries(name: str, value: Any, names: Collection[str]) -> dict[str, Any]:
    """Return a dict; raise ValueError if it is none, or has other keys than ``names``."""
    if type(value) is not dict:
        raise ValueError(f"{name} must be a dict, got {shown(value)}")
    missing, unknown = sorted(set(names) - value.keys()), sorted(value.keys() - set(names))
    if missing or unknown:
        problems = [f"lacks the entries {missing}"] * bool(missing)
        problems += [f"has the unknown entries {shown(unknown)}"] * bool(unknown)
        raise ValueError(f"{name} {' and '.join(problems)}")
    return value


def check_list(name: str, value: Any, check_item: Callable[[str, Any], object]) -> list[Any]:
    """Return a list of at most MAX_ITEMS items, each of which ``check_item`` accepts when called as (name, item)."""
    if type(value) is not list or len(value) > MAX_ITEMS:
        raise ValueError(f"{name} must be a list of at most {MAX_ITEMS:,} items, got {shown(value)}")
    for i, item in enumerate(value):
        check_item(f"{name}[{i}]", item)
    return value


def check_count(name: str, value: Any, at_least: int = 0) -> int:
    """Return an integer from ``at_least`` to MAX_NUMBER; raise ValueError for all else."""
    return check_integer(name, value, at_least, MAX_NUMBER)


def check_amount(name: str, value: Any) -> float:
    """Return a number from 0 to MAX_NUMBER; raise ValueError for all else."""
    return check_number(name, value, 0, MAX_NUMBER)


def check_fraction(name: str, value: Any) -> float:
    """Return a number from 0 to 1; raise ValueError for all else."""
    return check_number(name, value, 0, 1)


def check_name(name: str, value: Any) -> str:
    """Return a name that can be part of a file name; raise ValueError for all else."""
    if type(value) is not str or not _NAME.fullmatch(value):
        raise ValueError(
            f"{name} must be a name of at most 80 letters, digits, - and _ that begins with a letter or digit, "
            f"got {shown(value)}"
        )
    return value


def check_text(name: str, value: Any) -> str:
    """Return one line of printable text without markup; raise ValueError for all else."""
    if type(value) is not str or len(value) > MAX_TEXT or not value.isprintable() or set(_MARKUP) & set(value):
        raise ValueError(
            f"{name} must be one line of at most {MAX_TEXT:,} printable characters without {' '.join(_MARKUP)}, "
            f"got {shown(value)}"
        )
    return value


def check_env_id(name: str, value: Any) -> str:
    """Return the id of an env; raise ValueError for all else."""
    if type(value) is not str or not _ENV_ID.fullmatch(value):
        raise ValueError(f"{name} must be the id of an env, such as 'glimpse_gym/MNIST-v0', got {shown(value)}")
    return value


def check_versions(name: str, value: Any, required: Collection[str] = ()) -> dict[str, str]:
    """Return a dict of versions by package; raise ValueError if it is none, or lacks a package that is required."""
    for package, version in _check_dict(name, value).items():
        check_name(f"a package of {name}", package)
        check_text(f"{name}.{package}", version)
    if missing := sorted(set(required) - value.keys()):
        raise ValueError(f"{name} lacks the packages {missing}")
    return value


def check_settings(name: str, value: Any) -> dict[str, Any]:
    """Return a dict of settings by name; raise ValueError for all else.

    A setting is None, a bool, a finite number, a text, or a list of these.
    """
    for key, setting in _check_dict(name, value).items():
        check_name(f"a setting of {name}", key)
        if type(setting) is list:
            check_list(f"{name}.{key}", setting, _check_plain)
        else:
            _check_plain(f"{name}.{key}", setting)
    return value


def check_ranges(name: str, value: Any) -> dict[str, list[float]]:
    """Return a dict of [low, high] by name; raise ValueError for all else."""
    for key, pair in _check_dict(name, value).items():
        check_name(f"a setting of {name}", key)
        low, high = check_list(f"{name}.{key}", pair, _check_finite) if _is_pair(pair) else (inf, -inf)
        if low > high:
            raise ValueError(f"{name}.{key} must be two numbers [low, high], got {shown(pair)}")
    return value


def _is_pair(value: Any) -> bool:
    return type(value) is list and len(value) == 2


def _check_dict(name: str, value: Any) -> dict[str, Any]:
    if type(value) is not dict or len(value) > MAX_ITEMS:
        raise ValueError(f"{name} must be a dict of at most {MAX_ITEMS:,} entries, got {shown(value)}")
    return value


def _check_plain(name: str, value: Any) -> None:
    if isinstance(value, str):
        check_text(name, value)
    elif value is not None and type(value) is not bool:
        _check_finite(name, value)


def _check_finite(name: str, value: Any) -> float:
    return check_number(name, value, -MAX_NUMBER, MAX_NUMBER)
