"""Conversion of locations to pixels and back: the only place where a coordinate in [-1, 1] becomes a row or column."""

from __future__ import annotations

from typing import Any


def first_pixel(coordinate: Any, extent: Any, side: Any) -> Any:
    """Return the first row or column of a patch, as a float.

    This is ``floor(p - side/2 + 1/2)``, where ``p = (coordinate + 1) * extent/2`` is the location in pixels.
    It uses only operations that Python floats, NumPy, torch and Numba share, so that every backend rounds
    in the same way; pass float64. The result may be negative, because a patch may extend beyond the image.

    Args:
        coordinate: x or y of a location, in [-1, 1]; -1 is the left or top edge of the image.
        extent: width or height of the image in pixels.
        side: side of the patch in pixels.
    """
    return ((coordinate + 1) * extent / 2 - side / 2 + 0.5) // 1


def coordinate_of(position: Any, extent: Any) -> Any:
    """Return the coordinate in [-1, 1] of a position in pixels, the inverse of ``p`` in :func:`first_pixel`.

    Args:
        position: from the left or top edge of the image; the center of row or column i is at ``i + 1/2``.
        extent: width or height of the image in pixels.
    """
    return 2 * position / extent - 1
