"""Recipes: what is trained, in which environment, by which algorithm. They are the entries of ``recipes.toml``.

Importing this module loads no torch.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cache
from importlib import resources
from typing import Any

from glimpse_gym.agents.configs import TrainConfig
from glimpse_gym.agents.registry import algorithm_name, make_policy_config, make_train_config

_MERGED = ("env_kwargs", "augmentation", "policy_config", "training")
_BOOKKEEPING = frozenset({"seed", "num_evaluations", "validation_episodes", "save_interval", "num_threads"})
"""Settings of a run that are no part of what is learned: evaluations draw no random numbers of the training."""
_SWITCHED_OFF = {("pathwise_max_norm", 0.0): "no pathwise gradient", ("reinforce_weight", 0.0): "no REINFORCE"}
_REFERENCE = "default agent"


@dataclass(frozen=True)
class Recipe:
    """A training run to be reproduced, and how its agent is measured."""

    name: str
    group: str
    """"headline", "paper", "baselines", "controls" or "ablations"."""
    base: str | None
    """The recipe that this one is a variation of."""
    task: str
    """"mnist", "translated60", "cluttered60", "cluttered100" or "catch"."""
    model: str
    """Label in the tables."""
    env_id: str
    env_kwargs: dict[str, Any]
    augmentation: dict[str, Any]
    """Keyword arguments of the env that hold in training only."""
    policy_config: Any
    training: TrainConfig | None
    """Configuration of the algorithm; None: nothing is trained."""
    test: bool = True
    """False: the agent is measured on the validation split only. No choice may rest on the test split."""
    generalization_envs: tuple[dict[str, Any], ...] = ()
    """Changes of ``env_kwargs`` under which the trained agent is tested too."""

    @property
    def settings(self) -> dict[str, Any]:
        """All settings of the training run, as :func:`run_settings`."""
        training = {}
        if self.training is not None:
            training = asdict(self.training) | {"algorithm": algorithm_name(self.training)}
            training["augmentation"] = self.augmentation
        return run_settings(self.env_id, self.env_kwargs, asdict(self.policy_config), training)


def recipe_names() -> list[str]:
    """Names of all recipes, sorted."""
    return sorted(_entries())


def load_recipe(name: str) -> Recipe:
    """The recipe of that name.

    Raises:
        ValueError: an unknown name; the error lists the names that exist.
    """
    if name not in _entries():
        raise ValueError(f"there is no recipe {name!r}; there are {', '.join(recipe_names())}")
    entry = _resolve(name)
    has_training = "algorithm" in entry
    recipe = Recipe(
        name=name,
        group=entry["group"],
        base=entry.get("base"),
        task=entry["task"],
        model=entry["model"],
        env_id=entry["env_id"],
        env_kwargs=entry["env_kwargs"],
        augmentation=entry["augmentation"],
        policy_config=make_policy_config(entry["policy"], entry["policy_config"]),
        training=make_train_config(entry["algorithm"], entry["training"]) if has_training else None,
        test=entry.get("test", True),
        generalization_envs=_generalization_envs(entry.get("generalization_envs", [])),
    )
    if recipe.group == "ablations":
        return replace(recipe, model=describe_ablation(name, recipe.settings))
    return recipe


def run_settings(
    env_id: str, env_kwargs: Mapping[str, Any], policy_config: Mapping[str, Any], training: Mapping[str, Any]
) -> dict[str, Any]:
    """All settings of a training run in one dict, without bookkeeping that changes nothing of what is learned.

    Args:
        env_id: id of the env.
        env_kwargs: its keyword arguments.
        policy_config: fields of the policy's configuration.
        training: fields of the algorithm's configuration, and "algorithm" and "augmentation".
    """
    settings = {"env_id": env_id, **env_kwargs, **policy_config, **training}
    return {name: value for name, value in settings.items() if name not in _BOOKKEEPING}


def ablated_settings(name: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings in which a run of a recipe differs from the recipe's base: name -> value of the run.

    Args:
        name: the recipe, one with a base.
        settings: of the run, as :func:`run_settings`. A result file may be older than the recipe.
    """
    base = _settings_of(_entries()[name]["base"])
    return {key: settings.get(key) for key in base.keys() | settings.keys() if settings.get(key) != base.get(key)}


def matches_recipe(name: str, settings: Mapping[str, Any]) -> bool:
    """False if the settings of a run are not those of the recipe of that name, which may have changed since."""
    return name not in _entries() or _settings_of(name) == dict(settings)


def is_single_factor(name: str, settings: Mapping[str, Any]) -> bool:
    """True if a run of an ablation differs from its base in one setting only, or is the reference of the others."""
    return _is_reference(name) or len(ablated_settings(name, settings)) <= 1


def describe_ablation(name: str, settings: Mapping[str, Any]) -> str:
    """Every setting in which a run of a recipe differs from the recipe's base, in words.

    Args:
        name: the recipe, one with a base.
        settings: of the run, as :func:`run_settings`.
    """
    order = {key: position for position, key in enumerate(settings)}
    changes = sorted(ablated_settings(name, settings).items(), key=lambda change: order.get(change[0], len(order)))
    text = ", ".join(_describe_setting(key, value) for key, value in changes)
    if _is_reference(name):
        return f"{_REFERENCE}: {_entries()[name]['base']} with {text}" if text else _REFERENCE
    return text or "no change"


def _is_reference(name: str) -> bool:
    """True if the base is no ablation itself, so that other ablations are compared with this one."""
    base = _entries()[name]["base"]
    return bool(_entries()[base]["group"] != "ablations")


@cache
def _settings_of(name: str) -> dict[str, Any]:
    return load_recipe(name).settings


def _describe_setting(name: str, value: Any) -> str:
    if name == "augmentation":
        values = ", ".join(f"{key} {low} to {high}" for key, (low, high) in value.items())
        return f"augmentation = {values or 'none'}"
    text = f"{value:,}" if type(value) is int else f"{value:g}" if type(value) is float else str(value).lower()
    off = _SWITCHED_OFF.get((name, value))
    return f"{name} = {text}" + (f" ({off})" if off else "")


@cache
def _table() -> dict[str, Any]:
    return tomllib.loads(resources.files(__package__).joinpath("recipes.toml").read_text(encoding="utf-8"))


@cache
def _entries() -> dict[str, dict[str, Any]]:
    """Recipes by name as they stand in the file, each with its group."""
    return {
        name: entry | {"group": group}
        for group, recipes in _table().items()
        if group != "sweeps"
        for name, entry in recipes.items()
    }


def _resolve(name: str) -> dict[str, Any]:
    """A recipe's entry with what it inherits."""
    entry = _entries()[name]
    if "base" not in entry:
        return entry | {table: dict(entry.get(table, {})) for table in _MERGED}
    inherited = _resolve(entry["base"])
    return inherited | entry | {table: inherited[table] | entry.get(table, {}) for table in _MERGED}


def _generalization_envs(names: list[str]) -> tuple[dict[str, Any], ...]:
    return tuple({name: value} for name in names for value in _table()["sweeps"][name])
