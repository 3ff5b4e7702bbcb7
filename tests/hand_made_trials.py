"""Trials made by hand."""

import numpy as np

from glimpse_gym.play.trials import Trial, picture_key
from glimpse_gym.retina import Retina

TASK = "glimpse_gym/MNIST-v0"


def picture(number, shape=(8, 8)):
    """A different image for each number."""
    return np.random.default_rng(number).integers(0, 256, shape, dtype=np.uint8)


def make_trial(player="Ann", number=0, path=((0.0, 0.0), (0.5, 0.5)), guesses=(-1, 1), label=1, **changes):
    image = changes.pop("image", picture(number))
    fields = {
        "task": TASK,
        "picture": picture_key(image),
        "image": image,
        "locations": np.array(path, np.float32).reshape(-1, 2),
        "guesses": np.array(guesses, np.int64),
        "label": label,
        "success": guesses[-1] == label >= 0,
        "seconds": np.full(len(guesses), 0.5),
        "choice_names": ("zero", "one", "two"),
        "retina": Retina(4, 1),
    }
    return Trial(player, **fields | changes)
