"""Frames of ``render()``: the current state of an episode as an array. Opens no window.

A frame is uint8 (height, width, 3) with even height and width, as video codecs require.
"""

from __future__ import annotations

import math

import numpy as np
from gymnasium.error import ResetNeeded

from glimpse_gym.rendering.drawing import (
    MUTED_TEXT,
    PADDING,
    SCALE_COLORS,
    TEXT,
    blank_canvas,
    draw_progress,
    draw_text,
    even_canvas,
    outcome_color,
)
from glimpse_gym.rendering.scene import Scene, fit_rgb, upscale
from glimpse_gym.retina import Retina
from glimpse_gym.world import Outcome, World

# In pixels: the square that the image is fitted into, and the space around it for patches beyond the image.
_IMAGE_SIDE, _MARGIN = 480, 24
_SCENE_SIDE = _IMAGE_SIDE + 2 * _MARGIN
_HEADER_HEIGHT = 84
_MAX_PATCH_SIDE, _MAX_PATCH_ROWS, _FRAME_WIDTH, _LABEL_HEIGHT, _GAP = 240, 4, 2, 20, 16


def render_frame(
    image: np.ndarray,
    fixations: np.ndarray,
    retina: Retina,
    glimpse: np.ndarray,
    *,
    progress: tuple[int, int],
    reward: float,
    ended: bool = False,
    image_moves: bool = False,
) -> np.ndarray:
    """Draw the current state of an episode: the image, dimmed where it was not seen, the scanpath and the glimpse.

    The size of the frame depends only on the retina.

    Args:
        image: uint8 (H, W) or (H, W, C).
        fixations: float (n, 2) in [-1, 1], n >= 1, locations of all glimpses, the current one last.
        retina: the retina that took them.
        glimpse: float (k*C, g, g) in [0, 1], the current glimpse, finest scale first.
        progress: number of glimpses so far (of steps, if ``image_moves``), and the maximum.
        reward: sum of rewards so far.
        ended: the episode has ended; its reward is then shown in green if positive, else in red.
        image_moves: the image changes during an episode; then only the current glimpse is shown bright.

    Returns:
        uint8 (height, width, 3).
    """
    scene = Scene(image, retina, fixations[-1:] if image_moves else fixations, _IMAGE_SIDE, _MARGIN)
    scene.draw_patches(fixations[-1], width=2)
    scene.draw_scanpath(fixations, radius=3.5, opacity=0.35 if image_moves else 0.9)
    panel = _glimpse_panel(glimpse, retina)
    top, left = _HEADER_HEIGHT, PADDING + _SCENE_SIDE + PADDING
    width = left + panel.shape[1] + PADDING
    frame = even_canvas(top + _SCENE_SIDE + PADDING, width)
    frame[top : top + _SCENE_SIDE, PADDING : PADDING + _SCENE_SIDE] = scene.canvas
    frame[top : top + _SCENE_SIDE, left : left + panel.shape[1]] = panel
    reward_text, right = str(round(reward, 3) + 0.0), width - PADDING  # adding 0.0 turns -0.0 into 0.0
    noun_width = draw_text(frame, 44, PADDING, "frame" if image_moves else "glimpse", 20, MUTED_TEXT)
    draw_text(frame, 44, PADDING + noun_width + 8, f"{progress[0]} / {progress[1]}", 20, TEXT)
    color = outcome_color(reward > 0 if ended else None)
    reward_width = draw_text(frame, 44, right, reward_text, 20, color, align=1)
    draw_text(frame, 44, right - reward_width - 8, "reward", 20, MUTED_TEXT, align=1)
    draw_progress(frame, 62, PADDING, right, *progress, radius=3)
    return frame


def _glimpse_panel(glimpse: np.ndarray, retina: Retina) -> np.ndarray:
    """Draw the patches of a glimpse, one framed and labeled square per scale, in columns as high as the scene."""
    k, g = retina.num_scales, retina.patch_size
    # (k*C, g, g), scale-major, to k patches of (g, g, C)
    pixels = np.rint(255 * np.asarray(glimpse)).astype(np.uint8).reshape(k, -1, g, g).transpose(0, 2, 3, 1)
    rows = min(k, _MAX_PATCH_ROWS)
    max_side = min(_MAX_PATCH_SIDE, (_SCENE_SIDE + _GAP) // rows - _GAP - _LABEL_HEIGHT - 2 * _FRAME_WIDTH)
    fitted = [fit_rgb(patch, max_side) for patch in pixels]
    patches = [upscale(patch, max_side // len(patch)) for patch in fitted]
    side = len(patches[0]) + 2 * _FRAME_WIDTH
    column_pitch, row_pitch = side + PADDING, (_SCENE_SIDE - _LABEL_HEIGHT - side) // max(rows - 1, 1)
    panel = blank_canvas(_SCENE_SIDE, math.ceil(k / rows) * column_pitch - PADDING)
    for s, patch in enumerate(patches):
        top, left = s % rows * row_pitch + _LABEL_HEIGHT, s // rows * column_pitch
        color = SCALE_COLORS[s % len(SCALE_COLORS)]
        framed = panel[top : top + side, left : left + side]
        framed[...] = color
        framed[_FRAME_WIDTH:-_FRAME_WIDTH, _FRAME_WIDTH:-_FRAME_WIDTH] = patch
        draw_text(panel, top - 9, left, f"{2**s}x", 15, color)
    return panel


class Recorder:
    """Record of the fixations and rewards of every row of a world, and renderer of its frames.

    Call :meth:`record_reset` and :meth:`record_step` after every reset and step of the world.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._fixations: list[list[np.ndarray]] = [[] for _ in range(world.num_rows)]
        self._rewards = np.zeros(world.num_rows)

    def record_reset(self, rows: np.ndarray) -> None:
        """Start the record of a new episode in some rows, int64 (R,)."""
        self._rewards[rows] = 0.0
        for row in rows:
            self._fixations[row] = [self._world.locations[row].copy()]

    def record_step(self, outcome: Outcome) -> None:
        """Record a step: the reward, and the location in the rows where a new glimpse was taken."""
        self._rewards += outcome.reward
        for row in np.flatnonzero(outcome.looked):
            self._fixations[row].append(self._world.locations[row].copy())

    def render(self, row: int) -> np.ndarray:
        """Draw the current frame of one row, uint8 (height, width, 3).

        Raises:
            ResetNeeded: if the row was never reset.
        """
        world, fixations = self._world, self._fixations[row]
        if not fixations:
            raise ResetNeeded("there is no episode to draw: call reset() before render()")
        return render_frame(
            world.image(row),
            np.array(fixations),
            world.retina,
            world.observe(np.array([row]))["glimpse"][0],
            progress=(int(world.steps[row]) if world.image_moves else len(fixations), world.horizon),
            reward=float(self._rewards[row]),
            ended=not world.running[row],
            image_moves=world.image_moves,
        )
