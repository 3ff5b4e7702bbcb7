"""Commands ``play`` and ``watch``, on a display that does not exist."""

import errno
import re
import shutil
from pathlib import Path

import pytest
from PIL import Image

from glimpse_gym.agents.pretrained import agent_folder, pretrained_names
from glimpse_gym.play.recording import load_records
from glimpse_gym.rendering.window import Event, Window

MAX_PAGE_BYTES = 7_700_000
MNIST, CATCH = "glimpse_gym/MNIST-v0", "glimpse_gym/Catch-v0"


@pytest.fixture
def keys(monkeypatch):
    """Press keys in a window, one in each turn of its loop; then the user closes it."""

    def press(*names):
        remaining = list(names)

        def events(window, wait=0.0):
            if remaining:
                return [Event("key_down", remaining.pop(0))]
            window.close()
            return []

        monkeypatch.setattr(Window, "events", events)

    return press


# ---------------------------------------------------------------- play


def test_play_records_and_prints_totals(cli, keys, tmp_path):
    keys("space", "3", "return", "4", "return")
    folder = tmp_path / "new"
    result = cli("play", MNIST, "--episodes", "2", "--seed", "7", "--record", folder, "--player", "Ann")
    assert (result.status, result.err) == (0, "")
    first, second = load_records(folder)
    assert (first.player, first.seed, first.num_glimpses, first.choices[-1]) == ("Ann", 7, 2, 3)
    assert (second.seed, second.env_kwargs["split"]) == (8, "validation")
    assert f"you: {first.success + second.success} of 2" in result.out
    assert f"glimpse-gym replay {folder}" in result.out


def test_play_against_an_agent(cli, keys, tmp_path):
    keys("3")
    result = cli("play", MNIST, "--against", "ram-mnist", "--split", "test", "--record", tmp_path / "both")
    assert result.status == 0, result.err
    ours, theirs = load_records(tmp_path / "both")
    assert (ours.player, theirs.player) == ("human", "ram-mnist")
    assert (ours.seed, ours.env_kwargs) == (theirs.seed, theirs.env_kwargs)
    assert ours.env_kwargs["split"] == "test"
    assert "ram-mnist: " in result.out


def test_window_closed_in_mid_episode_loses_only_that_episode(cli, keys, tmp_path):
    keys("3", "return", "space", "space")
    result = cli("play", MNIST, "--record", tmp_path / "records")
    assert result.status == 0
    assert len(load_records(tmp_path / "records")) == 1


def test_full_disk(cli, keys, tmp_path, monkeypatch):
    def refuse(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", refuse)
    keys("3", "return", "4", "return")
    result = cli("play", MNIST, "--episodes", "2", "--record", tmp_path / "records")
    assert result.status == 1
    assert result.message.startswith("2 not recorded: an episode cannot be written")
    assert "you: " in result.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([MNIST, "--against", "ram-catch"], f"the agent ram-catch was made for {CATCH} and cannot play {MNIST}"),
        ([MNIST, "--against", "nobody"], "no pretrained agent and no folder is called nobody"),
        (["glimpse_gym/MNISTDiscrete-v0"], "use an id without 'Discrete' or 'Continuous'"),
        (["glimpse_gym/MNISTContinuous-v0"], "use an id without 'Discrete' or 'Continuous'"),
        ([CATCH, "--split", "test"], "has no splits: leave --split out"),
        (["--seed", "-1"], "--seed must be an integer from 0 to 18446744073709551615, got -1"),
        (["--episodes", "0"], "--episodes must be an integer from 1 to 2147483647, got 0"),
        (["--pace", "nan"], "--pace must be from 0.1 to 60 steps per second, got nan"),
        (["--scale", "9"], "--scale must be from 0.25 to 8, got 9.0"),
        (["--fps", "0"], "--fps must be from 1 to 1000, got 0"),
    ],
)
def test_play_refuses(cli, tmp_path, arguments, message):
    result = cli("play", *arguments, "--record", tmp_path / "records")
    assert result.status == 1
    assert message in result.message
    assert not (tmp_path / "records").exists()


def test_folder_of_other_files_is_refused(cli, tmp_path):
    (tmp_path / "thesis.tex").touch()
    for arguments in (["play", MNIST], ["watch", "ram-mnist"]):
        result = cli(*arguments, "--record", tmp_path)
        assert result.status == 1
        assert "holds other files than recorded episodes (thesis.tex)" in result.message


# ---------------------------------------------------------------- play in the browser


@pytest.fixture
def opened_addresses(monkeypatch, tmp_path):
    """Addresses that were opened in the browser, with a cache folder of this test."""
    addresses = []
    monkeypatch.setattr("webbrowser.open", lambda address: addresses.append(address) or True)
    monkeypatch.setattr("platformdirs.user_cache_path", lambda *args, **kwargs: tmp_path)
    return addresses


def test_page_is_opened_in_the_browser(cli, opened_addresses, tmp_path):
    path = tmp_path / "play.html"
    result = cli("play", "--browser")
    assert (result.status, result.out, result.err) == (0, f"{path}\n", "")
    assert opened_addresses == [path.as_uri()]
    assert path.read_text().startswith("<!doctype html>")


def test_page_is_written_to_a_file(cli, opened_addresses, tmp_path):
    path = tmp_path / "page.html"
    result = cli("play", "--browser", "--out", path)
    assert (result.status, result.out) == (0, f"{path}\n")
    assert path.is_file()
    assert opened_addresses == []


def test_page_without_a_browser(cli, opened_addresses, monkeypatch, tmp_path):
    monkeypatch.setattr("webbrowser.open", lambda address: False)
    result = cli("play", "--browser")
    assert result.status == 1
    assert result.out == f"{tmp_path / 'play.html'}\n"
    assert "no browser was found: open this file in one" in result.err


@pytest.mark.parametrize("name", ["mine", "ram-mnist", "ram-catch"])
def test_page_with_an_agent_of_ones_own_in_the_place_of_the_pretrained_one(cli, tmp_path, name):
    shutil.copytree(agent_folder("ram-mnist"), tmp_path / "runs" / name)
    path = tmp_path / "page.html"
    result = cli("play", "--browser", "--out", path, "--against", tmp_path / "runs" / name)
    if name == "ram-catch":  # the agent of another task
        assert "agents of the page must have different names" in result.message
        return
    assert result.status == 0, result.err
    page = path.read_text()
    names = [name, *(each for each in pretrained_names() if each != "ram-mnist")]
    assert re.findall(r'"name": "([^"]+)", "envId"', page) == names
    assert re.findall(r'glimpse\.addWeights\("([^"]+)"', page) == names
    assert len(page) < MAX_PAGE_BYTES


def test_page_with_a_pretrained_agent_is_that_of_all(cli, tmp_path):
    assert cli("play", "--browser", "--out", tmp_path / "page.html", "--against", "ram-mnist").status == 0
    page = (tmp_path / "page.html").read_text()
    assert sorted(re.findall(r'"name": "([^"]+)", "envId"', page)) == pretrained_names()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--browser", CATCH], "--browser does not take ENV: choose the task on the page"),
        (
            [*("--browser", "--seed", "3", "--env-arg", "num_glimpses=4", "--guess-every-glimpse")],
            "--browser does not take --guess-every-glimpse, --seed, --env-arg: ",
        ),
        (["--browser", "--against", "nobody"], "no pretrained agent and no folder is called nobody"),
        (["--out", "page.html"], "--out is the file of the page: give --browser too"),
    ],
)
def test_page_refuses(cli, opened_addresses, tmp_path, arguments, message):
    result = cli("play", *arguments)
    assert result.status == 1
    assert message in result.message
    assert opened_addresses == []
    assert list(tmp_path.iterdir()) == []


# ---------------------------------------------------------------- watch


def test_watch_until_closed(cli, keys, tmp_path):
    keys("down", "right")
    result = cli("watch", "ram-mnist", "--record", tmp_path / "records", "--seed", "3")
    assert (result.status, result.err) == (0, "")
    assert [(record.seed, record.is_agent) for record in load_records(tmp_path / "records")] == [(3, True), (4, True)]


def test_watch_saves_a_picture(cli, tmp_path):
    result = cli("watch", "ram-catch", "--save", tmp_path / "a.png", "--scale", "0.5")
    assert (result.status, result.out) == (0, f"{tmp_path / 'a.png'}\n")
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.size == (480, 320)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nobody"], "no pretrained agent and no folder is called nobody"),
        (["--episodes", "0"], "--episodes must be an integer from 1 to 2147483647, got 0"),
        (["--pace", "0"], "--pace must be from 0.1 to 60 steps per second, got 0.0"),
        (["--save", "a.bmp"], "--save must end in .gif, .mp4, .png, got a.bmp"),
    ],
)
def test_watch_refuses(cli, arguments, message):
    result = cli("watch", *arguments)
    assert result.status == 1
    assert message in result.message


def test_replay_checks_its_options_before_it_replays(cli, tmp_path):
    result = cli("replay", tmp_path / "missing", "--pace", "0")
    assert result.status == 1
    assert "--pace must be from 0.1 to 60" in result.message


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["glimpse_gym/Nope-v0"], "there is no env glimpse_gym/Nope-v0; 'glimpse-gym envs' lists them"),
        (["glimpse_gym/Catch-v0", "--guess-every-glimpse"], "needs an env with still images"),
    ],
    ids=["env", "guesses"],
)
def test_play_names_what_it_can_play(cli, arguments, message):
    result = cli("play", *arguments)
    assert result.status == 1
    assert message in result.message
