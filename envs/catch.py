"""Catch: a ball falls, a paddle moves, and the screen is seen through a retina."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from glimpse_gym.env import GlimpseEnv
from glimpse_gym.retina import Retina
from glimpse_gym.validation import check_choice, check_integer
from glimpse_gym.vector import GlimpseVectorEnv
from glimpse_gym.world import Action, Outcome, World, scaled

_LIT = 255


class CatchWorld(World):
    """The rules of Catch for B games; see :class:`CatchEnv` for what the arguments mean."""

    choice_name: ClassVar[str] = "move"
    choice_ends: ClassVar[bool] = False
    image_moves: ClassVar[bool] = True

    def __init__(
        self,
        num_rows: int,
        *,
        num_glimpses: int = 23,
        patch_size: int = 6,
        num_scales: int = 3,
        observe: str = "glimpse",
    ) -> None:
        horizon = check_integer("num_glimpses", num_glimpses, at_least=1)
        side = horizon + 1  # the ball falls from the first row to the last
        self.whole_screen = check_choice("observe", observe, ("glimpse", "screen")) == "screen"
        # A patch as wide as the screen, at its center, is the screen.
        retina = Retina(patch_size, num_scales)
        if self.whole_screen:
            retina = Retina(side)
        super().__init__(num_rows, retina, num_channels=1, horizon=horizon, num_choices=3, num_draws=3)
        self.offsets[:] = np.arange(num_rows) * side**2
        self.sizes[:] = side
        self.side = side
        self.ball = np.zeros(num_rows)  # the column, a real number in [0, side - 1]; its row is the step
        self.speed = np.zeros(num_rows)  # columns a step, in [-1, 1]
        self.paddle = np.zeros(num_rows, np.int64)  # the left one of its two columns
        self.screens = np.zeros((num_rows, side, side), np.uint8)

    @property
    def _pixels(self) -> np.ndarray:
        return self.screens.reshape(-1)

    def _begin(self, rows: np.ndarray, draws: np.ndarray) -> None:
        self.ball[rows] = scaled(draws[:, 0], self.side)
        self.speed[rows] = 2 * draws[:, 1] - 1
        self.paddle[rows] = scaled(draws[:, 2], self.side - 1)
        self.locations[rows] = 0.0
        self._draw(rows)

    def _play(self, action: Action, active: np.ndarray) -> Outcome:
        right = self.side - 1
        # The paddle moves, blocked by the walls; its right pixel is one column further.
        self.paddle = np.minimum(np.maximum(self.paddle + (action.choice - 1) * active, 0), right - 1)
        # The ball moves, reflected by the walls.
        self.ball = self.ball + self.speed * active
        over, under = self.ball > right, self.ball < 0
        np.copyto(self.ball, 2 * right - self.ball, where=over)
        np.copyto(self.ball, -self.ball, where=under)
        np.copyto(self.speed, -self.speed, where=over | under)
        if not self.whole_screen:
            np.copyto(self.locations, action.location, where=active[:, None])
        self._draw(active.nonzero()[0])
        # The ball has landed: judge.
        landed = active & (self.steps >= self.horizon)
        return Outcome((landed & self.caught).astype(np.float64), landed)

    @property
    def column(self) -> np.ndarray:
        """The column in which each ball is drawn, int64 (B,)."""
        return (self.ball + 0.5).astype(np.int64)

    @property
    def landing_column(self) -> np.ndarray:
        """The column in which each ball will land, int64 (B,): for oracles and tests."""
        right = self.side - 1
        way = self.ball + self.speed * (self.horizon - self.steps)
        folded = np.abs(way) % (2 * right)  # reflections unfolded: there and back again
        return (np.minimum(folded, 2 * right - folded) + 0.5).astype(np.int64)

    @property
    def caught(self) -> np.ndarray:
        """Whether each paddle covers its ball's column, bool (B,)."""
        reach = self.column - self.paddle
        return (reach >= 0) & (reach <= 1)

    def _draw(self, rows: np.ndarray) -> None:
        paddle = self.paddle[rows]
        self.screens[rows] = 0
        self.screens[rows, self.side - 1, paddle] = _LIT
        self.screens[rows, self.side - 1, paddle + 1] = _LIT
        self.screens[rows, self.steps[rows], self.column[rows]] = _LIT

    def begin_info(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Nothing."""
        return {}

    def end_info(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Whether the ball was caught."""
        return {"caught": self.caught[rows]}


class CatchEnv(GlimpseEnv):
    """Catch: move a paddle under a falling ball that is seen through a retina.

    ## Description
    The tracking game of section 4.2 of Mnih et al., "Recurrent Models of Visual Attention", 2014. On a binary screen
    of 24 x 24 pixels a ball of one pixel falls one row a step, moves sideways at a constant speed and bounces off
    the walls. A paddle of two pixels moves along the bottom row. The player sees only glimpses, and looks where it
    likes, once in every frame. There is one reward, at the end.

    ## Action Space
    `actions="hybrid"`: `Dict(location=Box(-1, 1, (2,), float32), move=Discrete(3))`.

    | key | meaning |
    | --- | --- |
    | `location` | where to look in the next frame: x to the right, y down, (0, 0) the center; clipped to [-1, 1] |
    | `move` | 0 left, 1 stay, 2 right, one column, blocked by the walls |

    `actions="discrete"`: `Discrete(3*M*M)`, move * M*M + cell, cells of an M x M grid counted row by row.
    `actions="multidiscrete"`: `MultiDiscrete([3, M*M])`, move and cell.

    ## Observation Space
    A `Dict`, for g = `patch_size`, k = `num_scales`:

    | key | dtype | shape | range | meaning |
    | --- | --- | --- | --- | --- |
    | `glimpse` | float32 | (k, g, g) | 0 to 1 | what the retina sees, finest scale first |
    | `location` | float32 | (2,) | -1 to 1 | where it was taken |
    | `time` | float32 | (1,) | 0 to 1 | steps taken / `num_glimpses` |

    `observe="screen"` puts the whole screen, (1, 24, 24) by default, in the place of the glimpse, seen from the
    center, as a control.

    ## Rewards
    1.0 at the last step if the paddle covers the ball's column, else 0.0; 0.0 before.

    ## Starting State
    The ball in row 0 at a uniform column, its speed uniform in [-1, 1] columns a step; the paddle at a uniform
    column; the gaze at the center.

    ## Episode End
    `terminated` when the ball reaches the bottom row, after 23 steps. `info` holds `caught` then.

    ## Arguments
    | name | default | meaning |
    | --- | --- | --- |
    | `num_glimpses` | 23 | glimpses of an episode, one a frame; the screen is one pixel more on a side |
    | `patch_size` | 6 | g |
    | `num_scales` | 3 | k |
    | `observe` | `"glimpse"` | or `"screen"` |
    | `actions` | `"hybrid"` | or `"discrete"`, `"multidiscrete"` |
    | `grid_size` | 5 | M |
    | `render_mode` | None | or `"rgb_array"` |

    ## Version History
    * v0: first version.
    """

    world_class = CatchWorld


class CatchVectorEnv(GlimpseVectorEnv):
    """Many games of :class:`CatchEnv` at once, with the same arguments; see there."""

    world_class = CatchWorld
