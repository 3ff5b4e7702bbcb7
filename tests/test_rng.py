"""Counter-based random numbers against SplitMix64 written with Python integers."""

import itertools

import numpy as np
import pytest

import oracles
from glimpse_gym.kernels.numpy_kernels import uniforms
from glimpse_gym.rng import keys_from_seeds

SEEDS = [0, 1, 2, 12345, 2**31, 2**63 - 1, 2**63, 2**64 - 1]


def test_the_oracle_is_splitmix64():
    # The first outputs of the reference implementation for this seed.
    expected = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431]
    assert list(itertools.islice(oracles.splitmix64(1234567), 4)) == expected


def test_known_answers():
    keys = keys_from_seeds(SEEDS)
    for episode in (0, 1, 2, 1000, 2**40):
        numbers = uniforms(keys, np.full(len(keys), episode, np.int64), 7)
        expected = [[oracles.uniform(seed, episode, i) for i in range(7)] for seed in SEEDS]
        oracles.assert_identical(numbers, np.array(expected))


def test_dtypes_and_shapes():
    keys = keys_from_seeds([3, 4, 5])
    assert (keys.dtype, keys.shape) == (np.int64, (3,))
    numbers = uniforms(keys, np.zeros(3, np.int64), 11)
    assert (numbers.dtype, numbers.shape) == (np.float64, (3, 11))
    assert keys_from_seeds([]).shape == (0,)
    assert uniforms(keys[:0], np.zeros(0, np.int64), 4).shape == (0, 4)
    assert uniforms(keys, np.zeros(3, np.int64), 0).shape == (3, 0)


def test_negative_keys_are_hashed_as_64_bit_words():
    keys = np.array([-(2**63), -1, 0, 1, 2**63 - 1], np.int64)
    numbers = uniforms(keys, np.zeros(5, np.int64), 3)
    for key, row in zip(keys.tolist(), numbers.tolist(), strict=True):
        generator = oracles.splitmix64(oracles.mix(key % 2**64))
        assert row == [(next(generator) >> 11) / 2**53 for _ in range(3)]


def test_rows_are_independent_of_each_other():
    rng = np.random.default_rng(0)
    keys, episodes = keys_from_seeds(list(range(50))), rng.integers(0, 9, 50)
    together = uniforms(keys, episodes, 8)
    order = rng.permutation(50)
    oracles.assert_identical(uniforms(keys[order], episodes[order], 8), together[order])
    for row in range(50):
        oracles.assert_identical(uniforms(keys[row : row + 1], episodes[row : row + 1], 8), together[[row]])
    # Fewer numbers are the first of more numbers.
    oracles.assert_identical(uniforms(keys, episodes, 3), together[:, :3].copy())


def test_inputs_are_not_modified():
    keys, episodes = keys_from_seeds([1, 2]), np.array([3, 4])
    copies = keys.copy(), episodes.copy()
    uniforms(keys, episodes, 5)
    oracles.assert_identical((keys, episodes), copies)


def numbers_of(rows=200, episodes=100, count=10):
    """Neighboring seeds, episodes and positions: (seed, episode, position)."""
    keys = np.repeat(keys_from_seeds(list(range(rows))), episodes)
    return uniforms(keys, np.tile(np.arange(episodes), rows), count).reshape(rows, episodes, count)


def test_numbers_are_uniform_in_0_to_1():
    numbers = numbers_of()
    assert numbers.min() >= 0.0
    assert numbers.max() < 1.0
    assert numbers.min() < 1e-4
    assert numbers.max() > 1 - 1e-4
    counts = np.bincount((numbers.reshape(-1) * 100).astype(int), minlength=100)
    assert abs(oracles.chi_square(counts)) < 5
    # The same holds at every position.
    for position in range(numbers.shape[2]):
        counts = np.bincount((numbers[:, :, position].reshape(-1) * 50).astype(int), minlength=50)
        assert abs(oracles.chi_square(counts)) < 5
    assert len(np.unique(numbers)) == numbers.size


@pytest.mark.parametrize("lag", [1, 2, 7])
@pytest.mark.parametrize("axis", [0, 1, 2], ids=["seeds", "episodes", "positions"])
def test_neighbors_are_not_correlated(axis, lag):
    numbers = np.moveaxis(numbers_of(), axis, 0)
    first, second = numbers[:-lag].reshape(-1), numbers[lag:].reshape(-1)
    # The correlation of n independent pairs is normal with standard deviation 1 / sqrt(n).
    assert abs(np.corrcoef(first, second)[0, 1]) < 5 / np.sqrt(first.size)
    # The pairs fall into all cells of a grid equally often.
    cells = (first * 16).astype(int) * 16 + (second * 16).astype(int)
    assert abs(oracles.chi_square(np.bincount(cells, minlength=256))) < 5


def test_seeds_and_episodes_are_not_interchangeable():
    # An episode of seed s + 1 is not a later episode of seed s.
    numbers = numbers_of(rows=30, episodes=30, count=3)
    assert len(np.unique(numbers[:, :, 0])) == 900


def test_equal_seeds_give_equal_keys_and_different_seeds_different_keys():
    keys = keys_from_seeds([*range(1000), 5])
    assert keys[5] == keys[1000]
    assert len(set(keys.tolist())) == 1000
    oracles.assert_identical(keys_from_seeds([np.int64(7), np.uint8(7)]), keys_from_seeds([7, 7]))


@pytest.mark.parametrize("bad", [-1, 1.0, "1", None, True, [1], np.float64(2), 2**64, 10**30, np.timedelta64(3)])
def test_bad_seeds_are_named(bad):
    with pytest.raises(ValueError, match="a seed must be an integer from 0 to 18446744073709551615, got"):
        keys_from_seeds([3, bad])


@pytest.mark.parametrize(
    "bad", [None, 5, "12", b"12", {1: 2}, range(10**12), np.array(5), np.zeros((1, 2), int), iter([1])]
)
def test_seeds_must_be_a_list(bad):
    with pytest.raises(TypeError, match="seeds must be a list of integers, got"):
        keys_from_seeds(bad)


def test_masked_seeds():
    with pytest.raises(ValueError, match="seeds must not be a masked array"):
        keys_from_seeds(np.ma.array([1, 2], mask=[False, True]))


@pytest.mark.parametrize("dtype", [np.uint64, np.int64, np.uint8])
def test_arrays_of_seeds(dtype):
    seeds = np.array([0, 7, np.iinfo(dtype).max], dtype)
    oracles.assert_identical(keys_from_seeds(seeds), keys_from_seeds(seeds.tolist()))
    assert keys_from_seeds(seeds[:0]).shape == (0,)


def test_bad_arrays_of_seeds():
    with pytest.raises(ValueError, match="a seed must be an integer from 0 to 18446744073709551615, got "):
        keys_from_seeds(np.array([3, -1]))
    for bad in (np.zeros(2), np.zeros(2, bool), np.zeros(2, "m8[s]"), np.array([1, None])):
        with pytest.raises(ValueError, match="a seed must be an integer from 0 to 18446744073709551615, got "):
            keys_from_seeds(bad)
