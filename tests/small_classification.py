"""Small classification envs for the tests. T glimpses, K classes."""

import gymnasium as gym
import numpy as np

K, T = 4, 3
IMAGES = np.random.default_rng(0).integers(0, 256, (12, 10, 9), np.uint8)
LABELS = np.arange(12) % K
GOOD = {"next_location": np.array([0.5, -0.5], np.float32), "label": 1}


def patterned(*sizes, channels=None):
    """Images of these sizes whose pixels differ and are never 0, so that they can be found on a canvas."""
    shapes = [size if channels is None else (*size, channels) for size in sizes]
    return [(np.arange(np.prod(shape)) % 251 + 1).astype(np.uint8).reshape(shape) for shape in shapes]


def constant(values, size=(8, 8)):
    return np.array([np.full(size, value, np.uint8) for value in values])


def make(**kwargs):
    kwargs = {"images": IMAGES, "labels": LABELS, "num_glimpses": T, "patch_size": 4, "num_scales": 2} | kwargs
    return gym.make("glimpse_gym/Images-v0", **kwargs).unwrapped


def make_vec(num_envs, **kwargs):
    kwargs = {"images": IMAGES, "labels": LABELS, "num_glimpses": T, "patch_size": 4, "num_scales": 2} | kwargs
    return gym.make_vec("glimpse_gym/Images-v0", num_envs=num_envs, **kwargs)


def canvases(num_envs, seed=0, options=None, **kwargs):
    """Canvases of ``num_envs`` sub-envs (B, H, W), and the infos of their reset."""
    env = make_vec(num_envs, **kwargs)
    _, info = env.reset(seed=seed, options=options)
    return np.stack(env.unwrapped.image), info


def look(x, y, label=0):
    return {"next_location": np.array([x, y], np.float32), "label": label}


def look_rows(*rows):
    """Vector action from (x, y, label) of each row."""
    return {
        "next_location": np.array([row[:2] for row in rows], np.float32),
        "label": np.array([row[2] for row in rows]),
    }


def running_info(index):
    """Info of a single env while the episode runs."""
    return {"image_index": index, "label": -1, "prediction": -1, "correct": False, "success": False}


def end_info(index, prediction):
    """Info of a single env at the end of the episode."""
    label = int(LABELS[index])
    right = prediction == label
    return {"image_index": index, "label": label, "prediction": prediction, "correct": right, "success": right}
