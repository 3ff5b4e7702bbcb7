"""Recordings: written atomically, read again, damaged, full disks, several players in one folder."""

import dataclasses
import errno
import json
import os
import re
import resource
import shutil
import signal
import stat
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from glimpse_gym.folder_lock import lock_folder
from glimpse_gym.play import recording
from glimpse_gym.play.episode_record import FORMAT, RecordError, load_record
from glimpse_gym.play.recording import (
    RecordWarning,
    load_recording,
    load_records,
    open_recording,
    record_paths,
    save_record,
)
from recordings import ARRAYS, assert_same_record, catch_env, images_env, play

PAGE = Path(__file__).parents[1] / "docs" / "recordings.md"


@pytest.fixture(scope="module", params=["images", "catch"])
def record(request, tmp_path_factory):
    return play(images_env(tmp_path_factory.mktemp("data")) if request.param == "images" else catch_env())


@pytest.fixture(scope="module")
def catch_record():
    return play(catch_env(), player="Bob")


# ---------------------------------------------------------------- writing and reading


def test_a_saved_record_is_read_again(record, tmp_path):
    path = save_record(open_recording(tmp_path / "a" / "b"), record)
    assert path.name == "000001-Ann.npz"
    assert_same_record(load_record(path), record)
    assert load_records(path.parent)[0].retina.patch_size == record.patch_size


def test_probabilities_of_agents_are_kept(catch_record, tmp_path):
    n = catch_record.num_steps
    agent = dataclasses.replace(
        catch_record,
        is_agent=True,
        guess_probs=np.full((n, 3), 1 / 3, np.float32),
        location_means=np.zeros((n, 2), np.float32),
        location_std=0.1,
    )
    assert_same_record(load_record(save_record(tmp_path, agent)), agent)


def test_color_images_are_kept(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (20, 8, 9, 3), np.uint8)
    np.savez(tmp_path / "color.npz", images=images, labels=np.arange(20) % 3)
    record = play(images_env(tmp_path, images=tmp_path / "color.npz"))
    found = load_record(save_record(tmp_path, record))
    assert found.image.shape == (8, 9, 3)
    assert (images == found.image).all(axis=(1, 2, 3)).sum() == 1
    assert found.glimpses.shape[1] == 3


def test_files_are_numbered_in_the_order_of_the_ends(record, catch_record, tmp_path):
    for each in (record, catch_record, record):
        save_record(tmp_path, each)
    assert [path.name for path in record_paths(tmp_path)] == ["000001-Ann.npz", "000002-Bob.npz", "000003-Ann.npz"]
    (tmp_path / "000003-Ann.npz").rename(tmp_path / "999999-Ann.npz")
    assert save_record(tmp_path, record).name == "1000000-Ann.npz"
    assert [path.name for path in record_paths(tmp_path)][-2:] == ["999999-Ann.npz", "1000000-Ann.npz"]


@pytest.mark.parametrize("player", ["../../evil", "a b/c", "", "...", "Zoë", "con:1", "x" * 500, "[ab]*?"])
def test_any_player_name_makes_a_file_in_the_folder(catch_record, tmp_path, player):
    folder = open_recording(tmp_path / "records")
    path = save_record(folder, dataclasses.replace(catch_record, player=player))
    assert path.parent == folder
    assert load_record(path).player == player
    assert record_paths(open_recording(folder)) == [path]


def test_files_have_the_usual_permissions(catch_record, tmp_path):
    (tmp_path / "plain").touch()
    path = save_record(tmp_path / ".", catch_record)
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE((tmp_path / "plain").stat().st_mode)


def test_the_page_describes_every_array_and_key(record, tmp_path):
    text = PAGE.read_text()
    with np.load(save_record(tmp_path, record), allow_pickle=False) as file:
        metadata = json.loads(str(file["metadata"]))
        names = set(file.files)
    assert names | {"guess_probs", "location_means"} == ARRAYS | {"metadata"}
    described = set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`[^|]*)\|", text, re.MULTILINE))))
    assert described == ARRAYS | {"metadata"} | metadata.keys()
    assert metadata["format"] == FORMAT
    assert FORMAT in text


def test_the_example_of_the_page_needs_numpy_alone(record, tmp_path):
    (tmp_path / "FOLDER").mkdir()
    save_record(tmp_path / "FOLDER", dataclasses.replace(record, player="PLAYER"))
    (example,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(example.splitlines()) <= 11
    check = "\nimport sys\nassert 'glimpse_gym' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", example + check], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"PLAYER {record.env_id} 0 success: {record.success}\nlooked at [[")


# ---------------------------------------------------------------- folders


def test_a_folder_of_other_files_is_refused(tmp_path):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(RecordError, match=r"holds other files than recorded episodes \(thesis\.tex\): record into"):
        open_recording(tmp_path)
    assert os.listdir(tmp_path) == ["thesis.tex"]


def test_a_folder_of_episodes_is_continued(catch_record, tmp_path):
    save_record(tmp_path, catch_record)
    (tmp_path / ".hidden").touch()
    assert save_record(open_recording(tmp_path), catch_record).name == "000002-Bob.npz"


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(RecordError, match="is not a folder"):
            open_recording(path)
        with pytest.raises(RecordError, match="is not a folder"):
            load_records(path)


def test_a_folder_that_cannot_be_written_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(RecordError, match=r"cannot be written \(permission denied\): record into another folder"):
        open_recording(tmp_path)


def test_a_folder_that_cannot_be_made_is_refused(monkeypatch, tmp_path):
    def refuse(*args, **kwargs):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(RecordError, match="cannot be made or read"):
        open_recording(tmp_path / "new")


def test_an_empty_folder_holds_no_recording(tmp_path):
    with pytest.raises(RecordError, match="holds no recorded episodes"):
        load_records(tmp_path)


def test_two_processes_record_into_one_folder(catch_record, tmp_path):
    source = save_record(open_recording(tmp_path / "source"), catch_record)
    folder = open_recording(tmp_path / "records")
    code = """
        import sys
        import glimpse_gym
        glimpse_gym.__path__[:] = sys.argv[1].split(",")
        from glimpse_gym.play.recording import load_record, save_record
        record = load_record(sys.argv[2])
        print("ready", flush=True)
        sys.stdin.readline()
        for _ in range(40):
            save_record(sys.argv[3], record)
    """
    import glimpse_gym

    arguments = [",".join(glimpse_gym.__path__), source, folder]
    command = [sys.executable, "-c", textwrap.dedent(code), *arguments]
    players = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for player in players:
        assert player.stdout.readline() == "ready\n"
    for player in players:
        player.stdin.write("go\n")
        player.stdin.flush()
    for player in players:
        player.communicate(timeout=60)
        assert player.returncode == 0
    assert [path.name for path in record_paths(folder)] == [f"{number:06d}-Bob.npz" for number in range(1, 81)]
    assert len(load_records(folder)) == 80


# ---------------------------------------------------------------- full disks and crashes


def visible_and_hidden(folder):
    return sorted(path.name for path in folder.iterdir() if path.name != ".lock")


@pytest.mark.parametrize("function", ["write", "fsync", "replace"])
def test_a_full_disk_leaves_nothing_behind(monkeypatch, catch_record, tmp_path, function):
    save_record(tmp_path, catch_record)

    def refuse(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(*((Path, "write_bytes") if function == "write" else (os, function)), refuse)
        with pytest.raises(RecordError, match=r"\(No space left on device\), and is not recorded: free some space"):
            save_record(tmp_path, catch_record)
    assert visible_and_hidden(tmp_path) == ["000001-Bob.npz"]
    assert save_record(tmp_path, catch_record).name == "000002-Bob.npz"
    assert len(load_records(tmp_path)) == 2


def test_a_file_that_grows_beyond_the_limit_leaves_nothing_behind(catch_record, tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    previous = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(RecordError, match="cannot be written to"):
            save_record(tmp_path, catch_record)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, previous)
    assert visible_and_hidden(tmp_path) == []


def test_what_a_killed_writer_left_is_ignored_and_removed(catch_record, tmp_path):
    save_record(tmp_path, catch_record)
    leftover = tmp_path / ".000002-Bob-abcd1234.npz"
    leftover.write_bytes(b"half")
    assert len(load_records(open_recording(tmp_path))) == 1
    save_record(tmp_path, catch_record)
    assert visible_and_hidden(tmp_path) == ["000001-Bob.npz", "000002-Bob.npz"]


def test_a_writer_that_never_ends_is_an_error(monkeypatch, catch_record, tmp_path):
    monkeypatch.setattr(recording, "_LOCK_SECONDS", 0.1)

    def save():
        with pytest.raises(RecordError, match=rf"cannot be written to .* is in use by process {os.getpid()} on "):
            save_record(tmp_path, catch_record)

    with lock_folder(tmp_path), ThreadPoolExecutor() as threads:
        threads.submit(save).result()


# ---------------------------------------------------------------- damaged files


def test_damaged_files_are_listed_and_the_others_are_read(catch_record, tmp_path):
    paths = [save_record(tmp_path, catch_record) for _ in range(3)]
    paths[1].write_bytes(paths[1].read_bytes()[:500])
    records, damaged = load_recording(tmp_path)
    assert list(records) == [paths[0], paths[2]]
    assert list(damaged) == [paths[1]]
    assert "000002-Bob.npz is damaged" in str(damaged[paths[1]])
    with pytest.warns(RecordWarning, match=r"000002-Bob\.npz is damaged"):
        assert len(load_records(tmp_path)) == 2


def test_a_folder_of_damaged_files_is_an_error(catch_record, tmp_path):
    save_record(tmp_path, catch_record).write_bytes(b"")
    with pytest.raises(RecordError, match=r"000001-Bob\.npz is damaged"):
        load_records(tmp_path)


def test_a_changed_byte_is_noticed_or_changes_nothing(catch_record, tmp_path):
    path = save_record(tmp_path, catch_record)
    content = path.read_bytes()
    rng = np.random.default_rng(0)
    noticed = 0
    for position in rng.integers(0, len(content), 300):
        damaged = bytearray(content)
        damaged[position] ^= int(rng.integers(1, 256))
        path.write_bytes(damaged)
        records, errors = load_recording(tmp_path)
        noticed += len(errors)
        for found in records.values():
            assert_same_record(found, catch_record)
    assert noticed > 200


def test_a_recording_can_be_copied(catch_record, tmp_path):
    save_record(open_recording(tmp_path / "a"), catch_record)
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    assert_same_record(load_records(tmp_path / "b")[0], catch_record)
