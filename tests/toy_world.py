"""A complete world in one file: is the bright pixel in the left or in the right half of the image?"""

from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from gymnasium.vector import VectorEnv

from glimpse_gym.env import GlimpseEnv
from glimpse_gym.retina import Retina
from glimpse_gym.vector import GlimpseVectorEnv
from glimpse_gym.world import Action, Outcome, World


class SideWorld(World):
    """Rules: 8 x 8 pixels, one of them bright; the side chosen at the last step is judged."""

    choice_name: ClassVar[str] = "side"
    choice_is_final: ClassVar[bool] = True
    image_moves: ClassVar[bool] = False

    def __init__(self, num_rows: int, *, num_glimpses: int = 3, patch_size: int = 4, num_scales: int = 2) -> None:
        super().__init__(num_rows, Retina(patch_size, num_scales), 1, num_glimpses, ("left", "right"), num_draws=1)
        self.images = np.zeros((num_rows, 64), np.uint8)
        self.offsets[:], self.sizes[:] = np.arange(num_rows) * 64, 8
        self.side, self.correct = np.zeros((2, num_rows), np.int64)

    @property
    def _pixels(self) -> np.ndarray:
        return self.images.reshape(-1)

    def _reset_rows(self, rows: np.ndarray, draws: np.ndarray) -> None:
        pixel = self.backend.integers_below(draws[:, 0], 64)
        self.images[rows] = 0
        self.images[rows, pixel] = 255
        self.side[rows], self.locations[rows], self.correct[rows] = pixel % 8 // 4, 0, 0

    def _step_rows(self, action: Action, active: np.ndarray) -> Outcome:
        ended = active & (self.time_is_up if action.commits is None else self.time_is_up | action.commits)
        answered = ended if action.commits is None else ended & action.commits
        self.locations[active & ~ended] = action.location[active & ~ended]
        self.correct[ended] = (answered & (action.choice == self.side))[ended]
        return Outcome((self.correct * ended).astype(np.float64), ended, looked=active & ~ended)

    def info(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """See :meth:`World.info`."""
        return {"success": self.correct[rows] == 1}


class SideEnv(GlimpseEnv, gym.Env[Any, Any]):
    """Say on which side the bright pixel is."""

    world_class = SideWorld


class SideVectorEnv(GlimpseVectorEnv, VectorEnv[Any, Any, np.ndarray]):
    """Vector env of :class:`SideEnv`."""

    world_class = SideWorld
