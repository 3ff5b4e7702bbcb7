"""Recipes, the entries of ``recipes.toml``: the env, the policy, the algorithm and all settings of a training run.

This module does not import torch.
"""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cache
from importlib import resources
from typing import Any

from glimpse_gym.agents.configs import TrainConfig
from glimpse_gym.agents.registry import algorithm_name, make_policy_config, make_train_config

_MERGED = ("env_kwargs", "augmentation", "policy_config", "training")
_BOOKKEEPING = frozenset({"seed", "num_evaluations", "validation_episodes", "save_interval", "num_threads"})
"""Settings in which runs of one recipe may differ: the seed, and those with no effect on what is learned.

Evaluations have no effect, because they use random numbers of their own.
"""
_SWITCHED_OFF = {("pathwise_max_norm", 0.0): "no pathwise gradient", ("reinforce_weight", 0.0): "no REINFORCE"}
_REFERENCE = "default agent"


@dataclass(frozen=True)
class Recipe:
    """One training run that can be reproduced, and how its agent is evaluated."""

    name: str
    group: str
    """"headline", "paper", "baselines", "controls" or "ablations"."""
    base: str | None
    """Name of the recipe that this one is a variant of."""
    task: str
    """"mnist", "translated60", "cluttered60", "cluttered100" or "catch"."""
    model: str
    """Label in the tables."""
    env_id: str
    env_kwargs: dict[str, Any]
    augmentation: dict[str, Any]
    """Keyword arguments of the env that apply in training only."""
    policy_config: Any
    training: TrainConfig | None
    """Configuration of the algorithm; None if nothing is trained."""
    test: bool = True
    """If False, the agent is evaluated on the validation split only: no choice may depend on the test split."""
    generalization_envs: tuple[dict[str, Any], ...] = ()
    """Changes of ``env_kwargs``; the trained agent is also tested with each of them."""

    @property
    def settings(self) -> dict[str, Any]:
        """All settings of the training run; see :func:`run_settings`."""
        training = {}
        if self.training is not None:
            training = asdict(self.training) | {"algorithm": algorithm_name(self.training)}
            training["augmentation"] = self.augmentation
        return run_settings(self.env_id, self.env_kwargs, asdict(self.policy_config), training)


def recipe_names() -> list[str]:
    """List the names of all recipes, sorted."""
    return sorted(_entries())


def load_recipe(name: str) -> Recipe:
    """Load a recipe by name.

    Raises:
        ValueError: if the name is unknown; the message lists all names.
    """
    if name not in _entries():
        raise ValueError(f"there is no recipe {name!r}; the recipes are {', '.join(recipe_names())}")
    entry = resolve_entry(name, _entries(), _MERGED)
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
    """Merge all settings of a training run, except the seed and those with no effect on what is learned.

    Args:
        env_id: id of the env.
        env_kwargs: its keyword arguments.
        policy_config: fields of the policy's configuration.
        training: fields of the algorithm's configuration, and "algorithm" and "augmentation".
    """
    settings = {"env_id": env_id, **env_kwargs, **policy_config, **training}
    return {name: value for name, value in settings.items() if name not in _BOOKKEEPING}


def ablated_settings(name: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Find the settings in which a run of a recipe differs from the recipe's base: name -> value in the run.

    Args:
        name: the recipe, one with a base.
        settings: of the run, as :func:`run_settings`. They may differ from the recipe, if it changed since the run.
    """
    base = _settings_of(_entries()[name]["base"])
    return {key: settings.get(key) for key in base.keys() | settings.keys() if settings.get(key) != base.get(key)}


def matches_recipe(name: str, settings: Mapping[str, Any]) -> bool:
    """Return whether a run has the settings of its current recipe; True if the recipe no longer exists."""
    return name not in _entries() or _settings_of(name) == dict(settings)


def is_single_factor(name: str, settings: Mapping[str, Any]) -> bool:
    """Return whether an ablation run differs from its base in at most one setting, or is the reference ablation."""
    return _is_reference(name) or len(ablated_settings(name, settings)) <= 1


def describe_ablation(name: str, settings: Mapping[str, Any]) -> str:
    """Describe in words every setting in which a run of a recipe differs from the recipe's base.

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


def format_value(value: Any) -> str:
    """Format the value of a setting for a table: 1,000, 0.0003, true, muon."""
    return f"{value:,}" if type(value) is int else f"{value:g}" if type(value) is float else str(value).lower()


def _is_reference(name: str) -> bool:
    """Return whether this is the reference ablation, with which the others are compared: its base is no ablation."""
    base = _entries()[name]["base"]
    return bool(_entries()[base]["group"] != "ablations")


@cache
def _settings_of(name: str) -> dict[str, Any]:
    return load_recipe(name).settings


def _describe_setting(name: str, value: Any) -> str:
    if name == "augmentation" and isinstance(value, dict):
        values = ", ".join(f"{key} {low} to {high}" for key, (low, high) in value.items())
        return f"augmentation = {values or 'none'}"
    off = _SWITCHED_OFF.get((name, value)) if isinstance(value, (int, float)) else None
    return f"{name} = {format_value(value)}" + (f" ({off})" if off else "")


@cache
def _table() -> dict[str, Any]:
    return tomllib.loads(resources.files(__package__).joinpath("recipes.toml").read_text(encoding="utf-8"))


@cache
def _entries() -> dict[str, dict[str, Any]]:
    """Return the recipes by name, as written in the file, each with its group."""
    return {
        name: entry | {"group": group}
        for group, recipes in _table().items()
        if group != "sweeps"
        for name, entry in recipes.items()
    }


def resolve_entry(name: str, entries: Mapping[str, dict[str, Any]], merged: Collection[str]) -> dict[str, Any]:
    """Merge an entry with what it inherits from its base, and that from its own.

    Args:
        name: of the entry.
        entries: all entries by name; "base" is the name of another one.
        merged: keys of tables that are merged key by key.
    """
    entry = entries[name]
    inherited = resolve_entry(entry["base"], entries, merged) if "base" in entry else {}
    return inherited | entry | {table: inherited.get(table, {}) | entry.get(table, {}) for table in merged}


def _generalization_envs(names: list[str]) -> tuple[dict[str, Any], ...]:
    return tuple({name: value} for name in names for value in _table()["sweeps"][name])
