"""The kinds of agents, by the names that checkpoints and recipes call them."""

from __future__ import annotations

from typing import Any

from glimpse_gym.agents.base import Task
from glimpse_gym.agents.classifier import Classifier, ClassifierConfig
from glimpse_gym.agents.ram import RAM, RAMConfig
from glimpse_gym.agents.scripted import Scripted, ScriptedConfig
from glimpse_gym.validation import check_choice

AnyAgent = RAM | Classifier | Scripted
AnyConfig = RAMConfig | ClassifierConfig | ScriptedConfig

_KINDS: dict[str, tuple[type[AnyAgent], type[AnyConfig]]] = {
    "ram": (RAM, RAMConfig),
    "classifier": (Classifier, ClassifierConfig),
    "scripted": (Scripted, ScriptedConfig),
}


def make_agent(task: Task, config: AnyConfig) -> AnyAgent:
    """A new agent of the kind that the configuration belongs to."""
    agent_class: Any = _KINDS[kind_of(config)][0]
    return agent_class(task, config)


def make_config(kind: str, values: dict[str, Any]) -> AnyConfig:
    """The configuration of an agent of this kind.

    Raises:
        TypeError: knobs that do not exist.
        ValueError: a kind that does not exist, or values that are not accepted.
    """
    return _KINDS[check_choice("agent", kind, tuple(_KINDS))][1](**values)


def kind_of(config: AnyConfig) -> str:
    """What the kind of agent is called."""
    return next(kind for kind, (_, config_class) in _KINDS.items() if type(config) is config_class)
