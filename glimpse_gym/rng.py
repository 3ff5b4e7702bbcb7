"""Counter-based random numbers: each is a hash of (key of the row, episode, position), so rows are independent.

Number j of an episode is the upper 53 bits of ``mix(mix(key + episode * GOLDEN) + j * GOLDEN)``, j = 1, 2, ..., as a
fraction. This needs only signed 64-bit arithmetic that wraps around, which every array library has, so all backends
draw the same numbers. The hash is that of SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number
generators", 2014). The kernels draw the numbers: see ``uniforms`` in :mod:`glimpse_gym.kernels`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from glimpse_gym.kernels.splitmix import mix


def keys_from_seeds(seeds: list[int]) -> np.ndarray:
    """Turn seeds, integers >= 0, into one key each, int64 (R,). Equal seeds give equal keys.

    Raises:
        ValueError: if a seed is negative or not an integer.
    """
    for seed in seeds:
        if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
            raise ValueError(f"a seed must be an integer >= 0, got {seed!r}")
    return mix(np.array([int(seed) % 2**64 for seed in seeds], np.uint64).view(np.int64))


def integers_below(draws: np.ndarray, sizes: Any) -> np.ndarray:
    """Turn uniform numbers in [0, 1) into integers from 0 to ``sizes - 1``, int64. Shapes broadcast."""
    return (draws * sizes).astype(np.int64)
