"""Where images come from: a named data set, arrays, an ``.npz``, IDX files, or folders of image files."""

import os
import threading
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from glimpse_gym.images import datasets as data
from glimpse_gym.validation import check_choice

_EVERYTHING = "all"
_IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif")
_MAX_CLASSES = 100_000  # a larger label is an id, not a class number, and would make a huge action space
_TENTHS = {"train": range(8), "validation": [8], "test": [9], _EVERYTHING: range(10)}  # by index modulo 10
_SPLIT_FOLDERS = {"train": "train", "validation": "validation", "val": "validation", "test": "test"}


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Images end to end in one flat array, so that images of any sizes cost no padding and no copy.

    Immutable: a deep copy is the set itself. One that came from a name or a path is pickled as arguments: the
    process that unpickles it reads the source itself, once.

    Attributes:
        pixels: uint8 (total,), read-only. Image i is the ``H * W * C`` values from ``offsets[i]`` on,
            (H, W, C) row-major. Images of other splits of the same source may lie there too.
        offsets: int64 (N,).
        sizes: int64 (N, 2), height and width.
        num_channels: C, the same for all.
        labels: int64 (N,) in 0 ... K-1.
        class_names: K of them.
        origin: The arguments of `open_images` that give this set again, or None where it came from arrays.
    """

    pixels: np.ndarray
    offsets: np.ndarray
    sizes: np.ndarray
    num_channels: int
    labels: np.ndarray
    class_names: tuple[str, ...]
    origin: tuple[Any, ...] | None = None

    def __post_init__(self) -> None:
        for name in ("pixels", "offsets", "sizes", "labels"):
            frozen = getattr(self, name).view()  # a view, so that a user's own array stays writable
            frozen.setflags(write=False)
            object.__setattr__(self, name, frozen)

    def __len__(self) -> int:
        return len(self.offsets)

    @property
    def num_classes(self) -> int:
        """K, the number of classes."""
        return len(self.class_names)

    def image(self, index: int) -> np.ndarray:
        """Image number ``index``: a read-only view, uint8 (H, W) where C is 1, otherwise (H, W, C)."""
        height, width = map(int, self.sizes[index])
        start = int(self.offsets[index])
        flat = self.pixels[start : start + height * width * self.num_channels]
        return flat.reshape((height, width) if self.num_channels == 1 else (height, width, self.num_channels))

    def __copy__(self) -> "ImageSet":
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> "ImageSet":
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        if self.origin is not None:
            return open_images, self.origin
        arrays = self.pixels, self.offsets, self.sizes, self.num_channels, self.labels, self.class_names
        return ImageSet, arrays


def open_images(images: Any, labels: Any = None, split: str = _EVERYTHING, num_classes: int | None = None) -> ImageSet:
    """Opens images of any of the kinds below, with their labels.

    | images | labels | splits |
    | --- | --- | --- |
    | "mnist", "fashion-mnist" | | its own; "all" is not accepted |
    | uint8 array (N, H, W) or (N, H, W, C), or a list of arrays (H, W) or (H, W, C) | (N,) | by index |
    | path of an ``.npz`` with ``images`` and ``labels`` | | by index |
    | path of an ``.npz`` with ``x_train``, ``y_train``, ``x_test``, ``y_test`` | | its own |
    | path of an IDX file of images, plain or ``.gz`` | path of its labels, or (N,) | by index |
    | folder with one sub-folder of image files per class | | by index |
    | folder with ``train``, ``test``, perhaps ``validation`` (or ``val``), each such a folder | | its own |

    By index: image i belongs to "test" where ``i % 10 == 9``, to "validation" where ``i % 10 == 8``, else to
    "train". This keeps the file order and, as folders are read class by class, the balance of classes.
    A source with splits of its own but no validation set gives every tenth training image for it.

    A folder of image files is gray if every file is gray, else RGB; transparent parts become white; hidden
    files and those that are not PNG, JPEG, BMP or GIF are passed over. A path is read once per process, which
    sees no later change on disk. An array is not copied: leave its values as they are afterwards.

    Args:
        images: See the table.
        labels: See the table; integers from 0 on.
        split: "train", "validation", "test", or "all" of them in this order (by index: in file order).
        num_classes: The number of classes, where there are more than the labels show.

    Raises:
        TypeError: An argument is of no kind that is accepted, or of the wrong dtype kind.
        ValueError: An argument, or what a file holds, is out of range, missing, or does not fit the rest.
        data.DataError: A file is damaged, or is not what it should be.
    """
    check_choice("split", split, (*data.SPLITS, _EVERYTHING))
    if num_classes is not None:
        if not isinstance(num_classes, int | np.integer) or not 1 <= num_classes <= _MAX_CLASSES:
            raise ValueError(f"num_classes must be an integer in 1 ... {_MAX_CLASSES}, got {num_classes!r}")
        num_classes = int(num_classes)

    if isinstance(images, str) and images in data.DATA_SETS:
        return _open_named(images, labels, split, num_classes)
    if isinstance(images, str | os.PathLike):
        path = _existing(images, "images")
        if isinstance(labels, str | os.PathLike):
            labels = _existing(labels, "labels")
        elif labels is not None:  # an array beside a path
            origin = (path, labels, split, num_classes)
            return _select(_read_source(path, labels), split, num_classes, origin)
        with _lock:
            return _open_path(path, labels, split, num_classes)
    if isinstance(images, np.ndarray | list | tuple):
        return _select(_source_of_arrays(images, labels, "images"), split, num_classes, None)
    raise TypeError(
        f"images must be one of {tuple(data.DATA_SETS)}, a path, a NumPy array, or a list of NumPy arrays, "
        f"got {type(images).__name__}"
    )


_lock = threading.RLock()


class _Source(NamedTuple):
    """All images of a source. ``splits``: the indices of its own splits, or None where it has none."""

    pixels: np.ndarray
    offsets: np.ndarray
    sizes: np.ndarray
    num_channels: int
    labels: np.ndarray
    class_names: tuple[str, ...]
    splits: dict[str, np.ndarray] | None


def _open_named(name: str, labels: Any, split: str, num_classes: int | None) -> ImageSet:
    if labels is not None:
        raise ValueError(f"labels: {name!r} comes with its labels; leave labels=None")
    if split == _EVERYTHING:
        raise ValueError(f"split must be one of {data.SPLITS} for {name!r}, got {split!r}")
    with _lock:
        return _cached_named(name, split, num_classes, data.data_folder(name))


@cache
def _cached_named(name: str, split: str, num_classes: int | None, folder: Path) -> ImageSet:
    images, labels = data.load(name, split)
    names = _class_names(data.DATA_SETS[name].class_names, labels, num_classes)
    return ImageSet(*_flatten(images), 1, labels, names, origin=(name, None, split, num_classes))


@cache
def _open_path(path: str, labels: str | None, split: str, num_classes: int | None) -> ImageSet:
    return _select(_read_cached(path, labels), split, num_classes, (path, labels, split, num_classes))


def _read_source(path: str, labels: Any) -> _Source:
    is_folder, is_npz = os.path.isdir(path), path.lower().endswith(".npz")
    if (is_folder or is_npz) and labels is not None:
        raise ValueError(f"labels: {path} must hold its labels itself; leave labels=None")
    if is_folder:
        return _read_folder(Path(path))
    if is_npz:
        return _read_npz(path)
    if isinstance(labels, str):
        labels = data.read_idx(labels)
    return _source_of_arrays(data.read_idx(path), labels, path)


_read_cached = cache(_read_source)


def _existing(path: str | os.PathLike[str], what: str) -> str:
    resolved = Path(path).expanduser().resolve()
    if not resolved.exists():
        names = f"one of {tuple(data.DATA_SETS)} or " if what == "images" else ""
        raise ValueError(f"{what} must be {names}the path of a file or folder, but {resolved} does not exist")
    return str(resolved)


def _select(source: _Source, split: str, num_classes: int | None, origin: tuple[Any, ...] | None) -> ImageSet:
    names = _class_names(source.class_names, source.labels, num_classes)
    count = len(source.offsets)
    rule = "those of index i with i % 10 == 9 are test, 8 validation, the rest train"
    if source.splits is None:
        index = np.flatnonzero(np.isin(np.arange(count) % 10, _TENTHS[split]))
    else:
        rule = ", ".join(f"{len(source.splits[name])} {name}" for name in data.SPLITS)
        wanted = data.SPLITS if split == _EVERYTHING else (split,)
        index = np.concatenate([source.splits[name] for name in wanted])
    if len(index) == 0:
        raise ValueError(f"split {split!r} has none of the {count} images ({rule}); choose another or add some")
    offsets, sizes, labels = source.offsets[index], source.sizes[index], source.labels[index]
    return ImageSet(source.pixels, offsets, sizes, source.num_channels, labels, names, origin)


def _own_splits(counts: dict[str, int]) -> dict[str, np.ndarray]:
    """Indices of the images of a source that names its splits, and holds them in the order of ``counts``."""
    ends = np.cumsum([counts.get(name, 0) for name in data.SPLITS])
    train, validation, test = np.split(np.arange(ends[-1]), ends[:-1])
    if "validation" not in counts:
        train, validation = train[train % 10 != 9], train[train % 10 == 9]
    return {"train": train, "validation": validation, "test": test}


def _class_names(names: tuple[str, ...], labels: np.ndarray, num_classes: int | None) -> tuple[str, ...]:
    """Names of all classes; those that have none of their own are called by their numbers."""
    least = max(len(names), int(labels.max()) + 1)
    if num_classes is not None and num_classes < least:
        raise ValueError(f"num_classes must be at least {least}, for so many there are, got {num_classes}")
    return names + tuple(str(i) for i in range(len(names), num_classes or least))


def _source_of_arrays(images: Any, labels: Any, where: str) -> _Source:
    pixels, offsets, sizes, num_channels = _check_images(images, where)
    return _Source(pixels, offsets, sizes, num_channels, _check_labels(labels, len(offsets), where), (), None)


def _check_images(images: Any, where: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Checks an array of images, or a list of them of any sizes, and lays them end to end."""
    if isinstance(images, np.ndarray):
        _check_array(images, where, "(N, H, W) or (N, H, W, C)", (3, 4))
        channels = images.shape[3] if images.ndim == 4 else 1
        return *_flatten(images), channels
    if not images:
        raise ValueError(f"{where}: the list is empty; give at least one image")
    for i, image in enumerate(images):
        _check_array(image, f"{where}[{i}]", "(H, W) or (H, W, C)", (2, 3))
    images = [image if image.ndim == 3 else image[..., np.newaxis] for image in images]
    channels = images[0].shape[2]
    for i, image in enumerate(images):
        if image.shape[2] != channels:
            raise ValueError(
                f"{where}: all must have the same number of channels, got {channels} in {where}[0] and "
                f"{image.shape[2]} in {where}[{i}]; convert them all to gray or all to color"
            )
    sizes = np.array([image.shape[:2] for image in images], np.int64)
    ends = np.cumsum(sizes.prod(axis=1) * channels)
    offsets = np.concatenate([[0], ends[:-1]]).astype(np.int64)
    return np.concatenate([image.reshape(-1) for image in images]), offsets, sizes, channels


def _check_array(array: Any, where: str, shapes: str, ndims: tuple[int, int]) -> None:
    if not isinstance(array, np.ndarray):
        raise TypeError(f"{where} must be a NumPy array, got {type(array).__name__}; use numpy.asarray")
    if array.dtype != np.uint8:
        hint = "multiply by 255 if they lie in 0..1, then " if array.dtype.kind == "f" else ""
        raise TypeError(f"{where} must be uint8 0..255, got {array.dtype}; {hint}convert with astype")
    if array.ndim not in ndims:
        raise ValueError(f"{where} must have shape {shapes}, got {array.shape}")
    if 0 in array.shape:
        raise ValueError(f"{where} must have no dimension of size 0, got shape {array.shape}")


def _flatten(images: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pixels, offsets and sizes of images of one size; a copy is made only where they are not contiguous."""
    count, height, width = images.shape[:3]
    offsets = np.arange(count, dtype=np.int64) * (images.size // count)
    sizes = np.tile(np.array([height, width], np.int64), (count, 1))
    return np.ascontiguousarray(images).reshape(-1), offsets, sizes


def _check_labels(labels: Any, count: int, where: str) -> np.ndarray:
    if labels is None:
        raise ValueError(f"labels are missing: {where} needs {count}, one for each image; give labels=...")
    labels = np.asarray(labels)
    if labels.dtype.kind not in "iu":
        raise TypeError(f"labels must be integers from 0 on, got {labels.dtype} (for {where})")
    if labels.shape not in ((count,), (count, 1)):  # (N, 1): so are Keras's color sets
        raise ValueError(f"labels must have shape ({count},), one for each of {where}, got {labels.shape}")
    if labels.min() < 0 or labels.max() >= _MAX_CLASSES:
        found = f"{labels.min()} ... {labels.max()} (for {where})"
        raise ValueError(f"labels must lie in 0 ... {_MAX_CLASSES - 1}, got {found}; number them from 0")
    return labels.reshape(-1).astype(np.int64)


def _read_npz(path: str) -> _Source:
    plain, keras = {"images", "labels"}, {"x_train", "y_train", "x_test", "y_test"}
    try:
        with open(path, "rb") as stream, np.load(stream, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files if name in plain | keras}
            names = archive.files
    except Exception as error:  # NumPy raises nearly anything here, by where the damage is
        raise data.DataError(f"{path}: not a readable .npz of plain arrays: {error!r}") from error
    if plain <= arrays.keys():
        return _source_of_arrays(arrays["images"], arrays["labels"], f"{path}: images")
    if not keras <= arrays.keys():
        expected = "'images' and 'labels', or 'x_train', 'y_train', 'x_test' and 'y_test'"
        raise data.DataError(f"{path} must hold {expected}; it holds {names}")
    train = _source_of_arrays(arrays["x_train"], arrays["y_train"], f"{path}: x_train")
    test = _source_of_arrays(arrays["x_test"], arrays["y_test"], f"{path}: x_test")
    if train.num_channels != test.num_channels:
        raise ValueError(f"{path}: x_train has {train.num_channels} channels and x_test {test.num_channels}")
    return _Source(
        np.concatenate([train.pixels, test.pixels]),
        np.concatenate([train.offsets, test.offsets + train.pixels.size]),
        np.concatenate([train.sizes, test.sizes]),
        train.num_channels,
        np.concatenate([train.labels, test.labels]),
        (),
        _own_splits({"train": len(train.offsets), "test": len(test.offsets)}),
    )


def _read_folder(root: Path) -> _Source:
    trees = {folder.name: folder for folder in _visible(root) if folder.is_dir()}
    own = bool(trees) and trees.keys() <= _SPLIT_FOLDERS.keys()
    if own and {"validation", "val"} <= trees.keys():
        raise data.DataError(f"{root}: has both validation and val; remove or rename one of them")
    splits = {_SPLIT_FOLDERS[name]: tree for name, tree in trees.items()} if own else {"train": root}
    classes = {split: [f for f in _visible(tree) if f.is_dir()] for split, tree in splits.items()}
    class_names = sorted({folder.name for folders in classes.values() for folder in folders})
    number = {name: i for i, name in enumerate(class_names)}
    labelled = [
        (split, file, number[folder.name])
        for split in data.SPLITS
        for folder in classes.get(split, [])
        for file in _visible(folder)
        if file.suffix.lower() in _IMAGE_SUFFIXES and file.is_file()
    ]
    if not labelled:
        raise data.DataError(
            f"{root}: no images found; expected a sub-folder of {', '.join(_IMAGE_SUFFIXES)} files "
            f"for each class, or train and test folders of such; found {sorted(trees) or 'no sub-folders'}"
        )
    images = [_decode(file) for _, file, _ in labelled]
    if any(image.ndim == 3 for image in images):
        images = [np.repeat(image[..., None], 3, axis=2) if image.ndim == 2 else image for image in images]
    counts = {split: sum(where == split for where, _, _ in labelled) for split in splits}
    source = _source_of_arrays(images, [label for *_, label in labelled], str(root))
    return source._replace(class_names=tuple(class_names), splits=_own_splits(counts) if own else None)


def _visible(folder: Path) -> list[Path]:
    try:
        return sorted((p for p in folder.iterdir() if p.name[0] != "."), key=lambda p: p.name)
    except OSError as error:
        raise data.DataError(f"{folder}: cannot be looked into: {error}") from error


def _decode(path: Path) -> np.ndarray:
    """The (first) picture of a file: uint8 (H, W) where the file is gray, else (H, W, 3)."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            image.load()
            if image.mode.startswith("I"):  # 16 bits a pixel; Pillow's own conversion would clip at 255
                return (np.asarray(image) >> 8).clip(0, 255).astype(np.uint8)
            mode = "L" if image.mode in ("1", "L", "LA") else "RGB"
            paletted, seen = image.mode == "P", image
            if "A" in image.getbands() or "transparency" in image.info:
                seen = image.convert("RGBA")
                seen = Image.alpha_composite(Image.new("RGBA", seen.size, "white"), seen)
            pixels = np.asarray(seen.convert(mode))
        gray = paletted and bool((pixels == pixels[..., :1]).all())  # GIF has no other way to say that it is
        return pixels[..., 0] if gray else pixels
    except Exception as error:  # Pillow's decoders raise nearly anything
        raise data.DataError(f"{path}: not a readable image: {error!r}; repair or remove it") from error
