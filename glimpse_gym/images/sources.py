"""Open images from any source: a named data set, arrays, an ``.npz``, IDX files, or folders of image files."""

from __future__ import annotations

import os
import threading
import warnings
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from glimpse_gym.images.arrays import (
    MAX_CLASSES,
    SPLITS,
    Source,
    check_labels,
    flatten_images,
    is_array,
    source_from_arrays,
)
from glimpse_gym.images.datasets import DATA_SETS, data_folder, load
from glimpse_gym.images.image_set import ImageSet
from glimpse_gym.images.large import LARGE_SUFFIXES, open_large
from glimpse_gym.images.pixel_files import read_npy_integers
from glimpse_gym.images.readers import read_class_folders, read_idx, read_idx_images, read_npz
from glimpse_gym.safe_io import MAX_BYTES
from glimpse_gym.validation import check_choice, check_integer, check_max_bytes, to_array

_CACHE_SIZE = 16  # sets of images that are kept; one takes up to 800 MB
_ALL = "all"
_TENTHS = {"train": range(8), "validation": [8], "test": [9], _ALL: range(10)}  # by index modulo 10


def open_images(
    images: Any, labels: Any = None, split: str = _ALL, num_classes: int | None = None, max_bytes: int = MAX_BYTES
) -> ImageSet:
    """Open images of any kind in the table below, with their labels.

    | images | labels | splits |
    | --- | --- | --- |
    | "mnist", "fashion-mnist" | None | its own; "all" is not accepted |
    | uint8 array or torch tensor (N, H, W) or (N, H, W, C) | (N,) | by index |
    | list of PIL images, or of arrays or tensors (H, W) or (H, W, C), of any sizes | (N,) | by index |
    | path of an ``.npz`` with ``images`` and ``labels`` | None | by index |
    | path of an ``.npz`` with ``x_train``, ``y_train``, ``x_test``, ``y_test`` | None | its own |
    | path of an IDX file of images, plain or ``.gz`` | path of its labels, or (N,) | by index |
    | path of a ``.npy`` or TIFF file of images of one size | (N,), or path of a ``.npy`` or IDX file | by index |
    | path of a ``.npy`` or TIFF file of one image | (rows, columns), one for each cell of a grid over it | by index |
    | folder with one subfolder of image files per class | None | by index |
    | folder with such folders named ``train``, ``test`` and, optionally, ``validation`` or ``val`` | None | its own |

    By index: image i is in "test" if ``i % 10 == 9``, in "validation" if ``i % 10 == 8``, else in "train". This keeps
    the file order and, since folders are read class by class, the balance of classes. If a source has its own splits
    but none for validation, that split takes every tenth training image.

    An image has at most four channels, in the last dimension. A folder of image files is gray if every file is gray,
    else RGB; so is a list of PIL images. EXIF orientation is applied; transparent parts become white. Hidden files
    and those that are not PNG, JPEG, BMP, GIF, WebP or TIFF are ignored. A path is read once per process, so later
    changes on disk are not seen. An array is not copied: do not change its values afterwards.

    A ``.npy`` or TIFF file is not read into memory: it stays open, glimpses read only what they show, and it must not
    change meanwhile. It holds uint8 of shape (N, H, W), (N, H, W, C), or one image (H, W) or (H, W, C); three
    dimensions are one image if there is only one label, or labels have two dimensions. Without ``labels``, those of
    ``NAME.npy`` are looked for in ``NAME.labels.npy``. Retinas with a patch of more than a million pixels need a
    pyramid, which ``glimpse-gym pyramid FILE`` builds once; see :class:`glimpse_gym.images.LargeImages` for what is
    exact.

    Args:
        images: See the table.
        labels: See the table; integers >= 0.
        split: "train", "validation", "test", or "all" of them in this order (by index: in file order).
        num_classes: Number of classes, if it is larger than the highest label + 1.
        max_bytes: The most memory that reading files and PIL images may take, so that a small file cannot fill it.
            Their content may take two fifths of it, and decoding a picture 20 bytes a pixel. Arrays are not limited.

    Warns:
        UserWarning: Some class below the highest label has no image, as with labels that count from 1. Give
            ``num_classes`` if that is intended.

    Raises:
        TypeError: An argument is of a kind that is not accepted, or has the wrong dtype.
        ValueError: An argument, or the content of a file, is out of range, missing, or does not fit the rest.
        DataError: A file is damaged, too large, not a regular file, or is not what its name says.
    """
    check_choice("split", split, (*SPLITS, _ALL))
    if num_classes is not None:
        num_classes = check_integer("num_classes", num_classes, 1, MAX_CLASSES)
    max_bytes = check_max_bytes(max_bytes)

    if isinstance(images, str) and images in DATA_SETS:
        return _open_named(images, labels, split, num_classes)
    if isinstance(images, str | os.PathLike):
        path = _existing_path(images, "images")
        if path.lower().endswith(LARGE_SUFFIXES):
            return _open_large_set(path, labels, split, num_classes, max_bytes)
        if isinstance(labels, str | os.PathLike):
            labels = _existing_path(labels, "labels")
        elif labels is not None:  # not cached: an array is not hashable
            arguments = (path, labels, split, num_classes, max_bytes)
            return _select(_read_source(path, labels, max_bytes), split, num_classes, arguments)
        with _lock:
            return _open_path(path, labels, split, num_classes, max_bytes)
    if is_array(images) or isinstance(images, list | tuple):
        return _select(source_from_arrays(images, labels, "images", max_bytes), split, num_classes, None)
    raise TypeError(
        f"images must be one of {tuple(DATA_SETS)}, a path, a uint8 array or torch tensor, or a list of arrays, "
        f"tensors or PIL images, got {type(images).__name__}"
    )


_lock = threading.RLock()


def _open_large_set(path: str, labels: Any, split: str, num_classes: int | None, max_bytes: int) -> ImageSet:
    if labels is None:
        labels = Path(path).with_suffix(".labels.npy")
        if not labels.exists():
            raise ValueError(f"labels are missing: there is no {labels}; give labels=... for the images of {path}")
    if isinstance(labels, str | os.PathLike):
        labels = _existing_path(labels, "labels")
        read = read_npy_integers if labels.lower().endswith(".npy") else read_idx
        labels = read(labels, max_bytes)
    expected = "labels must be integers >= 0 of shape (N,), or (rows, columns) for the cells of a grid"
    labels = to_array(expected, labels, np.shape(labels))
    if labels.ndim not in (1, 2) or 0 in labels.shape:
        raise ValueError(f"{expected}, got shape {labels.shape} (for {path})")
    grid = labels.shape if labels.ndim == 2 and labels.shape[1] > 1 else None
    large = open_large(path, 1 if grid else len(labels), grid)
    source = Source(
        np.empty(0, np.uint8),
        np.arange(len(large)),
        np.tile(np.array(large.size, np.int64), (len(large), 1)),
        large.num_channels,
        check_labels(labels.reshape(-1), len(large), path),
    )
    return replace(_select(source, split, num_classes, (path, labels, split, num_classes, max_bytes)), large=large)


def _open_named(name: str, labels: Any, split: str, num_classes: int | None) -> ImageSet:
    if labels is not None:
        raise ValueError(f"labels: {name!r} comes with its labels; leave labels=None")
    if split == _ALL:
        raise ValueError(f"split must be one of {SPLITS} for {name!r}, got {split!r}")
    with _lock:
        return _cached_named(name, split, num_classes, data_folder(name))


@lru_cache(_CACHE_SIZE)
def _cached_named(name: str, split: str, num_classes: int | None, folder: Path) -> ImageSet:
    images, labels = load(name, split)
    class_names = _class_names(DATA_SETS[name].class_names, labels, num_classes)
    reopen = (open_images, (name, None, split, num_classes))
    return ImageSet(*flatten_images(images, f"{name} {split} images"), labels, class_names, reopen)


@lru_cache(_CACHE_SIZE)
def _open_path(path: str, labels: str | None, split: str, num_classes: int | None, max_bytes: int) -> ImageSet:
    arguments = (path, labels, split, num_classes, max_bytes)
    return _select(_cached_source(path, labels, max_bytes), split, num_classes, arguments)


def _read_source(path: str, labels: Any, max_bytes: int) -> Source:
    is_folder, is_npz = os.path.isdir(path), path.lower().endswith(".npz")
    if (is_folder or is_npz) and labels is not None:
        raise ValueError(f"labels: {path} must hold its labels itself; leave labels=None")
    if is_folder:
        return read_class_folders(Path(path), max_bytes)
    if is_npz:
        return read_npz(path, max_bytes)
    return read_idx_images(path, labels, max_bytes)


_cached_source = lru_cache(_CACHE_SIZE)(_read_source)


def _existing_path(path: str | os.PathLike[str], argument: str) -> str:
    names = f"one of {tuple(DATA_SETS)} or " if argument == "images" else ""
    try:
        resolved = Path(path).expanduser().resolve()
        exists = resolved.exists()
    except (OSError, RuntimeError, ValueError) as error:  # a link to itself, no such user, too long, a null byte
        raise ValueError(f"{argument} must be {names}the path of a file or folder: {error!s:.500}") from error
    if not exists:
        raise ValueError(f"{argument} must be {names}the path of a file or folder, but {resolved} does not exist")
    return str(resolved)


def _select(source: Source, split: str, num_classes: int | None, arguments: tuple[Any, ...] | None) -> ImageSet:
    """Select the images of a split; ``arguments`` are those of `open_images` that open the set again, or None."""
    class_names = _class_names(source.class_names, source.labels, num_classes)
    if not source.class_names and num_classes is None:
        _warn_of_empty_classes(source.labels)
    count = len(source.offsets)
    if source.splits is None:
        rule = "those of index i with i % 10 == 9 are test, 8 validation, the rest train"
        index = np.flatnonzero(np.isin(np.arange(count) % 10, _TENTHS[split]))
    else:
        rule = ", ".join(f"{len(source.splits[name])} {name}" for name in SPLITS)
        wanted = SPLITS if split == _ALL else (split,)
        index = np.concatenate([source.splits[name] for name in wanted])
    if len(index) == 0:
        raise ValueError(f"split {split!r} has none of the {count} images ({rule}); choose another or add images")
    offsets, sizes, labels = source.offsets[index], source.sizes[index], source.labels[index]
    reopen = None if arguments is None else (open_images, arguments)
    return ImageSet(source.pixels, offsets, sizes, source.num_channels, labels, class_names, reopen)


def _class_names(names: tuple[str, ...], labels: np.ndarray, num_classes: int | None) -> tuple[str, ...]:
    """Return the names of all classes; a class without a name gets its number as name."""
    least = max(len(names), int(labels.max()) + 1)
    if num_classes is not None and num_classes < least:
        raise ValueError(f"num_classes must be at least {least}, the number of classes found, got {num_classes}")
    return names + tuple(str(i) for i in range(len(names), num_classes or least))


def _warn_of_empty_classes(labels: np.ndarray) -> None:
    empty = np.flatnonzero(np.bincount(labels) == 0)
    if len(empty):
        shown = ", ".join(map(str, empty[:5])) + (f" and {len(empty) - 5} more" if len(empty) > 5 else "")
        warnings.warn(
            f"no image has label {shown}, but the highest label is {labels.max()}: labels count from 0. Number the "
            f"classes without gaps, or give num_classes={labels.max() + 1} if that is intended",
            UserWarning,
            stacklevel=4,
        )
