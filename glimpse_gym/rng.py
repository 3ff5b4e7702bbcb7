"""Counter-based random numbers: each is a hash of (key of the row, episode, position), so rows are independent.

Number j of an episode is the upper 53 bits of ``mix(mix(key + episode * GOLDEN) + j * GOLDEN)``, j = 1, 2, ..., as a
fraction. This needs only signed 64-bit arithmetic that wraps around, which every array library has, so all backends
draw the same numbers. The hash is that of SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number
generators", 2014). The kernels draw the numbers: see ``uniforms`` in :mod:`glimpse_gym.kernels`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from glimpse_gym.kernels.splitmix import mix
from glimpse_gym.validation import check_integer, check_not_masked, shown

MAX_SEED = 2**64 - 1
"""Largest seed of an env: each seed has a key of its own, and keys have 64 bits."""


def check_seed(name: str, seed: Any) -> int:
    """Return a seed as an int; raise ValueError if it is not an integer from 0 to 2**64 - 1."""
    return check_integer(name, seed, at_least=0, at_most=MAX_SEED)


def keys_from_seeds(seeds: Sequence[int] | np.ndarray) -> np.ndarray:
    """Turn seeds, integers from 0 to 2**64 - 1, into one key each, int64 (R,). Different seeds give different keys.

    An array of integers is converted much faster than a list.

    Raises:
        TypeError: if the seeds are not a list, a tuple or a NumPy array.
        ValueError: if a seed is not an integer in this range.
    """
    check_not_masked("seeds", seeds)
    if not isinstance(seeds, list | tuple | np.ndarray) or getattr(seeds, "ndim", 1) != 1:
        raise TypeError(f"seeds must be a list of integers, got {shown(seeds)}")
    if isinstance(seeds, np.ndarray) and seeds.dtype.kind in "iu":
        if seeds.size:
            check_seed("a seed", seeds.min())
        return mix(seeds.astype(np.uint64).view(np.int64))
    checked = [check_seed("a seed", seed) for seed in seeds]
    return mix(np.array(checked, np.uint64).view(np.int64))
