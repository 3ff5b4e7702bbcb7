"""Model cards: a page about an agent in Markdown, with the YAML header that model hubs read.

The header follows the Hugging Face Hub's specification (``modelcard.md`` in its repository ``hub-docs``).
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym

from glimpse_gym.agents.base import Policy
from glimpse_gym.agents.checkpoint import CheckpointMetadata, load_agent
from glimpse_gym.agents.markdown import markdown_table
from glimpse_gym.agents.pretrained import agent_folder, is_pretrained
from glimpse_gym.agents.registry import policy_name
from glimpse_gym.agents.scores import mean_errors
from glimpse_gym.agents.task_envs import has_splits
from glimpse_gym.images.datasets import DATA_SETS
from glimpse_gym.validation import printable

_HUB_DATA_SETS = {"mnist": "ylecun/mnist", "fashion-mnist": "zalando-datasets/fashion_mnist"}
_KINDS = {
    "ram": "A recurrent attention model (RAM)",
    "discrete-ram": "A recurrent attention model (RAM) with discrete actions",
    "classifier": "A classifier of whole images",
    "scripted": "A scripted player",
}
_CONDITIONS = {
    ("learned", False): "where the agent looks",
    ("learned", True): "where the agent looks, sampled",
    ("random", False): "at random locations",
    ("center", False): "always at the center",
}
_SETTINGS = (
    *("algorithm", "num_episodes", "batch_size", "optimizer", "learning_rate", "loss_weighting", "reinforce_weight"),
    *("pathwise_max_norm", "candidates_per_episode", "augmentation", "seed"),
)
_LIMITS = "For research and demonstration. It was trained on this one task and knows no other retina."
_LIMITS_OF_LABELS = (
    "On other images, canvases or clutter it makes more errors, and its probabilities mean nothing on an image that "
    "shows none of its classes."
)
_TAGS = ["glimpse_gym", "gymnasium", "reinforcement-learning", "active-vision", "visual-attention"]
_WORDS_OF_YAML = {"true", "false", "yes", "no", "on", "off", "y", "n", "null"}


def model_card(name_or_path: str | Path) -> str:
    """Write the model card of an agent.

    Paths of images and folders are left out, and so is the license, except that of agents that ship with this package.

    Args:
        name_or_path: name of a pretrained agent, or path of a checkpoint folder.

    Returns:
        Markdown that begins with a YAML header.

    Raises:
        CheckpointError: if there is no such agent, or a file is missing, damaged, or not a checkpoint.
    """
    folder = agent_folder(name_or_path)
    policy, metadata = load_agent(folder, trusted=True)  # its env is not made
    name = printable(folder.resolve().name)
    header = ({"license": "mit"} if is_pretrained(folder) else {}) | _header(name, metadata)
    parts = [f"---\n{to_yaml(header)}\n---", f"# {name}", _description(policy, metadata)]
    parts += ["## Use", _usage(name if is_pretrained(folder) else "FOLDER", metadata)]
    if scores := _best_split(metadata):
        parts += ["## Errors", _errors(scores, metadata)]
    parts += ["## Training", _training(metadata)]
    parts += ["## Limits", f"{_LIMITS} {_LIMITS_OF_LABELS}" if _has_label(metadata) else _LIMITS]
    return "\n\n".join(parts) + "\n"


def to_yaml(value: Any) -> str:
    """Format nested dicts, lists, strings and numbers as YAML. Keys must be plain words."""
    return "\n".join(_yaml_lines(value))


def _yaml_lines(value: Any) -> list[str]:
    if isinstance(value, dict):
        lines = []
        for key, entry in value.items():
            nested = isinstance(entry, dict | list)
            first, *rest = [""] + ["  " + line for line in _yaml_lines(entry)] if nested else _yaml_lines(entry)
            lines += [f"{key}: {first}".rstrip(), *rest]
        return lines
    if isinstance(value, list):
        items = [_yaml_lines(entry) for entry in value]
        return [("  " if i else "- ") + line for item in items for i, line in enumerate(item)]
    is_plain = isinstance(value, str) and re.fullmatch(r"[A-Za-z][A-Za-z0-9 _./-]*[A-Za-z0-9]", value)
    if is_plain and value.lower() not in _WORDS_OF_YAML:
        return [value]
    text = json.dumps(printable(value) if isinstance(value, str) else value, ensure_ascii=False)
    if isinstance(value, float):
        text = re.sub(r"^(-?\d+)e", r"\1.0e", text)  # YAML 1.1 takes 1e-05 for a string
    return [text]


def _header(name: str, metadata: CheckpointMetadata) -> dict[str, Any]:
    is_ram = policy_name(metadata.policy_config).endswith("ram")
    data_set = _HUB_DATA_SETS.get(_images(metadata))
    tags = [*_TAGS, *["recurrent-attention-model"] * is_ram, metadata.env_id.rpartition("/")[2]]
    header: dict[str, Any] = {"library_name": "glimpse_gym", "tags": tags}
    header["pipeline_tag"] = "reinforcement-learning" if is_ram or not _has_label(metadata) else "image-classification"
    if data_set:
        header["datasets"] = [data_set]
    if scores := _best_split(metadata):
        header["metrics"] = ["accuracy" if _has_label(metadata) else "success_rate"]
        header["model-index"] = [{"name": name, "results": [_result(scores, data_set, metadata)]}]
    return header


def _result(scores: Sequence[dict[str, Any]], data_set: str | None, metadata: CheckpointMetadata) -> dict[str, Any]:
    """Build the entry of the model index for the last error at the agent's own locations."""
    errors = mean_errors(scores, scores[0]["split"], "learned", sample=False)
    task = {"type": "reinforcement-learning", "name": "sequential visual attention"}
    metric = {"type": "success_rate", "name": "success rate"}
    if _has_label(metadata):
        task = {"type": "image-classification", "name": "image classification from glimpses"}
        glimpses = f" after {len(errors)} glimpses" if len(errors) > 1 else ""
        metric = {"type": "accuracy", "name": f"accuracy{glimpses}"}
    dataset = {"type": data_set or metadata.env_id, "name": metadata.env_id, "split": scores[0]["split"]}
    return {"task": task, "dataset": dataset, "metrics": [metric | {"value": round(1 - float(errors[-1]), 6)}]}


def _has_label(metadata: CheckpointMetadata) -> bool:
    """Return whether an episode ends with a label; the discrete form has another name for it."""
    return metadata.task_spec.choice_is_final


def _images(metadata: CheckpointMetadata) -> str:
    """Return the name of the data set of the env, empty if it has others or none."""
    registered = gym.spec(metadata.env_id).kwargs if metadata.env_id in gym.registry else {}
    images = (registered | metadata.env_kwargs).get("images")
    return images if isinstance(images, str) and images in DATA_SETS else ""


def _best_split(metadata: CheckpointMetadata) -> list[dict[str, Any]]:
    """Select the scores on the test split, else on the validation split, at the agent's and at other locations."""
    for split in ("test", "validation"):
        found = [score for score in metadata.scores if score["split"] == split]
        if any(score["locations"] == "learned" and not score["sample"] for score in found):
            return found
    return []


def _description(policy: Policy, metadata: CheckpointMetadata) -> str:
    spec, kind = metadata.task_spec, policy_name(metadata.policy_config)
    depth, rows, columns = spec.glimpse_shape
    does = (
        "names the class of an image" if _has_label(metadata) else f"chooses a {printable(spec.choice_name)} per step"
    )
    scales = "1 scale" if spec.num_scales == 1 else f"{spec.num_scales} scales"
    sees = f"It sees only glimpses of {depth} × {rows} × {columns} numbers, from {scales}"
    if kind == "classifier":
        sees = f"It sees the whole image, {depth} × {rows} × {columns} numbers, for comparison"
    number = sum(weight.numel() for weight in policy.parameters())
    size = f"It has {number:,} weights." if number else "It has no weights."
    return (
        f"{_KINDS[kind]} that {does} in the Gymnasium environment {_code(metadata.env_id)}. {sees}. {size} Based on "
        "[Recurrent Models of Visual Attention](https://arxiv.org/abs/1406.6247) (Mnih et al., 2014)."
    )


def _usage(source: str, metadata: CheckpointMetadata) -> str:
    """Write code that plays 64 episodes, and commands."""
    arguments = [f'"glimpse_gym:{printable(metadata.env_id)}"', "num_envs=64"]
    if metadata.env_id in gym.registry and has_splits(metadata.env_id):
        arguments.append('split="test"')
    for key, value in metadata.env_kwargs.items():
        shown = "YOUR_" + key.upper() if _is_path(key, value) else printable(repr(value))
        arguments.append(f"{printable(key)}={shown}")
    lines = [
        *("import gymnasium as gym", "import glimpse_gym.agents", ""),
        f'agent = glimpse_gym.agents.load("{source}")',
        f"envs = gym.make_vec({', '.join(arguments)})",
        *("agent.check_env(envs)", "observation, info = envs.reset(seed=0)", "state = agent.initial_state(64)"),
        'for _ in range(envs.metadata["num_glimpses"]):',
        "    action, state = agent.act(observation, state)",
        "    observation, reward, terminated, truncated, info = envs.step(action)",
    ]
    if not metadata.task_spec.num_cells:  # otherwise episodes end at different steps
        lines.append('print(info["success"].mean())')
    remark = " `FOLDER` is the folder of these files." if source == "FOLDER" else ""
    commands, needs = [f"glimpse-gym watch {source}", f"glimpse-gym eval {source} --split test"], ""
    if any(_is_path(key, value) for key, value in metadata.env_kwargs.items()):
        commands = [f"{command} --trust" for command in commands]
        needs = "The commands need the images at the path in `agent.json`, which `--trust` lets them open:"
    parts = [f"`pip install 'glimpse_gym[agents]'`.{remark}", _block("python", lines), needs, _block("sh", commands)]
    return "\n\n".join(filter(None, parts))


def _block(language: str, lines: Sequence[str]) -> str:
    return "\n".join([f"```{language}", *lines, "```"])


def _is_path(key: str, value: Any) -> bool:
    """Return whether a keyword argument of an env is the path of images or labels."""
    return key in ("images", "labels") and isinstance(value, str) and value not in DATA_SETS


def _errors(scores: Sequence[dict[str, Any]], metadata: CheckpointMetadata) -> str:
    """Write a table of the errors at the agent's own and at other locations, and how they were measured."""
    curves = {text: mean_errors(scores, scores[0]["split"], *key) for key, text in _CONDITIONS.items()}
    length = max(map(len, curves.values()))
    rows = [
        [text, *(f"{100 * error:.2f}" for error in curve)] for text, curve in curves.items() if len(curve) == length
    ]
    header = ["", *map(str, range(1, length + 1))] if length > 1 else ["", "failures, %"]
    own = [score for score in scores if score["locations"] == "learned" and not score["sample"]]
    what = "Errors in % after each glimpse" if length > 1 else "Failures in %"
    draws = f" The first row is the mean over {len(own)} evaluations with different seeds." if len(own) > 1 else ""
    of = "images" if _has_label(metadata) else "episodes"
    about = f"{what}, on {own[0]['num_episodes']:,} {own[0]['split']} {of}.{draws}"
    return f"{about}\n\n{markdown_table(header, rows)}"


def _training(metadata: CheckpointMetadata) -> str:
    command = _without_paths(metadata.command)
    lines = [f"Trained by {_code(command)}." if command else "The command was not recorded."]
    settings = [
        [_code(key), _code(metadata.training[key])] for key in _SETTINGS if metadata.training.get(key, {}) != {}
    ]
    if settings:
        lines.append(markdown_table(["setting", "value"], settings))
    versions = ", ".join(f"{key} {value}" for key, value in metadata.versions.items())
    lines.append(f"Versions: {_code(versions)}. `agent.json` has all settings and scores.")
    return "\n\n".join(lines)


def _without_paths(command: str) -> str:
    """Leave out the folders of a command, and the paths of images and labels; empty if it is not a command."""
    try:
        words = shlex.split(command)
    except ValueError:
        return ""
    for option in ("--out", "--runs", "--results"):
        if option in words:
            del words[(index := words.index(option)) : index + 2]
        words = [word for word in words if not word.startswith(f"{option}=")]
    return shlex.join(re.sub(r"\b(images|labels)=(.*)", _without_path, word, flags=re.DOTALL) for word in words)


def _without_path(match: re.Match[str]) -> str:
    name, value = match.groups()
    return match[0] if value in DATA_SETS else f"{name}=YOUR_{name.upper()}"


def _code(value: Any) -> str:
    """Format a value from a file as code that cannot end early, in a table or outside."""
    return "`" + printable(str(value)).replace("`", "'").replace("|", "/") + "`"
