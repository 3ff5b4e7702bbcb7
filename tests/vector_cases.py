"""Native vector envs and SyncVectorEnvs for the tests, side by side."""

import copy

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv

import oracles

N = 5
IMAGES = np.random.default_rng(0).integers(0, 256, (40, 11, 13, 3), np.uint8)
OWN = {"images": IMAGES, "labels": np.arange(40) % 4, "canvas_size": (20, 18), "num_clutter": 3}

# Names and keyword arguments: every world and action form, episodes of equal and of different lengths.
CASES = {
    "MNIST": ("MNIST", {}),
    "MNISTDiscrete": ("MNISTDiscrete", {"num_glimpses": 4, "glimpse_cost": 0.125}),
    "ClutteredMNIST": ("ClutteredMNIST", {"split": "test", "reveal_label": True}),
    "ClutteredMNIST100Discrete": ("ClutteredMNIST100Discrete", {"grid_size": 2}),
    "ClutteredMNISTContinuous": ("ClutteredMNISTContinuous", {"num_glimpses": 3, "glimpse_cost": 0.125}),
    "TranslatedMNIST-multidiscrete": ("TranslatedMNIST", {"actions": "multidiscrete"}),
    "Images": ("Images", OWN | {"num_glimpses": 1, "first_glimpse": "center"}),
    "ImagesDiscrete": ("ImagesDiscrete", OWN | {"num_clutter": 0, "canvas_size": None, "reveal_label": True}),
    "MNIST-flat": ("MNIST", {"observations": "flat", "num_glimpses": 3}),
    "ImagesContinuous-flat": ("ImagesContinuous", OWN | {"observations": "flat", "num_glimpses": 4}),
    "ImagesDiscrete-flat": ("ImagesDiscrete", OWN | {"observations": "flat"}),
    "Catch": ("Catch", {}),
    "CatchDiscrete": ("CatchDiscrete", {"num_glimpses": 3}),
    "CatchContinuous": ("CatchContinuous", {"num_glimpses": 5}),
    "CatchDiscrete-flat": ("CatchDiscrete", {"observations": "flat", "num_glimpses": 5}),
    "Catch-screen": ("Catch", {"observe": "screen", "num_glimpses": 7, "actions": "multidiscrete"}),
}
FINAL = {"final_obs", "_final_obs", "final_info", "_final_info"}
MODES = list(AutoresetMode)
every_case = pytest.mark.parametrize("case", CASES)
every_mode = pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
some_cases = pytest.mark.parametrize("case", ["MNISTDiscrete", "ClutteredMNIST", "CatchDiscrete", "CatchContinuous"])


def native(case, num_envs=N, mode=AutoresetMode.NEXT_STEP, **more):
    name, kwargs = CASES[case]
    return gym.make_vec(f"glimpse_gym/{name}-v0", num_envs=num_envs, autoreset_mode=mode, **kwargs | more)


def sync(case, num_envs=N, mode=AutoresetMode.NEXT_STEP, **more):
    name, kwargs = CASES[case]
    return gym.make_vec(
        f"glimpse_gym/{name}-v0",
        num_envs=num_envs,
        vectorization_mode="sync",
        vector_kwargs={"autoreset_mode": mode},
        **kwargs | more,
    )


def single(case, **more):
    name, kwargs = CASES[case]
    return gym.make(f"glimpse_gym/{name}-v0", **kwargs | more)


def both(case, mode=AutoresetMode.NEXT_STEP, num_envs=N):
    mine, theirs = native(case, num_envs, mode), sync(case, num_envs, mode)
    assert isinstance(theirs, SyncVectorEnv)
    assert not isinstance(mine, SyncVectorEnv)
    return mine, theirs


def images(env):
    """Images of a native vector env or of a SyncVectorEnv."""
    if isinstance(env, SyncVectorEnv):
        return tuple(each.unwrapped.image for each in env.envs)
    return env.unwrapped.image


def of_observation(observation, rows):
    return (
        {name: value[rows] for name, value in observation.items()}
        if isinstance(observation, dict)
        else observation[rows]
    )


def times(observation):
    return observation["time"][:, 0] if isinstance(observation, dict) else observation[:, -1]


def reset_both(mine, theirs, **kwargs):
    # SyncVectorEnv removes entries from the options, so each env gets a copy.
    told = mine.reset(**copy.deepcopy(kwargs))
    oracles.assert_identical(told, theirs.reset(**copy.deepcopy(kwargs)))
    oracles.assert_identical(images(mine), images(theirs))
    return told


def step_both(mine, theirs):
    action = mine.action_space.sample()
    told = mine.step(action)
    oracles.assert_identical(told, theirs.step(action))
    oracles.assert_identical(images(mine), images(theirs))
    assert told[0] in mine.observation_space
    return told
