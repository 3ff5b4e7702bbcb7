"""Compilation of kernels by Numba. Import it where kernels are defined, since importing Numba takes long."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a function at its first call, with an on-disk cache if there is a writable folder."""
    # NumPy's error model omits checks for division by zero, which would prevent loops from being vectorized.
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy"}
    try:
        return numba.njit(cache=True, **options)(function)
    except RuntimeError:  # Numba found no writable cache folder: compile in every process
        return numba.njit(**options)(function)


def compiled_inline(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a function that only compiled functions call. LLVM inlines it.

    Numba's own inlining counts references to arrays at every call.
    """
    inlined: Callable[..., Any] = numba.njit(forceinline=True, error_model="numpy")(function)
    return inlined
