"""Windows on the screen, and the input of their users. Only this module needs a display."""

from __future__ import annotations

import os
from typing import Any, NamedTuple

import pygame

from glimpse_gym.rendering.appearance import BACKGROUND
from glimpse_gym.rendering.drawing import Point, Size

_MAX_FRACTION = 0.9  # of the desktop that a new window covers
_MAX_UNSCALED = 1.06  # a picture is not enlarged by less than this factor, so that it stays sharp
_TOLERANCE = 0.99  # of that factor, since the parts of a picture are rounded to whole pixels
_KINDS = {
    pygame.KEYDOWN: "key_down",
    pygame.KEYUP: "key_up",
    pygame.MOUSEMOTION: "mouse_move",
    pygame.MOUSEBUTTONDOWN: "mouse_down",
    pygame.MOUSEBUTTONUP: "mouse_up",
    pygame.WINDOWSIZECHANGED: "resize",
    pygame.WINDOWFOCUSLOST: "focus_lost",
    pygame.WINDOWCLOSE: "close",
    pygame.QUIT: "close",
}
_BUTTONS = (1, 2, 3)  # the others are turns of the wheel


class NoDisplayError(RuntimeError):
    """There is no display to open a window on."""


class WindowClosedError(RuntimeError):
    """A closed window was used."""


class Event(NamedTuple):
    """One input of the user."""

    kind: str
    """``"key_down"``, ``"key_up"``, ``"mouse_move"``, ``"mouse_down"``, ``"mouse_up"``, ``"resize"``,
    ``"focus_lost"`` or ``"close"``."""
    key: str = ""
    """Name of the key in pygame, such as ``"a"``, ``"left"`` or ``"return"``."""
    position: Point = (0.0, 0.0)
    """Place of the mouse, in pixels of the surface that was shown last; it may be outside."""
    button: int = 0
    """Mouse button, 1 the left one."""


class Window:
    """Resizable window that shows surfaces as large as they fit.

    Several windows can be open at once.

    Args:
        title: title of the window.
        size: width and height of its content in pixels; less if the desktop is smaller.
        fps: frames per second that :meth:`show` keeps to; None does not wait.

    Raises:
        NoDisplayError: if there is no display.
    """

    def __init__(self, title: str, size: Size, fps: float | None = None) -> None:
        _open_display()
        desktop = pygame.display.get_desktop_sizes()[0]
        factor = min(1.0, *(_MAX_FRACTION * have / want for have, want in zip(desktop, size, strict=True)))
        width, height = (max(1, round(side * factor)) for side in size)
        try:
            self._window = pygame.Window(title, (width, height), resizable=True, allow_high_dpi=True)
            self._size: Size = self._window.get_surface().get_size()
        except pygame.error as error:
            raise NoDisplayError(_no_display(str(error))) from error
        self._closed_message = f"the window {title!r} was closed; to continue, make a new window or env"
        self.fps = fps
        self.closed = False
        """The window was closed, by the user or by :meth:`close`."""
        self._clock = pygame.time.Clock()
        self._shown: pygame.Rect = pygame.Rect(0, 0, *self.size)  # where the content is in the window
        self._content_size: Size = self.size
        self._events: list[Event] = []
        _windows.append(self)

    @property
    def size(self) -> Size:
        """Width and height in pixels, which may be more than the size asked for on screens of high density."""
        if not self.closed and pygame.display.get_init():
            self._size = self._window.get_surface().get_size()
        return self._size

    def fit_scale(self, size: Point) -> float:
        """Return the factor at which to draw a picture so that it fills the window, sharp.

        Args:
            size: width and height of the picture at factor 1.
        """
        largest = _fitting_factor(size, self.size)
        return 1.0 if 1 <= largest < _MAX_UNSCALED else _TOLERANCE * largest

    def show(self, surface: pygame.Surface, wait: bool = True) -> None:
        """Show a surface, scaled to fit and centered, and wait until the next frame is due.

        Draw it by :meth:`fit_scale` to keep it sharp.

        Raises:
            WindowClosedError: if the window was closed.
        """
        self._check_display()
        if self.closed:
            raise WindowClosedError(self._closed_message)
        target, size = self._window.get_surface(), surface.get_size()
        scale = _fitting_factor(size, target.get_size())
        shown = surface
        if not 1 <= scale < _MAX_UNSCALED:
            shown = pygame.transform.smoothscale(surface, [max(1, int(side * scale)) for side in size])
        self._shown, self._content_size = shown.get_rect(center=target.get_rect().center), size
        target.fill(BACKGROUND)
        target.blit(shown, self._shown)
        self._window.flip()
        if wait and self.fps:
            self._clock.tick(self.fps)
        _pump()  # the next call notices if the user has closed the window

    def events(self, wait: float = 0.0) -> list[Event]:
        """Return the user's input since the last call.

        Call it often: it also tells the system that the program responds.

        Args:
            wait: seconds to wait for an event at most, if there is none yet.
        """
        self._check_display()
        if not self.closed:
            _pump(0.0 if self._events else wait)
        events, self._events = self._events, []
        return events

    def check_open(self) -> None:
        """Notice whether the user has closed the window; other events are kept.

        Raises:
            WindowClosedError: if the window was closed.
        """
        self._check_display()
        if not self.closed:
            _pump()
        if self.closed:
            raise WindowClosedError(self._closed_message)

    def close(self) -> None:
        """Close the window. Does nothing if it is closed."""
        if self.closed:
            return
        self.closed = True
        _windows.remove(self)
        if not pygame.display.get_init():
            return
        self._window.destroy()
        if not _windows and pygame.display.get_surface() is None:  # others may have a window, too
            pygame.display.quit()

    def _check_display(self) -> None:
        """Close the window if others have called ``pygame.quit()``."""
        if not self.closed and not pygame.display.get_init():
            self.close()

    def _receive(self, event: pygame.Event) -> None:
        kind = _KINDS[event.type]
        if kind in ("mouse_down", "mouse_up") and event.button not in _BUTTONS:
            return
        key = pygame.key.name(event.key) if kind.startswith("key") else ""
        position = self._content_position(event.pos) if kind.startswith("mouse") else (0.0, 0.0)
        self._events.append(Event(kind, key, position, getattr(event, "button", 0)))
        if kind == "close":
            self.close()

    def _content_position(self, position: Point) -> Point:
        """Convert a position in the window, in its own units, to pixels of the surface that is shown."""
        x, y = (
            (place * pixels / units - start) * content / shown
            for place, pixels, units, start, content, shown in zip(
                position,
                self.size,
                self._window.size,
                self._shown.topleft,
                self._content_size,
                self._shown.size,
                strict=True,
            )
        )
        return x, y


_windows: list[Window] = []


def _fitting_factor(size: Point, available: Point) -> float:
    return min(have / want for have, want in zip(available, size, strict=True))


def _pump(wait: float = 0.0) -> None:
    """Hand all waiting events to the windows that they belong to, or to all; wait some seconds for the first."""
    events = [pygame.event.wait(max(1, round(1000 * wait)))] if wait > 0 else []
    for event in events + pygame.event.get():
        if event.type in _KINDS:
            source: Any = getattr(event, "window", None)
            for window in _windows.copy():
                if source is None or source is window._window:
                    window._receive(event)


def _open_display() -> None:
    try:
        pygame.display.init()
    except pygame.error as error:
        raise NoDisplayError(_no_display(str(error))) from error
    driver = pygame.display.get_driver()
    if driver == "offscreen" and not os.environ.get("SDL_VIDEODRIVER"):  # SDL falls back to it silently
        pygame.display.quit()
        raise NoDisplayError(_no_display("SDL found none"))


def _no_display(reason: str) -> str:
    return (
        f"there is no display to open a window on ({reason}). On a remote machine, log in with ssh -X. No display is "
        "needed for render_mode='rgb_array', and for --save of glimpse-gym watch and replay; SDL_VIDEODRIVER=dummy "
        "opens windows that nobody sees"
    )
