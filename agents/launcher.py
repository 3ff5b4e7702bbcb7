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
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
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
    """Address at which the processes find each other, as :func:`torch.distributed.init_process_group` takes it."""
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
        Exit status: 0 for success; 1 if a process has failed, whose message is then on stderr; 130 for a stop.

    Raises:
        ProcessError: if a process was killed; the message names it.
    """
    requests: list[int] = []  # to stop
    with tempfile.TemporaryDirectory(prefix="glimpse-gym-") as name, ExitStack() as stack:
        folder = Path(name)
        stack.enter_context(handled_interrupts(lambda number, frame: requests.append(number)))
        processes = [stack.enter_context(_started(arguments, rank, number, folder)) for rank in range(number)]
        _wait(processes, requests)
        killed = {rank for rank, process in enumerate(processes) if process.poll() is None}
        for rank in killed:
            processes[rank].kill()
        statuses = {rank: process.wait() for rank, process in enumerate(processes) if rank not in killed}
        failed = [rank for rank, status in statuses.items() if status not in (0, INTERRUPTED, PEER_LOST)]
        for rank in failed[:1]:
            sys.stderr.write(_stderr(folder, rank).read_text(errors="replace") if rank else "")
        return _outcome(statuses, {rank: process.pid for rank, process in enumerate(processes)}, bool(requests))


@contextmanager
def _started(arguments: Sequence[str], rank: int, number: int, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Context manager with a process, which is killed at the end. Only process 0 writes on the terminal."""
    values = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": number, _LAUNCHER: os.getpid(), _STORE: folder / "store"}
    environment = dict(os.environ) | {name: str(value) for name, value in values.items()}
    interfaces = [name for _, name in socket.if_nameindex()]
    if loopback := [name for name in ("lo", "lo0") if name in interfaces]:
        environment.setdefault("GLOO_SOCKET_IFNAME", loopback[0])  # gloo accepts connections from this machine only
    with _stderr(folder, rank).open("wb") as file:
        process = subprocess.Popen(
            [*PROGRAM, *arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            stderr=file if rank else None,
            start_new_session=True,  # Ctrl-C in the terminal reaches the launcher only
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def _stderr(folder: Path, rank: int) -> Path:
    return folder / f"stderr-{rank}"


def _wait(processes: list[subprocess.Popen[bytes]], requests: list[int]) -> None:
    """Wait until all processes have ended, or for some seconds after one that the others cannot do without.

    A second request to stop also limits the wait.
    """
    num_forwarded, deadline = 0, None
    while any(process.poll() is None for process in processes):
        has_lost_one = processes[0].returncode is not None or any(
            process.returncode not in (None, 0, INTERRUPTED) for process in processes
        )
        if deadline is None and (has_lost_one or len(requests) > 1):
            deadline = time.monotonic() + _GRACE_SECONDS
        if deadline is not None and time.monotonic() > deadline:
            return
        while num_forwarded < len(requests):
            processes[0].send_signal(signal.SIGTERM)
            num_forwarded += 1
        time.sleep(_POLL_SECONDS)


def _outcome(statuses: dict[int, int], process_ids: dict[int, int], is_stopped: bool) -> int:
    """Return the exit status of all, from those of the processes that have ended by themselves."""
    number, resume = len(process_ids), "the same command with --resume resumes from the state that was saved last"
    for rank, status in statuses.items():
        is_told = status in (0, 1, INTERRUPTED, PEER_LOST)  # by a message of the process itself, or of another one
        if not is_told and not (is_stopped and status == -signal.SIGTERM):
            how = f"was ended by {_signal_name(-status)}" if status < 0 else f"ended with status {status}"
            raise ProcessError(
                f"process {rank} of {number} (process id {process_ids[rank]}) {how}, and the others have ended with "
                f"it; {resume}"
            )
    if 1 in statuses.values():
        return 1
    if is_stopped or INTERRUPTED in statuses.values():
        return INTERRUPTED
    if len(statuses) < number or PEER_LOST in statuses.values():
        lost = ", ".join(str(rank) for rank in process_ids if rank not in statuses) or "one of them"
        raise ProcessError(f"the {number} processes have lost each other: {lost} did not answer; {resume}")
    return 0


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
