"""SplitMix64, the hash behind the random numbers (Steele, Lea and Flood, 2014)."""

from __future__ import annotations

from typing import Any

GOLDEN = 0x9E3779B97F4A7C15 - 2**64
_FACTOR_1 = 0xBF58476D1CE4E5B9 - 2**64
_FACTOR_2 = 0x94D049BB133111EB - 2**64


def mix(z: Any) -> Any:
    """SplitMix64's finalizer, of int64 numbers: one, or an array of them, in whatever library.

    Signed shifts bring in copies of the sign, which the masks take out again.
    """
    z = (z ^ ((z >> 30) & (2**34 - 1))) * _FACTOR_1
    z = (z ^ ((z >> 27) & (2**37 - 1))) * _FACTOR_2
    return z ^ ((z >> 31) & (2**33 - 1))
