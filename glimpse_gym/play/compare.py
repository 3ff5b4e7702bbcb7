"""Comparison of players: accuracy after each glimpse, and similarity of scanpaths with two baselines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

import numpy as np

from glimpse_gym.play.attention_mnist import SELECTION_NOTE
from glimpse_gym.play.attention_mnist import TASK as ATTENTION_MNIST
from glimpse_gym.play.scanpath_distance import center_path, dtw_distances, random_path
from glimpse_gym.play.trials import Trial

INTERVAL_NOTE = "Intervals are 95 % Wilson score intervals; trials count as independent."
CENTER_NOTE = (
    "Distance: dynamic time warping over the locations that players chose, mean along the optimal path, in units in "
    "which the image is 2 wide. center and random: the distance if all fixations of the player were at the center, or "
    "at uniformly random places. Most fixations lie near the center, so the center baseline scores deceptively well: "
    "only a distance below that of the center shows that scanpaths are alike."
)
_MAX_PAIRS, _PAIRS_AT_ONCE, _RANDOM_PATHS = 10_000, 1000, 10
_Z = 1.959963984540054  # 97.5 % quantile of the normal distribution

Pair = tuple[Trial, Trial]


class Group(NamedTuple):
    """Trials of one player at one task."""

    name: str
    """The player, followed by the task where a player has several."""
    player: str
    task: str
    trials: list[Trial]

    @property
    def is_baseline(self) -> bool:
        """True if the locations were not chosen by a player."""
        return self.trials[0].is_baseline

    @property
    def chosen(self) -> np.ndarray:
        """All chosen locations, float (n, 2)."""
        return np.concatenate([trial.chosen for trial in self.trials])


class Rate(NamedTuple):
    """Success rate with a 95 % Wilson score interval."""

    successes: int
    trials: int
    value: float
    low: float
    high: float


class Similarity(NamedTuple):
    """Distance between the scanpaths of two players, and the distances of two baselines from the second one."""

    player: str
    reference: str
    same_pictures: bool
    """True if trials with the same picture are compared; False for all pairs of trials, as no picture is shared."""
    num_pictures: int
    """Number of pictures of the reference."""
    num_pairs: int
    distance: float
    """Mean over pictures; see :func:`glimpse_gym.play.scanpath_distance.dtw_distances`."""
    standard_error: float
    """Standard error of ``distance`` over pictures; NaN for one picture."""
    center: float
    """The same for as many fixations at the center, in place of the player's."""
    random: float
    """The same for as many fixations at uniformly random locations, in place of the player's."""


@dataclass(frozen=True)
class Comparison:
    """Result of :func:`compare`."""

    groups: list[Group]
    successes: list[Rate]
    """Success rate of each group."""
    seconds: list[float]
    """Median response time of each group; NaN if unknown."""
    accuracies: list[list[Rate]]
    """Accuracies of each group after 1, 2, ... glimpses; empty without labels."""
    similarities: list[Similarity]
    notes: list[str]
    """Caveats for readers of the numbers."""


def compare(trials: Sequence[Trial], seed: int = 0) -> Comparison:
    """Compare players.

    Args:
        trials: of any players and tasks.
        seed: of the random baseline, and of the choice of pairs where there are very many.

    Raises:
        ValueError: no trials.
    """
    if not trials:
        raise ValueError("there are no trials to compare")
    groups = group_trials(trials)
    similarities = list(_similarities(groups, np.random.default_rng(seed)))
    notes = [INTERVAL_NOTE]
    if any(group.task == ATTENTION_MNIST for group in groups):
        notes.append(SELECTION_NOTE)
    if similarities:
        notes.append(CENTER_NOTE)
    return Comparison(
        groups=groups,
        successes=[wilson_rate(sum(t.success for t in group.trials), len(group.trials)) for group in groups],
        seconds=[_median_seconds(group) for group in groups],
        accuracies=[accuracy_curve(group.trials) for group in groups],
        similarities=similarities,
        notes=notes,
    )


def group_trials(trials: Sequence[Trial]) -> list[Group]:
    """Trials by player and task, in the order in which they first appear."""
    members: dict[tuple[str, str], list[Trial]] = {}
    for trial in trials:
        members.setdefault((trial.player, trial.task), []).append(trial)
    players = [player for player, _ in members]
    return [
        Group(player if players.count(player) == 1 else f"{player}, {task}", player, task, found)
        for (player, task), found in members.items()
    ]


def wilson_rate(successes: int, trials: int) -> Rate:
    """Fraction of successes with its 95 % score interval (Wilson, 1927); all NaN without trials.

    Example:
        >>> rate = wilson_rate(8, 10)
        >>> round(rate.low, 4), rate.value, round(rate.high, 4)
        (0.4902, 0.8, 0.9433)
    """
    if not trials:
        return Rate(0, 0, np.nan, np.nan, np.nan)
    p, z2 = successes / trials, _Z**2 / trials
    center = (p + z2 / 2) / (1 + z2)
    half = np.sqrt(z2 * (p * (1 - p) + z2 / 4)) / (1 + z2)
    return Rate(successes, trials, p, max(float(center - half), 0.0), min(float(center + half), 1.0))


def accuracy_curve(trials: Sequence[Trial]) -> list[Rate]:
    """Accuracy of the guesses after 1, 2, ... glimpses, up to the longest trial; empty without labels.

    The answer of a trial that ended earlier stands. A trial without a guess after some glimpse is not counted there.
    """
    trials = [trial for trial in trials if trial.label >= 0]
    if not trials:
        return []
    num_glimpses = max(len(trial.guesses) for trial in trials)
    guesses = np.stack([trial.guesses_after(num_glimpses) for trial in trials])
    right = guesses == np.array([trial.label for trial in trials])[:, None]
    return [wilson_rate(int(r), int(n)) for r, n in zip(right.sum(axis=0), (guesses >= 0).sum(axis=0), strict=True)]


def _median_seconds(group: Group) -> float:
    seconds = np.concatenate([trial.seconds for trial in group.trials])
    known = seconds[~np.isnan(seconds)]
    return float(np.median(known)) if len(known) else np.nan


def _similarities(groups: Sequence[Group], rng: np.random.Generator) -> Iterator[Similarity]:
    """Yield the similarity of each group to each other one and, where a player saw pictures twice, to itself."""
    players = [group for group in groups if not group.is_baseline]
    for first, second in product(players, players):
        if first.player == second.player and first is not second:
            continue
        pairs, same_pictures = matching_pairs(first.trials, second.trials, rng)
        if pairs:
            yield _similarity(first.name, second.name, pairs, same_pictures, rng)


def matching_pairs(
    first: Sequence[Trial], second: Sequence[Trial], rng: np.random.Generator
) -> tuple[list[Pair], bool]:
    """Pairs of different trials whose scanpaths can be compared, at most 10,000 of them, drawn at random.

    Returns:
        Pairs with the same picture, and True. If there is none: all pairs of trials of two players whose images are of
        one size and kind, and False.
    """
    usable, others = ([trial for trial in trials if len(trial.chosen)] for trials in (first, second))
    by_picture: dict[str, list[Trial]] = {}
    for trial in others:
        by_picture.setdefault(trial.picture, []).append(trial)
    pairs = [(a, b) for a in usable for b in by_picture.get(a.picture, []) if a is not b]
    same_pictures = bool(pairs)
    if not same_pictures and first[0].player != second[0].player:
        sizes = len(usable), len(others)
        chosen = rng.choice(sizes[0] * sizes[1], min(sizes[0] * sizes[1], _MAX_PAIRS), replace=False)
        found = [(usable[i // sizes[1]], others[i % sizes[1]]) for i in np.sort(chosen)]
        pairs = [(a, b) for a, b in found if a.image.shape == b.image.shape and a.image_moves == b.image_moves]
    if len(pairs) > _MAX_PAIRS:
        pairs = [pairs[i] for i in np.sort(rng.choice(len(pairs), _MAX_PAIRS, replace=False))]
    return pairs, same_pictures


def _similarity(
    player: str, reference: str, pairs: Sequence[Pair], same_pictures: bool, rng: np.random.Generator
) -> Similarity:
    references = [b.chosen for _, b in pairs]
    lengths = [len(a.chosen) for a, _ in pairs]
    _, picture = np.unique([b.picture for _, b in pairs], return_inverse=True)
    counts = np.bincount(picture)

    def means(paths: Sequence[np.ndarray]) -> np.ndarray:
        return np.bincount(picture, _distances(paths, references)) / counts  # of each picture

    distances = means([a.chosen for a, _ in pairs])
    error = distances.std(ddof=1) / np.sqrt(len(counts)) if len(counts) > 1 else np.nan
    at_random = [means([random_path(n, rng) for n in lengths]).mean() for _ in range(_RANDOM_PATHS)]
    return Similarity(
        player=player,
        reference=reference,
        same_pictures=same_pictures,
        num_pictures=len(counts),
        num_pairs=len(pairs),
        distance=float(distances.mean()),
        standard_error=float(error),
        center=float(means([center_path(n) for n in lengths]).mean()),
        random=float(np.mean(at_random)),
    )


def _distances(first: Sequence[np.ndarray], second: Sequence[np.ndarray]) -> np.ndarray:
    starts = range(0, len(first), _PAIRS_AT_ONCE)
    parts = [dtw_distances(first[i : i + _PAIRS_AT_ONCE], second[i : i + _PAIRS_AT_ONCE]) for i in starts]
    return np.concatenate(parts)
