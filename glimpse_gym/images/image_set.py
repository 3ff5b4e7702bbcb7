"""`ImageSet`: images of any sizes in one flat array, with their labels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from glimpse_gym.images.large import LargeImages


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Images and labels; all pixels are in one flat array, so images of any sizes need no padding.

    Immutable: copies and deep copies return the set itself. A set opened from a name or a path is pickled as the
    call that opens it: the process that unpickles it reads the source itself, once.

    Attributes:
        pixels: uint8 (total,), read-only. Image i is the ``H * W * C`` values starting at ``offsets[i]``,
            (H, W, C) in row-major order. Images of other splits of the same source may be in the array too.
        offsets: int64 (N,).
        sizes: int64 (N, 2), height and width.
        num_channels: C, the same for all images.
        labels: int64 (N,) in 0 ... K-1.
        class_names: K names.
        reopen: Function and arguments that open this set again, or None if it was made from arrays.
        large: The file that the images stay in, or None. Then ``pixels`` is empty, and ``offsets`` are the indices of
            the images in that file.
    """

    pixels: np.ndarray
    offsets: np.ndarray
    sizes: np.ndarray
    num_channels: int
    labels: np.ndarray
    class_names: tuple[str, ...]
    reopen: tuple[Callable[..., ImageSet], tuple[Any, ...]] | None = None
    large: LargeImages | None = None

    def __post_init__(self) -> None:
        for name in ("pixels", "offsets", "sizes", "labels"):
            view = getattr(self, name).view()  # a view, so that a user's own array stays writable
            view.setflags(write=False)
            object.__setattr__(self, name, view)

    def __len__(self) -> int:
        return len(self.offsets)

    @property
    def num_classes(self) -> int:
        """K, the number of classes."""
        return len(self.class_names)

    def image(self, index: int) -> np.ndarray:
        """Return image ``index``, a read-only view: uint8 (H, W) if C is 1, otherwise (H, W, C)."""
        if self.large:
            return self.large.image(int(self.offsets[index]))
        height, width = map(int, self.sizes[index])
        start = int(self.offsets[index])
        flat = self.pixels[start : start + height * width * self.num_channels]
        return flat.reshape((height, width) if self.num_channels == 1 else (height, width, self.num_channels))

    def __copy__(self) -> ImageSet:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> ImageSet:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        if self.reopen is not None:
            return self.reopen
        arrays = self.pixels, self.offsets, self.sizes, self.num_channels, self.labels, self.class_names
        return ImageSet, arrays
