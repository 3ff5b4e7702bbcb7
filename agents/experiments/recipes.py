"""Recipes: what is trained, on what, and how, each in a file of its own that one can read, ``recipes/NAME.json``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any

from glimpse_gym.agents.learner import TrainConfig
from glimpse_gym.agents.registry import AnyConfig, make_config
from glimpse_gym.agents.trainer import Run, default_configs

_FOLDER = resources.files("glimpse_gym.agents.experiments").joinpath("recipes_json")


@dataclass(frozen=True)
class Recipe:
    """What is trained, on what, and how."""

    name: str
    task: str
    """The row of the tables: "mnist", "translated60", "cluttered60", "cluttered100" or "catch"."""
    model: str
    """What the tables call it."""
    env_id: str
    env_kwargs: dict[str, Any]
    augmentation: dict[str, Any]
    """Keyword values of the env that hold in training only."""
    config: AnyConfig
    training: TrainConfig | None
    """None where there is nothing to train."""
    final: bool = True
    """Whether it is measured on the test split: no choice may rest on that. An ablation is not."""
    elsewhere: Sequence[dict[str, Any]] = ()
    """Keyword values of other envs, in which the agent is measured too, without being trained in them."""

    def run(self, folder: Path, seed: int) -> Run:
        """The run of this recipe in a folder, begun or gone on with.

        Raises:
            CheckpointError: the folder holds another run, or a damaged one.
            ValueError: there is nothing to train.
        """
        if self.training is None:
            raise ValueError(f"{self.name} is not trained")
        training = replace(self.training, seed=seed)
        return Run(
            folder,
            self.env_id,
            self.env_kwargs,
            training,
            self.config,
            resume=True,
            augmentation=self.augmentation,
            command=f"glimpse-gym reproduce {self.name} --seed {seed}",
        )


def recipe_names() -> list[str]:
    """The names of all recipes."""
    return sorted(entry.name.removesuffix(".json") for entry in _FOLDER.iterdir() if entry.name.endswith(".json"))


def load_recipe(name: str) -> Recipe:
    """The recipe of that name.

    Raises:
        ValueError: there is none; the error lists those that there are.
    """
    if name not in recipe_names():
        raise ValueError(f"there is no recipe {name!r}; there are {', '.join(recipe_names())}")
    entries = json.loads(_FOLDER.joinpath(f"{name}.json").read_text(encoding="utf-8"))
    config = make_config(entries.pop("agent"), entries.pop("config"))
    training = entries.pop("training")
    if training is not None:
        training = replace(default_configs(entries["env_id"])[0], **training)
    return Recipe(name=name, config=config, training=training, **entries)
