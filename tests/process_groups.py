"""Several processes of one training run: forked from this one, or started from the command line."""

import os
import pickle
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import glimpse_gym
from glimpse_gym.agents.launcher import ProcessInfo
from glimpse_gym.agents.parallel import Parallel, joined
from glimpse_gym.cli import main
from kills import start_forked

# `python -m glimpse_gym`, with the module path of this process; see test_cli_resume.py. Each process writes its id into
# the folder IDS. FAIL is the number of a process whose fourth update fails.
_PROGRAM = f"""
import os, runpy, sys, time, glimpse_gym
from pathlib import Path
glimpse_gym.__path__[:] = {list(glimpse_gym.__path__)!r}
from glimpse_gym.agents import launcher
launcher.PROGRAM = sys.executable, __file__
rank = os.environ.get("RANK", "launcher")
Path(os.environ["IDS"], rank).write_text(str(os.getpid()))
if rank != "launcher":
    from glimpse_gym.agents.learner import Learner
    update = Learner.update

    def slow_update(learner):
        time.sleep(0.2 if learner.num_updates_done >= 5 else 0)
        if learner.num_updates_done == 3 and os.environ.get("FAIL") == rank:
            raise ValueError("this update cannot be done")
        return update(learner)

    Learner.update = slow_update
sys.argv[0] = "glimpse-gym"
runpy.run_module("glimpse_gym", run_name="__main__")
"""


def run_in_processes(number: int, folder: Path, function: Callable[[Parallel], Any]) -> list[Any]:
    """Call a function in several forked processes that have joined, and return what it returns or raises in each."""
    folder.mkdir()

    def run(rank: int) -> None:
        info = ProcessInfo(rank, rank, number, (folder / "store").as_uri())
        try:
            with joined(info if number > 1 else None) as parallel:
                result = function(parallel)
        except Exception as error:
            result = error
        (folder / str(rank)).write_bytes(pickle.dumps(result))

    children = [start_forked(lambda rank=rank: run(rank)) for rank in range(number)]
    for child in children:
        os.waitpid(child, 0)
    return [pickle.loads((folder / str(rank)).read_bytes()) for rank in range(number)]


def run_command(
    number: int, folder: Path, arguments: list[str], prepare: Callable[[int], Any] | None = None
) -> list[int]:
    """Run a command line in several forked processes of one run, as the launcher does, and return their exit statuses.

    ``prepare(rank)`` is called first in each process.
    """
    folder.mkdir()
    values = {"WORLD_SIZE": number, "GLIMPSE_GYM_LAUNCHER": os.getpid(), "GLIMPSE_GYM_STORE": folder / "store"}

    def run(rank: int) -> None:
        os.environ.update({name: str(value) for name, value in (values | {"RANK": rank, "LOCAL_RANK": rank}).items()})
        if prepare:
            prepare(rank)
        os._exit(main(arguments))

    children = [start_forked(lambda rank=rank: run(rank)) for rank in range(number)]
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]


class StartedRun:
    """A run started from the command line, with its processes."""

    def __init__(self, launcher: "subprocess.Popen[str]", ids: Path) -> None:
        self.launcher, self._ids = launcher, ids

    def process_id(self, rank: int) -> int:
        """Process id of a process of the run."""
        return int((self._ids / str(rank)).read_text())

    def wait_for(self, path: Path) -> None:
        """Wait until a file is there."""
        _wait_until(lambda: path.exists() or self.launcher.poll() is not None, timeout=60.0)
        assert path.exists(), self.wait()

    def wait(self) -> tuple[int, str]:
        """Wait for the launcher to end: its exit status, and what was printed on stderr except the progress bar."""
        _, err = self.launcher.communicate(timeout=60)
        lines = err.replace("\r", "\n").split("\n")
        return self.launcher.returncode, "\n".join(line for line in lines if line and not line.startswith("training:"))

    def has_ended(self, rank: int, timeout: float = 60.0) -> bool:
        """Whether a process ends in time."""
        return _wait_until(lambda: not _is_alive(self.process_id(rank)), timeout)


@contextmanager
def started_run(folder: Path, arguments: list[str], **environment: str) -> Iterator[StartedRun]:
    """Context manager with a run of two processes, which are killed at the end."""
    folder.mkdir()
    program = folder / "program.py"
    program.write_text(_PROGRAM)
    command = [sys.executable, str(program), *arguments, "--processes=2"]
    variables = os.environ | {"IDS": str(folder), "PYTHONPATH": os.pathsep.join(sys.path)} | environment
    pipe = subprocess.PIPE
    run = StartedRun(subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=variables), folder)
    try:
        yield run
    finally:
        for name in ("launcher", "0", "1"):
            if (folder / name).exists() and _is_alive(int((folder / name).read_text())):
                os.kill(int((folder / name).read_text()), 9)
        run.launcher.communicate()


def _wait_until(condition: Callable[[], bool], timeout: float) -> bool:
    """Wait for a condition; return whether it came true in time."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def _is_alive(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
        return Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except ProcessLookupError:
        return False
    except FileNotFoundError:  # no /proc, or ended just now
        return not Path("/proc").exists()
