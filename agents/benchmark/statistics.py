"""Statistics of scores over few runs, with stratified-bootstrap intervals.

As defined by Agarwal et al., "Deep Reinforcement Learning at the Edge of the Statistical Precipice" (NeurIPS 2021), and
in its library rliable, except that every result is determined by a seed, and that tasks may have different numbers of
runs.

The scores of an algorithm are a sequence of float arrays, one for each task, each of shape (n, ...): n runs along the
first axis, at least one, and the same further axes for all tasks. Those of a matrix (runs, tasks) are
``list(matrix.T)``. Statistics reduce the first axis and keep the others, along which the bootstrap and learning curves
are vectorized. Where they pool the runs of all tasks, each run has the same weight: with unequal numbers of runs, a
task counts by its number of runs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

NUM_RESAMPLES = 2_000


class Estimate(NamedTuple):
    """A statistic of the scores, with its interval: three floats, or three arrays of one shape."""

    value: Any
    low: Any
    high: Any


def iqm(scores: Sequence[np.ndarray]) -> np.ndarray:
    """Interquartile mean: mean without the lowest and the highest quarter of the runs of all tasks.

    Of n runs, int(n / 4) are left out at each end, as by ``scipy.stats.trim_mean(scores, 0.25, axis=None)``: with 5
    runs it is the mean of the middle 3, with 3 or fewer the mean of all.
    """
    pooled = np.sort(np.concatenate(scores), axis=0)
    num_cut = int(0.25 * len(pooled))
    return pooled[num_cut : len(pooled) - num_cut].mean(axis=0)


def mean(scores: Sequence[np.ndarray]) -> np.ndarray:
    """Mean over tasks of the mean over runs."""
    return np.mean([task.mean(axis=0) for task in scores], axis=0)


def median(scores: Sequence[np.ndarray]) -> np.ndarray:
    """Median over tasks of the mean over runs."""
    return np.median([task.mean(axis=0) for task in scores], axis=0)


def optimality_gap(scores: Sequence[np.ndarray], best: float = 1.0) -> np.ndarray:
    """Mean amount by which the runs of all tasks fall short of the score ``best``; a higher score counts as 0."""
    return best - np.minimum(np.concatenate(scores), best).mean(axis=0)


def performance_profile(scores: Sequence[np.ndarray], thresholds: np.ndarray) -> np.ndarray:
    """Run-score distribution: fraction of the runs of all tasks whose score is higher than each threshold.

    Args:
        scores: the arrays of shape (n, ...).
        thresholds: float (P,).

    Returns:
        float (..., P), in [0, 1].
    """
    return (np.concatenate(scores)[..., None] > thresholds).mean(axis=0)


def probability_of_improvement(x: Sequence[np.ndarray], y: Sequence[np.ndarray]) -> np.ndarray:
    """Probability that a run of algorithm X has a higher score than one of Y in the same task; mean over tasks.

    For each task it is the Mann-Whitney U statistic divided by the number of pairs of runs; ties count one half.

    Args:
        x: scores of X, arrays of shape (n, ...).
        y: scores of Y in the same tasks, arrays of shape (m, ...).

    Raises:
        ValueError: if the numbers of tasks differ.
    """
    if len(x) != len(y):
        raise ValueError(f"two algorithms are compared in the same tasks, got scores in {len(x)} and in {len(y)}")
    return np.mean([_probability(ours[:, None], theirs) for ours, theirs in zip(x, y, strict=True)], axis=0)


def _probability(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """P(X > Y) + P(X = Y) / 2 over all pairs: x is (n, 1, ...), y is (m, ...)."""
    return ((x > y) + 0.5 * (x == y)).mean(axis=(0, 1))


def bootstrap(
    statistic: Callable[..., np.ndarray],
    *samples: Sequence[np.ndarray],
    seed: int = 0,
    num_resamples: int = NUM_RESAMPLES,
    confidence: float = 0.95,
) -> Estimate:
    """Estimate a statistic and its percentile interval by the stratified bootstrap.

    Each resample draws as many runs as there are, with replacement, from each task and each sample independently. A run
    is drawn with all its further axes: a learning curve stays whole. From few runs the interval is too narrow, and from
    one run for each task it has no width.

    Args:
        statistic: function of the samples that reduces the first axis, such as :func:`iqm`.
        *samples: scores of one algorithm each.
        seed: seed of the resampling; the same seed gives the same interval.
        num_resamples: number of resamples.
        confidence: confidence level, between 0 and 1.

    Raises:
        ValueError: no scores, a task without runs, scores that are not finite, or an argument out of range.
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must be between 0 and 1, such as 0.95, got {confidence!r}")
    if num_resamples < 1:
        raise ValueError(f"num_resamples must be at least 1, got {num_resamples!r}")
    checked = [_check(scores) for scores in samples]
    rng = np.random.default_rng(seed)
    resamples = [[_resample(task, num_resamples, rng) for task in scores] for scores in checked]
    tail = 50 * (1 - confidence)
    low, high = np.percentile(statistic(*resamples), [tail, 100 - tail], axis=0)
    return Estimate(statistic(*checked), low, high)


def _resample(task: np.ndarray, num_resamples: int, rng: np.random.Generator) -> np.ndarray:
    """Draw runs: (n, ...) to (n, num_resamples, ...)."""
    return task[rng.integers(len(task), size=(len(task), num_resamples))]


def _check(scores: Sequence[np.ndarray]) -> list[np.ndarray]:
    tasks = [np.asarray(task, np.float64) for task in scores]
    if not tasks:
        raise ValueError("there are no scores: pass one array for each task")
    for i, task in enumerate(tasks):
        if not task.ndim or not len(task):
            raise ValueError(f"each task needs scores of at least one run, got shape {task.shape} for task {i}")
        if not np.isfinite(task).all():
            raise ValueError(f"scores must be finite, got {task[~np.isfinite(task)][0]} in task {i}")
    return tasks
