"""Loop over the updates of a run, in step in all processes of the run."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import torch

from glimpse_gym.agents.configs import TrainConfig
from glimpse_gym.agents.learner import Learner
from glimpse_gym.agents.parallel import Parallel
from glimpse_gym.agents.registry import make_learner
from glimpse_gym.agents.run_state import describe_differences, learner_state, set_learner_state
from glimpse_gym.interrupts import handled_interrupts
from glimpse_gym.version import __version__


class Update(NamedTuple):
    """Result of an update."""

    losses: dict[str, float]
    error: float
    """Fraction of episodes without success."""
    save: bool
    """True if the run is to be saved now: the learner of process 0 holds its whole state."""


def run_updates(
    learner: Learner, stop_is_requested: Callable[[], bool], save_is_due: Callable[[], bool] = lambda: False
) -> Iterator[Update]:
    """Update until the run is done, or until a stop is requested in one of the processes.

    Args:
        learner: in each process, with the same state. At the end that of process 0 holds the whole state.
        stop_is_requested: called between updates.
        save_is_due: called after each update.
    """
    if learner.done:  # as all processes know: nothing to agree on
        return
    (stop,) = learner.parallel.any(stop_is_requested())
    while not (learner.done or stop):
        losses, error = learner.update()
        stop, save = learner.parallel.any(stop_is_requested(), save_is_due())
        if save or stop or learner.done:
            learner.collect_optimizer_state()
        yield Update(losses, error, save)


def collect_settings(
    env_id: str, env_kwargs: dict[str, Any], config: TrainConfig, policy_config: Any
) -> dict[str, Any]:
    """Return the settings in which all processes of a run must agree, by name."""
    configs = asdict(config) | asdict(policy_config)
    kwargs = {f"env_kwargs[{name!r}]": value for name, value in env_kwargs.items()}
    return {"version": __version__, "env_id": env_id} | kwargs | configs


def share_state(learner: Learner) -> None:
    """Set the state of the learners in all processes to that in process 0."""
    state = learner.parallel.broadcast(learner_state(learner))
    set_learner_state(learner, state, Path("state of process 0"))


def train_along(
    parallel: Parallel, env_id: str, env_kwargs: dict[str, Any], config: TrainConfig, policy_config: Any
) -> bool:
    """Train in a process other than process 0, whose trainer has the folder and the state of the run.

    Args:
        parallel: this process.
        env_id: id of one of this package's envs.
        env_kwargs: its keyword arguments in training, without ``split``.
        config: algorithm and its settings.
        policy_config: configuration of the policy.

    Returns:
        True if the run is finished; False if a stop was requested in one of the processes.

    Raises:
        PeerLostError: if another process has failed or ended.
        ValueError: if the settings are others than those of process 0, or the algorithm cannot train in the env.
    """
    found = collect_settings(env_id, env_kwargs, config, policy_config)
    expected = parallel.broadcast(found)  # of process 0
    with parallel.failing_together():
        if differences := describe_differences(found, expected, "{} in process 0"):
            raise ValueError(
                f"process {parallel.rank} has {differences}: start all processes of a run with the same command"
            )
        learner = make_learner(env_id, env_kwargs, config, policy_config, parallel)
    with parallel.failing_together():
        pass  # process 0 opens the folder of the run
    share_state(learner)
    with set_threads(config.num_threads), stop_requests() as stop:
        for _ in run_updates(learner, stop.is_set):
            pass
    return learner.done


@contextmanager
def set_threads(number: int) -> Iterator[None]:
    """Context manager with a number of torch threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def stop_requests() -> Iterator[threading.Event]:
    """Context manager with an event that the first Ctrl-C or SIGTERM sets, so that an update is never cut off.

    The second one raises KeyboardInterrupt.
    """
    stop = threading.Event()

    def request_stop(number: int, frame: Any) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    with handled_interrupts(request_stop):
        yield stop
