"""Functions for the tests of the benchmark that run in other processes, which import them from here."""

import os
import signal
from pathlib import Path

import gymnasium as gym

from glimpse_gym.agents.benchmark.own_algorithms import RandomAgent


def train(env_id, seed, budget):
    """Train nothing, and report as an algorithm does."""
    agent = RandomAgent(gym.make(env_id).action_space)
    for step in range(0, budget.num_steps + 1, 10):
        budget.report(step, agent)
    return agent


def crash_once(env_id, seed, budget, marker):
    """Die half-way, the first time it is called with a marker."""
    if not Path(marker).exists():
        Path(marker).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return train(env_id, seed, budget)


def fail(env_id, seed, budget):
    raise ZeroDivisionError("the loss is nan")


def double(number):
    return 2 * number


def crash_if_negative(number):
    if number < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def environment(name):
    return os.environ.get(name)
