"""Distance between scanpaths: dynamic time warping over locations, and scanpaths of two baselines."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def dtw_distance(first: np.ndarray, second: np.ndarray) -> float:
    """Distance between two scanpaths; see :func:`dtw_distances`.

    Example:
        >>> dtw_distance(np.array([[-1.0, 0.0], [1.0, 0.0]]), np.array([[-1.0, 0.5], [-1.0, 0.5], [1.0, 0.5]]))
        0.5
    """
    return float(dtw_distances([first], [second])[0])


def dtw_distances(first: Sequence[np.ndarray], second: Sequence[np.ndarray]) -> np.ndarray:
    """Distances between B pairs of scanpaths by dynamic time warping (Sakoe and Chiba, 1978).

    A warping path pairs the fixations of two scanpaths in order: the first with the first, the last with the last,
    every fixation with at least one of the other. The optimal path has the least sum of Euclidean distances and, of
    paths with equal sums, the fewest pairs. The result is the mean distance along it, in units in which the image is 2
    wide and 2 high: 0 for equal scanpaths, about 1 for two uniformly random places.

    Args:
        first: B scanpaths, each float (n, 2), n >= 1.
        second: B scanpaths, each float (m, 2), m >= 1.

    Returns:
        float64 (B,).

    Raises:
        ValueError: a scanpath without fixations.
    """
    ends = [np.array([len(path) for path in paths], np.int64) for paths in (first, second)]
    if 0 in ends[0] or 0 in ends[1]:
        raise ValueError("a scanpath must have at least one fixation")
    a, b = _pad(first), _pad(second)
    cost = np.linalg.norm(a[:, :, None] - b[:, None], axis=-1)  # (B, n, m)
    total = np.full((a.shape[1] + 1, b.shape[1] + 1, len(a)), np.inf)
    total[0, 0] = 0.0
    pairs = np.zeros(total.shape)
    for i in range(1, total.shape[0]):
        for j in range(1, total.shape[1]):
            before = (i - 1, i - 1, i), (j - 1, j, j - 1)
            least = total[before].min(axis=0)
            total[i, j] = cost[:, i - 1, j - 1] + least
            pairs[i, j] = 1 + np.where(total[before] == least, pairs[before], np.inf).min(axis=0)
    end = (*ends, np.arange(len(a)))
    return total[end] / pairs[end]


def _pad(paths: Sequence[np.ndarray]) -> np.ndarray:
    """Scanpaths in one array, float64 (B, longest, 2); what follows the end of a path is never used."""
    padded = np.zeros((len(paths), max(map(len, paths), default=0), 2))
    for row, path in zip(padded, paths, strict=True):
        row[: len(path)] = path
    return padded


def center_path(length: int) -> np.ndarray:
    """Scanpath of a player that always looks at the center, float64 (length, 2)."""
    return np.zeros((length, 2))


def random_path(length: int, rng: np.random.Generator) -> np.ndarray:
    """Scanpath of a player that looks at uniformly random places, float64 (length, 2)."""
    return rng.uniform(-1.0, 1.0, (length, 2))
