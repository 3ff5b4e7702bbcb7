"""Made-up files in the form of AttentionMNIST's mnist.json."""

import json

import numpy as np

from glimpse_gym.images.datasets import load


def mnist_labels():
    """Labels of MNIST's training file and then its test file."""
    return np.concatenate([load("mnist", split)[1] for split in ("train", "validation", "test")])


def glimpse(row, column, guess, seconds=""):
    return {
        "x-coordinate": str(row),
        "y-coordinate": str(column),
        "Duration (seconds)": str(seconds),
        "Class": str(guess),
    }


def make_trial(number, *glimpses):
    """A trial of stimulus ``number``, counted from 1, with the right label."""
    data = {f"Glimpse_{t}": dict(each) for t, each in enumerate(glimpses, start=1)}
    return {"Stimuli": f"01_{number}", "Label": str(mnist_labels()[number - 1]), "Data": data}


def random_trials(count=30, stimuli=(1, 59_999, 60_001, 69_990), seed=0):
    """Trials of random clicks, whose last guess is right."""
    rng, labels, trials = np.random.default_rng(seed), mnist_labels(), []
    for i in range(count):
        number = stimuli[i % len(stimuli)]
        length = int(rng.integers(1, 13))
        clicks = rng.integers(0, 28, (length, 2))
        guesses = [*rng.integers(0, 10, length - 1), labels[number - 1]]
        seconds = ["", *rng.uniform(0.2, 5.0, length - 1).round(3)]
        trials.append(
            make_trial(number, *(glimpse(*c, g, s) for c, g, s in zip(clicks, guesses, seconds, strict=True)))
        )
    return trials


def save(folder, content):
    """Write mnist.json; text is written as it is."""
    path = folder / "mnist.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path
