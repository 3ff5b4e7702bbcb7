"""Random numbers by counting: each is a hash of (key of the row, episode, position), so no row depends on another.

Number j of an episode is the upper 53 bits of ``mix(mix(key + episode * GOLDEN) + j * GOLDEN)``, j = 1, 2, ..., as a
fraction. It takes signed 64-bit arithmetic that wraps around, which every array library has: the same numbers come out
wherever the arrays live. The hash is SplitMix64's (Steele, Lea and Flood, "Fast splittable pseudorandom number
generators", 2014). The kernels draw them: see ``uniforms`` in :mod:`glimpse_gym.kernels`.
"""

from __future__ import annotations

import numpy as np

from glimpse_gym.kernels.splitmix import mix


def keys_from_seeds(seeds: list[int]) -> np.ndarray:
    """One key per seed, int64 (R,). Seeds are whole numbers of at least 0; equal seeds give equal keys.

    Raises:
        ValueError: a seed that is negative or no whole number.
    """
    for seed in seeds:
        if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
            raise ValueError(f"a seed must be a whole number of at least 0, got {seed!r}")
    return mix(np.array([int(seed) % 2**64 for seed in seeds], np.uint64).view(np.int64))
