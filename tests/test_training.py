"""A training run: its folder, its resumption, and what it refuses."""

import csv
import json
import signal
import threading
from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import glimpse_gym.agents
from glimpse_gym.agents import checkpoint
from glimpse_gym.agents.checkpoint import CheckpointError, load_agent, load_tensors, save_tensors
from glimpse_gym.agents.evaluation import Conditions, evaluate
from glimpse_gym.agents.learner import ImageTrainConfig
from glimpse_gym.agents.ram import RAMConfig
from glimpse_gym.agents.trainer import Run
from runs import assert_same_weights, stop_after

ENV = "glimpse_gym/Images-v0"
SMALL = RAMConfig(glimpse_units=8, glimpse_features=16, hidden_units=32)  # the core's is a weight between layers
CONFIG = ImageTrainConfig(num_episodes=400, batch_size=20, num_evaluations=4, validation_episodes=20, warmup_updates=2)


@pytest.fixture
def env_kwargs(tmp_path):
    """Small images in a file, so that they are named by something that JSON can hold."""
    rng = np.random.default_rng(0)
    path = tmp_path / "images.npz"
    np.savez(path, images=rng.integers(0, 256, (200, 8, 8), dtype=np.uint8), labels=rng.integers(0, 3, 200))
    return {"images": str(path), "patch_size": 4, "num_scales": 1, "num_glimpses": 3}


@pytest.fixture
def make_run(tmp_path, env_kwargs):
    def make(name="run", config=CONFIG, resume=False, **changes):
        return Run(tmp_path / name, ENV, env_kwargs | changes, config, SMALL, resume=resume)

    return make


def weights_of(run):
    return load_tensors(run.folder / "weights.safetensors")[0]


def test_a_run_leaves_agent_log_curve_and_events(make_run):
    run = make_run()
    assert run.train(progress=False)
    names = {path.name for path in run.folder.iterdir()}
    assert names == {"agent.json", "weights.safetensors", "training.safetensors", "log.csv", "curve.png", "tensorboard"}
    rows = list(csv.DictReader((run.folder / "log.csv").read_text().splitlines()))
    assert [int(row["episodes"]) for row in rows] == [100, 200, 300, 400]
    assert all(0 <= float(row["validation_error"]) <= 1 for row in rows)
    with Image.open(run.folder / "curve.png") as picture:
        assert min(picture.size) > 300
    events = EventAccumulator(str(run.folder / "tensorboard")).Reload()
    assert [event.step for event in events.Scalars("validation_error")] == [100, 200, 300, 400]


def test_logged_validation_error_is_that_of_an_evaluation(make_run):
    run = make_run()
    run.train(progress=False)
    agent, card = load_agent(run.folder)
    score = evaluate(agent, card.env_id, card.env_kwargs, Conditions("validation"), num_episodes=20)
    assert run.history[-1]["validation_error"] == score.errors[-1]


@pytest.mark.parametrize("optimizer", ["adam", "muon"])
def test_a_run_stopped_and_resumed_is_bit_equal_to_one_that_was_not(make_run, optimizer):
    config = replace(CONFIG, optimizer=optimizer)
    whole = make_run("whole", config)
    whole.train(progress=False)
    run = make_run("stopped", config)
    stop_after(run, 7)
    assert not run.train(progress=False)
    assert run.learner.num_updates_done == 7
    run = make_run("stopped", config, resume=True)
    assert run.learner.num_updates_done == 7
    assert run.train(progress=False)
    assert_same_weights(weights_of(run), weights_of(whole))
    for name in ("validation_error", "training_error", "total_loss"):
        assert [record[name] for record in run.history] == [record[name] for record in whole.history]


def test_a_run_killed_between_two_saves_goes_on_from_the_first(make_run):
    whole = make_run("whole")
    whole.train(progress=False)
    run = make_run("killed")
    for _ in range(5):
        run.learner.update()
    run.save()
    for _ in range(4):  # in vain: the kill comes before they are saved
        run.learner.update()
    # The kill comes in the middle of the next save, after the agent was written and before the state was.
    checkpoint.save_agent(run.folder, run.agent, run.card)
    (run.folder / ".training-01234567.safetensors").write_bytes(b"half")
    run = make_run("killed", resume=True)
    assert not list(run.folder.glob(".*"))
    assert run.learner.num_updates_done == 5
    assert run.train(progress=False)
    assert_same_weights(weights_of(run), weights_of(whole))


def test_a_run_that_is_done_stays_as_it_is(make_run):
    run = make_run()
    run.train(progress=False)
    before = weights_of(run)
    again = make_run(resume=True)
    assert again.learner.done
    assert again.train(progress=False)
    assert_same_weights(weights_of(again), before)


def test_signal_handlers_are_given_back(make_run):
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    run = make_run()
    stop_after(run, 2)
    run.train(progress=False)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_training_works_in_a_thread_where_no_signal_can_be_handled(make_run):
    run = make_run()
    thread = threading.Thread(target=run.train, kwargs={"progress": False})
    thread.start()
    thread.join()
    assert run.learner.done


def test_number_of_threads_is_given_back(make_run):
    before = torch.get_num_threads()
    make_run(config=ImageTrainConfig(num_episodes=20, batch_size=20, threads=before + 1)).train(progress=False)
    assert torch.get_num_threads() == before


def halved():
    """The smallest normal number, halved."""
    return float(torch.tensor(torch.finfo(torch.float32).tiny) * 0.5)


def test_what_is_remembered_of_a_dead_unit_becomes_0_not_denormal(make_run):
    learner = make_run().learner
    learner.update()
    bias = learner.agent.glimpse_network.where.bias
    (adam,) = (o for o in learner.optimizers if bias in o.state)
    adam.state[bias]["exp_avg"].fill_(2 * torch.finfo(torch.float32).tiny)
    bias.register_hook(torch.zeros_like)
    for _ in range(20):
        learner.update()
    assert not adam.state[bias]["exp_avg"].any()
    assert halved() > 0.0  # elsewhere they are numbers like others


def test_who_wants_denormals_flushed_keeps_it_so(make_run):
    torch.set_flush_denormal(True)
    try:
        make_run().learner.update()
        assert halved() == 0.0
    finally:
        torch.set_flush_denormal(False)


def test_a_folder_with_a_run_is_not_overwritten(make_run):
    run = make_run()
    before = {path.name: path.read_bytes() for path in run.folder.iterdir() if path.is_file()}
    with pytest.raises(CheckpointError, match="holds a run already"):
        make_run()
    assert {path.name: path.read_bytes() for path in run.folder.iterdir() if path.is_file()} == before


def test_resuming_something_else_is_refused(make_run, tmp_path):
    make_run()
    with pytest.raises(CheckpointError, match=r"holds a run with .*seed = 0 \(asked: 1\)"):
        make_run(config=ImageTrainConfig(num_episodes=400, batch_size=20, seed=1), resume=True)
    with pytest.raises(CheckpointError, match="env_kwargs"):
        make_run(resume=True, num_glimpses=4)
    (tmp_path / "run" / "training.safetensors").unlink()
    with pytest.raises(CheckpointError, match="not the state to go on from"):
        make_run(resume=True)


@pytest.mark.parametrize("name", ["training.safetensors", "agent.json", "weights.safetensors"])
@pytest.mark.parametrize("damage", ["cut", "flip", "empty"])
def test_damaged_files_are_found(make_run, name, damage):
    run = make_run()
    path = run.folder / name
    raw = bytearray(path.read_bytes())
    if damage == "cut":
        raw = raw[: len(raw) // 2]
    elif damage == "flip":
        raw[len(raw) // 2 if name != "agent.json" else 0] ^= 255
    else:
        raw.clear()
    path.write_bytes(raw)
    with pytest.raises(CheckpointError, match=name):
        make_run(resume=True) if name == "training.safetensors" else load_agent(run.folder)


def test_foreign_checkpoints_are_refused(tmp_path, make_run):
    with pytest.raises(CheckpointError, match="holds no agent"):
        glimpse_gym.agents.load(tmp_path)
    (tmp_path / "agent.json").write_text(json.dumps({"format": "something else"}))
    with pytest.raises(CheckpointError, match="no agent that this version reads"):
        glimpse_gym.agents.load(tmp_path)
    run = make_run()
    safetensors.torch.save_file({"weight": torch.zeros(3)}, run.folder / "weights.safetensors")
    with pytest.raises(CheckpointError, match="was not written by this package"):
        glimpse_gym.agents.load(run.folder)
    save_tensors(run.folder / "weights.safetensors", {"weight": torch.zeros(3)}, {})
    with pytest.raises(CheckpointError, match="does not fit"):
        glimpse_gym.agents.load(run.folder)


def test_a_card_that_lacks_or_adds_something_is_refused(make_run):
    run = make_run()
    entries = json.loads((run.folder / "agent.json").read_text())
    for change in ({"config": {"number": 3}}, {"config": entries["config"] | {"sigma": -1.0}}, {"task": {}}):
        (run.folder / "agent.json").write_text(json.dumps(entries | change))
        with pytest.raises(CheckpointError, match="does not say what an agent needs"):
            glimpse_gym.agents.load(run.folder)


def test_a_full_disk_leaves_the_last_state(make_run, monkeypatch):
    run = make_run()
    run.learner.update()

    def full(*arguments, **keywords):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(safetensors.torch, "save_file", full)
        with pytest.raises(OSError, match="No space left"):
            run.save()
    assert not [path for path in run.folder.iterdir() if path.name.startswith(".")]
    assert make_run(resume=True).learner.num_updates_done == 0


def test_what_safetensors_makes_of_a_full_disk_is_an_os_error(make_run, monkeypatch):
    run = make_run()

    def full(*arguments, **keywords):
        raise safetensors.SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(safetensors.torch, "save_file", full)
    with pytest.raises(OSError, match=r"weights.safetensors cannot be written: .*No space left on device"):
        run.save()


def test_what_json_cannot_hold_is_refused_before_anything_is_written(tmp_path):
    kwargs = {"images": np.zeros((20, 8, 8), np.uint8), "labels": np.zeros(20, int), "patch_size": 4}
    with pytest.raises(ValueError, match=r"save arrays as an \.npz"):
        Run(tmp_path / "run", ENV, kwargs, CONFIG, SMALL)
    assert not (tmp_path / "run").exists()


def test_paths_of_images_are_kept_absolute(tmp_path, env_kwargs, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mnist").mkdir()  # a folder of that name does not stand for the data set
    run = Run("run", ENV, env_kwargs | {"images": "images.npz"}, CONFIG, SMALL)
    assert run.env_kwargs["images"] == str(tmp_path / "images.npz")
    named = Run("named", "glimpse_gym/MNIST-v0", {"images": "mnist"}, CONFIG, SMALL)
    assert named.env_kwargs["images"] == "mnist"


def test_loaded_agent_acts_as_the_trained_one(make_run, env_kwargs):
    run = make_run()
    run.train(progress=False)
    loaded = glimpse_gym.agents.load(run.folder)
    envs = gym.make_vec(ENV, num_envs=5, **env_kwargs)
    observation, _ = envs.reset(seed=0)
    ours, _ = run.agent.act(observation, run.agent.initial_state(5))
    theirs, _ = loaded.act(observation, loaded.initial_state(5))
    np.testing.assert_equal(theirs, ours)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"batch_size": 10, "copies": 3}, "batch_size must be a multiple of copies=3"),
        ({"optimizer": "sgd"}, "optimizer must be one of 'adam', 'muon'"),
        ({"seed": -1}, "seed must be at least 0"),
        ({"learning_rate": -1.0}, "learning_rate must be greater than 0"),
        ({"num_episodes": 1e6}, "num_episodes must be of type int"),
    ],
)
def test_configurations_that_make_no_sense(values, message):
    with pytest.raises(ValueError, match=message):
        ImageTrainConfig(**values)
