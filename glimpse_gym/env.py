"""Single env: a world of one row as a Gymnasium environment."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, ClassVar

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.error import ResetNeeded

from glimpse_gym.actions import Keys, make_codec
from glimpse_gym.kernels.backend import NUMPY, Array, Backend
from glimpse_gym.rng import check_seed, keys_from_seeds
from glimpse_gym.validation import check_choice
from glimpse_gym.world import World

if TYPE_CHECKING:
    from glimpse_gym.rendering.renderer import Renderer

RENDER_MODES = ("human", "rgb_array", "ansi")
OBSERVATIONS = ("dict", "flat")
_BYTES_PER_FRAME = 2_000_000  # about 800 x 600 pixels; wider with many scales
_ONE_ROW = np.array([0])
_ACTIVE = np.array([True])

# Keyword arguments that people try, and what to do instead.
_HINTS = {
    "max_episode_steps": "the horizon is part of the task, set num_glimpses instead",
    "vector_kwargs": "give autoreset_mode= directly",
    "wrappers": "wrap the env after it is made, or use vectorization_mode='sync'",
    "device": "only vector envs have one: gym.make_vec(id, num_envs=n, device=...)",
    "autoreset_mode": "with vectorization_mode='sync' or 'async' it goes into vector_kwargs",
}


def make_world(env_class: type[Any], num_rows: int, kwargs: dict[str, Any], backend: Backend = NUMPY) -> World:
    """Make the world of a single or vector env class with ``num_rows`` rows.

    Raises:
        TypeError: if a keyword argument is unknown or missing; worded as Python's own errors.
    """
    world_class: type[World] = env_class.world_class
    parameters = dict(inspect.signature(world_class).parameters)
    del parameters["num_rows"]
    takes_backend = parameters.pop("backend", None) is not None
    own = inspect.signature(env_class).parameters.values()
    accepted = ", ".join(sorted({*parameters, *(each.name for each in own if each.kind is each.KEYWORD_ONLY)}))
    for name in kwargs:
        if name not in parameters:
            hint = f" ({_HINTS[name]})" if name in _HINTS else ""
            raise TypeError(
                f"{env_class.__name__}.__init__() got an unexpected keyword argument '{name}'{hint}; "
                f"accepted: {accepted}"
            )
    required = [name for name, parameter in parameters.items() if parameter.default is parameter.empty]
    if missing := [repr(name) for name in required if name not in kwargs]:
        raise TypeError(
            f"{env_class.__name__}.__init__() missing {len(missing)} required keyword-only "
            f"argument{'s' if len(missing) > 1 else ''}: {' and '.join(missing)}; accepted: {accepted}"
        )
    if takes_backend:
        return world_class(num_rows, **kwargs, backend=backend)
    if backend.device != "cpu":
        raise ValueError(f"{world_class.__name__} computes with NumPy only: make the env with device='cpu'")
    return world_class(num_rows, **kwargs)


def make_renderer(
    env_class: type[Any], world: World, render_mode: str | None, metadata: dict[str, Any]
) -> Renderer | None:
    """Make the renderer of an env; None without a render mode, so that pygame is imported only if needed.

    Raises:
        ValueError: if the frames of all rows take too much memory, or the world is not on the CPU.
    """
    if render_mode is None:
        return None
    if world.backend.device != "cpu":
        raise ValueError(
            f"render_mode={render_mode!r} needs device='cpu', got {world.backend.device!r}: make a second env on the "
            "CPU, which has the same episodes for the same seeds"
        )
    if render_mode == "rgb_array":  # the window shows reduced frames, so that all fit on the screen
        settings = f"the frames of num_envs={world.num_rows} with render_mode='rgb_array'"
        world.claim_memory(world.num_rows * _BYTES_PER_FRAME, settings, "fewer sub-envs or render_mode=None")
    from glimpse_gym.rendering.renderer import Renderer

    return Renderer(world, render_mode, metadata, title=env_class.__name__)


def make_metadata(world: World) -> dict[str, Any]:
    """Make the metadata of an env: its render modes, and the description of the task that agents read."""
    return {
        "render_modes": list(RENDER_MODES),
        "render_fps": 4,
        "device": world.backend.device,
        "num_glimpses": world.horizon,
        "num_scales": world.retina.num_scales,
        "patch_size": world.retina.patch_size,
        "image_size": world.image_size,
        "num_images": world.num_images,
        "choice_names": world.choice_names,
        "choice_is_final": world.choice_is_final,
        "image_moves": world.image_moves,
    }


def observation_space(world: World, observations: str) -> spaces.Dict | spaces.Box:
    """Make the observation space of one row: ``"dict"``, or ``"flat"``, one Box of the same values concatenated."""
    check_choice("observations", observations, OBSERVATIONS)
    space = spaces.Dict(
        {
            "glimpse": spaces.Box(0.0, 1.0, world.retina.glimpse_shape(world.num_channels), np.float32),
            "location": spaces.Box(-1.0, 1.0, (2,), np.float32),
            "time": spaces.Box(0.0, 1.0, (1,), np.float32),
        }
    )
    if observations == "dict":
        return space
    flat = spaces.flatten_space(space)
    assert isinstance(flat, spaces.Box)
    return flat


def flatten_observations(batch: dict[str, Array], backend: Backend = NUMPY) -> Array:
    """Concatenate glimpse, location and time: float32 (R, k*C*g*g + 3)."""
    glimpse = batch["glimpse"]
    return backend.concatenate((glimpse.reshape(len(glimpse), -1), batch["location"], batch["time"]), 1)


class GlimpseEnv(gym.Env[Any, Any]):
    """Base class of the single envs. A subclass names its ``world_class`` and documents the task.

    Subclasses also list ``gymnasium.Env`` as a direct base, because some libraries look only at direct bases.

    Args:
        actions: ``"hybrid"``, ``"discrete"``, ``"multidiscrete"`` or ``"continuous"``; see :mod:`glimpse_gym.actions`.
        observations: ``"dict"``, or ``"flat"``: one float32 Box of glimpse, location and time, concatenated.
        grid_size: M, the side of the grid of locations in the two discrete forms.
        render_mode: None; ``"human"``, a window that shows every reset and step; ``"rgb_array"``, a frame from
            ``render()``; ``"ansi"``, text for a terminal from ``render()``.
        **kwargs: keyword arguments of the world.

    Raises:
        TypeError: if a keyword argument is unknown or missing.
        ValueError: if a value is not accepted.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": list(RENDER_MODES), "render_fps": 4}  # type: ignore[misc]
    world_class: ClassVar[type[World]]

    def __init__(
        self,
        *,
        actions: str = "hybrid",
        observations: str = "dict",
        grid_size: int = 5,
        render_mode: str | None = None,
        **kwargs: Any,
    ) -> None:
        self.render_mode = check_choice("render_mode", render_mode, (None, *RENDER_MODES))
        self.world = make_world(type(self), 1, kwargs)
        self.metadata = make_metadata(self.world)  # type: ignore[misc]
        self.codec = make_codec(actions, self.world, grid_size)
        self.observation_space = observation_space(self.world, observations)
        self.action_space = self.codec.space
        self._flat = observations == "flat"
        self._renderer = make_renderer(type(self), self.world, render_mode, self.metadata)
        self._was_reset = False
        self._info: dict[str, Any] = {}  # of the running episode; it changes only at the end

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Start a new episode.

        Args:
            seed: restarts the stream of episodes, an integer from 0 to 2**64 - 1; None continues it.
            options: ``{"image_index": i}`` selects an image, in worlds that have images to select from.

        Raises:
            ValueError: if the seed or an option is not accepted; the current episode does not change.
            WindowClosedError: if the user has closed the window of ``render_mode="human"``.
            NoDisplayError: if that mode finds no display.
        """
        checked = self.world.check_options({} if options is None else options, 1)
        if self._renderer:
            self._renderer.check_open()
        seed = None if seed is None else check_seed("a seed", seed)
        super().reset(seed=seed)
        keys = None if seed is None else keys_from_seeds([seed])
        if keys is None and not self._was_reset:
            keys = self.np_random.integers(-(2**63), 2**63 - 1, 1)
        if keys is not None:
            self.world.seed(_ONE_ROW, keys)
            self._was_reset = True
        self.world.reset(_ONE_ROW, **checked)
        if self._renderer:
            self._renderer.record_reset(_ONE_ROW)
            self._renderer.update()
        self._info = self._read_info()
        return self._observe(), self._info.copy()

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Take one step.

        Raises:
            ResetNeeded: before the first reset, and after the end of an episode.
            ValueError: if the action does not belong to the space; the episode does not change.
            WindowClosedError: if the user has closed the window; the episode does not change.
        """
        if not self.world.running[0]:
            raise ResetNeeded("no episode is running, or it has ended: call reset() first")
        decoded = self.codec.decode(action, ())
        if self._renderer:
            self._renderer.check_open()
        outcome = self.world.step(decoded, _ACTIVE)
        reward, terminated = float(outcome.reward[0]), bool(outcome.terminated[0])
        if self._renderer:
            self._renderer.record_step(outcome)
            self._renderer.update()
        info = self._read_info() if terminated else self._info.copy()
        return self._observe(), reward, terminated, False, info

    def render(self) -> np.ndarray | str | None:
        """Draw the episode in the ``render_mode`` of the env.

        Returns:
            ``"rgb_array"``: uint8 (height, width, 3). ``"ansi"``: lines of text with colors, of only what was sensed.
            ``"human"``: None; the window is redrawn. None also if no ``render_mode`` was given.

        Raises:
            ResetNeeded: before the first reset.
            WindowClosedError: if the user has closed the window.
        """
        if self._renderer is None:
            gym.logger.warn("render() draws nothing without a mode: make the env with render_mode='rgb_array'")
            return None
        pictures = self._renderer.render()
        return pictures[0] if pictures else None

    def close(self) -> None:
        """Close the window, if there is one."""
        if self._renderer:
            self._renderer.close()

    def action_masks(self) -> np.ndarray:
        """Return the mask of valid actions, bool (n,), as sb3-contrib's MaskablePPO reads it.

        Only looking is ever masked, when no glimpse is left. For ``MultiDiscrete`` spaces n is the number of actions
        summed over all dimensions.

        Raises:
            ValueError: if the action form is not discrete.
        """
        return self.codec.masks(self.world.before_last_step)[0]

    def get_keys_to_action(self) -> dict[Keys, Any]:
        """Map keys to actions, for :func:`gymnasium.utils.play.play` (use it with ``wait_on_player=True``).

        Letters a, b, c, ... look at the cells of the grid, row by row. Digits, or arrow keys, make the choices.

        Raises:
            ValueError: if the action form is not discrete, or there are too few keys.
        """
        return self.codec.keys_to_action()

    @property
    def image(self) -> np.ndarray:
        """Copy of the whole current image, uint8 (H, W) or (H, W, C). For drawing and tests; no agent reads it.

        Raises:
            ResetNeeded: before the first reset.
        """
        if not self._was_reset:
            raise ResetNeeded("there is no image yet: call reset() first")
        return self.world.image(0)

    def _observe(self) -> Any:
        batch = self.world.observe()
        if self._flat:
            return flatten_observations(batch)[0]
        return {"glimpse": batch["glimpse"][0], "location": batch["location"][0], "time": batch["time"][0]}

    def _read_info(self) -> dict[str, Any]:
        return {name: values.item() for name, values in self.world.info(_ONE_ROW).items()}
