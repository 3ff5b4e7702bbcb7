"""Atomic file writes."""

import errno
import itertools
import os
import stat
from pathlib import Path

import pytest

from glimpse_gym.atomic_io import atomic_write, remove_temporary_files
from kills import kill_at, limit_file_size, run_forked


class Interrupted(BaseException):
    """Like KeyboardInterrupt, not a subclass of Exception."""


def next_descriptor() -> int:
    """The file descriptor that the next open file gets: it is higher while other files are open."""
    descriptor = os.open(os.devnull, os.O_RDONLY)
    os.close(descriptor)
    return descriptor


def fail(*arguments):
    raise OSError(28, "No space left on device")


@pytest.fixture(autouse=True)
def no_open_files_left():
    before = next_descriptor()
    yield
    assert next_descriptor() == before


@pytest.fixture
def path(tmp_path):
    return tmp_path / "results.json"


@pytest.mark.parametrize("kind", [Path, str])
def test_new_file(path, kind):
    with atomic_write(kind(path)) as temporary:
        temporary.write_bytes(b"new")
        assert not path.exists()
    assert path.read_bytes() == b"new"
    assert os.listdir(path.parent) == [path.name]


def test_old_file_is_readable_until_the_end(path):
    path.write_bytes(b"old, and longer")
    with atomic_write(path) as temporary:
        temporary.write_bytes(b"new")
        assert path.read_bytes() == b"old, and longer"
    assert path.read_bytes() == b"new"
    assert os.listdir(path.parent) == [path.name]


def test_temporary_file_is_hidden_in_same_folder_with_same_suffix(path):
    with atomic_write(path) as temporary:
        assert temporary.parent == path.parent
        assert temporary.suffix == path.suffix
        assert temporary.name.startswith(".")


def test_concurrent_writers_use_different_temporary_files(path):
    with atomic_write(path) as first, atomic_write(path) as second:
        first.write_text("first")
        second.write_text("second")
    assert path.read_text() == "first"  # it finished last
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_permissions_follow_umask(path, mask):
    before = os.umask(mask)
    try:
        with atomic_write(path) as temporary:
            temporary.write_text("new")
        other = path.with_name("other")
        other.write_text("new")
        assert os.umask(mask) == mask  # the mask is unchanged
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(other.stat().st_mode)


@pytest.mark.parametrize("error", [ValueError, OSError, KeyboardInterrupt, Interrupted, GeneratorExit])
@pytest.mark.parametrize("old", [None, b"old"])
def test_failure_in_block_changes_nothing(path, error, old):
    if old:
        path.write_bytes(old)

    def write():
        with atomic_write(path) as temporary:
            temporary.write_bytes(b"half of the n")
            raise error

    with pytest.raises(error):
        write()
    assert (path.read_bytes() if path.exists() else None) == old
    assert os.listdir(path.parent) == ([path.name] if old else [])


@pytest.mark.parametrize("function", ["fsync", "replace"])
def test_failure_of_fsync_or_rename_changes_nothing(path, function, monkeypatch):
    path.write_bytes(b"old")
    monkeypatch.setattr(os, function, fail)
    with pytest.raises(OSError, match="No space left"), atomic_write(path) as temporary:
        temporary.write_bytes(b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(path.parent) == [path.name]


def test_fsync_before_rename(path, monkeypatch):
    calls = []

    def logging(function, describe):
        def call(*arguments):
            calls.append(describe(*arguments))
            return function(*arguments)

        return call

    monkeypatch.setattr(os, "fsync", logging(os.fsync, lambda descriptor: ("fsync", os.fstat(descriptor).st_size)))
    monkeypatch.setattr(os, "replace", logging(os.replace, lambda source, target: ("replace", target)))
    with atomic_write(path) as temporary:
        temporary.write_bytes(b"new")
    assert calls == [("fsync", 3), ("replace", path)]


def test_path_is_a_folder(path):
    path.mkdir()
    with pytest.raises(OSError, match="directory"), atomic_write(path) as temporary:
        temporary.write_text("new")
    assert path.is_dir()
    assert os.listdir(path.parent) == [path.name]


def test_temporary_file_removed_by_the_block(path):
    path.write_bytes(b"old")
    with pytest.raises(FileNotFoundError), atomic_write(path) as temporary:
        temporary.unlink()
    assert path.read_bytes() == b"old"
    assert os.listdir(path.parent) == [path.name]


def test_missing_folder(path):
    missing = path.parent / "missing" / path.name
    with pytest.raises(FileNotFoundError) as caught, atomic_write(missing):
        pytest.fail("the block must not run")
    assert caught.value.filename == str(missing)
    assert os.listdir(path.parent) == []


@pytest.mark.parametrize("limit", [0, 1, 999])
def test_full_disk_is_an_error_that_names_the_path(path, limit):
    path.write_bytes(b"")

    def write():
        with atomic_write(path) as temporary:
            temporary.write_bytes(b"x" * 1000)

    error = run_forked(write, limit_file_size(limit)).error
    assert isinstance(error, OSError)
    assert (error.errno, error.filename) == (errno.EFBIG, str(path))
    assert os.listdir(path.parent) == [path.name]
    assert path.read_bytes() == b""


def test_kill_at_any_file_operation_leaves_the_old_or_the_new_file(path):
    def write():
        with atomic_write(path) as temporary:
            temporary.write_bytes(b"new")

    contents = []
    for number in itertools.count(1):
        path.write_bytes(b"old")
        ending = run_forked(write, kill_at(number, path.parent))
        contents.append(path.read_bytes())
        remove_temporary_files(path)
        assert os.listdir(path.parent) == [path.name]
        if not ending.was_killed:
            break
    assert contents == [b"old"] * 5 + [b"new"]  # mkstemp, write, flush, chmod, rename


@pytest.mark.parametrize("error", [OSError("no room"), OSError(5, "Input/output error"), OSError(5, "broken", None)])
def test_errors_without_a_file_name_the_path(path, error):
    with pytest.raises(OSError, match=r"results\.json.*") as caught, atomic_write(path):
        raise error
    assert error.args[-1] is None or str(error.args[-1]) in str(caught.value)


def test_errors_of_other_files_keep_their_name(path):
    with pytest.raises(FileNotFoundError, match=r"other\.json"), atomic_write(path):
        path.with_name("other.json").read_text()


def test_temporary_files_of_killed_writers_are_removed_and_no_others(path):
    leftovers = [path.with_name(".results-abcd_123.json"), path.with_name(".results-01234567.json")]
    others = [path, path.with_name(".results-1.json"), path.with_name(".results-01234567.csv"), path.with_name("a")]
    for each in leftovers + others:
        each.touch()
    remove_temporary_files(str(path))
    assert sorted(path.parent.iterdir()) == sorted(others)
