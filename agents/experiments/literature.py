"""What others reported on the same tasks: test errors in per cent, and where they stand."""

from __future__ import annotations

from typing import NamedTuple


class Published(NamedTuple):
    """An error that somebody reported."""

    num_glimpses: int
    error: float
    """Per cent."""
    where: str


PAPER: dict[str, dict[int, float]] = {
    "mnist": {2: 3.79, 3: 1.51, 4: 1.54, 5: 1.34, 6: 1.12, 7: 1.07},
    "translated60": {4: 1.54, 6: 1.22, 8: 1.20},
    "cluttered60": {4: 4.96, 6: 4.08, 8: 4.04},
    "cluttered100": {4: 9.41, 6: 8.31, 8: 8.11},
}
"""RAM by glimpses, as printed in the proceedings of NIPS 2014 (the preprint's tables 1 to 3 are higher)."""

PAPER_CONTROLS: dict[str, float] = {
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
"""The paper's other models, by the recipe that is the like of each."""

PAPER_CATCH = Published(23, 15.0, "about, after 20M frames, read off its figure 3")
"""The share of balls that the paper's best agent misses."""

PUBLIC: dict[str, Published] = {
    "mnist": Published(6, 0.67, "github.com/dHonerkamp/Recurrent-Attention-Model"),
    "translated60": Published(8, 0.94, "github.com/slundqui/tfRAM"),
    "cluttered60": Published(8, 2.63, "github.com/slundqui/tfRAM"),
    "cluttered100": Published(8, 5.90, "github.com/slundqui/tfRAM"),
    "catch": Published(23, 11.0, "about, after some 360M frames"),
}
"""The lowest error of a plain RAM, without averaging over runs, that we found reported."""
