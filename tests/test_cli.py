"""The command line: what it says, what it leaves behind, and that no stop of any kind costs a run anything."""

import csv
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load as load_tensors
from safetensors.numpy import load_file

import glimpse_gym
from glimpse_gym import ENV_IDS
from glimpse_gym import atomic_io as files
from glimpse_gym.agents import load
from glimpse_gym.agents.learner import ImageTrainConfig, Learner
from glimpse_gym.agents.ppo import PLAYER, GameTrainConfig
from glimpse_gym.agents.ram import RAMConfig
from glimpse_gym.cli import main
from glimpse_gym.images import datasets as data

COMMANDS = ("envs", "data", "train", "eval", "reproduce", "report", "bench")
KNOBS = {
    "num_episodes": 400,
    "reinforce_weight": 0.2,
    "batch_size": 20,
    "num_evaluations": 4,
    "validation_episodes": 20,
    "learning_rate": 0.02,
    "warmup_updates": 2,
    "glimpse_units": 16,
    "glimpse_features": 16,
    "hidden_units": 16,
}
WEIGHTS = "weights.safetensors"
ENV_VALUES = {"patch_size": 4, "num_scales": 1, "num_glimpses": 3}
RUN_FILES = {"agent.json", WEIGHTS, "training.safetensors", "log.csv", "curve.png", "tensorboard"}
ROWS = tuple(f"validation, {looks}" for looks in ("learned, mean", "learned, sampled", "random", "center"))


class Result(NamedTuple):
    status: int
    out: str
    err: str

    @property
    def complaint(self) -> str:
        """What is said of an error: the one line there is."""
        (line,) = self.err.splitlines()
        return line


@pytest.fixture(autouse=True)
def as_it_was(monkeypatch):
    """``main`` sets a variable for the libraries it loads."""
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")


@pytest.fixture
def cli(capsys):
    """Run the command line in this process."""

    def run(*arguments) -> Result:
        capsys.readouterr()
        try:
            status = main([str(argument) for argument in arguments])
        except SystemExit as stop:  # argparse
            status = stop.code
        return Result(status, *capsys.readouterr())

    return run


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """200 images of 8x8, bright in the left half or in the right one."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 200)
    pixels = rng.integers(0, 40, (200, 8, 8)).astype(np.uint8)
    for image, label in zip(pixels, labels, strict=True):
        image[:, 4 * label : 4 * label + 4] += 200
    path = tmp_path_factory.mktemp("images") / "halves.npz"
    np.savez(path, images=pixels, labels=labels)
    return path


@pytest.fixture(scope="module")
def command(images):
    """The arguments of a training run: ``command(folder, knob=value)``."""

    def arguments(folder, env="glimpse_gym/Images-v0", env_values=ENV_VALUES, **knobs):
        given = [f"--env-arg=images={images}", *(f"--env-arg={name}={value}" for name, value in env_values.items())]
        given += [f"--set={name}={value}" for name, value in (KNOBS | knobs).items()]
        return ["train", env, *given, "--out", str(folder)]

    return arguments


@pytest.fixture(scope="module")
def finished(command, tmp_path_factory):
    """A run that has come to its end, never to be changed."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    assert main(command(folder)) == 0
    return folder


@pytest.fixture
def run_folder(finished, tmp_path):
    """A copy of it to do anything with."""
    return Path(shutil.copytree(finished, tmp_path / "run"))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def without_tensorboard(folder: Path) -> dict[str, bytes]:
    return {name: raw for name, raw in contents(folder).items() if not name.startswith("tensorboard")}


def assert_same_run(folder: Path, expected: Path) -> None:
    """The same weights to the last bit, and the same log but for the time it took."""
    weights, wanted = (load_file(path / WEIGHTS) for path in (folder, expected))
    assert weights.keys() == wanted.keys()
    for name, value in wanted.items():
        assert weights[name].dtype == value.dtype
        np.testing.assert_array_equal(weights[name], value, err_msg=name)
    logs = read_log(folder), read_log(expected)
    for row in [*logs[0], *logs[1]]:
        del row["seconds"]
    assert logs[0] == logs[1]


def read_log(folder: Path) -> list[dict[str, str]]:
    with (folder / "log.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def read_card(folder: Path) -> dict:
    return json.loads((folder / "agent.json").read_text(encoding="utf-8"))


def change_card(folder: Path, **values) -> None:
    (folder / "agent.json").write_text(json.dumps(read_card(folder) | values), encoding="utf-8")


# ---------------------------------------------------------------- help


@pytest.mark.parametrize("arguments", [["--help"], *([name, "--help"] for name in COMMANDS)])
def test_help(cli, arguments):
    status, out, err = cli(*arguments)
    assert (status, err) == (0, "")
    assert out.startswith("usage: glimpse-gym")
    for option in re.findall(r"--[a-z-]+|\b[A-Z]{3,}\b", out.partition("\n\n")[0]):
        assert out.count(option) > 1, f"{option} is not explained"
    if arguments == ["--help"]:
        assert all(name in out for name in COMMANDS)


def test_help_names_the_defaults(cli):
    assert "default: validation" in cli("eval", "--help").out
    assert "default: 256" in cli("bench", "--help").out


def test_version(cli):
    assert cli("--version") == (0, f"glimpse-gym {glimpse_gym.__version__}\n", "")


@pytest.mark.parametrize("arguments", [[], ["nothing"], ["envs", "more"], ["eval"], ["eval", "a", "--num-episodes=x"]])
def test_what_cannot_be_read_shows_the_usage(cli, arguments):
    status, out, err = cli(*arguments)
    assert (status, out) == (2, "")
    assert err.startswith("usage: glimpse-gym")


def test_as_a_module():
    result = subprocess.run([sys.executable, "-m", "glimpse_gym", "--version"], capture_output=True, text=True)
    assert (result.returncode, result.stdout) == (0, f"glimpse-gym {glimpse_gym.__version__}\n")
    result = subprocess.run([sys.executable, "-m", "glimpse_gym", "data", "nothing"], capture_output=True, text=True)
    assert (result.returncode, len(result.stderr.splitlines())) == (1, 1)


# ---------------------------------------------------------------- envs, data


def refuse(*arguments, **kwargs):
    raise AssertionError(f"no data shall be asked for: {arguments}")


def test_envs_needs_no_data_and_no_network(cli, monkeypatch, tmp_path):
    monkeypatch.setenv("GLIMPSE_GYM_DATA", str(tmp_path))
    for name in ("fetch", "load", "_load_split", "_download"):
        monkeypatch.setattr(data, name, refuse)
    monkeypatch.setattr(socket, "socket", refuse)
    status, out, err = cli("envs")
    assert (status, err) == (0, "")
    parts = re.split(r"^(?=\S)", out, flags=re.MULTILINE)[1:]
    assert [part.split()[0] for part in parts] == list(ENV_IDS)
    for part in parts:
        assert re.search(r"^    observation  Dict\('glimpse': Box\(.*'location': .*'time': ", part, re.MULTILINE)
        kind = r"Discrete\(\d+\)" if "Discrete" in part.split()[0] else r"Dict\(.*'(label|move)': "
        assert re.search(rf"^    action       {kind}", part, re.MULTILINE)
    assert "(1, 8, 8)" in parts[0]
    assert "Discrete(35)" in parts[1]
    assert "Discrete(75)" in parts[-1]
    assert os.listdir(tmp_path) == []


@pytest.fixture
def small_data_set(monkeypatch, tmp_path):
    """A data set of four files of two bytes each, and no way to fetch it; returns its folder."""
    raw = b"\0\0"
    names = ("train-images", "train-labels", "test-images", "test-labels")
    parts = tuple(data.DataFile(name, len(raw), data._md5(raw)) for name in names)
    monkeypatch.setitem(data.DATA_SETS, "small", data.DataSet("small", parts, ("a", "b"), mirrors=()))
    monkeypatch.setenv("GLIMPSE_GYM_DATA", str(tmp_path))
    folder = tmp_path / "small"
    folder.mkdir()
    for name in names:
        (folder / name).write_bytes(raw)
    return folder


def test_data_says_where_it_lies(cli, small_data_set):
    assert cli("data", "small") == (0, f"small: whole and verified in {small_data_set}\n", "")
    assert cli("data", "small", "small").out.count(str(small_data_set)) == 2


def test_data_fetches_mnist_if_nothing_else_is_asked_for(cli, monkeypatch):
    asked = []
    monkeypatch.setattr("glimpse_gym.cli.fetch", lambda name: asked.append(name) or Path("there"))
    assert cli("data") == (0, "mnist: whole and verified in there\n", "")
    assert asked == ["mnist"]


def test_damaged_data(cli, small_data_set):
    (small_data_set / "test-labels").write_bytes(b"\0\1")
    status, out, err = result = cli("data", "small")
    assert (status, out) == (1, "")
    assert result.complaint.startswith(f"glimpse-gym data: {small_data_set / 'test-labels'} is damaged")
    assert "Traceback" not in err
    with pytest.raises(data.DataError, match="is damaged"):
        cli("--debug", "data", "small")


def test_data_that_cannot_be_had(cli, small_data_set):
    (small_data_set / "train-labels").unlink()
    status, _, err = cli("data", "small")
    assert status == 1
    assert "glimpse-gym data: small could not be fetched" in err
    assert "train-labels" in err
    assert str(small_data_set) in err
    assert "Traceback" not in err


def test_unknown_data_set(cli):
    result = cli("data", "nothing")
    assert result.status == 1
    assert "'mnist', 'fashion-mnist'" in result.complaint
    assert "'nothing'" in result.complaint


# ---------------------------------------------------------------- train


@pytest.mark.parametrize(
    ("name", "configs"), [("MNIST", (ImageTrainConfig(), RAMConfig())), ("Catch", (GameTrainConfig(), PLAYER))]
)
def test_knobs_are_listed_with_their_defaults(cli, name, configs):
    status, out, err = cli("train", f"glimpse_gym/{name}-v0", "--knobs")
    assert (status, err) == (0, "")
    listed = dict(re.findall(r"^(\w+) = (.*)\n    \S.*$", out, re.MULTILINE))
    expected = {}
    for config in configs:
        expected |= {name: repr(value) for name, value in vars(config).items()}
    assert listed == expected


def test_a_run_leaves_a_folder(cli, command, tmp_path):
    folder = tmp_path / "some" / "run"
    status, out, err = cli(*command(folder, seed=3))
    assert status == 0
    assert {path.name for path in folder.iterdir()} == RUN_FILES
    assert re.search(r"^validation error \d+\.\d\d% after 400 episodes in ", out, re.MULTILINE)
    assert f"are in {folder}" in out
    assert "100%" in err  # of the bar
    card = read_card(folder)
    assert card["env_id"] == "glimpse_gym/Images-v0"
    assert card["env_kwargs"].items() >= ENV_VALUES.items()
    assert card["scores"] == []
    assert card["versions"].keys() >= {"python", "glimpse_gym", "gymnasium", "numpy", "torch"}
    said = card["training"] | card["config"]
    assert said == {**vars(ImageTrainConfig()), **vars(RAMConfig()), **KNOBS, "seed": 3, "augmentation": {}}
    assert shlex.split(card["command"]) == ["glimpse-gym", *command(folder, seed=3)]
    assert card["agent"] == "ram"
    assert (card["task"]["glimpse_shape"], card["task"]["num_choices"]) == ([1, 4, 4], 2)
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
    assert load(folder).task.num_choices == 2


def test_the_same_seed_gives_the_same_run_and_another_does_not(command, finished, tmp_path):
    assert main(command(tmp_path / "same")) == 0
    assert_same_run(tmp_path / "same", finished)
    assert main(command(tmp_path / "other", seed=1)) == 0
    with pytest.raises(AssertionError):
        assert_same_run(tmp_path / "other", finished)


def test_to_measure_on_the_way_changes_no_weight(command, finished, tmp_path):
    assert main(command(tmp_path / "run", num_evaluations=1)) == 0
    weights, wanted = (load_file(folder / WEIGHTS) for folder in (tmp_path / "run", finished))
    for name, value in wanted.items():
        np.testing.assert_array_equal(weights[name], value, err_msg=name)


def test_a_folder_is_named_after_env_and_seed(cli, command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    *arguments, _, _ = command("left out", seed=12, num_episodes=20)
    assert cli(*arguments).status == 0
    assert (tmp_path / "runs" / "Images-v0-seed12" / "agent.json").exists()


def test_values_of_an_env_are_json_or_else_strings(cli, command, tmp_path):
    values = ENV_VALUES | {"first_glimpse": "center", "canvas_size": "[9, 10]"}
    assert cli(*command(tmp_path / "run", env_values=values, num_episodes=20)).status == 0
    kwargs = read_card(tmp_path / "run")["env_kwargs"]
    assert kwargs.items() >= (ENV_VALUES | {"first_glimpse": "center", "canvas_size": [9, 10]}).items()


def test_a_run_is_not_overwritten(cli, command, run_folder):
    before = contents(run_folder)
    result = cli(*command(run_folder))
    assert result.status == 1
    assert "holds a run already" in result.complaint
    assert str(run_folder) in result.complaint
    assert contents(run_folder) == before


def test_to_resume_what_is_done_changes_nothing(cli, command, run_folder):
    before = without_tensorboard(run_folder)
    status, out, _ = cli(*command(run_folder), "--resume")
    assert status == 0
    assert "validation error" in out
    after = without_tensorboard(run_folder)
    assert after.keys() == before.keys()
    # The seconds that it took to find nothing to do are counted.
    changed = {name for name in after if after[name] != before[name]}
    assert changed <= {"curve.png", "training.safetensors"}
    states = [load_tensors(raw["training.safetensors"]) for raw in (before, after)]
    assert states[0].keys() == states[1].keys()
    for name, value in states[0].items():
        np.testing.assert_array_equal(states[1][name], value, err_msg=name)


def test_to_resume_where_nothing_is_begins(cli, command, finished, tmp_path):
    assert cli(*command(tmp_path / "new"), "--resume").status == 0
    assert_same_run(tmp_path / "new", finished)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"seed": 1}, "seed"),
        ({"num_episodes": 800}, "num_episodes"),
        ({"hidden_units": 9}, "hidden_units"),
        ({"sigma": 0.3}, "sigma"),
        ({"env_values": ENV_VALUES | {"num_glimpses": 4}}, "env_kwargs['num_glimpses']"),
        ({"env": "glimpse_gym/TranslatedMNIST-v0", "env_values": ENV_VALUES}, "env_id"),
    ],
)
def test_to_resume_with_another_configuration_is_refused(cli, command, run_folder, change, said):
    before = contents(run_folder)
    result = cli(*command(run_folder, **change), "--resume")
    assert result.status == 1
    assert f"holds a run with {said} = " in result.complaint
    assert contents(run_folder) == before


def test_to_resume_with_another_task_is_refused(cli, run_folder):
    before = contents(run_folder)
    result = cli("train", "glimpse_gym/Catch-v0", "--out", run_folder, "--resume")
    assert result.status == 1
    assert "env_id = glimpse_gym/Images-v0 (asked: glimpse_gym/Catch-v0)" in result.complaint
    assert contents(run_folder) == before


@pytest.mark.parametrize("name", ["training.safetensors", "agent.json"])
@pytest.mark.parametrize("damage", [lambda raw: raw[: len(raw) // 2], lambda raw: b"", lambda raw: b"{}" + raw])
def test_to_resume_a_damaged_run_is_refused(cli, command, run_folder, name, damage):
    path = run_folder / name
    path.write_bytes(damage(path.read_bytes()))
    before = contents(run_folder)
    result = cli(*command(run_folder), "--resume")
    assert result.status == 1
    assert str(path) in result.complaint
    assert contents(run_folder) == before


def test_a_flipped_bit_in_the_state_is_noticed(cli, command, run_folder):
    path = run_folder / "training.safetensors"
    raw = bytearray(path.read_bytes())
    raw[-1] ^= 1
    path.write_bytes(raw)
    assert "checksum" in cli(*command(run_folder), "--resume").complaint


FAULTS = [
    ("--set=depth=3", "depth"),
    ("--set=seed", "'seed'"),
    ("--set==3", "'=3'"),
    ("--set=seed=-1", "seed must be at least 0, got -1"),
    ("--set=seed=1.5", "seed must be of type int, got 1.5"),
    ("--set=seed=true", "seed must be of type int, got True"),
    ("--set=seed=", "seed must be of type int, got ''"),
    ("--set=batch_size=many", "batch_size must be of type int, got 'many'"),
    ("--set=batch_size=0", "batch_size must be at least 1, got 0"),
    ("--set=num_episodes=-5", "num_episodes must be at least 1, got -5"),
    ("--set=num_evaluations=0", "num_evaluations must be at least 1, got 0"),
    ("--set=validation_episodes=0", "validation_episodes must be at least 1, got 0"),
    ("--set=threads=0", "threads must be at least 1, got 0"),
    ("--set=copies=3", "batch_size must be a multiple of copies=3, got 20"),
    ("--set=learning_rate=0", "learning_rate must be greater than 0, got 0"),
    ("--set=learning_rate=-0.1", "learning_rate must be greater than 0, got -0.1"),
    ("--set=learning_rate=NaN", "learning_rate must be finite, got nan"),
    ("--set=sigma=0", "sigma must be greater than 0, got 0"),
    ("--set=loss_at=never", "loss_at must be one of 'every', 'rising', 'last'; got 'never'"),
    ("--set=reinforce_into_core=1", "reinforce_into_core must be of type bool, got 1"),
    ("--env-arg=color=red", "'color'"),
    ("--env-arg=color", "'color'"),
    ("--env-arg=num_glimpses=0", "num_glimpses"),
    ("--env-arg=patch_size=big", "patch_size"),
    ("--env-arg=images=nowhere", "nowhere"),
    ("--env-arg=actions=discrete", "hybrid"),
    ("--set=seed=8388608", "seed must be less than 8388608, got 8388608"),
    ("--set=seed=123456789012345678901234567890", "seed"),
    ("--set=warmup_updates=-1", "warmup_updates"),
    ("--set=learning_rate=Infinity", "learning_rate"),
    ("--set=sigma=Infinity", "sigma"),
    ("--set=reinforce_weight=NaN", "reinforce_weight"),
    ("--set=max_gradient_norm=0", "max_gradient_norm"),
    ("--set=hidden_units=0", "hidden_units"),
    ("--set=glimpse_units=-3", "glimpse_units"),
    ("--env-arg=actions=multidiscrete", "hybrid"),
]


@pytest.mark.parametrize(("argument", "said"), FAULTS, ids=[argument for argument, _ in FAULTS])
def test_bad_values_are_named_before_anything_is_written(cli, command, tmp_path, argument, said):
    folder = tmp_path / "run"
    status, out, err = result = cli(*command(folder), argument)
    assert (status, out) == (1, "")
    assert result.complaint.startswith("glimpse-gym train: ")
    assert said in result.complaint
    assert "Traceback" not in err
    assert not folder.exists()


def test_what_is_not_installed_is_named(cli, monkeypatch):
    monkeypatch.setitem(sys.modules, "glimpse_gym.agents.checkpoint", None)
    status, _, err = cli("eval", "somewhere")
    assert status == 1
    assert "is not installed: pip install 'glimpse_gym[agents]'" in err


def test_training_needs_an_env(cli):
    for arguments in (["train"], ["train", "--knobs"]):
        result = cli(*arguments)
        assert result.status == 1
        assert "name an env to train in: glimpse_gym/MNIST-v0" in result.complaint


def test_large_seeds_are_fine(cli, command, tmp_path):
    assert cli(*command(tmp_path / "run", seed=2**23 - 1, num_episodes=40)).status == 0


@pytest.mark.parametrize(
    ("env_id", "said"),
    [
        ("glimpse_gym/Nothing-v0", "`Nothing` doesn't exist in namespace glimpse_gym"),
        ("Nothing", "`Nothing` doesn't exist"),
        ("glimpse_gym/ImagesDiscrete-v0", "hybrid form of a world"),
        ("glimpse_gym/CatchDiscrete-v0", "hybrid form of a world"),
        ("CartPole-v1", "CartPole-v1 is none of this package's envs"),
    ],
)
def test_envs_that_are_not_for_training(cli, images, tmp_path, env_id, said):
    values = [f"--env-arg=images={images}"] if "Images" in env_id else []
    status, out, err = result = cli("train", env_id, *values, "--out", tmp_path / "run")
    assert (status, out) == (1, "")
    assert result.complaint.startswith("glimpse-gym train: ")
    assert said in result.complaint
    assert "Traceback" not in err
    assert not (tmp_path / "run").exists()


def test_a_game_is_learned_and_measured_as_images_are(cli, tmp_path):
    folder = tmp_path / "run"
    values = {"num_episodes": 40, "batch_size": 20, "minibatch_size": 10, "validation_episodes": 20, "hidden_units": 16}
    knobs = [f"--set={name}={value}" for name, value in values.items()]
    status, out, _ = cli("train", "glimpse_gym/Catch-v0", *knobs, "--out", folder)
    assert status == 0
    assert "after 40 episodes in " in out
    assert {path.name for path in folder.iterdir()} == RUN_FILES
    assert load(folder).task.choice_name == "move"
    status, out, _ = cli("eval", folder, "--num-episodes", 30)
    assert status == 0
    assert out.startswith("glimpse_gym/Catch-v0: error in % after each glimpse, on 30 episodes\n")
    rows = read_table(out)
    assert tuple(rows) == ROWS
    assert {len(row) for row in rows.values()} == {2}  # whether the ball is caught is known at the end only


def test_debug_shows_where_an_error_came_from(cli, command, tmp_path):
    with pytest.raises(ValueError, match="seed must be at least 0"):
        cli("--debug", *command(tmp_path / "run", seed=-1))


@pytest.mark.parametrize("below", ["", "run"])
def test_a_folder_that_cannot_be_made(cli, command, tmp_path, below):
    (tmp_path / "file").write_text("in the way")
    result = cli(*command(tmp_path / "file" / below))
    assert result.status == 1
    assert str(tmp_path / "file") in result.complaint
    assert (tmp_path / "file").read_text() == "in the way"


def test_a_disk_that_is_full_leaves_the_run_whole(cli, command, finished, tmp_path, monkeypatch):
    folder = tmp_path / "run"
    updates, replace = Learner.update, os.replace
    done = []

    def update(learner):
        done.append(learner)
        return updates(learner)

    def full(source, target):
        if len(done) == 7 and Path(target).name == "training.safetensors":
            raise OSError(28, "No space left on device", str(target))
        replace(source, target)

    monkeypatch.setattr(Learner, "update", update)
    monkeypatch.setattr(files.os, "replace", full)
    status, _, err = cli(*command(folder, save_seconds=0))
    assert status == 1
    assert "No space left on device" in err
    assert "Traceback" not in err
    monkeypatch.undo()
    assert load(folder).task.num_choices == 2
    assert cli(*command(folder, save_seconds=0), "--resume").status == 0
    assert_same_run(folder, finished)


# ---------------------------------------------------------------- stopping and going on


def stop_at(monkeypatch, number: int, *signals: int) -> None:
    """Let the signals arrive in the middle of that update."""
    update = Learner.update

    def stopped(learner):
        if learner.num_updates_done + 1 == number:
            for which in signals:
                signal.raise_signal(which)
        return update(learner)

    monkeypatch.setattr(Learner, "update", stopped)


@pytest.mark.parametrize("which", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("number", [1, 7])
def test_a_stop_request_ends_the_update_and_saves(cli, command, finished, tmp_path, monkeypatch, which, number):
    folder = tmp_path / "run"

    def ours(*arguments):
        """What would otherwise end this process."""

    before = signal.signal(which, ours)
    try:
        with monkeypatch.context() as patch:
            stop_at(patch, number, which)
            status, out, err = cli(*command(folder))
    finally:
        after = signal.signal(which, before)
    assert after is ours
    assert (status, out) == (130, "")
    assert err.splitlines()[-1] == f"stopped after {20 * number} episodes; the same command with --resume goes on"
    assert load(folder).task.num_choices == 2
    assert cli(*command(folder), "--resume").status == 0
    assert_same_run(folder, finished)


def test_a_stop_in_the_last_update_comes_too_late(cli, command, finished, tmp_path, monkeypatch):
    stop_at(monkeypatch, 20, signal.SIGINT)
    assert cli(*command(tmp_path / "run")).status == 0
    assert_same_run(tmp_path / "run", finished)


def test_a_second_stop_request_interrupts_at_once(cli, command, finished, tmp_path, monkeypatch):
    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        stop_at(patch, 7, signal.SIGINT, signal.SIGINT)
        status, out, err = cli(*command(folder, save_seconds=0))
    assert (status, out) == (130, "")
    assert err.splitlines()[-1] == "stopped"
    assert load(folder).task.num_choices == 2
    assert cli(*command(folder, save_seconds=0), "--resume").status == 0
    assert_same_run(folder, finished)


@pytest.mark.parametrize("file", ["weights.safetensors", "agent.json", "log.csv", "training.safetensors"])
def test_a_death_between_two_files_of_one_state(cli, command, finished, tmp_path, monkeypatch, file):
    folder = tmp_path / "run"
    replace = os.replace

    class Death(BaseException):
        """Nothing catches it but the removal of the temporary file."""

    def die(source, target):
        if Path(target).name == file and (folder / "log.csv").exists():
            raise Death
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(files.os, "replace", die)
        with pytest.raises(Death):
            cli(*command(folder, save_seconds=0))
    assert load(folder).task.num_choices == 2
    assert cli(*command(folder, save_seconds=0), "--resume").status == 0
    assert_same_run(folder, finished)


# As python -m glimpse_gym is; but a bare checkout tells this process alone where envs/ and agents/ are. From the
# first line of the log on every update takes half a second, so that a signal comes in time.
PROCESS = f"""
import runpy, time, glimpse_gym
glimpse_gym.__path__[:] = {list(glimpse_gym.__path__)!r}
from glimpse_gym.agents.learner import Learner
update = Learner.update

def slow(learner):
    time.sleep(0.5 if learner.num_updates_done >= 5 else 0)
    return update(learner)

Learner.update = slow
runpy.run_module("glimpse_gym", run_name="__main__")
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGKILL"])
def test_a_process_that_is_stopped_loses_nothing(cli, command, finished, tmp_path, name):
    folder = tmp_path / "run"
    arguments = command(folder, save_seconds=0)
    pipe = subprocess.PIPE
    process = subprocess.Popen([sys.executable, "-c", PROCESS, *arguments], stdout=pipe, stderr=pipe, text=True)
    try:
        deadline = time.monotonic() + 120
        while not (folder / "log.csv").exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(getattr(signal, name))
        out, err = process.communicate(timeout=120)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == (130 if name == "SIGINT" else -signal.SIGKILL), err
    assert "Traceback" not in err
    assert out == ""
    if name == "SIGINT":
        assert re.search(r"\nstopped after \d+ episodes; the same command with --resume goes on\n$", err)
        assert not list(folder.glob(".*"))  # no temporary file
    assert load(folder).task.num_choices == 2
    assert 1 <= len(read_log(folder)) < 4
    assert "holds a run already" in cli(*arguments).complaint
    assert cli(*arguments, "--resume").status == 0
    assert_same_run(folder, finished)


# ---------------------------------------------------------------- eval


def read_table(out: str) -> dict[str, list[float]]:
    """The rows of the table, their numbers in per cent, the standard error last."""
    rows = {}
    for line in out.splitlines():
        if match := re.fullmatch(r"(\w+(?:, \w+)*) {2,}((?:\d+\.\d\d +)+)± (\d+\.\d\d)", line):
            rows[match[1]] = [float(value) for value in [*match[2].split(), match[3]]]
    return rows


def test_eval_prints_a_table_and_writes_the_same_scores(cli, run_folder):
    status, out, _ = cli("eval", run_folder)
    assert status == 0
    assert out.startswith("glimpse_gym/Images-v0: error in % after each glimpse, on 20 episodes\n")
    assert out.splitlines()[1].split() == ["split,", "locations", "1", "2", "3", "±", "s.e."]
    rows = read_table(out)
    assert tuple(rows) == ROWS
    scores = read_card(run_folder)["scores"]
    kinds = [(score["locations"], score["sample"]) for score in scores]
    assert kinds == [("learned", False), ("learned", True), ("random", False), ("center", False)]
    for score, row in zip(scores, rows.values(), strict=True):
        assert (score["split"], score["seed"], score["num_episodes"]) == ("validation", 0, 20)
        errors, standard_errors = np.array(score["errors"]), np.array(score["standard_errors"])
        np.testing.assert_array_equal(errors * 20, np.round(errors * 20))
        np.testing.assert_allclose(standard_errors, np.sqrt(errors * (1 - errors) / 20))
        np.testing.assert_allclose(row, 100 * np.append(errors, standard_errors[-1]), atol=0.0051)
    # A split into halves is learned in no time, and the rows are not one and the same.
    assert rows["validation, learned, mean"][2] < 50
    assert len({tuple(row) for row in rows.values()}) > 1


def test_eval_draws_pictures(cli, run_folder):
    _, out, _ = cli("eval", run_folder)
    assert out.splitlines()[-2:] == [str(run_folder / "scanpaths.png"), str(run_folder / "gaze.gif")]
    with Image.open(run_folder / "scanpaths.png") as plate:
        plate.load()
        assert plate.format == "PNG"
        assert len(np.unique(np.asarray(plate.convert("L")))) > 2
    with Image.open(run_folder / "gaze.gif") as film:
        assert film.format == "GIF"
        assert film.n_frames >= 3
        film.seek(film.n_frames - 1)
        film.load()


def test_eval_changes_nothing_else(cli, run_folder):
    before = contents(run_folder)
    assert cli("eval", run_folder).status == 0
    after = contents(run_folder)
    assert after.keys() - before.keys() == {"scanpaths.png", "gaze.gif"}
    assert {name for name in before if after[name] != before[name]} == {"agent.json"}
    card = json.loads(before["agent.json"])
    assert read_card(run_folder) | {"scores": []} == card


def test_eval_again_says_the_same(cli, run_folder):
    first = cli("eval", run_folder)
    before = contents(run_folder)
    assert cli("eval", run_folder).out == first.out
    assert contents(run_folder) == before


def test_eval_keeps_the_scores_of_other_splits(cli, run_folder):
    cli("eval", run_folder)
    validation = read_card(run_folder)["scores"]
    cli("eval", run_folder, "--split", "test")
    both = read_card(run_folder)["scores"]
    assert both[:4] == validation
    assert {score["split"] for score in both[4:]} == {"test"}
    cli("eval", run_folder, "--num-episodes", "7", "--seed", "3")
    scores = read_card(run_folder)["scores"]
    assert scores[:8] == both
    assert {(score["split"], score["num_episodes"], score["seed"]) for score in scores[8:]} == {("validation", 7, 3)}


def test_eval_may_put_its_pictures_elsewhere(cli, run_folder, tmp_path):
    folder = tmp_path / "some" / "pictures"
    assert cli("eval", run_folder, "--out", folder).status == 0
    assert {path.name for path in folder.iterdir()} == {"scanpaths.png", "gaze.gif"}
    assert not (run_folder / "gaze.gif").exists()
    assert len(read_card(run_folder)["scores"]) == 4


def test_eval_of_a_moved_folder(cli, run_folder, tmp_path):
    moved = run_folder.rename(tmp_path / "moved")
    assert cli("eval", moved).status == 0


def test_a_finished_run_that_was_scored_still_resumes_as_done(cli, command, run_folder):
    cli("eval", run_folder)
    scores = read_card(run_folder)["scores"]
    assert cli(*command(run_folder), "--resume").status == 0
    assert read_card(run_folder)["scores"] == scores


def test_scores_do_not_outlive_the_weights(cli, command, tmp_path, monkeypatch):
    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        stop_at(patch, 5, signal.SIGINT)
        assert cli(*command(folder)).status == 130
    assert cli("eval", folder).status == 0
    assert cli(*command(folder), "--resume").status == 0
    assert read_card(folder)["scores"] == []


def test_an_agent_without_its_training_state_is_not_overwritten(cli, command, run_folder):
    (run_folder / "training.safetensors").unlink()
    before = contents(run_folder)
    assert cli(*command(run_folder, seed=1)).status == 1
    assert contents(run_folder) == before


def damage_file(name: str, change):
    def damage(folder: Path) -> None:
        (folder / name).write_bytes(change((folder / name).read_bytes()))

    return damage


DAMAGES = {
    "no folder": (shutil.rmtree, "there is no folder"),
    "no card": (lambda folder: (folder / "agent.json").unlink(), "holds no agent"),
    "no weights": (lambda folder: (folder / WEIGHTS).unlink(), f"{WEIGHTS} is missing"),
    "weights cut short": (damage_file(WEIGHTS, lambda raw: raw[:-100]), f"{WEIGHTS} cannot be read"),
    "weights empty": (damage_file(WEIGHTS, lambda raw: b""), f"{WEIGHTS} cannot be read"),
    "weights of noise": (damage_file(WEIGHTS, lambda raw: b"\xff" * 1000), f"{WEIGHTS} cannot be read"),
    "weights with a flipped bit": (damage_file(WEIGHTS, lambda raw: raw[:-1] + bytes([raw[-1] ^ 1])), "checksum"),
    "card cut short": (damage_file("agent.json", lambda raw: raw[:100]), "agent.json cannot be read"),
    "card empty": (damage_file("agent.json", lambda raw: b""), "agent.json cannot be read"),
    "card of noise": (damage_file("agent.json", lambda raw: b"\xff\xfe"), "agent.json cannot be read"),
    "card of another program": (damage_file("agent.json", lambda raw: b'{"name": "x"}'), "this version reads"),
    "card that is a list": (damage_file("agent.json", lambda raw: b"[1, 2]"), "this version reads"),
    "card of an earlier format": (lambda folder: change_card(folder, format="glimpse_gym agent, format 1"), "format"),
    "card of a later format": (lambda folder: change_card(folder, format="glimpse_gym agent, format 3"), "format"),
    "card with unknown knobs": (lambda folder: change_card(folder, config={"depth": 3}), "depth"),
    "card without knobs": (lambda folder: change_card(folder, config=None), "does not say what an agent needs"),
    "env that is not there": (lambda folder: change_card(folder, env_id="glimpse_gym/Nothing-v0"), "doesn't exist"),
    "images that are gone": (lambda folder: change_card(folder, env_kwargs={"images": "gone.npz"}), "gone.npz"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_eval_of_a_damaged_folder(cli, run_folder, name):
    damage, said = DAMAGES[name]
    damage(run_folder)
    before = contents(run_folder)
    status, out, err = cli("eval", run_folder)
    assert (status, out) == (1, "")
    complaint = err.rpartition("\r")[2]  # before it the bar may have been
    assert len(complaint.splitlines()) == 1
    assert complaint.startswith("glimpse-gym eval: ")
    assert said in complaint
    assert "Traceback" not in err
    assert contents(run_folder) == before


TASK = {"glimpse_shape": [1, 4, 4], "num_scales": 1, "choice_name": "label", "num_choices": 2}
SHAPES = [
    {"task": TASK | {"num_choices": 7}},
    {"task": TASK | {"glimpse_shape": [1, 5, 5]}},
    {"config": vars(RAMConfig())},
]


@pytest.mark.parametrize("change", SHAPES, ids=str)
def test_eval_of_weights_of_another_shape(cli, run_folder, change):
    change_card(run_folder, **change)
    status, out, err = cli("eval", run_folder)
    assert (status, out) == (1, "")
    assert err.startswith(f"glimpse-gym eval: {run_folder / WEIGHTS} does not fit the agent that agent.json describes")
    assert "Traceback" not in err


def test_eval_of_weights_of_another_agent(cli, command, run_folder, tmp_path):
    assert cli(*command(tmp_path / "other", hidden_units=9, num_episodes=20)).status == 0
    shutil.copy(tmp_path / "other" / WEIGHTS, run_folder)
    status, _, err = cli("eval", run_folder)
    assert status == 1
    assert "does not fit" in err


ILL_FITTING = {
    "task": {"task": TASK | {"num_choices": "x"}},
    "glimpse_shape": {"task": TASK | {"glimpse_shape": 5}},
    "choice_name": {"task": TASK | {"choice_name": "word"}},
    "scores": {"scores": [{}]},
    "env_kwargs": {"env_kwargs": [1]},
    "env_id": {"env_id": 5},
}


@pytest.mark.parametrize("name", ILL_FITTING)
def test_eval_of_a_card_with_entries_of_the_wrong_kind(cli, run_folder, name):
    change_card(run_folder, **ILL_FITTING[name])
    status, _, err = cli("eval", run_folder)
    assert status == 1
    assert "agent.json" in err
    assert name in err


@pytest.mark.parametrize("values", [{"patch_size": 5}, {"num_classes": 5}, {"actions": "discrete"}], ids=str)
def test_eval_in_an_env_that_the_agent_was_not_made_for(cli, run_folder, values):
    change_card(run_folder, env_kwargs=read_card(run_folder)["env_kwargs"] | values)
    status, _, err = cli("eval", run_folder)
    assert status == 1
    assert re.search("was made for|does not fit|act in the hybrid form", err)


def test_eval_where_no_picture_can_be_written(cli, run_folder, tmp_path):
    (tmp_path / "file").write_text("in the way")
    status, out, err = cli("eval", run_folder, "--out", tmp_path / "file")
    assert status == 1
    assert tuple(read_table(out)) == ROWS  # what was measured is not lost
    assert str(tmp_path / "file") in err
    assert "Traceback" not in err


@pytest.mark.parametrize("number", [0, -3])
def test_eval_of_no_images(cli, run_folder, number):
    status, _, err = cli("eval", run_folder, "--num-episodes", number)
    assert status == 1
    assert f"num_episodes must be at least 1, got {number}" in err
    assert read_card(run_folder)["scores"] == []
