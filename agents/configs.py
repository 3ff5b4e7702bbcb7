"""Configuration fields that explain themselves, on the command line too."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import field, fields
from typing import Any


def knob(default: Any, help_text: str) -> Any:
    """A dataclass field with a default and one line of help."""
    return field(default=default, metadata={"help": help_text})


def knob_of(config_class: Any, name: str, default: Any) -> Any:
    """A field of another dataclass with another default."""
    (same,) = (f for f in fields(config_class) if f.name == name)
    return field(default=default, metadata=same.metadata)


def check_knobs(
    config: Any, at_least: Mapping[str, float] | None = None, above: Mapping[str, float] | None = None
) -> None:
    """Raise a ValueError that names the first value of another kind than its default, not finite, or too small.

    Args:
        config: a dataclass; where a default is a float, a whole number will do.
        at_least: the smallest values accepted, by name.
        above: values that must be exceeded, by name.
    """
    for knob_field in fields(config):
        name = knob_field.name
        value: Any = getattr(config, name)
        kind: Any = type(knob_field.default)
        if type(value) is not kind and not (kind is float and type(value) is int):
            raise ValueError(f"{name} must be of type {kind.__name__}, got {value!r}")
        if kind is float and not math.isfinite(value):
            raise ValueError(f"{name} must be finite, got {value}")
        if at_least and name in at_least and value < at_least[name]:
            raise ValueError(f"{name} must be at least {at_least[name]}, got {value}")
        if above and name in above and value <= above[name]:
            raise ValueError(f"{name} must be greater than {above[name]}, got {value}")
