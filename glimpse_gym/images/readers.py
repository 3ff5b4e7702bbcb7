"""Readers of image files: IDX, ``.npz``, and folders with one subfolder of images per class."""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np

from glimpse_gym.images.arrays import SPLITS, Source, gray_to_rgb, picture_to_array, source_from_arrays
from glimpse_gym.images.data_files import DataError, read_content

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff")

_SPLIT_FOLDERS = {"train": "train", "validation": "validation", "val": "validation", "test": "test"}


def read_idx(path: str | os.PathLike[str]) -> np.ndarray:
    """Read an IDX file of unsigned bytes, plain or gzip-compressed, whatever its name.

    Returns:
        A read-only uint8 array of the shape that the file states.

    Raises:
        DataError: The file cannot be read, is not IDX, holds another type, or is too short or too long.
    """
    return parse_idx(read_content(Path(path)), str(path))


def parse_idx(content: bytes, where: str) -> np.ndarray:
    """Parse the content of an IDX file, as in `read_idx`; ``where`` names the file in errors."""
    # Two zero bytes, the type (8: uint8), the rank, each dimension in 32 bits big-endian, then the elements.
    if len(content) < 4 or content[:2] != b"\0\0" or not 1 <= content[3] <= 32:
        raise DataError(f"{where}: not an IDX file: starts with {content[:4]!r}, expected 0, 0, 8 and the rank")
    if content[2] != 8:
        raise DataError(f"{where}: holds IDX type {content[2]:#04x}, expected 0x08 (unsigned bytes)")
    header = 4 + 4 * content[3]
    shape = [int.from_bytes(content[i : i + 4], "big") for i in range(4, header, 4)]
    expected = header + math.prod(shape)
    if len(content) != expected:
        problem = "truncated" if len(content) < expected else "too long"
        raise DataError(f"{where}: {problem}: {len(content)} bytes uncompressed, expected {expected} for {shape}")
    return np.frombuffer(content, np.uint8)[header:].reshape(shape)


def read_npz(path: str) -> Source:
    """Read an ``.npz`` with ``images`` and ``labels``, or with ``x_train``, ``y_train``, ``x_test``, ``y_test``.

    Raises:
        DataError: The file is damaged or holds other arrays.
        TypeError, ValueError: The arrays are not images and their labels.
    """
    plain, keras = {"images", "labels"}, {"x_train", "y_train", "x_test", "y_test"}
    try:
        with open(path, "rb") as stream, np.load(stream, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files if name in plain | keras}
            names = archive.files
    except Exception as error:  # NumPy raises many types here, depending on where the damage is
        raise DataError(f"{path}: not a readable .npz of plain arrays: {error!r}") from error
    if plain <= arrays.keys():
        return source_from_arrays(arrays["images"], arrays["labels"], f"{path}: images")
    if not keras <= arrays.keys():
        expected = "'images' and 'labels', or 'x_train', 'y_train', 'x_test' and 'y_test'"
        raise DataError(f"{path} must hold {expected}; it holds {names}")
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


def read_class_folders(root: Path) -> Source:
    """Read a folder with one subfolder of image files per class, or one such folder per split.

    Raises:
        DataError: There are no images, an image is damaged, or there are two validation folders.
    """
    trees = {folder.name: folder for folder in _visible(root) if folder.is_dir()}
    has_splits = bool(trees) and trees.keys() <= _SPLIT_FOLDERS.keys()
    if has_splits and {"validation", "val"} <= trees.keys():
        raise DataError(f"{root}: has both validation and val; remove or rename one of them")
    splits = {_SPLIT_FOLDERS[name]: tree for name, tree in trees.items()} if has_splits else {"train": root}
    classes = {split: [f for f in _visible(tree) if f.is_dir()] for split, tree in splits.items()}
    class_names = sorted({folder.name for folders in classes.values() for folder in folders})
    number = {name: i for i, name in enumerate(class_names)}
    labeled = [
        (split, file, number[folder.name])
        for split in SPLITS
        for folder in classes.get(split, [])
        for file in _visible(folder)
        if file.suffix.lower() in IMAGE_SUFFIXES and file.is_file()
    ]
    if not labeled:
        raise DataError(
            f"{root}: no images found; expected a subfolder of {', '.join(IMAGE_SUFFIXES)} files "
            f"for each class, or train and test folders of such; found {sorted(trees) or 'no subfolders'}"
        )
    images = gray_to_rgb([decode_image(file) for _, file, _ in labeled])
    counts = {split: sum(of == split for of, _, _ in labeled) for split in splits}
    source = source_from_arrays(images, [label for *_, label in labeled], str(root))
    return source._replace(class_names=tuple(class_names), splits=_consecutive_splits(counts) if has_splits else None)


def decode_image(path: Path) -> np.ndarray:
    """Read the (first) image of a file: uint8 (H, W) if it is gray, otherwise (H, W, 3).

    Raises:
        DataError: The file is not a readable image.
    """
    from PIL import Image

    try:
        # A stream: given a path, Pillow 11 maps an uncompressed TIFF into memory, and then rotates it wrongly.
        with open(path, "rb") as stream, Image.open(stream) as picture:
            return picture_to_array(picture)
    except Exception as error:  # Pillow's decoders raise many types
        raise DataError(f"{path}: not a readable image: {error!r}; repair or remove it") from error


def _consecutive_splits(counts: dict[str, int]) -> dict[str, np.ndarray]:
    """Return the indices of each split, for images in the order train, validation, test.

    If there is no count for validation, it takes every tenth training image.
    """
    ends = np.cumsum([counts.get(name, 0) for name in SPLITS])
    train, validation, test = np.split(np.arange(ends[-1]), ends[:-1])
    if "validation" not in counts:
        train, validation = train[train % 10 != 9], train[train % 10 == 9]
    return {"train": train, "validation": validation, "test": test}


def _visible(folder: Path) -> list[Path]:
    """List the entries of a folder that are not hidden, sorted by name."""
    try:
        return sorted((p for p in folder.iterdir() if p.name[0] != "."), key=lambda p: p.name)
    except OSError as error:
        raise DataError(f"{folder}: cannot be read: {error}") from error
