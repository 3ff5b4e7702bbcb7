"""`open_images`: named sources, splits, number of classes, caching, and bad arguments."""

import pickle
from collections import Counter
from functools import partial

import gymnasium as gym
import numpy as np
import pytest

from glimpse_gym.images import DataError, open_images, readers
from glimpse_gym.images import datasets as data
from glimpse_gym.images.readers import parse_idx
from tiny_data import GRAY, LABELS, assert_holds, data_file, idx, save_image

# --- named data sets


def read_four(read_file, split):
    part = "t10k" if split == "test" else "train"
    return parse_idx(read_file(f"{part}-images"), "images"), parse_idx(read_file(f"{part}-labels"), "labels")


@pytest.fixture
def tiny(monkeypatch, tmp_path):
    """A data set in the form of MNIST, called "tiny", whose files are there."""
    contents = [idx(GRAY), idx(LABELS), idx(GRAY[:4]), idx(LABELS[:4])]
    names = [f"{part}-{kind}" for part in ("train", "t10k") for kind in ("images", "labels")]
    (tmp_path / "tiny").mkdir()
    for name, content in zip(names, contents, strict=True):
        (tmp_path / "tiny" / name).write_bytes(content)
    monkeypatch.setenv("GLIMPSE_GYM_DATA", str(tmp_path))
    files = tuple(map(data_file, names, contents))
    made = data.DataSet("tiny", files, ("zero", "one", "two", "three"), read_four, num_validation=5)
    monkeypatch.setitem(data.DATA_SETS, "tiny", made)
    return "tiny"


def test_named_sets(tiny):
    assert_holds(open_images(tiny, split="train"), GRAY[:15], LABELS[:15])
    assert_holds(open_images(tiny, split="validation"), GRAY[15:], LABELS[15:])
    assert_holds(open_images(tiny, split="test"), GRAY[:4], LABELS[:4])
    assert open_images(tiny, split="test").class_names == ("zero", "one", "two", "three")
    assert open_images(tiny, split="test", num_classes=5).class_names[3:] == ("three", "4")


def test_named_sets_are_cached_and_not_copied(tiny):
    train = open_images(tiny, split="train")
    assert open_images(tiny, None, "train") is train
    assert np.shares_memory(train.pixels, data.load(tiny, "train")[0])
    assert open_images(tiny, split="validation") is not train


def test_named_sets_need_a_split_and_accept_no_labels(tiny):
    with pytest.raises(ValueError, match=r"'train', 'validation', 'test'.*got 'all'"):
        open_images(tiny)
    with pytest.raises(ValueError, match="leave labels=None"):
        open_images(tiny, LABELS, split="train")
    with pytest.raises(ValueError, match="at least 4"):
        open_images(tiny, split="train", num_classes=3)


# --- paths


def test_paths_are_read_once(tmp_path, monkeypatch):
    for i in range(20):
        save_image(tmp_path / f"tree/{i % 2}/{i:02}.png", GRAY[i])
    opened = Counter()
    decode = readers.decode_file
    monkeypatch.setattr(readers, "decode_file", lambda path, budget: opened.update([path.name]) or decode(path, budget))
    train = open_images(tmp_path / "tree", split="train")
    assert open_images(str(tmp_path / "x" / ".." / "tree"), split="train") is train
    test = open_images(tmp_path / "tree", split="test")
    assert np.shares_memory(test.pixels, train.pixels)
    assert set(opened.values()) == {1}
    assert len(opened) == 20


def test_max_bytes_is_kept_by_copies_and_given_by_envs(tmp_path):
    np.savez(tmp_path / "a.npz", images=GRAY, labels=LABELS)
    small = open_images(tmp_path / "a.npz", max_bytes=10_000)
    assert small.reopen[1] == (str(tmp_path / "a.npz"), None, "all", None, 10_000)
    assert pickle.loads(pickle.dumps(small)) is small
    for call in (open_images, partial(gym.make, "glimpse_gym/Images-v0", num_glimpses=2, patch_size=2, num_scales=1)):
        with pytest.raises(DataError, match="limit is 400, two fifths of max_bytes=1,000"):
            call(images=str(tmp_path / "a.npz"), max_bytes=1_000)


def test_a_path_that_does_not_exist(tmp_path):
    with pytest.raises(ValueError, match=r"'mnist', 'fashion-mnist'.*mnits does not exist"):
        open_images("mnits")
    (tmp_path / "images").write_bytes(idx(GRAY))
    with pytest.raises(ValueError, match=r"labels must be the path.*nowhere does not exist"):
        open_images(tmp_path / "images", tmp_path / "nowhere")


# --- splits and classes


def test_bad_split():
    with pytest.raises(ValueError, match=r"'train', 'validation', 'test', 'all'.*got 'valid'"):
        open_images(GRAY, LABELS, split="valid")


def test_a_split_without_images():
    with pytest.raises(ValueError, match=r"'test' has none of the 5 images.*i % 10 == 9"):
        open_images(GRAY[:5], LABELS[:5], split="test")


def test_number_of_classes():
    assert open_images(GRAY, LABELS, num_classes=7).class_names == tuple("0123456")
    assert open_images(GRAY, LABELS, num_classes=np.int64(4)).num_classes == 4
    # Class 3 occurs only in the training images, but counts in every split.
    labels = np.zeros(20, int)
    labels[0] = 3
    with pytest.warns(UserWarning, match="no image has label 1, 2"):
        assert open_images(GRAY, labels, split="test").num_classes == 4


@pytest.mark.parametrize("num_classes", [0, -1, 2.0, "4", 10**9])
def test_bad_number_of_classes(num_classes):
    with pytest.raises(ValueError, match="num_classes must be an integer from 1 to 100000"):
        open_images(GRAY, LABELS, num_classes=num_classes)


def test_a_label_beyond_the_classes():
    # An error even though the image is not in the requested split.
    with pytest.raises(ValueError, match=r"at least 4.*got 3"):
        open_images(GRAY[:10], [3, *[0] * 9], split="test", num_classes=3)


@pytest.mark.parametrize(
    ("labels", "shown"),
    [
        (LABELS + 1, r"label 0, but the highest label is 4: labels count from 0.*num_classes=5"),
        (LABELS * 2, r"label 1, 3, 5, but the highest label is 6"),
        (LABELS * 10, r"label 1, 2, 3, 4, 5 and 22 more, but the highest label is 30"),
    ],
    ids=["from 1", "gaps", "large gaps"],
)
def test_warning_about_classes_without_images(tmp_path, labels, shown):
    np.savez(tmp_path / "a.npz", images=GRAY, labels=labels)
    (tmp_path / "images").write_bytes(idx(GRAY))
    (tmp_path / "labels").write_bytes(idx(labels))
    for arguments in ((GRAY, labels), (tmp_path / "a.npz",), (tmp_path / "images", tmp_path / "labels")):
        with pytest.warns(UserWarning, match=shown) as caught:
            assert_holds(open_images(*arguments), GRAY, labels)
        assert len(caught) == 1
        open_images(*arguments, num_classes=40)  # no warning: pytest would make it an error


def test_the_warning_points_to_the_caller():
    with pytest.warns(UserWarning, match="count from 0") as caught:
        open_images(GRAY, LABELS + 1)
    assert caught[0].filename == __file__


def test_no_warning_about_a_class_of_another_split():
    labels = np.zeros(20, int)
    labels[0] = 1
    assert open_images(GRAY, labels, split="test").num_classes == 2


def test_no_warning_about_class_folders_and_named_sets(tmp_path, tiny):
    save_image(tmp_path / "tree/b/1.png", GRAY[0])
    (tmp_path / "tree/a").mkdir()
    assert open_images(tmp_path / "tree").num_classes == 2
    assert open_images(tiny, split="test", num_classes=9).num_classes == 9
