"""The digits of the page: some of MNIST's test split, which no agent was trained on."""

from __future__ import annotations

import re
from importlib import resources
from typing import Any

import numpy as np

from glimpse_gym.browser.base85 import encode_text
from glimpse_gym.images import open_images

_PER_CLASS = 50
_ZEROS = re.compile(rb"\0{1,255}")


def select_digits() -> tuple[np.ndarray, np.ndarray]:
    """Select the digits from MNIST's test split: the first 50 of each class, in the order of the split.

    The file that :func:`load_digits` reads was written as ``numpy.savez_compressed(path, images=..., labels=...)``.

    Returns:
        As :func:`load_digits`.
    """
    split = open_images("mnist", split="test")
    firsts = [np.flatnonzero(split.labels == label)[:_PER_CLASS] for label in range(split.num_classes)]
    index = np.sort(np.concatenate(firsts))
    return np.stack([split.image(i) for i in index]), split.labels[index].astype(np.uint8)


def load_digits() -> tuple[np.ndarray, np.ndarray]:
    """Load the digits, which ship with the package. Envs take them as ``images`` and ``labels``, with ``split="all"``.

    Returns:
        Images, uint8 (500, 28, 28), and labels, uint8 (500,).
    """
    with resources.files("glimpse_gym.browser").joinpath("digits.npz").open("rb") as file, np.load(file) as arrays:
        return arrays["images"], arrays["labels"]


def encode_digits(images: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """Encode square images, uint8 (N, side, side), and labels, as ``readDigits`` in ``storage.js`` reads them."""
    packed = _ZEROS.sub(lambda run: bytes([0, len(run[0])]), images.tobytes())
    return {"side": images.shape[1], "labels": labels.tolist(), "pixels": encode_text(packed)}
