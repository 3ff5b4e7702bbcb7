"""Bit-exactness: digests of 1,000 random steps of every id, single and vector, must never change.

A change of these digests changes the episodes of an id, and needs a new version of it.
"""

import hashlib
import json
import random
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

from glimpse_gym import ENV_IDS

DIGESTS = json.loads(Path(__file__).with_name("digests.json").read_text())
NUM_STEPS = 1000


def images():
    """Random images and labels. Python's ``random`` is stable across versions, NumPy's is not."""
    rng = random.Random(0)
    pixels = [[[rng.randrange(256) for _ in range(20)] for _ in range(20)] for _ in range(30)]
    return {"images": np.array(pixels, np.uint8), "labels": np.arange(30) % 5, "split": "all"}


def keywords(env_id):
    return images() if "/Images" in env_id else {}


def sample(space, rng):
    """Sample an action: the location first, then the choice."""
    if isinstance(space, gym.spaces.Discrete):
        return rng.randrange(int(space.n))
    if isinstance(space, gym.spaces.Box):
        return np.array([rng.uniform(-1, 1) for _ in range(*space.shape)], np.float32)
    (choice,) = set(space) - {"next_location"}
    location = np.array([rng.uniform(-1, 1), rng.uniform(-1, 1)], np.float32)
    return {"next_location": location, choice: rng.randrange(int(space[choice].n))}


def update(digest, observation, reward, terminated):
    for name in ("glimpse", "location", "time"):
        digest.update(np.ascontiguousarray(observation[name]).tobytes())
    digest.update(np.asarray(reward, np.float64).tobytes())
    digest.update(np.asarray(terminated, np.bool_).tobytes())


def digest_single(env_id):
    env = gym.make(env_id, **keywords(env_id))
    rng, digest = random.Random(1), hashlib.sha256()
    update(digest, env.reset(seed=3)[0], 0, False)
    for _ in range(NUM_STEPS):
        observation, reward, terminated, _, _ = env.step(sample(env.action_space, rng))
        update(digest, observation, reward, terminated)
        if terminated:
            update(digest, env.reset()[0], 0, False)
    return digest.hexdigest()


def digest_vector(env_id, num_envs=5):
    envs = gym.make_vec(env_id, num_envs=num_envs, **keywords(env_id))
    rng, digest = random.Random(2), hashlib.sha256()
    update(digest, envs.reset(seed=7)[0], np.zeros(num_envs), np.zeros(num_envs, bool))
    for _ in range(NUM_STEPS):
        actions = [sample(envs.single_action_space, rng) for _ in range(num_envs)]
        if isinstance(actions[0], dict):
            batch = {name: np.array([action[name] for action in actions]) for name in actions[0]}
        else:
            batch = np.array(actions)
        update(digest, *envs.step(batch)[:3])
    return digest.hexdigest()


def test_every_id_has_digests():
    assert DIGESTS.keys() == set(ENV_IDS)


@pytest.mark.parametrize("env_id", ENV_IDS)
def test_single_env_is_bit_equal_to_the_first_version(env_id):
    assert digest_single(env_id) == DIGESTS[env_id]["single"]


@pytest.mark.parametrize("env_id", ENV_IDS)
def test_vector_env_is_bit_equal_to_the_first_version(env_id):
    assert digest_vector(env_id) == DIGESTS[env_id]["vector"]
