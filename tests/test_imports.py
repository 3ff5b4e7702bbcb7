"""What an import costs: nothing is loaded before it is needed."""

import json
import subprocess
import sys

import pytest

import glimpse_gym
from glimpse_gym import ENV_IDS

HEAVY = ("torch", "pygame", "matplotlib", "numba", "PIL", "stable_baselines3", "tqdm")


def loaded_after(code: str, names: tuple[str, ...] = HEAVY) -> set[str]:
    """Those of the modules that a fresh interpreter has loaded after running the code."""
    # A bare checkout tells this process alone where envs/ and agents/ are.
    start = f"import sys, json, glimpse_gym\nglimpse_gym.__path__[:] = {list(glimpse_gym.__path__)!r}\n"
    end = f"\nprint('loaded:', json.dumps([name for name in {names!r} if name in sys.modules]))"
    command = [sys.executable, "-c", start + code + end]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return set(json.loads(result.stdout.rpartition("loaded:")[2]))


def test_the_instrument_finds_what_is_loaded():
    assert loaded_after("import PIL.Image, tqdm") == {"PIL", "tqdm"}


def test_import_registers_every_id_and_loads_nothing_heavy():
    code = f"""
import gymnasium
expected = {ENV_IDS!r}
assert len(expected) == 12
found = sorted(name for name in gymnasium.registry if name.startswith("glimpse_gym/"))
assert found == sorted(expected), found
"""
    assert loaded_after(code) == set()


@pytest.mark.parametrize("module", ["agents", "cli", "files", "registration"])
def test_these_modules_load_nothing_heavy(module):
    assert loaded_after(f"import glimpse_gym.{module}") == set()


def test_agents_says_what_it_holds_without_torch():
    # A folder that holds no agent is only found out by what needs torch, so this much is all there is without it.
    assert loaded_after("from glimpse_gym.agents import load; assert callable(load)") == set()


def test_playing_loads_no_learner_and_no_drawing():
    code = """
import gymnasium as gym, numpy as np
images = {"images": np.zeros((20, 9, 9), np.uint8), "labels": np.arange(20) % 3}
for name, kwargs in (("Catch", {}), ("CatchDiscrete", {}), ("Images", images), ("ImagesDiscrete", images)):
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


def test_the_command_line_lists_envs_without_torch():
    code = "from glimpse_gym.cli import main; assert main(['envs']) == 0"
    assert loaded_after(code) <= {"numba"}
