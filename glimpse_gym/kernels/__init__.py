"""Array kernels: the functions with one implementation per array library.

``sense`` computes glimpses, ``compose`` places images and clutter on canvases, and ``uniforms`` generates the random
numbers of episodes. :mod:`glimpse_gym.kernels.numpy_kernels` implements them for NumPy arrays. The module for another
array library provides the same three functions with the same arguments, and must return the same bits.
"""

from __future__ import annotations

from functools import cache
from types import ModuleType
from typing import Any

import numpy as np


@cache
def _numpy_kernels() -> ModuleType:
    """Import the NumPy kernels on first use, because importing Numba takes as long as all other imports together."""
    from glimpse_gym.kernels import numpy_kernels

    return numpy_kernels


def kernels_for(array: Any) -> ModuleType:
    """Return the kernel module for the type of ``array``.

    Raises:
        TypeError: if there are no kernels for this type.
    """
    if isinstance(array, np.ndarray):
        return _numpy_kernels()
    raise TypeError(f"kernels exist for NumPy arrays only, got {type(array).__name__}")
