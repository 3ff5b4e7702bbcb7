"""Random numbers by counting: each is a hash of (key of the row, episode, position), so no row depends on another.

Signed 64-bit arithmetic that wraps around is all they take, which every array library has: the same numbers
come out wherever the arrays live. The hash is SplitMix64's (Steele, Lea and Flood, "Fast splittable pseudorandom
number generators", 2014).
"""

from __future__ import annotations

from typing import Any

import numpy as np

_GOLDEN = 0x9E3779B97F4A7C15 - 2**64
_FACTOR_1 = 0xBF58476D1CE4E5B9 - 2**64
_FACTOR_2 = 0x94D049BB133111EB - 2**64


def _mix(z: Any) -> Any:
    """SplitMix64's finaliser. Signed shifts bring in copies of the sign, which the masks take out again."""
    z = (z ^ ((z >> 30) & (2**34 - 1))) * _FACTOR_1
    z = (z ^ ((z >> 27) & (2**37 - 1))) * _FACTOR_2
    return z ^ ((z >> 31) & (2**33 - 1))


def keys_from_seeds(seeds: list[int]) -> np.ndarray:
    """One key per seed, int64 (R,). Seeds are whole numbers of at least 0; equal seeds give equal keys.

    Raises:
        ValueError: a seed that is negative or no whole number.
    """
    for seed in seeds:
        if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
            raise ValueError(f"a seed must be a whole number of at least 0, got {seed!r}")
    return _mix(np.array([int(seed) % 2**64 for seed in seeds], np.uint64).view(np.int64))


def uniforms(keys: Any, episodes: Any, count: int) -> Any:
    """The numbers of an episode, float64 (R, count), uniform in [0, 1).

    Args:
        keys: int64 (R,), one for each row.
        episodes: int64 (R,), how many episodes the row has had under its key.
        count: how many numbers each row gets.
    """
    positions = np.arange(1, count + 1) * _GOLDEN
    numbers = _mix(_mix(keys + episodes * _GOLDEN)[:, None] + positions)
    return ((numbers >> 11) & (2**53 - 1)) * 2.0**-53  # the upper 53 bits: all that a float64 holds
