"""A short run of the hostile trial, one test for each kind; ``make hostile`` runs it for long."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest

from hostile.kinds import KINDS, make_trial
from hostile.runner import Outcome, run
from hostile.trial import Failure, Trial, generator, guarded
from hostile.worker import Found

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the trial uses /proc, forks and limits of Linux")

_SECONDS = 15.0  # of attempts in each of two processes, after the imports


@pytest.fixture(scope="module")
def outcome():
    """One run of all kinds, because starting a process takes as long as many attempts."""
    return run(list(KINDS), seed=0, seconds=_SECONDS, num_processes=2)


@pytest.mark.parametrize("kind", KINDS)
def test_no_attack_succeeds(kind, outcome):
    failures = [f"{found.command}\n{found.message}" for found in outcome.failures if found.kind == kind]
    assert not failures, "\n".join(failures)
    assert outcome.tries[kind] > 0


def test_a_crash_is_a_failure_and_the_others_go_on():
    at_crash = []

    def crash_once(outcome, seconds):
        if outcome.failures:
            at_crash.append(outcome.tries["steps"])
            if at_crash[-1] > at_crash[0]:
                raise KeyboardInterrupt  # ends the run
        elif outcome.tries["steps"]:
            os.kill(multiprocessing.active_children()[0].pid, signal.SIGSEGV)

    outcome = run(["steps"], seed=0, seconds=100, num_processes=1, on_progress=crash_once)
    assert [found.message.partition(":")[0] for found in outcome.failures] == ["the process ended with exit code -11"]
    assert at_crash[-1] > at_crash[0]


def test_an_attempt_can_be_repeated_alone():
    command = [sys.executable, "-m", "hostile", "--only", "files", "--seed", "3", "--attempt", "17"]
    done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, "files: 1 files, no failure\n")


def test_generators_depend_on_seed_kind_and_number():
    numbers = {generator(seed, kind, n).random() for seed in (0, 1) for kind in ("steps", "files") for n in (0, 1)}
    assert len(numbers) == 8
    assert generator(1, "steps", 2).random() == generator(1, "steps", 2).random()


def test_the_guard_fails_what_is_too_slow_or_too_large_or_warns():
    with pytest.raises(BaseException, match=r"longer than 0\.1 s"), guarded(0.1):
        time.sleep(5)
    with pytest.raises(Failure, match="GB of memory"), guarded(60):
        bytearray(2_100_000_000)
    with pytest.raises(UserWarning), guarded(60):
        warnings.warn("a warning", UserWarning, stacklevel=1)


def test_the_table_counts_tries_and_failures():
    outcome = Outcome(["steps", "files"])
    for report in (("steps", 150), ("steps", 150), Found("files", 7, 12, "ValueError: wrong")):
        outcome.add(report)
    assert [line.split() for line in outcome.table().splitlines()] == [
        ["kind", "tries", "of", "failures"],
        ["steps", "300", "steps", "0"],
        ["files", "1", "files", "1"],
    ]
    assert outcome.failures[0].command == "python -m hostile --only files --seed 7 --attempt 12"


def test_every_kind_has_a_module(tmp_path):
    trial = make_trial("files", tmp_path)
    assert isinstance(trial, Trial)
    assert trial.folder == tmp_path / "files"
