"""From locations to pixels: the only place where a coordinate in [-1, 1] becomes a row or a column."""

from __future__ import annotations

from typing import Any


def first_pixel(coordinate: Any, extent: Any, side: Any) -> Any:
    """The first row or column of a patch, as a float.

    ``floor(p - side/2 + 1/2)``, where ``p = (coordinate + 1) * extent/2`` is the location in pixels.
    Written with operations that Python's floats, NumPy, torch and Numba share, so that every backend rounds
    alike; hand it float64. May be negative: a patch may hang over the border.

    Args:
        coordinate: x or y of a location, in [-1, 1], -1 the image's left or upper edge.
        extent: the image's width or height in pixels.
        side: the patch's side in pixels.
    """
    return ((coordinate + 1) * extent / 2 - side / 2 + 0.5) // 1
