"""Checkpoints: saved and loaded, damaged, foreign, and of earlier formats."""

import hashlib
import io
import json
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import safetensors.torch
import torch

import glimpse_gym.agents
from agent_folders import CONFIG, TASK_SPEC, change_entries, make_agent, make_metadata, read_entries, replace_weights
from glimpse_gym import safe_io
from glimpse_gym.agents import checkpoint_files
from glimpse_gym.agents.checkpoint import (
    CheckpointError,
    CheckpointMetadata,
    add_scores,
    agent_versions,
    holds_agent,
    load_agent,
    load_metadata,
    remove_temporary_agent_files,
    save_agent,
    weights_checksum,
)
from glimpse_gym.agents.configs import RAMConfig
from glimpse_gym.agents.pretrained import agent_folder
from glimpse_gym.agents.ram import RAM
from glimpse_gym.safe_io import write_checksummed_json
from hand_made_results import make_score
from kills import limit_file_size, run_forked
from runs import IMAGES, SMALL_RAM, assert_same_weights, make_envs, make_reinforce, noise_file, run_updates


@pytest.fixture
def metadata(tmp_path):
    return make_metadata(tmp_path)


@pytest.fixture
def folder(tmp_path):
    return make_agent(tmp_path)


# ------------------------------------------------------------------------------------------ save and load


def test_loaded_agent_equals_the_saved_one(tmp_path, metadata):
    policy = RAM(TASK_SPEC, CONFIG)
    saved_metadata = save_agent(tmp_path / "new" / "agent", policy, metadata)
    loaded, loaded_metadata = load_agent(tmp_path / "new" / "agent", trusted=True)
    assert loaded_metadata == saved_metadata
    content = (tmp_path / "new" / "agent" / "weights.safetensors").read_bytes()
    assert saved_metadata == replace(metadata, weights_checksum=hashlib.sha256(content).hexdigest())
    assert weights_checksum(policy) == saved_metadata.weights_checksum
    assert (loaded.config, loaded.task_spec) == (CONFIG, TASK_SPEC)
    assert type(loaded.task_spec.glimpse_shape) is tuple
    assert not loaded.training
    assert_same_weights(loaded.state_dict(), policy.state_dict())


def test_loaded_agent_acts_like_the_trained_one(tmp_path):
    kwargs = noise_file(tmp_path)
    policy = run_updates(make_reinforce(kwargs), 5).policy
    save_agent(tmp_path / "agent", policy, CheckpointMetadata(IMAGES, kwargs, policy.config, policy.task_spec))
    loaded = glimpse_gym.agents.load(tmp_path / "agent")
    envs = make_envs(num_envs=5, **kwargs)
    observation, _ = envs.reset(seed=0)
    ours, _ = policy.act(observation, policy.initial_state(5))
    theirs, _ = loaded.act(observation, loaded.initial_state(5))
    np.testing.assert_equal(theirs, ours)


def test_entries_of_agent_json(folder, metadata):
    entries = read_entries(folder)
    assert list(entries) == [
        "format",
        "policy",
        "env_id",
        "env_kwargs",
        "policy_config",
        "task_spec",
        "training",
        "command",
        "versions",
        "scores",
        "weights_checksum",
        "checksum",
    ]
    assert entries["format"] == "glimpse_gym agent, format 4"
    assert entries["policy"] == "ram"
    assert entries["task_spec"]["choice_is_final"] is True
    assert entries["versions"] == agent_versions()
    assert agent_versions().keys() == {"python", "glimpse_gym", "gymnasium", "numpy", "torch"}


def test_add_scores_replaces_those_under_the_same_conditions(folder):
    for score in (make_score("test", [0.5]), make_score("test", [0.4], seed=1), make_score("test", [0.3])):
        add_scores(folder, load_metadata(folder), [score])
    scores = load_metadata(folder).scores
    assert [(score["seed"], score["errors"]) for score in scores] == [(1, [0.4]), (0, [0.3])]


def test_scores_that_could_not_be_loaded_are_not_added(folder):
    with pytest.raises(
        ValueError, match=r"scores\[0\]\.split must be one of 'train', 'validation', 'test'; got \['x'\]"
    ):
        add_scores(folder, load_metadata(folder), [make_score("test", [0.5]) | {"split": ["x"]}])
    assert load_metadata(folder).scores == []


def test_holds_agent_and_temporary_files(folder, tmp_path):
    assert holds_agent(folder)
    assert not holds_agent(tmp_path / "nothing")
    leftovers = [folder / ".agent-01234567.json", folder / "..next-weights-01234567.safetensors"]
    for path in leftovers:
        path.write_bytes(b"half")
    remove_temporary_agent_files(folder)
    assert not any(path.exists() for path in leftovers)
    load_agent(folder, trusted=True)


def test_agent_folder_of_names_and_paths(folder):
    assert agent_folder(folder) == agent_folder(str(folder)) == folder
    with pytest.raises(CheckpointError, match=r"no pretrained agent and no folder is called .*; pretrained agents: "):
        agent_folder("ram-of-another-world")


# ------------------------------------------------------------------------------------------------- damaged


@pytest.mark.parametrize("name", ["agent.json", "weights.safetensors"])
@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "missing"])
def test_damaged_files_are_refused(folder, name, damage):
    path = folder / name
    content = bytearray(path.read_bytes())
    if damage == "cut":
        content = content[: len(content) // 2]
    elif damage == "flip":
        content[len(content) // 2 if name != "agent.json" else 0] ^= 255
    elif damage == "empty":
        content.clear()
    path.write_bytes(content)
    if damage == "missing":
        path.unlink()
    with pytest.raises(CheckpointError, match=name):
        load_agent(folder, trusted=True)


def flipped(content: bytes, positions: Iterable[int]) -> Iterator[bytes]:
    """Flip one bit after the other."""
    changed = bytearray(content)
    for position in positions:
        changed[position // 8] ^= 1 << position % 8
        yield bytes(changed)
        changed[position // 8] ^= 1 << position % 8


def accepts(load: Callable[[Path], Any], folder: Path, name: str) -> bool:
    """Return whether a file is accepted, or refused with an error that names it. Quicker than ``pytest.raises``."""
    try:
        load(folder)
    except CheckpointError as error:
        message = str(error)
    else:
        return True
    assert name in message
    return False


def test_any_flipped_bit_of_the_metadata_is_found(folder, monkeypatch):
    content = (folder / "agent.json").read_bytes()
    for changed in flipped(content, range(8 * len(content))):
        monkeypatch.setattr(safe_io, "read_bytes", lambda path, max_bytes, changed=changed: changed)
        assert not accepts(load_metadata, folder, "agent.json"), changed
    monkeypatch.setattr(safe_io, "read_bytes", lambda path, max_bytes: content)
    assert accepts(load_metadata, folder, "agent.json")


def test_flipped_bits_of_the_weights_are_found(folder, metadata, one_attempt, monkeypatch):
    config = RAMConfig(glimpse_units=1, location_units=1, glimpse_features=1, hidden_units=1)
    save_agent(folder, RAM(TASK_SPEC, config), replace(metadata, policy_config=config))
    rng, content = np.random.default_rng(0), (folder / "weights.safetensors").read_bytes()
    end_of_header = 8 * (8 + int.from_bytes(content[:8], "little"))
    entries = checkpoint_files.read_entries(folder)
    monkeypatch.setattr(checkpoint_files, "read_entries", lambda folder: entries)
    others = rng.integers(end_of_header, 8 * len(content), size=500).tolist()
    for changed in flipped(content, [*range(end_of_header), *others]):
        monkeypatch.setattr(checkpoint_files, "read_bytes", lambda path, max_bytes, changed=changed: changed)
        assert not accepts(glimpse_gym.agents.load, folder, "weights.safetensors")
    monkeypatch.setattr(checkpoint_files, "read_bytes", lambda path, max_bytes: content)
    assert accepts(glimpse_gym.agents.load, folder, "weights.safetensors")


def test_foreign_checkpoints_are_refused(tmp_path, folder):
    with pytest.raises(CheckpointError, match=r"holds no agent: agent\.json is missing"):
        glimpse_gym.agents.load(tmp_path)
    for foreign in ({"format": "something else"}, {}, [], "text"):
        (tmp_path / "agent.json").write_text(json.dumps(foreign))
        with pytest.raises(
            CheckpointError, match="is not a checkpoint of this version: its format must be 'glimpse_gym"
        ):
            glimpse_gym.agents.load(tmp_path)
    safetensors.torch.save_file({"weight": torch.zeros(3)}, folder / "weights.safetensors")
    with pytest.raises(CheckpointError, match=r"damaged, or does not belong to agent\.json beside it"):
        glimpse_gym.agents.load(folder)


def test_weights_of_another_policy_do_not_fit(tmp_path, folder, metadata):
    other = RAMConfig(**SMALL_RAM | {"hidden_units": 8})
    save_agent(folder, RAM(TASK_SPEC, other), metadata)
    with pytest.raises(
        CheckpointError,
        match=r"weights\.safetensors does not fit the policy that agent\.json describes: 'baseline.value.weight' is "
        r"torch\.float32 \(1, 8\), expected torch\.float32 \(1, 16\); \d+ tensors differ",
    ):
        glimpse_gym.agents.load(folder)


@pytest.mark.parametrize("change", ["missing", "additional", "other type"])
def test_weights_with_other_names_or_types_do_not_fit(folder, change):
    weights = safetensors.torch.load_file(folder / "weights.safetensors")
    name = sorted(weights)[-1]
    if change == "missing":
        del weights[name]
    elif change == "additional":
        weights["another\x1b[2J"] = torch.zeros(1)
    else:
        weights[name] = weights[name].to(torch.uint8)  # takes 4 times the memory as float32
    replace_weights(folder, safetensors.torch.save(weights))
    with pytest.raises(CheckpointError, match=r"does not fit the policy .*; 1 tensors differ") as caught:
        glimpse_gym.agents.load(folder)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "changes",
    [
        {"policy_config": {"number": 3}},
        {"policy_config": {"sigma": -1.0}},
        {"policy_config": None},
        {"policy": "transformer"},
        {"task_spec": {}},
        {"task_spec": TASK_SPEC._asdict() | {"num_choices": 0}},
        {"task_spec": TASK_SPEC._asdict() | {"glimpse_shape": [1, 4]}},
        {"task_spec": TASK_SPEC._asdict() | {"choice_is_final": 1}},
        {"task_spec": TASK_SPEC._asdict() | {"choice_name": 1}},
        {"env_kwargs": []},
        {"scores": [{"errors": [0.5]}]},
        {"scores": [{"split": ["x"]}]},
        {"scores": [make_score("test", [0.5]) | {"split": ["x"]}]},
        {"scores": [make_score("test", [0.5]) | {"seed": {}}]},
        {"scores": [make_score("test", [])]},
        {"training": 3},
    ],
    ids=str,
)
def test_metadata_with_wrong_entries_is_refused(folder, changes):
    change_entries(folder, **changes)
    with pytest.raises(CheckpointError, match=r"agent\.json is incomplete or damaged"):
        glimpse_gym.agents.load(folder)


@pytest.mark.parametrize("name", ["env_id", "policy", "task_spec", "training", "versions"])
def test_metadata_without_an_entry_is_refused(folder, name):
    entries = read_entries(folder)
    del entries[name]
    write_checksummed_json(folder / "agent.json", entries)
    with pytest.raises(CheckpointError, match=rf"agent\.json is incomplete or damaged: KeyError\('{name}'\)"):
        load_metadata(folder)


@pytest.mark.parametrize(("number", "version"), [(1, "0.1.0"), (2, "0.2.0"), (3, "0.4.0")])
def test_old_formats_name_the_version_to_use(folder, number, version):
    change_entries(folder, format=f"glimpse_gym agent, format {number}")
    with pytest.raises(
        CheckpointError, match=rf"old format \('glimpse_gym agent, format {number}'\): use .* {version}"
    ):
        glimpse_gym.agents.load(folder)


@pytest.mark.parametrize(
    ("limit", "command_size", "name"), [(0, 0, ".next-weights."), (100_000, 200_000, "agent.json")]
)
def test_full_disk_is_an_os_error_and_keeps_the_old_agent(folder, metadata, limit, command_size, name):
    before = load_metadata(folder)
    other, new = RAM(TASK_SPEC, CONFIG), replace(metadata, command="x" * command_size)
    ending = run_forked(lambda: save_agent(folder, other, new), limit_file_size(limit))
    assert isinstance(ending.error, OSError)
    assert str(folder / name) in str(ending.error)
    assert load_agent(folder, trusted=True)[1] == before
    assert set(os.listdir(folder)) <= {"agent.json", "weights.safetensors", ".next-weights.safetensors"}
    new = save_agent(folder, other, metadata)
    assert load_agent(folder, trusted=True)[1] == new
    assert set(os.listdir(folder)) == {"agent.json", "weights.safetensors"}


def test_loading_runs_no_code_from_a_pickle(folder, tmp_path):
    class Evil:
        def __reduce__(self):
            return (tmp_path.joinpath("ran").touch, ())

    content = io.BytesIO()
    torch.save({"weight": Evil()}, content)
    replace_weights(folder, content.getvalue())
    with pytest.raises(CheckpointError, match=r"weights\.safetensors cannot be read"):
        glimpse_gym.agents.load(folder)
    assert not (tmp_path / "ran").exists()


def test_check_env_of_a_loaded_agent(folder, tmp_path):
    policy = glimpse_gym.agents.load(folder)
    policy.check_env(make_envs(num_envs=2, **noise_file(tmp_path)))
    with pytest.raises(ValueError, match="the agent was made for"):
        policy.check_env(gym.make_vec("glimpse_gym/Catch-v0", num_envs=2))
