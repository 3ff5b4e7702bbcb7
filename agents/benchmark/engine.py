"""Execution of independent runs: in local processes (pebble), or on a Ray cluster.

An engine is a context manager with ``submit(function, *arguments)``, which returns a future of
:mod:`concurrent.futures`. Both engines start every run in a process of its own, with one thread, so that runs do not
compete for cores, and that one that crashes takes no other with it.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol, TypeVar

from glimpse_gym.extras import require_extra

T = TypeVar("T")
R = TypeVar("R")

_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}


class Engine(AbstractContextManager["Engine"], Protocol):
    """Protocol of the engines."""

    def submit(self, function: Callable[..., R], *arguments: Any) -> Future[R]:
        """Start a function in a process of its own as soon as there is a free place for it."""


class LocalEngine(AbstractContextManager["LocalEngine"]):
    """Processes on this machine.

    Args:
        num_workers: number of runs at a time; None: as many as there are cores.
    """

    def __init__(self, num_workers: int | None = None) -> None:
        require_extra("sb3")
        from pebble import ProcessPool

        os.environ.update(_ONE_THREAD)  # inherited by the processes, and read when they import NumPy and torch
        self._pool = ProcessPool(
            max_workers=num_workers or os.cpu_count() or 1, max_tasks=1, context=multiprocessing.get_context("spawn")
        )

    def submit(self, function: Callable[..., R], *arguments: Any) -> Future[R]:
        """See :class:`Engine`. The future of a process that died raises :class:`pebble.ProcessExpired`."""
        return self._pool.schedule(function, args=list(arguments))

    def __exit__(self, *error: object) -> None:
        self._pool.stop()
        self._pool.join()


class RayEngine(AbstractContextManager["RayEngine"]):
    """A Ray cluster; each run takes one CPU of it.

    Every node needs this package, and the modules of other algorithms at the same paths as here.

    Args:
        address: of the cluster, as ``ray.init`` takes it: ``"auto"``, ``"ray://host:10001"``, or ``"local"`` for a new
            one on this machine.
    """

    def __init__(self, address: str = "auto") -> None:
        require_extra("ray")
        import ray

        variables = _ONE_THREAD | {"PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))}
        ray.init(address=address, runtime_env={"env_vars": variables}, log_to_driver=False, logging_level=logging.ERROR)
        self._ray = ray

    def submit(self, function: Callable[..., R], *arguments: Any) -> Future[R]:
        """See :class:`Engine`."""
        # Retries are left to run_all; max_calls=1 gives every run a process of its own.
        remote = self._ray.remote(num_cpus=1, max_retries=0, max_calls=1)(function)
        future: Future[R] = remote.remote(*arguments).future()
        return future

    def __exit__(self, *error: object) -> None:
        self._ray.shutdown()


class Finished(NamedTuple):
    """A run that has ended."""

    argument: Any
    result: Any
    """None if it failed."""
    error: BaseException | None
    """None if it succeeded."""
    attempts_left: int
    """If it failed: how many times it will be tried again; 0 if it was given up."""


def run_all(engine: Engine, function: Callable[[T], R], arguments: Iterable[T], num_retries: int) -> Iterator[Finished]:
    """Run a function on each argument, and yield what has ended, in the order in which it ends.

    A run that fails is started again, up to ``num_retries`` times, while the others go on.

    Args:
        engine: where the runs are executed.
        function: picklable.
        arguments: picklable, one for each run.
        num_retries: how many times a run that failed is tried again.
    """
    pending: dict[Future[R], tuple[T, int]] = {engine.submit(function, each): (each, num_retries) for each in arguments}
    while pending:
        done, _ = wait(pending, return_when=FIRST_COMPLETED)
        for future in done:
            argument, attempts_left = pending.pop(future)
            error = future.exception()
            if error and attempts_left:
                pending[engine.submit(function, argument)] = argument, attempts_left - 1
            yield Finished(argument, None if error else future.result(), error, attempts_left if error else 0)
