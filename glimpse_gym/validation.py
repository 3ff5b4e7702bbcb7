"""Checks of what users give: each says what was given, what is accepted and what to do."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping
from math import isfinite
from numbers import Real
from typing import Any

import numpy as np

_INTEGERS = (int, np.int64)


def check_integer(name: str, value: Any, at_least: int) -> int:
    """The value as an int, or a ValueError that names it."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < at_least:
        raise ValueError(f"{name} must be a whole number of at least {at_least}, got {value!r}")
    return int(value)


def check_number(name: str, value: Any) -> float:
    """The value as a float, or a ValueError that names it where it is no finite number."""
    if isinstance(value, bool) or not isinstance(value, Real) or not isfinite(value):
        raise ValueError(f"{name} must be a finite number, got {value!r}")
    return float(value)


def check_range(name: str, value: Any) -> tuple[float, float]:
    """A finite number, or a pair of them in order, as a pair of floats; or a ValueError that names it."""
    low, high = value if isinstance(value, (tuple, list)) and len(value) == 2 else (value, value)
    low, high = check_number(name, low), check_number(name, high)
    if low > high:
        raise ValueError(f"{name} must be a number or (lowest, highest), got {value!r}")
    return low, high


def check_choice(name: str, value: Any, accepted: Collection[Any]) -> Any:
    """The value, or a ValueError that lists what is accepted."""
    if not (isinstance(value, Hashable) and value in accepted):
        raise ValueError(f"{name} must be one of {', '.join(map(repr, accepted))}; got {value!r}")
    return value


def check_locations(locations: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Locations as float32 clipped to [-1, 1], in an array of their own.

    Args:
        locations: floating point, of the given shape, x and y along the last axis.
        shape: what is accepted, ``(2,)`` or ``(B, 2)``.

    Raises:
        ValueError: where the kind of number or the shape is another, or a value is NaN or infinite.
    """
    try:
        array = np.asarray(locations)
    except ValueError as error:  # rows of several lengths
        raise ValueError(f"location must be floating point of shape {shape}, got {locations!r:.200}") from error
    if array.dtype.kind != "f" or array.shape != shape:
        raise ValueError(
            f"location must be floating point of shape {shape}, got {array.dtype} of shape {array.shape}: "
            f"{locations!r:.200}; give x and y as floats in [-1, 1]"
        )
    if len(shape) == 1:  # the single env's everyday case, in plain floats, which are faster than arrays of two
        x, y = array.tolist()
        if isfinite(x) and isfinite(y):
            return np.array((min(max(x, -1.0), 1.0), min(max(y, -1.0), 1.0)), np.float32)
    # The sum of squares is the cheapest witness; where it overflows, look closer.
    if not isfinite(np.vdot(array, array)) and not np.isfinite(array).all():
        bad = array.reshape(-1, 2)[~np.isfinite(array).all(axis=-1).reshape(-1)][0]
        raise ValueError(f"location must be finite, got ({bad[0]}, {bad[1]}); give x and y in [-1, 1]")
    clipped = np.minimum(np.maximum(array, -1.0), 1.0)
    return clipped if clipped.dtype == np.float32 else clipped.astype(np.float32)


def check_integers(name: str, values: Any, shape: tuple[int, ...], number: int | None = None) -> np.ndarray:
    """Integers of this shape, from 0 to ``number - 1``, as an int64 array."""
    if not shape and type(values) in _INTEGERS and 0 <= values < (number or 0):
        return np.array(values, np.int64)  # the single env's everyday case, without the cost of the checks below
    try:
        array = np.asarray(values)
    except ValueError as error:  # rows of several lengths
        raise ValueError(f"{name} must be integer of shape {shape}, got {values!r:.200}") from error
    if array.dtype.kind not in "iu" or array.shape != shape:
        raise ValueError(
            f"{name} must be integer of shape {shape}, got {array.dtype} of shape {array.shape}: {values!r:.200}"
        )
    if number is not None:
        low, high = (array.min(), array.max()) if shape else (array, array)
        if low < 0 or high >= number:
            raise ValueError(f"{name} must be from 0 to {number - 1}, got {low if low < 0 else high}")
    return array.astype(np.int64)


def check_types(entries: Mapping[str, Any], **kinds: type) -> None:
    """Raise a TypeError that names the first entry that is not exactly of its kind."""
    for name, kind in kinds.items():
        if type(entries[name]) is not kind:
            raise TypeError(f"{name} must be of type {kind.__name__}, got {entries[name]!r:.80}")
