"""Checkpoints that another process is saving, or that come from someone else."""

import os

import pytest
import torch

import glimpse_gym.agents
from agent_folders import CONFIG, TASK_SPEC, change_entries, make_agent, make_metadata, read_entries
from glimpse_gym.agents import checkpoint, checkpoint_files
from glimpse_gym.agents.checkpoint import CheckpointError, add_scores, load_agent, load_metadata, save_agent
from glimpse_gym.agents.ram import RAM
from glimpse_gym.folder_lock import LOCK, FolderInUseError, lock_folder
from glimpse_gym.provenance import UntrustedError
from hand_made_results import make_score
from kills import running
from runs import assert_same_weights

SCORE = make_score("test", [0.5])


@pytest.fixture
def metadata(tmp_path):
    return make_metadata(tmp_path)


@pytest.fixture
def folder(tmp_path):
    return make_agent(tmp_path)


def test_agent_is_whole_at_every_step_of_a_save(folder, metadata, monkeypatch):
    old, new = load_agent(folder, trusted=True)[0], RAM(TASK_SPEC, CONFIG)
    really_replace, found = os.replace, []

    def look():
        policy = load_agent(folder, trusted=True)[0]
        found.append(
            torch.equal(policy.state_dict()["baseline.value.weight"], new.state_dict()["baseline.value.weight"])
        )
        expected = new if found[-1] else old
        assert_same_weights(policy.state_dict(), expected.state_dict())

    def look_and_replace(source, target):
        look()
        really_replace(source, target)
        look()

    monkeypatch.setattr(os, "replace", look_and_replace)
    save_agent(folder, new, metadata)
    assert found == [False, False, False, True, True, True]  # new weights, agent.json, weights in place


def cut_off_before(monkeypatch, name):
    """Let the rename to a name fail, as if the process were killed just before it."""
    really_replace = os.replace

    def replace_or_die(source, target):
        if os.path.basename(target) == name:
            raise KeyboardInterrupt
        really_replace(source, target)

    monkeypatch.setattr(os, "replace", replace_or_die)


@pytest.mark.parametrize("second", ["weights.safetensors", ".next-weights.safetensors", "agent.json"])
def test_agent_is_whole_after_two_saves_that_were_cut_off(folder, metadata, monkeypatch, second):
    """The first save lacks only the rename of its weights; the second does not reach the rename of its agent.json."""
    first, last = RAM(TASK_SPEC, CONFIG), RAM(TASK_SPEC, CONFIG)
    for policy, name in ((first, "weights.safetensors"), (last, second)):
        with monkeypatch.context() as patch:
            cut_off_before(patch, name)
            with pytest.raises(KeyboardInterrupt):
                save_agent(folder, policy, metadata)
        assert_same_weights(load_agent(folder, trusted=True)[0].state_dict(), first.state_dict())
    save_agent(folder, last, metadata)
    assert_same_weights(load_agent(folder, trusted=True)[0].state_dict(), last.state_dict())
    assert set(os.listdir(folder)) == {"agent.json", "weights.safetensors"}


def test_weights_that_are_replaced_while_they_are_read_are_read_again(folder, metadata, monkeypatch):
    new = RAM(TASK_SPEC, CONFIG)
    really_read, calls = checkpoint_files.read_entries, []

    def read_and_replace(folder):
        found = really_read(folder)
        calls.append(found["weights_checksum"])
        if len(calls) == 1:
            save_agent(folder, new, metadata)
        return found

    monkeypatch.setattr(checkpoint_files, "read_entries", read_and_replace)
    policy, _ = load_agent(folder, trusted=True)
    assert_same_weights(policy.state_dict(), new.state_dict())
    assert len(set(calls)) == len(calls) == 2


def test_scores_of_an_agent_whose_training_went_on_are_refused(folder, metadata):
    evaluated = load_metadata(folder)
    save_agent(folder, RAM(TASK_SPEC, CONFIG), metadata)
    with pytest.raises(CheckpointError, match="holds another agent than the one evaluated: its training has gone on"):
        add_scores(folder, evaluated, [SCORE])
    assert load_metadata(folder).scores == []


def test_scores_are_refused_while_the_agent_is_in_training(folder):
    def train(wait):
        with lock_folder(folder):
            wait()

    with running(train) as process, pytest.raises(FolderInUseError, match=f"is in use by process {process}"):
        add_scores(folder, load_metadata(folder), [SCORE])
    add_scores(folder, load_metadata(folder), [SCORE])
    assert load_metadata(folder).scores == [SCORE]
    assert set(os.listdir(folder)) == {"agent.json", "weights.safetensors", LOCK}


@pytest.mark.parametrize("name", ["agent.json", "weights.safetensors"])
@pytest.mark.parametrize("kind", ["folder", "FIFO", "endless"])
def test_what_is_not_a_file_is_refused(folder, one_attempt, name, kind):
    (folder / name).unlink()
    if kind == "folder":
        (folder / name).mkdir()
    elif kind == "FIFO":
        os.mkfifo(folder / name)
    else:
        (folder / name).symlink_to("/dev/zero")
    with pytest.raises(CheckpointError, match=rf"{name} cannot be read \(.* is (not a regular file|a folder)"):
        glimpse_gym.agents.load(folder)


@pytest.mark.parametrize("content", ["[" * 200_000, " " * 20_000_000, '{"format": []}'], ids=["nested", "huge", "list"])
def test_metadata_that_is_hostile_json_is_refused(folder, content):
    (folder / "agent.json").write_text(content)
    with pytest.raises(
        CheckpointError, match=r"agent\.json (cannot be read .*(nested too|larger)|is not a checkpoint)"
    ):
        glimpse_gym.agents.load(folder)


@pytest.mark.parametrize(
    "changes",
    [
        {"num_choices": 2**62},
        {"num_scales": 2**62},
        {"num_cells": 2**62},
        {"num_glimpses": 2**62},
        {"glimpse_shape": [2**62, 4, 4]},
        {"glimpse_shape": [1, 10**400, 4]},
        {"num_choices": 3.0},
        {"glimpse_shape": [1, 4, True]},
        {"num_choices": -1},
        {"another": 1},
    ],
    ids=lambda changes: str(changes)[:40],
)
def test_task_specification_with_huge_or_wrong_numbers_is_refused(folder, changes):
    change_entries(folder, task_spec=TASK_SPEC._asdict() | changes)
    with pytest.raises(CheckpointError, match=r"agent\.json is incomplete or damaged"):
        glimpse_gym.agents.load(folder)


@pytest.mark.parametrize(
    ("policy_config", "task_spec"),
    [
        ({"hidden_units": 20_000}, {}),
        ({"hidden_units": 10**12}, {}),
        ({"hidden_units": 10**30}, {}),
        ({"glimpse_units": 2**40, "core": "relu"}, {}),
        ({}, {"glimpse_shape": [2**20] * 3}),
        ({}, {"num_choices": 2**20}),
        ({}, {"glimpse_shape": [2**10, 4, 4], "num_scales": 2**20}),
        ({"sigma": 10**400}, {}),
        ({"scale_gain": 1e300}, {"glimpse_shape": [3, 2, 2], "num_scales": 3}),
    ],
    ids=lambda values: str(values)[:60],
)
def test_sizes_that_the_weights_do_not_have_take_no_memory(folder, monkeypatch, policy_config, task_spec):
    really_make = checkpoint.make_policy

    def make_without_memory(*arguments):
        assert torch.empty(0).device.type == "meta", "the policy is made in memory"
        return really_make(*arguments)

    monkeypatch.setattr(checkpoint, "make_policy", make_without_memory)
    entries = read_entries(folder)
    change_entries(
        folder,
        policy_config=entries["policy_config"] | policy_config,
        task_spec=entries["task_spec"] | task_spec,
    )
    with pytest.raises(CheckpointError, match=r"agent\.json") as caught:
        glimpse_gym.agents.load(folder)
    assert len(str(caught.value)) < 1_000


@pytest.mark.parametrize("name", ["discrete-ram", "classifier", "scripted"])
def test_other_policies_of_any_size_take_no_memory(folder, monkeypatch, name):
    really_make, devices = checkpoint.make_policy, []

    def make_noting_the_device(*arguments):
        devices.append(torch.empty(0).device.type)
        return really_make(*arguments)

    monkeypatch.setattr(checkpoint, "make_policy", make_noting_the_device)
    spec = {"glimpse_shape": [2**20] * 3, "num_choices": 2**20, "num_cells": 2**20, "num_scales": 2**20}
    change_entries(folder, policy=name, policy_config={}, task_spec=TASK_SPEC._asdict() | spec)
    with pytest.raises(CheckpointError, match=r"agent\.json"):
        glimpse_gym.agents.load(folder)
    assert devices == ["meta"]


def test_limit_on_memory_is_four_times_the_weights(folder):
    size = (folder / "weights.safetensors").stat().st_size
    load_agent(folder, trusted=True, max_bytes=4 * size)
    glimpse_gym.agents.load(folder, max_bytes=4 * size)
    with pytest.raises(
        CheckpointError,
        match=r"weights\.safetensors is larger than the limit of .* bytes: give a larger max_bytes, of 4",
    ):
        load_agent(folder, trusted=True, max_bytes=4 * size - 1)


@pytest.mark.parametrize(
    ("env_kwargs", "request_text"),
    [
        ({"images": "/data/photos"}, r"open the file or folder '/data/photos' \(images\)"),
        ({"images": "mnist"}, r"download the data set mnist"),
        ({"images": [[[0]]], "labels": "labels.npy"}, r"open the file or folder 'labels\.npy' \(labels\)"),
        ({"images": [[[0]]], "max_bytes": 10**12}, r"take up to 1,000,000,000,000 bytes of memory"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_an_agent_asks_for_needs_permission(folder, tmp_path, monkeypatch, env_kwargs, request_text):
    monkeypatch.setenv("GLIMPSE_GYM_DATA", str(tmp_path / "empty"))
    change_entries(folder, env_kwargs=env_kwargs)
    with pytest.raises(UntrustedError, match=rf"the agent in .*agent asks to {request_text}.*: permit it \(--trust"):
        load_agent(folder)
    assert load_agent(folder, trusted=True)[1].env_kwargs == env_kwargs
    glimpse_gym.agents.load(folder)  # the env is not made
    assert not (tmp_path / "empty").exists()


def test_agent_that_asks_for_nothing_needs_no_permission(folder):
    change_entries(folder, env_id="glimpse_gym/Catch-v0", env_kwargs={})
    load_agent(folder)
