"""Readers of image files: IDX, ``.npz``, and folders with one subfolder of images per class."""

from __future__ import annotations

import io
import math
import os
from pathlib import Path
from typing import Any

import numpy as np

from glimpse_gym.content_limit import ContentLimitError, check_content
from glimpse_gym.images.arrays import SPLITS, Source, gray_to_rgb, source_from_arrays
from glimpse_gym.images.data_files import DataError, open_content
from glimpse_gym.images.pictures import PictureBudget, decode_file
from glimpse_gym.npz_files import read_arrays
from glimpse_gym.safe_io import MAX_BYTES

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff")

_IMAGE_BYTES = 40  # content that the place, size, label and index of an image count for: they take 100 bytes
_SPLIT_FOLDERS = {"train": "train", "validation": "validation", "val": "validation", "test": "test"}


def read_idx(path: str | os.PathLike[str], max_bytes: int = MAX_BYTES) -> np.ndarray:
    """Read an IDX file of unsigned bytes, plain or gzip-compressed, whatever its name.

    Args:
        path: A regular file.
        max_bytes: The most memory to take; see :func:`~glimpse_gym.content_limit.content_limit`.

    Returns:
        A read-only uint8 array of the shape that the file states.

    Raises:
        DataError: The file cannot be read, is not IDX, holds another type, is too short or too long, or too large.
    """
    with open_content(path) as content:
        shape = _read_idx_header(content, str(path))
        size = math.prod(shape)
        _check_content(str(path), size, max_bytes)
        values = np.empty(size, np.uint8)
        found = 0
        while found < size and (count := content.readinto(values.data[found:])):
            found += count
        _check_idx_size(shape, found, bool(content.read(1)), str(path))
    values.setflags(write=False)
    return values.reshape(shape)


def parse_idx(content: bytes, where: str) -> np.ndarray:
    """Parse the content of an IDX file, as in `read_idx`; ``where`` names the file in errors."""
    stream = io.BytesIO(content)
    shape = _read_idx_header(stream, where)
    start = stream.tell()
    _check_idx_size(shape, len(content) - start, len(content) - start > math.prod(shape), where)
    return np.frombuffer(content, np.uint8)[start:].reshape(shape)


def _read_idx_header(stream: io.BufferedIOBase, where: str) -> list[int]:
    """Read the shape that an IDX file states."""
    # Two zero bytes, the type (8: uint8), the rank, each dimension in 32 bits big-endian, then the elements.
    magic = stream.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or not 1 <= magic[3] <= 32:
        raise DataError(f"{where}: not an IDX file: starts with {magic!r}, expected 0, 0, 8 and the rank")
    if magic[2] != 8:
        raise DataError(f"{where}: holds IDX type {magic[2]:#04x}, expected 0x08 (unsigned bytes)")
    dimensions = stream.read(4 * magic[3])
    if len(dimensions) < 4 * magic[3]:
        raise DataError(f"{where}: truncated: it ends within the list of its {magic[3]} dimensions")
    return [int.from_bytes(dimensions[i : i + 4], "big") for i in range(0, len(dimensions), 4)]


def _check_idx_size(shape: list[int], found: int, has_more: bool, where: str) -> None:
    header = 4 + 4 * len(shape)
    expected = header + math.prod(shape)
    if found + header < expected:
        found_bytes = f"truncated: {found + header} bytes"
    elif has_more:
        found_bytes = f"too long: more than {expected} bytes"
    else:
        return
    raise DataError(f"{where}: {found_bytes} uncompressed, expected {expected} for {shape}")


def read_idx_images(path: str, labels: Any, max_bytes: int = MAX_BYTES) -> Source:
    """Read an IDX file of images; ``labels`` is the path of an IDX file, or labels as in `source_from_arrays`.

    Raises:
        DataError: As in `read_idx`.
        TypeError, ValueError: The arrays are not images and their labels.
    """
    if isinstance(labels, str):
        labels = read_idx(labels, max_bytes)
    images = read_idx(path, max_bytes)
    _check_content(path, images.size + _IMAGE_BYTES * len(images), max_bytes)
    return source_from_arrays(images, labels, path)


def read_npz(path: str, max_bytes: int = MAX_BYTES) -> Source:
    """Read an ``.npz`` with ``images`` and ``labels``, or with ``x_train``, ``y_train``, ``x_test``, ``y_test``.

    Args:
        path: A regular file.
        max_bytes: The most memory to take; see :func:`~glimpse_gym.content_limit.content_limit`.

    Raises:
        DataError: The file is damaged, holds other arrays, or is too large.
        TypeError, ValueError: The arrays are not images and their labels.
    """
    plain, keras = {"images", "labels"}, {"x_train", "y_train", "x_test", "y_test"}
    try:
        arrays, names = read_arrays(path, plain | keras, max_bytes)
    except ContentLimitError as error:
        raise DataError(str(error)) from error
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: not a readable .npz of plain arrays: {error}") from error
    count = sum(len(array) for array in arrays.values() if array.ndim > 2)
    _check_content(path, sum(array.nbytes for array in arrays.values()) + _IMAGE_BYTES * count, max_bytes)
    if plain <= arrays.keys():
        return source_from_arrays(arrays["images"], arrays["labels"], f"{path}: images")
    if not keras <= arrays.keys():
        expected = "'images' and 'labels', or 'x_train', 'y_train', 'x_test' and 'y_test'"
        raise DataError(f"{path} must hold {expected}; it holds {names!r:.500}")
    train = source_from_arrays(arrays["x_train"], arrays["y_train"], f"{path}: x_train")
    test = source_from_arrays(arrays["x_test"], arrays["y_test"], f"{path}: x_test")
    if train.num_channels != test.num_channels:
        raise ValueError(f"{path}: x_train has {train.num_channels} channels and x_test {test.num_channels}")
    return Source(
        np.concatenate([train.pixels, test.pixels]),
        np.concatenate([train.offsets, test.offsets + train.pixels.size]),
        np.concatenate([train.sizes, test.sizes]),
        train.num_channels,
        np.concatenate([train.labels, test.labels]),
        splits=_consecutive_splits({"train": len(train.offsets), "test": len(test.offsets)}),
    )


def _check_content(where: str, size: int, max_bytes: int) -> None:
    try:
        check_content(where, size, max_bytes)
    except ContentLimitError as error:
        raise DataError(str(error)) from error


def read_class_folders(root: Path, max_bytes: int = MAX_BYTES) -> Source:
    """Read a folder with one subfolder of image files per class, or one such folder per split.

    Args:
        root: The folder.
        max_bytes: The most memory to take; see :func:`~glimpse_gym.content_limit.content_limit`.

    Raises:
        DataError: There are no images, too many, an image is damaged, or there are two validation folders.
    """
    budget = PictureBudget(max_bytes)
    trees = {folder.name: folder for folder in _folders(root, budget)}
    has_splits = bool(trees) and trees.keys() <= _SPLIT_FOLDERS.keys()
    if has_splits and {"validation", "val"} <= trees.keys():
        raise DataError(f"{root}: has both validation and val; remove or rename one of them")
    splits = {_SPLIT_FOLDERS[name]: tree for name, tree in trees.items()} if has_splits else {"train": root}
    classes = {split: _folders(tree, budget) if has_splits else list(trees.values()) for split, tree in splits.items()}
    class_names = sorted({folder.name for folders in classes.values() for folder in folders})
    number = {name: i for i, name in enumerate(class_names)}
    labeled = [
        (split, file, number[folder.name])
        for split in SPLITS
        for folder in classes.get(split, [])
        for file in _image_files(folder, budget)
    ]
    if not labeled:
        raise DataError(
            f"{root}: no images found; expected a subfolder of {', '.join(IMAGE_SUFFIXES)} files "
            f"for each class, or train and test folders of such; found {sorted(trees) or 'no subfolders'}"
        )
    images = gray_to_rgb([decode_file(file, budget) for _, file, _ in labeled])
    counts = {split: sum(of == split for of, _, _ in labeled) for split in splits}
    source = source_from_arrays(images, [label for *_, label in labeled], str(root))
    return source._replace(class_names=tuple(class_names), splits=_consecutive_splits(counts) if has_splits else None)


def _consecutive_splits(counts: dict[str, int]) -> dict[str, np.ndarray]:
    """Return the indices of each split, for images in the order train, validation, test.

    If there is no count for validation, it takes every tenth training image.
    """
    ends = np.cumsum([counts.get(name, 0) for name in SPLITS])
    train, validation, test = np.split(np.arange(ends[-1]), ends[:-1])
    if "validation" not in counts:
        train, validation = train[train % 10 != 9], train[train % 10 == 9]
    return {"train": train, "validation": validation, "test": test}


def _folders(folder: Path, budget: PictureBudget) -> list[Path]:
    """List the folders in a folder, also through links, that are not hidden, sorted by name."""
    return [Path(entry) for entry in _visible(folder, budget) if _is_folder(entry)]


def _image_files(folder: Path, budget: PictureBudget) -> list[Path]:
    """List what has the name of an image in a folder, and is not a folder itself or hidden, sorted by name."""
    return [
        Path(entry)
        for entry in _visible(folder, budget)
        if entry.name.lower().endswith(IMAGE_SUFFIXES) and not _is_folder(entry)
    ]


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError as error:  # as for a link to itself
        raise DataError(f"{entry.path}: cannot be read: {error.strerror}") from error


def _visible(folder: Path, budget: PictureBudget) -> list[os.DirEntry[str]]:
    """List the entries of a folder that are not hidden, sorted by name, and count them."""
    found = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name[0] != ".":
                    budget.add_file(folder)
                    found.append(entry)
    except OSError as error:
        raise DataError(f"{folder}: cannot be read: {error}") from error
    except ContentLimitError as error:
        raise DataError(str(error)) from error
    return sorted(found, key=lambda entry: entry.name)
