"""Ctrl-C and SIGTERM in the command line program."""

import signal
import subprocess
import sys
from contextlib import contextmanager

import pytest

from glimpse_gym.cli import commands
from glimpse_gym.interrupts import raised_interrupts


@contextmanager
def handlers(interrupt, termination):
    """Context manager with these handlers of SIGINT and SIGTERM, which must be the same at its end."""
    before = signal.signal(signal.SIGINT, interrupt), signal.signal(signal.SIGTERM, termination)
    try:
        yield
        assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == (interrupt, termination)
    finally:
        for number, old in zip((signal.SIGINT, signal.SIGTERM), before, strict=True):
            signal.signal(number, old)


INTERRUPTED_IMPORT = """
import importlib.abc, signal, sys

class Interrupt(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "gymnasium":
            signal.raise_signal(signal.SIGINT)

sys.argv[0] = {program!r}
sys.meta_path.insert(0, Interrupt())
sys.path[:0] = {path!r}
import glimpse_gym
"""


def import_with_ctrl_c(program):
    """Import the package in a process that is interrupted while Gymnasium is about to load."""
    code = INTERRUPTED_IMPORT.format(program=program, path=sys.path)
    # A process inherits ignored signals, as those of jobs that a shell runs in the background.
    with handlers(signal.default_int_handler, signal.SIG_DFL):
        return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)


@pytest.mark.parametrize("program", ["/usr/bin/glimpse-gym", "C:\\Scripts\\glimpse-gym.exe"])
def test_ctrl_c_while_the_program_loads_prints_no_traceback(program):
    process = import_with_ctrl_c(program)
    assert (process.returncode, process.stderr) == (-signal.SIGINT, "")


def test_ctrl_c_while_a_script_loads_raises_as_usual():
    process = import_with_ctrl_c("train.py")
    assert process.stderr.endswith("KeyboardInterrupt\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_command_prints_one_line(cli, monkeypatch, number):
    monkeypatch.setattr(commands, "describe_envs", lambda: signal.raise_signal(number))
    with handlers(signal.default_int_handler, signal.SIG_DFL):
        result = cli("envs")
    assert (result.status, result.out, result.err) == (130, "", "stopped\n")


def test_handlers_of_the_caller_are_kept():
    def handler(*arguments):
        pass

    with handlers(handler, handler), raised_interrupts():
        assert signal.getsignal(signal.SIGINT) is handler
        assert signal.getsignal(signal.SIGTERM) is handler


def test_importing_the_package_does_not_change_handlers():
    code = "import signal; before = signal.getsignal(2); import glimpse_gym; assert signal.getsignal(2) is before"
    subprocess.run([sys.executable, "-c", code], check=True)
