"""Locks on folders: who is refused, what the message says, and when the lock is free again."""

import errno
import fcntl
import os
import shutil
import socket
import threading

import pytest

from glimpse_gym.folder_lock import LOCK, OWNER, FolderInUseError, lock_folder
from kills import run_forked, running


def hold(folder):
    """Make a function for `running` that holds the lock of a folder."""

    def function(wait):
        with lock_folder(folder):
            wait()

    return function


def attempt(folder):
    """Take the lock of a folder, and release it."""
    with lock_folder(folder):
        pass


def test_second_process_is_told_who_holds_the_lock(tmp_path):
    with running(hold(tmp_path)) as process, pytest.raises(FolderInUseError) as caught:
        attempt(tmp_path)
    message = str(caught.value)
    assert message.startswith(f"{tmp_path} is in use by process {process} on {socket.gethostname()} since 20")
    assert message.endswith("wait until it ends, stop it, or use another folder")


def test_lock_is_free_after_its_owner_was_killed(tmp_path):
    with running(hold(tmp_path)):
        pass
    assert (tmp_path / OWNER).exists()
    with lock_folder(tmp_path):
        assert (tmp_path / OWNER).read_text().startswith(f"process {os.getpid()} ")
    assert os.listdir(tmp_path) == [LOCK]


def test_another_process_gets_the_lock_after_the_block_even_if_it_raises(tmp_path):
    with pytest.raises(KeyError), lock_folder(tmp_path):
        raise KeyError
    assert run_forked(lambda: attempt(tmp_path)).error is None
    attempt(tmp_path)


def test_same_thread_holds_the_lock_several_times(tmp_path):
    with lock_folder(tmp_path):
        attempt(tmp_path)
        with pytest.raises(KeyError), lock_folder(tmp_path / "."):
            raise KeyError
        assert (tmp_path / OWNER).exists()
    assert os.listdir(tmp_path) == [LOCK]


def test_second_thread_is_refused_while_the_first_holds_the_lock(tmp_path):
    errors = []

    def try_to_lock():
        try:
            attempt(tmp_path)
        except FolderInUseError as error:
            errors.append(str(error))

    def run_thread():
        thread = threading.Thread(target=try_to_lock)
        thread.start()
        thread.join()

    with lock_folder(tmp_path):
        run_thread()
    (message,) = errors
    assert f"in use by process {os.getpid()} on" in message
    run_thread()
    assert len(errors) == 1


def test_locks_of_different_folders_are_independent(tmp_path):
    (tmp_path / "other").mkdir()
    with running(hold(tmp_path)):
        attempt(tmp_path / "other")


def test_links_in_the_folder_are_not_written_through(tmp_path):
    precious = tmp_path / "precious"
    precious.write_text("precious")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / OWNER).symlink_to(precious)
    attempt(folder)
    (folder / LOCK).unlink()
    (folder / LOCK).symlink_to(precious)
    with pytest.raises(OSError, match="symbolic link"):
        attempt(folder)
    assert precious.read_text() == "precious"


@pytest.mark.parametrize("kind", ["folder", "FIFO", "endless"])
def test_owner_that_is_no_text_file_is_neither_read_nor_in_the_way(tmp_path, kind):
    owner = tmp_path / OWNER

    def replace_owner():
        owner.unlink(missing_ok=True)
        if kind == "folder":
            owner.mkdir()
        elif kind == "FIFO":
            os.mkfifo(owner)
        else:
            owner.symlink_to("/dev/zero")

    def hold_with_strange_owner(wait):
        with lock_folder(tmp_path):
            replace_owner()
            wait()

    with (
        running(hold_with_strange_owner),
        pytest.raises(FolderInUseError, match="in use by another process: wait"),
    ):
        attempt(tmp_path)
    attempt(tmp_path)


def test_message_holds_no_characters_that_a_terminal_obeys(tmp_path):
    def hold_with_escape_sequence(wait):
        with lock_folder(tmp_path):
            (tmp_path / OWNER).write_bytes(b"process 7\x1b]0;title\x07\n\xff on host")
            wait()

    with running(hold_with_escape_sequence), pytest.raises(FolderInUseError) as caught:
        attempt(tmp_path)
    assert str(caught.value).isprintable()
    assert "process 7" in str(caught.value)


def test_folder_deleted_while_it_is_locked_does_not_hide_what_the_block_raises(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()

    def delete_while_locked():
        with lock_folder(folder):
            shutil.rmtree(folder)
            raise KeyError

    with pytest.raises(KeyError):
        delete_while_locked()
    assert not folder.exists()


def test_long_command_is_shortened(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["/usr/bin/glimpse-gym", *["x" * 100] * 50])
    with lock_folder(tmp_path):
        text = (tmp_path / OWNER).read_text()
    assert "(glimpse-gym xxx" in text
    assert len(text) < 400


def test_file_system_without_locks_is_an_error_and_leaves_no_lock_behind(tmp_path, monkeypatch):
    def refuse(*arguments):
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(OSError, match="cannot be locked: its file system has no locks"), lock_folder(tmp_path):
        pass
    assert OWNER not in {path.name for path in tmp_path.iterdir()}
