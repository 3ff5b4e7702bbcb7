"""Comparison of players, with trials made by hand."""

import math

import numpy as np
import pytest

from glimpse_gym.play.attention_mnist import SELECTION_NOTE
from glimpse_gym.play.attention_mnist import TASK as ATTENTION_MNIST
from glimpse_gym.play.compare import (
    CENTER_NOTE,
    INTERVAL_NOTE,
    accuracy_curve,
    compare,
    group_trials,
    matching_pairs,
    wilson_rate,
)
from hand_made_trials import TASK, make_trial, picture

RNG = np.random.default_rng(0)


def similarity(comparison, player, reference):
    (found,) = [s for s in comparison.similarities if (s.player, s.reference) == (player, reference)]
    return found


# ---------------------------------------------------------------- intervals


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [  # published values: Newcombe, 1998, table I, method 3
        *((81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)),
        (29, 29, 0.8830, 1.0),
    ],
)
def test_wilson_interval(successes, trials, low, high):
    rate = wilson_rate(successes, trials)
    assert (rate.successes, rate.trials) == (successes, trials)
    assert rate.value == successes / trials
    assert (rate.low, rate.high) == pytest.approx((low, high), abs=6e-5)


def test_wilson_interval_solves_its_equation():
    """Its ends are the p with |p - k/n| = z sqrt(p (1 - p) / n)."""
    for k, n in ((3, 10), (50, 60), (1, 1000)):
        rate = wilson_rate(k, n)
        for p in (rate.low, rate.high):
            assert abs(p - k / n) == pytest.approx(1.959963985 * math.sqrt(p * (1 - p) / n))


def test_rate_without_trials():
    rate = wilson_rate(0, 0)
    assert (rate.successes, rate.trials) == (0, 0)
    assert np.isnan([rate.value, rate.low, rate.high]).all()


# ---------------------------------------------------------------- accuracy


def test_accuracy_counts_the_guesses_that_there_are():
    trials = [
        make_trial(guesses=(1, 0, 1)),
        make_trial(guesses=(-1, 1, 1)),  # no first guess
        make_trial(guesses=(1,)),  # answered after one glimpse, and right ever after
        make_trial(guesses=(-1, 2)),  # answered after two glimpses, wrong ever after
    ]
    counts = [(rate.successes, rate.trials) for rate in accuracy_curve(trials)]
    assert counts == [(2, 2), (2, 4), (3, 4)]


def test_accuracy_needs_labels():
    assert accuracy_curve([make_trial(label=-1, guesses=(-1, -1))]) == []


# ---------------------------------------------------------------- groups and pairs


def test_groups_are_named_by_their_player_and_where_needed_by_their_task():
    trials = [make_trial("Ann"), make_trial("Ben"), make_trial("Ann", task="other"), make_trial("Ben")]
    groups = group_trials(trials)
    assert [group.name for group in groups] == [f"Ann, {TASK}", "Ben", "Ann, other"]
    assert [len(group.trials) for group in groups] == [1, 2, 1]


def test_pairs_share_their_picture():
    first = [make_trial("Ann", number) for number in (1, 2, 3, 3)]
    second = [make_trial("Ben", number) for number in (3, 4, 2)]
    pairs, same = matching_pairs(first, second, RNG)
    assert same
    assert pairs == [(first[1], second[2]), (first[2], second[0]), (first[3], second[0])]


def test_pairs_of_one_player_are_different_trials():
    trials = [make_trial("Ann", number) for number in (1, 2, 1)]
    pairs, _ = matching_pairs(trials, trials, RNG)
    assert pairs == [(trials[0], trials[2]), (trials[2], trials[0])]
    assert matching_pairs(trials[:2], trials[:2], RNG) == ([], False)


def test_all_pairs_if_no_picture_is_shared():
    first, second = [make_trial("Ann", n) for n in (1, 2)], [make_trial("Ben", n) for n in (3, 4, 5)]
    pairs, same = matching_pairs(first, second, RNG)
    assert not same
    assert pairs == [(a, b) for a in first for b in second]


def test_images_of_other_sizes_and_kinds_are_never_paired():
    first = [make_trial("Ann", 1)]
    assert matching_pairs(first, [make_trial("Ben", image=picture(2, (9, 9)))], RNG)[0] == []
    assert matching_pairs(first, [make_trial("Ben", 3, image_moves=True)], RNG)[0] == []


def test_trials_without_chosen_locations_are_left_out():
    one_glimpse = make_trial("Ann", 1, path=[(0, 0)], guesses=(1,))
    assert matching_pairs([one_glimpse], [make_trial("Ben", 1)], RNG)[0] == []
    clicked = make_trial("Ann", 1, path=[(0, 0)], guesses=(1,), num_given=0)
    assert len(matching_pairs([clicked], [make_trial("Ben", 1)], RNG)[0]) == 1


def test_a_large_number_of_pairs_is_sampled():
    first, second = [make_trial("Ann", 1)] * 150, [make_trial("Ben", 1)] * 100
    pairs, same = matching_pairs(first, second, RNG)
    assert same
    assert len(pairs) == 10_000
    others = [make_trial("Ben", 2)] * 100
    pairs, same = matching_pairs(first, others, RNG)
    assert not same
    assert len(pairs) == 10_000


# ---------------------------------------------------------------- similarity


def test_the_given_first_glimpse_is_not_compared():
    first = make_trial("Ann", 1, path=[(-1, -1), (0.5, 0.0)])
    second = make_trial("Ben", 1, path=[(1, 1), (0.5, 0.25)])
    found = similarity(compare([first, second]), "Ann", "Ben")
    assert found.same_pictures
    assert (found.num_pairs, found.num_pictures) == (1, 1)
    assert found.distance == pytest.approx(0.25)
    assert np.isnan(found.standard_error)
    assert found.center == pytest.approx(math.hypot(0.5, 0.25))


def test_similarity_is_a_mean_over_pictures():
    def at(player, number, x):
        return make_trial(player, number, path=[(0, 0), (x, 0)])

    # Picture 1: distances 0.2 and 0.4 of two trials; picture 2: 0.7.
    trials = [at("Ann", 1, 0.2), at("Ann", 1, 0.4), at("Ann", 2, 0.7), at("Ben", 1, 0.0), at("Ben", 2, 0.0)]
    found = similarity(compare(trials), "Ann", "Ben")
    assert (found.num_pairs, found.num_pictures) == (3, 2)
    assert found.distance == pytest.approx((0.3 + 0.7) / 2)
    assert found.standard_error == pytest.approx(0.2)  # of 0.3 and 0.7: deviation 0.2828 / sqrt(2)
    assert found.center == 0  # Ben always looks at the center, and so does the baseline
    assert similarity(compare(trials), "Ben", "Ann").center == pytest.approx(found.distance)


def test_random_baseline_is_seeded_and_near_its_mean():
    trials = [make_trial(player, n, path=[(0, 0), (0, 0)]) for player in ("Ann", "Ben") for n in range(200)]
    first, again, other = (similarity(compare(trials, seed), "Ann", "Ben").random for seed in (0, 0, 1))
    assert first == again != other
    # Mean distance of a uniform place in a square of side 2 from its center: (sqrt(2) + asinh(1)) / 3.
    assert first == pytest.approx((math.sqrt(2) + math.asinh(1)) / 3, abs=0.02)


def test_center_scores_well_where_everybody_looks_near_the_center():
    rng = np.random.default_rng(0)
    trials = [
        make_trial(player, n, path=np.clip(rng.normal(0, 0.2, (7, 2)), -1, 1), guesses=[1] * 7)
        for player in ("Ann", "Ben")
        for n in range(20)
    ]
    comparison = compare(trials)
    found = similarity(comparison, "Ann", "Ben")
    assert found.center < found.random / 2
    assert CENTER_NOTE in comparison.notes


def test_baselines_of_an_agent_are_not_compared_as_scanpaths():
    trials = [make_trial("Ann", 1), make_trial("agent", 1), make_trial("agent, random", 1, is_baseline=True)]
    pairs = [(s.player, s.reference) for s in compare(trials).similarities]
    assert pairs == [("Ann", "agent"), ("agent", "Ann")]


def test_a_player_is_not_compared_with_itself_at_another_task():
    trials = [make_trial("Ann", 1), make_trial("Ann", 1, task="other")]
    assert compare(trials).similarities == []


# ---------------------------------------------------------------- all together


def test_compare():
    trials = [make_trial("Ann", 1, seconds=np.array([np.nan, 2.0])), make_trial("Ann", 2, guesses=(0, 0))]
    trials += [make_trial("Ben", 1, seconds=np.full(2, np.nan))]
    comparison = compare(trials)
    assert [group.name for group in comparison.groups] == ["Ann", "Ben"]
    assert [(rate.successes, rate.trials) for rate in comparison.successes] == [(1, 2), (1, 1)]
    assert comparison.seconds[0] == 0.5  # median of 2.0, 0.5, 0.5
    assert np.isnan(comparison.seconds[1])
    assert [[(r.successes, r.trials) for r in curve] for curve in comparison.accuracies] == [
        [(0, 1), (1, 2)],
        [(0, 0), (1, 1)],
    ]
    assert comparison.notes == [INTERVAL_NOTE, CENTER_NOTE]


def test_notes_tell_that_attention_mnist_left_out_trials():
    assert SELECTION_NOTE in compare([make_trial(task=ATTENTION_MNIST)]).notes
    assert SELECTION_NOTE not in compare([make_trial()]).notes


def test_nothing_to_compare():
    with pytest.raises(ValueError, match="no trials"):
        compare([])
