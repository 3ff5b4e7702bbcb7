"""Command line: help, usage errors, ``envs``, ``data``, ``reproduce`` without a recipe, missing packages."""

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import glimpse_gym
from cli_runs import send_signals_at
from glimpse_gym import ENV_IDS
from glimpse_gym.agents.experiments import search_spaces
from glimpse_gym.agents.experiments.recipes import recipe_names
from glimpse_gym.agents.experiments.search_journal import Journal
from glimpse_gym.agents.experiments.search_spaces import search_names
from glimpse_gym.cli import commands
from glimpse_gym.extras import EXTRAS, require_extra
from glimpse_gym.images import DataError, datasets, download
from small_searches import make_search
from tiny_data import CONTENTS, NAMES, place

COMMANDS = ("envs", "data", "train", "eval", "reproduce", "card", "search", "report", "bench")


# ---------------------------------------------------------------- help and usage errors


@pytest.mark.parametrize("arguments", [["--help"], *([name, "--help"] for name in COMMANDS)])
def test_help_explains_every_option(cli, arguments):
    status, out, err = cli(*arguments)
    assert (status, err) == (0, "")
    assert out.startswith("usage: glimpse-gym")
    for option in re.findall(r"--[a-z-]+|\b[A-Z]{3,}\b", out.partition("\n\n")[0]):
        assert out.count(option) > 1 or option == "OPTIONS" or arguments[0] == "train", f"{option} is not explained"
    if arguments == ["--help"]:
        assert all(name in out for name in COMMANDS)


def test_help_shows_defaults(cli):
    assert "default: validation" in cli("eval", "--help").out
    assert "default: 256" in cli("bench", "--help").out


def test_version(cli):
    assert cli("--version") == (0, f"glimpse-gym {glimpse_gym.__version__}\n", "")


@pytest.mark.parametrize(
    "arguments",
    [
        *([], ["nothing"], ["envs", "more"], ["envs", "--more"], ["data", "mnist", "--more=1"]),
        *(["eval"], ["eval", "a", "--num-episodes=x"], ["eval", "a", "--split=all"]),
    ],
    ids=" ".join,
)
def test_usage_errors_exit_with_status_2(cli, arguments):
    status, out, err = cli(*arguments)
    assert (status, out) == (2, "")
    assert err.startswith("usage: glimpse-gym")


def test_python_dash_m():
    result = subprocess.run([sys.executable, "-m", "glimpse_gym", "--version"], capture_output=True, text=True)
    assert (result.returncode, result.stdout) == (0, f"glimpse-gym {glimpse_gym.__version__}\n")
    result = subprocess.run([sys.executable, "-m", "glimpse_gym", "data", "nothing"], capture_output=True, text=True)
    assert (result.returncode, len(result.stderr.splitlines())) == (1, 1)


# ---------------------------------------------------------------- envs


def refuse(*arguments, **kwargs):
    raise AssertionError(f"data was requested: {arguments}")


def test_envs_needs_no_data_and_no_network(cli, monkeypatch, tmp_path):
    monkeypatch.setenv("GLIMPSE_GYM_DATA", str(tmp_path))
    for module, name in (
        *((datasets, "fetch"), (datasets, "load"), (datasets, "_load_split")),
        *((download, "_download"), (socket, "socket")),
    ):
        monkeypatch.setattr(module, name, refuse)
    status, out, err = cli("envs")
    assert (status, err) == (0, "")
    parts = re.split(r"^(?=\S)", out, flags=re.MULTILINE)[1:]
    assert [part.split()[0] for part in parts] == list(ENV_IDS)
    for part in parts:
        assert re.search(r"^    observation  Dict\('glimpse': Box\(.*'location': .*'time': ", part, re.MULTILINE)
        hybrid = r"Dict\((?=.*'next_location': ).*'(label|move)': "
        env_id = part.split()[0]
        box = r"Box\(-1.0, 1.0, \(\d+,\), float32\)"
        action = r"Discrete\(\d+\)" if "Discrete" in env_id else box if "Continuous" in env_id else hybrid
        assert re.search(rf"^    action       {action}", part, re.MULTILINE)
    assert "(1, 8, 8)" in parts[0]
    assert "Discrete(35)" in parts[1]
    assert "Discrete(75)" in parts[-2]
    assert "Box(-1.0, 1.0, (5,), float32)" in parts[-1]
    assert os.listdir(tmp_path) == []


# ---------------------------------------------------------------- data


@pytest.fixture
def tiny_folder(register_tiny):
    """The folder of a complete data set, "tiny", that has no source to be downloaded from."""
    folder = register_tiny()
    place(folder)
    return folder


def test_data_prints_the_folder(cli, tiny_folder):
    assert cli("data", "tiny") == (0, f"tiny: complete and verified in {tiny_folder}\n", "")
    assert cli("data", "tiny", "tiny").out.count(str(tiny_folder)) == 2


def test_data_fetches_mnist_by_default(cli, monkeypatch):
    requested = []
    monkeypatch.setattr("glimpse_gym.cli.commands.fetch", lambda name: requested.append(name) or Path("folder"))
    assert cli("data") == (0, "mnist: complete and verified in folder\n", "")
    assert requested == ["mnist"]


def test_data_reports_a_damaged_file(cli, tiny_folder):
    path = tiny_folder / NAMES[-1]
    path.write_bytes(CONTENTS[NAMES[-1]][:-1] + b"\xff")
    status, out, err = result = cli("data", "tiny")
    assert (status, out) == (1, "")
    assert result.message.startswith(f"glimpse-gym data: {path} is damaged")
    assert "Traceback" not in err
    with pytest.raises(DataError, match="is damaged"):
        cli("--debug", "data", "tiny")


def test_data_reports_files_that_cannot_be_fetched(cli, tiny_folder):
    (tiny_folder / NAMES[1]).unlink()
    status, _, err = cli("data", "tiny")
    assert status == 1
    assert "glimpse-gym data: tiny could not be fetched" in err
    assert NAMES[1] in err
    assert str(tiny_folder) in err
    assert "Traceback" not in err


def test_data_refuses_an_unknown_name(cli):
    result = cli("data", "nothing")
    assert result.status == 1
    assert "'mnist', 'fashion-mnist'" in result.message
    assert "'nothing'" in result.message


# ---------------------------------------------------------------- reproduce


def test_reproduce_without_a_recipe_lists_all(cli):
    status, out, err = cli("reproduce")
    assert (status, err) == (0, "")
    assert [line.split()[0] for line in out.splitlines()] == recipe_names()
    assert "not trained" in out
    assert "2,000,000 episodes" in out


def test_reproduce_refuses_an_unknown_recipe(cli, tmp_path):
    result = cli("reproduce", "nothing", "--runs", tmp_path, "--results", tmp_path)
    assert result.status == 1
    assert "'nothing'" in result.message
    assert "ram-mnist" in result.message
    assert os.listdir(tmp_path) == []


# ---------------------------------------------------------------- search


def test_search_without_a_name_lists_all(cli):
    status, out, err = cli("search")
    assert (status, err) == (0, "")
    assert [line.split()[0] for line in out.splitlines()] == search_names()
    assert "12 trials of 800,000 episodes: learning_rate, sigma, batch_size, copies_per_image" in out


def test_search_refuses_an_unknown_name_and_a_wrong_number(cli, tmp_path):
    result = cli("search", "nothing", "--runs", tmp_path, "--results", tmp_path)
    assert result.status == 1
    assert "there is no search 'nothing'; the searches are" in result.message
    result = cli("search", search_names()[0], "--num-trials=0", "--runs", tmp_path, "--results", tmp_path)
    assert result.status == 1
    assert "num_trials must be an integer from 1" in result.message
    assert os.listdir(tmp_path) == []


def test_search_prints_the_table(cli, monkeypatch, tmp_path):
    search = make_search(tmp_path)
    monkeypatch.setattr(search_spaces, "load_search", lambda name: search)
    folders = ("--runs", tmp_path / "runs", "--results", tmp_path / "results")
    status, out, _ = cli("search", "paper-mine", "--num-trials=1", *folders)
    assert status == 0
    assert "Random search for the settings of `paper-mine`: 1 trial of 190 episodes, " in out
    assert "| trial | learning_rate | sigma |" in out
    assert os.listdir(tmp_path / "results" / "searches") == ["paper-mine.json"]


@pytest.mark.parametrize("signals", [[signal.SIGINT], [signal.SIGTERM], [signal.SIGINT, signal.SIGTERM]])
def test_search_that_is_stopped_says_how_to_resume(cli, monkeypatch, tmp_path, signals):
    search = make_search(tmp_path)
    monkeypatch.setattr(search_spaces, "load_search", lambda name: search)
    folders = ("--runs", tmp_path / "runs", "--results", tmp_path / "results")
    with monkeypatch.context() as patch:
        send_signals_at(patch, 3, *signals)
        status, out, err = cli("search", "paper-mine", *folders)
    assert (status, err.splitlines()[-1]) == (130, "stopped; the same command resumes the search")
    assert len(out.splitlines()) == 1
    status, out, _ = cli("search", "paper-mine", *folders)
    assert status == 0
    assert ": 3 trials of 190 episodes each, " in out


@pytest.fixture
def _default_handler_of_sigterm():
    """Other tests may leave another one behind: that of Ray ends the process."""
    previous = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGTERM, previous)


@pytest.mark.usefixtures("_default_handler_of_sigterm")
def test_search_that_is_stopped_between_trials_says_how_to_resume(cli, monkeypatch, tmp_path):
    search = make_search(tmp_path)
    monkeypatch.setattr(search_spaces, "load_search", lambda name: search)
    monkeypatch.setattr(Journal, "finish_trial", lambda *arguments: signal.raise_signal(signal.SIGTERM))
    status, _, err = cli("search", "paper-mine", "--runs", tmp_path / "runs", "--results", tmp_path / "results")
    assert (status, err.splitlines()[-1]) == (130, "stopped; the same command resumes the search")


def test_search_needs_optuna(cli, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "optuna", None)
    result = cli("search", search_names()[0])
    assert result.status == 1
    assert result.message == "glimpse-gym search: optuna is not installed: pip install 'glimpse_gym[search]'"
    assert os.listdir(tmp_path) == []


# ---------------------------------------------------------------- packages that are not installed


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "glimpse_gym/Catch-v0"],
        ["eval", "ram-catch"],
        ["reproduce", "ram-catch"],
        ["report"],
        ["search", search_names()[0]],
    ],
    ids=lambda arguments: arguments[0],
)
def test_missing_packages_are_all_named_at_once(cli, monkeypatch, tmp_path, arguments):
    monkeypatch.chdir(tmp_path)
    for name in ("torch", "matplotlib", "tensorboard"):
        monkeypatch.setitem(sys.modules, name, None)
    result = cli(*arguments)
    assert result.status == 1
    assert result.message == (
        f"glimpse-gym {arguments[0]}: torch, matplotlib and tensorboard are not installed: "
        "pip install 'glimpse_gym[agents]'"
    )
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("names", "subject"),
    [(["torch"], "torch is"), (["torch", "safetensors"], "torch and safetensors are"), ([], None)],
)
def test_require_extra(monkeypatch, names, subject):
    for name in names:
        monkeypatch.setitem(sys.modules, name, None)
    if subject is None:
        assert all(require_extra(extra) is None for extra in EXTRAS)
        return
    with pytest.raises(ModuleNotFoundError, match=f"^{subject} not installed: pip install"):
        require_extra("agents")


def test_errors_print_no_escape_codes_of_files(cli, monkeypatch):
    def fail():
        raise ValueError("a name \x1b[31mred\x00\nand a second line")

    monkeypatch.setattr(commands, "describe_envs", fail)
    assert cli("envs").err == "glimpse-gym envs: a name [31mred\nand a second line\n"
