"""Statistics of few runs, against loops, SciPy and closed forms. S seeds, M tasks, P thresholds."""

import itertools
import math
from functools import partial

import numpy as np
import pytest
import scipy.stats

from glimpse_gym.agents.benchmark.statistics import (
    bootstrap,
    iqm,
    mean,
    median,
    optimality_gap,
    performance_profile,
    probability_of_improvement,
)

THRESHOLDS = np.array([-0.1, 0.0, 0.25, 0.5, 0.9, 1.0])


def random_scores(numbers_of_runs, seed=0):
    """One array of scores for each task, with ties."""
    rng = np.random.default_rng(seed)
    return [np.round(rng.random(number), 1) for number in numbers_of_runs]


UNEQUAL = random_scores((5, 3, 8, 1))


# ------------------------------------------------------------------------------------------ point estimates


@pytest.mark.parametrize("num_runs", range(1, 14))
def test_iqm_is_scipys_trimmed_mean(num_runs):
    scores = np.random.default_rng(num_runs).normal(size=(num_runs, 3))
    assert iqm(list(scores.T)) == pytest.approx(scipy.stats.trim_mean(scores, 0.25, axis=None), abs=1e-12)
    assert iqm([scores[:, 0]]) == pytest.approx(scipy.stats.trim_mean(scores[:, 0], 0.25), abs=1e-12)


def test_iqm_leaves_out_the_floor_of_a_quarter_at_each_end():
    assert iqm([np.array([9.0, 1.0, 2.0])]) == 4  # of 3 runs, none
    assert iqm([np.array([9.0, 1.0, 2.0, 0.0])]) == 1.5  # of 4 runs, one at each end
    assert iqm([np.array([9.0, 1.0, 2.0, 0.0, 3.0])]) == 2  # of 5 runs, one at each end


def test_iqm_pools_tasks_with_unequal_numbers_of_runs():
    assert iqm(UNEQUAL) == pytest.approx(scipy.stats.trim_mean(np.concatenate(UNEQUAL), 0.25))


def test_mean_and_median_are_over_tasks_of_means_over_runs():
    scores = [np.array([0.0, 1.0]), np.array([0.2]), np.array([0.9, 0.9, 0.9])]
    assert mean(scores) == pytest.approx((0.5 + 0.2 + 0.9) / 3)
    assert median(scores) == pytest.approx(0.5)


def test_optimality_gap_counts_each_run_and_no_score_above_the_best():
    scores = [np.array([0.0, 2.0]), np.array([0.4])]
    assert optimality_gap(scores) == pytest.approx((1 + 0 + 0.6) / 3)
    assert optimality_gap(scores, best=2) == pytest.approx((2 + 0 + 1.6) / 3)


def test_performance_profile_is_the_fraction_above_each_threshold():
    pooled = [score for task in UNEQUAL for score in task]
    expected = [sum(score > threshold for score in pooled) / len(pooled) for threshold in THRESHOLDS]
    assert performance_profile(UNEQUAL, THRESHOLDS) == pytest.approx(expected)
    # A score equal to the threshold does not count.
    assert performance_profile([np.array([0.5, 0.5, 1.0])], np.array([0.5])) == pytest.approx([1 / 3])


def loop_probability(x, y):
    """The definition, one pair of runs at a time."""
    by_task = []
    for ours, theirs in zip(x, y, strict=True):
        points = [1.0 if a > b else 0.5 if a == b else 0.0 for a, b in itertools.product(ours, theirs)]
        by_task.append(sum(points) / len(points))
    return sum(by_task) / len(by_task)


def test_probability_of_improvement_is_that_of_a_loop_over_pairs():
    other = random_scores((2, 6, 3, 4), seed=1)
    assert any(np.intersect1d(x, y).size for x, y in zip(UNEQUAL, other, strict=True)), "no ties"
    found = probability_of_improvement(UNEQUAL, other)
    assert found == pytest.approx(loop_probability(UNEQUAL, other))
    assert probability_of_improvement(other, UNEQUAL) == pytest.approx(1 - found)


def test_probability_of_improvement_is_the_mann_whitney_statistic_over_the_pairs():
    x, y = random_scores((7,), seed=2), random_scores((5,), seed=3)
    statistic = scipy.stats.mannwhitneyu(x[0], y[0], alternative="greater").statistic
    assert probability_of_improvement(x, y) == pytest.approx(statistic / 35)


def test_probability_of_improvement_over_itself_is_a_half():
    assert probability_of_improvement(UNEQUAL, UNEQUAL) == pytest.approx(0.5)


def test_probability_of_improvement_needs_the_same_tasks():
    with pytest.raises(ValueError, match="compared in the same tasks, got scores in 4 and in 3"):
        probability_of_improvement(UNEQUAL, UNEQUAL[:3])


# ------------------------------------------------------------------------------------------ bootstrap


def loop_bootstrap(statistic, *samples, seed, num_resamples):
    """Resample one run at a time, with the indices that :func:`bootstrap` draws; sorted values of the statistic."""
    rng = np.random.default_rng(seed)
    indices = [[rng.integers(len(task), size=(len(task), num_resamples)) for task in scores] for scores in samples]
    values = []
    for r in range(num_resamples):
        resampled = [
            [np.array([task[i] for i in drawn[:, r]]) for task, drawn in zip(scores, of_tasks, strict=True)]
            for scores, of_tasks in zip(samples, indices, strict=True)
        ]
        values.append(statistic(*resampled))
    return np.percentile(values, [2.5, 97.5], axis=0)


@pytest.mark.parametrize(
    "statistic",
    [iqm, mean, median, optimality_gap, partial(performance_profile, thresholds=THRESHOLDS)],
    ids=["iqm", "mean", "median", "gap", "profile"],
)
def test_bootstrap_is_that_of_a_loop_over_resamples(statistic):
    found = bootstrap(statistic, UNEQUAL, seed=5, num_resamples=60)
    low, high = loop_bootstrap(statistic, UNEQUAL, seed=5, num_resamples=60)
    assert found.value == pytest.approx(statistic(UNEQUAL))
    assert (found.low, found.high) == (pytest.approx(low), pytest.approx(high))
    assert np.any(found.low < found.high)


def test_bootstrap_of_two_samples_resamples_each():
    other = random_scores((2, 6, 3, 4), seed=1)
    found = bootstrap(probability_of_improvement, UNEQUAL, other, seed=5, num_resamples=60)
    low, high = loop_bootstrap(loop_probability, UNEQUAL, other, seed=5, num_resamples=60)
    assert (found.low, found.high) == (pytest.approx(low), pytest.approx(high))
    assert found.low < found.value < found.high


def test_bootstrap_draws_runs_within_their_task_and_with_their_whole_curve():
    curves = [np.array([[0.0, 10.0], [1.0, 11.0], [2.0, 12.0]]), np.array([[100.0, 200.0], [101.0, 201.0]])]
    seen = []

    def statistic(scores):
        seen.append(scores)
        return mean(scores)

    found = bootstrap(statistic, curves, num_resamples=50)
    resamples, original = seen
    assert [task.shape for task in resamples] == [(3, 50, 2), (2, 50, 2)]
    assert [task.shape for task in original] == [(3, 2), (2, 2)]
    for task, runs in zip(resamples, curves, strict=True):
        drawn = task.reshape(-1, 2)
        assert {tuple(run) for run in drawn} == {tuple(run) for run in runs}
    assert np.shape(found.low) == np.shape(found.high) == (2,)
    # The second column is a constant above the first one within each task, so the intervals differ by a constant.
    assert found.low[1] - found.low[0] == pytest.approx(found.high[1] - found.high[0])


def test_matrix_is_given_by_its_columns():
    matrix = np.random.default_rng(0).random((4, 3))
    assert bootstrap(mean, list(matrix.T)).value == pytest.approx(matrix.mean())


def test_same_seed_same_interval_and_other_seed_another():
    first, again, other = (bootstrap(iqm, UNEQUAL, seed=seed) for seed in (0, 0, 1))
    assert first == again
    assert first.value == other.value
    assert (first.low, first.high) != (other.low, other.high)


def test_higher_confidence_widens_the_interval():
    scores = [np.random.default_rng(0).normal(size=20)]
    narrow, wide = (bootstrap(mean, scores, confidence=confidence) for confidence in (0.5, 0.99))
    assert wide.low < narrow.low < narrow.high < wide.high


def test_interval_of_the_mean_is_that_of_the_normal_approximation():
    scores = np.random.default_rng(0).normal(size=400)
    found = bootstrap(mean, [scores], num_resamples=4000)
    half_width = 1.96 * scores.std() / math.sqrt(400)
    assert found.low == pytest.approx(scores.mean() - half_width, abs=0.1 * half_width)
    assert found.high == pytest.approx(scores.mean() + half_width, abs=0.1 * half_width)


@pytest.mark.parametrize(("num_runs", "low", "high"), [(5, 0.85, 0.95), (20, 0.91, 0.98)])
def test_coverage_of_the_interval_of_normal_scores(num_runs, low, high):
    rng = np.random.default_rng(0)
    offsets = np.array([0.0, 1.0, 5.0])  # by task; the true IQM of their mixture is unknown, so one task is tested
    covered = []
    for i in range(400):
        estimate = bootstrap(iqm, [rng.normal(size=num_runs)], seed=i, num_resamples=500)
        covered.append(estimate.low <= 0 <= estimate.high)
        tasks = list((rng.normal(size=(num_runs, 3)) + offsets).T)
        estimate = bootstrap(mean, tasks, seed=i, num_resamples=500)
        covered.append(estimate.low <= 2 <= estimate.high)
    assert low < np.mean(covered) < high


def test_single_runs_give_an_interval_without_width():
    found = bootstrap(iqm, [np.array([0.3]), np.array([0.5])])
    assert found == (pytest.approx(0.4),) * 3


@pytest.mark.parametrize(
    ("scores", "options", "message"),
    [
        ([], {}, "there are no scores: pass one array for each task"),
        ([np.zeros(2), np.zeros(0)], {}, r"at least one run, got shape \(0,\) for task 1"),
        ([0.5], {}, r"at least one run, got shape \(\) for task 0"),
        ([np.array([0.1, np.nan])], {}, "scores must be finite, got nan in task 0"),
        ([np.zeros(2), np.array([np.inf])], {}, "scores must be finite, got inf in task 1"),
        ([np.zeros(2)], {"confidence": 95}, "confidence must be between 0 and 1, such as 0.95, got 95"),
        ([np.zeros(2)], {"num_resamples": 0}, "num_resamples must be at least 1, got 0"),
    ],
)
def test_bootstrap_refuses(scores, options, message):
    with pytest.raises(ValueError, match=message):
        bootstrap(iqm, scores, **options)
