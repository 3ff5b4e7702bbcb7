"""Commands ``replay`` and ``export``."""

import pytest

from glimpse_gym.play.agent_player import AgentPlayer
from glimpse_gym.play.recording import open_recording, save_record
from recordings import catch_env, images_env, play
from runs import CATCH


@pytest.fixture
def folder(tmp_path):
    """A recording of three episodes of two players in two envs."""
    folder = open_recording(tmp_path / "records")
    (tmp_path / "data").mkdir()
    save_record(folder, play(images_env(tmp_path / "data"), seed=3, player="Ann"))
    save_record(folder, play(catch_env(), seed=1, player="Bob"))
    save_record(folder, play(catch_env(), seed=2, player="Bob"))
    return folder


@pytest.mark.parametrize("flags", [[], ["--verify"]], ids=str)
def test_replay_verifies_and_prints_a_table(cli, folder, flags):
    result = cli("replay", "--trust", folder, *flags)
    assert result.status == 0
    assert "images.npz' (images): permitted" in result.message
    head, ann, *bob, total_ann, total_bob = result.out.splitlines()
    assert " ".join(head.split()) == "episode player env seed glimpses seconds answer truth result replay"
    assert ann.split()[:5] == ["000001", "Ann", "Images-v0", "3", "3"]
    assert ann.split()[-2:] in (["wrong", "equal"], ["right", "equal"])
    assert [line.split()[:5] for line in bob] == [[f"00000{i}", "Bob", "Catch-v0", str(i - 1), "5"] for i in (2, 3)]
    assert total_ann.startswith("Ann: ")
    assert total_ann.endswith(" of 1 episodes successful")
    assert total_bob.endswith(" of 2 episodes successful")


@pytest.mark.parametrize("command", [["replay"], ["export", "--player", "Ann", "--minari", "people-v0"]], ids=str)
def test_recordings_ask_before_they_open_files(cli, folder, monkeypatch, tmp_path, command):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    result = cli(*command, folder)
    assert (result.status, result.out) == (1, "")
    images = str(tmp_path / "data" / "images.npz")
    assert f"asks to open the file or folder {images!r} (images): permit it (--trust" in result.message


def test_replay_shows_agents(cli, tmp_path):
    record = AgentPlayer("ram-catch").play(CATCH, {}, 0)
    save_record(tmp_path, record)
    result = cli("replay", tmp_path, "--verify")
    assert result.status == 0
    assert "ram-catch: 1 of 1 episodes successful" in result.out


def test_replay_names_episodes_that_differ(cli, folder, tmp_path):
    (tmp_path / "data" / "images.npz").rename(tmp_path / "elsewhere.npz")
    result = cli("replay", "--trust", folder, "--verify")
    assert result.status == 1
    assert [line.split()[-1] for line in result.out.splitlines()[1:4]] == ["differs", "equal", "equal"]
    assert result.err.splitlines()[-1].startswith(
        "000001-Ann.npz: the env of a recorded episode, glimpse_gym/Images-v0, cannot be"
    )


def test_replay_names_damaged_files_and_replays_the_others(cli, folder):
    (folder / "000002-Bob.npz").write_bytes(b"damaged")
    result = cli("replay", "--trust", folder, "--verify")
    assert result.status == 1
    assert "000002-Bob.npz is damaged" in result.err
    assert len(result.out.splitlines()) == 5


def test_replay_of_damaged_files_only(cli, folder):
    for path in folder.glob("*.npz"):
        path.write_bytes(b"damaged")
    result = cli("replay", "--trust", folder, "--verify")
    assert result.status == 1
    assert len(result.err.splitlines()) == 4
    assert result.err.splitlines()[-1] == f"glimpse-gym replay: no episode of {folder} can be read"


@pytest.mark.parametrize("command", [["replay", "--verify"], ["export", "--minari", "people-v0"]], ids=lambda c: c[0])
def test_folders_that_hold_no_recording(cli, tmp_path, command):
    for folder, message in ((tmp_path / "missing", "is not a folder"), (tmp_path, "holds no recorded episodes")):
        result = cli(*command, folder)
        assert result.status == 1
        assert message in result.message


def test_export_writes_a_data_set(cli, folder, monkeypatch, tmp_path):
    import minari

    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    result = cli("export", "--trust", folder, "--minari", "people-v0", "--player", "Bob", "--author", "Eve")
    assert (result.status, result.err) == (0, "")
    assert result.out == "2 episodes exported: minari.load_dataset('people-v0')\n"
    assert minari.load_dataset("people-v0").total_episodes == 2
    result = cli("export", "--trust", folder, "--minari", "people-v0", "--player", "Bob")
    assert result.status == 1
    assert "exists already" in result.message


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--player", "Zoe"], "holds no episodes of 'Zoe'; players: Ann, Bob"),
        ([], "holds episodes of one env, got glimpse_gym/Catch-v0"),
    ],
    ids=["player", "envs"],
)
def test_export_refuses(cli, folder, monkeypatch, tmp_path, options, message):

    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    result = cli("export", "--trust", folder, "--minari", "people-v0", *options)
    assert result.status == 1
    assert message in result.err
