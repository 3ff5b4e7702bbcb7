"""Dynamic time warping of scanpaths, against hand-made cases and all warping paths, one by one."""

import math

import numpy as np
import pytest

from glimpse_gym.play.scanpath_distance import center_path, dtw_distance, dtw_distances, random_path


def warping_paths(n, m):
    """All warping paths from (0, 0) to (n-1, m-1), by recursion."""
    if n == m == 1:
        return [[(0, 0)]]
    before = [(n - 1, m - 1), (n - 1, m), (n, m - 1)]
    return [[*path, (n - 1, m - 1)] for i, j in before if i > 0 and j > 0 for path in warping_paths(i, j)]


def slow_distance(a, b):
    """Least sum of distances over all warping paths; of equal sums, the fewest pairs. Returns the mean."""
    sums = [(sum(math.dist(a[i], b[j]) for i, j in path), len(path)) for path in warping_paths(len(a), len(b))]
    least = min(total for total, _ in sums)
    length = min(count for total, count in sums if total <= least + 1e-12)
    return least / length


def points(*xs):
    """A scanpath along the horizontal middle line."""
    return np.array([(x, 0.0) for x in xs])


def test_number_of_warping_paths():
    assert [len(warping_paths(n, n)) for n in (1, 2, 3, 4)] == [1, 3, 13, 63]  # central Delannoy numbers


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        *((points(0.5), points(0.5), 0.0), (points(-1.0), points(1.0), 2.0)),
        (points(0.0, 1.0), points(0.0, 1.0), 0.0),
        (points(0.0, 1.0), points(0.0, 0.0, 0.0, 1.0, 1.0), 0.0),  # a longer stay costs nothing
        (points(0.0, 1.0), points(1.0, 0.0), 1.0),  # the order counts: (0, 1) and (1, 0) are paired
        (points(0.0), points(0.0, 0.5, 1.0), 0.5),  # one fixation is paired with all: (0 + 0.5 + 1) / 3
        (points(-1.0, 0.0, 1.0), points(-1.0, 1.0), 1 / 3),  # the middle one is paired with either end
        (np.array([[0.0, 0.0]]), np.array([[0.3, 0.4]]), 0.5),  # Euclidean
    ],
)
def test_hand_made_cases(a, b, expected):
    assert dtw_distance(a, b) == pytest.approx(expected, abs=1e-12)
    assert dtw_distance(b, a) == dtw_distance(a, b)


@pytest.mark.parametrize("kind", ["uniform", "grid"])
def test_equals_the_search_over_all_warping_paths(kind):
    rng = np.random.default_rng(0)
    for _ in range(60):
        n, m = rng.integers(1, 6, 2)
        if kind == "uniform":
            a, b = rng.uniform(-1, 1, (n, 2)), rng.uniform(-1, 1, (m, 2))
        else:  # many equal sums
            a, b = rng.integers(-1, 2, (n, 2)) * [1.0, 0.0], rng.integers(-1, 2, (m, 2)) * [1.0, 0.0]
        assert dtw_distance(a, b) == pytest.approx(slow_distance(a, b), abs=1e-12)
        assert dtw_distance(b, a) == dtw_distance(a, b)


def test_a_batch_of_different_lengths_equals_single_pairs():
    rng = np.random.default_rng(1)
    first = [rng.uniform(-1, 1, (n, 2)) for n in rng.integers(1, 13, 50)]
    second = [rng.uniform(-1, 1, (n, 2)).astype(np.float32) for n in rng.integers(1, 13, 50)]
    batch = dtw_distances(first, second)
    assert batch.dtype == np.float64
    np.testing.assert_array_equal(batch, [dtw_distance(a, b) for a, b in zip(first, second, strict=True)])


def test_no_pairs():
    assert dtw_distances([], []).shape == (0,)


def test_scanpath_without_fixations():
    with pytest.raises(ValueError, match="at least one fixation"):
        dtw_distances([points(0.0), np.zeros((0, 2))], [points(0.0), points(0.0)])


def test_baselines():
    np.testing.assert_array_equal(center_path(3), np.zeros((3, 2)))
    places = random_path(4000, np.random.default_rng(0))
    assert places.shape == (4000, 2)
    assert -1 <= places.min() < -0.99
    assert 0.99 < places.max() <= 1
    np.testing.assert_allclose(places.mean(axis=0), 0, atol=0.04)
