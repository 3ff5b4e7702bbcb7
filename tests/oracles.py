"""Slow, obviously correct implementations to test against: loops, Python integers and fractions, no shared code.

g is the patch size, k the number of scales, R the last column of Catch's board.
"""

import math
from collections.abc import Iterator
from fractions import Fraction

import numpy as np

_WORD = 2**64


def sense_one(image: np.ndarray, location: tuple[float, float], g: int, k: int) -> np.ndarray:
    """Compute one glimpse of one image, uint8 (H, W) or (H, W, C), pixel by pixel: float32 (k*C, g, g)."""
    pixels = image.tolist()
    height, width = image.shape[:2]
    channels = image.shape[2] if image.ndim == 3 else 1
    x, y = (float(np.float32(min(max(float(value), -1.0), 1.0))) for value in location)
    px, py = (x + 1) * width / 2, (y + 1) * height / 2
    glimpse = np.zeros((k * channels, g, g), np.float32)
    for s in range(k):
        cell = 2**s
        side = g * cell
        left, top = math.floor(px - side / 2 + 1 / 2), math.floor(py - side / 2 + 1 / 2)
        for c in range(channels):
            for row in range(g):
                for column in range(g):
                    total = 0
                    for i in range(top + row * cell, top + (row + 1) * cell):
                        for j in range(left + column * cell, left + (column + 1) * cell):
                            if 0 <= i < height and 0 <= j < width:
                                total += pixels[i][j] if image.ndim == 2 else pixels[i][j][c]
                    mean = np.float32(total) / np.float32(255 * 4**s)
                    glimpse[s * channels + c, row, column] = mean
    return glimpse


def sense(images: np.ndarray, locations: np.ndarray, g: int, k: int) -> np.ndarray:
    """Compute one glimpse of each image: float32 (B, k*C, g, g)."""
    channels = images.shape[3] if images.ndim == 4 else 1
    glimpses = [sense_one(image, tuple(xy), g, k) for image, xy in zip(images, locations, strict=True)]
    return np.array(glimpses, np.float32).reshape(len(images), k * channels, g, g)


def cell_center(cell: int, grid_size: int) -> tuple[np.float32, np.float32]:
    """Return the center (x, y) of a cell of an M x M grid over [-1, 1] x [-1, 1], counted row by row from the top."""
    row, column = divmod(cell, grid_size)
    x = Fraction(2 * column + 1, grid_size) - 1
    y = Fraction(2 * row + 1, grid_size) - 1
    return np.float32(float(x)), np.float32(float(y))


def reflected(position: float | Fraction, right: int) -> float | Fraction:
    """Reflect the position of a ball at walls at 0 and ``right``."""
    position = position % (2 * right)
    return position if position <= right else 2 * right - position


def landing_distribution(start: int, right: int) -> list[Fraction]:
    """Return the probability of each column to be the one where a ball from ``start`` lands; its speed is uniform.

    Without walls the landing position would be uniform from ``start - right`` to ``start + right``. A ball is drawn in
    the column nearest to its position.
    """
    chances = []
    for column in range(right + 1):
        low, high = max(Fraction(2 * column - 1, 2), 0), min(Fraction(2 * column + 1, 2), right)
        # The positions that are reflected into [low, high]: the interval and its mirror images at both walls.
        length = Fraction(0)
        for a, b in ((low, high), (-high, -low), (2 * right - high, 2 * right - low)):
            length += max(min(b, start + right) - max(a, start - right), 0)
        chances.append(length / (2 * right))
    return chances


def chance_of_random_catch(right: int) -> Fraction:
    """Return the probability that random moves catch the ball, by dynamic programming over paddle positions."""
    paddle = [Fraction(1, right)] * right  # probability of each position, that of the left one of its two columns
    for _ in range(right):
        after = [Fraction(0)] * right
        for position, chance in enumerate(paddle):
            for move in (-1, 0, 1):
                after[min(max(position + move, 0), right - 1)] += chance / 3
        paddle = after
    total = Fraction(0)
    for start in range(right + 1):
        landing = landing_distribution(start, right)
        for position, chance in enumerate(paddle):
            total += chance * (landing[position] + landing[position + 1]) / (right + 1)
    return total


def mix(z: int) -> int:
    """Apply the finalizer of SplitMix64 to an integer from 0 to 2**64 - 1."""
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % _WORD
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB % _WORD
    return z ^ (z >> 31)


def splitmix64(state: int) -> Iterator[int]:
    """Generate numbers by SplitMix64 as published."""
    while True:
        state = (state + 0x9E3779B97F4A7C15) % _WORD
        yield mix(state)


def uniform(seed: int, episode: int, position: int) -> float:
    """Return random number ``position`` (from 0) of episode ``episode`` (from 0) of a row with this seed, in [0, 1)."""
    key = mix(seed % _WORD)
    generator = splitmix64(mix((key + episode * 0x9E3779B97F4A7C15) % _WORD))
    for _ in range(position):
        next(generator)
    return (next(generator) >> 11) / 2**53


def chi_square(counts: np.ndarray) -> float:
    """Return the chi-square statistic of counts against a uniform distribution, standardized."""
    counts = np.asarray(counts, float).reshape(-1)
    expected, degrees = counts.mean(), len(counts) - 1
    return float((((counts - expected) ** 2 / expected).sum() - degrees) / math.sqrt(2 * degrees))


def assert_binomial(successes: int, trials: int, chance: float) -> None:
    """Fail if the count is more than five standard deviations from the expected one."""
    deviation = math.sqrt(trials * chance * (1 - chance))
    assert abs(successes - trials * chance) < 5 * deviation, (successes, trials, chance)


def assert_identical(a: object, b: object, where: str = "value") -> None:
    """Fail unless both are bit-equal: keys, types, dtypes, shapes and values, recursively."""
    assert type(a) is type(b), (where, a, b)
    if isinstance(a, dict):
        assert a.keys() == b.keys(), (where, set(a) ^ set(b))
        for key in a:
            assert_identical(a[key], b[key], f"{where}[{key!r}]")
    elif isinstance(a, (tuple, list)):
        assert len(a) == len(b), (where, len(a), len(b))
        for i, (left, right) in enumerate(zip(a, b, strict=True)):
            assert_identical(left, right, f"{where}[{i}]")
    elif isinstance(a, np.ndarray):
        assert (a.dtype, a.shape) == (b.dtype, b.shape), (where, a.dtype, b.dtype, a.shape, b.shape)
        if a.dtype == object:
            assert_identical(a.tolist(), b.tolist(), where)
        elif a.tobytes() != b.tobytes():
            different = np.argwhere(a != b).tolist() or ["in the sign of zeros or in NaNs"]
            raise AssertionError(f"{where}: {len(different)} of {a.size} differ, the first: {different[0]}")
    else:
        assert a == b, (where, a, b)
