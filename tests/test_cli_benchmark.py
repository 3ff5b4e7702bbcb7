"""Command line: ``glimpse-gym benchmark``."""

import sys

import pytest

from glimpse_gym.agents.benchmark.algorithms import ALGORITHMS
from glimpse_gym.agents.benchmark.protocol import TASKS
from glimpse_gym.agents.benchmark.records import load_records

# An algorithm in ten lines, as a user writes it.
MINE = """
import gymnasium as gym
from glimpse_gym.agents.benchmark.algorithms import ALGORITHMS, Algorithm
from glimpse_gym.agents.benchmark.own_algorithms import RandomAgent

def train(env_id, seed, budget):
    agent = RandomAgent(gym.make(env_id).action_space)
    budget.report(budget.num_steps, agent)
    return agent

def fail(env_id, seed, budget):
    raise ZeroDivisionError("the loss is nan")

ALGORITHMS["mine"] = Algorithm("my_algorithm_of_the_test:train", "discrete", "Mine")
ALGORITHMS["broken"] = Algorithm("my_algorithm_of_the_test:fail", "discrete", "Broken")
"""


@pytest.fixture
def my_folder(tmp_path, monkeypatch):
    """Current folder with a module that adds algorithms to the table."""
    (tmp_path / "my_algorithm_of_the_test.py").write_text(MINE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    for name in ("mine", "broken"):
        ALGORITHMS.pop(name, None)
    sys.modules.pop("my_algorithm_of_the_test", None)


@pytest.mark.parametrize("action", ["list", "run", "report", "speed"])
def test_help(cli, action):
    status, out, err = cli("benchmark", action, "--help")
    assert (status, err) == (0, "")
    assert out.startswith(f"usage: glimpse-gym benchmark {action}")


def test_an_action_is_required(cli):
    assert cli("benchmark").status == 2


def test_list_names_all_tasks_and_algorithms(cli):
    out = cli("benchmark", "list").out
    assert all(f"\n  {name} " in out for name in (*TASKS, *ALGORITHMS))


RUN = (
    "benchmark",
    "run",
    "--import",
    "my_algorithm_of_the_test",
    "--tasks",
    "Catch",
    "--seeds",
    "0",
    "--num-workers=1",
)


def test_run_resume_and_report_an_algorithm_of_ones_own(cli, my_folder):
    arguments = (*RUN, "--algorithms", "mine", "--num-steps", "100", "--out", "records")
    status, out, err = cli(*arguments)
    assert status == 0, err
    assert "1 runs, of which 0 are in records already" in out
    assert "Catch, mine, seed 0: success " in out
    (record,) = load_records(my_folder / "records")
    assert record.algorithm == "mine"
    assert record.test["num_episodes"] == 10_000
    status, out, _ = cli(*arguments)
    assert (status, out) == (0, "1 runs, of which 1 are in records already\n")
    status, out, err = cli(
        *("benchmark", "report", "--import", "my_algorithm_of_the_test", "--results", "records", "--docs", "docs")
    )
    assert (status, err) == (0, "")
    assert "Mine" in (my_folder / "docs" / "benchmark.md").read_text()
    assert all((my_folder / path).exists() for path in out.split())


def test_a_run_that_fails_is_reported_with_its_error(cli, my_folder):
    status, out, err = cli(*RUN, "--algorithms", "broken", "--num-steps", "100", "--retries", "1", "--out", "records")
    assert status == 1
    assert "Catch, broken, seed 0: failed, 1 attempts left: ZeroDivisionError: the loss is nan" in out
    assert "Catch, broken, seed 0: failed, given up" in out
    assert "1 runs failed (Catch, broken, seed 0): the same command tries them again" in err
    assert not (my_folder / "records").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("run", "--tasks", "Pong"), "task must be one of 'MNIST'"),
        (("run", "--algorithms", "ppo"), "algorithm must be one of 'random'"),
        (("run", "--import", "no_such_module"), "No module named 'no_such_module'"),
        (("report", "--results", "nothing"), "nothing holds no records of runs: make some with 'glimpse-gym benchmark"),
    ],
)
def test_bad_requests(cli, my_folder, arguments, message):
    status, out, err = cli("benchmark", *arguments)
    assert (status, out) == (1, "")
    assert err.startswith("glimpse-gym benchmark: ")
    assert message in err
