"""Training runs: files, resuming after a stop or a kill, refused folders."""

import csv
import os
import signal
import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from glimpse_gym.agents.checkpoint import CheckpointError, add_scores, load_agent, load_metadata
from glimpse_gym.agents.configs import ClassifierConfig, PPOConfig, RAMConfig, ReinforceConfig, SupervisedConfig
from glimpse_gym.agents.evaluation import EvalConditions, evaluate
from glimpse_gym.agents.registry import default_configs
from glimpse_gym.agents.run_state import save_state
from glimpse_gym.agents.trainer import DivergenceError, Trainer
from glimpse_gym.folder_lock import LOCK
from hand_made_results import make_score
from kills import run_forked
from runs import CATCH, IMAGES, assert_same_weights, copy_state, noise_file, run_updates, stop_after, stripes_file

POLICY = RAMConfig(glimpse_units=8, glimpse_features=16, hidden_units=32)  # Muon optimizes the core's matrix
CONFIG = ReinforceConfig(num_episodes=400, batch_size=20, num_evaluations=4, validation_episodes=20, warmup_updates=2)
PPO_CONFIG = PPOConfig(
    num_episodes=240, batch_size=24, minibatch_size=8, learning_rate=0.01, num_evaluations=3, validation_episodes=100
)
CATCH_KWARGS = {"num_glimpses": 3, "patch_size": 3, "num_scales": 2}


@pytest.fixture
def env_kwargs(tmp_path):
    return noise_file(tmp_path)


@pytest.fixture
def make_trainer(tmp_path, env_kwargs):
    def make(name="run", config=CONFIG, resume=False, policy_config=POLICY, augmentation=None, **changes):
        kwargs = env_kwargs | changes
        return Trainer(tmp_path / name, IMAGES, kwargs, config, policy_config, resume, augmentation)

    return make


@pytest.fixture
def no_curve(monkeypatch):
    """Without the plot, which takes longer than a tiny training."""
    monkeypatch.setattr(Trainer, "_save_curve", lambda trainer: None)


def assert_same_run(a, b):
    assert_same_weights(a.policy.state_dict(), b.policy.state_dict())
    assert len(a.history) == len(b.history) > 0
    for mine, other in zip(a.history, b.history, strict=True):
        assert mine | {"seconds": 0} == other | {"seconds": 0}


# --------------------------------------------------------------------------------------------------- files


def test_run_writes_agent_log_curve_and_events(make_trainer):
    trainer = make_trainer()
    assert trainer.train(progress=False)
    names = {path.name for path in trainer.folder.iterdir()}
    assert names == {LOCK, "agent.json", "weights.safetensors", "training.pt", "log.csv", "curve.png", "tensorboard"}
    rows = list(csv.DictReader((trainer.folder / "log.csv").read_text().splitlines()))
    assert [int(row["episodes"]) for row in rows] == [100, 200, 300, 400]
    assert all(0 <= float(row["validation_error"]) <= 1 for row in rows)
    with Image.open(trainer.folder / "curve.png") as picture:
        assert min(picture.size) > 300
    events = EventAccumulator(str(trainer.folder / "tensorboard")).Reload()
    assert [event.step for event in events.Scalars("validation_error")] == [100, 200, 300, 400]


def test_logged_validation_error_equals_that_of_evaluate(make_trainer):
    trainer = make_trainer()
    trainer.train(progress=False)
    policy, metadata = load_agent(trainer.folder, trusted=True)
    conditions = EvalConditions("validation")
    score = evaluate(policy, metadata.env_id, metadata.env_kwargs, conditions, num_episodes=20)
    assert trainer.history[-1]["validation_error"] == score.errors[-1]
    assert f"validation error {score.errors[-1]:.2%} after 400 episodes" in trainer.summary()


def test_metadata_of_a_run(make_trainer, env_kwargs):
    augmentation = {"shift": [-1, 1]}
    metadata = load_metadata(make_trainer(augmentation=augmentation).folder)
    assert (metadata.env_id, metadata.env_kwargs, metadata.policy_config) == (IMAGES, env_kwargs, POLICY)
    assert metadata.training["algorithm"] == "reinforce"
    assert metadata.training["augmentation"] == augmentation
    assert metadata.training["num_episodes"] == 400


def test_augmentation_applies_to_training_only(make_trainer, no_curve):
    plain, augmented = make_trainer("plain"), make_trainer("augmented", augmentation={"rotation": 90.0})
    assert_same_weights(plain.policy.state_dict(), augmented.policy.state_dict())
    images = [trainer.learner.envs.reset(seed=0)[0]["glimpse"] for trainer in (plain, augmented)]
    assert not np.array_equal(*images)
    augmented.train(progress=False)
    score = evaluate(augmented.policy, IMAGES, plain.env_kwargs, EvalConditions("validation"), num_episodes=20)
    assert augmented.history[-1]["validation_error"] == score.errors[-1]


def test_default_configs_of_the_env_are_used(tmp_path, env_kwargs):
    trainer = Trainer(tmp_path / "run", IMAGES, env_kwargs)
    assert (trainer.config, trainer.policy.config) == default_configs(IMAGES)
    catch = Trainer(tmp_path / "catch", CATCH)
    assert (catch.config, catch.policy.config) == default_configs(CATCH)


# ---------------------------------------------------------------------------------------- stop, kill, resume


@pytest.mark.parametrize(
    "changes",
    [*({"optimizer": name} for name in ("adam", "muon", "sgd")), {"candidates_per_episode": 2, "selection_start": 0.3}],
    ids=str,
)
def test_resume_after_ctrl_c_is_bit_equal_for_reinforce(make_trainer, no_curve, changes):
    config = replace(CONFIG, **changes)
    whole = make_trainer("whole", config)
    whole.train(progress=False)
    stopped = make_trainer("stopped", config)
    stop_after(stopped, 7)
    assert not stopped.train(progress=False)
    assert stopped.learner.num_updates_done == 7
    resumed = make_trainer("stopped", config, resume=True)
    assert resumed.learner.num_updates_done == 7
    assert resumed.train(progress=False)
    assert_same_run(resumed, whole)
    weights = [load_agent(each.folder, trusted=True)[0].state_dict() for each in (resumed, whole)]
    assert_same_weights(*weights)


@pytest.mark.parametrize("changes", [{}, {"core": "gru"}, {"location_policy": "random"}], ids=str)
def test_resume_after_ctrl_c_is_bit_equal_for_ppo(tmp_path, no_curve, changes):
    policy = replace(POLICY, **{"core": "lstm"} | changes)

    def make(name, resume=False):
        return Trainer(tmp_path / name, CATCH, CATCH_KWARGS, PPO_CONFIG, policy, resume)

    whole = make("whole")
    assert whole.train(progress=False)
    assert [record["episodes"] for record in whole.history] == [96, 168, 240]
    stopped = make("stopped")
    stop_after(stopped, 6)
    assert not stopped.train(progress=False)
    resumed = make("stopped", resume=True)
    assert resumed.learner.num_updates_done == 6
    assert resumed.train(progress=False)
    assert_same_run(resumed, whole)


def make_supervised(tmp_path, name, resume=False):
    config = SupervisedConfig(
        num_episodes=120, batch_size=20, num_evaluations=2, validation_episodes=40, warmup_updates=0
    )
    return Trainer(tmp_path / name, IMAGES, stripes_file(tmp_path), config, ClassifierConfig("cnn", units=8), resume)


def test_resume_after_ctrl_c_is_bit_equal_for_supervised(tmp_path, no_curve):
    whole = make_supervised(tmp_path, "whole")
    assert whole.train(progress=False)
    stopped = make_supervised(tmp_path, "stopped")
    stop_after(stopped, 4)
    assert not stopped.train(progress=False)
    resumed = make_supervised(tmp_path, "stopped", resume=True)
    assert resumed.learner.num_updates_done == 4
    assert resumed.train(progress=False)
    assert_same_run(resumed, whole)


def test_resume_after_a_kill_continues_from_the_last_complete_save(make_trainer, no_curve):
    whole = make_trainer("whole")
    whole.train(progress=False)
    killed = run_updates_of(make_trainer("killed"), 5)
    killed.save()
    run_updates_of(killed, 4)  # lost
    for name in (".training-01234567.pt", ".log-01234567.csv", ".agent-01234567.json"):
        (killed.folder / name).write_bytes(b"half")
    resumed = make_trainer("killed", resume=True)
    assert [path.name for path in resumed.folder.glob(".*")] == [LOCK]
    assert resumed.learner.num_updates_done == 5
    assert resumed.train(progress=False)
    assert_same_weights(resumed.policy.state_dict(), whole.policy.state_dict())


def run_updates_of(trainer, number):
    run_updates(trainer.learner, number)
    return trainer


SAVE_ALWAYS = replace(CONFIG, save_interval=0.0)


def test_resume_after_sigkill_is_bit_equal(make_trainer, no_curve):
    whole = make_trainer("whole", SAVE_ALWAYS)
    whole.train(progress=False)

    def train():
        trainer = make_trainer("killed", SAVE_ALWAYS)
        update = trainer.learner.update

        def kill_at_update_8():
            if trainer.learner.num_updates_done == 7:
                os.kill(os.getpid(), signal.SIGKILL)
            return update()

        trainer.learner.update = kill_at_update_8
        trainer.train(progress=False)

    assert run_forked(train).was_killed
    resumed = make_trainer("killed", SAVE_ALWAYS, resume=True)
    assert resumed.learner.num_updates_done == 7
    assert resumed.train(progress=False)
    assert_same_run(resumed, whole)


def test_finished_run_does_not_change_and_keeps_its_scores(make_trainer, no_curve):
    trainer = make_trainer()
    trainer.train(progress=False)
    before = copy_state(trainer.policy)
    score = evaluate(trainer.policy, IMAGES, trainer.env_kwargs, EvalConditions("test"))
    add_scores(trainer.folder, trainer.metadata, [score._asdict()])
    again = make_trainer(resume=True)
    assert again.learner.done
    assert again.train(progress=False)
    assert_same_weights(again.policy.state_dict(), before)
    assert again.metadata.scores == [score._asdict()]
    assert evaluate(again.policy, IMAGES, again.env_kwargs, EvalConditions("test")) == score


@pytest.mark.parametrize("done", [True, False])
@pytest.mark.parametrize("damage", ["missing", "empty", "of another agent"])
def test_resume_writes_damaged_agent_and_log_again(make_trainer, no_curve, damage, done):
    trainer = make_trainer()
    stop_after(trainer, 100 if done else 7)
    assert trainer.train(progress=False) == done
    before = load_agent(trainer.folder, trusted=True)[0].state_dict()
    files = [trainer.folder / name for name in ("agent.json", "weights.safetensors", "log.csv")]
    log = files[-1].read_bytes()
    other = make_trainer("other")
    for path in files[:1] if damage == "of another agent" else files:
        path.unlink()
        if damage == "empty":
            path.touch()
        elif damage == "of another agent":
            add_scores(other.folder, other.metadata, [make_score("test", [0.5])])
            (other.folder / path.name).rename(path)
    again = make_trainer(resume=True)
    policy, metadata = load_agent(trainer.folder, trusted=True)
    assert_same_weights(policy.state_dict(), before)
    assert metadata == again.metadata
    assert metadata.scores == []
    assert files[-1].read_bytes() == log


def test_finished_run_with_batch_norm_evaluates_the_same_after_resume(tmp_path, no_curve):
    trainer = make_supervised(tmp_path, "run")
    trainer.train(progress=False)
    before, kwargs = copy_state(trainer.policy), trainer.env_kwargs
    score = evaluate(trainer.policy, IMAGES, kwargs, EvalConditions("train"))
    again = make_supervised(tmp_path, "run", resume=True)
    assert again.train(progress=False)
    assert evaluate(again.policy, IMAGES, kwargs, EvalConditions("train")) == score
    assert_same_weights(again.policy.state_dict(), before)


def test_resume_without_a_run_starts_one(make_trainer):
    assert make_trainer(resume=True).learner.num_updates_done == 0


def test_signal_handlers_are_restored(make_trainer, no_curve):
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    trainer = make_trainer()
    stop_after(trainer, 2)
    trainer.train(progress=False)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_training_works_in_a_thread_where_signals_cannot_be_handled(make_trainer, no_curve):
    trainer = make_trainer()
    thread = threading.Thread(target=trainer.train, kwargs={"progress": False})
    thread.start()
    thread.join()
    assert trainer.learner.done


@pytest.mark.parametrize(
    "changes", [{"learning_rate": 1e14}, {"learning_rate": 1e30, "optimizer": "sgd", "warmup_updates": 0}]
)
def test_divergence_is_named_with_what_to_do_and_the_saved_state_stays(make_trainer, no_curve, changes):
    config = replace(CONFIG, **changes, save_interval=0)
    trainer = make_trainer(config=config)
    message = r"run diverged after \d+ episodes: .* finite.* lower learning_rate than 1e"
    with pytest.raises(DivergenceError, match=message):
        trainer.train(progress=False)
    saved = make_trainer(config=config, resume=True).learner
    assert 0 < saved.num_updates_done <= trainer.learner.num_updates_done


def test_number_of_threads_is_restored(make_trainer, no_curve):
    before = torch.get_num_threads()
    config = ReinforceConfig(num_episodes=20, batch_size=20, num_threads=before + 1)
    make_trainer(config=config).train(progress=False)
    assert torch.get_num_threads() == before


# -------------------------------------------------------------------------------------------- refused folders


def test_folder_with_a_run_is_not_overwritten(make_trainer):
    trainer = make_trainer()
    before = {path.name: path.read_bytes() for path in trainer.folder.iterdir() if path.is_file()}
    with pytest.raises(CheckpointError, match="holds a run already"):
        make_trainer()
    assert {path.name: path.read_bytes() for path in trainer.folder.iterdir() if path.is_file()} == before


def test_resume_with_other_settings_is_refused(make_trainer, tmp_path):
    make_trainer()
    with pytest.raises(CheckpointError, match=r"holds a run with .*seed = 0 \(requested: 1\)"):
        make_trainer(config=ReinforceConfig(num_episodes=400, batch_size=20, seed=1), resume=True)
    with pytest.raises(CheckpointError, match=r"env_kwargs\['num_glimpses'\] = 3 \(requested: 4\)"):
        make_trainer(resume=True, num_glimpses=4)
    with pytest.raises(CheckpointError, match=r"core = gru \(requested: lstm\)"):
        make_trainer(resume=True, policy_config=replace(POLICY, core="lstm"))
    with pytest.raises(CheckpointError, match=r"algorithm = reinforce \(requested: ppo\)"):
        make_trainer(resume=True, config=PPO_CONFIG)
    with pytest.raises(CheckpointError, match=r"augmentation = \{\}"):
        make_trainer(resume=True, augmentation={"rotation": 5.0})
    (tmp_path / "run" / "training.pt").unlink()
    with pytest.raises(CheckpointError, match="holds an agent without the state to resume from"):
        make_trainer(resume=True)


@pytest.mark.parametrize("resume", [False, True])
def test_run_of_version_0_2_0_is_refused(make_trainer, tmp_path, resume):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "training.safetensors").write_bytes(b"a state of the old format")
    with pytest.raises(CheckpointError, match=r"holds a run of glimpse_gym 0\.2\.0: finish it with that version"):
        make_trainer(resume=resume)


@pytest.mark.parametrize("damage", ["cut", "empty", "foreign"])
def test_damaged_state_is_refused(make_trainer, damage):
    path = make_trainer().folder / "training.pt"
    content = path.read_bytes()
    if damage == "foreign":
        torch.save({"policy": {}}, path)
    else:
        path.write_bytes(content[: len(content) // 2] if damage == "cut" else b"")
    with pytest.raises(CheckpointError, match=r"training\.pt is damaged"):
        make_trainer(resume=True)


def test_state_of_another_run_is_refused(make_trainer):
    other = make_trainer("other", replace(CONFIG, optimizer="adam"))
    trainer = make_trainer()
    (other.folder / "training.pt").rename(trainer.folder / "training.pt")
    with pytest.raises(CheckpointError, match=r"holds a run with optimizer = adam \(requested: muon\)"):
        make_trainer(resume=True)


@pytest.mark.parametrize(
    "changes",
    [
        {"optimizers": []},
        {"optimizers": [3]},
        {"optimizers": None},
        {"generator": torch.zeros(3, dtype=torch.uint8)},
        {"generator": "text"},
        {"policy": {}},
        {"policy": {"weight": torch.zeros(3)}},
        {"policy": 3},
    ],
    ids=lambda changes: str(changes)[:50],
)
def test_state_with_unfit_values_is_refused(make_trainer, changes):
    trainer = make_trainer()
    state = torch.load(trainer.folder / "training.pt", weights_only=True)
    save_state(trainer.folder, state | changes)
    with pytest.raises(CheckpointError, match=r"training\.pt does not fit the (run in its folder|policy)"):
        make_trainer(resume=True)


def test_state_is_readable_with_torch_load_weights_only(make_trainer):
    trainer = make_trainer()
    state = torch.load(trainer.folder / "training.pt", weights_only=True)
    assert_same_weights(state["policy"], trainer.policy.state_dict())
    assert state["num_updates_done"] == 0


# ------------------------------------------------------------------------------------------ stored env kwargs


def test_arrays_are_refused_before_anything_is_written(tmp_path):
    kwargs = {"images": np.zeros((20, 8, 8), np.uint8), "labels": np.zeros(20, int), "patch_size": 4}
    with pytest.raises(ValueError, match=r"save arrays as an \.npz"):
        Trainer(tmp_path / "run", IMAGES, kwargs, CONFIG, POLICY)
    assert not (tmp_path / "run").exists()


def test_paths_of_images_are_stored_as_absolute_paths(tmp_path, env_kwargs, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mnist").mkdir()  # a folder with the name of a data set
    trainer = Trainer("run", IMAGES, env_kwargs | {"images": "images.npz"}, CONFIG, POLICY)
    assert trainer.env_kwargs["images"] == str(tmp_path / "images.npz")
    named = Trainer("named", "glimpse_gym/MNIST-v0", {"images": "mnist"}, CONFIG, POLICY)
    assert named.env_kwargs["images"] == "mnist"


def test_algorithm_that_does_not_fit_leaves_no_folder(tmp_path):
    with pytest.raises(ValueError, match="Reinforce learns from labels"):
        Trainer(tmp_path / "run", CATCH, CATCH_KWARGS, CONFIG, POLICY)
    assert not (tmp_path / "run").exists()
