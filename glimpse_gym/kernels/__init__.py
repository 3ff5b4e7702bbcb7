"""What is written once per kind of array.

``sense`` is what a retina sees, ``compose`` places a digit in clutter, ``uniforms`` draws an episode's random numbers.
:mod:`glimpse_gym.kernels.numpy_kernels` serves NumPy arrays. A module for another kind of array offers the same three functions
with the same arguments, and must return the same bits.
"""

from __future__ import annotations

from functools import cache
from types import ModuleType
from typing import Any

import numpy as np


@cache
def _numpy_kernels() -> ModuleType:
    """Imported at the first glimpse: loading the compiler takes as long as all the rest."""
    from glimpse_gym.kernels import numpy_kernels

    return numpy_kernels


def kernels_for(array: Any) -> ModuleType:
    """The module that serves this kind of array."""
    if isinstance(array, np.ndarray):
        return _numpy_kernels()
    raise TypeError(f"there are kernels for NumPy arrays only, got {type(array).__name__}")
