"""Catch: move a paddle under a falling ball; the screen is seen through a retina."""

from __future__ import annotations

from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from gymnasium.vector import VectorEnv

from glimpse_gym.env import GlimpseEnv
from glimpse_gym.kernels.backend import NUMPY, Array, Backend
from glimpse_gym.retina import Retina
from glimpse_gym.safe_io import MAX_BYTES
from glimpse_gym.validation import check_choice, check_integer
from glimpse_gym.vector import GlimpseVectorEnv
from glimpse_gym.world import Action, Outcome, World

_LIT = 255
_MOVES = ("left", "stay", "right")


class CatchWorld(World):
    """Rules of Catch for B games; see :class:`CatchEnv` for the arguments."""

    choice_name: ClassVar[str] = "move"
    choice_is_final: ClassVar[bool] = False
    image_moves: ClassVar[bool] = True
    length_is_fixed: ClassVar[bool] = True

    def __init__(
        self,
        num_rows: int,
        *,
        num_glimpses: int = 23,
        patch_size: int = 6,
        num_scales: int = 3,
        observe: str = "glimpse",
        max_bytes: int = MAX_BYTES,
        backend: Backend = NUMPY,
    ) -> None:
        horizon = check_integer("num_glimpses", num_glimpses, at_least=1)
        side = horizon + 1  # the ball falls from the first row to the last
        self.whole_screen = check_choice("observe", observe, ("glimpse", "screen")) == "screen"
        # A patch as wide as the screen, at the center, shows the whole screen.
        retina = Retina(patch_size, num_scales)
        if self.whole_screen:
            retina = Retina(side)
        super().__init__(
            num_rows,
            retina,
            num_channels=1,
            horizon=horizon,
            choice_names=_MOVES,
            num_draws=3,
            image_bytes=num_rows * side**2,
            max_bytes=max_bytes,
            backend=backend,
        )
        self.offsets[:] = backend.from_host(np.arange(num_rows) * side**2)
        self.sizes[:] = side
        self.side = side
        self.ball = backend.zeros(num_rows, np.float64)  # column, in [0, side - 1]; the row is the step
        self.velocity = backend.zeros(num_rows, np.float64)  # columns per step, in [-1, 1]; negative to the left
        self.paddle = backend.zeros(num_rows, np.int64)  # the left of the paddle's two columns
        self._flat_screens = backend.zeros(num_rows * side**2, np.uint8)
        # Indices of the pixels drawn last, of the left of each paddle and of each ball.
        self._drawn_paddles, self._drawn_balls = backend.copy(self.offsets), backend.copy(self.offsets)
        # As arrays: NumPy computes much faster with them than with Python numbers.
        self._half = backend.from_host(np.array(0.5))
        self._directions = backend.from_host(np.array([-1, 0, 1]))  # of the moves, in columns
        self._leftmost, self._rightmost = backend.from_host(np.array(0)), backend.from_host(np.array(side - 2))
        self._row_length = backend.from_host(np.array(side))
        self._bottoms = self.offsets + (side - 1) * side  # indices of the first pixels of the bottom rows
        self._draw_screens()

    @property
    def _pixels(self) -> Array:
        return self._flat_screens

    @property
    def screens(self) -> Array:
        """uint8 (B, side, side): the screens, as a view."""
        return self._flat_screens.reshape(self.num_rows, self.side, self.side)

    def _reset_rows(self, rows: Array, draws: Array) -> None:
        backend = self.backend
        self.ball[rows] = backend.as_float64(backend.integers_below(draws[:, 0], self.side))
        self.velocity[rows] = 2 * draws[:, 1] - 1
        self.paddle[rows] = backend.integers_below(draws[:, 2], self.side - 1)
        backend.fill(self.locations, rows, 0.0)
        self._draw_screens()

    def _step_rows(self, action: Action, active: Array) -> Outcome:
        backend = self.backend
        self._move_paddle(action.choice, active)
        self._move_ball(active)
        if not self.whole_screen:
            backend.copyto(self.locations, action.location, where=active[:, None])
        self._draw_screens()
        # The episode ends when the ball reaches the bottom row.
        landed = active & self.time_is_up
        if backend.known_none(landed):
            reward = backend.zeros(self.num_rows, np.float64)
        else:
            reward = backend.as_float64(landed & self.caught)
        return Outcome(reward, landed, looked=active)

    def _move_paddle(self, move: Array, active: Array) -> None:
        """Move the paddles by one column, blocked by the walls. A paddle also covers the column to its right."""
        paddle = self.backend.clip(self.paddle + self._directions[move], self._leftmost, self._rightmost)
        self.paddle = self.backend.update(self.paddle, paddle, where=active)

    def _move_ball(self, active: Array) -> None:
        """Move the balls sideways, reflected by the walls."""
        right, copyto = self.side - 1, self.backend.copyto
        self.ball = self.backend.update(self.ball, self.ball + self.velocity, where=active)
        if self.backend.known_within(self.ball, 0, right):
            return
        over, under = self.ball > right, self.ball < 0
        copyto(self.ball, 2 * right - self.ball, where=over)
        copyto(self.ball, -self.ball, where=under)
        copyto(self.velocity, -self.velocity, where=over | under)

    @property
    def column(self) -> Array:
        """int64 (B,): the column in which each ball is drawn."""
        return self.backend.as_int64(self.ball + self._half)

    @property
    def landing_column(self) -> Array:
        """int64 (B,): the column in which each ball will land, in closed form; for the scripted oracle and tests."""
        right = self.side - 1
        unreflected = self.ball + self.velocity * (self.horizon - self.steps)
        folded = abs(unreflected) % (2 * right)  # the path repeats after two reflections
        return self.backend.as_int64(self.backend.minimum(folded, 2 * right - folded) + 0.5)

    @property
    def target_boxes(self) -> Array:
        """int64 (B, 4): top, left, height and width in pixels of each ball; for scripted oracles and tests."""
        one = self.steps * 0 + 1
        return self.backend.stack([self.steps, self.column, one, one], 1)

    @property
    def caught(self) -> Array:
        """bool (B,): whether the paddle covers the column of the ball."""
        offset = self.column - self.paddle
        return (offset >= 0) & (offset <= 1)

    def _draw_screens(self) -> None:
        """Draw the paddles and balls of all rows in place of those drawn last. Nothing changes in inactive rows."""
        update = self.backend.update
        self._fill_drawn(0)
        self._drawn_paddles = update(self._drawn_paddles, self._bottoms + self.paddle)
        self._drawn_balls = update(self._drawn_balls, self.offsets + self.steps * self._row_length + self.column)
        self._fill_drawn(_LIT)

    def _fill_drawn(self, value: int) -> None:
        pixels, fill = self._flat_screens, self.backend.fill
        fill(pixels, self._drawn_paddles, value)
        fill(pixels[1:], self._drawn_paddles, value)  # to the right; faster than adding 1 to all indices
        fill(pixels, self._drawn_balls, value)

    def info(self, rows: Array) -> dict[str, Array]:
        """See :meth:`World.info`. ``caught`` is False while the ball falls."""
        caught = self.caught[rows] & ~self.running[rows]
        return {"caught": caught, "success": caught}


class CatchEnv(GlimpseEnv, gym.Env[Any, Any]):
    """Catch: move a paddle under a falling ball that is seen through a retina.

    ## Description
    The tracking game of section 4.2 of Mnih et al., "Recurrent Models of Visual Attention", 2014. On a binary screen
    of 24 x 24 pixels a ball of one pixel falls one row per step, moves sideways at a constant speed and bounces off
    the walls. A paddle of two pixels moves along the bottom row. The agent sees one glimpse of every frame, at a
    location of its choice. The only reward comes at the end.

    ## Action Space
    `actions="hybrid"`: `Dict(next_location=Box(-1, 1, (2,), float32), move=Discrete(3))`.

    | key | meaning |
    | --- | --- |
    | `next_location` | where to look in the next frame: x to the right, y down, (0, 0) the center; clipped to [-1, 1] |
    | `move` | 0 left, 1 stay, 2 right, one column, blocked by the walls |

    `actions="discrete"`: `Discrete(3*M*M)`, `move * M*M + cell`, with the cells of an M x M grid
    numbered row by row.

    `actions="multidiscrete"`: `MultiDiscrete([3, M*M])`, move and cell.

    `actions="continuous"`: `Box(-1, 1, (5,), float32)`: `next_location`, then one score per move; the move with the
    highest score is made (the first of equals).

    ## Observation Space
    A `Dict`, for g = `patch_size`, k = `num_scales`:

    | key | dtype | shape | range | meaning |
    | --- | --- | --- | --- | --- |
    | `glimpse` | float32 | (k, g, g) | 0 to 1 | patches of the retina, finest scale first |
    | `location` | float32 | (2,) | -1 to 1 | where the glimpse was taken |
    | `time` | float32 | (1,) | 0 to 1 | steps taken / `num_glimpses` |

    `observations="flat"` gives the same values as one float32 `Box`: glimpse, location and time, concatenated.

    `observe="screen"`, for control experiments, gives the whole screen, (1, 24, 24) by default, in place of the
    glimpse; the location is then always the center.

    ## Rewards
    1.0 at the last step if the paddle covers the ball's column, else 0.0; 0.0 before.

    ## Starting State
    The ball is in row 0 at a uniformly random column; its horizontal velocity is uniform in [-1, 1] columns per step.
    The paddle is at a uniformly random column. The first glimpse is at the center.

    ## Episode End
    `terminated` when the ball reaches the bottom row, after `num_glimpses` steps.

    ## Info
    `caught` and `success`: the ball was caught. Always present, False until the end.

    ## Metadata
    `env.metadata` describes the task for agents: `num_glimpses`, `num_scales`, `patch_size`, `image_size` (height and
    width in pixels), `num_images` (None), `choice_names`, `choice_is_final` (False), `image_moves` (True) and `device`.

    ## Arguments
    | name | default | meaning |
    | --- | --- | --- |
    | `num_glimpses` | 23 | steps of an episode, one glimpse each; the screen has one pixel more on each side |
    | `patch_size` | 6 | g |
    | `num_scales` | 3 | k, at most 12 |
    | `observe` | `"glimpse"` | or `"screen"` |
    | `max_bytes` | 2,000,000,000 | the most memory that all sub-envs may take |
    | `actions` | `"hybrid"` | or `"discrete"`, `"multidiscrete"`, `"continuous"` |
    | `observations` | `"dict"` | or `"flat"` |
    | `grid_size` | 5 | M, at most 1000 |
    | `device` | `"cpu"` | of vector envs: NumPy arrays, or on `"torch:cpu"`, `"cuda"`, ... torch tensors |
    | `compiled` | False | of vector envs on a torch device: compile the computation of glimpses with `torch.compile` |
    | `render_mode` | None | or `"human"`, a window; `"rgb_array"`, frames; `"ansi"`, text for a terminal |

    ## Version History
    * v0: first version.
    """

    world_class = CatchWorld


class CatchVectorEnv(GlimpseVectorEnv, VectorEnv[Any, Any, np.ndarray]):
    """Vector env of :class:`CatchEnv`, with the same arguments."""

    world_class = CatchWorld
