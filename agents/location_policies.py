"""Rules for where to look: location policies that learn nothing, to compare a learned one with.

A RAM whose ``location_policy`` is one of them has the same networks and learns its choices in the same way as any other
RAM, so that a comparison shows the worth of learning where to look. Uniformly random locations are in
:mod:`glimpse_gym.agents.ram`. B episodes, T glimpses, N cells of a map per axis.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
import torch
from gymnasium.vector import VectorEnv, VectorWrapper
from torch import Tensor

from glimpse_gym.kernels.geometry import coordinate_of, first_pixel


class LocationRule(ABC):
    """Deterministic rule for the next location.

    The object holds what it knows about the env, and nothing about the episodes: their memory is a tensor that the
    caller keeps, (B, ``memory_size``), and that the rule sets to zeros in the rows where ``time`` is 0.
    """

    memory_size: ClassVar[int] = 0

    def bind(self, envs: VectorEnv[Any, Any, Any]) -> None:  # noqa: B027 (most rules need to know nothing)
        """Read from a vector env of this package what the rule has to know about it."""

    @abstractmethod
    def next_location(self, observation: dict[str, np.ndarray], memory: Tensor) -> tuple[Tensor, Tensor]:
        """Choose the next locations.

        Args:
            observation: of B sub-envs.
            memory: from the previous step, (B, memory_size); of any content in the rows where ``time`` is 0.

        Returns:
            Locations, float32 (B, 2) in [-1, 1], and the new memory.

        Raises:
            ValueError: if the rule depends on the env, and :meth:`bind` was not called.
        """


class CenterLocations(LocationRule):
    """Always the center of the image."""

    def next_location(self, observation: dict[str, np.ndarray], memory: Tensor) -> tuple[Tensor, Tensor]:
        """See :meth:`LocationRule.next_location`."""
        return torch.zeros(len(observation["time"]), 2), memory


class _Sequence(LocationRule):
    """Base class of the rules that look at the same T - 1 locations, in the same order, in every episode.

    They follow the first glimpse, whose location the env chooses. ``time`` says which of them is next.
    """

    def __init__(self) -> None:
        self._horizon = 0
        self._locations: Tensor | None = None

    def bind(self, envs: VectorEnv[Any, Any, Any]) -> None:
        """See :meth:`LocationRule.bind`: T."""
        self._horizon = envs.metadata["num_glimpses"]
        self._locations = self.sequence(max(self._horizon - 1, 1)).float()

    @staticmethod
    @abstractmethod
    def sequence(number: int) -> Tensor:
        """Return ``number`` locations in their order, (number, 2)."""

    def next_location(self, observation: dict[str, np.ndarray], memory: Tensor) -> tuple[Tensor, Tensor]:
        """See :meth:`LocationRule.next_location`."""
        if self._locations is None:
            raise _not_bound("the order of the locations depends on the number of glimpses")
        step = torch.from_numpy(observation["time"][:, 0] * self._horizon).round().long()  # from 0 to T
        return self._locations[step.clamp(max=len(self._locations) - 1)], memory


class RasterLocations(_Sequence):
    """The cells of a grid, from left to right and from top to bottom.

    The n = T - 1 locations are divided as evenly as possible among round(sqrt(n)) rows of equal height; each is the
    center of its cell. So they cover the whole image for every T: with T = 8, rows of 2, 3 and 2 cells.
    """

    @staticmethod
    def sequence(number: int) -> Tensor:
        """See :class:`RasterLocations`."""
        num_rows = round(math.sqrt(number))
        ends = [round(row * number / num_rows) for row in range(num_rows + 1)]
        lengths = [end - start for start, end in pairwise(ends)]
        rows = zip(_cell_centers(num_rows), lengths, strict=True)
        return torch.tensor([(x, y) for y, length in rows for x in _cell_centers(length)])


class SpiralLocations(_Sequence):
    """A spiral from the center outward, whose points are equally dense everywhere.

    Location i = 0, 1, ... of n = T - 1 has the radius sqrt(i / n) and the angle i * 137.5 degrees, the golden angle,
    clockwise from the positive x axis (Vogel, "A better way to construct the sunflower head", 1979).
    """

    @staticmethod
    def sequence(number: int) -> Tensor:
        """See :class:`SpiralLocations`."""
        index = torch.arange(number, dtype=torch.float64)
        radius, angle = (index / number).sqrt(), index * (math.pi * (3 - math.sqrt(5)))
        return torch.stack([radius * angle.cos(), radius * angle.sin()], dim=1)


class SaliencyLocations(LocationRule):
    """Greedy saliency: the place where the fovea, the finest patch, would show most that is bright and not yet fixated.

    A saliency map with inhibition of return, after Itti, Koch and Niebur, "A Model of Saliency-Based Visual Attention
    for Rapid Scene Analysis", 1998, built from glimpses alone. The map divides the image into N x N cells, N = 24. In
    its memory each cell has

    - a brightness: of the newest glimpse that showed the center of the cell, at the finest scale that did so, averaged
      over the channels; 0 before;
    - how it was seen: 0 never, 1 at a coarser scale only, 2 by the fovea.

    The next location is the center of the cell with the highest saliency, of equals the first, row by row:

    1. A cell that was never seen is expected to be as bright as what was seen near it: it takes the sum of all
       brightnesses, weighted by a Gaussian whose standard deviation is a third of a fovea and whose weights sum to 1.
       With one scale, where everything seen was seen by the fovea, this alone draws the gaze, toward the brightest
       border of what was seen.
    2. Every cell is brighter by 0.01 * (1 - r**2 / 4), where r is its distance from the center of the image, so that
       with nothing bright in view the gaze searches outward from the center.
    3. Cells that were seen by the fovea are set to 0: the inhibition of return.
    4. The saliency of a cell is the sum over all cells, weighted by the same Gaussian around it.
    """

    num_cells: ClassVar[int] = 24
    memory_size: ClassVar[int] = 2 * num_cells**2

    def __init__(self) -> None:
        self._size: tuple[float, float] | None = None

    def bind(self, envs: VectorEnv[Any, Any, Any]) -> None:
        """See :meth:`LocationRule.bind`: size of the image and of the patches."""
        metadata = envs.metadata
        self._size, self._num_scales = metadata["image_size"], metadata["num_scales"]
        centers = torch.tensor(_cell_centers(self.num_cells), dtype=torch.float64)
        side = metadata["patch_size"]
        self._pixels = [(centers + 1) * extent / 2 for extent in self._size]  # rows and columns of the cells' centers
        self._weights = [_gaussian(pixels, side / 3) for pixels in self._pixels]
        self._prior = (0.01 * (1 - (centers[:, None] ** 2 + centers**2) / 4)).float()
        self._centers = centers.float()

    def next_location(self, observation: dict[str, np.ndarray], memory: Tensor) -> tuple[Tensor, Tensor]:
        """See :meth:`LocationRule.next_location`."""
        if self._size is None:
            raise _not_bound("the saliency map depends on the size of the image")
        starts = torch.from_numpy(observation["time"]) == 0  # (B, 1)
        maps = torch.where(starts, 0.0, memory).view(-1, 2, self.num_cells, self.num_cells)
        glimpse, location = torch.from_numpy(observation["glimpse"]), torch.from_numpy(observation["location"])
        brightness, how_seen = self._remember(glimpse, location, *maps.unbind(1))
        cell = self._saliency(brightness, how_seen).flatten(1).argmax(1)
        x, y = self._centers[cell % self.num_cells], self._centers[cell // self.num_cells]
        return torch.stack([x, y], dim=1), torch.stack([brightness, how_seen], dim=1).flatten(1)

    def _remember(
        self, glimpse: Tensor, location: Tensor, brightness: Tensor, how_seen: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Enter a glimpse, taken at a location, into the maps; each map (B, N, N)."""
        batch, _, side, _ = glimpse.shape
        patches = glimpse.view(batch, self._num_scales, -1, side, side).mean(2)  # (B, k, g, g)
        for scale in reversed(range(self._num_scales)):
            # One-hot rows and columns, (B, N, g): which row or column of the patch shows the center of a map cell.
            rows, columns = (
                self._shown_at(pixels, location[:, axis], extent, side, scale)
                for pixels, axis, extent in zip(self._pixels, (1, 0), self._size, strict=True)  # type: ignore[arg-type]
            )
            shown = rows.any(2)[:, :, None] & columns.any(2)[:, None, :]  # (B, N, N)
            values = rows.float() @ patches[:, scale] @ columns.float().transpose(1, 2)
            brightness = torch.where(shown, values, brightness)
            how_seen = torch.where(shown, how_seen.clamp(min=1.0 if scale else 2.0), how_seen)
        return brightness, how_seen

    def _shown_at(self, pixels: Tensor, coordinates: Tensor, extent: float, side: int, scale: int) -> Tensor:
        first = first_pixel(coordinates.double(), extent, side * 2**scale)  # (B,)
        index = (pixels - first[:, None]) // 2**scale  # (B, N)
        return index[..., None] == torch.arange(side)

    def _saliency(self, brightness: Tensor, how_seen: Tensor) -> Tensor:
        """Compute the saliency of every cell, (B, N, N); the numbers are the steps in the class docstring."""
        rows, columns = self._weights
        near = rows @ brightness @ columns
        expected = torch.where(how_seen == 0, near, brightness) + self._prior  # 1, 2
        expected = torch.where(how_seen == 2, 0.0, expected)  # 3
        return rows @ expected @ columns  # 4


class OracleLocations(LocationRule):
    """Oracle that is CHEATING: it reads from the world where the digit, or the ball, is, and looks there.

    First at the center of its box (:attr:`target_boxes` of the world), then a quarter of the box above, below, left and
    right of it, then at the four corners of that square, and again from the center on. A ball is one pixel, so that
    all of these are at the ball.
    """

    # In quarters of the box, x and y.
    _OFFSETS: ClassVar[Tensor] = torch.tensor(
        [[0, 0], [0, -1], [0, 1], [-1, 0], [1, 0], [-1, -1], [1, -1], [-1, 1], [1, 1]], dtype=torch.float64
    )

    def __init__(self) -> None:
        self._world: Any = None
        self._horizon = 0

    def bind(self, envs: VectorEnv[Any, Any, Any]) -> None:
        """See :meth:`LocationRule.bind`: the world itself, and T.

        Raises:
            ValueError: if the world does not say where its target is.
        """
        world = getattr(envs.unwrapped, "world", None)
        if not hasattr(world, "target_boxes"):
            raise ValueError(
                "location_policy='oracle' reads where the target is from target_boxes of the world, and "
                f"{type(world).__name__} has none: choose another location policy"
            )
        self._world, self._horizon = world, envs.metadata["num_glimpses"]

    def next_location(self, observation: dict[str, np.ndarray], memory: Tensor) -> tuple[Tensor, Tensor]:
        """See :meth:`LocationRule.next_location`."""
        if self._world is None:
            raise _not_bound("the oracle reads the world")
        top, left, height, width = torch.from_numpy(self._world.target_boxes.T)  # each (B,)
        step = torch.from_numpy(observation["time"][:, 0] * self._horizon).round().long()
        x_offset, y_offset = self._OFFSETS[step % len(self._OFFSETS)].T
        image_height, image_width = torch.from_numpy(self._world.sizes.T)
        x = coordinate_of(left + (2 + x_offset) * width / 4, image_width)
        y = coordinate_of(top + (2 + y_offset) * height / 4, image_height)
        return torch.stack([x, y], dim=1).clamp(-1.0, 1.0).float(), memory


LOCATION_RULES: dict[str, type[LocationRule]] = {
    "center": CenterLocations,
    "raster": RasterLocations,
    "spiral": SpiralLocations,
    "saliency": SaliencyLocations,
    "oracle": OracleLocations,
}
"""All rules, by their names in ``RAMConfig.location_policy``."""


class ScriptedLocations(VectorWrapper):
    """Vector env with hybrid actions in which a rule chooses every ``next_location``, whatever the action says.

    So a learner needs to know nothing of rules.

    Args:
        envs: of this package, with hybrid actions and dict observations.
        rule: is bound to ``envs``.
    """

    def __init__(self, envs: VectorEnv[Any, Any, Any], rule: LocationRule) -> None:
        super().__init__(envs)
        if envs.metadata["device"] != "cpu":
            device = envs.metadata["device"]
            raise ValueError(f"locations are chosen by a rule with device='cpu' only, got {device!r}")
        rule.bind(envs)
        self._rule = rule
        self._observation: dict[str, np.ndarray] = {}
        self._memory = torch.zeros(self.num_envs, rule.memory_size)

    def reset(self, **kwargs: Any) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """See :meth:`gymnasium.vector.VectorEnv.reset`."""
        self._observation, infos = super().reset(**kwargs)
        return self._observation, infos

    def step(self, actions: dict[str, np.ndarray]) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """See :meth:`gymnasium.vector.VectorEnv.step`."""
        location, self._memory = self._rule.next_location(self._observation, self._memory)
        results = super().step(actions | {"next_location": location.numpy()})
        self._observation = results[0]
        return results


def _cell_centers(number: int) -> list[float]:
    """Return the coordinates of the centers of ``number`` equal cells from -1 to 1."""
    return [(2 * i + 1) / number - 1 for i in range(number)]


def _gaussian(pixels: Tensor, std: float) -> Tensor:
    """Return the Gaussian weights between all cells at these pixels, 0 beyond 4 standard deviations: float32 (N, N).

    In the middle of the image they sum to 1; near its border the rest is outside.
    """
    distances = (pixels[:, None] - pixels).abs() / std
    weights = torch.where(distances <= 4, torch.exp(-(distances**2) / 2), 0.0)  # denormal numbers would be slow
    return (weights / weights.sum(1).max()).float()


def _not_bound(reason: str) -> ValueError:
    return ValueError(f"{reason}: call check_env(envs) first")
