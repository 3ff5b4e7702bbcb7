"""Gymnasium's vector envs in Stable-Baselines3: :func:`to_sb3` turns any of them into a ``VecEnv``.

Stable-Baselines3 steps single envs one after another (``DummyVecEnv``). A native vector env steps all sub-envs at once,
and :func:`to_sb3` keeps it that way. Only infos are handled one by one: a ``VecEnv`` returns a dict for each sub-env.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from copy import deepcopy
from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.utils.env_checker import data_equivalence
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv, VectorWrapper
from stable_baselines3.common.env_util import is_wrapped
from stable_baselines3.common.vec_env.base_vec_env import VecEnv, VecEnvIndices, VecEnvObs, VecEnvStepReturn

ACTION_SPACES = (spaces.Box, spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary)
"""Action spaces of Stable-Baselines3."""

_SINGLE_SPACES = {"observation_space": "single_observation_space", "action_space": "single_action_space"}
_FINAL_KEYS = ("final_obs", "_final_obs", "final_info", "_final_info")
# Gymnasium stores a Python int in an array of this type, so that it comes back as an int; likewise float and bool.
_PYTHON_DTYPES = (np.dtype(int), np.dtype(float), np.dtype(bool))


def to_sb3(vector_env: VectorEnv[Any, Any, Any]) -> VecEnv:
    """Turn a Gymnasium vector env into a Stable-Baselines3 ``VecEnv``.

    With the same seeds and actions, the result gives the same observations, rewards, dones and infos as ``DummyVecEnv``
    of the single envs, provided that the vector env equals its single envs. See :class:`GymnasiumVecEnv`.

    Args:
        vector_env: any vector env in the ``SAME_STEP`` autoreset mode, with or without vector wrappers.

    Raises:
        TypeError: if it is not a vector env.
        ValueError: if its autoreset mode is another one, or if Stable-Baselines3 cannot take its actions.
    """
    if not isinstance(vector_env, VectorEnv):
        raise TypeError(
            f"to_sb3 takes a gymnasium.vector.VectorEnv, got {vector_env!r:.200}: "
            "make one with gym.make_vec(id, num_envs=n, autoreset_mode=AutoresetMode.SAME_STEP)"
        )
    _check_autoreset_mode(vector_env)
    _check_action_space(vector_env)
    return GymnasiumVecEnv(vector_env)


class GymnasiumVecEnv(VecEnv):
    """Stable-Baselines3 ``VecEnv`` of a Gymnasium vector env in the ``SAME_STEP`` autoreset mode; see :func:`to_sb3`.

    Arrays that are returned are copies, as in ``DummyVecEnv``: a vector env may reuse its arrays and has no standard
    way to say that it does not.

    ``get_attr``, ``set_attr`` and ``env_method`` reach the sub-envs of ``SyncVectorEnv`` and ``AsyncVectorEnv``. Other
    vector envs have none, so that the vector env itself is asked, and every sub-env gets the same value; of an array,
    tuple or list of n that a method returns, sub-env i gets row i.

    Attributes:
        vector_env: the vector env.
        spec: its spec, or None.
    """

    def __init__(self, vector_env: VectorEnv[Any, Any, Any]) -> None:
        self.vector_env: Any = vector_env  # VectorEnv does not declare that reset may take a list of seeds
        self.spec = vector_env.spec
        self._base = vector_env.unwrapped
        super().__init__(vector_env.num_envs, vector_env.single_observation_space, vector_env.single_action_space)
        self.metadata = dict(vector_env.metadata)

    def reset(self) -> VecEnvObs:
        """Start new episodes in all sub-envs, with the seeds and options that were set since the last reset."""
        observations, infos = self.vector_env.reset(seed=self._next_seeds(), options=self._options[0] or None)
        self.reset_infos = split_infos(infos, self.num_envs)
        self._reset_seeds()
        self._reset_options()
        return self._copy(observations)

    def step_async(self, actions: np.ndarray) -> None:
        """Store the actions, shape (n, ...), of the next step."""
        self._actions = np.asarray(actions)

    def step_wait(self) -> VecEnvStepReturn:
        """Take the step.

        Returns:
            observations, which are those of the next episode where one has ended; rewards, float32 (n,); dones, bool
            (n,); infos, one dict for each sub-env, with ``TimeLimit.truncated``, and at the end of an episode with
            ``terminal_observation``.
        """
        observations, rewards, terminated, truncated, infos = self.vector_env.step(self._actions)
        dones = np.logical_or(terminated, truncated)
        split = self._split_step_infos(infos, dones.nonzero()[0])
        for info, timeout in zip(split, (dones & ~np.asarray(terminated)).tolist(), strict=True):
            info["TimeLimit.truncated"] = timeout
        return self._copy(observations), np.array(rewards, np.float32), dones, split

    def set_options(self, options: list[dict[str, Any]] | dict[str, Any] | None = None) -> None:
        """Set the options of the next reset. Vector envs take one dict for all sub-envs, so all must be the same.

        Raises:
            ValueError: if a list has different options, or not one for each sub-env.
        """
        if isinstance(options, Sequence):
            if len(options) != self.num_envs:
                raise ValueError(f"a list of options must have one for each of {self.num_envs} sub-envs, got {options}")
            if not all(data_equivalence(options[0], other, exact=True) for other in options):
                raise ValueError(
                    f"a Gymnasium vector env is reset with one dict of options for all sub-envs, got different ones: "
                    f"{options!r:.200}; give one dict, whose values may be arrays if the vector env accepts them"
                )
        super().set_options(options)

    def close(self) -> None:
        """Close the vector env."""
        self.vector_env.close()

    def get_images(self) -> Sequence[np.ndarray | None]:
        """Return a frame of each sub-env, uint8 (height, width, 3); None, with a warning, without ``rgb_array``."""
        if self.render_mode != "rgb_array":
            warnings.warn(f"images need render_mode='rgb_array', but it is {self.render_mode!r}", stacklevel=2)
            return [None] * self.num_envs
        return list(self.vector_env.render())

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """Return an attribute of each sub-env; see the class about vector envs without sub-envs.

        Raises:
            AttributeError: if there is none.
        """
        rows = list(self._get_indices(indices))
        if not isinstance(self._base, (SyncVectorEnv, AsyncVectorEnv)):
            return [self._whole_attr(_SINGLE_SPACES.get(attr_name, attr_name))] * len(rows)
        # Asked first, because an error in a process of AsyncVectorEnv ends the process.
        if not all(self._base.call("has_wrapper_attr", attr_name)):
            raise AttributeError(f"the sub-envs of {self.vector_env} have no attribute {attr_name!r}")
        # Their own get_attr would call what is callable.
        values = self._base.call("get_wrapper_attr", attr_name)
        return [values[row] for row in rows]

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Set an attribute of each sub-env, in the wrapper that has it.

        Raises:
            ValueError: if only some are to be set, in a vector env without sub-envs.
        """
        rows = list(self._get_indices(indices))
        if isinstance(self._base, (SyncVectorEnv, AsyncVectorEnv)):
            values = self.get_attr(attr_name) if len(rows) < self.num_envs else [value] * self.num_envs
            for row in rows:
                values[row] = value
            self._base.set_attr(attr_name, values)
            return
        self._check_all(rows, f"set {attr_name!r}")
        layers = list(_layers(self.vector_env))
        setattr(next((layer for layer in layers if hasattr(layer, attr_name)), layers[0]), attr_name, value)

    def env_method(
        self, method_name: str, *method_args: Any, indices: VecEnvIndices = None, **method_kwargs: Any
    ) -> list[Any]:
        """Call a method of each sub-env. A vector env without sub-envs is called once, whatever the indices.

        Raises:
            AttributeError: if there is none.
            ValueError: if only some sub-envs of ``AsyncVectorEnv`` are to be called.
        """
        rows = list(self._get_indices(indices))
        if isinstance(self._base, SyncVectorEnv):
            methods = [self._base.envs[row].get_wrapper_attr(method_name) for row in rows]
            return [method(*method_args, **method_kwargs) for method in methods]
        if isinstance(self._base, AsyncVectorEnv):
            self._check_all(rows, f"call {method_name!r}")
            if not self.has_attr(method_name):
                raise AttributeError(f"the sub-envs of {self.vector_env} have no method {method_name!r}")
            return list(self._base.call(method_name, *method_args, **method_kwargs))
        result = self._whole_attr(method_name)(*method_args, **method_kwargs)
        is_sequence = isinstance(result, (tuple, list)) or (isinstance(result, np.ndarray) and result.ndim > 0)
        if is_sequence and len(result) == self.num_envs:
            return [result[row] for row in rows]
        return [result] * len(rows)

    def env_is_wrapped(self, wrapper_class: type[Any], indices: VecEnvIndices = None) -> list[bool]:
        """Return whether the vector env or a sub-env has a wrapper of this class."""
        rows = list(self._get_indices(indices))
        if any(isinstance(layer, wrapper_class) for layer in _layers(self.vector_env)):
            return [True] * len(rows)
        if isinstance(self._base, SyncVectorEnv):
            return [is_wrapped(self._base.envs[row], wrapper_class) for row in rows]
        if isinstance(self._base, AsyncVectorEnv):
            # The classes are in other processes, their names are in the text "<Monitor<TimeLimit<...>>>".
            texts = self._base.call("__str__")
            return [f"<{wrapper_class.__name__}<" in texts[row] for row in rows]
        return [False] * len(rows)

    def _next_seeds(self) -> int | list[int | None] | None:
        """Return the seeds of the next reset in a form that the vector env takes."""
        seeds = self._seeds
        if all(seed is None for seed in seeds):
            return None
        first = seeds[0]
        # Gymnasium seeds sub-env i with seed + i, and native vector envs need not take a list.
        if first is not None and seeds == [first + i for i in range(self.num_envs)]:
            return int(first)
        return list(seeds)

    def _copy(self, observations: Any) -> Any:
        """Copy a batch of observations, to the dtypes of the space."""
        space = self.observation_space
        if isinstance(space, spaces.Dict):
            return {name: np.array(observations[name], one.dtype) for name, one in space.spaces.items()}
        return np.array(observations, space.dtype)

    def _split_step_infos(self, infos: dict[str, Any], ended: np.ndarray) -> list[dict[str, Any]]:
        """Split the infos of a step. Those of the resets after it become ``reset_infos``."""
        current = {name: values for name, values in infos.items() if name not in _FINAL_KEYS}
        split = split_infos(current, self.num_envs)
        if not ended.size:
            return split
        if "final_obs" not in infos:
            raise ValueError(
                f"{self.vector_env} claims the autoreset mode SAME_STEP, but when an episode ended, its infos had no "
                f"'final_obs', only {sorted(infos)}"
            )
        # Some native vector envs have no info of the reset: then all their info is of the step.
        finals = split_infos(infos.get("final_info", current), self.num_envs)
        for row, observation in zip(ended.tolist(), _take_observations(infos["final_obs"], ended), strict=True):
            # The vector wrapper RecordEpisodeStatistics adds the statistics to the info of the reset.
            if "episode" in split[row]:
                finals[row]["episode"] = split[row].pop("episode")
            finals[row]["terminal_observation"] = observation
            self.reset_infos[row], split[row] = split[row], finals[row]
        return split

    def _whole_attr(self, name: str) -> Any:
        """Return an attribute of the vector env or of what it wraps."""
        for layer in _layers(self.vector_env):
            if hasattr(layer, name):
                return getattr(layer, name)
        raise AttributeError(f"{self.vector_env} has no attribute {name!r}")

    def _check_all(self, rows: list[int], what: str) -> None:
        if set(rows) != set(range(self.num_envs)):
            raise ValueError(
                f"cannot {what} in some sub-envs only, got indices {rows}: {type(self._base).__name__} does it in all "
                f"{self.num_envs}; leave out indices, or use SyncVectorEnv"
            )


def split_infos(infos: dict[str, Any], num_envs: int) -> list[dict[str, Any]]:
    """Split Gymnasium's infos of all sub-envs into a new dict for each of them.

    Args:
        infos: arrays of n, or nested dicts of them; a bool array ``_name`` says which sub-envs have ``name``.
        num_envs: n.

    Returns:
        n dicts. Entries are copies, of the types that a single env gives as far as Gymnasium keeps them.
    """
    split: list[dict[str, Any]] = [{} for _ in range(num_envs)]
    for name, values in infos.items():
        if name.startswith("_") and name[1:] in infos:
            continue  # a mask
        column = _column(values, num_envs)
        mask = infos.get("_" + name)
        if mask is None or np.count_nonzero(mask) == num_envs:
            for info, value in zip(split, column, strict=True):
                info[name] = value
        else:
            for row in mask.nonzero()[0].tolist():
                split[row][name] = column[row]
    return split


def _column(values: Any, num_envs: int) -> list[Any]:
    """Return one entry of the infos for each sub-env."""
    if isinstance(values, dict):
        return split_infos(values, num_envs)
    if values.dtype == object:
        return deepcopy(values.tolist())
    return values.tolist() if values.ndim == 1 and values.dtype in _PYTHON_DTYPES else list(values.copy())


def _take_observations(batch: Any, rows: np.ndarray) -> list[Any]:
    """Copy the observations of some sub-envs from an array of objects, or from a batch of the observation space."""
    if isinstance(batch, dict):
        taken = {name: values[rows] for name, values in batch.items()}
    elif batch.dtype != object:
        return list(batch[rows])
    else:
        last = batch[rows].tolist()
        if not isinstance(last[0], dict):
            return list(np.array(last))
        taken = {name: np.array([one[name] for one in last]) for name in last[0]}
    return [dict(zip(taken, values, strict=True)) for values in zip(*taken.values(), strict=True)]


def _layers(vector_env: VectorEnv[Any, Any, Any]) -> Iterator[VectorEnv[Any, Any, Any]]:
    """Yield a vector env and what it wraps, from the outside inwards."""
    yield vector_env
    while isinstance(vector_env, VectorWrapper):
        vector_env = vector_env.env
        yield vector_env


def _check_autoreset_mode(vector_env: VectorEnv[Any, Any, Any]) -> None:
    mode = vector_env.metadata.get("autoreset_mode")
    if mode in (AutoresetMode.SAME_STEP, AutoresetMode.SAME_STEP.value):
        return
    env_id = vector_env.spec.id if vector_env.spec else "ID"
    sync = 'vectorization_mode="sync", vector_kwargs={"autoreset_mode": AutoresetMode.SAME_STEP}'
    advice = f"gym.make_vec({env_id!r}, num_envs={vector_env.num_envs}, "
    if isinstance(vector_env.unwrapped, (SyncVectorEnv, AsyncVectorEnv)):
        advice += f'{sync}), or "async"'
    else:
        advice += f"autoreset_mode=AutoresetMode.SAME_STEP); if it has no such argument, with {sync}"
    raise ValueError(
        f"Stable-Baselines3 needs a vector env in AutoresetMode.SAME_STEP, got {mode} from {vector_env}: make it with "
        f"{advice}"
    )


def _check_action_space(vector_env: VectorEnv[Any, Any, Any]) -> None:
    space = vector_env.single_action_space
    if isinstance(space, ACTION_SPACES):
        return
    accepted = ", ".join(accepted.__name__ for accepted in ACTION_SPACES)
    env_id = vector_env.spec.id if vector_env.spec else ""
    advice = "wrap the vector env in one whose action space is one of these"
    if env_id.startswith("glimpse_gym/"):
        name = env_id.removeprefix("glimpse_gym/").removesuffix("-v0")
        advice = (
            f"use glimpse_gym/{name}Discrete-v0 or glimpse_gym/{name}Continuous-v0, or wrap it in "
            "glimpse_gym.agents.sb3.hybrid.HybridActions"
        )
    raise ValueError(f"Stable-Baselines3 takes the action spaces {accepted}, got {space}: {advice}")
