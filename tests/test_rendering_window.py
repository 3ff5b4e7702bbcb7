"""Windows, on SDL's driver without a screen."""

import os
import subprocess
import sys
import time

import numpy as np
import pygame
import pytest

from glimpse_gym.rendering import appearance, drawing
from glimpse_gym.rendering.drawing import new_surface, surface_to_array
from glimpse_gym.rendering.window import NoDisplayError, Window, WindowClosedError


@pytest.fixture
def window():
    made = Window("test", (200, 100))
    made.events()
    yield made
    made.close()


def content(window):
    return surface_to_array(window._window.get_surface())


def post(kind, window=None, **values):
    pygame.event.post(pygame.event.Event(kind, {"window": window and window._window} | values))


def test_picture_that_fits_is_shown_unchanged(window):
    surface = new_surface((200, 100), (1, 2, 3))
    surface.set_at((7, 9), (200, 100, 50))
    window.show(surface)
    assert np.array_equal(content(window), surface_to_array(surface))


@pytest.mark.parametrize("size", [(100, 100), (400, 400), (50, 50)])
def test_other_pictures_are_letterboxed(window, size):
    window.show(new_surface(size, (250, 250, 250)))
    pixels = content(window)
    assert (pixels[:, 50:150] == 250).all()
    assert (pixels[:, :50] == appearance.BACKGROUND).all()
    assert (pixels[:, 150:] == appearance.BACKGROUND).all()


def test_windows_fit_on_the_desktop():
    window = Window("large", (100_000, 50_000))
    desktop = pygame.display.get_desktop_sizes()[0]
    assert all(side <= have for side, have in zip(window.size, desktop, strict=True))
    assert window.size[0] == pytest.approx(2 * window.size[1], abs=2)
    window.close()


def test_fit_scale_keeps_pictures_sharp(window):
    assert window.fit_scale((200, 100)) == 1
    assert window.fit_scale((198, 99)) == 1
    assert 0.45 < window.fit_scale((400, 200)) < 0.5
    assert 1.9 < window.fit_scale((100, 50)) < 2


def test_show_keeps_to_the_frame_rate(window):
    window.fps = 50
    surface = new_surface((200, 100))
    window.show(surface)
    start = time.perf_counter()
    for _ in range(5):
        window.show(surface)
    assert 0.08 < time.perf_counter() - start < 0.5
    start = time.perf_counter()
    for _ in range(5):
        window.show(surface, wait=False)
    assert time.perf_counter() - start < 0.08


def test_events_have_names_and_positions_in_the_picture(window):
    window.show(new_surface((50, 50)))  # twice as large in the window, 50 pixels from the left
    post(pygame.KEYDOWN, window, key=pygame.K_LEFT, mod=0, unicode="")
    post(pygame.KEYUP, window, key=pygame.K_a, mod=0, unicode="a")
    post(pygame.MOUSEMOTION, window, pos=(100, 50), rel=(0, 0), buttons=(0, 0, 0))
    post(pygame.MOUSEBUTTONDOWN, window, pos=(50, 0), button=1)
    post(pygame.MOUSEBUTTONDOWN, window, pos=(50, 0), button=4)  # the wheel
    post(pygame.MOUSEBUTTONUP, window, pos=(30, 100), button=3)
    post(pygame.WINDOWFOCUSLOST, window)
    assert window.events() == [
        ("key_down", "left", (0, 0), 0),
        ("key_up", "a", (0, 0), 0),
        ("mouse_move", "", (25, 25), 0),
        ("mouse_down", "", (0, 0), 1),
        ("mouse_up", "", (-10, 50), 3),
        ("focus_lost", "", (0, 0), 0),
    ]
    assert window.events() == []


def test_events_can_be_waited_for(window):
    start = time.perf_counter()
    assert window.events(wait=0.05) == []
    assert 0.03 < time.perf_counter() - start < 0.5
    post(pygame.KEYDOWN, window, key=pygame.K_q, mod=0, unicode="q")
    start = time.perf_counter()
    assert [event.key for event in window.events(wait=5)] == ["q"]
    assert time.perf_counter() - start < 1


def test_closing_by_the_user(window):
    post(pygame.WINDOWCLOSE, window)
    assert [event.kind for event in window.events()] == ["close"]
    assert window.closed
    for call in (window.check_open, lambda: window.show(new_surface((10, 10)))):
        with pytest.raises(WindowClosedError, match="'test' was closed"):
            call()
    assert window.events() == []
    assert window.size == (200, 100)
    window.close()


def test_closing_is_noticed_without_losing_events(window):
    post(pygame.KEYDOWN, window, key=pygame.K_q, mod=0, unicode="q")
    window.check_open()
    post(pygame.QUIT)
    with pytest.raises(WindowClosedError):
        window.check_open()
    assert [event.kind for event in window.events()] == ["key_down", "close"]


def test_two_windows(window):
    other = Window("other", (50, 50))
    post(pygame.KEYDOWN, other, key=pygame.K_o, mod=0, unicode="o")
    assert "o" not in [event.key for event in window.events()]
    assert "o" in [event.key for event in other.events()]
    post(pygame.WINDOWCLOSE, other)
    window.check_open()
    assert other.closed
    assert not window.closed
    window.show(new_surface((10, 10)))
    assert pygame.display.get_init()


def test_the_last_window_ends_the_display():
    window = Window("last", (50, 50))
    window.close()
    assert not pygame.display.get_init()
    Window("again", (50, 50)).close()


def test_quit_of_pygame_by_others():
    window = Window("test", (50, 50))
    pygame.quit()
    assert window.size == (50, 50)
    with pytest.raises(WindowClosedError):
        window.show(new_surface((10, 10)))
    assert window.events() == []
    other = Window("test", (50, 50))
    surface = new_surface((50, 50))
    assert drawing.draw_text(surface, "new after all fonts were ended", (0, 20), 12)
    other.show(surface)
    other.close()


@pytest.mark.parametrize("driver", [None, "x11"])
def test_no_display_is_a_clear_error(driver):
    program = """
import gymnasium as gym, glimpse_gym
env = gym.make("glimpse_gym/Catch-v0", render_mode="human")
env.reset()
"""
    unset = ("SDL_VIDEODRIVER", "DISPLAY", "WAYLAND_DISPLAY", "XDG_SESSION_TYPE")
    env = {name: value for name, value in os.environ.items() if name not in unset}
    env |= {"SDL_VIDEODRIVER": driver} if driver else {}
    if driver is None and sys.platform != "linux":
        pytest.skip("the desktop cannot be switched off")
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=env)
    assert result.returncode
    last = result.stderr.strip().splitlines()[-1]
    assert NoDisplayError.__name__ in last
    for words in ("no display", "ssh -X", "rgb_array", "SDL_VIDEODRIVER"):
        assert words in last
