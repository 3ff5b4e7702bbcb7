"""Speeds, as ratios to Gymnasium's CartPole measured in the same run: a machine's own speed cancels out."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import gymnasium as gym

from glimpse_gym.machine import machine_name
from glimpse_gym.registration import env_id

_WORLDS = ("MNIST", "TranslatedMNIST", "ClutteredMNIST", "ClutteredMNIST100", "Catch")
_ROUNDS = 5
_BATCH_SIZE = 512  # of training; larger batches take less of a thread's time for each image, and learn less from it


def bench(seconds: float = 1.0, num_envs: int = 256) -> Iterator[str]:
    """Measure everything, and give the report line by line.

    Each measurement is taken in turn with CartPole's, several times over, so that both meet the same disturbances,
    and the median ratio is reported. Actions are drawn beforehand: what is measured is the env, not the sampler.

    Args:
        seconds: how long each measurement takes, all rounds together.
        num_envs: sub-envs of the vector envs.
    """
    if not seconds > 0:
        raise ValueError(f"seconds must be greater than 0, got {seconds}")
    if num_envs < 1:
        raise ValueError(f"num_envs must be at least 1, got {num_envs}")
    yield _machine()
    yield f"\n{num_envs} sub-envs, one thread, random actions"
    yield from _compare(lambda name: _vector_stepper(name, num_envs), num_envs, seconds)
    yield "\nsingle env through gym.make, random actions"
    yield from _compare(_single_stepper, 1, seconds)
    yield f"\nimport glimpse_gym: {_import_seconds():.2f} s beyond import gymnasium"
    yield from _bench_training(seconds)


def _compare(make: Callable[[str], Callable[[], None]], steps: int, seconds: float) -> Iterator[str]:
    """Lines of steps a second and ratios, CartPole's own first."""
    steppers = {name: make(name) for name in ("CartPole-v1", *map(env_id, _WORLDS))}
    rates: dict[str, list[float]] = {name: [] for name in steppers}
    for _ in range(_ROUNDS):
        for name, stepper in steppers.items():
            rates[name].append(steps * _rate(stepper, seconds / _ROUNDS))
    for name, values in rates.items():
        ratios = [value / reference for value, reference in zip(values, rates["CartPole-v1"], strict=True)]
        yield f"  {name:<36}{statistics.median(values):>12,.0f} steps/s   ratio {statistics.median(ratios):.3f}"


def _rate(call: Callable[[], object], seconds: float) -> float:
    """Calls a second."""
    calls, begun = 0, time.perf_counter()
    while (passed := time.perf_counter() - begun) < seconds:
        for _ in range(20):
            call()
        calls += 20
    return calls / passed


def _vector_stepper(name: str, num_envs: int) -> Callable[[], None]:
    envs = gym.make_vec(name, num_envs=num_envs, vectorization_mode="vector_entry_point")
    envs.action_space.seed(0)
    actions = [envs.action_space.sample() for _ in range(64)]
    envs.reset(seed=0)
    turn = _cycle(actions)

    def step() -> None:
        envs.step(next(turn))

    step()  # compiles the kernels
    return step


def _single_stepper(name: str) -> Callable[[], None]:
    env = gym.make(name)
    env.action_space.seed(0)
    actions = [env.action_space.sample() for _ in range(512)]
    env.reset(seed=0)
    turn = _cycle(actions)

    def step() -> None:
        _, _, terminated, truncated, _ = env.step(next(turn))
        if terminated or truncated:
            env.reset()

    step()
    return step


def _cycle(values: list[Any]) -> Iterator[Any]:
    while True:
        yield from values


def _import_seconds() -> float:
    """How much longer a fresh interpreter takes with us than with Gymnasium alone: the median of some."""
    pairs = [(_seconds_of("import gymnasium, glimpse_gym"), _seconds_of("import gymnasium")) for _ in range(_ROUNDS)]
    return statistics.median(ours - theirs for ours, theirs in pairs)


def _seconds_of(code: str) -> float:
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return time.perf_counter() - begun


def _bench_training(seconds: float) -> Iterator[str]:
    """Training speed of RAM, and the memory of this process after all of it."""
    try:
        import torch

        from glimpse_gym.agents.learner import ImageLearner, ImageTrainConfig
        from glimpse_gym.agents.ram import RAMConfig
    except ModuleNotFoundError as error:
        yield f"training: not measured, {error.name} is not installed (pip install 'glimpse_gym[agents]')"
        return
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    for name, kwargs in (("MNIST", {"num_glimpses": 6}), ("ClutteredMNIST", {})):
        learner = ImageLearner(env_id(name), kwargs, ImageTrainConfig(batch_size=_BATCH_SIZE), RAMConfig())
        learner.update()
        rate = _BATCH_SIZE * _rate(learner.update, 5 * seconds)
        label = f"training, one thread, {env_id(name)}, {learner.horizon} glimpses"
        yield f"{label}, batch {_BATCH_SIZE}: {rate:,.0f} images/s"
    torch.set_num_threads(threads)
    import resource  # not on Windows

    unit = 1 if sys.platform == "darwin" else 1024  # bytes on macOS, KiB elsewhere
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20
    yield f"peak memory of this process: {used:,.0f} MiB"


def _machine() -> str:
    packages = ("glimpse_gym", "gymnasium", "numpy", "numba", "torch")
    versions = []
    for name in packages:
        try:
            versions.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            versions.append(f"{name} -")
    return f"{machine_name()}, {os.cpu_count()} cores, Python {platform.python_version()}, {', '.join(versions)}"
