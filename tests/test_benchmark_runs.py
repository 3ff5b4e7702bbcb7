"""Runs of the benchmark: the budget, the evaluations, and the record."""

from types import SimpleNamespace

import gymnasium as gym
import numpy as np
import pytest

from glimpse_gym.agents.benchmark import runs
from glimpse_gym.agents.benchmark.algorithms import ALGORITHMS, Algorithm
from glimpse_gym.agents.benchmark.own_algorithms import RandomAgent
from glimpse_gym.agents.benchmark.protocol import TASKS, BenchmarkTask
from glimpse_gym.agents.benchmark.runs import Budget, Run, execute

TRAIN = "benchmark_runs:train"


@pytest.fixture(autouse=True)
def few_episodes(monkeypatch):
    monkeypatch.setattr(runs, "VALIDATION_EPISODES", 20)
    monkeypatch.setattr(runs, "TEST_EPISODES", 50)


def make_budget(num_steps=100, num_evaluations=4):
    agents = []

    def evaluate(agent):
        agents.append(agent)
        return {"success": 0.5, "episode_return": 0.5, "num_glimpses": 1.0}

    return Budget(num_steps, evaluate, num_evaluations), agents


def test_evaluations_at_equal_distances():
    budget, agents = make_budget()
    for step in range(0, 101):
        budget.report(step, step)
    assert agents == [25, 50, 75, 100]
    assert [point["num_steps"] for point in budget.curve] == agents
    assert budget.curve[0].keys() == {"num_steps", "seconds", "success", "episode_return", "num_glimpses"}


def test_one_evaluation_if_several_became_due_at_once():
    budget, agents = make_budget()
    for step in (60, 60, 110):
        budget.report(step, step)
    assert agents == [60, 110]


def test_steps_that_fall_are_refused():
    budget, _ = make_budget()
    budget.report(30, None)
    with pytest.raises(ValueError, match="must not fall, got 20 after 30: count the steps of all sub-envs"):
        budget.report(20, None)


def test_the_time_of_evaluations_does_not_count(monkeypatch):
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(runs.time, "process_time", lambda: clock.now)

    def evaluate(agent):
        clock.now += 100
        return {}

    budget = Budget(10, evaluate, num_evaluations=2)
    clock.now += 3
    budget.report(5, None)
    clock.now += 4
    budget.report(10, None)
    assert [point["seconds"] for point in budget.curve] == [3, 7]
    assert budget.seconds == 7


@pytest.mark.parametrize("actions", ["hybrid", "discrete", "continuous"])
@pytest.mark.parametrize("world", ["MNIST", "Catch"])
def test_a_run_in_every_action_form(world, actions):
    task = BenchmarkTask("mine", world, "Mine", 100, 0.1)
    record = execute(Run(task, "own", Algorithm(TRAIN, actions, "Own"), seed=3))
    assert (record.task, record.algorithm, record.seed, record.num_steps) == ("mine", "own", 3, 100)
    assert record.env_id == task.env_id(actions)
    assert len(record.curve) == 10
    assert record.test["num_episodes"] == 50
    assert sum(record.test["episodes_by_glimpses"]) == 50
    assert sum(record.test["successes_by_glimpses"]) == round(50 * record.test["success"])
    longest = {"MNIST": 7, "Catch": 23}[world]
    assert len(record.test["episodes_by_glimpses"]) <= longest + 1
    if actions != "discrete" or world == "Catch":
        assert record.test["num_glimpses"] == longest


def test_evaluations_are_on_validation_and_the_test_split_is_touched_once(monkeypatch):
    splits = []
    play = runs.play_to_the_end

    def spy(agent, env_id, env_kwargs, conditions, **kwargs):
        splits.append(conditions.split)
        return play(agent, env_id, env_kwargs, conditions, **kwargs)

    monkeypatch.setattr(runs, "play_to_the_end", spy)
    execute(Run(BenchmarkTask("mine", "Catch", "Mine", 40, 0.1), "own", Algorithm(TRAIN, "discrete", "Own"), 0))
    assert splits == ["validation"] * 4 + ["test"]


def test_keyword_arguments_of_a_task_reach_training_and_evaluation():
    task = BenchmarkTask("costly", "MNIST", "Costly", 20, 0.1, env_kwargs={"glimpse_cost": 0.5, "num_glimpses": 3})
    env = gym.make(task.env_id("discrete"))
    assert env.metadata["num_glimpses"] == 3
    record = execute(Run(task, "own", Algorithm(TRAIN, "discrete", "Own"), 0))
    assert record.env_kwargs == {"glimpse_cost": 0.5, "num_glimpses": 3}
    looks = record.test["num_glimpses"] - 1  # a look that ends the episode takes no glimpse, and costs nothing
    assert record.test["episode_return"] == pytest.approx(record.test["success"] - 0.5 * looks)
    assert gym.spec(TASKS["MNIST"].env_id("discrete")).kwargs.get("glimpse_cost") is None


def test_the_command_names_everything():
    run = Run(TASKS["MNIST"], "sb3-ppo", ALGORITHMS["sb3-ppo"], 2)
    assert run.command == "glimpse-gym benchmark run --tasks MNIST --algorithms sb3-ppo --seeds 2"
    other = Run(TASKS["MNIST"].with_budget(7), "sb3-ppo", ALGORITHMS["sb3-ppo"], 2)
    assert other.command.endswith(" --num-steps 7")


def test_a_random_agent_is_seeded_and_refuses_another_env():
    envs = gym.make_vec("glimpse_gym/MNISTDiscrete-v0", num_envs=5)
    observation, _ = envs.reset(seed=0)
    agent = RandomAgent(envs.single_action_space)
    agent.check_env(envs)
    drawn = []
    for _ in range(2):
        agent.seed(4)
        drawn.append([agent.act(observation, None)[0] for _ in range(20)])
    np.testing.assert_array_equal(*drawn)
    assert len(np.unique(drawn)) > 20
    with pytest.raises(ValueError, match="the agent acts in Discrete"):
        agent.check_env(gym.make_vec("glimpse_gym/MNIST-v0", num_envs=2))
