"""Operations of backends whose results or whose speed depend on the array library."""

import numpy as np
import pytest

import oracles
from glimpse_gym.kernels.backend import NUMPY, make_backend

every_backend = pytest.mark.parametrize("backend", [NUMPY, make_backend("torch:cpu")], ids=["numpy", "torch"])
MASKS = [[True, True, True], [True, False, True], [False, False, False]]
every_mask = pytest.mark.parametrize("mask", MASKS, ids=["all", "some", "none"])


@every_backend
@every_mask
def test_masked_values_are_replaced(backend, mask):
    old, new, where = np.array([1.5, 2.5, 3.5]), np.array([-1.0, -2.0, -3.0]), np.array(mask)
    expected = np.where(where, new, old)
    target, source = backend.from_host(old.copy()), backend.from_host(new.copy())
    backend.copyto(target, source, where=backend.from_host(where))
    oracles.assert_identical(backend.to_host(target), expected)
    updated = backend.update(backend.from_host(old.copy()), source, where=backend.from_host(where))
    oracles.assert_identical(backend.to_host(updated), expected)
    oracles.assert_identical(backend.to_host(source), new)


@every_backend
@every_mask
def test_copied_values_are_broadcast(backend, mask):
    old = np.array([[1, 2], [3, 4], [5, 6]])
    target, where = backend.from_host(old.copy()), np.array(mask)[:, None]
    backend.copyto(target, backend.from_host(np.array(7)), where=backend.from_host(where))
    oracles.assert_identical(backend.to_host(target), np.where(where, 7, old))


@every_backend
@every_mask
def test_copies_are_not_views(backend, mask):
    target, source = backend.zeros(3, np.int64), backend.from_host(np.array([1, 2, 3]))
    backend.copyto(target, source, where=backend.from_host(np.array(mask)))
    source[:] = 9
    oracles.assert_identical(backend.to_host(target), np.where(mask, [1, 2, 3], 0))


def test_state_on_a_device_stays_in_place():
    backend = make_backend("torch:cpu")
    old, new = backend.zeros(3, np.int64), backend.from_host(np.array([1, 2, 3]))
    assert backend.update(old, new) is old
    assert backend.update(old, new, where=backend.from_host(np.ones(3, np.bool_))) is old


def test_facts_are_known_to_numpy_only():
    device = make_backend("torch:cpu")
    for mask in MASKS:
        assert NUMPY.known_none(np.array(mask)) == (not any(mask))
        assert device.known_none(device.from_host(np.array(mask))) is False
    for numbers, expected in [
        ([0, 3], True),
        ([0.5, 2.5], True),
        ([1, 3.1], False),
        ([-0.1, 1], False),
        ([1, np.nan], False),
    ]:
        assert NUMPY.known_within(np.array(numbers, np.float64), 0, 3) is expected
        assert device.known_within(device.from_host(np.array(numbers, np.float64)), 0, 3) is False
