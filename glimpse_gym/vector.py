"""Native vector env: a world of n rows as a Gymnasium vector environment. Autoreset is implemented only here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

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
from glimpse_gym.kernels.backend import Array, make_backend
from glimpse_gym.rng import check_seed, keys_from_seeds
from glimpse_gym.schedule import DeviceSchedule, Schedule
from glimpse_gym.validation import check_choice, check_integer, check_not_masked, shown
from glimpse_gym.world import World

if TYPE_CHECKING:
    from glimpse_gym.device_actions import DeviceActions


class GlimpseVectorEnv(VectorEnv[Any, Any, np.ndarray]):
    """Base class of the vector envs: n episodes at once, bit-equal to ``SyncVectorEnv`` of n single envs, and faster.

    Sub-env i is seeded with ``seed + i``; its episodes do not depend on the other sub-envs. Returned arrays are new.
    Subclasses also list ``gymnasium.vector.VectorEnv`` as a direct base.

    On a torch ``device`` the images lie on the device once, as uint8, for all envs of the process. Actions are torch
    tensors on it: locations and scores float32, all else int64. Observations, rewards (float64), ``terminated``,
    ``truncated`` (bool), infos and action masks are torch tensors on it, with the same bits as the arrays of
    ``device="cpu"`` for the same seeds and actions. The spaces describe them as NumPy arrays. Differences:

    * A step does not wait for the device, except for one flag when an episode has ended. With discrete actions of
      which some end an episode (``choice_is_final``), every step also reads which episodes have ended.
    * NaN, infinite numbers and integers out of range in actions raise ValueError not at once, but at the end of an
      episode or at the next reset, whichever is first. The episodes that had them are void.
    * With ``SAME_STEP``, ``final_obs`` is a batch, like the observations, of which ``_final_obs`` tells the final ones.
    * Canvases of any size are composed as a whole, not only where the retina looks.
    * ``render_mode`` must be None.

    To capture steps as a CUDA graph, capture ``world.step`` and ``world.observe``, or ``reset()`` without a seed and
    all steps of an episode, which leave the env as they found it; not with rotation, zoom or shift, which are
    computed on the host.

    Args:
        num_envs: n.
        autoreset_mode: ``NEXT_STEP``, ``SAME_STEP`` or ``DISABLED`` (with ``options={"reset_mask": ...}``). Give it
            to ``gym.make_vec`` directly, not in ``vector_kwargs``.
        actions: as in the single env.
        observations: as in the single env.
        grid_size: as in the single env.
        device: ``"cpu"`` for NumPy arrays; ``"torch:cpu"``, ``"cuda"``, ``"cuda:1"`` or another torch device for torch
            tensors on it.
        compiled: on a torch device, compile the computation of glimpses with ``torch.compile``. The glimpses are the
            same; the first take up to a minute, and a compiler must be installed.
        render_mode: None; ``"human"``, a window with all sub-envs side by side; ``"rgb_array"`` or ``"ansi"``, a
            tuple with a frame or a text of each sub-env from ``render()``.
        **kwargs: keyword arguments of the world.

    Raises:
        ModuleNotFoundError: if the device needs torch, and it is not installed.
        TypeError: if a keyword argument is unknown or missing.
        ValueError: if a value is not accepted, or the device does not exist or has too little memory.
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
        device: str = "cpu",
        compiled: bool = False,
        render_mode: str | None = None,
        **kwargs: Any,
    ) -> None:
        self.num_envs = check_integer("num_envs", num_envs, at_least=1)
        modes = {mode.value: mode for mode in AutoresetMode}
        name = autoreset_mode.value if isinstance(autoreset_mode, AutoresetMode) else autoreset_mode
        self.autoreset_mode = modes[check_choice("autoreset_mode", name, modes)]
        self.render_mode = check_choice("render_mode", render_mode, (None, *RENDER_MODES))
        backend = self._backend = make_backend(device, compiled)
        self.world = make_world(type(self), self.num_envs, kwargs, backend)
        self.metadata = {**make_metadata(self.world), "autoreset_mode": self.autoreset_mode}
        self.codec = make_codec(actions, self.world, grid_size)
        self.single_observation_space = observation_space(self.world, observations)
        self.single_action_space = self.codec.space
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self._flat = observations == "flat"
        self._renderer = make_renderer(type(self), self.world, render_mode, self.metadata)
        self._was_reset = False
        self._info: dict[str, Array] = {}  # of all sub-envs, with masks; updated at resets only
        self._all_rows = backend.from_host(np.arange(self.num_envs))
        self._schedule = Schedule(self.world)
        self._device_actions: DeviceActions | None = None
        if backend.device != "cpu":
            from glimpse_gym.device_actions import DeviceActions

            self._schedule = DeviceSchedule(self.world)
            self._device_actions = DeviceActions(self.codec, backend, self.num_envs)  # type: ignore[arg-type]

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Start new episodes.

        Args:
            seed: ``seed + i`` for sub-env i, or a list with one seed per sub-env; None continues the streams. Seeds
                are integers from 0 to 2**64 - 1.
            options: ``image_index``, one index or an array of n, in worlds that have images to select from;
                ``reset_mask``, bool (n,), resets only these sub-envs; on a device it may be a tensor.

        Raises:
            ResetNeeded: if the first reset does not include all sub-envs.
            TypeError: if the mask is not a bool array.
            ValueError: if a seed, an option or the mask is not accepted; nothing changes. On a device, also if earlier
                actions had bad values.
        """
        if not (options is None or isinstance(options, dict)):
            self.world.check_options(options, self.num_envs)  # raises the error
        options = dict(options or {})
        rows = self._rows(options.pop("reset_mask", None))
        checked = self.world.check_options(options, self.num_envs)
        checked = {name: self._backend.from_host(values[rows]) for name, values in checked.items()}
        if self._renderer:
            self._renderer.check_open()
        self._check_values()
        self._seed(seed, rows)
        self._reset_rows(rows, **checked)
        if self._renderer:
            self._renderer.update()
        self._was_reset = True
        infos: dict[str, Any] = {}
        index = self._index(rows)
        self._write_info(infos, self.world.info(index), index)
        return self._observe(), infos

    def step(self, actions: Any) -> tuple[Any, Array, Array, Array, dict[str, Any]]:
        """Take one step in every sub-env.

        Raises:
            ResetNeeded: before the first reset; if autoreset is disabled, also after the end of an episode; on a device
                with ``SAME_STEP``, also after an error about bad values at the end of an episode.
            TypeError: if an action is not a tensor on the device.
            ValueError: if the actions do not belong to the space; the episodes do not change.
        """
        active = self._schedule.running
        all_active = np.count_nonzero(active) == self.num_envs
        resets_later = self.autoreset_mode is AutoresetMode.NEXT_STEP
        if not self._was_reset or not (all_active or resets_later):
            inactive = np.flatnonzero(~active).tolist()
            raise ResetNeeded(f"no episode is running in the sub-envs {inactive}: call reset() first")
        inactive_rows = None if all_active else np.flatnonzero(~active)
        if self._device_actions is None:
            decoded = self.codec.decode(actions, (self.num_envs,))
        else:
            decoded = self._device_actions.decode(actions)
        if self._renderer:
            self._renderer.check_open()
        outcome = self.world.step(decoded, self._backend.copy(self.world.running))
        if self._renderer:
            self._renderer.record_step(outcome)
        ended = self._schedule.record_step(decoded, outcome)
        if ended.size:
            self._check_values()
        finals: dict[str, Any] = {}
        if self.autoreset_mode is AutoresetMode.SAME_STEP:
            if ended.size:
                finals = self._finals(ended)
                self._reset_rows(ended)
        elif inactive_rows is not None:  # NEXT_STEP: reset the sub-envs that ended at the previous step
            self._reset_rows(inactive_rows)
        copy = self._backend.copy
        infos: dict[str, Any] = {name: copy(values) for name, values in self._info.items()} | finals
        if ended.size and not finals:
            index = self._index(ended)
            for name, values in self.world.info(index).items():
                infos[name][index] = values
        if self._renderer:
            self._renderer.update()
        truncated = self._backend.zeros(self.num_envs, np.bool_)
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

    def action_masks(self) -> Array:
        """Return the masks of valid actions, bool (num_envs, n), as in the single env."""
        codec = self._device_actions or self.codec
        return codec.masks(self.world.before_last_step)

    @property
    def image(self) -> tuple[Array, ...]:
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
        if self._backend.is_array(mask):
            mask = self._backend.to_host(mask)
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
        if seed is None and self._was_reset:
            return
        keys, given = self._keys(seed, rows)
        if isinstance(seed, int | np.integer):
            super().reset(seed=int(seed))  # seeds np_random
        if not self._was_reset:
            random_keys = self.np_random.integers(-(2**63), 2**63 - 1, len(rows))
            self.world.seed(self._index(rows), self._backend.from_host(random_keys))
        if given.size:
            self.world.seed(self._index(given), self._backend.from_host(keys))

    def _keys(self, seed: int | list[int | None] | None, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Convert the seeds of some rows to keys, int64 (S,), and the rows that are given one, int64 (S,)."""
        n = self.num_envs
        if isinstance(seed, (list, tuple, np.ndarray)):
            check_not_masked("a list of seeds", seed)
            if getattr(seed, "ndim", 1) != 1 or len(seed) != n:
                raise ValueError(f"a list of seeds must have one for each of the {n} sub-envs, got {shown(seed)}")
            if isinstance(seed, np.ndarray) and seed.dtype.kind in "iu":
                return keys_from_seeds(seed[rows]), rows
            given = rows[np.array([value is not None for value in seed])[rows]]
            return keys_from_seeds([seed[row] for row in given]), given
        if seed is None:
            return keys_from_seeds([]), rows[:0]
        first = check_seed("a seed", seed)
        check_seed("a seed", first + n - 1)
        return keys_from_seeds(np.uint64(first) + rows.astype(np.uint64)), rows

    def _index(self, rows: np.ndarray) -> Array:
        """Convert rows, int64 (R,), to an array of the backend."""
        return self._all_rows if len(rows) == self.num_envs else self._backend.from_host(rows)

    def _check_values(self) -> None:
        """Raise the error of bad values in earlier actions, which are not checked at once on a device."""
        if self._device_actions and not self._device_actions.is_capturing:
            self._device_actions.check()

    def _reset_rows(self, rows: np.ndarray, **options: Any) -> None:
        index = self._index(rows)
        self.world.reset(index, **options)
        self._schedule.record_reset(rows)
        if self._renderer:
            self._renderer.record_reset(rows)
        info = self.world.info(index)
        if not self._info:  # at the first reset, of all rows
            for name, values in info.items():
                self._info[name] = self._backend.zeros_like(values)
                self._info["_" + name] = self._backend.copy(self.world.running)
        for name, values in info.items():
            self._info[name][index] = values

    def _observe(self, rows: Array | None = None) -> Any:
        batch = self.world.observe(rows)
        return flatten_observations(batch, self._backend) if self._flat else batch

    def _write_info(self, infos: dict[str, Any], info: dict[str, Array], rows: Array) -> None:
        """Write the info of some rows in Gymnasium's form: arrays of n, each with a mask of the rows that have it."""
        backend = self._backend
        for name, values in info.items():
            infos[name] = backend.zeros_like(self._info[name])
            infos[name][rows] = values
            infos["_" + name] = backend.zeros_like(self._info["_" + name])
            backend.fill(infos["_" + name], rows, True)

    def _finals(self, rows: np.ndarray) -> dict[str, Any]:
        """Collect the last observation and info of rows that have ended, before SAME_STEP autoreset resets them."""
        if self._device_actions:
            return self._batch_finals(self._index(rows))
        batch = self._observe(rows)
        observations = np.full(self.num_envs, None, dtype=object)
        for i, row in enumerate(rows):
            observations[row] = batch[i] if self._flat else {name: values[i] for name, values in batch.items()}
        mask = np.zeros(self.num_envs, np.bool_)
        mask[rows] = True
        final_info: dict[str, Any] = {}
        self._write_info(final_info, self.world.info(rows), rows)
        return {"final_obs": observations, "_final_obs": mask, "final_info": final_info, "_final_info": mask.copy()}

    def _batch_finals(self, rows: Array) -> dict[str, Any]:
        """Collect what :meth:`_finals` does on a device, where rows are not taken apart."""
        mask = self._backend.zeros(self.num_envs, np.bool_)
        self._backend.fill(mask, rows, True)
        final_info: dict[str, Any] = {}
        self._write_info(final_info, self.world.info(rows), rows)
        masks = {"_final_obs": mask, "_final_info": self._backend.copy(mask)}
        return {"final_obs": self._observe(), "final_info": final_info, **masks}
