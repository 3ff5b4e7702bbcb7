"""Processes of a data-parallel training run: how they are started, and what each is told. Does not import torch.

A process learns its place from environment variables, those that torchrun sets or those that :func:`launch` sets, and
joins the others: see :mod:`glimpse_gym.agents.parallel`.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from glimpse_gym.interrupts import handled_interrupts

PROGRAM = (sys.executable, "-m", "glimpse_gym")
"""Command that a process of a run starts with."""
INTERRUPTED, PEER_LOST = 130, 3
"""Exit statuses of a process: stopped by Ctrl-C or SIGTERM; ended because another process of the run ended."""
_LAUNCHER, _STORE = "GLIMPSE_GYM_LAUNCHER", "GLIMPSE_GYM_STORE"
_NUMBERS = "RANK", "LOCAL_RANK", "WORLD_SIZE"
_ADDRESS = "MASTER_ADDR", "MASTER_PORT"
_GRACE_SECONDS = 5.0  # before processes that do not end by themselves are killed
_POLL_SECONDS = 0.05


class ProcessError(RuntimeError):
    """A process of the run has ended without a message of its own."""


class ProcessInfo(NamedTuple):
    """Place of this process among those of its run."""

    rank: int
    """Number of the process, from 0."""
    local_rank: int
    """Number of the process on its machine, from 0."""
    world_size: int
    """Number of processes."""
    init_method: str
    """Where the processes find each other, as :func:`torch.distributed.init_process_group` takes it."""
    launcher: int | None = None
    """Process id of :func:`launch`, if that started this process."""


def process_info(environment: Mapping[str, str] = os.environ) -> ProcessInfo | None:
    """Read the place of this process from the environment variables of torchrun or of :func:`launch`.

    Returns:
        None if neither started this process.

    Raises:
        ValueError: if variables are missing or not accepted.
    """
    if not any(environment.get(name) for name in ("RANK", "WORLD_SIZE")):
        return None
    is_launched = bool(environment.get(_LAUNCHER))
    needed = [*_NUMBERS, *([_LAUNCHER, _STORE] if is_launched else _ADDRESS)]
    if missing := [name for name in needed if not environment.get(name)]:
        found = ", ".join(f"{name}={environment[name]}" for name in _NUMBERS if environment.get(name))
        raise ValueError(
            f"the environment has {found}, but not {', '.join(missing)}: start the processes of a run with torchrun, "
            "which sets all of them, or with --processes; for a run with one process unset RANK and WORLD_SIZE"
        )
    rank, local_rank, world_size = (_parse_integer(name, environment[name]) for name in _NUMBERS)
    if not (0 <= rank < world_size and 0 <= local_rank < world_size):
        raise ValueError(
            "RANK and LOCAL_RANK must be at least 0 and less than WORLD_SIZE, got "
            f"RANK={rank}, LOCAL_RANK={local_rank}, WORLD_SIZE={world_size}: start the processes with torchrun"
        )
    if is_launched:
        launcher = _parse_integer(_LAUNCHER, environment[_LAUNCHER])
        return ProcessInfo(rank, local_rank, world_size, Path(environment[_STORE]).as_uri(), launcher)
    return ProcessInfo(rank, local_rank, world_size, "env://")


def _parse_integer(name: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"the environment variable {name} must be an integer, got {text!r:.100}") from None


def launch(arguments: Sequence[str], number: int) -> int:
    """Run one command line of this program in several processes of one run, and wait until all have ended.

    Ctrl-C and SIGTERM are passed on to process 0; the processes agree on when to stop. If one of them dies, the others
    end too. They also end if this process is killed: see ``ProcessGroup.any``.

    Args:
        arguments: the command line, without the name of the program.
        number: number of processes.

    Returns:
        Exit status: 0 for success; 1 if a process has failed and printed why; 130 for a stop.

    Raises:
        ProcessError: if a process was killed; the message names it.
    """
    with tempfile.TemporaryDirectory(prefix="glimpse-gym-") as folder:
        processes: list[subprocess.Popen[bytes]] = []
        requests: list[int] = []
        with handled_interrupts(lambda number, frame: requests.append(number)):
            try:
                for rank in range(number):
                    # A session of its own: Ctrl-C in the terminal reaches this process only.
                    environment = _environment(rank, number, Path(folder, "store"))
                    command = [*PROGRAM, *arguments]
                    processes.append(
                        subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, start_new_session=True)
                    )
                _wait(processes, requests)
            finally:
                killed = {rank for rank, process in enumerate(processes) if process.poll() is None}
                for rank in killed:
                    processes[rank].kill()
                    processes[rank].wait()
    return _outcome(processes, killed, is_stopped=bool(requests))


def _environment(rank: int, number: int, store: Path) -> dict[str, str]:
    numbers = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": number, _LAUNCHER: os.getpid(), _STORE: store}
    environment = dict(os.environ) | {name: str(value) for name, value in numbers.items()}
    interfaces = [name for _, name in socket.if_nameindex()]
    if loopback := [name for name in ("lo", "lo0") if name in interfaces]:
        environment.setdefault("GLOO_SOCKET_IFNAME", loopback[0])  # gloo accepts connections from this machine only
    return environment


def _wait(processes: list[subprocess.Popen[bytes]], requests: list[int]) -> None:
    """Wait until all processes have ended, or long enough after one has failed or the user insists on a stop."""
    num_forwarded, deadline = 0, None
    while any(process.poll() is None for process in processes):
        if deadline is None and (
            len(requests) > 1 or any(process.returncode not in (None, 0, INTERRUPTED) for process in processes)
        ):
            deadline = time.monotonic() + _GRACE_SECONDS
        if deadline is not None and time.monotonic() > deadline:
            return
        while num_forwarded < len(requests):
            processes[0].send_signal(signal.SIGTERM)
            num_forwarded += 1
        time.sleep(_POLL_SECONDS)


def _outcome(processes: list[subprocess.Popen[bytes]], killed: set[int], is_stopped: bool) -> int:
    """Return the exit status of the whole from those of its processes, some of which were killed at the end."""
    statuses = {rank: process.returncode for rank, process in enumerate(processes) if rank not in killed}
    told = {0, 1, INTERRUPTED, PEER_LOST}  # by a message of the process itself, or of another one
    if dead := [rank for rank, status in statuses.items() if status not in told]:
        rank, number = dead[0], len(processes)
        status = statuses[rank]
        how = f"was ended by {_signal_name(-status)}" if status < 0 else f"ended with status {status}"
        if status != -signal.SIGTERM or not is_stopped:
            raise ProcessError(
                f"process {rank} of {number} (process id {processes[rank].pid}) {how}, and the others have ended with "
                "it; the same command with --resume resumes from the state that was saved last"
            )
    if 1 in statuses.values():
        return 1
    if is_stopped or INTERRUPTED in statuses.values():
        return INTERRUPTED
    if killed or PEER_LOST in statuses.values():
        raise ProcessError(
            f"the processes have lost each other: {', '.join(map(str, sorted(killed))) or 'none'} did not end by "
            "itself; the same command with --resume resumes from the state that was saved last"
        )
    return 0


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
