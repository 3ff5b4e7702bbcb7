"""AttentionMNIST: a public data set of glimpses that people took with the mouse, read from the user's own copy.

Source: https://doi.org/10.1038/s41598-023-29880-7. The file ``mnist.json`` has no license and is no part of this
package.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from glimpse_gym.images.datasets import load
from glimpse_gym.play.trials import Trial, picture_key
from glimpse_gym.safe_io import JSON_MEMORY, MAX_BYTES, parse_json, read_bytes
from glimpse_gym.validation import check_max_bytes, printable, shown

TASK = PLAYER = "AttentionMNIST"
SELECTION_NOTE = (
    "AttentionMNIST seems to leave out the trials in which a person never came to the right answer: its accuracies are "
    "too high, above all after the last glimpses."
)
GLIMPSES_NOTE = (
    "Glimpses of people in AttentionMNIST and of agents may differ in size: equal numbers of glimpses need not show "
    "equal parts of an image."
)
_NUM_TRAINED = 50_000  # images of MNIST, from the first, that the agents of this package are trained on
_SIDE, _NUM_LABELS = 28, 10
_MAX_TEXT = 40  # characters of a number or name


def load_attention_mnist(path: str | os.PathLike[str], max_bytes: int = MAX_BYTES) -> list[Trial]:
    """Read trials from ``mnist.json``; images and labels come from MNIST itself.

    Clicks become locations of pixel centers in [-1, 1]: ``x-coordinate`` is the row and ``y-coordinate`` the column,
    both counted from 0. A person chose all locations, the first included.

    Args:
        path: the user's own copy of the file.
        max_bytes: the most memory to take; the file may be 1/55 as large, 36 MB by default.

    Raises:
        ValueError: a file that is damaged, too large or of another form; the message names the trial.
        OSError: the file cannot be read, or is not a regular file.
        DataError: MNIST cannot be read.
    """
    path = Path(path)
    limit = check_max_bytes(max_bytes) // JSON_MEMORY
    try:
        content = read_bytes(path, limit)
    except ValueError as error:
        raise ValueError(f"{error}, 1/{JSON_MEMORY} of max_bytes={max_bytes}; if you trust it, raise that") from error
    try:
        entries = parse_json(content)
    except (ValueError, MemoryError) as error:
        raise ValueError(f"{path} is not the mnist.json of AttentionMNIST, or is damaged: {error}") from error
    if not isinstance(entries, list) or not entries:
        raise ValueError(f"{path} is not the mnist.json of AttentionMNIST: it must be a list of trials, and not empty")
    parts = [load("mnist", split) for split in ("train", "validation", "test")]
    images, labels = (np.concatenate([part[i] for part in parts]) for i in (0, 1))
    trials = []
    for number, entry in enumerate(entries, start=1):
        try:
            trials.append(_parse_trial(entry, images, labels))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            reason = f"{error} is missing" if isinstance(error, KeyError) else str(error)
            is_named = isinstance(entry, dict) and "Stimuli" in entry
            stimulus = f", stimulus {shown(entry['Stimuli'], _MAX_TEXT)}" if is_named else ""
            raise ValueError(f"{path} is damaged at trial {number} of {len(entries)}{stimulus}: {reason}") from error
    return trials


def training_note(trials: Sequence[Trial]) -> str:
    """Note on the images that agents trained on MNIST have seen in training."""
    indices = {trial.image_index for trial in trials}
    known = sum(index < _NUM_TRAINED for index in indices)
    return (
        f"{known} of the {len(indices)} images of AttentionMNIST are training images of MNIST: the accuracy on them of "
        "agents trained on MNIST is too high."
    )


def image_index(stimulus: str) -> int:
    """Index of a stimulus, counted from 0 through MNIST's training file and then its test file.

    Raises:
        ValueError: not the name of a stimulus.

    Example:
        >>> image_index("01_17308")
        17307
    """
    found = re.fullmatch(r"(?:.*\D)?0*([1-9][0-9]{0,8})", stimulus, re.ASCII)
    if not found:
        raise ValueError(f"Stimuli must end in a number from 1, got {shown(stimulus, _MAX_TEXT)}")
    return int(found[1]) - 1


def _parse_trial(entry: dict[str, Any], images: np.ndarray, labels: np.ndarray) -> Trial:
    if not isinstance(entry, dict) or not isinstance(entry["Data"], dict):
        raise TypeError(f"a trial must be an object with Stimuli, Label and Data, got {shown(entry)}")
    index = image_index(entry["Stimuli"])
    if index >= len(images):
        raise ValueError(f"Stimuli must end in a number from 1 to {len(images)}, got {shown(entry['Stimuli'])}")
    label = int(labels[index])
    if _integer("Label", entry["Label"], _NUM_LABELS) != label:
        raise ValueError(f"Label is {shown(entry['Label'])}, but image {index} of MNIST is a {label}")
    locations, guesses, seconds = _parse_glimpses(entry["Data"])
    return Trial(
        player=PLAYER,
        task=TASK,
        picture=picture_key(images[index]),
        image=images[index],
        locations=locations,
        guesses=guesses,
        label=label,
        success=bool(guesses[-1] == label),
        seconds=seconds,
        image_index=index,
        num_given=0,
        choice_names=tuple("0123456789"),
    )


def _parse_glimpses(data: dict[str, dict[str, str]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Locations float32 (T, 2), guesses int64 (T,) and seconds float64 (T,) of Glimpse_1 to Glimpse_T."""
    expected = [f"Glimpse_{t + 1}" for t in range(len(data))]
    if not expected or set(data) != set(expected):
        names = printable(", ".join(data))[:80] or "nothing"
        raise ValueError(f"Data must hold Glimpse_1, Glimpse_2, ..., without gaps; got {names}")
    pixels, guesses, seconds = [], [], []
    for name in expected:
        glimpse = data[name]
        try:
            row, column = (_integer(key, glimpse[key], _SIDE) for key in ("x-coordinate", "y-coordinate"))
            guesses.append(_integer("Class", glimpse["Class"], _NUM_LABELS))
            seconds.append(_duration(glimpse["Duration (seconds)"]))
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{name}: {f'{error} is missing' if isinstance(error, KeyError) else error}") from error
        pixels.append((column, row))
    locations = (2 * np.array(pixels) + 1) / _SIDE - 1
    return locations.astype(np.float32), np.array(guesses, np.int64), np.array(seconds)


def _is_short(text: Any) -> bool:
    return isinstance(text, str) and len(text) <= _MAX_TEXT


def _integer(name: str, text: str, number: int) -> int:
    """Parse an integer from 0 to ``number - 1``."""
    is_integer = _is_short(text) and re.fullmatch(r"\s*[0-9]{1,9}(\.0*)?\s*", text)
    if not is_integer or float(text) >= number:
        raise ValueError(f"{name} must be an integer from 0 to {number - 1} in quotes, got {shown(text, _MAX_TEXT)}")
    return int(float(text))


def _duration(text: str) -> float:
    """Parse seconds; NaN if empty, as in the first glimpse."""
    if not isinstance(text, str):
        raise TypeError(f"Duration (seconds) must be a number in quotes, got {shown(text, _MAX_TEXT)}")
    try:
        seconds = float(text if _is_short(text) else "too long") if text.strip() else np.nan
    except ValueError:
        seconds = -1.0
    if seconds < 0 or seconds == np.inf:
        raise ValueError(f"Duration (seconds) must be a number >= 0, or empty; got {shown(text, _MAX_TEXT)}")
    return seconds
