"""Tables of policies and algorithms: to add one, write its module and add a line here. Does not import torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from importlib import import_module
from typing import TYPE_CHECKING, Any

import gymnasium as gym

from glimpse_gym.agents.configs import (
    ClassifierConfig,
    DiscreteRAMConfig,
    PPOConfig,
    RAMConfig,
    ReinforceConfig,
    ScriptedConfig,
    SupervisedConfig,
    TrainConfig,
)
from glimpse_gym.agents.task_envs import vector_env_class
from glimpse_gym.validation import check_choice, shown

if TYPE_CHECKING:
    from glimpse_gym.agents.base import Policy, TaskSpec
    from glimpse_gym.agents.learner import Learner
    from glimpse_gym.agents.parallel import Parallel


@dataclass(frozen=True)
class PolicyEntry:
    """Entry of the table of policies."""

    entry_point: str
    """``"module:class"`` of the policy, imported on first use."""
    config_class: type[Any]


@dataclass(frozen=True)
class AlgorithmEntry:
    """Entry of the table of algorithms."""

    entry_point: str
    """``"module:class"`` of the learner, imported on first use."""
    config_class: type[TrainConfig]
    default_policy: Any
    """Default configuration of the policy that it trains."""
    presets: Mapping[tuple[str, bool], tuple[TrainConfig, Any]] = field(default_factory=dict)
    """Default configurations of algorithm and policy in envs with an action form, and with or without a final choice.
    In all others: that of ``config_class``, and ``default_policy``."""


POLICIES: dict[str, PolicyEntry] = {
    "ram": PolicyEntry("glimpse_gym.agents.ram:RAM", RAMConfig),
    "discrete-ram": PolicyEntry("glimpse_gym.agents.discrete_ram:DiscreteRAM", DiscreteRAMConfig),
    "classifier": PolicyEntry("glimpse_gym.agents.classifier:Classifier", ClassifierConfig),
    "scripted": PolicyEntry("glimpse_gym.agents.scripted:ScriptedPlayer", ScriptedConfig),
}

# The paper's network for Catch. The gain makes a single bright pixel equally bright at every scale.
_RAM_FOR_PPO = RAMConfig(glimpse_network="fc", glimpse_units=128, location_units=128, scale_gain=4.0, core="lstm")
_SMALL: dict[str, Any] = {
    "glimpse_network": "fc",
    "glimpse_units": 128,
    "location_units": 128,
    "glimpse_features": 128,
    "core": "gru",
    "hidden_units": 128,
}
# A label is right by chance at first, one time in K, so that the gradients of small batches are noise.
_PPO_FOR_LABELS = PPOConfig(batch_size=512, minibatch_size=64, num_epochs=6, gamma=1.0)
_PPO_PRESETS: dict[tuple[str, bool], tuple[TrainConfig, Any]] = {
    ("hybrid", True): (_PPO_FOR_LABELS, RAMConfig(**_SMALL)),
    ("discrete", True): (_PPO_FOR_LABELS, DiscreteRAMConfig(**_SMALL, initial_sigma=0.3)),
    ("discrete", False): (PPOConfig(), DiscreteRAMConfig(**_SMALL, scale_gain=4.0)),
}

ALGORITHMS: dict[str, AlgorithmEntry] = {
    "reinforce": AlgorithmEntry("glimpse_gym.agents.reinforce:Reinforce", ReinforceConfig, RAMConfig()),
    "supervised": AlgorithmEntry("glimpse_gym.agents.supervised:Supervised", SupervisedConfig, ClassifierConfig()),
    "ppo": AlgorithmEntry("glimpse_gym.agents.ppo:PPO", PPOConfig, _RAM_FOR_PPO, _PPO_PRESETS),
}


def default_algorithm(env_id: str) -> str:
    """Return the name of an env's default algorithm: "reinforce" for hybrid actions with a label, else "ppo".

    Raises:
        ValueError: if the id does not belong to this package's worlds.
    """
    has_label = vector_env_class(env_id).world_class.choice_name == "label"
    return "reinforce" if has_label and _actions(env_id) == "hybrid" else "ppo"


def default_configs(env_id: str, algorithm: str | None = None) -> tuple[Any, Any]:
    """Return the default configurations of an algorithm and of the policy that it trains.

    Args:
        env_id: id of one of this package's envs.
        algorithm: a key of ALGORITHMS; None takes :func:`default_algorithm`.
    """
    name = default_algorithm(env_id) if algorithm is None else algorithm
    entry = ALGORITHMS[check_choice("algorithm", name, tuple(ALGORITHMS))]
    key = _actions(env_id), vector_env_class(env_id).world_class.choice_is_final
    return entry.presets.get(key, (entry.config_class(), entry.default_policy))


def _actions(env_id: str) -> str:
    return str(gym.spec(env_id).kwargs.get("actions", "hybrid"))


def algorithm_name(config: TrainConfig) -> str:
    """Return the name of the algorithm that a configuration belongs to."""
    return _name_of(config, ALGORITHMS, "an algorithm")


def policy_name(config: Any) -> str:
    """Return the name of the kind of policy that a configuration belongs to."""
    return _name_of(config, POLICIES, "a policy")


def make_policy(task_spec: TaskSpec, config: Any) -> Policy:
    """Make a policy with newly initialized weights."""
    return _load(POLICIES[policy_name(config)].entry_point)(task_spec, config)


def make_learner(
    env_id: str,
    env_kwargs: dict[str, Any],
    config: TrainConfig,
    policy_config: Any,
    parallel: Parallel | None = None,
) -> Learner:
    """Make a learner of the algorithm that ``config`` belongs to; see :class:`glimpse_gym.agents.learner.Learner`."""
    learner_class = _load(ALGORITHMS[algorithm_name(config)].entry_point)
    return learner_class(env_id, env_kwargs, config, policy_config, parallel)


def make_policy_config(name: str, values: dict[str, Any]) -> Any:
    """Make the configuration of a policy.

    Args:
        name: a key of POLICIES.
        values: field values; fields left out take their defaults.

    Raises:
        ValueError: if the name or a field is unknown, or a value is not accepted.
    """
    return make_config(POLICIES[check_choice("policy", name, tuple(POLICIES))].config_class, values)


def make_train_config(name: str, values: dict[str, Any]) -> Any:
    """Make the configuration of an algorithm, as :func:`make_policy_config`; ``name`` is a key of ALGORITHMS."""
    return make_config(ALGORITHMS[check_choice("algorithm", name, tuple(ALGORITHMS))].config_class, values)


def make_config(config_class: type[Any], values: dict[str, Any]) -> Any:
    """Make a configuration from a dict of its fields; the ValueError for an unknown field lists the existing ones."""
    accepted = [field.name for field in fields(config_class)]
    if not isinstance(values, dict):
        raise ValueError(f"settings must be a dict, got {shown(values)}")
    if unknown := [name for name in values if name not in accepted]:
        raise ValueError(f"unknown settings {shown(unknown)}; {config_class.__name__} has {', '.join(accepted)}")
    return config_class(**values)


def _name_of(config: Any, table: Mapping[str, PolicyEntry | AlgorithmEntry], kind: str) -> str:
    for name, entry in table.items():
        if type(config) is entry.config_class:
            return name
    accepted = ", ".join(entry.config_class.__name__ for entry in table.values())
    raise ValueError(f"{type(config).__name__} is not the configuration of {kind}; accepted: {accepted}")


def _load(entry_point: str) -> Any:
    module, _, name = entry_point.partition(":")
    return getattr(import_module(module), name)
