"""Named data sets: the table, their folders, and loading."""

import gzip
import hashlib
import io
import threading
import time
from collections import Counter

import numpy as np
import pytest

from glimpse_gym.images import data_files, open_images
from glimpse_gym.images import datasets as data
from tiny_data import CONTENTS, NAMES, assert_holds, data_file, files_in, place, refuse_network

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


def test_table_of_data_sets():
    for name, data_set in data.DATA_SETS.items():
        assert data_set.name == name
        assert len({file.name for file in data_set.files}) == len(data_set.files)
        assert len({file.md5 for file in data_set.files}) == len(data_set.files)
        assert all(len(bytes.fromhex(file.md5)) == 16 for file in data_set.files)
        assert all(mirror.startswith("https://") and mirror.endswith("/") for mirror in data_set.mirrors)
        assert len(set(data_set.class_names)) == len(data_set.class_names)


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
def test_files_of_mnist(name):
    data_set = data.DATA_SETS[name]
    assert tuple(file.name for file in data_set.files) == NAMES
    assert [file.remote_name for file in data_set.files] == [f"{file}.gz" for file in NAMES]
    assert (len(data_set.class_names), data_set.num_validation) == (10, 10_000)
    # IDX: 16 bytes of header and 28 * 28 an image, 8 bytes of header and one a label.
    assert [file.size for file in data_set.files] == [
        *(16 + 60000 * 784, 8 + 60000),
        *(16 + 10000 * 784, 8 + 10000),
    ]


# --- files that are there


@pytest.mark.parametrize("compressed", [False, True])
def test_files_in_the_folder_are_read_in_place(register_tiny, monkeypatch, compressed):
    folder = register_tiny(mirrors=["http://127.0.0.1:9/"])
    place(folder, compressed=compressed)
    before = sorted(folder.iterdir())
    refuse_network(monkeypatch)
    assert data.fetch("tiny") == folder
    images, labels = data.load("tiny", "test")
    np.testing.assert_array_equal(images.reshape(-1), np.frombuffer(CONTENTS[NAMES[2]], np.uint8)[16:])
    np.testing.assert_array_equal(labels, np.frombuffer(CONTENTS[NAMES[3]], np.uint8)[8:])
    assert sorted(folder.iterdir()) == before  # no lock file either: the folder may be read-only


def test_splits(register_tiny):
    place(register_tiny())
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


def test_one_copy_per_process(register_tiny, monkeypatch):
    place(register_tiny())
    reads = Counter()
    read_content = data_files.read_content
    monkeypatch.setattr(
        data_files, "read_content", lambda path, size: reads.update([path.name]) or read_content(path, size)
    )
    train, validation = data.load("tiny", "train"), data.load("tiny", "validation")
    assert data.load("tiny", "train")[0] is train[0]
    assert data.load("tiny", "train")[1] is train[1]
    for ours, theirs in zip(train, validation, strict=True):
        assert owner(ours) is owner(theirs)
    whole = owner(train[0])
    assert np.shares_memory(whole, train[0])
    assert np.shares_memory(whole, validation[0])
    assert reads == {NAMES[0]: 1, NAMES[1]: 1}


def test_many_threads_load_once(register_tiny, monkeypatch):
    place(register_tiny())
    reads = Counter()
    read_content = data_files.read_content

    def slow(path, size):
        reads[path.name] += 1
        time.sleep(0.02)
        return read_content(path, size)

    monkeypatch.setattr(data_files, "read_content", slow)
    threads = [threading.Thread(target=data.load, args=("tiny", "train")) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert reads == {NAMES[0]: 1, NAMES[1]: 1}


def test_the_test_split_needs_no_training_files(register_tiny, monkeypatch):
    folder = register_tiny()
    place(folder, NAMES[2:])
    (folder / NAMES[0]).write_bytes(b"never looked at")
    refuse_network(monkeypatch)
    assert data.load("tiny", "test")[0].shape == (6, 4, 5)


@pytest.mark.parametrize("compressed", [False, True])
def test_a_damaged_file_is_reported_and_kept(register_tiny, mirrors, compressed):
    folder = register_tiny(mirrors=[mirrors().address])
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


def test_a_damaged_file_stops_a_fetch_of_the_others(register_tiny, mirrors):
    mirror = mirrors()
    folder = register_tiny(mirrors=[mirror.address])
    folder.mkdir()
    (folder / NAMES[0]).write_bytes(b"half a downl")
    with pytest.raises(data.DataError, match="delete it"):
        data.fetch("tiny")
    assert files_in(folder) == {NAMES[0]: b"half a downl"}
    assert not mirror.requests


# --- a new data set


def read_shapes(read_file, split):
    with np.load(io.BytesIO(read_file("shapes.npz"))) as archive:
        return archive[f"{split}_images"], archive[f"{split}_labels"]


def read_letters(read_file, split):
    """Images of several sizes, in one file of its own form per split."""
    rows = read_file(f"{split}.txt").decode().splitlines()
    images = [np.full((len(row), 3), ord(row[0]), np.uint8) for row in rows]
    return images, [ord(row[0]) - ord("a") for row in rows]


def test_a_new_data_set_in_one_npz_file_is_one_entry(monkeypatch, mirrors, tmp_path):
    rng = np.random.default_rng(0)
    sizes = {"train": 7, "validation": 3, "test": 4}
    images = {split: rng.integers(0, 256, (size, 5, 6, 3)).astype(np.uint8) for split, size in sizes.items()}
    labels = {split: np.arange(size) % 2 for split, size in sizes.items()}
    stream = io.BytesIO()
    np.savez(
        stream,
        **{f"{split}_images": images[split] for split in sizes},
        **{f"{split}_labels": labels[split] for split in sizes},
    )
    mirror = mirrors()
    mirror.pages = {"/v1/shapes-1.0.npz": stream.getvalue()}
    monkeypatch.setenv("GLIMPSE_GYM_DATA", str(tmp_path))
    monkeypatch.setenv("no_proxy", "127.0.0.1")

    entry = data.DataSet(
        name="shapes",
        files=(data_file("shapes.npz", stream.getvalue(), "v1/shapes-1.0.npz"),),
        class_names=("disk", "square", "star"),
        read=read_shapes,
        mirrors=(mirror.address,),
    )
    monkeypatch.setitem(data.DATA_SETS, "shapes", entry)

    for split in sizes:
        image_set = open_images("shapes", split=split)
        assert_holds(image_set, images[split], labels[split])
        assert (image_set.num_channels, image_set.class_names) == (3, ("disk", "square", "star"))
        assert np.shares_memory(image_set.pixels, data.load("shapes", split)[0])
    assert mirror.requests == {"/v1/shapes-1.0.npz": 1}
    assert files_in(tmp_path / "shapes") == {"shapes.npz": stream.getvalue()}


def test_a_new_data_set_with_images_of_several_sizes(monkeypatch, tmp_path):
    contents = {"train.txt": b"aa\nb\naaaa\nbb\n", "test.txt": b"bbb\na\n"}
    (tmp_path / "letters").mkdir()
    for name, content in contents.items():
        (tmp_path / "letters" / name).write_bytes(content)
    monkeypatch.setenv("GLIMPSE_GYM_DATA", str(tmp_path))
    files = tuple(data_file(name, content) for name, content in contents.items())
    entry = data.DataSet("letters", files, ("a", "b"), read_letters, num_validation=1)
    monkeypatch.setitem(data.DATA_SETS, "letters", entry)
    heights = {"train": [2, 1, 4], "validation": [2], "test": [3, 1]}
    labels = {"train": [0, 1, 0], "validation": [1], "test": [1, 0]}
    for split in heights:
        image_set = open_images("letters", split=split)
        assert image_set.sizes.tolist() == [[height, 3] for height in heights[split]]
        assert image_set.labels.tolist() == labels[split]


@pytest.mark.parametrize(
    ("images", "labels", "error", "words"),
    [
        (np.zeros((3, 4, 5)), [0, 1, 0], TypeError, "letters test images must be uint8"),
        (np.zeros((3, 4, 5), np.uint8), [0, 1], ValueError, "one for each of letters test images"),
    ],
)
def test_a_reader_that_returns_something_else(monkeypatch, tmp_path, images, labels, error, words):
    monkeypatch.setenv("GLIMPSE_GYM_DATA", str(tmp_path))
    entry = data.DataSet("letters", (), ("a", "b"), lambda read_file, split: (images, labels))
    monkeypatch.setitem(data.DATA_SETS, "letters", entry)
    with pytest.raises(error, match=words):
        open_images("letters", split="test")
