"""Viewer of recorded episodes, step by step or running, in a window or saved to a file."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from glimpse_gym.atomic_io import atomic_write
from glimpse_gym.extras import require_extra
from glimpse_gym.play.episode_record import EpisodeRecord
from glimpse_gym.play.layout import window_size
from glimpse_gym.play.record_view import draw_record
from glimpse_gym.rendering.animation import check_frames, save_gif, save_png
from glimpse_gym.rendering.drawing import surface_to_array
from glimpse_gym.rendering.window import Event, Window

_LAST_STEP_SECONDS = 2.0  # display time of the last step of an episode
_FORMATS = (".gif", ".mp4", ".png")
_HELP = "space run or stop   left, right step   up, down episode   escape close"


class Viewer:
    """Position in a sequence of records, and its changes by keys and time.

    Args:
        records: episodes to show, consumed one at a time.
        pace: steps per second while running.

    Raises:
        ValueError: there is no record.
    """

    def __init__(self, records: Iterator[EpisodeRecord], pace: float) -> None:
        self._records, self.pace = records, pace
        self.seen: list[EpisodeRecord] = []
        self.episode = -1
        self.step = 0
        """Number of steps shown of the current episode: 0 is the first glimpse, before its guess."""
        self.running, self.finished, self.show_help = True, False, False
        self.version = 0
        self._time = 0.0
        self.next_episode()
        if self.finished:
            raise ValueError("there is no episode to show")

    @property
    def record(self) -> EpisodeRecord:
        """The record that is shown."""
        return self.seen[self.episode]

    @property
    def hint(self) -> str:
        """Line of text that says what keys do."""
        if self.show_help:
            return _HELP
        return "H help" if self.running else "stopped: space to run, right arrow for one step"

    def next_episode(self) -> None:
        """Show the next episode from its start; after the last one, finish."""
        if self.episode + 1 == len(self.seen):
            record = next(self._records, None)
            if record is None:
                self.finished = True
                return
            self.seen.append(record)
        self._go_to(self.episode + 1, 0)

    def _go_to(self, episode: int, step: int) -> None:
        self.episode, self.step, self._time = episode, step, 0.0
        self.version += 1

    def forward(self) -> None:
        """Show the next step, or the next episode after the last step."""
        if self.step < self.record.num_steps:
            self._go_to(self.episode, self.step + 1)
        else:
            self.next_episode()

    def back(self) -> None:
        """Show the previous step, or the end of the previous episode."""
        if self.step > 0:
            self._go_to(self.episode, self.step - 1)
        elif self.episode > 0:
            self._go_to(self.episode - 1, self.seen[self.episode - 1].num_steps)

    def press(self, key: str) -> None:
        """Handle a pressed key; names are those of ``pygame.key.name``."""
        if key in ("space", "p"):
            self.running = not self.running
            self.version += 1
        elif key in ("h", "f1"):
            self.show_help = not self.show_help
            self.version += 1
        elif key in ("right", ".", "left"):
            self.running = False
            self.back() if key == "left" else self.forward()
        elif key in ("n", "return", "down"):
            self.next_episode()
        elif key in ("b", "up") and self.episode > 0:
            self._go_to(self.episode - 1, 0)

    def tick(self, seconds: float) -> None:
        """Advance time: while running, show the next step when it is due."""
        if not self.running or self.show_help:
            return
        self._time += seconds
        at_end = self.step == self.record.num_steps
        if self._time >= (max(_LAST_STEP_SECONDS, 1 / self.pace) if at_end else 1 / self.pace):
            self.forward()


def show_records(records: Iterator[EpisodeRecord], pace: float = 2.0, scale: float = 1.0, fps: int = 60) -> None:
    """Show episodes in a window until the last one has ended or the window is closed.

    Args:
        records: episodes to show, consumed one at a time.
        pace: steps per second.
        scale: size of the window, relative to 960 x 640.
        fps: largest number of pictures per second.

    Raises:
        NoDisplayError: there is no display.
        ValueError: there is no record.
    """
    viewer = Viewer(records, pace)
    window = Window(viewer.record.env_id, window_size(scale), fps)
    shown, before = None, time.monotonic()
    try:
        while not (window.closed or viewer.finished):
            for event in window.events(wait=0.02 if viewer.running else 0.25):
                _handle(event, viewer, window)
            now = time.monotonic()
            viewer.tick(now - before)
            before = now
            state = viewer.version, window.size
            if state != shown and not (window.closed or viewer.finished):
                surface = draw_record(viewer.record, viewer.step, window.size, viewer.hint)
                window.show(surface)
                shown = state
    finally:
        window.close()


def _handle(event: Event, viewer: Viewer, window: Window) -> None:
    if event.kind == "key_down" and event.key == "escape":
        window.close()
    elif event.kind == "key_down":
        viewer.press(event.key)
    elif event.kind == "mouse_down" and event.button == 1:
        viewer.press("right")


def save_records(path: Path, records: Iterator[EpisodeRecord], pace: float = 2.0, scale: float = 1.0) -> None:
    """Save episodes as an animation (.gif, .mp4), or the end of the first one as a picture (.png).

    Raises:
        ValueError: another file format, no record, or an animation that would take too much memory.
        OSError: the file cannot be written.
        ModuleNotFoundError: packages of the extra ``video`` are needed for .mp4, and not installed.
    """
    suffix = path.suffix.lower()
    if suffix not in _FORMATS:
        raise ValueError(f"--save must end in {', '.join(_FORMATS)}, got {path}")
    # Before an agent plays for minutes.
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path} cannot be written: there is no folder {path.parent}")
    if suffix == ".mp4":
        require_extra("video")
    size = window_size(scale)
    if suffix == ".png":
        record = next(records, None)
        if record is None:
            raise ValueError("there is no episode to save")
        save_png(path, surface_to_array(draw_record(record, record.num_steps, size)))
        return
    frames: list[np.ndarray] = []
    milliseconds: list[int] = []
    for record in records:
        check_frames(len(frames) + record.num_steps + 1, 3 * math.prod(size), "fewer episodes, or a smaller --scale")
        for step in range(record.num_steps + 1):
            frames.append(surface_to_array(draw_record(record, step, size)))
            milliseconds.append(round(1000 / pace))
        milliseconds[-1] = max(round(1000 * _LAST_STEP_SECONDS), milliseconds[-1])
    if not frames:
        raise ValueError("there is no episode to save")
    if suffix == ".gif":
        save_gif(path, frames, milliseconds, colors=256)
    else:
        _save_mp4(path, frames, milliseconds)


def _save_mp4(path: Path, frames: list[np.ndarray], milliseconds: list[int], fps: int = 25) -> None:
    from moviepy.video.io.ImageSequenceClip import ImageSequenceClip

    repeated = [frame for frame, ms in zip(frames, milliseconds, strict=True) for _ in range(max(ms * fps // 1000, 1))]
    with atomic_write(path) as temporary:
        ImageSequenceClip(repeated, fps=fps).write_videofile(str(temporary), logger=None, audio=False)
