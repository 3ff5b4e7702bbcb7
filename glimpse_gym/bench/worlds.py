"""Speed of the worlds, as ratios to Gymnasium's CartPole in the same run, so that machines can be compared."""

from __future__ import annotations

import importlib.metadata
import inspect
import itertools
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium as gym
from gymnasium.envs.registration import load_env_creator

from glimpse_gym.atomic_io import atomic_write
from glimpse_gym.bench.timing import check_seconds, seconds_per_call
from glimpse_gym.machine import machine_name
from glimpse_gym.registration import WORLDS, env_id
from glimpse_gym.validation import check_integer

REFERENCE_ID = "CartPole-v1"
_RENDERED_ID = "glimpse_gym/ClutteredMNIST100-v0"
_NUM_ROUNDS = 5


class Speed(NamedTuple):
    """Speed of one env."""

    env_id: str
    steps_per_second: float
    """Median over the rounds."""
    ratio: float
    """To CartPole: the median of the ratios within the rounds."""


def bench_worlds(seconds: float = 1.0, num_envs: int = 256, save: Path | None = None) -> Iterator[str]:
    """Measure the speed of every world, of rendering and of the import, and yield the report line by line.

    Worlds and CartPole take turns for several rounds, so that disturbances affect all of them, and the median ratio is
    reported. Actions are sampled beforehand, so that only the envs are measured.

    Args:
        seconds: duration of each measurement, over all rounds.
        num_envs: number of sub-envs of the vector envs, an integer >= 1.
        save: JSON file for the machine and the speeds, from which the documentation makes its tables.

    Raises:
        ValueError: if an argument is out of range.
        OSError: the file cannot be written.
    """
    check_seconds(seconds)
    check_integer("num_envs", num_envs, at_least=1)
    machine = describe_machine()
    yield machine
    yield f"\n{num_envs} sub-envs, one thread, random actions; ratios are medians over rounds"
    vector = _compare(lambda name: _make_vector_step(name, num_envs), num_envs, seconds)
    yield from map(_format_speed, vector)
    yield "\nsingle env through gym.make, random actions; ratios are medians over rounds"
    single = _compare(_make_single_step, 1, seconds)
    yield from map(_format_speed, single)
    milliseconds = _render_milliseconds(seconds)
    yield f"\nrender() as rgb_array, {_RENDERED_ID}: {milliseconds:.2f} ms per frame"
    if save:
        _save_speeds(save, machine, num_envs, vector, single, milliseconds)
    yield f"import glimpse_gym: {_import_seconds():.2f} s beyond import gymnasium"
    import resource  # not available on Windows

    unit = 1 if sys.platform == "darwin" else 1024  # ru_maxrss is in bytes on macOS, in KiB elsewhere
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20
    yield f"peak memory of this process: {peak:,.0f} MiB"


def benchmarked_ids() -> list[str]:
    """List the ids of all registered worlds that can be made without arguments."""
    ids = []
    for name, (prefix, kwargs) in WORLDS.items():
        env_class: Any = load_env_creator(f"{prefix}Env")
        parameters = dict(inspect.signature(env_class.world_class).parameters)
        del parameters["num_rows"]
        required = {key for key, parameter in parameters.items() if parameter.default is parameter.empty}
        if required <= set(kwargs):
            ids.append(env_id(name))
    return ids


def _compare(make_step: Callable[[str], Callable[[], None]], num_steps: int, seconds: float) -> list[Speed]:
    """Measure all ids, taking turns, CartPole first.

    Args:
        make_step: makes a function that takes ``num_steps`` steps of the env with a given id.
        num_steps: steps that one call of the function takes.
        seconds: duration of each measurement.
    """
    step_functions = {name: make_step(name) for name in (REFERENCE_ID, *benchmarked_ids())}
    rates: dict[str, list[float]] = {name: [] for name in step_functions}
    for _ in range(_NUM_ROUNDS):
        for name, step in step_functions.items():
            rates[name].append(num_steps * _calls_per_second(step, seconds / _NUM_ROUNDS))
    speeds = []
    for name, values in rates.items():
        ratios = [value / reference for value, reference in zip(values, rates[REFERENCE_ID], strict=True)]
        speeds.append(Speed(name, statistics.median(values), statistics.median(ratios)))
    return speeds


def _format_speed(speed: Speed) -> str:
    return f"  {speed.env_id:<36}{speed.steps_per_second:>12,.0f} steps/s   ratio {speed.ratio:.3f}"


def _save_speeds(
    path: Path, machine: str, num_envs: int, vector: list[Speed], single: list[Speed], milliseconds: float
) -> None:
    def rounded(speeds: list[Speed]) -> dict[str, dict[str, float]]:
        return {
            each.env_id: {"steps_per_second": round(each.steps_per_second), "ratio": round(each.ratio, 3)}
            for each in speeds
        }

    content = {
        "machine": machine,
        "num_envs": num_envs,
        "vector": rounded(vector),
        "single": rounded(single),
        "render_milliseconds": round(milliseconds, 2),
    }
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _calls_per_second(function: Callable[[], object], seconds: float) -> float:
    return 1 / seconds_per_call(function, seconds, calls_at_once=20)


def _make_vector_step(name: str, num_envs: int) -> Callable[[], None]:
    envs = gym.make_vec(name, num_envs=num_envs, vectorization_mode="vector_entry_point")
    envs.action_space.seed(0)
    actions = itertools.cycle([envs.action_space.sample() for _ in range(64)])
    envs.reset(seed=0)

    def step() -> None:
        envs.step(next(actions))

    step()  # compiles the kernels
    return step


def _make_single_step(name: str) -> Callable[[], None]:
    env = gym.make(name)
    env.action_space.seed(0)
    actions = itertools.cycle([env.action_space.sample() for _ in range(512)])
    env.reset(seed=0)

    def step() -> None:
        _, _, terminated, truncated, _ = env.step(next(actions))
        if terminated or truncated:
            env.reset()

    step()
    return step


def _render_milliseconds(seconds: float) -> float:
    """Measure the time that one frame takes, at the last glimpse of an episode, as a median."""
    env = gym.make(_RENDERED_ID, render_mode="rgb_array")
    env.action_space.seed(0)
    env.reset(seed=0)
    for _ in range(env.metadata["num_glimpses"] - 1):
        env.step(env.action_space.sample())
    rates = [_calls_per_second(env.render, seconds / _NUM_ROUNDS) for _ in range(_NUM_ROUNDS)]
    return 1000 / statistics.median(rates)


def _import_seconds() -> float:
    """Measure how much longer a new interpreter takes to import this package than Gymnasium alone, as a median."""
    pairs = [
        (_run_seconds("import gymnasium, glimpse_gym"), _run_seconds("import gymnasium")) for _ in range(_NUM_ROUNDS)
    ]
    return statistics.median(both - gymnasium for both, gymnasium in pairs)


def _run_seconds(code: str) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return time.perf_counter() - start


def describe_machine() -> str:
    """Describe the machine and the package versions in one line."""
    packages = ("glimpse_gym", "gymnasium", "numpy", "numba", "torch")
    versions = []
    for name in packages:
        try:
            versions.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            versions.append(f"{name} -")
    return f"{machine_name()}, {os.cpu_count()} cores, Python {platform.python_version()}, {', '.join(versions)}"
