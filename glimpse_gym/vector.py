"""Native vector env: a world of n rows as a Gymnasium vector environment. Autoreset is implemented only here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from glimpse_gym.actions import make_codec
from glimpse_gym.env import (
    RENDER_MODES,
    flatten_observations,
    make_metadata,
    make_renderer,
    make_world,
    observation_space,
)
from glimpse_gym.rng import check_seed, keys_from_seeds
from glimpse_gym.validation import check_choice, check_integer, check_not_masked, shown
from glimpse_gym.world import World


class GlimpseVectorEnv(VectorEnv[Any, Any, np.ndarray]):
    """Base class of the vector envs: n episodes at once, bit-equal to ``SyncVectorEnv`` of n single envs, and faster.

    Sub-env i is seeded with ``seed + i``; its episodes do not depend on the other sub-envs. Returned arrays are new.
    Subclasses also list ``gymnasium.vector.VectorEnv`` as a direct base.

    Args:
        num_envs: n.
        autoreset_mode: ``NEXT_STEP``, ``SAME_STEP`` or ``DISABLED`` (with ``options={"reset_mask": ...}``). Give it
            to ``gym.make_vec`` directly, not in ``vector_kwargs``.
        actions: as in the single env.
        observations: as in the single env.
        grid_size: as in the single env.
        render_mode: None; ``"human"``, a window with all sub-envs side by side; ``"rgb_array"`` or ``"ansi"``, a
            tuple with a frame or a text of each sub-env from ``render()``.
        **kwargs: keyword arguments of the world.

    Raises:
        TypeError: if a keyword argument is unknown or missing.
        ValueError: if a value is not accepted.
    """

    world_class: ClassVar[type[World]]

    def __init__(
        self,
        num_envs: int = 1,
        *,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        actions: str = "hybrid",
        observations: str = "dict",
        grid_size: int = 5,
        render_mode: str | None = None,
        **kwargs: Any,
    ) -> None:
        self.num_envs = check_integer("num_envs", num_envs, at_least=1)
        modes = {mode.value: mode for mode in AutoresetMode}
        name = autoreset_mode.value if isinstance(autoreset_mode, AutoresetMode) else autoreset_mode
        self.autoreset_mode = modes[check_choice("autoreset_mode", name, modes)]
        self.render_mode = check_choice("render_mode", render_mode, (None, *RENDER_MODES))
        self.world = make_world(type(self), self.num_envs, kwargs)
        self.metadata = {**make_metadata(self.world), "autoreset_mode": self.autoreset_mode}
        self.codec = make_codec(actions, self.world, grid_size)
        self.single_observation_space = observation_space(self.world, observations)
        self.single_action_space = self.codec.space
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self._flat = observations == "flat"
        self._renderer = make_renderer(type(self), self.world, render_mode, self.metadata)
        self._was_reset = False
        self._info: dict[str, np.ndarray] = {}  # of all sub-envs, with masks; updated at resets only

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Start new episodes.

        Args:
            seed: ``seed + i`` for sub-env i, or a list with one seed per sub-env; None continues the streams. Seeds
                are integers from 0 to 2**64 - 1.
            options: ``image_index``, one index or an array of n, in worlds that have images to select from;
                ``reset_mask``, bool (n,), resets only these sub-envs.

        Raises:
            ResetNeeded: if the first reset does not include all sub-envs.
            TypeError: if the mask is not a bool array.
            ValueError: if a seed, an option or the mask is not accepted; nothing changes.
        """
        if not (options is None or isinstance(options, dict)):
            self.world.check_options(options, self.num_envs)  # raises the error
        options = dict(options or {})
        rows = self._rows(options.pop("reset_mask", None))
        checked = self.world.check_options(options, self.num_envs)
        checked = {name: values[rows] for name, values in checked.items()}
        if self._renderer:
            self._renderer.check_open()
        self._seed(seed, rows)
        self._reset_rows(rows, **checked)
        if self._renderer:
            self._renderer.update()
        self._was_reset = True
        infos: dict[str, Any] = {}
        self._write_info(infos, self.world.info(rows), rows)
        return self._observe(), infos

    def step(self, actions: Any) -> tuple[Any, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Take one step in every sub-env.

        Raises:
            ResetNeeded: before the first reset; if autoreset is disabled, also after the end of an episode.
            ValueError: if the actions do not belong to the space; the episodes do not change.
        """
        active = self.world.running
        all_active = np.count_nonzero(active) == self.num_envs
        if not self._was_reset or (self.autoreset_mode is AutoresetMode.DISABLED and not all_active):
            inactive = np.flatnonzero(~active).tolist()
            raise ResetNeeded(f"no episode is running in the sub-envs {inactive}: call reset() first")
        decoded = self.codec.decode(actions, (self.num_envs,))
        if self._renderer:
            self._renderer.check_open()
        outcome = self.world.step(decoded, active)
        if self._renderer:
            self._renderer.record_step(outcome)
        ended = outcome.terminated.nonzero()[0]
        finals: dict[str, Any] = {}
        if self.autoreset_mode is AutoresetMode.SAME_STEP:
            if ended.size:
                finals = self._finals(ended)
                self._reset_rows(ended)
        elif not all_active:  # NEXT_STEP: reset the sub-envs that ended at the previous step
            self._reset_rows((~active).nonzero()[0])
        infos: dict[str, Any] = {name: values.copy() for name, values in self._info.items()} | finals
        if ended.size and not finals:
            for name, values in self.world.info(ended).items():
                infos[name][ended] = values
        if self._renderer:
            self._renderer.update()
        truncated = np.zeros(self.num_envs, np.bool_)
        return self._observe(), outcome.reward, outcome.terminated, truncated, infos

    def render(self) -> tuple[Any, ...] | None:
        """Draw every sub-env in the ``render_mode`` of the env.

        Returns:
            ``"rgb_array"``: uint8 (height, width, 3) for each sub-env; :func:`glimpse_gym.rendering.frames.tile_frames`
            puts them into one picture. ``"ansi"``: a str for each. None in the mode ``"human"``, which shows them, and
            without a mode.
        """
        return self._renderer.render() if self._renderer else None

    def close_extras(self, **kwargs: Any) -> None:
        """Close the window, if there is one."""
        if self._renderer:
            self._renderer.close()

    def action_masks(self) -> np.ndarray:
        """Return the masks of valid actions, bool (num_envs, n), as in the single env."""
        return self.codec.masks(self.world.before_last_step)

    @property
    def image(self) -> tuple[np.ndarray, ...]:
        """Copies of the whole current image of each sub-env, as in the single env."""
        if not self._was_reset:
            raise ResetNeeded("there are no images yet: call reset() first")
        return tuple(map(self.world.image, range(self.num_envs)))

    @property
    def picture(self) -> tuple[np.ndarray, ...]:
        """Copies of the current image of each sub-env for drawing: a large one that stays in a file is reduced."""
        if not self._was_reset:
            raise ResetNeeded("there are no images yet: call reset() first")
        return tuple(map(self.world.picture, range(self.num_envs)))

    def _rows(self, mask: Any) -> np.ndarray:
        """Convert a ``reset_mask`` to rows, int64 (R,); None means all rows."""
        if mask is None:
            return np.arange(self.num_envs)
        check_not_masked("options['reset_mask']", mask)
        if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_:
            raise TypeError(f"options['reset_mask'] must be a NumPy array of bool, got {shown(mask, 200)}")
        if mask.shape != (self.num_envs,) or not mask.any():
            raise ValueError(
                f"options['reset_mask'] must have shape ({self.num_envs},) and at least one True, "
                f"got {shown(mask, 200)}"
            )
        if not (self._was_reset or mask.all()):
            raise ResetNeeded("the first reset must include every sub-env: call it without reset_mask")
        return np.flatnonzero(mask)

    def _seed(self, seed: int | list[int | None] | None, rows: np.ndarray) -> None:
        """Restart the random streams of the rows that are given a seed, or, at the first reset, of all."""
        n = self.num_envs
        if seed is None:
            if self._was_reset:
                return
            seeds: Sequence[Any] = [None] * n
        elif isinstance(seed, (list, tuple, np.ndarray)):
            check_not_masked("a list of seeds", seed)
            if getattr(seed, "ndim", 1) != 1 or len(seed) != n:
                raise ValueError(f"a list of seeds must have one for each of the {n} sub-envs, got {shown(seed)}")
            seeds = seed
        else:
            first = check_seed("a seed", seed)
            seeds = range(first, first + n)
        given = np.array([value is not None for value in seeds])[rows]
        keys = keys_from_seeds([seeds[row] for row in rows[given]])
        if isinstance(seeds, range):
            super().reset(seed=seeds[0])
        if not self._was_reset:
            self.world.seed(rows, self.np_random.integers(-(2**63), 2**63 - 1, len(rows)))
        self.world.seed(rows[given], keys)

    def _reset_rows(self, rows: np.ndarray, **options: Any) -> None:
        self.world.reset(rows, **options)
        if self._renderer:
            self._renderer.record_reset(rows)
        info = self.world.info(rows)
        if not self._info:
            for name, values in info.items():
                self._info[name] = np.zeros(self.num_envs, values.dtype)
                self._info["_" + name] = np.ones(self.num_envs, np.bool_)
        for name, values in info.items():
            self._info[name][rows] = values

    def _observe(self, rows: np.ndarray | None = None) -> Any:
        batch = self.world.observe(rows)
        return flatten_observations(batch) if self._flat else batch

    def _write_info(self, infos: dict[str, Any], info: dict[str, np.ndarray], rows: np.ndarray) -> None:
        """Write the info of some rows in Gymnasium's form: arrays of n, each with a mask of the rows that have it."""
        for name, values in info.items():
            if name not in infos:
                infos[name] = np.zeros(self.num_envs, values.dtype)
                infos["_" + name] = np.zeros(self.num_envs, np.bool_)
            infos[name][rows] = values
            infos["_" + name][rows] = True

    def _finals(self, rows: np.ndarray) -> dict[str, Any]:
        """Collect the last observation and info of rows that have ended, before SAME_STEP autoreset resets them."""
        batch = self._observe(rows)
        observations = np.full(self.num_envs, None, dtype=object)
        for i, row in enumerate(rows):
            observations[row] = batch[i] if self._flat else {name: values[i] for name, values in batch.items()}
        mask = np.zeros(self.num_envs, np.bool_)
        mask[rows] = True
        final_info: dict[str, Any] = {}
        self._write_info(final_info, self.world.info(rows), rows)
        return {"final_obs": observations, "_final_obs": mask, "final_info": final_info, "_final_info": mask.copy()}
