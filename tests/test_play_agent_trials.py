"""Agents at the episodes and images of others."""

import dataclasses

import numpy as np
import pytest

from glimpse_gym.agents import evaluation
from glimpse_gym.play.agent_player import AgentPlayer
from glimpse_gym.play.agent_trials import agent_trials_of_images, agent_trials_of_records
from glimpse_gym.play.trials import picture_key, trial_of_record
from hand_made_trials import make_trial
from recordings import catch_env, play

AGENT, CATCH_AGENT = "ram-mnist", "ram-catch"
CONDITIONS = {AGENT: False, f"{AGENT}, random locations": True, f"{AGENT}, fixed at center": True}


@pytest.fixture(scope="module")
def records():
    player = AgentPlayer(AGENT)
    return [player.play("glimpse_gym/MNIST-v0", {"split": "test"}, seed) for seed in (5, 3, 11)]


@pytest.fixture(scope="module")
def trials(records):
    people = [dataclasses.replace(record, player="Ann", is_agent=False) for record in (*records, records[0])]
    return agent_trials_of_records(AGENT, people)


def of_player(trials, player):
    return [trial for trial in trials if trial.player == player]


def test_every_episode_is_played_once_under_each_condition(trials, records):
    assert {trial.player: trial.is_baseline for trial in trials} == CONDITIONS
    for player in CONDITIONS:
        found = of_player(trials, player)
        assert [trial.picture for trial in found] == [picture_key(record.image) for record in records]
        assert [trial.label for trial in found] == [record.label for record in records]
        assert {trial.task for trial in found} == {trial_of_record(records[0]).task}


def test_learned_locations_are_those_of_single_episodes(trials, records):
    for trial, record in zip(of_player(trials, AGENT), records, strict=True):
        np.testing.assert_array_equal(trial.locations[0], record.locations[0])
        np.testing.assert_allclose(trial.locations, record.fixations, atol=1e-4)
        np.testing.assert_array_equal(trial.guesses, record.guesses)
        np.testing.assert_allclose(trial.guess_probs, record.guess_probs, atol=1e-3)
        assert trial.success == record.success


def test_baselines_of_locations(trials, records):
    for trial in of_player(trials, f"{AGENT}, fixed at center"):
        np.testing.assert_array_equal(trial.locations, np.zeros((7, 2)))
    at_random = of_player(trials, f"{AGENT}, random locations")
    for trial, record in zip(at_random, records, strict=True):
        np.testing.assert_array_equal(trial.locations[0], record.locations[0])
        assert np.ptp(trial.chosen, axis=0).min() > 0.5
    assert not np.array_equal(at_random[0].chosen, at_random[1].chosen)


def test_catch():
    record = play(catch_env(), seed=4)
    trials = agent_trials_of_records(CATCH_AGENT, [record])
    assert len(trials) == 3
    assert {trial.picture for trial in trials} == {trial_of_record(record).picture}
    for trial in trials:
        assert trial.image_moves
        assert trial.label == -1
        np.testing.assert_array_equal(trial.guesses, [-1] * 5)
        assert trial.image.shape == record.image.shape


def test_episodes_of_other_envs_are_skipped(records):
    mixed = [play(catch_env(), seed=4), records[0]]
    assert len(agent_trials_of_records(AGENT, mixed)) == 3


def test_agent_that_fits_no_episode():
    with pytest.raises(ValueError, match=r"ram-mnist cannot play the recorded episodes: the agent was made for"):
        agent_trials_of_records(AGENT, [play(catch_env(), seed=4)])


def test_no_records():
    assert agent_trials_of_records(AGENT, []) == []


def test_images(records):
    others = [make_trial(image=r.image, label=r.label, task="people") for r in (*records, records[1])]
    trials = agent_trials_of_images(AGENT, others, seed=3)
    assert {trial.player: trial.is_baseline for trial in trials} == CONDITIONS
    learned = of_player(trials, AGENT)
    assert [trial.label for trial in learned] == [record.label for record in records]
    assert [trial.picture for trial in learned] == [picture_key(record.image) for record in records]
    assert {trial.task for trial in trials} == {"people"}
    again = agent_trials_of_images(AGENT, others, seed=3)
    np.testing.assert_array_equal(again[0].locations, trials[0].locations)


@pytest.mark.parametrize("agent", ["ram-cluttered60", CATCH_AGENT])
def test_agents_of_other_images(agent, records):
    others = [make_trial(image=record.image, label=record.label) for record in records]
    with pytest.raises(ValueError, match=r"28 x 28 pixels, such as ram-mnist"):
        agent_trials_of_images(agent, others)


def test_steps_that_take_too_much_memory_are_refused(monkeypatch):
    record = play(catch_env(), seed=4)
    num_bytes = 5 * (evaluation._BYTES_PER_STEP + 8 * 3)
    monkeypatch.setattr(evaluation, "MAX_BYTES", num_bytes)
    assert len(agent_trials_of_records(CATCH_AGENT, [record])) == 3
    monkeypatch.setattr(evaluation, "MAX_BYTES", num_bytes - 1)
    with pytest.raises(ValueError, match=f"num_glimpses=5: the steps of 1 episodes take {num_bytes} bytes"):
        agent_trials_of_records(CATCH_AGENT, [record])
