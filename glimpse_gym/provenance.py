"""What is stored with an agent or a recording so that it can be made again: env keyword values and versions."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
from typing import Any

from glimpse_gym.images.datasets import DATA_SETS
from glimpse_gym.version import __version__


def package_versions(*packages: str) -> dict[str, str]:
    """Versions of Python, glimpse_gym, Gymnasium, NumPy, and of other packages, without importing any."""
    versions = {name: importlib.metadata.version(name) for name in ("gymnasium", "numpy", *packages)}
    return {"python": platform.python_version(), "glimpse_gym": __version__, **versions}


def storable_kwargs(env_kwargs: dict[str, Any]) -> dict[str, Any]:
    """Env keyword values as JSON stores them, with absolute paths of images, since they may be read elsewhere.

    Raises:
        ValueError: values that JSON cannot store, such as arrays.
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
            f"env keyword values are stored as JSON ({error}): save arrays as an .npz, and give its path as images"
        ) from error
    return values
