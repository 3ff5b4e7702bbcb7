"""Reads of files that may come from anyone, and checksummed JSON files."""

import json
import os
import socket
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from glimpse_gym.safe_io import (
    JSON_MEMORY,
    MAX_DEPTH,
    MAX_JSON_BYTES,
    open_regular,
    parse_json,
    read_bytes,
    read_checksummed_json,
    write_checksummed_json,
)
from kills import limit_file_size, run_forked

ENTRIES = {"name": "Zürich \u2028 \ud800", "values": [1, 2.5, None, True], "nested": {"empty": {}}, "text": '"}\n{'}


def make_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


def next_descriptor() -> int:
    """The file descriptor that the next open file gets: it is higher while other files are open."""
    descriptor = os.open(os.devnull, os.O_RDONLY)
    os.close(descriptor)
    return descriptor


SPECIAL_FILES = {"device": make_device, "FIFO": os.mkfifo, "socket": make_socket}


@pytest.mark.parametrize("read", [open_regular, read_checksummed_json, lambda path: read_bytes(path, 10)])
@pytest.mark.parametrize("kind", SPECIAL_FILES)
def test_special_files_are_refused_without_waiting(tmp_path, monkeypatch, kind, read):
    monkeypatch.chdir(tmp_path)  # the paths of sockets must be short
    SPECIAL_FILES[kind](Path(kind))
    with pytest.raises(OSError, match=f"{kind} is not a regular file: devices, FIFOs and sockets are not read"):
        read(kind)


def test_fifo_put_in_the_place_of_a_file_just_before_it_is_opened_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_bytes(b"content")
    really_open = os.open

    def replace_and_open(name, flags, *arguments):
        path.unlink()
        os.mkfifo(path)
        return really_open(name, flags, *arguments)

    monkeypatch.setattr(os, "open", replace_and_open)
    with pytest.raises(OSError, match="file is not a regular file"):
        open_regular(path)


def test_folder_and_missing_file(tmp_path):
    with pytest.raises(IsADirectoryError, match="is a folder, not a file"):
        read_bytes(tmp_path, 10)
    with pytest.raises(FileNotFoundError):
        read_bytes(tmp_path / "missing", 10)


def test_refused_files_do_not_stay_open(tmp_path):
    before = next_descriptor()
    for path in (tmp_path, "/dev/zero"):
        with pytest.raises(OSError, match="is"):
            read_bytes(path, 10)
    assert next_descriptor() == before


def test_limit_on_bytes(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    assert read_bytes(path, 10) == read_bytes(str(path), 11) == b"0123456789"
    with pytest.raises(ValueError, match="file is larger than the limit of 9 bytes"):
        read_bytes(path, 9)


def test_huge_file_is_refused(tmp_path):
    path = tmp_path / "sparse.json"
    path.touch()
    os.truncate(path, 2**40)
    with pytest.raises(ValueError, match="larger than the limit of 16,000,000 bytes"):
        read_checksummed_json(path)


@pytest.mark.parametrize("brackets", ["[", '{"a":'], ids=["lists", "objects"])
def test_deeply_nested_brackets_are_not_json(tmp_path, brackets):
    with pytest.raises(ValueError, match="nested too deeply"):
        parse_json(brackets * 200_000)
    (tmp_path / "file.json").write_text(brackets * 200_000)
    with pytest.raises(ValueError, match="nested too deeply"):
        read_checksummed_json(tmp_path / "file.json")


@pytest.mark.parametrize(
    "content", [b"", b"{", b"\xff\xfe", b"\x00" * 100, b"1" * 5_000], ids=lambda each: str(each[:4])
)
def test_content_that_is_not_json(tmp_path, content):
    path = tmp_path / "file.json"
    path.write_bytes(content)
    for read in (parse_json, lambda content: read_checksummed_json(path)):
        with pytest.raises(ValueError, match=r"."):
            read(content)


@pytest.mark.parametrize("kind", ["list", "dict"])
def test_depth_of_brackets_is_limited(kind):
    start, end = ("[", "]") if kind == "list" else ('{"a":', "}")
    for depth in (MAX_DEPTH, MAX_DEPTH + 1, 900):
        content = f"{start * (depth - 1)}[]{end * (depth - 1)}"
        if depth <= MAX_DEPTH:
            assert json.dumps(parse_json(content), separators=(",", ":")) == content
        else:
            with pytest.raises(ValueError, match="nested too deeply: more than 50 levels"):
                parse_json(content)


@pytest.mark.parametrize(("start", "end"), [("[", "]"), ('{"":', "}"), ('[{"":', "}]")], ids=["[", "{", "[{"])
def test_memory_of_parsed_json(start, end):
    nested = f"{start * 20}[]{end * 20}"
    # One character outside the basic plane makes the text take 4 bytes per character.
    content = f'["\U0001f600",{",".join([nested] * 5000)}]'.encode()
    tracemalloc.start()
    try:
        parse_json(content)
        memory = tracemalloc.get_traced_memory()[1] + len(content)
    finally:
        tracemalloc.stop()
    assert memory < JSON_MEMORY * len(content)


# -------------------------------------------------------------------------------------------------- checksummed


@pytest.fixture
def checksummed(tmp_path):
    write_checksummed_json(tmp_path / "checksummed.json", ENTRIES)
    return tmp_path / "checksummed.json"


def test_checksummed_file_is_json_and_intact(checksummed):
    assert read_checksummed_json(checksummed) == (ENTRIES, True)
    entries = json.loads(checksummed.read_text())
    assert list(entries) == [*ENTRIES, "checksum"]
    assert entries.pop("checksum") in checksummed.read_text()
    assert entries == ENTRIES


@pytest.mark.parametrize("indent", [1, 2])
def test_indentation_and_nan(tmp_path, indent):
    path = tmp_path / "checksummed.json"
    write_checksummed_json(path, {"value": float("inf")}, indent=indent)
    assert path.read_text().startswith("{\n" + indent * " " + '"value": Infinity')
    assert read_checksummed_json(path) == ({"value": float("inf")}, True)
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_checksummed_json(path, {"value": float("nan")}, allow_nan=False)
    assert read_checksummed_json(path).is_intact


def test_any_flipped_bit_is_found(checksummed):
    content = checksummed.read_bytes()
    for position in range(8 * len(content)):
        changed = bytearray(content)
        changed[position // 8] ^= 1 << position % 8
        checksummed.write_bytes(changed)
        try:
            is_intact = read_checksummed_json(checksummed).is_intact
        except ValueError:
            continue
        assert not is_intact, f"bit {position} of {changed}"


def test_any_cut_inserted_or_removed_byte_is_found(checksummed):
    content = checksummed.read_bytes()
    variants = [content[:length] for length in range(len(content))]
    variants += [content[:at] + content[at + 1 :] for at in range(len(content))]
    variants += [content[:at] + byte + content[at:] for at in range(len(content) + 1) for byte in (b" ", b"\n", b"0")]
    for changed in variants:
        checksummed.write_bytes(changed)
        try:
            is_intact = read_checksummed_json(checksummed).is_intact
        except ValueError:
            continue
        assert not is_intact, changed


def test_ends_of_lines_may_change(checksummed):
    checksummed.write_bytes(checksummed.read_bytes().replace(b"\n", b"\r\n"))
    assert read_checksummed_json(checksummed) == (ENTRIES, True)


@pytest.mark.parametrize("content", ["[]", "3", '"checksum"', "null", "{}", '{"checksum": 3}', '{"checksum": "a"}\n'])
def test_json_without_a_checksum_is_not_intact(tmp_path, content):
    path = tmp_path / "file.json"
    path.write_text(content)
    entries, is_intact = read_checksummed_json(path)
    assert not is_intact
    assert entries == ({} if content.startswith("{") else json.loads(content))


def test_entry_called_checksum_is_replaced(tmp_path):
    path = tmp_path / "checksummed.json"
    write_checksummed_json(path, {"checksum": "of another file", "last": '"checksum": "'})
    assert read_checksummed_json(path) == ({"last": '"checksum": "'}, True)


def test_failed_write_keeps_the_old_file(checksummed):
    before = checksummed.read_bytes()
    with pytest.raises(TypeError):
        write_checksummed_json(checksummed, {"value": np.zeros(3)})
    ending = run_forked(
        lambda: write_checksummed_json(checksummed, ENTRIES | {"more": "x" * 1000}), limit_file_size(500)
    )
    assert isinstance(ending.error, OSError)
    assert str(checksummed) in str(ending.error)
    assert checksummed.read_bytes() == before
    assert os.listdir(checksummed.parent) == [checksummed.name]


def test_limit_holds_for_what_was_written(tmp_path):
    path = tmp_path / "checksummed.json"
    write_checksummed_json(path, {"text": "x" * MAX_JSON_BYTES})
    with pytest.raises(ValueError, match="larger than the limit"):
        read_checksummed_json(path)
