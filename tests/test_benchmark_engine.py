"""Engines of the benchmark: local processes and Ray."""

from concurrent.futures import Future

import pytest

from benchmark_runs import crash_if_negative, double, environment
from glimpse_gym.agents.benchmark.engine import LocalEngine, RayEngine, run_all


@pytest.fixture(scope="module", params=["local", "ray"])
def engine(request):
    # Ray 2.60 leaves sockets and files to the garbage collector, and warns of its own future defaults.
    engine = LocalEngine(num_workers=2) if request.param == "local" else RayEngine("local")
    with engine:
        yield engine


def outcomes(finished):
    return sorted((each.argument, each.result, type(each.error).__name__, each.attempts_left) for each in finished)


def test_every_argument_is_run_and_a_crash_takes_no_other_run_with_it(engine):
    finished = list(run_all(engine, crash_if_negative, [3, -1, 4], num_retries=1))
    assert [each[:2] for each in outcomes(finished)] == [(-1, None), (-1, None), (3, 3), (4, 4)]
    crashed = [each for each in finished if each.error]
    assert [each.attempts_left for each in crashed] == [1, 0]
    assert all(each.argument == -1 for each in crashed)


def test_each_process_has_one_thread(engine):
    assert engine.submit(environment, "OMP_NUM_THREADS").result() == "1"


class StandInEngine:
    """Runs a function at once; the first ``num_failures`` calls fail."""

    def __init__(self, num_failures):
        self.num_failures = num_failures

    def submit(self, function, *arguments):
        future = Future()
        if self.num_failures:
            self.num_failures -= 1
            future.set_exception(RuntimeError("lost"))
        else:
            future.set_result(function(*arguments))
        return future


@pytest.mark.parametrize(
    ("num_failures", "num_retries", "expected"),
    [
        (0, 0, [(1, 2, "NoneType", 0)]),
        (1, 0, [(1, None, "RuntimeError", 0)]),
        (1, 2, [(1, None, "RuntimeError", 2), (1, 2, "NoneType", 0)]),
        (3, 2, [(1, None, "RuntimeError", 2), (1, None, "RuntimeError", 1), (1, None, "RuntimeError", 0)]),
    ],
)
def test_retries(num_failures, num_retries, expected):
    found = list(run_all(StandInEngine(num_failures), double, [1], num_retries))
    assert [(each.argument, each.result, type(each.error).__name__, each.attempts_left) for each in found] == expected
