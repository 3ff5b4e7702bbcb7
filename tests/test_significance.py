"""Significance of differences, against numbers computed by hand. Errors are in percent."""

import math

import pytest

from glimpse_gym.agents.experiments.significance import binomial_standard_error, is_below, standard_error_of_mean


@pytest.mark.parametrize(
    ("error", "num_episodes", "expected"), [(20.0, 10_000, 0.4), (50.0, 100, 5.0), (1.0, 9_900, 0.1), (0.0, 7, 0.0)]
)
def test_binomial_standard_error(error, num_episodes, expected):
    assert binomial_standard_error(error, num_episodes) == pytest.approx(expected)


def test_standard_error_adds_the_deviation_between_seeds_and_the_choice_of_images():
    # sd = 0.3 sqrt(2), sd / sqrt(2) = 0.3; the images 0.4.
    assert standard_error_of_mean([19.7, 20.3], 10_000) == pytest.approx(0.5)
    # The same from 40,000 images: 0.2.
    assert standard_error_of_mean([19.7, 20.3], 40_000) == pytest.approx(math.sqrt(0.13))
    # sd = sqrt(2 * 3 / 2) = sqrt(3), sd / sqrt(3) = 1.
    assert standard_error_of_mean([20 - math.sqrt(3), 20, 20 + math.sqrt(3)], 10_000) == pytest.approx(math.sqrt(1.16))


def test_more_seeds_do_not_reduce_the_part_of_the_images():
    assert standard_error_of_mean([20.0] * 100, 10_000) == pytest.approx(0.4)


def test_standard_error_of_less_than_two_seeds_is_unknown():
    assert standard_error_of_mean([2.0], 10_000) == math.inf
    assert standard_error_of_mean([], 10_000) == math.inf


@pytest.mark.parametrize(("published", "expected"), [(22.61, True), (22.59, False), (20.0, False), (10.0, False)])
def test_below_is_more_than_two_standard_errors_of_the_difference(published, expected):
    # 0.5 of ours and 1.2 of the published error are 1.3 of the difference.
    spread = 0.3 * 1.5**0.5  # sd / sqrt(3) is 0.3
    assert is_below([20 - spread * 2**0.5, 20.0, 20 + spread * 2**0.5], 10_000, published, 1.2) == expected


def test_less_than_three_seeds_are_never_below():
    for errors in ([], [0.0], [0.0, 0.0]):
        assert not is_below(errors, 10_000, 99.0, 0.1)
    assert is_below([0.0, 0.0, 0.0], 10_000, 99.0, 0.1)
