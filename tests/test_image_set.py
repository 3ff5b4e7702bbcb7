"""Copies and pickles of image sets, and that they cannot be changed."""

import copy
import pickle
import subprocess
import sys

import numpy as np
import pytest

from glimpse_gym.images import ImageSet, open_images
from tiny_data import COLOR, GRAY, LABELS, assert_holds, idx, place, save_image


def path_sets(folder):
    """One of each kind that comes from a path."""
    large = np.random.default_rng(5).integers(0, 256, (40, 50, 50)).astype(np.uint8)
    np.savez(folder / "a.npz", images=large, labels=np.arange(40))
    (folder / "images").write_bytes(idx(large))
    (folder / "labels").write_bytes(idx(np.arange(40)))
    for i in range(10):
        save_image(folder / f"tree/{i}/0.png", large[i])
    return {
        "npz": open_images(folder / "a.npz", split="train"),
        "idx": open_images(folder / "images", folder / "labels", "validation", 50),
        "idx and array": open_images(folder / "images", np.arange(40), "test"),
        "tree": open_images(folder / "tree", split="test"),
    }


@pytest.mark.parametrize("kind", ["npz", "idx", "tree"])
def test_path_sets_are_pickled_as_paths(tmp_path, kind):
    image_set = path_sets(tmp_path)[kind]
    pickled = pickle.dumps(image_set)
    assert len(pickled) < 1000
    assert pickle.loads(pickled) is image_set


def test_path_set_with_labels_of_its_own(tmp_path):
    image_set = path_sets(tmp_path)["idx and array"]
    pickled = pickle.dumps(image_set)
    assert len(pickled) < 2000
    again = pickle.loads(pickled)
    assert_holds(again, [image_set.image(i) for i in range(len(image_set))], image_set.labels)


def test_named_sets_are_pickled_by_name(register_tiny):
    place(register_tiny())
    image_set = open_images("tiny", split="train", num_classes=12)
    assert len(pickle.dumps(image_set)) < 200
    assert pickle.loads(pickle.dumps(image_set)) is image_set


def test_a_path_set_reaches_another_process(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez("here.npz", images=GRAY, labels=LABELS)
    image_set = open_images("here.npz", split="test")
    (tmp_path / "pickled").write_bytes(pickle.dumps(image_set))
    (tmp_path / "elsewhere").mkdir()
    code = (
        f"import sys, pickle; sys.path[:0] = {sys.path!r}; "
        "s = pickle.load(open('../pickled', 'rb')); print(s.image(1).tobytes().hex(), *s.labels)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path / "elsewhere", check=True
    )
    assert ran.stdout.split() == [GRAY[19].tobytes().hex(), "1", "3"]


def test_array_sets_are_pickled_by_value():
    image_set = open_images(list(COLOR), LABELS, split="validation")
    again = pickle.loads(pickle.dumps(image_set))
    assert isinstance(again, ImageSet)
    assert again is not image_set
    assert_holds(again, COLOR[[8, 18]], LABELS[[8, 18]])
    assert again.class_names == image_set.class_names


def test_copies_are_the_set_itself(register_tiny):
    place(register_tiny())
    for image_set in (open_images("tiny", split="test"), open_images(GRAY, LABELS)):
        assert copy.deepcopy({"kwargs": [image_set]})["kwargs"][0] is image_set
        assert copy.copy(image_set) is image_set


def test_image_sets_are_immutable():
    image_set = open_images(GRAY, LABELS)
    with pytest.raises(AttributeError):
        image_set.labels = LABELS
    for array in (image_set.pixels, image_set.labels, image_set.offsets, image_set.sizes, image_set.image(0)):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0
