"""Helpers for tests of policies and training: small data, envs, configurations and learners."""

import os
import signal

import gymnasium as gym
import numpy as np
import torch
from gymnasium.vector import AutoresetMode, VectorWrapper

from glimpse_gym.agents.configs import RAMConfig, ReinforceConfig, SupervisedConfig
from glimpse_gym.agents.reinforce import Reinforce

IMAGES, CATCH = "glimpse_gym/Images-v0", "glimpse_gym/Catch-v0"
SMALL_RAM = {"glimpse_units": 8, "location_units": 8, "glimpse_features": 16, "hidden_units": 16}
"""Sizes of a RAM that trains in milliseconds."""


def make_envs(env_id=IMAGES, num_envs=8, **env_kwargs):
    return gym.make_vec(env_id, num_envs=num_envs, autoreset_mode=AutoresetMode.DISABLED, **env_kwargs)


def square_images(num_images=400, **changes):
    """Env kwargs: a bright square in the left (0) or right (1) half of an image, often outside the first glimpse."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, num_images)
    images = np.zeros((num_images, 16, 16), np.uint8)
    for image, label in zip(images, labels, strict=True):
        row, column = rng.integers(0, 11), (2 if label == 0 else 10) + rng.integers(-1, 2)
        image[row : row + 5, column : column + 4] = 255
    return {"images": images, "labels": labels, "patch_size": 4, "num_scales": 1, "num_glimpses": 5} | changes


def noise_images(**changes):
    """Env kwargs: 40 noise images of 4 classes, 2 scales, 4 glimpses."""
    images = np.random.default_rng(0).integers(0, 256, (40, 16, 16), np.uint8)
    kwargs = {"images": images, "labels": np.arange(40) % 4, "patch_size": 4, "num_scales": 2, "num_glimpses": 4}
    return kwargs | changes


def save_shades(path):
    """Save 200 images of 3 classes that differ in brightness, and return the path."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 200)
    images = 60 * labels[:, None, None] + rng.integers(0, 130, (200, 1, 1)) + rng.integers(0, 5, (200, 8, 8))
    np.savez(path, images=images.astype(np.uint8), labels=labels)
    return path


def noise_file(folder):
    """Env kwargs that JSON can store: 200 noise images of 3 classes in a file, 1 scale, 3 glimpses."""
    rng = np.random.default_rng(0)
    path = folder / "images.npz"
    np.savez(path, images=rng.integers(0, 256, (200, 8, 8), dtype=np.uint8), labels=rng.integers(0, 3, 200))
    return {"images": str(path), "patch_size": 4, "num_scales": 1, "num_glimpses": 3}


STRIPES_SIDE = 12


def stripe_images(num_images=400):
    """Noisy stripes, horizontal (0) or vertical (1): images and labels."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, num_images)
    images = rng.integers(0, 100, (num_images, STRIPES_SIDE, STRIPES_SIDE))
    for image, label in zip(images, labels, strict=True):
        lit = np.arange(STRIPES_SIDE) // 2 % 2 == rng.integers(2)
        image[:] += 150 * (lit[:, None] if label == 0 else lit[None, :])
    return images.astype(np.uint8), labels


def whole_image(side):
    """Env kwargs of a single glimpse that covers an image of this side."""
    return {"patch_size": side, "num_scales": 1, "num_glimpses": 1, "first_glimpse": "center"}


def stripes_file(folder):
    """Env kwargs that JSON can store: stripes seen whole."""
    images, labels = stripe_images()
    path = folder / "stripes.npz"
    np.savez(path, images=images, labels=labels)
    return {"images": str(path), **whole_image(STRIPES_SIDE)}


def supervised_config(**changes):
    values = {"num_episodes": 40 * 50, "batch_size": 50, "learning_rate": 0.01, "warmup_updates": 2} | changes
    return SupervisedConfig(**values)


def make_reinforce(env_kwargs=None, policy=None, **training):
    """A Reinforce learner with a small RAM; ``policy`` and ``training`` are changes of the configurations."""
    config = ReinforceConfig(**{"num_episodes": 320, "batch_size": 8, "copies_per_image": 1} | training)
    env_kwargs = square_images() if env_kwargs is None else env_kwargs
    return Reinforce(IMAGES, env_kwargs, config, RAMConfig(**SMALL_RAM | (policy or {})))


class NoWorld(VectorWrapper):
    """Vector env whose world and rendering cannot be reached, only Gymnasium's interface."""

    @property
    def unwrapped(self):
        raise AssertionError("an agent or an algorithm reached behind the env's interface")


def run_updates(learner, number=None):
    """Train for a number of updates, or to the end. Returns the learner."""
    while not learner.done and number != 0:
        learner.update()
        number = None if number is None else number - 1
    return learner


def copy_state(policy):
    """Weights and buffers as they are now."""
    return {name: value.clone() for name, value in policy.state_dict().items()}


def stop_after(trainer, num_updates):
    """Send SIGINT during an update, as Ctrl-C does."""
    update = trainer.learner.update

    def counting():
        if trainer.learner.num_updates_done == num_updates - 1:
            os.kill(os.getpid(), signal.SIGINT)
        return update()

    trainer.learner.update = counting


def assert_same_weights(a, b):
    """Fail unless both have the same names and are bit-equal."""
    assert a.keys() == b.keys()
    for name in a:
        assert torch.equal(a[name], b[name]), name
