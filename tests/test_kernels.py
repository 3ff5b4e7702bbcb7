"""Kernel selection, and conversion of locations to pixels. Kernels are tested through Retina, Canvases and rng."""

import math
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest

from glimpse_gym.kernels import kernels_for
from glimpse_gym.kernels.geometry import first_pixel


def test_kernels_for_numpy_arrays():
    kernels = kernels_for(np.zeros(1))
    assert kernels.__name__ == "glimpse_gym.kernels.numpy_kernels"
    assert all(callable(getattr(kernels, name)) for name in ("sense", "compose", "uniforms"))


@pytest.mark.parametrize("array", [[1.0], None, 1.0])
def test_kernels_for_other_types_error(array):
    with pytest.raises(TypeError, match=f"NumPy arrays only, got {type(array).__name__}"):
        kernels_for(array)


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
