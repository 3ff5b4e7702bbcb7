"""Pictures of a game: only what was sensed while playing, the whole image after it, legible at every size."""

import numpy as np
import pytest

from glimpse_gym.play.view import GameView, describe_outcome, leader
from glimpse_gym.rendering.drawing import surface_to_array
from play_games import CATCH, DIGITS, FixedOpponent, make_game

SIZES = [(960, 640), (640, 960), (300, 200), (1920, 1080), (90, 700), (1, 1)]


def picture(game, size=(960, 640)):
    return surface_to_array(GameView(game).draw(size))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("world", [DIGITS, CATCH], ids=["digits", "catch"])
def test_all_screens_can_be_drawn_at_any_size(world, size):
    game = make_game(*world, opponent=FixedOpponent(*world))
    width, height = max(size[0], 64), max(size[1], 64)
    for key in ("h", "h", "tab", "tab", "p"):
        game.press(key)
        assert picture(game, size).shape == (height, width, 3)
    while not game.episode.over:
        game.click()
        game.press("3")
        game.tick(0.5)
    assert game.phase == "review"
    assert picture(game, size).shape == (height, width, 3)


def test_picture_while_playing_depends_on_glimpses_only():
    game = make_game(*DIGITS)
    before = picture(game)
    game.episode._images[-1] = 255 - game.episode._images[-1]
    assert np.array_equal(picture(game), before)


def test_whole_image_is_shown_after_the_episode():
    game = make_game(*DIGITS)
    game.press("3")
    before = picture(game)
    record = game.records[0]
    game.records[0] = record.__class__(**{**vars(record), "images": 255 - record.images})
    assert not np.array_equal(picture(game), before)


def test_gaze_moves_without_redrawing_the_memory():
    game = make_game(*DIGITS)
    view = GameView(game)
    first = surface_to_array(view.draw((960, 640)))
    memory = view._memory
    game.point((0.9, 0.9))
    second = surface_to_array(view.draw((960, 640)))
    assert view._memory is memory
    assert not np.array_equal(first, second)
    game.point(tuple(game.episode.observation["location"]))
    assert np.array_equal(surface_to_array(view.draw((960, 640))), first)


def test_memory_is_that_of_the_current_episode():
    game = make_game(*DIGITS)
    view = GameView(game)
    for _ in range(3):
        view.draw((960, 640))
        assert view._memory[0][0] is game.episode  # not its id(), which a later episode may have
        game.press("3")
        game.press("return")


def test_location_under_the_mouse():
    game = make_game(*DIGITS)
    view = GameView(game)
    view.draw((960, 640))
    center = view._scene_rect.center
    assert np.allclose(view.location_at(center), (0, 0), atol=0.02)
    assert view.location_at(view._scene_rect.topleft) == (-1.0, -1.0)
    assert view.location_at((959, 639)) is None


def test_no_location_under_the_mouse_in_the_glimpse_view_and_the_review():
    game = make_game(*DIGITS)
    view = GameView(game)
    game.press("tab")
    view.draw((960, 640))
    assert view.location_at((300, 300)) is None
    game.press("3")
    view.draw((960, 640))
    assert view.location_at((300, 300)) is None


def test_classes_with_names_are_clicked_in_a_list(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (24, 20, 20), dtype=np.uint8)
    np.savez(tmp_path / "images.npz", images=images, labels=np.arange(24) % 12)
    game = make_game("glimpse_gym/Images-v0", {"images": str(tmp_path / "images.npz"), "split": "all"})
    view = GameView(game)
    view.draw((960, 640))
    rect, choice = view._rows[2]
    assert view.choice_at(rect.center) == choice == 2
    assert view.choice_at((5, 5)) is None
    assert view.in_list(rect.center)
    assert not view.in_list((5, 5))
    game.press("1")
    view.draw((960, 640))
    assert [choice for _, choice in view._rows] == [1, 10, 11]


def test_outcome_in_words():
    game = make_game(*DIGITS)
    game.press("3")
    record = game.records[0]
    right, wrong = (vars(record) | {"choices": np.array([3] * record.num_steps), "label": label} for label in (3, 7))
    right, wrong = (record.__class__(**values) for values in (right | {"success": True}, wrong | {"success": False}))
    assert describe_outcome(right) == "3, right, after 1 glimpse"
    assert describe_outcome(wrong) == "3, wrong: it is 7, after 1 glimpse"


def test_leader():
    game = make_game(*DIGITS, opponent=FixedOpponent(*DIGITS))
    scores = [game.score, game.opponent_score]
    assert leader(scores) == "level"
    scores[1].add(True)
    assert leader(scores) == "zero ahead"
