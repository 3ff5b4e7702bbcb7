"""A person's game: phases, keys, score and opponent, without a window."""

import numpy as np
import pytest

from glimpse_gym.play.episode import Episode, PlayEnv
from glimpse_gym.play.episode_record import RecordError
from glimpse_gym.play.game import Game, GameSettings


@pytest.fixture(scope="module")
def digits():
    return PlayEnv("glimpse_gym/MNIST-v0", {"split": "validation", "num_glimpses": 3})


@pytest.fixture(scope="module")
def catch():
    return PlayEnv("glimpse_gym/Catch-v0", {"num_glimpses": 5})


def make_game(env, **kwargs):
    settings = {name: kwargs.pop(name) for name in ("num_episodes", "guess_every_glimpse", "pace") if name in kwargs}
    game = Game(lambda seed: Episode(env, seed), GameSettings(**settings), **kwargs)
    game.paused = False
    return game


def true_label(env, seed):
    """Label of an episode, found by playing it."""
    episode = Episode(env, seed)
    episode.answer(0)
    return episode.record("oracle").label


# ---------------------------------------------------------------------------------------------------- digits


def test_looks_then_an_answer(digits):
    game = make_game(digits)
    assert game.phase == "look"
    game.point((0.5, -0.25))
    game.click()
    assert np.allclose(game.episode.observation["location"], (0.5, -0.25))
    game.click()
    assert game.phase == "answer"
    game.click()  # no glimpse is left
    assert game.episode.num_glimpses == 3
    game.press("4")
    assert game.phase == "review"
    assert game.records[0].num_glimpses == 3
    assert game.records[0].choices[-1] == 4


def test_an_early_answer_counts_the_glimpses_taken(digits):
    game = make_game(digits)
    game.press("4")
    assert game.phase == "review"
    assert game.records[0].num_glimpses == 1


def test_score_and_streak(digits):
    labels = [true_label(digits, seed) for seed in range(3)]
    game = make_game(digits)
    for label in (labels[0], labels[1], (labels[2] + 1) % 10):
        game.press(str(label))
        game.press("space")
    assert (game.score.successes, game.score.episodes) == (2, 3)
    assert (game.score.streak, game.score.best_streak) == (0, 2)


def test_episodes_have_consecutive_seeds_and_end(digits):
    game = make_game(digits, num_episodes=2)
    for _ in range(2):
        assert not game.finished
        game.press("1")
        game.press("return")
    assert game.finished
    assert [record.seed for record in game.records] == [0, 1]


def test_a_guess_after_every_glimpse(digits):
    game = make_game(digits, guess_every_glimpse=True)
    assert game.phase == "guess"
    game.click()  # a guess is due first
    assert game.episode.num_glimpses == 1
    game.press("3")
    assert game.phase == "look"
    game.press("5")  # the guess stands
    game.click()
    game.press("7")
    game.click()
    assert game.phase == "answer"
    game.press("9")
    assert game.records[0].guesses.tolist() == [3, 7, 9]


def test_gaze_by_keys(digits):
    game = make_game(digits)
    game.point((0.0, 0.0))
    game.press("left")
    game.press("w")
    game.tick(0.1)
    assert np.allclose(game.gaze, (-0.09, -0.09))
    game.release("left")
    game.tick(0.1)
    assert np.allclose(game.gaze, (-0.09, -0.18))
    game.press("space")
    assert np.allclose(game.episode.observation["location"], (-0.09, -0.18), atol=1e-6)


def test_gaze_stays_in_the_image_under_a_held_key(digits):
    game = make_game(digits)
    game.press("d")
    for _ in range(100):
        game.tick(0.1)
    assert game.gaze[0] == 1.0


def test_lost_focus_releases_all_keys(digits):
    game = make_game(digits)
    game.press("a")
    game.lose_focus()
    assert not game.is_animated


def test_response_times(digits):
    times = iter([10.0, 12.5, 13.0, 14.0])
    game = make_game(digits, clock=lambda: next(times))
    game.click()
    game.click()
    game.press("1")
    assert game.records[0].seconds.tolist() == [2.5, 0.5, 1.0]


def test_help_and_strip_are_toggled(digits):
    game = make_game(digits)
    game.press("h")
    assert game.show_help
    game.click()
    assert not game.show_help
    assert game.episode.num_glimpses == 1
    game.press("tab")
    assert game.show_strip


def test_help_ignores_keys_that_do_not_close_it(digits):
    game = make_game(digits)
    game.press("h")
    for key in ("4", "tab", "a"):
        game.press(key)
    assert game.phase == "look"
    assert game.show_help
    assert not game.show_strip
    assert not game.is_animated
    game.press("escape")
    assert not game.show_help


def test_version_changes_with_the_picture_only(digits):
    game = make_game(digits)
    game.point((0.1, 0.1))
    version = game.version
    game.point((0.1, 0.1))
    game.tick(0.02)
    assert game.version == version
    game.point((0.2, 0.1))
    assert game.version > version


def test_opponent_plays_the_same_seed(digits):
    class Opponent:
        name = "zero"

        def play(self, seed):
            episode = Episode(PlayEnv(digits.env_id, digits.env_kwargs), seed)
            episode.answer(0)
            return episode.record(self.name)

    game = make_game(digits, opponent=Opponent())
    game.press("0")
    ours, theirs = game.records[0], game.opponent_records[0]
    assert np.array_equal(ours.image, theirs.image)
    assert np.array_equal(ours.locations[0], theirs.locations[0])
    assert game.opponent_score.episodes == 1


def test_an_episode_that_cannot_be_recorded_is_counted_and_the_next_is_tried(digits):
    handed = []

    def on_record(record):
        handed.append(record)
        if len(handed) == 2:
            raise RecordError("disk full")

    game = make_game(digits, on_record=on_record)
    for _ in range(3):
        game.press("1")
        game.press("space")
    assert len(handed) == 3
    assert game.problem == "1 not recorded: disk full"
    assert len(game.records) == 3


# ----------------------------------------------------------------------------------------------------- Catch


def test_catch_waits_for_the_start(catch):
    game = Game(lambda seed: Episode(catch, seed), GameSettings(pace=10))
    game.tick(1.0)
    assert game.episode.num_steps == 0
    game.click()
    game.tick(0.1)
    assert game.episode.num_steps == 1


def test_catch_moves_at_its_pace(catch):
    game = make_game(catch, pace=10)
    assert game.phase == "move"
    game.tick(0.05)
    assert game.episode.num_steps == 0
    game.tick(0.05)
    assert game.episode.num_steps == 1


def test_catch_paddle_follows_taps_and_held_arrows(catch):
    game = make_game(catch, pace=10)
    game.press("left")
    game.release("left")
    game.tick(0.1)
    game.press("right")
    for _ in range(4):
        game.tick(0.1)
    assert game.phase == "review"
    assert game.records[0].choices.tolist() == [0, 2, 2, 2, 2]


def test_catch_paddle_follows_the_latest_of_two_held_arrows(catch):
    game = make_game(catch, pace=10)
    for keys in (("left", "right"), ("left",), ("right",)):
        for key in keys:
            game.press(key)
        game.tick(0.1)
    game.release("right")
    game.tick(0.1)
    game.release("left")
    game.tick(0.1)
    assert game.records[0].choices.tolist() == [2, 0, 2, 0, 1]


def test_catch_keeps_its_pace_whatever_the_frame_rate():
    game = make_game(PlayEnv("glimpse_gym/Catch-v0"), pace=25)
    for _ in range(30):
        game.tick(1 / 60)
    assert game.episode.num_steps == 12


def test_catch_takes_no_burst_of_steps_after_a_delay(catch):
    game = make_game(catch, pace=8)
    game.tick(30.0)
    game.tick(0.01)
    assert game.episode.num_steps == 1


def test_catch_gaze_follows_the_mouse_and_wasd(catch):
    game = make_game(catch, pace=10)
    game.point((0.5, 0.5))
    game.press("d")
    game.tick(0.1)
    assert np.allclose(game.episode.observation["location"], (0.59, 0.5))
    game.press("left")
    game.tick(0.1)
    assert np.allclose(game.episode.observation["location"], (0.68, 0.5))


def test_catch_pause_and_single_step(catch):
    game = make_game(catch, pace=10)
    game.press("p")
    game.tick(1.0)
    assert game.episode.num_steps == 0
    game.press(".")
    assert game.episode.num_steps == 1
    game.press("p")
    game.tick(0.1)
    assert game.episode.num_steps == 2


def test_catch_pauses_when_the_window_loses_the_focus(catch):
    game = make_game(catch, pace=10)
    game.lose_focus()
    assert game.paused
    game.lose_focus()
    assert game.paused


def test_help_stops_the_time(catch):
    game = make_game(catch, pace=10)
    game.press("h")
    game.tick(0.4)
    assert game.episode.num_steps == 0
    assert not game.is_animated
