"""Weights in 16 bits each or fewer, as the page stores them; ``storage.js`` reads them.

A matrix of weights is rounded to multiples of a factor of its own for each row. These integers are stored as two planes
of bytes: the high bytes are small, and compress well. Vectors and small matrices stay float32.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

# Rounding steps in the root mean square of a row, times the square root of the number of weights of the matrix. All
# matrices contribute about equally to the output, so that errors are smallest if larger ones have coarser steps.
_STEPS = 750_000
_MAX_INTEGER = 2**15 - 1
_MIN_ROUNDED = 4096  # smaller tensors cost little


class Rounded(NamedTuple):
    """A matrix of weights, rounded: ``integers * factors[:, None]``."""

    integers: np.ndarray
    """int16 (rows, columns)."""
    factors: np.ndarray
    """float32 (rows,)."""

    @property
    def values(self) -> np.ndarray:
        """float32 (rows, columns)."""
        return self.integers * self.factors[:, None]


def is_rounded(shape: tuple[int, ...]) -> bool:
    """Return whether a tensor of this shape is rounded; all others stay as they are."""
    return len(shape) == 2 and shape[0] * shape[1] >= _MIN_ROUNDED


def round_weights(weights: np.ndarray) -> Rounded:
    """Round a matrix of weights, float32 (rows, columns)."""
    deviations, largest = np.sqrt(np.mean(weights**2, axis=1)), np.abs(weights).max(axis=1)
    factors = np.maximum(deviations * np.sqrt(weights.size) / _STEPS, largest / _MAX_INTEGER).astype(np.float32)
    factors[factors == 0] = 1.0  # of rows of zeros
    return Rounded(np.rint(weights / factors[:, None]).astype(np.int16), factors)


def rounded_tensors(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the tensors as the page computes with them, float32, by name."""
    return {
        name: round_weights(tensor).values if is_rounded(tensor.shape) else tensor for name, tensor in tensors.items()
    }


def encode_weights(tensors: Mapping[str, np.ndarray]) -> bytes:
    """Encode tensors, float32, in their order: floats, then low bytes, then high bytes, compressed."""
    floats, integers = [], []
    for tensor in tensors.values():
        if is_rounded(tensor.shape):
            rounded = round_weights(tensor)
            floats.append(rounded.factors)
            integers.append(rounded.integers.reshape(-1))
        else:
            floats.append(tensor.reshape(-1))
    all_integers = np.concatenate([np.empty(0, np.int16), *integers])
    planes = (all_integers & 255).astype(np.uint8), (all_integers >> 8).astype(np.int8)
    content = b"".join([np.concatenate(floats).astype("<f4").tobytes(), *(plane.tobytes() for plane in planes)])
    # There are no repetitions to be found, only frequent bytes.
    compressor = zlib.compressobj(9, strategy=zlib.Z_HUFFMAN_ONLY)
    return compressor.compress(content) + compressor.flush()
