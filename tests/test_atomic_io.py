"""Files that are either wholly there or not at all."""

import os
import stat
from pathlib import Path

import pytest

from glimpse_gym.atomic_io import atomic_write


class Stopped(BaseException):
    """No Exception, as KeyboardInterrupt is none."""


def free_descriptor() -> int:
    """The descriptor that the next file will get: a higher one after something was left open."""
    descriptor = os.open(os.devnull, os.O_RDONLY)
    os.close(descriptor)
    return descriptor


def broken(*arguments):
    raise OSError(28, "No space left on device")


@pytest.fixture(autouse=True)
def nothing_left_open():
    before = free_descriptor()
    yield
    assert free_descriptor() == before


@pytest.fixture
def path(tmp_path):
    return tmp_path / "results.json"


@pytest.mark.parametrize("kind", [Path, str])
def test_a_new_file(path, kind):
    with atomic_write(kind(path)) as temporary:
        temporary.write_bytes(b"new")
        assert not path.exists()
    assert path.read_bytes() == b"new"
    assert os.listdir(path.parent) == [path.name]


def test_the_old_file_stands_until_the_end(path):
    path.write_bytes(b"old, and longer")
    with atomic_write(path) as temporary:
        temporary.write_bytes(b"new")
        assert path.read_bytes() == b"old, and longer"
    assert path.read_bytes() == b"new"
    assert os.listdir(path.parent) == [path.name]


def test_the_temporary_file_lies_beside_it_hidden_and_with_its_ending(path):
    with atomic_write(path) as temporary:
        assert temporary.parent == path.parent
        assert temporary.suffix == path.suffix
        assert temporary.name.startswith(".")


def test_each_writer_has_a_temporary_file_of_its_own(path):
    with atomic_write(path) as first, atomic_write(path) as second:
        first.write_text("first")
        second.write_text("second")
    assert path.read_text() == "first"  # it ended last
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_permissions_are_those_of_any_new_file(path, mask):
    before = os.umask(mask)
    try:
        with atomic_write(path) as temporary:
            temporary.write_text("new")
        other = path.with_name("other")
        other.write_text("new")
        assert os.umask(mask) == mask  # the mask is left as it was
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(other.stat().st_mode)


@pytest.mark.parametrize("error", [ValueError, OSError, KeyboardInterrupt, Stopped, GeneratorExit])
@pytest.mark.parametrize("old", [None, b"old"])
def test_a_failure_within_leaves_all_as_it_was(path, error, old):
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
def test_a_failure_at_the_end_leaves_all_as_it_was(path, function, monkeypatch):
    path.write_bytes(b"old")
    monkeypatch.setattr(os, function, broken)
    with pytest.raises(OSError, match="No space left"), atomic_write(path) as temporary:
        temporary.write_bytes(b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(path.parent) == [path.name]


def test_it_is_on_the_disk_before_it_takes_the_name(path, monkeypatch):
    done = []

    def noting(function, note):
        def call(*arguments):
            done.append(note(*arguments))
            return function(*arguments)

        return call

    monkeypatch.setattr(os, "fsync", noting(os.fsync, lambda descriptor: ("fsync", os.fstat(descriptor).st_size)))
    monkeypatch.setattr(os, "replace", noting(os.replace, lambda source, target: ("replace", target)))
    with atomic_write(path) as temporary:
        temporary.write_bytes(b"new")
    assert done == [("fsync", 3), ("replace", path)]


def test_in_the_place_of_a_folder(path):
    path.mkdir()
    with pytest.raises(OSError, match="directory"), atomic_write(path) as temporary:
        temporary.write_text("new")
    assert path.is_dir()
    assert os.listdir(path.parent) == [path.name]


def test_where_the_writer_took_the_temporary_file_away(path):
    path.write_bytes(b"old")
    with pytest.raises(FileNotFoundError), atomic_write(path) as temporary:
        temporary.unlink()
    assert path.read_bytes() == b"old"
    assert os.listdir(path.parent) == [path.name]


def test_where_there_is_no_folder(path):
    with pytest.raises(FileNotFoundError), atomic_write(path.parent / "nowhere" / path.name):
        pytest.fail("there is nothing to write to")
    assert os.listdir(path.parent) == []
