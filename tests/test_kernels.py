"""Backends, and conversion of locations to pixels. Kernels are tested through Retina, Canvases and rng."""

import math
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest

import oracles
from glimpse_gym.kernels.backend import NUMPY
from glimpse_gym.kernels.geometry import first_pixel


def test_numpy_backend_returns_arrays_as_they_are():
    array = np.arange(3)
    assert NUMPY.device == "cpu"
    assert NUMPY.from_host(array) is NUMPY.to_host(array) is NUMPY.share(array) is array
    assert NUMPY.copy(array) is not array


def test_integers_below():
    draws = np.array([[0.0, 0.4999], [0.5, 1 - 2**-53]])
    oracles.assert_identical(NUMPY.integers_below(draws, 4), np.array([[0, 1], [2, 3]]))
    oracles.assert_identical(NUMPY.integers_below(draws, np.array([1, 10])), np.array([[0, 4], [0, 9]]))


def test_import_does_not_load_numba():
    program = "import sys, glimpse_gym.retina; print('numba' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"


@pytest.mark.parametrize("extent", [1, 5, 28, 60])
@pytest.mark.parametrize("side", [1, 2, 3, 8, 12, 24])
def test_first_pixel_matches_exact_fractions(extent, side):
    for numerator in range(-64, 65):
        coordinate = numerator / 64
        center = (Fraction(numerator, 64) + 1) * extent / 2
        expected = math.floor(center - Fraction(side, 2) + Fraction(1, 2))
        assert first_pixel(coordinate, extent, side) == expected
        assert first_pixel(np.array([coordinate]), extent, side).tolist() == [expected]
