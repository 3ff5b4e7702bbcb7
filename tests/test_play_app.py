"""The main loop of playing, on a display that does not exist, with scripted input."""

import numpy as np
import pytest

from glimpse_gym.play.app import play_in_window
from glimpse_gym.rendering.window import Event, Window
from play_games import CATCH, DIGITS, make_game


@pytest.fixture
def script(monkeypatch):
    """Feed a window with lists of events, one for each turn of the loop; then it is closed."""

    def feed(*turns):
        remaining = list(turns)

        def events(window, wait=0.0):
            if remaining:
                return remaining.pop(0)
            window.close()
            return []

        monkeypatch.setattr(Window, "events", events)

    return feed


def key(name):
    return [Event("key_down", name), Event("key_up", name)]


def test_mouse_and_keys_play_an_episode(script):
    game = make_game(*DIGITS, num_episodes=1)
    click = [Event("mouse_move", position=(320, 330)), Event("mouse_down", position=(320, 330), button=1)]
    script([], click, key("a"), key("space"), key("3"), key("return"))
    play_in_window(game)
    assert game.finished
    assert game.records[0].num_glimpses == 3


def test_escape_closes_and_loses_only_the_episode_in_progress(script):
    game = make_game(*DIGITS)
    script([], key("3"), key("space"), key("space"), key("escape"))
    play_in_window(game)
    assert len(game.records) == 1
    assert not game.finished


def test_escape_closes_the_help_first(script):
    game = make_game(*DIGITS)
    script([], key("h"), key("escape"), key("3"))
    play_in_window(game)
    assert len(game.records) == 1


def test_window_closed_by_the_user(script):
    game = make_game(*DIGITS)
    script([])
    play_in_window(game)
    assert game.records == []


def test_clicks_on_the_list_choose_a_name_and_take_no_glimpse(script, tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (24, 20, 20), dtype=np.uint8)
    np.savez(tmp_path / "images.npz", images=images, labels=np.arange(24) % 12)
    game = make_game(
        "glimpse_gym/Images-v0", {"images": str(tmp_path / "images.npz"), "split": "all"}, guess_every_glimpse=True
    )
    head, row = (
        [Event("mouse_down", position=(760, y), button=1)] for y in (85, 147)
    )  # the box above the names, and the second of them
    script([], key("1"), head, row, head, key("escape"))
    play_in_window(game)
    assert game.guess == 10
    assert game.choices.filter == ""
    assert game.episode.num_glimpses == 1


def test_right_button_takes_no_glimpse(script):
    game = make_game(*DIGITS)
    script([], [Event("mouse_down", position=(320, 330), button=3)])
    play_in_window(game)
    assert game.episode.num_glimpses == 1


def test_click_outside_the_image_takes_no_glimpse(script):
    game = make_game(*DIGITS)
    script([], [Event("mouse_down", position=(900, 20), button=1)])
    play_in_window(game)
    assert game.episode.num_glimpses == 1


def test_click_in_the_glimpse_view_takes_no_glimpse(script):
    game = make_game(*DIGITS)
    script([], key("tab"), [], [Event("mouse_down", position=(320, 330), button=1)])
    play_in_window(game)
    assert game.show_strip
    assert game.episode.num_glimpses == 1


def test_catch_runs_by_itself(script):
    game = make_game(*CATCH, pace=60.0, num_episodes=1)
    script([], key("space"), *[[] for _ in range(40)])
    play_in_window(game)
    assert game.episode.over


def test_lost_focus_releases_keys(script):
    game = make_game(*DIGITS)
    script([], [Event("key_down", "a")], [Event("focus_lost")], [])
    play_in_window(game)
    assert not game.is_animated
