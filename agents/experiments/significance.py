"""Significance of the difference between our error and a published one. All errors are in percent."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

NUM_STANDARD_ERRORS = 2
"""An error is below a published one if their difference is larger than this many of its standard errors."""
MIN_SEEDS = 3
"""Fewer seeds say too little about the deviation between seeds."""


def binomial_standard_error(error: float, num_episodes: int) -> float:
    """Standard error of an error rate from a number of independent episodes, in points.

    Args:
        error: percent, 0 to 100.
        num_episodes: at least 1.
    """
    return math.sqrt(error * (100 - error) / num_episodes)


def standard_error_of_mean(errors: Sequence[float] | np.ndarray, num_episodes: int) -> float:
    """Standard error of the mean over seeds, in points; infinity for fewer than two seeds, whose spread is unknown.

    Two independent sources of error are added as variances. The deviation between seeds contributes sd / sqrt(S). It
    does not show the choice of test images, because all seeds have the same ones; that contributes the binomial
    standard error of a single agent, whatever the number of seeds. The sum is an upper bound: images that one seed
    classifies wrongly by chance, and others do not, count in both.

    Args:
        errors: one for each seed, percent.
        num_episodes: test episodes of each seed.
    """
    if len(errors) < 2:
        return math.inf
    between_seeds = float(np.std(errors, ddof=1)) / math.sqrt(len(errors))
    return math.hypot(between_seeds, binomial_standard_error(float(np.mean(errors)), num_episodes))


def is_below(
    errors: Sequence[float] | np.ndarray, num_episodes: int, published: float, published_standard_error: float
) -> bool:
    """Return whether the mean over seeds is below a published error by more than two standard errors.

    The variances of both are added, as of two independent samples of test images. Where both were measured on the same
    images, the true standard error of the difference is smaller. Never True for fewer than MIN_SEEDS seeds.

    Args:
        errors: ours, one for each seed, percent.
        num_episodes: test episodes of each seed.
        published: percent.
        published_standard_error: points.
    """
    if len(errors) < MIN_SEEDS:
        return False
    standard_error = math.hypot(standard_error_of_mean(errors, num_episodes), published_standard_error)
    return published - float(np.mean(errors)) > NUM_STANDARD_ERRORS * standard_error
