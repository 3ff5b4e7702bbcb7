"""Random searches for the settings of recipes, the entries of ``searches.toml``.

This module imports neither torch nor optuna.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import cache
from importlib import resources
from typing import Any

from glimpse_gym.agents.configs import TrainConfig
from glimpse_gym.agents.experiments.recipes import Recipe, format_value, load_recipe, resolve_entry
from glimpse_gym.agents.json_checks import MAX_NUMBER, check_count, check_entries, check_name, check_settings
from glimpse_gym.validation import check_number, shown

_MEASUREMENT = ("num_evaluations", "validation_episodes")
_FIXED = ("seed", *_MEASUREMENT)
"""Settings that no search may draw."""


def round_value(value: float) -> float:
    """Round to two significant digits, so that a recipe can hold exactly the value of a trial."""
    return float(f"{value:.2g}")


@dataclass(frozen=True)
class Range:
    """Numbers from ``low`` to ``high`` with two significant digits, drawn uniformly, or uniformly in the logarithm."""

    low: float
    high: float
    log: bool = False

    def accepts(self, value: Any) -> bool:
        """Return whether a trial can have this value."""
        return type(value) is float and self.low <= value <= self.high and round_value(value) == value

    def describe(self) -> str:
        """Describe the range in words."""
        return f"{'log-uniform' if self.log else 'uniform'} from {self.low:g} to {self.high:g}"

    @property
    def extremes(self) -> tuple[float, float]:
        """Lowest and highest value."""
        return self.low, self.high


@dataclass(frozen=True)
class Choices:
    """Some values, each drawn with the same probability."""

    choices: list[Any]

    def accepts(self, value: Any) -> bool:
        """Return whether a trial can have this value."""
        return any(type(value) is type(choice) and value == choice for choice in self.choices)

    def describe(self) -> str:
        """Describe the choices in words."""
        return f"one of {', '.join(map(format_value, self.choices))}"

    @property
    def extremes(self) -> tuple[Any, ...]:
        """All values."""
        return tuple(self.choices)


Space = dict[str, Range | Choices]
"""The settings that a search draws, by name."""


def parse_space(name: str, entries: Any) -> Space:
    """Make a space from its entries in a TOML or JSON file.

    Raises:
        ValueError: an entry is not accepted; the message begins with ``name``.
    """
    if type(entries) is not dict or not entries:
        raise ValueError(f"{name} must be a dict with an entry for each setting, got {shown(entries)}")
    return {check_name(f"a setting of {name}", key): _parse(f"{name}.{key}", entry) for key, entry in entries.items()}


def check_values(name: str, values: Any, space: Space) -> dict[str, Any]:
    """Return the values of a trial by name; raise ValueError unless they are of the space."""
    check_entries(name, values, space)
    for key, setting in space.items():
        if not setting.accepts(values[key]):
            raise ValueError(f"{name}.{key} must be {setting.describe()}, got {shown(values[key])}")
    return dict(values)


@dataclass(frozen=True)
class Search:
    """Random search for the settings of a recipe.

    Raises:
        ValueError: if the recipe trains nothing, or has not one of the settings, or does not accept a value.
    """

    recipe: Recipe
    num_trials: int
    training: dict[str, Any]
    """Settings of the algorithm that hold in every trial."""
    space: Space

    def __post_init__(self) -> None:
        check_count("num_trials", self.num_trials, 1)
        if self.recipe.training is None:
            raise ValueError(f"{self.recipe.name} cannot be tuned: nothing is trained")
        if twice := sorted(self.space.keys() & {*self.training, *_FIXED}):
            raise ValueError(f"{', '.join(twice)} cannot be drawn in the search {self.name}: use other settings")
        first = {name: setting.extremes[0] for name, setting in self.space.items()}
        for name, setting in self.space.items():
            for value in setting.extremes:
                self.make_configs(first | {name: value}, 0)

    @property
    def name(self) -> str:
        """Name of the search, which is that of the recipe."""
        return self.recipe.name

    @property
    def settings(self) -> dict[str, Any]:
        """All settings that are the same in all trials, as :attr:`Recipe.settings`, and how errors are measured."""
        training = self._common_training()
        settings = replace(self.recipe, training=training).settings
        settings |= {name: getattr(training, name) for name in _MEASUREMENT}
        return {name: value for name, value in settings.items() if name not in self.space}

    def make_configs(self, values: Mapping[str, Any], seed: int) -> tuple[TrainConfig, Any]:
        """Make the configurations of the algorithm and of the policy of one trial.

        Args:
            values: of the settings in the space, by name.
            seed: seed of the training.
        """
        training, policy = self._common_training(), self.recipe.policy_config
        own = {field.name for field in fields(training)}, {field.name for field in fields(policy)}
        if unknown := sorted(values.keys() - own[0] - own[1]):
            raise ValueError(
                f"{self.name} has no setting {shown(unknown[0])}: it has {', '.join(sorted(own[0] | own[1]))}"
            )
        of_training, of_policy = ({name: values[name] for name in values if name in names} for names in own)
        return replace(training, seed=seed, **of_training), replace(policy, **of_policy)

    def _common_training(self) -> TrainConfig:
        assert self.recipe.training is not None
        return replace(self.recipe.training, **self.training)


def search_names() -> list[str]:
    """List the names of all searches, sorted."""
    return sorted(_table())


def load_search(name: str) -> Search:
    """Load a search by name.

    Raises:
        ValueError: if the name is unknown; the message lists all names.
    """
    if name not in _table():
        raise ValueError(f"there is no search {name!r}; the searches are {', '.join(search_names())}")
    entry = resolve_entry(name, _table(), ("training", "space"))
    entry.pop("base", None)
    check_entries(name, entry, ("num_trials", "training", "space"))
    return Search(load_recipe(name), entry["num_trials"], entry["training"], parse_space("space", entry["space"]))


@cache
def _table() -> dict[str, Any]:
    return tomllib.loads(resources.files(__package__).joinpath("searches.toml").read_text(encoding="utf-8"))


def _parse(name: str, entry: Any) -> Range | Choices:
    if type(entry) is dict and "choices" in entry:
        check_settings(name, check_entries(name, entry, ("choices",)))
        return _parse_choices(name, entry["choices"])
    entry = check_entries(name, {"log": False} | entry if type(entry) is dict else entry, ("low", "high", "log"))
    low, high = (check_number(f"{name}.{key}", entry[key], -MAX_NUMBER, MAX_NUMBER) for key in ("low", "high"))
    if type(entry["log"]) is not bool:
        raise ValueError(f"{name}.log must be true or false, got {shown(entry['log'])}")
    if not low < high or (entry["log"] and low <= 0):
        raise ValueError(f"{name}.low must be below high{', and above 0' * entry['log']}, got {low:g} and {high:g}")
    for value in (low, high):
        if round_value(value) != value:  # else a value could be rounded out of the range
            raise ValueError(f"{name} must have limits with at most two significant digits, got {value!r}")
    return Range(low, high, entry["log"])


def _parse_choices(name: str, choices: Any) -> Choices:
    if type(choices) is not list or len({(type(choice), choice) for choice in choices}) < max(len(choices), 1):
        raise ValueError(f"{name}.choices must be a list of different values, got {shown(choices)}")
    return Choices(choices)
