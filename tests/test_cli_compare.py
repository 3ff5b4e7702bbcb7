"""Command line: ``compare`` and ``figure``."""

import csv
import dataclasses
import json

import numpy as np
import pytest
from PIL import Image

from attention_mnist_files import random_trials, save
from glimpse_gym import extras
from glimpse_gym.play.agent_player import AgentPlayer
from glimpse_gym.play.attention_mnist import SELECTION_NOTE
from glimpse_gym.play.compare import CENTER_NOTE
from glimpse_gym.play.recording import open_recording, save_record
from recordings import catch_env, play
from test_imports import loaded_after

AGENT = "ram-mnist"
NUMBERS = ["accuracy.csv", "comparison.json", "similarity.csv"]
FIGURES = [f"{name}{suffix}" for name in ("error-against-glimpses", "heat-maps") for suffix in (".png", ".svg")]


@pytest.fixture(scope="module")
def agent_records():
    player = AgentPlayer(AGENT)
    return [player.play("glimpse_gym/MNIST-v0", {"split": "test"}, seed) for seed in range(4)]


@pytest.fixture(scope="module")
def folder(agent_records, tmp_path_factory):
    """A recording of an agent, and of a person who guessed after every glimpse, at the same four images."""
    folder = open_recording(tmp_path_factory.mktemp("recording") / "both")
    for seed, record in enumerate(agent_records):
        save_record(folder, record)
        rng = np.random.default_rng(seed)
        guesses = np.append(rng.integers(0, 10, 6), record.label)
        changes = {"choices": guesses, "guesses": guesses, "success": True, "guess_probs": None, "is_agent": False}
        places = np.append(record.locations[:1], rng.uniform(-1, 1, (7, 2)), axis=0).astype(np.float32)
        save_record(folder, dataclasses.replace(record, player="Ann", locations=places, **changes))
    return folder


@pytest.fixture
def attention_mnist(tmp_path):
    return save(tmp_path, random_trials(20))


def words(text):
    return " ".join(text.split())


# ---------------------------------------------------------------- compare


def test_compare_prints_tables(cli, folder):
    status, out, err = cli("compare", folder)
    assert (status, err) == (0, "")
    lines = [words(line) for line in out.splitlines()]
    assert lines[0] == 'glimpse_gym/MNIST-v0 (split="test")'
    assert lines[1] == "player trials success % s/glimpse"
    assert {line.partition(" 4 ")[0] for line in lines[2:4]} == {AGENT, "Ann"}
    assert any(line.startswith("Ann ram-mnist 0.") and "4 at 4 shared pictures" in line for line in lines)
    assert CENTER_NOTE in words(out)


def test_compare_writes_numbers_and_figures(cli, folder, tmp_path):
    out = tmp_path / "new" / "folder"
    result = cli("compare", folder, "--out", out)
    assert result.status == 0
    assert sorted(path.name for path in out.iterdir()) == sorted([*NUMBERS, *FIGURES])
    assert sorted(result.out.splitlines()[-7:]) == sorted(str(path) for path in out.iterdir())
    with (out / "accuracy.csv").open(newline="") as file:
        assert [row["glimpses"] for row in csv.DictReader(file)] == [str(t) for t in range(1, 8)] * 2
    players = json.loads((out / "comparison.json").read_text())["players"]
    assert {each["player"]: each["success"]["trials"] for each in players} == {AGENT: 4, "Ann": 4}


def test_compare_twice_writes_the_same(cli, folder, tmp_path):
    contents = []
    for name in "ab":
        assert cli("compare", folder, "--out", tmp_path / name).status == 0
        contents.append({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()})
    assert contents[0] == contents[1]


def test_an_agent_plays_the_same_episodes(cli, folder, agent_records):
    out = cli("compare", folder, "--agent", AGENT).out
    rows = [words(line) for line in out.splitlines() if line.startswith(("Ann ", AGENT))]
    assert [row.partition(" 4 ")[0] for row in rows[:4]] == [
        "Ann",
        *(AGENT, f"{AGENT}, random locations", f"{AGENT}, fixed at center"),
    ]
    successes = sum(record.success for record in agent_records)
    assert rows[1].startswith(f"{AGENT} 4 {100 * successes / 4:.1f}")


def test_attention_mnist(cli, folder, attention_mnist):
    result = cli("compare", folder, "--attention-mnist", attention_mnist, "--agent", AGENT)
    assert result.status == 0, result.err
    assert SELECTION_NOTE in words(result.out)
    assert "1 of the 4 images" in result.out
    rows = [words(line) for line in result.out.splitlines()]
    assert any(row.startswith("AttentionMNIST 20 100.0") for row in rows)
    assert any(row.startswith("AttentionMNIST ram-mnist, AttentionMNIST 0.") for row in rows)
    assert any(row.startswith("AttentionMNIST AttentionMNIST 0.") for row in rows)  # people among each other


def test_attention_mnist_alone(cli, attention_mnist, tmp_path):
    result = cli("compare", "--attention-mnist", attention_mnist, "--out", tmp_path / "out")
    assert result.status == 0, result.err
    notes = SELECTION_NOTE.split()
    for name in ("error-against-glimpses.svg", "heat-maps.svg"):  # text is stored as a comment next to its outlines
        assert notes[0] in (tmp_path / "out" / name).read_text()


def test_games(cli, tmp_path):
    folder = open_recording(tmp_path / "games")
    for seed in range(3):
        save_record(folder, play(catch_env(), seed))
        save_record(folder, play(catch_env(), seed, player="Ben"))
    result = cli("compare", folder, "--out", tmp_path / "out")
    assert result.status == 0, result.err
    assert "Accuracy" not in result.out
    assert "3 at 3 shared pictures" in result.out
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted([*NUMBERS, *FIGURES[2:]])


def test_several_folders(cli, folder, tmp_path):
    other = open_recording(tmp_path / "games")
    save_record(other, play(catch_env(), 0))
    out = cli("compare", folder, other).out
    assert 'glimpse_gym/MNIST-v0 (split="test")' in out
    assert "glimpse_gym/Catch-v0 (num_glimpses=5)" in out


def test_damaged_files_are_left_out(cli, folder, tmp_path):
    copy = open_recording(tmp_path / "copy")
    for path in folder.glob("*.npz"):
        (copy / path.name).write_bytes(path.read_bytes())
    damaged = sorted(copy.glob("*.npz"))[0]
    damaged.write_bytes(damaged.read_bytes()[:500])
    result = cli("compare", copy)
    assert result.status == 0
    assert result.message.startswith(f"left out: {damaged}")
    damaged_only = open_recording(tmp_path / "damaged")
    (damaged_only / damaged.name).write_bytes(b"")
    result = cli("compare", damaged_only)
    assert result.status == 1
    assert "is damaged" in result.err
    assert result.err.endswith(f"no episode of {damaged_only} can be read\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        *(([], "name a recording FOLDER"), (["no-such-folder"], "is not a folder")),
        (["--attention-mnist", "no-such-file"], "No such file"),
        (["{folder}", "--agent", "no-such-agent"], "no pretrained agent"),
        (["{folder}", "--agent", "ram-catch"], "cannot play the recorded episodes: the agent was made for"),
        (["{folder}", "--out", "{folder}/000001-ram-mnist.npz"], "File exists"),
    ],
)
def test_errors(cli, folder, arguments, message):
    result = cli("compare", *(argument.format(folder=folder) for argument in arguments))
    assert result.status == 1
    assert message in result.err.splitlines()[-1]


def test_damaged_attention_mnist(cli, tmp_path):
    trials = random_trials(3)
    del trials[1]["Data"]["Glimpse_1"]
    result = cli("compare", "--attention-mnist", save(tmp_path, trials))
    assert result.status == 1
    assert "damaged at trial 2 of 3" in result.message


def test_without_matplotlib(cli, folder, tmp_path, monkeypatch):
    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    assert cli("compare", folder).status == 0
    for arguments in (["compare", folder, "--out", tmp_path / "out"], ["figure", "errors", folder]):
        result = cli(*arguments)
        assert result.status == 1
        assert "matplotlib is not installed: pip install 'glimpse_gym[figures]'" in result.message
    assert not (tmp_path / "out").exists()


def test_tables_need_neither_torch_nor_matplotlib(folder):
    code = f"from glimpse_gym.cli import main\nassert main(['compare', {str(folder)!r}]) == 0"
    assert not loaded_after(code) & {"torch", "matplotlib", "pygame"}


# ---------------------------------------------------------------- figure


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        *(("scanpaths", ["--num-episodes", "3"]), ("belief", []), ("belief", ["--player", AGENT, "--episode", "3"])),
        *(("heat-maps", []), ("class-heat-maps", ["--player", "Ann"]), ("errors", ["--agent", AGENT])),
    ],
)
def test_figures(cli, folder, tmp_path, kind, options):
    result = cli("figure", kind, folder, *options, "--out", tmp_path / "figure")
    assert result.status == 0, result.err
    assert result.out.splitlines() == [str(tmp_path / "figure.svg"), str(tmp_path / "figure.png")]
    with Image.open(tmp_path / "figure.png") as picture:
        assert len(np.unique(np.asarray(picture.convert("L")))) > 10


def test_figure_of_attention_mnist(cli, attention_mnist, tmp_path):
    out = tmp_path / "a.svg"
    assert cli("figure", "class-heat-maps", "--attention-mnist", attention_mnist, "--out", out).status == 0
    assert "AttentionMNIST" in out.read_text()


def test_default_name_of_a_figure(cli, folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli("figure", "errors", folder).out.splitlines() == ["errors.svg", "errors.png"]


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["sculpture", "{folder}"], 2, "invalid choice: 'sculpture'"),
        (["errors", "{folder}", "--player", "Carl"], 1, "there is no player 'Carl'; there are ram-mnist, Ann"),
        (["belief", "{folder}", "--player", "Ann"], 1, "an agent's probabilities of labels"),
        (["belief", "{folder}", "--episode", "4"], 1, "--episode must be from 0 to 3, got 4"),
        (["errors", "{folder}", "--out", "a.pdf"], 1, ".svg or .png"),
        (["scanpaths", "{folder}", "--num-episodes", "0"], 1, "--num-episodes must be at least 1, got 0"),
    ],
)
def test_errors_of_figure(cli, folder, arguments, status, message):
    result = cli("figure", *(argument.format(folder=folder) for argument in arguments))
    assert result.status == status
    assert message in result.err.splitlines()[-1]
