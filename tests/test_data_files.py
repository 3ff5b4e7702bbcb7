"""Finding, reading and verifying the files of a data set."""

import gzip
import hashlib
import os

import pytest

from glimpse_gym.images.data_files import (
    DataError,
    find_file,
    find_missing,
    md5_of,
    read_content,
    read_verified,
    total_size,
)
from tiny_data import data_file, limited_memory

CONTENT = b"some content"
FILE = data_file("a", CONTENT)


def test_md5_and_size():
    assert md5_of(CONTENT) == hashlib.md5(CONTENT).hexdigest()
    assert total_size([FILE, FILE]) == 2 * len(CONTENT)


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_gzip_is_recognized_by_content_not_by_name(tmp_path, pack):
    (tmp_path / "any.name").write_bytes(pack(CONTENT))
    assert read_content(tmp_path / "any.name", 100) == CONTENT


def test_a_plain_file_is_preferred_to_a_compressed_one(tmp_path):
    assert find_file(tmp_path, FILE) is None
    (tmp_path / "a.gz").write_bytes(gzip.compress(CONTENT))
    assert find_file(tmp_path, FILE) == tmp_path / "a.gz"
    (tmp_path / "a").write_bytes(CONTENT)
    assert find_file(tmp_path, FILE) == tmp_path / "a"
    (tmp_path / "a").unlink()
    (tmp_path / "a").mkdir()  # a folder is not a file
    assert find_file(tmp_path, FILE) == tmp_path / "a.gz"
    assert read_verified(tmp_path, FILE) == CONTENT


def test_missing_and_damaged_files(tmp_path):
    other = data_file("b", b"other")
    (tmp_path / "a").write_bytes(CONTENT)
    assert find_missing(tmp_path, [FILE, other]) == [other]
    assert find_missing(tmp_path / "absent", [FILE, other]) == [FILE, other]
    (tmp_path / "b").write_bytes(b"0ther")
    with pytest.raises(DataError, match=rf"b is damaged: MD5 {md5_of(b'0ther')}, expected {other.md5}; delete it"):
        find_missing(tmp_path, [FILE, other])


def test_a_file_that_is_missing_cannot_be_read(tmp_path):
    with pytest.raises(DataError, match="absent: cannot be read"):
        read_content(tmp_path / "absent", 100)
    with pytest.raises(DataError, match="a: cannot be read"):
        read_verified(tmp_path, FILE)


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_file_larger_than_its_known_size_is_not_read_to_its_end(tmp_path, pack):
    (tmp_path / "a").write_bytes(pack(bytes(20_000_000)))
    with (
        limited_memory(1_000_000),
        pytest.raises(DataError, match="a is damaged: more than the expected 12 bytes; del"),
    ):
        read_verified(tmp_path, FILE)


def test_only_regular_files_are_read(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "fifo", tmp_path, "/dev/zero"):
        with pytest.raises(DataError, match="cannot be read, expected a complete file"):
            read_content(path, 100)
