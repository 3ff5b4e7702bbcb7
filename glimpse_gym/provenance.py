"""Provenance of agents and recordings: env keyword arguments as stored, what they ask for, and package versions."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
from typing import Any

import gymnasium as gym

from glimpse_gym.images.data_files import find_file, total_size
from glimpse_gym.images.datasets import DATA_SETS, data_folder
from glimpse_gym.safe_io import MAX_BYTES
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


class UntrustedError(RuntimeError):
    """A file, such as an agent or a recording, asks for a permission that was not given."""


def require_trust(name: str, env_id: str, env_kwargs: dict[str, Any], trusted: bool) -> None:
    """Raise an UntrustedError if env keyword arguments from a file need a permission that was not given.

    Args:
        name: name of the file's content in the message.
        env_id: id of the env.
        env_kwargs: its keyword arguments.
        trusted: permits all that :func:`describe_requests` lists.
    """
    requests = [] if trusted else describe_requests(env_id, env_kwargs)
    if requests:
        raise UntrustedError(
            f"{name} asks to {' and to '.join(requests)}: permit it (--trust, or trusted=True) if you know where it "
            "comes from"
        )


def describe_requests(env_id: str, env_kwargs: dict[str, Any]) -> list[str]:
    """Describe what env keyword arguments from someone's file ask the program to do, beyond reading its own data sets.

    Making an env with them may open the user's files, download a data set, or take more memory than usual, which
    needs the user's permission.

    Returns:
        Phrases such as ``"open the file or folder /data/digits (images)"``; empty if no permission is needed.
    """
    values = (gym.spec(env_id).kwargs if env_id in gym.registry else {}) | env_kwargs
    requests = []
    for name in ("images", "labels"):
        value = values.get(name)
        if name == "images" and isinstance(value, str) and value in DATA_SETS:
            files, folder = DATA_SETS[value].files, data_folder(value)
            if not all(find_file(folder, file) for file in files):
                megabytes = total_size(files) / 1e6
                requests.append(f"download the data set {value} ({megabytes:.0f} MB; 'glimpse-gym data {value}' does)")
        elif isinstance(value, str):
            requests.append(f"open the file or folder {value!r:.200} ({name})")
    max_bytes = values.get("max_bytes", 0)
    if isinstance(max_bytes, int) and max_bytes > MAX_BYTES:
        requests.append(f"take up to {max_bytes:,} bytes of memory (max_bytes)")
    return requests
