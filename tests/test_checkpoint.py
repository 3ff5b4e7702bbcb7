"""Checkpoints: saved and loaded, damaged, foreign, and of earlier formats."""

import json

import gymnasium as gym
import numpy as np
import pytest
import safetensors.torch
import torch

import glimpse_gym.agents
from glimpse_gym.agents.base import TaskSpec
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
)
from glimpse_gym.agents.configs import RAMConfig
from glimpse_gym.agents.pretrained import agent_folder
from glimpse_gym.agents.ram import RAM
from runs import IMAGES, SMALL_RAM, assert_same_weights, make_envs, make_reinforce, noise_file, run_updates

TASK_SPEC = TaskSpec((1, 4, 4), 1, "label", 3, choice_is_final=True)
CONFIG = RAMConfig(**SMALL_RAM, core="lstm", sigma=0.2)


@pytest.fixture
def metadata(tmp_path):
    return CheckpointMetadata(IMAGES, noise_file(tmp_path), CONFIG, TASK_SPEC, {"seed": 3}, "a command")


@pytest.fixture
def folder(tmp_path, metadata):
    save_agent(tmp_path / "agent", RAM(TASK_SPEC, CONFIG), metadata)
    return tmp_path / "agent"


def change_entries(folder, **changes):
    path = folder / "agent.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


# ------------------------------------------------------------------------------------------ save and load


def test_loaded_agent_equals_the_saved_one(tmp_path, metadata):
    policy = RAM(TASK_SPEC, CONFIG)
    save_agent(tmp_path / "new" / "agent", policy, metadata)
    loaded, loaded_metadata = load_agent(tmp_path / "new" / "agent")
    assert loaded_metadata == metadata
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
    entries = json.loads((folder / "agent.json").read_text())
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
    ]
    assert entries["format"] == "glimpse_gym agent, format 3"
    assert entries["policy"] == "ram"
    assert entries["task_spec"]["choice_is_final"] is True
    assert entries["versions"] == agent_versions()
    assert agent_versions().keys() == {"python", "glimpse_gym", "gymnasium", "numpy", "torch"}


def test_add_scores_replaces_those_under_the_same_conditions(folder):
    conditions = {"split": "test", "locations": "learned", "sample": False, "seed": 0, "num_episodes": 10}
    for changes in ({"errors": [0.5]}, {"seed": 1, "errors": [0.4]}, {"errors": [0.3]}):
        add_scores(folder, load_metadata(folder), [conditions | changes])
    scores = load_metadata(folder).scores
    assert [(score["seed"], score["errors"]) for score in scores] == [(1, [0.4]), (0, [0.3])]


def test_holds_agent_and_temporary_files(folder, tmp_path):
    assert holds_agent(folder)
    assert not holds_agent(tmp_path / "nothing")
    leftovers = [folder / ".agent-01234567.json", folder / ".weights-01234567.safetensors"]
    for path in leftovers:
        path.write_bytes(b"half")
    remove_temporary_agent_files(folder)
    assert not any(path.exists() for path in leftovers)
    load_agent(folder)


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
        load_agent(folder)


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
    with pytest.raises(CheckpointError, match="was not written by this package"):
        glimpse_gym.agents.load(folder)


def test_weights_of_another_policy_do_not_fit(tmp_path, folder, metadata):
    other = RAMConfig(**SMALL_RAM | {"hidden_units": 8})
    save_agent(tmp_path / "other", RAM(TASK_SPEC, other), metadata)
    (tmp_path / "other" / "weights.safetensors").rename(folder / "weights.safetensors")
    with pytest.raises(
        CheckpointError, match=r"weights\.safetensors does not fit the policy that agent\.json describes"
    ):
        glimpse_gym.agents.load(folder)


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
    path = folder / "agent.json"
    entries = json.loads(path.read_text())
    del entries[name]
    path.write_text(json.dumps(entries))
    with pytest.raises(CheckpointError, match=rf"agent\.json is incomplete or damaged: KeyError\('{name}'\)"):
        load_metadata(folder)


@pytest.mark.parametrize(("number", "version"), [(1, "0.1.0"), (2, "0.2.0")])
def test_old_formats_name_the_version_to_use(folder, number, version):
    change_entries(folder, format=f"glimpse_gym agent, format {number}")
    with pytest.raises(
        CheckpointError, match=rf"old format \('glimpse_gym agent, format {number}'\): use .* {version}"
    ):
        glimpse_gym.agents.load(folder)


def test_a_full_disk_is_an_os_error_and_leaves_no_temporary_file(tmp_path, metadata, monkeypatch):
    def full(*args, **kwargs):
        raise safetensors.SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(safetensors.torch, "save_file", full)
    with pytest.raises(OSError, match=r"weights\.safetensors cannot be written: .*No space left on device"):
        save_agent(tmp_path / "agent", RAM(TASK_SPEC, CONFIG), metadata)
    assert not list((tmp_path / "agent").iterdir())


def test_loading_runs_no_code_from_a_pickle(folder, tmp_path):
    class Evil:
        def __reduce__(self):
            return (tmp_path.joinpath("ran").touch, ())

    torch.save({"weight": Evil()}, folder / "weights.safetensors")
    with pytest.raises(CheckpointError, match=r"weights\.safetensors cannot be read"):
        glimpse_gym.agents.load(folder)
    assert not (tmp_path / "ran").exists()


def test_check_env_of_a_loaded_agent(folder, tmp_path):
    policy = glimpse_gym.agents.load(folder)
    policy.check_env(make_envs(num_envs=2, **noise_file(tmp_path)))
    with pytest.raises(ValueError, match="the agent was made for"):
        policy.check_env(gym.make_vec("glimpse_gym/Catch-v0", num_envs=2))
