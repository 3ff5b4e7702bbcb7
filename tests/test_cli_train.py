"""Command line: ``train``, its options and errors, and the folder of a run."""

import os
import re
import shlex
from dataclasses import fields
from pathlib import Path

import pytest
from PIL import Image

from cli_runs import (
    ENV_KWARGS,
    OPTIONS,
    RUN_FILES,
    assert_equal_runs,
    assert_equal_weights,
    contents,
    flags,
    read_log,
    read_metadata,
)
from glimpse_gym import atomic_io
from glimpse_gym.agents import load
from glimpse_gym.agents.configs import RAMConfig, ReinforceConfig
from glimpse_gym.agents.learner import Learner
from glimpse_gym.agents.registry import ALGORITHMS, default_configs
from glimpse_gym.cli import main
from glimpse_gym.cli.train import parse_assignments, parse_train_arguments

MNIST, CATCH = "glimpse_gym/MNIST-v0", "glimpse_gym/Catch-v0"


# ---------------------------------------------------------------- options


@pytest.mark.parametrize(
    ("env_id", "algorithm"), [(MNIST, None), (CATCH, None), *((MNIST, algorithm) for algorithm in ALGORITHMS)]
)
def test_help_shows_every_option_with_its_default(cli, monkeypatch, env_id, algorithm):
    monkeypatch.setenv("COLUMNS", "80")  # one column, so that every default follows its option
    chosen = [f"--algorithm={algorithm}"] if algorithm else []
    status, out, err = cli("train", env_id, *chosen, "--help")
    assert (status, err) == (0, "")
    shown = " ".join(re.sub("[│╭╮╰╯─]", "", out).split())
    for option in ("--algorithm", "--out", "--resume", "--env-arg", "--augment"):
        assert f"{option} " in shown
    for config in default_configs(env_id, algorithm):
        for field in fields(config):
            default = getattr(config, field.name)
            match = re.search(rf"--{field.name.replace('_', '-')}\b(?! \().*?\(default: (\S+)\)", shown)
            assert match, field.name
            assert match[1] == str(default), field.name


def test_options_of_the_algorithm_that_the_env_calls_for():
    for env_id, algorithm in ((MNIST, "reinforce"), (CATCH, "ppo")):
        arguments = parse_train_arguments([env_id])
        assert (arguments.env, arguments.algorithm) == (env_id, algorithm)
        assert (arguments.training, arguments.policy) == default_configs(env_id)
        assert (arguments.out, arguments.resume, arguments.env_arg, arguments.augment) == (None, False, (), ())


def test_options_in_any_order_and_form():
    arguments = parse_train_arguments(
        [
            *("--seed", "3", "--sigma=0.2", "--env-arg", "a=1", "--detach-location-network", CATCH, "--gamma", "1"),
            *("--env-arg=b=x", "--algorithm", "ppo", "--resume", "--out", "runs/x", "--augment", "c=[1, 2]"),
        ]
    )
    assert (arguments.env, arguments.algorithm, arguments.resume) == (CATCH, "ppo", True)
    assert (arguments.training.seed, arguments.training.gamma) == (3, 1.0)
    assert (arguments.policy.sigma, arguments.policy.detach_location_network) == (0.2, True)
    assert arguments.policy.core == "lstm"  # the default of the algorithm, not of the class
    assert (arguments.out, arguments.env_arg, arguments.augment) == (Path("runs/x"), ("a=1", "b=x"), ("c=[1, 2]",))


def test_assignments_are_json_or_else_strings():
    pairs = ["a=1", "b=[1, 2]", "c=center", "d=", "e=x=y", "f=true", 'g="1"']
    expected = {"a": 1, "b": [1, 2], "c": "center", "d": "", "e": "x=y", "f": True, "g": "1"}
    assert parse_assignments(pairs) == expected


USAGE_ERRORS = [
    ("--depth=3", "--depth"),
    ("--seed", "--seed"),
    ("--set=seed=3", "--set"),
    ("extra", "extra"),
    ("--seed=-1", "seed must be at least 0, got -1"),
    ("--seed=1.5", "--seed: invalid literal for int() with base 10: '1.5'"),
    ("--seed=true", "--seed: invalid literal for int() with base 10: 'true'"),
    ("--seed=", "--seed"),
    ("--batch-size=many", "--batch-size: invalid literal for int() with base 10: 'many'"),
    ("--batch-size=0", "batch_size must be at least 1, got 0"),
    ("--num-episodes=-5", "num_episodes must be at least 1, got -5"),
    ("--num-evaluations=0", "num_evaluations must be at least 1, got 0"),
    ("--validation-episodes=0", "validation_episodes must be at least 1, got 0"),
    ("--num-threads=0", "num_threads must be at least 1, got 0"),
    ("--copies-per-image=3", "batch_size must be a multiple of copies_per_image=3, got 20"),
    ("--learning-rate=0", "learning_rate must be greater than 0, got 0"),
    ("--learning-rate=-0.1", "learning_rate must be greater than 0, got -0.1"),
    ("--learning-rate=NaN", "learning_rate must be finite, got nan"),
    ("--learning-rate=Infinity", "learning_rate must be finite, got inf"),
    ("--sigma=0", "sigma must be greater than 0, got 0"),
    ("--sigma=inf", "sigma must be finite, got inf"),
    ("--loss-weighting=never", "('uniform', 'linear', 'last')"),
    ("--core=rnn", "('relu', 'gru', 'lstm')"),
    ("--detach-location-network=1", "Unrecognized options"),
    ("--gamma=0.9", "--gamma"),
    ("--algorithm=sarsa", "--algorithm must be one of reinforce, supervised, ppo; got 'sarsa'"),
    ("--seed=8388608", "seed must be less than 8388608, got 8388608"),
    ("--seed=123456789012345678901234567890", "seed"),
    ("--warmup-updates=-1", "warmup_updates"),
    ("--reinforce-weight=NaN", "reinforce_weight"),
    ("--max-grad-norm=0", "max_grad_norm"),
    ("--hidden-units=0", "hidden_units"),
    ("--glimpse-units=-3", "glimpse_units"),
]


@pytest.mark.parametrize(("argument", "said"), USAGE_ERRORS, ids=[argument for argument, _ in USAGE_ERRORS])
def test_usage_errors_say_what_is_wrong_and_write_nothing(cli, train_arguments, tmp_path, argument, said):
    folder = tmp_path / "run"
    status, out, err = cli(*train_arguments(folder), argument)
    assert (status, out) == (2, "")
    assert said in err
    assert "Traceback" not in err
    assert not folder.exists()


ERRORS = [
    ("--env-arg=color=red", "'color'"),
    ("--env-arg=color", "expected NAME=VALUE, got 'color'"),
    ("--env-arg==3", "expected NAME=VALUE, got '=3'"),
    ("--env-arg=num_glimpses=0", "num_glimpses"),
    ("--env-arg=patch_size=big", "patch_size"),
    ("--env-arg=images=nowhere", "nowhere"),
    ("--env-arg=actions=discrete", "hybrid"),
    ("--env-arg=actions=multidiscrete", "hybrid"),
    ("--env-arg=actions=continuous", "hybrid"),
    ("--augment=color=red", "'color'"),
    ("--augment=3", "expected NAME=VALUE, got '3'"),
]


@pytest.mark.parametrize(("argument", "said"), ERRORS, ids=[argument for argument, _ in ERRORS])
def test_bad_env_values_are_named_and_nothing_is_written(cli, train_arguments, tmp_path, argument, said):
    folder = tmp_path / "run"
    status, out, err = result = cli(*train_arguments(folder), argument)
    assert (status, out) == (1, "")
    assert result.message.startswith("glimpse-gym train: ")
    assert said in result.message
    assert "Traceback" not in err
    assert not folder.exists()


def test_an_env_is_required(cli):
    for arguments in (["train"], ["train", "--seed", "3"]):
        result = cli(*arguments)
        assert result.status == 2
        assert "name an env to train in: glimpse_gym/MNIST-v0" in result.message


@pytest.mark.parametrize(
    ("env_id", "said"),
    [
        ("glimpse_gym/Nothing-v0", "`Nothing` doesn't exist in namespace glimpse_gym"),
        ("Nothing", "`Nothing` doesn't exist"),
        ("glimpse_gym/CatchContinuous-v0", "hybrid"),
        ("CartPole-v1", "CartPole-v1 is not a glimpse_gym env"),
    ],
)
def test_envs_that_cannot_be_trained_in(cli, images, tmp_path, env_id, said):
    values = [f"--env-arg=images={images}"] if "Images" in env_id else []
    status, out, err = result = cli("train", env_id, *values, "--out", tmp_path / "run")
    assert (status, out) == (1, "")
    assert result.message.startswith("glimpse-gym train: ")
    assert said in result.message
    assert "Traceback" not in err
    assert not (tmp_path / "run").exists()


def test_an_algorithm_that_does_not_fit_the_env(cli, tmp_path):
    result = cli("train", CATCH, "--algorithm", "reinforce", "--out", tmp_path / "run")
    assert result.status == 1
    assert result.message.startswith("glimpse-gym train: ")
    assert not (tmp_path / "run").exists()


def test_debug_shows_the_traceback(cli, train_arguments, tmp_path):
    with pytest.raises(ValueError, match="expected NAME=VALUE"):
        cli("--debug", *train_arguments(tmp_path / "run"), "--env-arg=color")


# ---------------------------------------------------------------- the folder of a run


def test_a_run_leaves_a_folder(cli, train_arguments, tmp_path):
    folder = tmp_path / "some" / "run"
    status, out, err = cli(*train_arguments(folder, seed=3))
    assert status == 0
    assert {path.name for path in folder.iterdir()} == RUN_FILES
    assert re.search(r"^validation error \d+\.\d\d% after 400 episodes in ", out, re.MULTILINE)
    assert f"are in {folder}" in out
    assert "100%" in err  # of the progress bar
    metadata = read_metadata(folder)
    assert metadata["env_id"] == "glimpse_gym/Images-v0"
    assert metadata["env_kwargs"].items() >= ENV_KWARGS.items()
    assert metadata["scores"] == []
    assert metadata["versions"].keys() >= {"python", "glimpse_gym", "gymnasium", "numpy", "torch"}
    stored = metadata["training"] | metadata["policy_config"]
    others = {"seed": 3, "augmentation": {}, "algorithm": "reinforce"}
    assert stored == {**vars(ReinforceConfig()), **vars(RAMConfig()), **OPTIONS, **others}
    assert shlex.split(metadata["command"]) == ["glimpse-gym", *train_arguments(folder, seed=3)]
    assert metadata["policy"] == "ram"
    assert (metadata["task_spec"]["glimpse_shape"], metadata["task_spec"]["num_choices"]) == ([1, 4, 4], 2)
    rows = read_log(folder)
    assert [int(row["episodes"]) for row in rows] == [100, 200, 300, 400]
    for row in rows:
        assert 0 <= float(row["validation_error"]) <= 1
        assert 0 <= float(row["training_error"]) <= 1
    assert f"validation error {float(rows[-1]['validation_error']):.2%} after" in out
    assert any(path.stat().st_size for path in (folder / "tensorboard").iterdir())
    with Image.open(folder / "curve.png") as picture:
        assert min(picture.size) > 100
        picture.load()
    assert load(folder).task_spec.num_choices == 2


def test_the_same_seed_gives_the_same_run_and_another_does_not(train_arguments, finished_run, tmp_path):
    assert main(train_arguments(tmp_path / "same")) == 0
    assert_equal_runs(tmp_path / "same", finished_run)
    assert main(train_arguments(tmp_path / "other", seed=1)) == 0
    with pytest.raises(AssertionError):
        assert_equal_runs(tmp_path / "other", finished_run)


def test_evaluations_during_the_run_change_no_weight(train_arguments, finished_run, tmp_path):
    assert main(train_arguments(tmp_path / "run", num_evaluations=1)) == 0
    assert_equal_weights(tmp_path / "run", finished_run)


def test_the_default_folder_is_named_after_env_and_seed(cli, train_arguments, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    *arguments, _, _ = train_arguments("left out", seed=12, num_episodes=20)
    assert cli(*arguments).status == 0
    assert (tmp_path / "runs" / "Images-v0-seed12" / "agent.json").exists()


def test_env_values_are_stored_as_given(cli, train_arguments, tmp_path):
    values = ENV_KWARGS | {"first_glimpse": "center", "canvas_size": "[9, 10]"}
    assert cli(*train_arguments(tmp_path / "run", env_kwargs=values, num_episodes=20)).status == 0
    kwargs = read_metadata(tmp_path / "run")["env_kwargs"]
    assert kwargs.items() >= (ENV_KWARGS | {"first_glimpse": "center", "canvas_size": [9, 10]}).items()


def test_the_largest_seed(cli, train_arguments, tmp_path):
    assert cli(*train_arguments(tmp_path / "run", seed=2**23 - 1, num_episodes=40)).status == 0


def test_supervised_training_of_a_classifier(cli, images, tmp_path):
    folder = tmp_path / "run"
    options = {"num_episodes": 40, "batch_size": 20, "num_evaluations": 1, "validation_episodes": 20, "units": 8}
    env_args = [f"--env-arg=images={images}", "--env-arg=num_glimpses=1"]
    arguments = ["train", "glimpse_gym/Images-v0", "--algorithm=supervised", *env_args, *flags(**options)]
    assert cli(*arguments, "--out", folder).status == 0
    metadata = read_metadata(folder)
    assert (metadata["policy"], metadata["training"]["algorithm"]) == ("classifier", "supervised")
    assert metadata["policy_config"] == {"network": "fc", "units": 8}


@pytest.mark.parametrize("below", ["", "run"])
def test_a_folder_that_cannot_be_made(cli, train_arguments, tmp_path, below):
    (tmp_path / "file").write_text("in the way")
    result = cli(*train_arguments(tmp_path / "file" / below))
    assert result.status == 1
    assert str(tmp_path / "file") in result.message
    assert (tmp_path / "file").read_text() == "in the way"


def test_a_run_is_not_overwritten(cli, train_arguments, run_folder):
    before = contents(run_folder)
    result = cli(*train_arguments(run_folder))
    assert result.status == 1
    assert "holds a run already" in result.message
    assert str(run_folder) in result.message
    assert contents(run_folder) == before


def test_a_full_disk_leaves_the_run_intact(cli, train_arguments, finished_run, tmp_path, monkeypatch):
    folder = tmp_path / "run"
    update, replace = Learner.update, os.replace
    done = []

    def counting_update(learner):
        done.append(learner)
        return update(learner)

    def failing_replace(source, target):
        if len(done) == 7 and Path(target).name == "training.pt":
            raise OSError(28, "No space left on device", str(target))
        replace(source, target)

    monkeypatch.setattr(Learner, "update", counting_update)
    monkeypatch.setattr(atomic_io.os, "replace", failing_replace)
    status, _, err = cli(*train_arguments(folder, save_interval=0))
    assert status == 1
    assert "No space left on device" in err
    assert "Traceback" not in err
    monkeypatch.undo()
    assert load(folder).task_spec.num_choices == 2
    assert cli(*train_arguments(folder, save_interval=0), "--resume").status == 0
    assert_equal_runs(folder, finished_run)
