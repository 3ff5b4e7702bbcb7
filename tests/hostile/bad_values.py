"""Values that no argument accepts, whatever it is, and values that are wrong for numbers of a known shape and range."""

import datetime
import decimal
import fractions
from collections.abc import Callable
from typing import Any

import numpy as np


class Refusing:
    """Object that no array can be made of."""

    def __array__(self, *args: Any, **kwargs: Any) -> np.ndarray:
        raise RuntimeError("this object refuses to become an array")


class Lying:
    """Object that says it is an array, and returns a list."""

    shape, dtype, ndim = (2,), np.dtype(np.float32), 1

    def __array__(self, *args: Any, **kwargs: Any) -> list[int]:
        return [1, 2]


class Endless:
    """Sequence without an end."""

    def __len__(self) -> int:
        return 2**40

    def __getitem__(self, index: int) -> int:
        raise ValueError("this object has no items")


def _nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


_DEEP = _nested(5000)


def _endless_list() -> list[Any]:
    value: list[Any] = [1]
    value.append(value)
    return value


def _graph_tensor(rng: np.random.Generator) -> Any:
    import torch

    return torch.zeros(int(rng.integers(4)), requires_grad=True)


def _nonsense(rng: np.random.Generator) -> str:
    return "".join(map(chr, rng.integers(0, 0xD7FF, int(rng.integers(8)))))


ANYTHING: list[Callable[[np.random.Generator], Any]] = [
    lambda rng: None,
    lambda rng: "0",
    lambda rng: "",
    _nonsense,
    lambda rng: b"\x00\xff",
    lambda rng: object(),
    lambda rng: Refusing(),
    lambda rng: Lying(),
    lambda rng: Endless(),
    lambda rng: _nested(100),
    lambda rng: _DEEP,
    lambda rng: _endless_list(),
    lambda rng: [[1, 2], [3]],
    lambda rng: [[0.5, 0.5], 0.5],
    lambda rng: [],
    lambda rng: {},
    lambda rng: {"label": 1},
    lambda rng: {1: 2, None: 3, "x": 4},
    lambda rng: {0, 1},
    lambda rng: (x for x in (0, 1)),
    lambda rng: print,
    lambda rng: int,
    lambda rng: Ellipsis,
    lambda rng: 1j,
    lambda rng: decimal.Decimal("NaN"),
    lambda rng: fractions.Fraction(1, 3),
    lambda rng: datetime.date(2020, 1, 1),
    lambda rng: np.zeros(2, complex),
    lambda rng: np.zeros(2, "datetime64[s]"),
    lambda rng: np.array(["a", "b"]),
    lambda rng: np.array([None, object()]),
    lambda rng: np.zeros(2, [("x", float), ("y", float)]),
    lambda rng: np.ma.masked_all(2),
    lambda rng: np.ma.masked,
    lambda rng: np.zeros((0, 2), np.float32),
    lambda rng: np.zeros((1,) * 20, np.float32),
    lambda rng: np.broadcast_to(np.float32(0), (1000, 1000, 1000, 2)),
    _graph_tensor,
]
"""Makers of values that are neither a number nor numbers of a shape that any argument here has."""


def anything(rng: np.random.Generator) -> Any:
    """A value that nothing accepts."""
    return _pick(rng, ANYTHING)(rng)


def _pick(rng: np.random.Generator, values: Any) -> Any:
    return values[int(rng.integers(len(values)))]


def bad_floats(rng: np.random.Generator, shape: tuple[int, ...]) -> Any:
    """A value that is not finite floating-point numbers of this shape, which has at least one dimension."""
    kind = int(rng.integers(6))
    if kind == 0:
        return anything(rng)
    if kind == 1:  # wrong dtype
        dtype = _pick(rng, (np.int64, np.uint8, np.bool_, np.complex64, object, "U3", "S2", "m8[s]"))
        return np.zeros(shape, dtype)
    if kind == 2:  # wrong shape
        wrong = _pick(rng, ((), (*shape, 1), (1, *shape), (*shape[:-1], shape[-1] + 1), (*shape[:-1], 0), shape[:-1]))
        return np.zeros(wrong, np.float32)
    array = rng.uniform(-1, 1, shape).astype(_pick(rng, (np.float16, np.float32, np.float64)))
    if kind == 5:
        return np.ma.masked_array(array, mask=True)
    array.reshape(-1)[int(rng.integers(array.size))] = _pick(rng, (np.nan, np.inf, -np.inf))
    return array if kind == 3 else array.tolist()


def bad_integers(rng: np.random.Generator, shape: tuple[int, ...], number: int) -> Any:
    """A value that is not integers from 0 to ``number - 1`` of this shape."""
    kind = int(rng.integers(6))
    if kind == 0:
        return anything(rng)
    if kind == 1:
        dtype = _pick(rng, (np.float32, np.float64, np.bool_, np.complex64, object, "U3", "S2", "m8[s]"))
        return np.zeros(shape, dtype)
    if kind == 2:
        wrong = [(*shape, 1), (1, *shape), (*shape, 2), (0,)]
        if shape:
            wrong += [(), shape[:-1], (shape[0] + 1, *shape[1:])]
        return np.zeros(_pick(rng, wrong), np.int64)
    if kind == 3:
        return np.ma.masked_array(np.zeros(shape, np.int64), mask=True)
    if not shape:
        return _pick(rng, (-1, number, 2**31, 2**63, -(2**63), 10**400, True, 0.0, np.nan, np.int8(-1), np.float32(0)))
    if kind == 4:
        values: Any = np.zeros(shape, object)
        values.reshape(-1)[int(rng.integers(values.size))] = _pick(rng, (-1, number, 2**64, -(2**70), None, "1", 0.5))
        return values.tolist()
    dtype = _pick(rng, (np.int64, np.uint64, np.int32))
    values = np.zeros(shape, dtype)
    wrong_values = (np.iinfo(dtype).max, number) if dtype == np.uint64 else (-1, number, np.iinfo(dtype).min)
    values.reshape(-1)[int(rng.integers(values.size))] = _pick(rng, wrong_values)
    return values


def bad_seed(rng: np.random.Generator, num_envs: int | None) -> Any:
    """A value that is no seed of a single env (``num_envs`` None) or of a vector env."""
    values: list[Any] = [-1, -(2**70), 1.5, np.nan, "4", b"4", True, 1j, np.float32(2), object(), Refusing(), {}, {1}]
    if num_envs is None:
        values += [[1], (1,), np.array([1]), [None]]
    else:
        values += [[1] * (num_envs + 1), [], [1] * (num_envs - 1) + [-1], [1] * (num_envs - 1) + ["4"]]
        values += [[1] * (num_envs - 1) + [0.5], np.zeros(num_envs), np.zeros((num_envs, 2), int), [[1]] * num_envs]
        values += [[True] * num_envs, np.zeros(num_envs, bool), [Refusing()] * num_envs]
    return _pick(rng, values)


def bad_mask(rng: np.random.Generator, num_envs: int) -> Any:
    """A value that is no mask of a partial reset."""
    if rng.random() < 0.3:
        return _pick(rng, [maker for maker in ANYTHING if maker(rng) is not None])(rng)
    shapes = [(num_envs - 1,), (num_envs + 1,), (num_envs, 1), (1, num_envs), (), (0,)]
    values = [np.ones(num_envs), np.ones(num_envs, int), [True] * num_envs, np.zeros(num_envs, bool), True, 1]
    values += [np.ones(num_envs, object), np.ma.masked_array(np.ones(num_envs, bool), mask=True)]
    return _pick(rng, values + [np.ones(shape, bool) for shape in shapes])
