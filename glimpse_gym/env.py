"""The single env: the batch of one, told in Gymnasium's words."""

from __future__ import annotations

import inspect
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.error import ResetNeeded

from glimpse_gym.actions import make_codec
from glimpse_gym.rendering.frames import Recorder
from glimpse_gym.rng import keys_from_seeds
from glimpse_gym.validation import check_choice
from glimpse_gym.world import World

RENDER_MODES = ("rgb_array",)
_ONE_ROW = np.array([0])
_ACTIVE = np.array([True])


def make_world(world_class: type[World], num_rows: int, kwargs: dict[str, Any]) -> World:
    """A world of B rows, or a TypeError that lists the keyword values it accepts."""
    parameters = dict(inspect.signature(world_class).parameters)
    del parameters["num_rows"]
    accepted = ", ".join(sorted({"actions", "grid_size", "render_mode", *parameters}))
    if unknown := set(kwargs) - set(parameters):
        raise TypeError(f"unknown keyword values {sorted(unknown)}; accepted: {accepted}")
    needed = {name for name, parameter in parameters.items() if parameter.default is inspect.Parameter.empty}
    if missing := needed - set(kwargs):
        raise TypeError(f"the keyword values {sorted(missing)} must be given; accepted: {accepted}")
    return world_class(num_rows, **kwargs)


def observation_space(world: World) -> spaces.Dict:
    """The space of one row's observation."""
    shape = world.retina.glimpse_shape(world.num_channels)
    return spaces.Dict(
        {
            "glimpse": spaces.Box(0.0, 1.0, shape, np.float32),
            "location": spaces.Box(-1.0, 1.0, (2,), np.float32),
            "time": spaces.Box(0.0, 1.0, (1,), np.float32),
        }
    )


class GlimpseEnv(gym.Env[dict[str, np.ndarray], Any]):
    """One episode of a world at a time.

    Args:
        actions: ``"hybrid"``, ``"discrete"`` or ``"multidiscrete"``; see :mod:`glimpse_gym.actions`.
        grid_size: M, the side of the grid of places of the two discrete forms.
        render_mode: None or ``"rgb_array"``.
        **kwargs: the keyword values of the world.

    Raises:
        TypeError: a keyword value that does not exist.
        ValueError: one that is not accepted.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": list(RENDER_MODES), "render_fps": 4}  # type: ignore[misc]
    world_class: ClassVar[type[World]]

    def __init__(
        self, *, actions: str = "hybrid", grid_size: int = 5, render_mode: str | None = None, **kwargs: Any
    ) -> None:
        self.render_mode = check_choice("render_mode", render_mode, (None, *RENDER_MODES))
        self.world = make_world(self.world_class, 1, kwargs)
        self.codec = make_codec(actions, self.world, grid_size)
        self.observation_space = observation_space(self.world)  # type: ignore[assignment]
        self.action_space = self.codec.space
        self._recorder = Recorder(self.world) if render_mode else None
        self._begun = False

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Begin a new episode.

        Args:
            seed: begins the stream of episodes anew; None goes on with it.
            options: ``{"image_index": i}`` asks for one image, in a world that has images to choose from.

        Raises:
            ValueError: a seed, an option or an index that does not exist; the present episode goes on.
        """
        checked = self.world.check_options({} if options is None else options, 1)
        keys = None if seed is None else keys_from_seeds([seed])
        super().reset(seed=None if seed is None else int(seed))
        if keys is None and not self._begun:
            keys = self.np_random.integers(-(2**63), 2**63 - 1, 1)
        if keys is not None:
            self.world.seed(_ONE_ROW, keys)
            self._begun = True
        self.world.reset(_ONE_ROW, **checked)
        if self._recorder:
            self._recorder.begin(_ONE_ROW)
        return self._observe(), _first(self.world.begin_info(_ONE_ROW))

    def step(self, action: Any) -> tuple[dict[str, np.ndarray], float, bool, bool, dict[str, Any]]:
        """Take one step.

        Raises:
            ResetNeeded: before the first reset, and after the end of an episode.
            ValueError: an action that does not belong to the space; the episode is left as it was.
        """
        if not self.world.running[0]:
            raise ResetNeeded("there is no episode to step, or it has ended: call reset() first")
        outcome = self.world.step(self.codec.decode(action, ()), _ACTIVE)
        reward, terminated = float(outcome.reward[0]), bool(outcome.terminated[0])
        if self._recorder:
            self._recorder.follow(outcome.reward, _ACTIVE)
        info = _first(self.world.end_info(_ONE_ROW)) if terminated else {}
        return self._observe(), reward, terminated, False, info

    def render(self) -> np.ndarray | None:
        """A picture of the episode, uint8 (height, width, 3), or None where no ``render_mode`` was given."""
        if self._recorder is None:
            gym.logger.warn("render() draws nothing without a mode: make the env with render_mode='rgb_array'")
            return None
        return self._recorder.draw(0)

    @property
    def image(self) -> np.ndarray:
        """The whole present image, a copy: uint8 (H, W), or (H, W, C). For drawing and tests; no agent reads it.

        Raises:
            ResetNeeded: before the first reset.
        """
        if not self._begun:
            raise ResetNeeded("there is no image yet: call reset() first")
        return self.world.image(0)

    def _observe(self) -> dict[str, np.ndarray]:
        batch = self.world.observe()
        return {"glimpse": batch["glimpse"][0], "location": batch["location"][0], "time": batch["time"][0]}


def _first(info: dict[str, np.ndarray]) -> dict[str, Any]:
    return {name: value[0].item() for name, value in info.items()}
