"""Rendering of a running world in all render modes: frames, text or a window, from a record of its episodes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pygame
from gymnasium.error import ResetNeeded

from glimpse_gym.rendering.ansi import render_ansi
from glimpse_gym.rendering.drawing import surface_to_array
from glimpse_gym.rendering.frames import TILE_GAP, grid_size, render_frame, tile_surfaces
from glimpse_gym.rendering.window import Window
from glimpse_gym.world import Outcome, World

_MIN_SCALE = 0.05  # a window too small for it shows the frame reduced


class Renderer:
    """Record of the locations and rewards of every row of a world, and renderer of its current state.

    Call :meth:`record_reset` and :meth:`record_step` after every reset and step of the world, then :meth:`update`.
    Nothing here changes the world or draws random numbers.

    Args:
        world: the world.
        render_mode: ``"rgb_array"``, ``"human"`` or ``"ansi"``.
        metadata: metadata of the env; its ``render_fps`` is the speed of the window.
        title: title of the window.
    """

    def __init__(self, world: World, render_mode: str, metadata: dict[str, Any], title: str = "glimpse_gym") -> None:
        self._world = world
        self._metadata = metadata
        self._title = title
        self._render_mode = render_mode
        self._window: Window | None = None
        self._natural_size = (1, 1)  # of all frames together at scale 1
        self._locations: list[list[np.ndarray]] = [[] for _ in range(world.num_rows)]
        self._rewards = np.zeros(world.num_rows)

    def record_reset(self, rows: np.ndarray) -> None:
        """Start the record of a new episode in some rows, int64 (R,)."""
        self._rewards[rows] = 0.0
        for row in rows:
            self._locations[row] = [self._world.locations[row].copy()]

    def record_step(self, outcome: Outcome) -> None:
        """Record a step: the reward, and the location in the rows where a new glimpse was taken."""
        self._rewards += outcome.reward
        for row in np.flatnonzero(outcome.looked):
            self._locations[row].append(self._world.locations[row].copy())

    def check_open(self) -> None:
        """Check that the user has not closed the window.

        Raises:
            WindowClosedError: if they have.
        """
        if self._window:
            self._window.check_open()

    def update(self) -> None:
        """Show the current state in the window, if the mode is ``"human"``, and wait until the next frame is due.

        Raises:
            NoDisplayError: if there is no display.
            WindowClosedError: if the user has closed the window.
        """
        if self._render_mode == "human":
            self.show(wait=True)

    def show(self, wait: bool = False) -> None:
        """Show the current state in the window; errors are those of :meth:`update`."""
        count = self._world.num_rows
        columns, rows = grid_size(count)
        if self._window is None:
            width, height = self.draw(0).get_size()
            if count > 1:
                width, height = columns * (width + TILE_GAP) + TILE_GAP, rows * (height + TILE_GAP) + TILE_GAP
            self._natural_size = width, height
            self._window = Window(self._title, self._natural_size)
        self._window.fps = self._metadata["render_fps"] if wait else None
        scale = max(self._window.fit_scale(self._natural_size), _MIN_SCALE)
        frames = [self.draw(row, scale) for row in range(count)]
        self._window.show(frames[0] if count == 1 else tile_surfaces(frames, columns, round(TILE_GAP * scale)))

    def render(self) -> tuple[Any, ...] | None:
        """Draw every row in the render mode: uint8 (height, width, 3) or str; None in the mode ``"human"``.

        Raises:
            ResetNeeded: if a row was never reset.
            NoDisplayError: if there is no display.
            WindowClosedError: if the user has closed the window.
        """
        if self._render_mode == "human":
            self.check_open()
            self.show()
            return None
        rows = range(self._world.num_rows)
        if self._render_mode == "ansi":
            return tuple(map(self.render_text, rows))
        return tuple(surface_to_array(self.draw(row)) for row in rows)

    def render_text(self, row: int) -> str:
        """Draw what was sensed of the image of a row as text for a terminal, with colors.

        Raises:
            ResetNeeded: if the row was never reset.
        """
        world, locations = self._world, self._recorded_locations(row)
        if world.image_moves:
            locations = locations[-1:]
            glimpses = world.observe(np.array([row]))["glimpse"]
        else:
            glimpses = world.glimpses_at(row, locations)
        height, width = (int(side) for side in world.sizes[row])
        count, total = self._progress(row)
        x, y = locations[-1]
        noun = "frame" if world.image_moves else "glimpse"
        status = f"{noun} {count} / {total}   gaze ({x:+.2f}, {y:+.2f})   reward {round(self._rewards[row], 3) + 0.0}"
        return render_ansi((height, width), world.retina, glimpses, locations, status)

    def close(self) -> None:
        """Close the window, if there is one."""
        if self._window:
            self._window.close()

    def draw(self, row: int, scale: float = 1.0) -> pygame.Surface:
        """Draw the current frame of one row.

        Raises:
            ResetNeeded: if the row was never reset.
        """
        world = self._world
        return render_frame(
            world.picture(row),
            self._recorded_locations(row),
            world.retina,
            world.observe(np.array([row]))["glimpse"][0],
            progress=self._progress(row),
            reward=float(self._rewards[row]),
            ended=not world.running[row],
            image_moves=world.image_moves,
            image_size=tuple(world.sizes[row].tolist()),
            scale=scale,
        )

    def _recorded_locations(self, row: int) -> np.ndarray:
        if not self._locations[row]:
            raise ResetNeeded("there is no episode to draw: call reset() before render()")
        return np.array(self._locations[row])

    def _progress(self, row: int) -> tuple[int, int]:
        world = self._world
        return int(world.steps[row]) if world.image_moves else len(self._locations[row]), world.horizon
