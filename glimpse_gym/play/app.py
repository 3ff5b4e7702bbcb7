"""Main loop of a game in a window: passes the window's events to the game, and shows the game in the window."""

from __future__ import annotations

import time

from glimpse_gym.play.game import Game
from glimpse_gym.play.layout import window_size
from glimpse_gym.play.view import GameView
from glimpse_gym.rendering.window import Event, Window


def play_in_window(game: Game, fps: int = 60, scale: float = 1.0) -> None:
    """Play a game until it is finished or the window is closed.

    Args:
        game: the game.
        fps: largest number of pictures per second.
        scale: size of the window, relative to 960 x 640.

    Raises:
        NoDisplayError: there is no display.
    """
    view, window = GameView(game), Window(game.episode.env.env_id, window_size(scale), fps)
    shown: tuple[int, tuple[int, int]] | None = None
    before = time.monotonic()
    try:
        while not (window.closed or game.finished):
            for event in window.events(wait=0.0 if game.is_animated or shown is None else 0.25):
                _handle(event, game, view, window)
            now = time.monotonic()
            game.tick(now - before)
            before = now
            state = game.version, window.size
            if state != shown and not window.closed:
                window.show(view.draw(window.size))
                shown = state
            elif game.is_animated:
                time.sleep(1 / fps)
    finally:
        window.close()


def _handle(event: Event, game: Game, view: GameView, window: Window) -> None:
    if event.kind == "key_down" and event.key == "escape" and not game.show_help:
        window.close()
    elif event.kind == "key_down":
        game.press(event.key)
    elif event.kind == "key_up":
        game.release(event.key)
    elif event.kind == "focus_lost":
        game.lose_focus()
    elif event.kind in ("mouse_move", "mouse_down") and (location := view.location_at(event.position)):
        game.point(location)
    if event.kind == "mouse_down" and event.button == 1:
        if game.show_help or not view.in_list(event.position):
            if game.phase != "look" or game.show_help or view.location_at(event.position):
                game.click()  # a click outside the image takes no glimpse
        elif (choice := view.choice_at(event.position)) is not None:  # a click that misses the names does nothing
            game.choose(choice)
