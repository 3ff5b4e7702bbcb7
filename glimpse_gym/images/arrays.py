"""Validation of arrays of images and labels, and conversion of all pixels to one flat array.

Torch tensors and PIL images are accepted too. Neither library is imported to recognize them: if it was never imported,
no argument can be one of its objects.
"""

from __future__ import annotations

import sys
from typing import Any, NamedTuple

import numpy as np

from glimpse_gym.content_limit import ContentLimitError
from glimpse_gym.images.pictures import PictureBudget, picture_to_array
from glimpse_gym.safe_io import MAX_BYTES
from glimpse_gym.validation import to_array

SPLITS = ("train", "validation", "test")
MAX_CLASSES = 100_000  # a larger label is an id, not a class number, and would make a huge action space

_MAX_CHANNELS = 4  # gray, gray and alpha, RGB, RGBA


class Source(NamedTuple):
    """All images of a source, before a split is chosen.

    Attributes:
        pixels, offsets, sizes, num_channels, labels: As in `ImageSet`.
        class_names: Empty if the classes have only numbers.
        splits: Indices of the images of each split in `SPLITS`; None if the source does not define splits.
    """

    pixels: np.ndarray
    offsets: np.ndarray
    sizes: np.ndarray
    num_channels: int
    labels: np.ndarray
    class_names: tuple[str, ...] = ()
    splits: dict[str, np.ndarray] | None = None


def is_array(value: Any) -> bool:
    """Return whether a value is a NumPy array or a torch tensor."""
    return isinstance(value, np.ndarray) or _is_tensor(value)


def source_from_arrays(images: Any, labels: Any, where: str, max_bytes: int = MAX_BYTES) -> Source:
    """Check images and labels and make a `Source` of them; ``where`` names the images in errors."""
    pixels, offsets, sizes, num_channels = flatten_images(images, where, max_bytes)
    return Source(pixels, offsets, sizes, num_channels, check_labels(labels, len(offsets), where))


def flatten_images(
    images: Any, where: str, max_bytes: int = MAX_BYTES
) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Check images and concatenate their pixels into one flat array.

    Args:
        images: uint8 array or torch tensor (N, H, W) or (N, H, W, C); or a sequence of images of any sizes: arrays or
            tensors (H, W) or (H, W, C), or PIL images. C is at most 4.
        where: Name of the images in errors.
        max_bytes: The most memory that PIL images may take.

    Returns:
        Pixels, offsets, sizes and the number of channels, as in `ImageSet`. A contiguous array is not copied.

    Raises:
        TypeError: Another kind of object, or not uint8.
        ValueError: Another shape, no images, images with different numbers of channels, or PIL images that are damaged
            or too large.
    """
    if is_array(images):
        return _flatten_array(_check_array(images, where, "(N, H, W) or (N, H, W, C)", 4))
    if len(images) == 0:
        raise ValueError(f"{where}: the list is empty; give at least one image")
    arrays = []
    budget = PictureBudget(max_bytes)
    for i, image in enumerate(images):
        if _is_picture(image):
            arrays.append(_decode_picture(image, f"{where}[{i}]", budget))
        else:
            arrays.append(_check_array(image, f"{where}[{i}]", "(H, W) or (H, W, C)", 3))
    if all(map(_is_picture, images)):
        arrays = gray_to_rgb(arrays)
    arrays = [array if array.ndim == 3 else array[..., np.newaxis] for array in arrays]
    channels = arrays[0].shape[2]
    for i, array in enumerate(arrays):
        if array.shape[2] != channels:
            raise ValueError(
                f"{where}: all must have the same number of channels, got {channels} in {where}[0] and "
                f"{array.shape[2]} in {where}[{i}]; convert them all to gray or all to color"
            )
    sizes = np.array([array.shape[:2] for array in arrays], np.int64)
    ends = np.cumsum(sizes.prod(axis=1) * channels)
    offsets = np.concatenate([[0], ends[:-1]]).astype(np.int64)
    return np.concatenate([array.reshape(-1) for array in arrays]), offsets, sizes, channels


def check_labels(labels: Any, count: int, where: str) -> np.ndarray:
    """Check labels and convert them to int64 (count,).

    Raises:
        TypeError: Labels are not integers.
        ValueError: Labels are missing, negative, larger than 99,999, or not one per image.
    """
    if labels is None:
        raise ValueError(f"labels are missing: {where} needs {count}, one for each image; give labels=...")
    if _is_tensor(labels):
        if labels.is_floating_point() or labels.is_complex():
            raise TypeError(f"labels must be integers >= 0, got {labels.dtype} (for {where})")
        labels = labels.detach().cpu().numpy()
    labels = to_array(f"labels must be {count} integers >= 0, one for each of {where}", labels, (count,))
    if labels.dtype.kind not in "iu":
        raise TypeError(f"labels must be integers >= 0, got {labels.dtype} (for {where})")
    if labels.shape not in ((count,), (count, 1)):  # (N, 1): the form of Keras's CIFAR labels
        raise ValueError(f"labels must have shape ({count},), one for each of {where}, got {labels.shape}")
    if labels.min() < 0 or labels.max() >= MAX_CLASSES:
        found = f"{labels.min()} ... {labels.max()} (for {where})"
        raise ValueError(f"labels must be in 0 ... {MAX_CLASSES - 1}, got {found}; number them from 0")
    return labels.reshape(-1).astype(np.int64)


def gray_to_rgb(arrays: list[np.ndarray]) -> list[np.ndarray]:
    """Convert gray images (H, W) to (H, W, 3) if any image of the list is in color."""
    if all(array.ndim == 2 for array in arrays):
        return arrays
    return [np.repeat(array[..., np.newaxis], 3, axis=2) if array.ndim == 2 else array for array in arrays]


def _is_tensor(value: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def _is_picture(value: Any) -> bool:
    pil_image = sys.modules.get("PIL.Image")
    return pil_image is not None and isinstance(value, pil_image.Image)


def _decode_picture(picture: Any, where: str, budget: PictureBudget) -> np.ndarray:
    try:
        budget.add_picture(picture, where)
        return picture_to_array(picture)
    except ContentLimitError:
        raise
    except Exception as error:  # PIL reads a file only now; it may be damaged, in any way, or closed
        raise ValueError(f"{where} is not a readable PIL image: {str(error) or repr(error)}") from error


def _check_array(value: Any, where: str, shapes: str, ndim: int) -> np.ndarray:
    """Convert a value to a uint8 NumPy array with ``ndim`` dimensions, or one fewer if it is gray."""
    if not is_array(value):
        kinds = "a NumPy array, a torch tensor or a PIL image"
        raise TypeError(f"{where} must be {kinds}, got {type(value).__name__}; use numpy.asarray")
    if str(value.dtype) not in ("uint8", "torch.uint8"):
        is_float = value.dtype.kind == "f" if isinstance(value, np.ndarray) else value.is_floating_point()
        hint = "multiply by 255 if values are in 0..1, then " if is_float else ""
        raise TypeError(f"{where} must be uint8 0..255, got {value.dtype}; {hint}convert to uint8")
    array = value if isinstance(value, np.ndarray) else value.detach().cpu().numpy()
    if array.ndim not in (ndim - 1, ndim):
        raise ValueError(f"{where} must have shape {shapes}, got {array.shape}")
    if 0 in array.shape:
        raise ValueError(f"{where} must have no dimension of size 0, got shape {array.shape}")
    if array.ndim == ndim and array.shape[-1] > _MAX_CHANNELS:
        call = "transpose" if isinstance(value, np.ndarray) else "permute"
        moved = f"images.{call}(0, 2, 3, 1)" if ndim == 4 else f"image.{call}(1, 2, 0)"
        raise ValueError(
            f"{where} must have shape {shapes} with at most {_MAX_CHANNELS} channels, got {array.shape[-1]} channels "
            f"in shape {array.shape}; if the channels come first, give {moved}"
        )
    return array


def _flatten_array(images: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    count, height, width = images.shape[:3]
    offsets = np.arange(count, dtype=np.int64) * (images.size // count)
    sizes = np.tile(np.array([height, width], np.int64), (count, 1))
    channels = images.shape[3] if images.ndim == 4 else 1
    return np.ascontiguousarray(images).reshape(-1), offsets, sizes, channels
