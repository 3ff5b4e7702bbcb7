"""Published test errors on the same tasks, in percent, with their sources."""

from __future__ import annotations

from typing import NamedTuple


class PublishedError(NamedTuple):
    """Published error of one agent."""

    num_glimpses: int
    error: float
    """Percent."""
    source: str


PAPER: dict[str, dict[int, float]] = {
    "mnist": {2: 3.79, 3: 1.51, 4: 1.54, 5: 1.34, 6: 1.12, 7: 1.07},
    "translated60": {4: 1.54, 6: 1.22, 8: 1.20},
    "cluttered60": {4: 4.96, 6: 4.08, 8: 4.04},
    "cluttered100": {4: 9.41, 6: 8.31, 8: 8.11},
}
"""Errors of the paper's RAM by task and number of glimpses: tables 1 to 3 of the NIPS 2014 proceedings.

The errors in the preprint are higher.
"""

NUM_TEST_IMAGES = 10_000
"""Test images of the paper's classification tasks, from which its errors have a standard error."""

PREPRINT_MNIST: dict[int, float] = {2: 6.27, 3: 2.7, 4: 1.73, 5: 1.55, 6: 1.29, 7: 1.47}
"""Errors on MNIST by number of glimpses in the preprint, arXiv 1406.6247v1."""

PAPER_BASELINES: dict[str, float] = {
    "fc256-mnist": 1.69,
    "conv-mnist": 1.21,
    "fc64-translated60": 6.42,
    "fc256-translated60": 2.63,
    "conv-translated60": 1.62,
    "fc64-cluttered60": 28.58,
    "fc256-cluttered60": 11.96,
    "conv-cluttered60": 8.09,
    "random-cluttered60": 14.4,
    "conv-cluttered100": 14.35,
    "random-cluttered100": 28.4,
}
"""Errors of the paper's baselines and controls, by our recipe for the same model."""

PAPER_CATCH = PublishedError(23, 15.0, "approximate, read off figure 3, after 20M frames")
"""Balls missed by the paper's best agent."""

PAPER_CATCH_STANDARD_ERROR = 2.5
"""Standard error of ``PAPER_CATCH``, in points.

A curve in a printed figure can be read to within about 5 points, which are taken as two standard errors. That includes
the noise of the paper's games, whose number is unknown: from 1,000 games it would be 1.1 points.
"""

PUBLIC: dict[str, PublishedError] = {
    "mnist": PublishedError(6, 0.67, "github.com/dHonerkamp/Recurrent-Attention-Model"),
    "translated60": PublishedError(8, 0.94, "github.com/slundqui/tfRAM"),
    "cluttered60": PublishedError(8, 2.63, "github.com/slundqui/tfRAM"),
    "cluttered100": PublishedError(8, 5.90, "github.com/slundqui/tfRAM"),
    "catch": PublishedError(23, 11.0, "approximate, after about 360M frames"),
}
"""Lowest published error that we found for a single plain RAM, by task."""
