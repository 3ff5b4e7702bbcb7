"""Training with rl_zoo3, by its own commands."""

import copy
import csv
import importlib
import sys

import gymnasium as gym
import numpy as np
import pytest
from rl_zoo3.enjoy import enjoy
from rl_zoo3.exp_manager import ExperimentManager
from rl_zoo3.train import train
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import DummyVecEnv, VecMonitor

from glimpse_gym import ENV_IDS
from glimpse_gym.agents.sb3 import zoo
from glimpse_gym.agents.sb3.hybrid import HybridActions
from glimpse_gym.agents.sb3.vec_env import GymnasiumVecEnv
from glimpse_gym.vector import GlimpseVectorEnv
from oracles import assert_identical

ZOO = "glimpse_gym.agents.sb3.zoo"
MNIST, CATCH = "glimpse_gym/MNISTDiscrete-v0", "glimpse_gym/CatchDiscrete-v0"
ON_POLICY = {"n_steps": 8, "batch_size": 8}
OFF_POLICY = {"learning_starts": 8, "buffer_size": 50, "batch_size": 8}
FORMS = {
    "ppo": {"discrete", "continuous", "hybrid"},
    "ppo_lstm": {"discrete", "continuous", "hybrid"},
    "dqn": {"discrete"},
    "qrdqn": {"discrete"},
    "sac": {"continuous"},
}


def make_env(env_id, **kwargs):
    """As rl_zoo3 does it."""
    return lambda **more: gym.spec(env_id).make(**kwargs, **more)


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Runs a command of rl_zoo3 in this process, in an empty folder, and returns the folder."""
    monkeypatch.chdir(tmp_path)

    def call(command, *arguments):
        monkeypatch.setattr(sys, "argv", ["rl_zoo3", *map(str, arguments)])
        command()
        return tmp_path

    return call


def train_tiny(run, monkeypatch, algorithm, env_id, *arguments, **hyperparams):
    module = importlib.import_module(f"{ZOO}.{algorithm}")
    monkeypatch.setattr(module, "hyperparams", copy.deepcopy(module.hyperparams))  # rl_zoo3 changes them
    values = [f"{name}:{value}" for name, value in ({"n_envs": 3} | hyperparams).items()]
    fixed = ["--gym-packages", ZOO, "--conf-file", f"{ZOO}.{algorithm}", "--seed", 0, "--verbose", 0]
    return run(train, "--algo", algorithm, "--env", env_id, *fixed, "-n", 24, "--hyperparams", *values, *arguments)


def test_train_and_enjoy(run, monkeypatch, capsys):
    folder = train_tiny(
        *(run, monkeypatch, "ppo", MNIST, "--eval-freq", 12, "--env-kwargs", "num_glimpses:2"), **ON_POLICY
    )
    saved = folder / "logs/ppo/glimpse_gym-MNISTDiscrete-v0_1"
    assert (saved / "best_model.zip").exists()
    rows = list(csv.DictReader((saved / "0.monitor.csv").read_text().splitlines()[1:]))
    assert len(rows) >= 24 // 2  # episodes of all sub-envs
    assert {row["l"] for row in rows} == {"1", "2"}
    assert [path.name for path in saved.glob("*.monitor.csv")] == ["0.monitor.csv"]
    capsys.readouterr()
    run(enjoy, *("--algo", "ppo", "--env", MNIST, "-f", "logs", "--gym-packages", ZOO, "-n", 10, "--no-render"))
    assert "Mean reward" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("algorithm", "env_id"),
    [
        ("ppo", "glimpse_gym/Catch-v0"),
        ("ppo", "glimpse_gym/MNISTContinuous-v0"),
        ("ppo_lstm", CATCH),
        ("ppo_lstm", "glimpse_gym/MNIST-v0"),
        ("dqn", CATCH),
        ("qrdqn", MNIST),
        ("sac", "glimpse_gym/MNISTContinuous-v0"),
    ],
)
def test_hyperparameters_of_every_algorithm(run, monkeypatch, algorithm, env_id):
    tiny = ON_POLICY if algorithm.startswith("ppo") else OFF_POLICY
    folder = train_tiny(run, monkeypatch, algorithm, env_id, "--eval-freq", -1, **tiny)
    name = env_id.replace("/", "-")
    assert (folder / f"logs/{algorithm}/{name}_1/{name}.zip").exists()


@pytest.mark.parametrize("algorithm", FORMS)
def test_hyperparameters_are_complete(algorithm):
    hyperparams = importlib.import_module(f"{ZOO}.{algorithm}").hyperparams
    specs = {env_id: gym.spec(env_id).kwargs for env_id in ENV_IDS}
    assert hyperparams.keys() == {env_id for env_id, kwargs in specs.items() if kwargs["actions"] in FORMS[algorithm]}
    for env_id, settings in hyperparams.items():
        assert settings.get("frame_stack", 1) <= specs[env_id]["num_glimpses"]
        assert settings["gamma"] == (0.99 if "Catch" in env_id else 1.0)


def test_makes_a_native_vector_env():
    assert ExperimentManager.default_vec_env_cls is zoo.make_zoo_vec_env
    env = make_vec_env(make_env(CATCH, num_glimpses=4), 3, seed=1, vec_env_cls=zoo.make_zoo_vec_env)
    assert isinstance(env, VecMonitor)
    assert isinstance(env.unwrapped, GymnasiumVecEnv)
    assert isinstance(env.unwrapped.vector_env, GlimpseVectorEnv)
    expected = make_vec_env(make_env(CATCH, num_glimpses=4), 3, seed=1)
    assert_identical(env.reset(), dict(expected.reset()))
    for _ in range(8):
        actions = np.array([expected.action_space.sample() for _ in range(3)])
        (observations, *rest), (expected_observations, *expected_rest) = env.step(actions), expected.step(actions)
        assert_identical(observations, dict(expected_observations))
        assert_identical(rest[:2], expected_rest[:2])
        for info, expected_info in zip(rest[2], expected_rest[2], strict=True):
            assert ("episode" in info) == ("episode" in expected_info)
            for name in ("r", "l") if "episode" in info else ():
                assert info["episode"][name] == pytest.approx(expected_info["episode"][name])


def test_monitor_file(tmp_path):
    settings = {"monitor_dir": str(tmp_path), "monitor_kwargs": {"info_keywords": ("success",)}}
    env = make_vec_env(make_env(CATCH, num_glimpses=2), 3, vec_env_cls=zoo.make_zoo_vec_env, **settings)
    env.reset()
    for _ in range(2):
        env.step(np.zeros(3, int))
    env.close()
    header, names, *rows = (tmp_path / "0.monitor.csv").read_text().splitlines()
    assert CATCH in header
    assert names == "r,l,t,success"
    assert len(rows) == 3


def test_hybrid_actions_become_a_box():
    env = make_vec_env(make_env("glimpse_gym/Catch-v0"), 2, vec_env_cls=zoo.make_zoo_vec_env)
    assert isinstance(env.unwrapped.vector_env, HybridActions)
    assert env.action_space.shape == (3,)


def test_other_envs_are_single_envs():
    made = []

    def make():
        made.append(gym.make("CartPole-v1"))
        return made[-1]

    env = zoo.make_zoo_vec_env([make] * 3)
    assert isinstance(env, DummyVecEnv)
    assert env.envs == made


def test_wrapped_envs_are_single_envs_with_a_warning():
    class Wrapped(gym.Wrapper):
        pass

    for wrapper, make in (
        ("Wrapped", lambda: Wrapped(gym.make(CATCH))),
        ("TimeLimit", make_env(CATCH, max_episode_steps=3)),
    ):
        with pytest.warns(UserWarning, match=rf"the wrappers \w*{wrapper} of single envs: using DummyVecEnv"):
            env = zoo.make_zoo_vec_env([make] * 2)
        assert isinstance(env, DummyVecEnv)
        assert len(env.envs) == 2
