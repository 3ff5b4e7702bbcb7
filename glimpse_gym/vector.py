"""The native vector env: the batch of n, and the one place where autoreset is."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from glimpse_gym.actions import make_codec
from glimpse_gym.env import RENDER_MODES, GlimpseEnv, make_world, observation_space
from glimpse_gym.rendering.frames import Recorder
from glimpse_gym.rng import keys_from_seeds
from glimpse_gym.validation import check_choice, check_integer
from glimpse_gym.world import World


class GlimpseVectorEnv(VectorEnv[dict[str, np.ndarray], Any, np.ndarray]):
    """n episodes of a world side by side: equal to ``SyncVectorEnv`` of n single envs, bit for bit, and faster.

    Sub-env i is seeded with ``seed + i``; no sub-env's episodes depend on its neighbors. Returned arrays are new.

    Args:
        num_envs: n.
        autoreset_mode: ``NEXT_STEP``, ``SAME_STEP`` or ``DISABLED`` (with ``options={"reset_mask": ...}``).
        actions: as in the single env.
        grid_size: as in the single env.
        render_mode: as in the single env.
        **kwargs: the keyword values of the world.

    Raises:
        TypeError: a keyword value that does not exist.
        ValueError: one that is not accepted.
    """

    world_class: ClassVar[type[World]]

    def __init__(
        self,
        num_envs: int = 1,
        *,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        actions: str = "hybrid",
        grid_size: int = 5,
        render_mode: str | None = None,
        **kwargs: Any,
    ) -> None:
        self.num_envs = check_integer("num_envs", num_envs, at_least=1)
        self.autoreset_mode = AutoresetMode(autoreset_mode)
        self.metadata = {**GlimpseEnv.metadata, "autoreset_mode": self.autoreset_mode}
        self.render_mode = check_choice("render_mode", render_mode, (None, *RENDER_MODES))
        self.world = make_world(self.world_class, num_envs, kwargs)
        self.codec = make_codec(actions, self.world, grid_size)
        self.single_observation_space = observation_space(self.world)
        self.single_action_space = self.codec.space
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._recorder = Recorder(self.world) if render_mode else None
        self._begun = False

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Begin new episodes.

        Args:
            seed: ``seed + i`` for sub-env i, or a list of one per sub-env; None goes on with the streams.
            options: ``image_index``, one for all or an array of n, where the world has images to choose from;
                ``reset_mask``, bool (n,), resets these sub-envs only.

        Raises:
            ResetNeeded: a first reset that leaves some sub-envs out.
            TypeError: a mask that is no boolean array.
            ValueError: a seed, an option, an index or a mask that is not accepted; nothing is changed then.
        """
        if not (options is None or isinstance(options, dict)):
            self.world.check_options(options, self.num_envs)  # which says what is accepted
        options = dict(options or {})
        rows = self._rows(options.pop("reset_mask", None))
        checked = self.world.check_options(options, self.num_envs)
        checked = {name: values[rows] for name, values in checked.items()}
        self._seed(seed, rows)
        infos: dict[str, Any] = {}
        self._begin(infos, rows, **checked)
        self._begun = True
        return self.world.observe(), infos

    def step(self, actions: Any) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Take one step in every sub-env.

        Raises:
            ResetNeeded: before the first reset; where autoreset is disabled, also after the end of an episode.
            ValueError: actions that do not belong to the space; the episodes are left as they were.
        """
        active = self.world.running.copy()
        if not self._begun or (self.autoreset_mode is AutoresetMode.DISABLED and not active.all()):
            ended = np.flatnonzero(~active).tolist()
            raise ResetNeeded(f"no episode is under way in the sub-envs {ended}: call reset() first")
        outcome = self.world.step(self.codec.decode(actions, (self.num_envs,)), active)
        if self._recorder:
            self._recorder.follow(outcome.reward, active)
        ended = np.flatnonzero(outcome.terminated)
        infos: dict[str, Any] = {}
        if self.autoreset_mode is AutoresetMode.SAME_STEP:
            if ended.size:
                self._add_finals(infos, ended)
                self._begin(infos, ended)
        else:
            self._tell(infos, self.world.end_info(ended), ended)
            if not active.all():  # NEXT_STEP: the episodes that ended at the step before begin anew
                self._begin(infos, np.flatnonzero(~active))
        truncated = np.zeros(self.num_envs, np.bool_)
        return self.world.observe(), outcome.reward, outcome.terminated, truncated, infos

    def render(self) -> tuple[np.ndarray, ...] | None:
        """One picture per sub-env, each uint8 (height, width, 3), or None where no ``render_mode`` was given."""
        return None if self._recorder is None else tuple(map(self._recorder.draw, range(self.num_envs)))

    @property
    def image(self) -> tuple[np.ndarray, ...]:
        """The whole present image of each sub-env, as in the single env."""
        if not self._begun:
            raise ResetNeeded("there are no images yet: call reset() first")
        return tuple(map(self.world.image, range(self.num_envs)))

    def _rows(self, mask: Any) -> np.ndarray:
        if mask is None:
            return np.arange(self.num_envs)
        if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_:
            raise TypeError(f"options['reset_mask'] must be a NumPy array of bool, got {mask!r:.200}")
        if mask.shape != (self.num_envs,) or not mask.any():
            raise ValueError(
                f"options['reset_mask'] must have shape ({self.num_envs},) and be true somewhere, got {mask!r:.200}"
            )
        if not (self._begun or mask.all()):
            raise ResetNeeded("the first reset must be of every sub-env: call it without reset_mask")
        return np.flatnonzero(mask)

    def _seed(self, seed: int | list[int | None] | None, rows: np.ndarray) -> None:
        n = self.num_envs
        if seed is None:
            if self._begun:
                return
            seed = [None] * n
        elif not isinstance(seed, (list, tuple, np.ndarray)):
            keys_from_seeds([seed])
            super().reset(seed=int(seed))
            seed = [int(seed) + i for i in range(n)]
        if len(seed) != n:
            raise ValueError(f"a list of seeds must have one for each of the {n} sub-envs, got {len(seed)}")
        given = np.array([value is not None for value in seed])[rows]
        keys = keys_from_seeds([seed[row] for row in rows[given]])
        if not self._begun:
            self.world.seed(rows, self.np_random.integers(-(2**63), 2**63 - 1, len(rows)))
        self.world.seed(rows[given], keys)

    def _begin(self, infos: dict[str, Any], rows: np.ndarray, **options: Any) -> None:
        self.world.reset(rows, **options)
        if self._recorder:
            self._recorder.begin(rows)
        self._tell(infos, self.world.begin_info(rows), rows)

    def _tell(self, infos: dict[str, Any], info: dict[str, np.ndarray], rows: np.ndarray) -> None:
        """Add the info of some rows, in the vector env's form: arrays over all, each with a mask of whom it tells."""
        if not rows.size:
            return
        for name, values in info.items():
            if name not in infos:
                infos[name] = np.zeros(self.num_envs, values.dtype)
                infos["_" + name] = np.zeros(self.num_envs, np.bool_)
            infos[name][rows] = values
            infos["_" + name][rows] = True

    def _add_finals(self, infos: dict[str, Any], rows: np.ndarray) -> None:
        """SAME_STEP: what was seen and told at the end, before the same rows begin anew."""
        batch = self.world.observe(rows)
        observations = np.full(self.num_envs, None, dtype=object)
        for i, row in enumerate(rows):
            observations[row] = {name: values[i] for name, values in batch.items()}
        mask = np.zeros(self.num_envs, np.bool_)
        mask[rows] = True
        infos |= {"final_obs": observations, "_final_obs": mask}
        final_info: dict[str, Any] = {}
        self._tell(final_info, self.world.end_info(rows), rows)
        infos |= {"final_info": final_info, "_final_info": mask.copy()}
