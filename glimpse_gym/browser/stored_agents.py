"""Agents as the page stores them: read from their folders without torch, checked, and encoded."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from glimpse_gym.agents.checkpoint_files import METADATA, WEIGHTS, CheckpointError, read_checkpoint
from glimpse_gym.agents.configs import RAMConfig
from glimpse_gym.agents.json_checks import check_fraction, check_list
from glimpse_gym.agents.pretrained import agent_folder
from glimpse_gym.agents.registry import make_policy_config
from glimpse_gym.agents.scores import mean_errors
from glimpse_gym.browser.weights import is_rounded
from glimpse_gym.validation import check_types

_GATES = {"gru": 3, "lstm": 4}


class Metadata(NamedTuple):
    """Entries of ``agent.json`` that the page needs."""

    env_id: str
    config: RAMConfig
    glimpse_shape: tuple[int, ...]
    """``(k, g, g)``."""
    num_choices: int
    test_errors: list[float] | None
    """Errors on the test split, as of :class:`glimpse_gym.agents.evaluation.Score`; None if it was not tested."""


@dataclass(frozen=True)
class StoredAgent:
    """An agent that the page can run."""

    name: str
    """Name of its folder."""
    metadata: Metadata
    tensors: dict[str, np.ndarray]
    """Weights that act, float32, by name."""

    def entry(self) -> dict[str, Any]:
        """Return the agent's metadata, for ``Agent`` in ``agent.js``."""
        env_id, ram, glimpse_shape, _, test_errors = self.metadata
        config = {
            "glimpseShape": glimpse_shape,
            "glimpseNetwork": ram.glimpse_network,
            "core": ram.core,
            "scaleGain": ram.scale_gain,
        }
        layout = [
            {"name": name, "shape": tensor.shape, "rounded": is_rounded(tensor.shape)}
            for name, tensor in self.tensors.items()
        ]
        return {
            "name": self.name,
            "envId": env_id,
            "numWeights": sum(tensor.size for tensor in self.tensors.values()),
            "testErrors": test_errors,
            "config": config,
            "layout": layout,
        }


def read_agent(name_or_path: str | Path, envs: Mapping[str, dict[str, Any]]) -> StoredAgent:
    """Read an agent for the page.

    Args:
        name_or_path: name of a pretrained agent, or path of a checkpoint folder.
        envs: envs of the page, as of :func:`glimpse_gym.browser.env_descriptions.describe_page_envs`.

    Raises:
        CheckpointError: if there is no such agent, or a file is missing, damaged, or not a checkpoint.
        ValueError: if the page cannot run it; the message says which agents it can.
    """
    folder = agent_folder(name_or_path)
    metadata, content = read_checkpoint(folder, lambda entries: _parse(folder, entries, envs))
    shapes = expected_shapes(metadata.config, metadata.glimpse_shape, metadata.num_choices)
    return StoredAgent(folder.resolve().name, metadata, _read_tensors(content, shapes, folder))


def _parse(folder: Path, entries: dict[str, Any], envs: Mapping[str, dict[str, Any]]) -> Metadata:
    """Convert the entries of ``agent.json``, after checking that the page can run the agent."""
    try:
        policy, env_id, env_kwargs = entries["policy"], entries["env_id"], entries["env_kwargs"]
        config = make_policy_config(policy, entries["policy_config"])
        glimpse_shape, num_choices = tuple(entries["task_spec"]["glimpse_shape"]), entries["task_spec"]["num_choices"]
        check_types(entries, env_id=str, env_kwargs=dict, weights_checksum=str)
        for score in entries["scores"]:
            check_list("errors", score["errors"], check_fraction)
        test_errors = mean_errors(entries["scores"], "test", "learned", sample=False).tolist()
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{folder / METADATA} is incomplete or damaged: {error!r:.500}") from error
    problem = ""
    if policy != "ram" or config.location_policy != "learned":
        kind = f" with location_policy={config.location_policy!r}" if policy == "ram" else ""
        problem = f"is of the kind {policy!r}{kind}"
    elif env_id not in envs:
        problem = f"acts in {env_id!r:.100}, which the page does not have"
    elif env_kwargs:
        problem = f"acts in {env_id} with the settings {env_kwargs!r:.200}, and the page has it without"
    if problem:
        raise ValueError(
            f"the agent in {folder} {problem}: the page runs agents of the kind 'ram' with learned locations that act "
            f"in one of {', '.join(envs)} without settings of its own; leave it out, or train such an agent"
        )
    env = envs[env_id]
    expected = (env["numScales"], env["patchSize"], env["patchSize"]), len(env["choiceNames"])
    if (glimpse_shape, num_choices) != expected:
        task = entries["task_spec"]
        raise CheckpointError(f"{folder / METADATA} is damaged: its task_spec is not that of {env_id}: {task!r:.300}")
    return Metadata(env_id, config, glimpse_shape, num_choices, test_errors or None)


def _read_tensors(content: bytes, expected: dict[str, tuple[int, ...]], folder: Path) -> dict[str, np.ndarray]:
    import safetensors.numpy

    try:
        found = safetensors.numpy.load(content)
    except (safetensors.SafetensorError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{folder / WEIGHTS} cannot be read: {error!r:.300}") from error
    tensors = {name: found.get(name, np.empty(0)) for name in expected}
    for name, tensor in tensors.items():
        if tensor.shape != expected[name] or tensor.dtype != np.float32 or not np.isfinite(tensor).all():
            raise CheckpointError(
                f"{folder / WEIGHTS} does not fit {METADATA} beside it: {name} must be finite float32 of shape "
                f"{expected[name]}, got {tensor.dtype} of shape {tensor.shape}"
            )
    return tensors


def expected_shapes(config: RAMConfig, glimpse_shape: tuple[int, ...], num_choices: int) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the weights that act, by name: all of a RAM's but those of its baseline."""
    depth, size, _ = glimpse_shape
    units, features, hidden = config.glimpse_units, config.glimpse_features, config.hidden_units
    what, filters = "glimpse_network.what", config.glimpse_filters
    layers = {what: (units, math.prod(glimpse_shape))}
    if config.glimpse_network == "conv":
        layers = {
            f"{what}.first": (filters, 16 * depth),
            f"{what}.second": (2 * filters, 4 * filters),
            f"{what}.linear": (units, math.ceil(size / 4) ** 2 * 2 * filters),
        }
    layers |= {
        "glimpse_network.where": (config.location_units, 2),
        "glimpse_network.what_out": (features, units),
        "glimpse_network.where_out": (features, config.location_units),
        "location_network.mean": (2, hidden),
        "choice_network.logits": (num_choices, hidden),
    }
    if config.core == "relu":
        layers |= {"core_network.hidden": (hidden, hidden), "core_network.input": (hidden, features)}
    shapes: dict[str, tuple[int, ...]] = {}
    for name, shape in layers.items():
        shapes |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
    if config.core in _GATES:
        rows = _GATES[config.core] * hidden
        cell = {"weight_ih": (rows, features), "weight_hh": (rows, hidden), "bias_ih": (rows,), "bias_hh": (rows,)}
        shapes |= {f"core_network.cell.{name}": shape for name, shape in cell.items()}
    return shapes
