"""What ``render()`` shows: one moment of an episode. Arrays in, arrays out; no window is ever opened.

A picture is uint8 (height, width, 3), its height and width even, as video codecs ask.
"""

from __future__ import annotations

import math

import numpy as np
from gymnasium.error import ResetNeeded

from glimpse_gym.rendering.drawing import MUTED, PAD, SCALES, TEXT, blank, blank_page, ticks, verdict, write
from glimpse_gym.rendering.scene import Stage, enlarge, shrink
from glimpse_gym.retina import Retina
from glimpse_gym.world import World

# In pixels: what an image may fill, and what is free around it for boxes that hang over.
_ROOM, _MARGIN = 480, 24
_STAGE_SIDE = _ROOM + 2 * _MARGIN
_TILE_ROOM, _TILES_IN_COLUMN, _FRAME, _LABEL, _GAP = 240, 4, 2, 20, 16


def draw(
    image: np.ndarray,
    fixations: np.ndarray,
    retina: Retina,
    glimpse: np.ndarray,
    *,
    time: tuple[int, int],
    reward: float,
    ended: bool = False,
    image_moves: bool = False,
) -> np.ndarray:
    """One moment of an episode: the image dimmed where it was not seen, the gaze, and the glimpse itself.

    The size of the picture depends on the retina only.

    Args:
        image: uint8 (H, W) or (H, W, C).
        fixations: float (n, 2) in [-1, 1], n at least 1, where glimpses were taken, the present one last.
        retina: what they were taken with.
        glimpse: float (k*C, g, g) in [0, 1], the present one, finest scale first.
        time: how many glimpses (or frames, where the image moves) there were, and the most there can be.
        reward: so far.
        ended: whether the episode has ended; its reward then shows in green or red.
        image_moves: whether earlier glimpses were of other images; then only the present one lights this one.

    Returns:
        uint8 (height, width, 3).
    """
    stage = Stage(image, retina, fixations[-1:] if image_moves else fixations, _ROOM, _MARGIN)
    stage.draw_boxes(fixations[-1], width=2)
    stage.draw_path(fixations, radius=3.5, opacity=0.35 if image_moves else 0.9)
    tiles = _tiles(glimpse, retina)
    top, left = 84, PAD + _STAGE_SIDE + PAD
    width = left + tiles.shape[1] + PAD
    page = blank_page(top + _STAGE_SIDE + PAD, width)
    page[top : top + _STAGE_SIDE, PAD : PAD + _STAGE_SIDE] = stage.canvas
    page[top : top + _STAGE_SIDE, left : left + tiles.shape[1]] = tiles
    # Adding zero turns -0.0 into 0.0.
    amount, edge = str(round(reward, 3) + 0.0), width - PAD
    noun = write(page, 44, PAD, "frame" if image_moves else "glimpse", 20, MUTED)
    write(page, 44, PAD + noun + 8, f"{time[0]} / {time[1]}", 20, TEXT)
    amount_width = write(page, 44, edge, amount, 20, verdict(reward > 0 if ended else None), align=1)
    write(page, 44, edge - amount_width - 8, "reward", 20, MUTED, align=1)
    ticks(page, 62, PAD, edge, *time, radius=3)
    return page


def _tiles(glimpse: np.ndarray, retina: Retina) -> np.ndarray:
    """The glimpse as it is sensed, one framed tile per scale, in columns as high as the stage."""
    k, g = retina.num_scales, retina.patch_size
    # (k*C, g, g), scale-major, to k tiles of (g, g, C)
    pixels = np.rint(255 * np.asarray(glimpse)).astype(np.uint8).reshape(k, -1, g, g).transpose(0, 2, 3, 1)
    rows = min(k, _TILES_IN_COLUMN)
    room = min(_TILE_ROOM, (_STAGE_SIDE + _GAP) // rows - _GAP - _LABEL - 2 * _FRAME)
    small = [shrink(tile, room) for tile in pixels]
    tiles = [enlarge(tile, room // len(tile)) for tile in small]
    side = len(tiles[0]) + 2 * _FRAME
    across, down = side + PAD, (_STAGE_SIDE - _LABEL - side) // max(rows - 1, 1)
    canvas = blank(_STAGE_SIDE, math.ceil(k / rows) * across - PAD)
    for s, tile in enumerate(tiles):
        top, left, color = s % rows * down + _LABEL, s // rows * across, SCALES[s % len(SCALES)]
        frame = canvas[top : top + side, left : left + side]
        frame[...] = color
        frame[_FRAME:-_FRAME, _FRAME:-_FRAME] = tile
        write(canvas, top - 9, left, f"{2**s}x", 15, color)
    return canvas


class Recorder:
    """Remembers the gaze of every row of a world, for drawing: tell it of every beginning and step."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._fixations: list[list[np.ndarray]] = [[] for _ in range(world.num_rows)]
        self._rewards = np.zeros(world.num_rows)

    def begin(self, rows: np.ndarray) -> None:
        """Take note of new episodes in these rows, int64 (R,)."""
        self._rewards[rows] = 0.0
        for row in rows:
            self._fixations[row] = [self._world.locations[row].copy()]

    def follow(self, reward: np.ndarray, active: np.ndarray) -> None:
        """Take note of a step: its reward, float64 (B,), in the rows where ``active``, bool (B,), is true."""
        world = self._world
        self._rewards[active] += reward[active]
        # A choice that ends the episode is made instead of a look.
        looked = active & world.running if world.choice_ends else active
        for row in np.flatnonzero(looked):
            self._fixations[row].append(world.locations[row].copy())

    def draw(self, row: int) -> np.ndarray:
        """A picture of the present moment in one row, uint8 (height, width, 3).

        Raises:
            ResetNeeded: no episode has begun there.
        """
        world, fixations = self._world, self._fixations[row]
        if not fixations:
            raise ResetNeeded("there is no episode to draw: call reset() before render()")
        return draw(
            world.image(row),
            np.array(fixations),
            world.retina,
            world.observe(np.array([row]))["glimpse"][0],
            time=(int(world.steps[row]) if world.image_moves else len(fixations), world.horizon),
            reward=float(self._rewards[row]),
            ended=not world.running[row],
            image_moves=world.image_moves,
        )
