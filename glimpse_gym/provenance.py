"""Provenance of agents and recordings: env keyword arguments in a storable form, and package versions."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
from typing import Any

from glimpse_gym.images.datasets import DATA_SETS
from glimpse_gym.version import __version__


def package_versions(*packages: str) -> dict[str, str]:
    """Return the versions of Python, glimpse_gym, Gymnasium, NumPy and other packages, without importing them."""
    versions = {name: importlib.metadata.version(name) for name in ("gymnasium", "numpy", *packages)}
    return {"python": platform.python_version(), "glimpse_gym": __version__, **versions}


def storable_kwargs(env_kwargs: dict[str, Any]) -> dict[str, Any]:
    """Convert env keyword arguments to JSON types; paths of images become absolute, to work from any folder.

    Raises:
        ValueError: if JSON cannot store a value, such as an array.
    """
    values = {name: os.fspath(value) if isinstance(value, os.PathLike) else value for name, value in env_kwargs.items()}
    for name in values.keys() & {"images", "labels"}:
        path = values[name]
        if isinstance(path, str) and path not in DATA_SETS and os.path.exists(path):
            values[name] = os.path.abspath(path)
    try:
        json.dumps(values)
    except TypeError as error:
        raise ValueError(
            f"env keyword arguments are stored as JSON ({error}): save arrays as an .npz, and give its path as images"
        ) from error
    return values
