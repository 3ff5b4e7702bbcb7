"""Reader of `.npz` files: what it reads, and what it refuses before it takes memory."""

import io
import os
import zipfile

import numpy as np
import pytest

from glimpse_gym.content_limit import ContentLimitError
from glimpse_gym.npz_files import read_arrays
from tiny_data import limited_memory

VALUES = np.arange(12, dtype=np.int16).reshape(3, 4)


def npy(array, version=None):
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array, version=version)
    return stream.getvalue()


def write(path, members, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_the_wanted_arrays_are_read_as_numpy_reads_them(tmp_path, save):
    arrays = {"a": VALUES, "text": np.array("text"), "b": np.asfortranarray(VALUES), "none": np.zeros((0, 3))}
    save(tmp_path / "a.npz", **arrays, other=np.zeros(5))
    found, names = read_arrays(tmp_path / "a.npz", {*arrays, "absent"})
    assert names == [*arrays, "other"]
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype


def test_arrays_that_are_not_wanted_may_be_of_any_kind_and_size(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", a=VALUES, large=np.zeros(10_000_000, np.uint8), objects=np.array([None]))
    found, _ = read_arrays(tmp_path / "a.npz", ["a"], max_bytes=1_000)
    np.testing.assert_array_equal(found["a"], VALUES)


def test_too_much_content_is_refused_before_memory_is_taken(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", a=np.zeros(10_000_000, np.uint8), b=np.zeros(10_000_000, np.uint8))
    message = r"a\.npz: its content takes 20,000,256 bytes.*max_bytes=50000640 or"
    with limited_memory(1_000_000), pytest.raises(ContentLimitError, match=message):
        read_arrays(tmp_path / "a.npz", "ab", max_bytes=30_000_000)


GOOD = npy(VALUES)
BAD_MEMBERS = {
    "objects": (npy(np.array([None])), "objects are never loaded"),
    "structured": (npy(np.zeros(3, "i4,f8")), "not a plain array"),
    "without bytes": (npy(np.zeros(3, "V0")), "not a plain array"),
    "too short": (GOOD[:-1], "'a' has 23 bytes of values, expected 24"),
    "too long": (GOOD + b"x", "'a' has 25 bytes of values, expected 24"),
    "a larger shape": (GOOD.replace(b"(3, 4), }" + b" " * 12, b"(3, 4000000000000), }"), "expected 24,000,000,000,000"),
    "negative shape": (GOOD.replace(b"(3, 4), }  ", b"(-3, -4), }"), "'a' has 24 bytes"),
    "version 3": (npy(VALUES, (3, 0)), "version"),
    "not an array": (b"text", "magic"),
    "empty": (b"", "EOF"),
    "deep header": (GOOD.replace(b"(3, 4), }  ", b"(((((((((()"), "TokenError|header"),
}


@pytest.mark.parametrize("name", BAD_MEMBERS)
def test_members_that_are_no_plain_arrays(tmp_path, name):
    content, message = BAD_MEMBERS[name]
    assert content != GOOD
    with pytest.raises(ValueError, match=f"(?i){message}"):
        read_arrays(write(tmp_path / "a.npz", {"a.npy": content}), ["a"])


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_compression_is_refused(tmp_path, method):
    with pytest.raises(ValueError, match="'a' is compressed by method"):
        read_arrays(write(tmp_path / "a.npz", {"a.npy": GOOD}, method), ["a"])


def test_an_endless_list_of_members(tmp_path):
    path = write(tmp_path / "a.npz", {f"{i:0200}": b"" for i in range(5_000)})
    with pytest.raises(ValueError, match=r"list of members takes 1,230,000 bytes, and the limit is 1,000,000"):
        read_arrays(path, ["a"])


def test_damage_of_any_kind_is_a_value_error_or_nothing(tmp_path):
    rng = np.random.default_rng(0)
    path = write(tmp_path / "a.npz", {"a.npy": GOOD, "b.npy": npy(np.array("text"))})
    content = path.read_bytes()
    refused = 0
    for _ in range(300):
        damaged = bytearray(content)
        for position in rng.integers(0, len(content), 2):
            damaged[position] = rng.integers(256)
        path.write_bytes(damaged)
        try:
            read_arrays(path, "ab")
        except ValueError:
            refused += 1
    assert refused > 100


def test_only_regular_files_are_read(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "fifo", "/dev/zero", tmp_path, tmp_path / "absent"):
        with pytest.raises(OSError, match=r"not a regular file|is a folder|No such file"):
            read_arrays(path, ["a"])
