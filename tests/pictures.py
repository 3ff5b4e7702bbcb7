"""Inputs and checks shared by the tests of pictures."""

import numpy as np

from glimpse_gym.rendering.animation import ScanpathEpisode
from glimpse_gym.rendering.drawing import surface_to_array
from glimpse_gym.rendering.frames import render_frame
from glimpse_gym.retina import Retina

SHAPES = [(28, 28), (28, 28, 1), (1, 1), (1, 1, 3), (17, 40, 3), (9, 30, 2), (30, 9, 4), (700, 1100), (900, 30, 3)]
CENTER = np.zeros((1, 2), np.float32)


def random_image(shape, seed=0):
    return np.random.default_rng(seed).integers(1, 256, shape, dtype=np.uint8)


def random_fixations(count, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, (count, 2)).astype(np.float32)


def frame_of(image, fixations, retina, **kwargs):
    """A frame at the last of these fixations, as an array."""
    glimpse = retina.sense(image[np.newaxis], fixations[-1:])[0]
    arguments = {"progress": (len(fixations), 7), "reward": 0.0} | kwargs
    return surface_to_array(render_frame(image, fixations, retina, glimpse, **arguments))


def random_episodes(lengths, shape=(30, 30), **kwargs):
    retina = Retina(6, 2)
    return [ScanpathEpisode(random_image(shape, n), random_fixations(n), retina, **kwargs) for n in lengths]


def contains_color(picture, color):
    return bool((picture == color).all(axis=-1).any())


def is_even_picture(picture):
    return picture.dtype == np.uint8 and picture.shape[2:] == (3,) and not any(n % 2 for n in picture.shape[:2])
