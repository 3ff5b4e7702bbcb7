"""A large canvas strewn with small digits, with one large, bright digit to find in each cell of a grid.

The file is written some rows at a time, so it may be much larger than the memory.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.lib import format as npy_format

from glimpse_gym.atomic_io import atomic_write, check_free_space, remove_temporary_files
from glimpse_gym.images.datasets import load
from glimpse_gym.images.large import build_pyramid_of
from glimpse_gym.images.pyramid import level_layout
from glimpse_gym.validation import check_integer

_DIGIT, _PITCH = 28, 128  # pixels: side of a digit, and of the squares with one small digit each
_BRIGHTNESS = 2  # small digits are divided by it
_TARGET_PART = 128  # a target is enlarged by one for every so many pixels of the side of its cell
_MIN_CELL = 256
_TARGETS, _STREWN = 0, 1  # streams of random numbers


class SearchCanvas(NamedTuple):
    """Files of a canvas."""

    images: Path
    """``NAME.npy``: uint8 (side, side)."""
    labels: Path
    """``NAME.labels.npy``: int64 (grid, grid), the target of each cell."""
    pyramid: Path
    """``NAME.npy.pyramid``."""


def write_search_canvas(
    path: str | os.PathLike[str], side: int = 32_768, grid: int = 64, seed: int = 0, progress: bool = False
) -> SearchCanvas:
    """Write a canvas of ``side`` x ``side`` pixels, its labels, and its pyramid.

    Digits of MNIST's training split of 28 x 28 pixels, at half brightness, are strewn over it: one at a random place
    in each square of 128 x 128 pixels. Each cell of a grid has one target: a digit at full brightness, enlarged by a
    whole number, to about a fifth of the side of the cell, at a random place wholly inside. No two targets are the
    same image of MNIST.

    Args:
        path: the ``.npy`` file to write.
        side: a multiple of 128 * ``grid``.
        grid: cells along each side, from 1 to 223; a cell has a side of at least 256 pixels.
        seed: an integer >= 0.
        progress: show progress bars.

    Raises:
        OSError: the files exist, do not fit on the disk, or cannot be written; nothing is left of the one that was
            not complete.
        ValueError: an argument is out of range.
        DataError: MNIST is not there, and cannot be downloaded.
    """
    from tqdm import tqdm

    path = Path(path)
    if path.suffix != ".npy":
        raise ValueError(f"the canvas must be a .npy file, got {path}")
    check_integer("seed", seed, at_least=0)
    check_integer("grid", grid, at_least=1, at_most=223)
    if check_integer("side", side, at_least=1, at_most=2**20) < _MIN_CELL * grid:
        raise ValueError(
            f"side must be at least {_MIN_CELL} * grid = {_MIN_CELL * grid}, got {side}; "
            "use a larger side, or a smaller grid"
        )
    if side % (_PITCH * grid):
        raise ValueError(f"side must be a multiple of {_PITCH} * grid = {_PITCH * grid}, got {side}")
    labels_path = path.with_suffix(".labels.npy")
    for existing in filter(Path.exists, (path, labels_path)):
        raise FileExistsError(f"{existing} exists, and is not overwritten: name another file, or remove it")
    remove_temporary_files(path)
    check_free_space(path, side**2 + level_layout((1, side, side, 1))[-1].end)
    digits, classes = load("mnist", "train")
    targets = _Targets(np.asarray(digits), side, grid, seed)
    with atomic_write(path) as temporary:
        with temporary.open("wb") as file:
            npy_format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": (side, side)})
            for top in tqdm(range(0, side, _PITCH), path.name, unit="band", disable=not progress):
                band = _strew(np.asarray(digits), side, np.random.default_rng([seed, _STREWN, top]))
                targets.draw(band, top)
                file.write(band.data)
        with atomic_write(labels_path) as temporary_labels:
            np.save(temporary_labels, np.asarray(classes, np.int64)[targets.index].reshape(grid, grid))
    return SearchCanvas(path, labels_path, build_pyramid_of(path, progress))


def _strew(digits: np.ndarray, side: int, rng: np.random.Generator) -> np.ndarray:
    """Draw a band of small digits: uint8 (128, side)."""
    count = side // _PITCH
    band = np.zeros((_PITCH, side), np.uint8)
    index = rng.integers(0, len(digits), count)
    rows, columns = rng.integers(0, _PITCH - _DIGIT + 1, (2, count))
    for i, row, column in zip(index, rows, columns + np.arange(count) * _PITCH, strict=True):
        band[row : row + _DIGIT, column : column + _DIGIT] = digits[i] // _BRIGHTNESS
    return band


class _Targets:
    """The targets of all cells: images and places."""

    def __init__(self, digits: np.ndarray, side: int, grid: int, seed: int) -> None:
        rng = np.random.default_rng([seed, _TARGETS])
        cell = side // grid
        self.index = rng.permutation(len(digits))[: grid**2]
        self._digits, self._factor = digits, cell // _TARGET_PART
        self._side = _DIGIT * self._factor
        places = rng.integers(0, cell - self._side + 1, (grid**2, 2))
        corners = np.stack(np.divmod(np.arange(grid**2), grid), axis=1) * cell
        self._corners = corners + places

    def draw(self, band: np.ndarray, top: int) -> None:
        """Draw the parts of the targets that are in a band of rows, uint8 (rows, side), which begins at row ``top``."""
        first, last = self._corners[:, 0], self._corners[:, 0] + self._side
        for i in np.flatnonzero((first < top + len(band)) & (last > top)):
            row, column = self._corners[i]
            rows = np.arange(max(row, top), min(row + self._side, top + len(band)))
            target = self._digits[self.index[i]][(rows - row) // self._factor].repeat(self._factor, axis=1)
            window = band[rows[0] - top : rows[-1] + 1 - top, column : column + self._side]
            np.maximum(window, target, out=window)
