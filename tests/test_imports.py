"""Imports: nothing heavy is imported before it is needed."""

import json
import subprocess
import sys

import pytest

import glimpse_gym
from glimpse_gym import ENV_IDS

HEAVY = ("torch", "pygame", "matplotlib", "numba", "PIL", "stable_baselines3", "tqdm", "tyro", "pooch", "requests")


def loaded_after(code: str, names: tuple[str, ...] = HEAVY) -> set[str]:
    """The modules among ``names`` that a fresh interpreter has imported after running the code."""
    # In a checkout that is not installed, only conftest.py maps envs/ and agents/.
    start = f"import sys, json, glimpse_gym\nglimpse_gym.__path__[:] = {list(glimpse_gym.__path__)!r}\n"
    end = f"\nprint('loaded:', json.dumps([name for name in {names!r} if name in sys.modules]))"
    command = [sys.executable, "-c", start + code + end]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return set(json.loads(result.stdout.rpartition("loaded:")[2]))


def test_loaded_after_finds_imported_modules():
    assert loaded_after("import PIL.Image, tqdm") == {"PIL", "tqdm"}


def test_import_registers_every_id_and_imports_nothing_heavy():
    code = f"""
import gymnasium
expected = {ENV_IDS!r}
assert len(expected) == 18
found = sorted(name for name in gymnasium.registry if name.startswith("glimpse_gym/"))
assert found == sorted(expected), found
"""
    assert loaded_after(code) == set()


@pytest.mark.parametrize(
    "module",
    [
        *("agents", "agents.configs", "agents.pretrained", "agents.registry", "atomic_io", "browser", "cli", "extras"),
        *("images", "play", "registration"),
    ],
)
def test_modules_that_import_nothing_heavy(module):
    assert loaded_after(f"import glimpse_gym.{module}") == set()


def test_agents_can_be_listed_without_torch():
    assert loaded_after("from glimpse_gym.agents import load; assert callable(load)") == set()


def test_the_page_is_built_without_torch():
    code = "from glimpse_gym.browser.page import build_page; assert 'ram-mnist' in build_page()"
    assert loaded_after(code) == set()


def test_stepping_envs_imports_numba_only():
    code = """
import gymnasium as gym, numpy as np
images = {"images": np.zeros((20, 9, 9), np.uint8), "labels": np.arange(20) % 3}
cases = [(f"Catch{form}", {}) for form in ("", "Discrete", "Continuous")]
cases += [(f"Images{form}", images) for form in ("", "Discrete", "Continuous")]
for name, kwargs in cases:
    env = gym.make(f"glimpse_gym/{name}-v0", **kwargs)
    env.reset(seed=0)
    env.action_space.seed(0)
    env.step(env.action_space.sample())
    envs = gym.make_vec(f"glimpse_gym/{name}-v0", num_envs=2, **kwargs)
    envs.reset(seed=0)
    envs.action_space.seed(0)
    envs.step(envs.action_space.sample())
"""
    assert loaded_after(code) <= {"numba"}


@pytest.mark.parametrize(
    "arguments",
    [
        *(["envs"], ["reproduce"], ["--help"], ["train", "--help"]),
        *(
            ["train", "glimpse_gym/MNIST-v0", "--help"],
            ["train", "glimpse_gym/Catch-v0", "--algorithm", "ppo", "--help"],
        ),
    ],
    ids=" ".join,
)
def test_commands_that_need_no_torch(arguments):
    code = f"""
from glimpse_gym.cli import main
try:
    status = main({arguments!r})
except SystemExit as exit_request:
    status = exit_request.code
assert status in (0, None), status
"""
    assert loaded_after(code) <= {"numba", "tyro"}
