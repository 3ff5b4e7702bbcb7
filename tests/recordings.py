"""Small recorded episodes for tests."""

import numpy as np

from glimpse_gym.play.episode import Episode, PlayEnv
from glimpse_gym.play.recording import save_record
from runs import CATCH, IMAGES, noise_file

ARRAYS = {
    "glimpses",
    "locations",
    "times",
    "next_locations",
    "choices",
    "rewards",
    "guesses",
    "seconds",
    "images",
    "guess_probs",
    "location_means",
}


def play(env, seed=0, player="Ann"):
    """An episode with random actions."""
    rng = np.random.default_rng(seed)
    episode = Episode(env, seed)
    while not episode.over:
        location = rng.uniform(-1, 1, 2)
        episode.step(location, int(rng.integers(len(env.choice_names))), seconds=float(rng.uniform(0.1, 2.0)))
    return episode.record(player)


def save_changed(folder, record, **arrays):
    """Path of a recorded episode whose arrays were replaced afterwards."""
    path = save_record(folder, record)
    with np.load(path) as file:
        kept = dict(file)
    np.savez_compressed(path, **kept | arrays)
    return path


def images_env(folder, **changes):
    return PlayEnv(IMAGES, noise_file(folder) | changes)


def catch_env(**changes):
    return PlayEnv(CATCH, {"num_glimpses": 5} | changes)


def assert_same_record(a, b):
    """All fields are equal, arrays bit for bit."""
    for name, value in vars(a).items():
        other = getattr(b, name)
        if isinstance(value, np.ndarray):
            assert value.dtype == other.dtype, name
            assert value.shape == other.shape, name
            assert value.tobytes() == other.tobytes(), name
        else:
            assert value == other, name
