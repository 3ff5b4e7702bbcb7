"""Training with rl_zoo3 on native vector envs.

Import it before rl_zoo3 makes envs, which ``--gym-packages`` does; it also registers the ids. Each algorithm has a
module of hyperparameters, named as in rl_zoo3, for ``--conf-file``::

    python -m rl_zoo3.train --algo ppo --env glimpse_gym/MNISTDiscrete-v0 \\
        --gym-packages glimpse_gym.agents.sb3.zoo --conf-file glimpse_gym.agents.sb3.zoo.ppo
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import gymnasium as gym
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.wrappers import OrderEnforcing, PassiveEnvChecker
from rl_zoo3.exp_manager import ExperimentManager
from stable_baselines3.common.env_util import unwrap_wrapper
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv, VecMonitor

from glimpse_gym.agents.sb3.hybrid import HybridActions
from glimpse_gym.agents.sb3.vec_env import to_sb3
from glimpse_gym.env import GlimpseEnv

# A native vector env needs no replacement for these, except that Monitor becomes VecMonitor.
_NEEDLESS = (Monitor, OrderEnforcing, PassiveEnvChecker)


def make_zoo_vec_env(env_fns: Sequence[Callable[[], gym.Env[Any, Any]]]) -> VecEnv:
    """Make the envs of rl_zoo3: a native vector env for an env of this package, otherwise ``DummyVecEnv``.

    A native vector env has the id and the keyword arguments of the first env; hybrid actions as one Box
    (:class:`~glimpse_gym.agents.sb3.hybrid.HybridActions`); and a ``VecMonitor``, which writes the episodes of all
    sub-envs to the monitor file of the first one. An env in other wrappers, such as rl_zoo3's ``env_wrapper``, is made
    as single envs, with a warning.

    Args:
        env_fns: one function for each sub-env; they must make the same env.
    """
    env = env_fns[0]()
    if isinstance(env.unwrapped, GlimpseEnv) and env.unwrapped.spec is not None:
        wrappers = [type(layer).__name__ for layer in _wrappers(env) if not isinstance(layer, _NEEDLESS)]
        if not wrappers:
            return _make_native(env, len(env_fns))
        warnings.warn(
            f"a native vector env cannot have the wrappers {', '.join(wrappers)} of single envs: using DummyVecEnv, "
            "which is slower; leave them out, or use vec_env_wrapper instead of env_wrapper",
            stacklevel=2,
        )
    return DummyVecEnv([lambda: env, *env_fns[1:]])


def _make_native(env: gym.Env[Any, Any], num_envs: int) -> VecEnv:
    """Make n sub-envs like a single env, which is closed."""
    assert env.unwrapped.spec is not None
    vector_env: VectorEnv[Any, Any, Any] = gym.make_vec(
        env.unwrapped.spec, num_envs=num_envs, autoreset_mode=AutoresetMode.SAME_STEP
    )
    if isinstance(vector_env.single_action_space, spaces.Dict):
        vector_env = HybridActions(vector_env)
    monitor: Any = unwrap_wrapper(env, Monitor)
    env.close()
    if monitor is None:
        return to_sb3(vector_env)
    file = monitor.results_writer and monitor.results_writer.file_handler.name
    return VecMonitor(to_sb3(vector_env), file, monitor.info_keywords)


def _wrappers(env: gym.Env[Any, Any]) -> list[gym.Wrapper[Any, Any, Any, Any]]:
    """List the wrappers of a single env."""
    return [env, *_wrappers(env.env)] if isinstance(env, gym.Wrapper) else []


# It calls this class, or, as here, function, with the functions that make single envs.
ExperimentManager.default_vec_env_cls = staticmethod(make_zoo_vec_env)  # type: ignore[assignment]
