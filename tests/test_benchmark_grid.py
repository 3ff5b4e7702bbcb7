"""The benchmark's grid: tables of tasks and algorithms, runs that are left, retries and records."""

from concurrent.futures import Future
from pathlib import Path

import gymnasium as gym
import pytest

from glimpse_gym.agents.benchmark import grid, runs
from glimpse_gym.agents.benchmark.algorithms import ALGORITHMS, Algorithm, is_run_on
from glimpse_gym.agents.benchmark.engine import LocalEngine
from glimpse_gym.agents.benchmark.grid import make_runs, run_grid, runs_left
from glimpse_gym.agents.benchmark.protocol import SEEDS, TASKS, TEST_EPISODES
from glimpse_gym.agents.benchmark.records import RecordError, load_records


class ThisProcess:
    """Engine that runs everything at once, in this process."""

    def submit(self, function, *arguments):
        future = Future()
        try:
            future.set_result(function(*arguments))
        except Exception as error:
            future.set_exception(error)
        return future


@pytest.fixture
def algorithms(monkeypatch):
    monkeypatch.setattr(runs, "VALIDATION_EPISODES", 5)
    monkeypatch.setattr(runs, "TEST_EPISODES", 5)
    for name, function in {"trains": "train", "fails": "fail"}.items():
        monkeypatch.setitem(ALGORITHMS, name, Algorithm(f"benchmark_runs:{function}", "discrete", name))


def execute(made, folder, num_retries=0):
    seen = []
    given_up = run_grid(made, folder, ThisProcess(), num_retries, seen.append)
    return seen, given_up


# ---------------------------------------------------------------- the tables


def test_every_task_has_an_env_for_every_algorithm():
    for task in TASKS.values():
        for name in (name for name in ALGORITHMS if is_run_on(name, task)):
            gym.spec(task.env_id(ALGORITHMS[name].actions))
        assert task.algorithms is None or set(task.algorithms) <= set(ALGORITHMS)


def test_the_protocol_has_at_least_five_seeds():
    assert len(set(SEEDS)) >= 5


@pytest.mark.parametrize(
    ("entry_point", "actions", "message"),
    [
        ("my_module", "discrete", "entry_point must be 'module:function', got 'my_module'"),
        ("my_module:train", "multidiscrete", "actions must be one of 'hybrid', 'discrete', 'continuous'"),
    ],
)
def test_a_bad_entry(entry_point, actions, message):
    with pytest.raises(ValueError, match=message):
        Algorithm(entry_point, actions, "Mine")


def test_records_of_the_repository_are_of_the_protocol():
    records = load_records(Path(__file__).parent.parent / "results" / "benchmark")
    assert len(records) > 20
    for record in records:
        task = TASKS[record.task]
        assert is_run_on(record.algorithm, task)
        assert (record.num_steps, record.env_kwargs) == (task.num_steps, dict(task.env_kwargs))
        assert record.env_id == task.env_id(ALGORITHMS[record.algorithm].actions)
        assert record.seed in SEEDS
        assert record.test["num_episodes"] == TEST_EPISODES


# ---------------------------------------------------------------- which runs there are


def test_runs_in_order_of_seeds():
    made = make_runs(["MNIST", "Catch"], ["random", "sb3-ppo"], [1, 0])
    assert [(run.seed, run.task.name, run.name) for run in made] == [
        (seed, task, name) for seed in (1, 0) for task in ("MNIST", "Catch") for name in ("random", "sb3-ppo")
    ]


def test_algorithms_are_left_out_of_the_tasks_that_are_not_for_them():
    made = make_runs(["Catch", "MNIST", "MNIST-cost"], ["ram", "sb3-dqn"], [0])
    assert [(run.task.name, run.name) for run in made] == [("Catch", "sb3-dqn"), ("MNIST", "ram"), ("MNIST", "sb3-dqn")]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((["Pong"], ["random"], [0]), "task must be one of 'MNIST', .*got 'Pong'"),
        ((["MNIST"], ["ppo"], [0]), "algorithm must be one of 'random', .*got 'ppo'"),
        ((["MNIST"], ["random"], [-1]), "seed must be an integer .*, got -1"),
        ((["MNIST"], ["random"], [0], 0), "num_steps must be an integer .*, got 0"),
        ((["Catch"], ["ram"], [0]), r"none of the algorithms \['ram'\] is run on any of the tasks \['Catch'\]"),
    ],
)
def test_bad_requests(arguments, message):
    with pytest.raises(ValueError, match=message):
        make_runs(*arguments)


# ---------------------------------------------------------------- execution


def test_what_has_a_record_is_not_run_again(algorithms, tmp_path):
    made = make_runs(["Catch"], ["trains"], [0, 1], num_steps=50)
    assert runs_left(made, tmp_path) == made
    execute(made[:1], tmp_path)
    assert runs_left(made, tmp_path) == made[1:]
    execute(made[1:], tmp_path)
    assert runs_left(made, tmp_path) == []
    assert [record.seed for record in load_records(tmp_path)] == [0, 1]


def test_a_run_that_fails_is_tried_again_and_the_others_go_on(algorithms, tmp_path):
    made = make_runs(["Catch"], ["fails", "trains"], [0], num_steps=50)
    seen, given_up = execute(made, tmp_path, num_retries=2)
    assert sorted((each.argument.name, each.attempts_left) for each in seen) == [
        *(("fails", attempts) for attempts in (0, 1, 2)),
        ("trains", 0),
    ]
    assert [each.argument.name for each in given_up] == ["fails"]
    assert [record.algorithm for record in load_records(tmp_path)] == ["trains"]
    assert runs_left(made, tmp_path) == made[:1]


def test_a_process_that_dies_half_way_is_run_again(monkeypatch, tmp_path):
    marker = str(tmp_path / "marker")
    entry = Algorithm("benchmark_runs:crash_once", "discrete", "Crashes", kwargs={"marker": marker})
    monkeypatch.setitem(ALGORITHMS, "crashes", entry)
    made = make_runs(["Catch"], ["crashes"], [0], num_steps=20)
    seen = []
    with LocalEngine(1) as engine:
        assert run_grid(made, tmp_path / "records", engine, 1, seen.append) == []
    assert [type(each.error).__name__ for each in seen] == ["ProcessExpired", "NoneType"]
    assert len(load_records(tmp_path / "records")) == 1


def test_a_record_with_another_budget_is_refused(algorithms, tmp_path):
    execute(make_runs(["Catch"], ["trains"], [0], num_steps=50), tmp_path)
    with pytest.raises(ValueError, match="has a budget of 50 steps, not 60: use another folder"):
        runs_left(make_runs(["Catch"], ["trains"], [0], num_steps=60), tmp_path)


def test_a_record_of_another_protocol_is_refused(algorithms, tmp_path, monkeypatch):
    made = make_runs(["Catch"], ["trains"], [0], num_steps=50)
    execute(made, tmp_path)
    (path,) = tmp_path.glob("*.json")
    path.write_text(path.read_text().replace("protocol 1", "protocol 0"))
    with pytest.raises(RecordError, match="protocol 0"):
        runs_left(made, tmp_path)


def test_the_engines_get_what_can_be_pickled():
    import pickle

    for run in make_runs(list(TASKS), list(ALGORITHMS), [0]):
        assert pickle.loads(pickle.dumps((grid.execute, run)))[1] == run
