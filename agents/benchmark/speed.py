"""Training speed against Stable-Baselines3: recurrent PPO against sb3-contrib's, and native vector envs in SB3's PPO.

All comparisons take turns for several rounds, so that disturbances affect both sides, and the median ratio is reported.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import gymnasium as gym
import torch
from gymnasium.vector import AutoresetMode

from glimpse_gym.agents.configs import DiscreteRAMConfig, PPOConfig
from glimpse_gym.agents.ppo import PPO
from glimpse_gym.registration import env_id

_NUM_ROUNDS = 3
_NUM_ENVS = 64
# World -> episodes of one of our updates. They have as many steps as T steps of 64 sub-envs, the rollout of SB3: of an
# untrained policy in MNIST, which answers with 10 of 35 actions, an episode has 3.2 of at most 7 steps.
_NUM_EPISODES = {"Catch": 64, "MNIST": 140}
_NUM_EPOCHS = 4
_NUM_MINIBATCHES = 4
# Of the paper's network for Catch: ReLU units on the glimpse and on the location, features, units of the LSTM.
_UNITS, _FEATURES, _HIDDEN_UNITS = 128, 256, 256
_SCALE_GAIN = 4.0


class Contender(NamedTuple):
    """One side of a comparison."""

    update: Callable[[], None]
    """Does one update: a rollout, and all its optimizer steps."""
    num_frames: Callable[[], int]
    """Returns the environment steps done so far."""


def measure(seconds: float = 30.0) -> Iterator[str]:
    """Measure training speeds with one torch thread, and yield the report line by line.

    Args:
        seconds: duration of the measurement of each contender, over all rounds; at least one update in each round.

    Raises:
        ModuleNotFoundError: if stable_baselines3 or sb3_contrib is not installed.
    """
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield f"recurrent PPO, discrete actions, LSTM of {_HIDDEN_UNITS}, {_NUM_ENVS} sub-envs, one thread"
        for world, num_episodes in _NUM_EPISODES.items():
            name = env_id(world, "discrete")
            ours, theirs = _recurrent_ppo(name, num_episodes), _sb3_recurrent_ppo(name)
            yield _compare(name, "sb3-contrib RecurrentPPO", "glimpse_gym PPO", theirs, ours, seconds)
        yield f"PPO of Stable-Baselines3, {_NUM_ENVS} sub-envs, one thread"
        for world in _NUM_EPISODES:
            name = env_id(world, "discrete")
            native, single = _SB3PPO(name, is_native=True), _SB3PPO(name, is_native=False)
            contenders = single.contender(), native.contender()
            yield _compare(name, "DummyVecEnv", "to_sb3", *contenders, seconds)
            yield f"  {'':<36}share of the envs in the time: {single.env_share():.0%}, {native.env_share():.0%}"
    finally:
        torch.set_num_threads(num_threads)


def _compare(
    name: str, reference_name: str, other_name: str, reference: Contender, other: Contender, seconds: float
) -> str:
    """Measure two contenders in turns, and return a line with frames per second and their ratio."""
    rates: tuple[list[float], list[float]] = [], []
    for contender in (reference, other):
        contender.update()  # compiles the kernels
    for _ in range(_NUM_ROUNDS):
        for contender, its_rates in zip((reference, other), rates, strict=True):
            its_rates.append(_frames_per_second(contender, seconds / _NUM_ROUNDS))
    ratio = statistics.median(fast / slow for slow, fast in zip(*rates, strict=True))
    slow, fast = map(statistics.median, rates)
    return f"  {name:<36}{reference_name}: {slow:,.0f} frames/s, {other_name}: {fast:,.0f} frames/s, ratio {ratio:.1f}"


def _frames_per_second(contender: Contender, seconds: float) -> float:
    first, start = contender.num_frames(), time.perf_counter()
    contender.update()
    while (elapsed := time.perf_counter() - start) < seconds:
        contender.update()
    return (contender.num_frames() - first) / elapsed


def _recurrent_ppo(name: str, num_episodes: int) -> Contender:
    config = PPOConfig(
        batch_size=num_episodes,
        minibatch_size=num_episodes // _NUM_MINIBATCHES,
        num_epochs=_NUM_EPOCHS,
        learning_rate=3e-4,  # SB3's
    )
    policy = DiscreteRAMConfig(
        glimpse_network="fc",
        glimpse_units=_UNITS,
        location_units=_UNITS,
        glimpse_features=_FEATURES,
        scale_gain=_SCALE_GAIN,
        core="lstm",
        hidden_units=_HIDDEN_UNITS,
    )
    learner = PPO(name, {}, config, policy)

    def update() -> None:
        learner.update()

    return Contender(update, lambda: learner.num_steps_done)


def _sb3_recurrent_ppo(name: str) -> Contender:
    """Make sb3-contrib's RecurrentPPO with the same networks, rollouts of T steps, as many minibatches, and epochs."""
    from sb3_contrib import RecurrentPPO

    envs, policy_kwargs, settings = _sb3_parts(name)
    lstm = {"lstm_hidden_size": _HIDDEN_UNITS, "shared_lstm": True, "enable_critic_lstm": False, "net_arch": []}
    return _sb3_contender(RecurrentPPO("MultiInputLstmPolicy", envs, policy_kwargs=policy_kwargs | lstm, **settings))


def _sb3_parts(name: str, is_native: bool = True) -> tuple[Any, dict[str, Any], dict[str, Any]]:
    """Make the envs, the networks, and the other settings of a PPO of Stable-Baselines3."""
    from stable_baselines3.common.vec_env import DummyVecEnv

    from glimpse_gym.agents.sb3.features import glimpse_policy_kwargs
    from glimpse_gym.agents.sb3.vec_env import to_sb3

    native = gym.make_vec(name, num_envs=_NUM_ENVS, autoreset_mode=AutoresetMode.SAME_STEP)
    metadata = native.metadata
    envs = to_sb3(native) if is_native else DummyVecEnv([lambda: gym.make(name)] * _NUM_ENVS)
    policy_kwargs = glimpse_policy_kwargs(
        num_scales=metadata["num_scales"],
        scale_gain=_SCALE_GAIN,
        encoder="fc",
        units=_UNITS,
        location_units=_UNITS,
        features=_FEATURES,
    )
    num_steps = metadata["num_glimpses"]
    batch_size = num_steps * _NUM_ENVS // _NUM_MINIBATCHES
    settings = {"n_steps": num_steps, "batch_size": batch_size, "n_epochs": _NUM_EPOCHS, "seed": 0, "device": "cpu"}
    return envs, policy_kwargs, settings


def _sb3_contender(model: Any) -> Contender:
    def update() -> None:
        model.learn(model.n_steps * model.n_envs, reset_num_timesteps=False)

    return Contender(update, lambda: model.num_timesteps)


class _SB3PPO:
    """PPO of Stable-Baselines3 without memory, with a clock on its envs.

    Args:
        name: id of the env.
        is_native: on the native vector env; else on ``DummyVecEnv`` of single envs.
    """

    def __init__(self, name: str, is_native: bool) -> None:
        from stable_baselines3 import PPO as SB3PPO

        envs, policy_kwargs, settings = _sb3_parts(name, is_native)
        self.seconds = self.env_seconds = 0.0
        step = envs.step

        def timed_step(actions: Any) -> Any:
            start = time.perf_counter()
            result = step(actions)
            self.env_seconds += time.perf_counter() - start
            return result

        envs.step = timed_step
        self.inner = _sb3_contender(SB3PPO("MultiInputPolicy", envs, policy_kwargs=policy_kwargs, **settings))

    def contender(self) -> Contender:
        """Return it as one side of a comparison."""

        def update() -> None:
            start = time.perf_counter()
            self.inner.update()
            self.seconds += time.perf_counter() - start

        return Contender(update, self.inner.num_frames)

    def env_share(self) -> float:
        """Return the fraction of the time spent in steps of the envs."""
        return self.env_seconds / self.seconds
