"""Checks of values from JSON files that may come from anyone: every error is a ValueError that names the entry.

Messages show the start of a refused value only, because it may be long, or nested deeply.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from math import inf
from typing import Any

from glimpse_gym.validation import shown

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


def check_entries(name: str, value: Any, names: Collection[str]) -> dict[str, Any]:
    """Return a dict; raise ValueError if it is none, or has other keys than ``names``."""
    if type(value) is not dict:
        raise ValueError(f"{name} must be a dict, got {shown(value)}")
    missing, unknown = sorted(set(names) - value.keys()), sorted(value.keys() - set(names))
    if missing or unknown:
        raise ValueError(f"{name} lacks the entries {missing} and has the unknown entries {shown(unknown)}")
    return value


def check_list(name: str, value: Any, check_item: Callable[[str, Any], object]) -> list[Any]:
    """Return a list of at most MAX_ITEMS items, each of which ``check_item`` accepts when called as (name, item)."""
    if type(value) is not list or len(value) > MAX_ITEMS:
        raise ValueError(f"{name} must be a list of at most {MAX_ITEMS:,} items, got {shown(value)}")
    for i, item in enumerate(value):
        check_item(f"{name}[{i}]", item)
    return value


def check_count(name: str, value: Any, low: int = 0, high: int = MAX_NUMBER) -> int:
    """Return an integer from ``low`` to ``high``; raise ValueError for all else."""
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise ValueError(f"{name} must be an integer from {low:,} to {high:,}, got {shown(value)}")
    return value


def check_number(name: str, value: Any, low: float = 0, high: float = MAX_NUMBER) -> float:
    """Return a number from ``low`` to ``high``; raise ValueError for all else, such as NaN."""
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not low <= value <= high:
        raise ValueError(f"{name} must be a number from {low:,} to {high:,}, got {shown(value)}")
    return value


def check_one_of(name: str, value: Any, accepted: Collection[Any]) -> Any:
    """Return a value that is accepted; raise ValueError for all else. True and 1 are not the same here."""
    if not any(type(value) is type(choice) and value == choice for choice in accepted):
        raise ValueError(f"{name} must be one of {', '.join(map(repr, accepted))}; got {shown(value)}")
    return value


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
    return check_number(name, value, low=-MAX_NUMBER)
