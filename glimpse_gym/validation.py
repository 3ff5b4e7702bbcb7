"""Argument validation: each error says what was given, what is accepted, and what to do."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping
from math import isfinite
from numbers import Real
from typing import Any

import numpy as np

_INTEGER_TYPES = (int, np.int64)


def check_integer(name: str, value: Any, at_least: int) -> int:
    """Return the value as an int; raise ValueError if it is not an integer >= ``at_least``."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < at_least:
        raise ValueError(f"{name} must be an integer >= {at_least}, got {value!r}")
    return int(value)


def check_number(name: str, value: Any) -> float:
    """Return the value as a float; raise ValueError if it is not a finite real number."""
    if isinstance(value, bool) or not isinstance(value, Real) or not isfinite(value):
        raise ValueError(f"{name} must be a finite number, got {value!r}")
    return float(value)


def check_range(name: str, value: Any) -> tuple[float, float]:
    """Return a number or a (low, high) pair as a pair of floats.

    Raises:
        ValueError: if the value is neither, a number is not finite, or low > high.
    """
    low, high = value if isinstance(value, (tuple, list)) and len(value) == 2 else (value, value)
    low, high = check_number(name, low), check_number(name, high)
    if low > high:
        raise ValueError(f"{name} must be a number or a (low, high) pair, got {value!r}")
    return low, high


def check_choice(name: str, value: Any, accepted: Collection[Any]) -> Any:
    """Return the value; raise ValueError, listing the accepted values, if it is not one of them."""
    if not (isinstance(value, Hashable) and value in accepted):
        raise ValueError(f"{name} must be one of {', '.join(map(repr, accepted))}; got {value!r}")
    return value


def check_floats(name: str, values: Any, shape: tuple[int, ...], hint: str) -> np.ndarray:
    """Return floating-point values as an array, which may be the given one. NaN and infinity pass.

    Args:
        name: name of the values in error messages.
        values: a floating-point array, or nested sequences of floats.
        shape: required shape.
        hint: what to pass, for error messages.

    Raises:
        ValueError: if the dtype is not floating point, or the shape differs.
    """
    try:
        array = np.asarray(values)
    except ValueError as error:  # nested sequences of different lengths
        raise ValueError(f"{name} must be floating point of shape {shape}, got {values!r:.200}; {hint}") from error
    if array.dtype.kind != "f" or array.shape != shape:
        raise ValueError(
            f"{name} must be floating point of shape {shape}, got {array.dtype} of shape {array.shape}: "
            f"{values!r:.200}; {hint}"
        )
    return array


def check_locations(locations: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Return locations as a new float32 array, clipped to [-1, 1].

    Args:
        locations: floating point, x and y along the last axis.
        shape: required shape, ``(2,)`` or ``(B, 2)``.

    Raises:
        ValueError: if the dtype is not floating point, the shape differs, or a value is NaN or infinite.
    """
    array = check_floats("location", locations, shape, "pass x and y as floats in [-1, 1]")
    if len(shape) == 1:  # fast path of the single env: Python floats are faster than arrays of length 2
        x, y = array.tolist()
        if isfinite(x) and isfinite(y):
            return np.array((min(max(x, -1.0), 1.0), min(max(y, -1.0), 1.0)), np.float32)
    # The sum of squares is the cheapest test; it can overflow, so that a second test has to confirm it.
    if not isfinite(np.vdot(array, array)) and not np.isfinite(array).all():
        bad = array.reshape(-1, 2)[~np.isfinite(array).all(axis=-1).reshape(-1)][0]
        raise ValueError(f"location must be finite, got ({bad[0]}, {bad[1]}); pass x and y in [-1, 1]")
    clipped = np.minimum(np.maximum(array, -1.0), 1.0)
    return clipped if clipped.dtype == np.float32 else clipped.astype(np.float32)


def check_integers(name: str, values: Any, shape: tuple[int, ...], number: int | None = None) -> np.ndarray:
    """Return integers as a new int64 array.

    Args:
        name: name of the values in error messages.
        values: an integer array, or nested sequences of integers.
        shape: required shape.
        number: if given, the values must be from 0 to ``number - 1``.

    Raises:
        ValueError: if the dtype is not integer, the shape differs, or a value is out of range.
    """
    if not shape and type(values) in _INTEGER_TYPES and 0 <= values < (number or 0):
        return np.array(values, np.int64)  # fast path of the single env
    expected = f"{name} must be " + (f"integers of shape {shape}" if shape else "an integer")
    try:
        array = np.asarray(values)
    except ValueError as error:  # nested sequences of different lengths
        raise ValueError(f"{expected}, got {values!r:.200}") from error
    if array.dtype.kind not in "iu" or array.shape != shape:
        raise ValueError(f"{expected}, got {array.dtype} of shape {array.shape}: {values!r:.200}")
    if number is not None:
        low, high = (array.min(), array.max()) if shape else (array, array)
        if low < 0 or high >= number:
            raise ValueError(f"{name} must be from 0 to {number - 1}, got {low if low < 0 else high}")
    return array.astype(np.int64)


def check_types(entries: Mapping[str, Any], **types: type) -> None:
    """Raise TypeError if an entry is not exactly of the type given for its name; subclasses are not accepted."""
    for name, expected in types.items():
        if type(entries[name]) is not expected:
            raise TypeError(f"{name} must be of type {expected.__name__}, got {entries[name]!r:.80}")
