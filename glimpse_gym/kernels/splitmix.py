"""SplitMix64, the hash function behind the random numbers (Steele, Lea and Flood, 2014)."""

from __future__ import annotations

from typing import Any

# The constants of the paper, as signed 64-bit integers.
GOLDEN = 0x9E3779B97F4A7C15 - 2**64
_FACTOR_1 = 0xBF58476D1CE4E5B9 - 2**64
_FACTOR_2 = 0x94D049BB133111EB - 2**64


def mix(z: Any) -> Any:
    """Apply the finalizer of SplitMix64 to an int64 number or array, of any array library.

    A right shift of a negative number fills the upper bits with ones; the masks clear them.
    """
    z = (z ^ ((z >> 30) & (2**34 - 1))) * _FACTOR_1
    z = (z ^ ((z >> 27) & (2**37 - 1))) * _FACTOR_2
    return z ^ ((z >> 31) & (2**33 - 1))
