"""Argument validation: each error says what was given, what is accepted, and what to do."""

from __future__ import annotations

import reprlib
from collections.abc import Collection, Mapping, Sequence
from math import inf, isfinite, nan
from numbers import Real
from typing import Any

import numpy as np

_INTEGER_TYPES = (int, np.int64)
# NumPy counts durations as integers, and Python counts bools.
_NOT_NUMBERS = (bool, np.timedelta64)
# As arrays: NumPy computes much faster with them than with Python floats.
_MIN_COORDINATE, _MAX_COORDINATE = np.array(-1.0, np.float32), np.array(1.0, np.float32)


class NotFiniteError(ValueError):
    """A number is NaN or infinite."""


def shown(value: Any, width: int = 80) -> str:
    """Return the repr of a value for an error message, shortened to about ``width`` characters. Never raises.

    The time and memory that it takes are bounded even for lists that contain each other.
    """
    short = reprlib.Repr()
    short.maxlevel, short.maxstring, short.maxlong, short.maxother = 3, width, width, width
    short.maxlist = short.maxtuple = short.maxdict = short.maxset = short.maxfrozenset = short.maxdeque = 20
    try:
        text = short.repr(value)
    except Exception:  # raised by the object's own class, or by an int of more than 4,300 digits
        if isinstance(value, int):
            return f"an integer of {value.bit_length():,} bits"
        return f"an object of type {type(value).__name__}"
    return text if len(text) <= width else text[: width - 3] + "..."


def printable(text: str) -> str:
    """Leave out the characters of a text from a file that a terminal would obey."""
    return "".join(character for character in text if character.isprintable())


def check_integer(name: str, value: Any, at_least: int, at_most: int = 2**31 - 1) -> int:
    """Return the value as an int; raise ValueError if it is not an integer from ``at_least`` to ``at_most``."""
    if type(value) is int and at_least <= value <= at_most:
        return value
    number = None
    if isinstance(value, int | np.integer) and not isinstance(value, _NOT_NUMBERS):
        number = int.__index__(value) if isinstance(value, int) else int(value)
    if number is None or not at_least <= number <= at_most:
        raise ValueError(f"{name} must be an integer from {at_least} to {at_most}, got {shown(value)}")
    return number


def check_number(name: str, value: Any, at_least: float = -inf, at_most: float = inf) -> float:
    """Return the value as a float; raise ValueError if it is not a finite real number in the range."""
    try:
        number = float(value) if isinstance(value, Real) and not isinstance(value, _NOT_NUMBERS) else nan
    except Exception:  # too large for a float, or raised by the object's own class
        number = nan
    if not (isfinite(number) and at_least <= number <= at_most):
        raise ValueError(f"{name} must be a {_describe_range(at_least, at_most)}, got {shown(value)}")
    return number


def _describe_range(at_least: float, at_most: float) -> str:
    if isfinite(at_least) and isfinite(at_most):
        return f"number from {at_least:,.16g} to {at_most:,.16g}"
    bounds = [f">= {at_least:,.16g}"] * isfinite(at_least) + [f"<= {at_most:,.16g}"] * isfinite(at_most)
    return " ".join(["finite number", *bounds])


def check_max_bytes(value: Any) -> int:
    """Return the value of an argument ``max_bytes``; raise ValueError if it is not an integer from 1 to 2**63 - 1."""
    return check_integer("max_bytes", value, at_least=1, at_most=2**63 - 1)


def check_range(name: str, value: Any, at_least: float = -inf, at_most: float = inf) -> tuple[float, float]:
    """Return a number or a (low, high) pair as a pair of floats.

    Raises:
        ValueError: if the value is neither, a number is not finite or not in the range, or low > high.
    """
    low, high = value if isinstance(value, (tuple, list)) and len(value) == 2 else (value, value)
    low, high = check_number(name, low, at_least, at_most), check_number(name, high, at_least, at_most)
    if low > high:
        raise ValueError(f"{name} must be a number or a (low, high) pair with low <= high, got {shown(value)}")
    return low, high


def check_choice(name: str, value: Any, accepted: Collection[Any]) -> Any:
    """Return the accepted value that equals ``value``; raise ValueError, listing all of them, if there is none."""
    for choice in accepted:
        if value is choice or (isinstance(value, str | int | np.bool_) and bool(value == choice)):
            return choice
    raise ValueError(f"{name} must be one of {', '.join(map(repr, accepted))}; got {shown(value)}")


def check_memory(num_bytes: int, max_bytes: int, settings: str, hint: str) -> None:
    """Raise ValueError if more than ``max_bytes`` bytes of memory are needed. Call it before they are allocated.

    Args:
        num_bytes: bytes needed, a Python int, which cannot overflow.
        max_bytes: limit, checked here.
        settings: the settings that determine it, with their values, for the error message.
        hint: what to change, for the error message.
    """
    max_bytes = check_max_bytes(max_bytes)
    if num_bytes > max_bytes:
        raise ValueError(
            f"{settings} take {num_bytes:,} bytes of memory, more than max_bytes={max_bytes:,}: pass {hint}, or a "
            "larger max_bytes"
        )


def check_not_masked(name: str, values: Any) -> None:
    """Raise ValueError for a masked array, because its mask would be ignored."""
    if isinstance(values, np.ma.MaskedArray):
        raise ValueError(f"{name} must not be a masked array: its mask would be ignored; pass an ordinary array")


def to_array(expected: str, values: Any, shape: tuple[int, ...], hint: str = "") -> np.ndarray:
    """Convert values to an array, which may be the given one and may have another shape or any dtype.

    Args:
        expected: start of error messages: the name of the values, and what is accepted.
        values: an array of any library, or nested sequences.
        shape: shape that nested sequences must have.
        hint: what to pass, for error messages.

    Raises:
        ValueError: if the values cannot be converted, or a part of them would be misread.
    """
    if type(values) is np.ndarray:
        return values
    try:
        _check_nested(values, shape)
        return np.asarray(values)
    except _Refused as error:
        reason = str(error)
    except Exception as error:  # raised by the object's own class, or by NumPy
        reason = f"NumPy cannot convert it ({shown(error, 200)})"
    raise ValueError(f"{expected}, got {shown(values, 200)}: {reason}{hint}")


class _Refused(Exception):
    """Reason for which values are not converted to an array."""


def _check_nested(values: Any, shape: tuple[int, ...]) -> None:
    """Raise _Refused for what NumPy would misread, and for sequences of another shape, which may be huge."""
    if isinstance(values, float | int) and not isinstance(values, bool):
        return
    if isinstance(values, bool | np.bool_):
        raise _Refused("bools are not accepted")
    if isinstance(values, str | bytes | bytearray):
        raise _Refused("text is not accepted")
    if isinstance(values, np.ma.MaskedArray):
        raise _Refused("a masked array is not accepted, because its mask would be ignored; pass an ordinary array")
    if getattr(values, "requires_grad", False) is True:
        raise _Refused("it requires a gradient; call .detach() on it")
    if (actual := getattr(values, "shape", None)) is not None:
        if tuple(actual) != shape:
            raise _Refused(f"its shape is {tuple(actual)}")
    elif isinstance(values, list | tuple | Sequence):
        if not shape or len(values) != shape[0]:
            raise _Refused("it has another shape")
        for value in values:
            _check_nested(value, shape[1:])


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
    array = values
    if type(values) is not np.ndarray:  # otherwise the message would be formatted at every step
        array = to_array(f"{name} must be floating point of shape {shape}", values, shape, f"; {hint}")
    if array.dtype.kind != "f" or array.shape != shape:
        raise ValueError(
            f"{name} must be floating point of shape {shape}, got {array.dtype} of shape {array.shape}: "
            f"{shown(values, 200)}; {hint}"
        )
    return array


def check_locations(locations: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Return locations as a new float32 array, clipped to [-1, 1].

    Args:
        locations: floating point, x and y along the last axis.
        shape: required shape, ``(2,)`` or ``(B, 2)``.

    Raises:
        ValueError: if the dtype is not floating point or the shape differs.
        NotFiniteError: if a value is NaN or infinite.
    """
    array = locations
    if type(array) is not np.ndarray or array.dtype != np.float32 or array.shape != shape:  # saves a call at every step
        array = check_floats("location", locations, shape, "pass x and y as floats in [-1, 1]")
    if len(shape) == 1:  # fast path of the single env: Python floats are faster than arrays of length 2
        x, y = array.tolist()
        if -1.0 <= x <= 1.0 and -1.0 <= y <= 1.0:
            return array.astype(np.float32)
        if isfinite(x) and isfinite(y):
            return np.array((min(max(x, -1.0), 1.0), min(max(y, -1.0), 1.0)), np.float32)
    low, high = extremes(array) if array.size else (0.0, 0.0)
    if low >= -1.0 and high <= 1.0:  # not so if one of them is NaN
        return array.astype(np.float32)
    if not (-inf < low and high < inf):  # math.isfinite takes a long double above the largest float for infinity
        bad = array.reshape(-1, 2)[~np.isfinite(array).all(axis=-1).reshape(-1)][0]
        raise NotFiniteError(f"location must be finite, got ({bad[0]}, {bad[1]}); pass x and y in [-1, 1]")
    return np.minimum(np.maximum(array, _MIN_COORDINATE), _MAX_COORDINATE).astype(np.float32)


def extremes(array: np.ndarray) -> tuple[Any, Any]:
    """Return the lowest and the highest value of an array; both are NaN if one value is NaN.

    For short arrays this is several times as fast as ``array.min()`` and ``array.max()``.
    """
    return array.item(array.argmin()), array.item(array.argmax())


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
    if number is not None and type(values) is np.ndarray and values.dtype.kind in "iu" and values.shape == shape:
        low, high = extremes(values)  # fast path of the vector env: no error message is prepared
        if low >= 0 and high < number:
            return values.astype(np.int64)
    expected = f"{name} must be " + (f"integers of shape {shape}" if shape else "an integer")
    array = to_array(expected, values, shape)
    if array.dtype.kind not in "iu" or array.shape != shape:
        raise ValueError(f"{expected}, got {array.dtype} of shape {array.shape}: {shown(values, 200)}")
    if number is None:
        if array.dtype.kind == "u" and array.size and array.max() >= 2**63:
            raise ValueError(f"{name} must be integers below 2**63, got {array.max()}")
    else:
        low, high = extremes(array)
        if low < 0 or high >= number:
            raise ValueError(f"{name} must be from 0 to {number - 1}, got {low if low < 0 else high}")
    return array.astype(np.int64)


def check_types(entries: Mapping[str, Any], **types: type) -> None:
    """Raise TypeError if an entry is not exactly of the type given for its name; subclasses are not accepted."""
    for name, expected in types.items():
        if type(entries[name]) is not expected:
            raise TypeError(f"{name} must be of type {expected.__name__}, got {shown(entries[name])}")
