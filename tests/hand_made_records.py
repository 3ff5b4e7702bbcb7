"""Records of benchmark runs made by hand, with scores that are easy to compute with."""

import numpy as np

from glimpse_gym.agents.benchmark.algorithms import ALGORITHMS
from glimpse_gym.agents.benchmark.protocol import SEEDS, TASKS
from glimpse_gym.agents.benchmark.records import RunRecord


def make_point(num_steps, success, num_glimpses=3.0):
    return {
        "num_steps": num_steps,
        "seconds": num_steps / 1000,
        "success": success,
        "episode_return": success,
        "num_glimpses": num_glimpses,
    }


def make_test(successes, episodes):
    """Test scores with these numbers of successes and episodes after 0, 1, ... glimpses."""
    num_episodes = sum(episodes)
    return {
        "num_episodes": num_episodes,
        "success": sum(successes) / num_episodes,
        "episode_return": sum(successes) / num_episodes,
        "num_glimpses": float(np.average(np.arange(len(episodes)), weights=episodes)),
        "episodes_by_glimpses": list(episodes),
        "successes_by_glimpses": list(successes),
    }


def make_record(task="MNIST", algorithm="sb3-ppo", seed=0, success=0.5, **changes):
    """A run of 500,000 steps in 250 seconds whose 100 test episodes took 4 glimpses each."""
    values = {
        "task": task,
        "algorithm": algorithm,
        "seed": seed,
        "env_id": f"glimpse_gym/{task}Discrete-v0",
        "env_kwargs": {},
        "num_steps": TASKS[task].num_steps if task in TASKS else 500_000,
        "curve": [make_point(250_000, success / 2), make_point(500_000, success)],
        "test": make_test([0, 0, 0, 0, round(100 * success)], [0, 0, 0, 0, 100]),
        "seconds": 250.0,
        "versions": {"python": "3", "glimpse_gym": "0.4", "torch": "2.8"},
        "machine": "a machine",
        "command": f"glimpse-gym benchmark run --tasks {task}",
    }
    return RunRecord(**values | changes)


def make_records(task="MNIST", algorithm="sb3-ppo", successes=(0.4, 0.5, 0.6), **changes):
    """One run with each success, of the seeds 0, 1, ..."""
    return [make_record(task, algorithm, seed, success, **changes) for seed, success in enumerate(successes)]


def grid_records(seed=0):
    """Runs of the whole protocol, with learning curves and numbers of glimpses that look real."""
    rng = np.random.default_rng(seed)
    records = []
    for task in TASKS.values():
        for i, (name, entry) in enumerate(ALGORITHMS.items()):
            if (task.algorithms and name not in task.algorithms) or (entry.worlds and task.world not in entry.worlds):
                continue
            best = (0.1, 0.3, 0.7, 0.8, 0.55, 0.4, 0.85, 0.93, 0.9, 0.99, 0.8, 0.45, 0.9, 0.88, 0.91, 0.97)[i % 16]
            for run in SEEDS:
                final = float(np.clip(best + rng.normal(0, 0.03), 0, 1))
                records.append(_grid_record(task, name, entry, run, final, rng))
    return records


def _grid_record(task, name, entry, seed, final, rng):
    steps = np.linspace(0, task.num_steps, 21)[1:].astype(int)
    curve = 0.1 + (final - 0.1) * (1 - np.exp(-5 * steps / steps[-1])) + rng.normal(0, 0.01, len(steps))
    horizon = {"MNIST": 7, "ClutteredMNIST": 8, "Catch": 23}[task.world]
    episodes = np.zeros(horizon + 1, int)
    if entry.actions == "discrete" and task.world != "Catch":
        mean = 2.5 if task.env_kwargs else 4
        used = np.clip(np.round(rng.normal(mean + rng.normal(0, 0.2), 1.3, 10_000)), 1, horizon).astype(int)
        episodes += np.bincount(used, minlength=horizon + 1)
    else:
        episodes[horizon] = 10_000
    rates = np.clip(
        final + 0.03 * (np.arange(horizon + 1) - np.average(np.arange(horizon + 1), weights=episodes)), 0, 1
    )
    return make_record(
        task.name,
        name,
        seed,
        curve=[make_point(int(step), float(np.clip(y, 0, 1))) for step, y in zip(steps, curve, strict=True)],
        test=make_test((rates * episodes).astype(int).tolist(), episodes.tolist()),
        seconds=float(rng.uniform(60, 400)),
    )
