"""The examples, and the algorithm of docs/algorithms.md, as a user runs them."""

import importlib
import re
import runpy
import shlex
import sys
from pathlib import Path
from types import SimpleNamespace

import gymnasium as gym
import numpy as np
import PIL.Image
import pytest
import torch
from gymnasium.vector import AutoresetMode

from doc_pages import blocks_of, commands_of
from glimpse_gym.agents.benchmark import runs
from glimpse_gym.agents.benchmark.algorithms import ALGORITHMS
from glimpse_gym.agents.benchmark.protocol import TASKS
from glimpse_gym.cli import benchmark

DOCS = Path(__file__).parent.parent / "docs"
EXAMPLES = {"ppo_lstm": "ppo-lstm", "torchrl_ppo": "torchrl-ppo"}
"""Modules, and the names of their algorithms."""
every_example = pytest.mark.parametrize("module", EXAMPLES)

# At import, torchrl inherits from its own class.
pytestmark = pytest.mark.filterwarnings("ignore:Creating .* which inherits from WeightUpdaterBase:DeprecationWarning")


@pytest.fixture(autouse=True)
def clean_tables(monkeypatch):
    """Few episodes in evaluations; the table of algorithms and the modules are restored afterwards."""
    monkeypatch.setattr(runs, "VALIDATION_EPISODES", 20)
    monkeypatch.setattr(runs, "TEST_EPISODES", 50)
    monkeypatch.setattr(sys, "path", list(sys.path))
    saved = dict(ALGORITHMS)
    yield
    ALGORITHMS.clear()
    ALGORITHMS.update(saved)
    for module in (*EXAMPLES, "my_algorithm"):
        sys.modules.pop(module, None)


@pytest.fixture
def in_examples(monkeypatch):
    """The folder of the examples is the current one, and modules are found in it."""
    monkeypatch.chdir(DOCS / "examples")
    monkeypatch.syspath_prepend("")


def execute(name: str, task: str, num_steps: int) -> runs.RunRecord:
    return runs.execute(runs.Run(TASKS[task].with_budget(num_steps), name, ALGORITHMS[name], seed=1))


# ---------------------------------------------------------------- the examples


@every_example
def test_an_example_runs_as_a_script(module, in_examples, monkeypatch, capsys):
    arguments = ["--env-id", "glimpse_gym/CatchDiscrete-v0", "--num-envs=4", "--num-steps=8", "--total-timesteps=60"]
    sizes = {"ppo_lstm": ["--num-minibatches=2"], "torchrl_ppo": ["--batch-size=16"]}
    monkeypatch.setattr(sys, "argv", [f"{module}.py", *arguments, *sizes[module]])
    runpy.run_path(f"{module}.py", run_name="__main__")
    assert "32 steps, mean return 0.0" in capsys.readouterr().out


def test_the_example_of_a_gigapixel_runs_as_a_script(tmp_path, in_examples, monkeypatch, capsys):
    sizes = ["--side=1024", "--grid=4", "--num-scales=4", "--num-glimpses=3", "--num-episodes=64", "--batch-size=32"]
    for _ in range(2):  # a second run finds the canvas and the agent
        monkeypatch.setattr(sys, "argv", ["gigapixel.py", "--out", str(tmp_path), *sizes])
        runpy.run_path("gigapixel.py", run_name="__main__")
        out = capsys.readouterr().out
        assert "7 glimpses of 7 scales" in out
        assert "64 episodes in" in out
    x, y = map(int, re.search(r"lead to pixel \((\d+), (\d+)\)", out).groups())
    canvas = np.load(tmp_path / "canvas.npy")
    assert canvas[y, x] > 127  # of a target: what is strewn is at half brightness
    with PIL.Image.open(tmp_path / "episode.png") as picture:
        assert picture.mode == "RGB"


@every_example
def test_an_example_is_an_algorithm_of_the_benchmark(module, in_examples, cli):
    assert f"\n  {EXAMPLES[module]} " in cli("benchmark", "list", "--import", module).out
    record = execute(EXAMPLES[module], "MNIST", 100)
    assert record.env_id == "glimpse_gym/MNISTDiscrete-v0"
    assert record.test["num_episodes"] == 50
    assert record.curve[-1]["num_steps"] >= 100


@every_example
def test_the_last_evaluation_is_at_the_end_of_the_budget(module, in_examples):
    """It is missing if the budget is rounded down to a number of rollouts."""
    example = importlib.import_module(module)
    reports = []
    sizes = {"num_envs": 4, "num_steps": 8, "total_timesteps": 40}
    example.learn(example.Args(**sizes), lambda num_steps, agent: reports.append(num_steps))
    assert reports == [32, 64]


@every_example
def test_an_agent_samples_by_its_seed_and_refuses_another_env(module, in_examples):
    example = importlib.import_module(module)
    agent = example.learn(example.Args(num_envs=4, num_steps=8, total_timesteps=1))
    envs = gym.make_vec("glimpse_gym/MNISTDiscrete-v0", num_envs=100)
    observation, _ = envs.reset(seed=0)
    agent.check_env(envs)
    actions = []
    for seed in (5, 5, 6):
        agent.seed(seed)
        actions.append(agent.act(observation, agent.initial_state(100), sample=True)[0])
    np.testing.assert_array_equal(actions[0], actions[1])
    assert (actions[0] != actions[2]).any()
    assert len(np.unique(actions[0])) > 10
    assert all(envs.single_action_space.contains(action) for action in actions[0])
    with pytest.raises(ValueError, match=r"the agent acts in Discrete\(35\), the env has Discrete\(75\)"):
        agent.check_env(gym.make_vec("glimpse_gym/CatchDiscrete-v0", num_envs=2))


def test_torchrl_sees_the_last_observation_of_an_episode_and_the_first_of_the_next():
    """Replays a rollout of TorchRL in single envs, which know nothing of autoreset."""
    from torchrl.envs import GymWrapper

    name = "glimpse_gym/MNISTDiscrete-v0"
    env = GymWrapper(gym.make_vec(name, num_envs=3, autoreset_mode=AutoresetMode.DISABLED), True)
    torch.manual_seed(0)
    env.set_seed(7)
    rollout = env.rollout(30, break_when_any_done=False)
    assert int(rollout["next", "done"].sum()) > 10
    for row in range(3):
        single = gym.make(name)
        single.reset(seed=7 + row)
        observation, _ = single.reset()  # the rollout resets again
        for step in rollout[row]:
            assert_same(step, observation)
            observation, reward, terminated, _, _ = single.step(int(step["action"]))
            assert_same(step["next"], observation)
            assert (float(step["next", "reward"]), bool(step["next", "terminated"])) == (reward, terminated)
            if terminated:
                observation, _ = single.reset()


def assert_same(step, observation):
    for name, values in observation.items():
        np.testing.assert_array_equal(step[name].numpy(), values)


# ---------------------------------------------------------------- docs/algorithms.md

(MODULE,) = (block for block in blocks_of("docs/algorithms.md", "python") if block.module)
COMMANDS = commands_of("docs/algorithms.md")


def test_the_page_has_commands():
    assert len(COMMANDS) == 6


def test_code_of_an_algorithm_of_ones_own(tmp_path, monkeypatch):
    (tmp_path / f"{MODULE.module}.py").write_text(MODULE.code)
    monkeypatch.syspath_prepend(tmp_path)
    importlib.import_module(MODULE.module)
    record = execute("a2c", "Catch", 1000)
    assert record.env_id == "glimpse_gym/CatchDiscrete-v0"
    assert record.test["num_episodes"] == 50
    assert record.curve[0]["num_steps"] == 64
    assert record.curve[-1]["num_steps"] >= 1000


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_are_accepted_and_name_what_there_is(command, cli, monkeypatch):
    called = []
    for name in ("_list", "_run", "_report", "_speed"):
        monkeypatch.setattr(benchmark, name, called.append)
    program, *arguments = shlex.split(command, comments=True)
    assert program == "glimpse-gym"
    assert cli(*arguments) == (0, "", "")
    (parsed,) = called
    known = SimpleNamespace(tasks=set(TASKS), algorithms={*ALGORITHMS, "a2c"})
    assert set(getattr(parsed, "tasks", None) or ()) <= known.tasks
    assert set(getattr(parsed, "algorithms", None) or ()) <= known.algorithms
    assert set(getattr(parsed, "imports", ())) <= {"my_algorithm"}
