"""Descriptions of the page's envs for its JavaScript, read from the worlds themselves."""

from __future__ import annotations

from typing import Any

import numpy as np

from glimpse_gym.envs.catch import CatchWorld
from glimpse_gym.envs.classification import ClassificationWorld
from glimpse_gym.registration import WORLDS, env_id

TITLES = {
    "MNIST": "MNIST",
    "TranslatedMNIST": "Translated",
    "ClutteredMNIST": "Cluttered",
    "ClutteredMNIST100": "Cluttered 100",
    "Catch": "Catch",
}
"""Worlds of the page, keys of :data:`glimpse_gym.registration.WORLDS`, and their titles."""


def describe_page_envs(images: np.ndarray, labels: np.ndarray) -> dict[str, dict[str, Any]]:
    """Describe the envs of the page by id, with these digits in place of their data sets."""
    return {env_id(name): _describe(name, title, images, labels) for name, title in TITLES.items()}


def _describe(name: str, title: str, images: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    kwargs = WORLDS[name][1]
    canvases = None
    world: CatchWorld | ClassificationWorld
    if "images" in kwargs:
        world = ClassificationWorld(1, **kwargs | {"images": images, "labels": labels, "split": "all"})
        canvases = world.canvases
    else:
        world = CatchWorld(1, **kwargs)
    return {
        "id": env_id(name),
        "title": title,
        "kind": "classification" if world.choice_is_final else "catch",
        "patchSize": world.retina.patch_size,
        "numScales": world.retina.num_scales,
        "horizon": world.horizon,
        "choiceNames": world.choice_names,
        "imageSize": int(world.image_size[0]),  # images are square
        "canvasSize": int(world.image_size[0]) if canvases else None,
        "numClutter": canvases.num_clutter if canvases else 0,
        "clutterSize": canvases.clutter_size if canvases else 0,
    }
