"""Configuration fields that explain themselves, on the command line too."""

from __future__ import annotations

from dataclasses import field, fields
from typing import Any


def knob(default: Any, help_text: str) -> Any:
    """A dataclass field with a default and one line of help."""
    return field(default=default, metadata={"help": help_text})


def check_kinds(config: Any) -> None:
    """Raise a ValueError that names the first value whose kind is not that of its default; whole floats may be ints."""
    for knob_field in fields(config):
        value, kind = getattr(config, knob_field.name), type(knob_field.default)
        if type(value) is not kind and not (kind is float and type(value) is int):
            raise ValueError(f"{knob_field.name} must be of type {kind.__name__}, got {value!r}")
