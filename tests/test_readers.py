"""Readers of IDX files, `.npz` files and folders, and the ways in which a file can be bad."""

import gzip

import numpy as np
import pytest

from glimpse_gym.images import DataError, open_images
from glimpse_gym.images.readers import read_idx
from tiny_data import BY_INDEX, COLOR, GRAY, LABELS, assert_holds, idx, save_image

# --- IDX


@pytest.mark.parametrize("shape", [(3,), (2, 4, 5), (0, 28, 28), (2, 3, 4, 3)])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_read_idx_gives_what_was_written(tmp_path, shape, pack):
    expected = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    path = tmp_path / "no-telling-name"
    path.write_bytes(pack(idx(expected)))
    found = read_idx(path)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, expected)
    assert not found.flags.writeable
    np.testing.assert_array_equal(read_idx(str(path)), expected)


GOOD = idx(np.arange(6).reshape(2, 3))


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (GOOD[:-1], ["truncated", "17 bytes", "18"]),
        (GOOD + b"\0", ["too long", "more than 18 bytes"]),
        (GOOD[:7], ["truncated"]),
        (b"", ["not an IDX file"]),
        (b"\x89PNG\r\n\x1a\n", ["not an IDX file", "PNG"]),
        (bytes([0, 0, 8, 0]), ["not an IDX file"]),
        (bytes([0, 0, 8, 32]) + b"\xff" * 128, ["its content takes", "the limit is 800,000,000", "max_bytes"]),
        (bytes([0, 0, 13, 1]) + bytes(8), ["0x0d", "0x08"]),
        (gzip.compress(GOOD)[:-9], ["complete file"]),
        (gzip.compress(GOOD)[:12] + bytes(20), ["complete file"]),
        (b"\x1f\x8b", ["complete file"]),
    ],
)
def test_read_idx_error_messages(tmp_path, raw, words):
    path = tmp_path / "bad"
    path.write_bytes(raw)
    with pytest.raises(DataError) as caught:
        read_idx(path)
    for word in [str(path), *words]:
        assert word in str(caught.value)


def test_read_idx_of_a_missing_file(tmp_path):
    with pytest.raises(DataError, match="absent"):
        read_idx(tmp_path / "absent")


@pytest.mark.parametrize("images", [GRAY, COLOR], ids=["gray", "color"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_idx_files(tmp_path, images, pack):
    (tmp_path / "images").write_bytes(pack(idx(images)))
    (tmp_path / "labels").write_bytes(pack(idx(LABELS)))
    image_set = open_images(tmp_path / "images", str(tmp_path / "labels"), split="train")
    assert_holds(image_set, images[BY_INDEX["train"]], LABELS[BY_INDEX["train"]])
    assert_holds(open_images(tmp_path / "images", LABELS[::-1]), images, LABELS[::-1])


def test_bad_idx_files(tmp_path):
    images, labels = tmp_path / "images", tmp_path / "labels"
    images.write_bytes(idx(GRAY))
    labels.write_bytes(idx(LABELS)[:-1])
    with pytest.raises(DataError, match="labels: truncated"):
        open_images(images, labels)
    with pytest.raises(ValueError, match=r"labels are missing: .*images needs 20"):
        open_images(images)
    labels.write_bytes(idx(LABELS[:-1]))
    with pytest.raises(ValueError, match=r"got \(19,\)"):
        open_images(images, labels)
    labels.write_bytes(idx(LABELS))
    with pytest.raises(ValueError, match=r"labels must have shape \(N, H, W\)"):
        open_images(labels, labels)
    assert len(open_images(images, labels)) == 20  # failures are not cached
    (tmp_path / "photo.png").write_bytes(b"\x89PNG....")
    with pytest.raises(DataError, match=r"photo\.png: not an IDX file"):
        open_images(tmp_path / "photo.png", [0])


# --- .npz


def test_plain_npz(tmp_path):
    path = tmp_path / "mine.npz"
    np.savez(path, images=COLOR, labels=LABELS, other=np.zeros(3))
    for split, chosen in BY_INDEX.items():
        assert_holds(open_images(path, split=split), COLOR[chosen], LABELS[chosen])


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_keras_npz(tmp_path, save):
    path = tmp_path / "keras.NPZ"
    with open(path, "wb") as stream:
        save(stream, x_train=GRAY, y_train=LABELS[:, np.newaxis], x_test=GRAY[:3, :4], y_test=LABELS[:3] + 4)
    train = [*range(9), *range(10, 19)]
    assert_holds(open_images(str(path), split="train"), GRAY[train], LABELS[train])
    assert_holds(open_images(str(path), split="validation"), GRAY[[9, 19]], LABELS[[9, 19]])
    assert_holds(open_images(str(path), split="test"), GRAY[:3, :4], LABELS[:3] + 4)
    everything = [*GRAY[train], *GRAY[[9, 19]], *GRAY[:3, :4]]
    labels = [*LABELS[train], *LABELS[[9, 19]], *LABELS[:3] + 4]
    assert_holds(open_images(str(path), split="all"), everything, labels)
    assert {open_images(path, split=s).num_classes for s in ("train", "test")} == {7}


def test_bad_npz(tmp_path):
    path = tmp_path / "bad.npz"
    np.savez(path, images=GRAY, labels=LABELS)
    whole = path.read_bytes()
    damaged = bytearray(whole)
    damaged[len(whole) // 2] ^= 255
    for content in (whole[:-30], bytes(damaged), b"no archive", b"", b"\x93NUMPY\x01\x00"):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"bad\.npz: not a readable \.npz"):
            open_images(path)
    with pytest.raises(ValueError, match="leave labels=None"):
        open_images(path, LABELS)


def test_an_array_file_under_the_wrong_name(tmp_path):
    with open(tmp_path / "array.npz", "wb") as stream:
        np.save(stream, GRAY)
    with pytest.raises(DataError, match="not a readable"):
        open_images(tmp_path / "array.npz")


def test_npz_with_pickles_is_refused(tmp_path):
    path = tmp_path / "pickled.npz"
    np.savez(path, images=np.array([GRAY[0], None], object), labels=[0, 1])
    with pytest.raises(DataError, match=r"plain arrays.*objects are never loaded"):
        open_images(path)


@pytest.mark.parametrize(
    ("arrays", "error", "words"),
    [
        ({"images": GRAY}, DataError, r"'images' and 'labels', or 'x_train'.*it holds \['images'\]"),
        ({"x_train": GRAY, "y_train": LABELS}, DataError, r"it holds \['x_train', 'y_train'\]"),
        ({"images": GRAY / 255, "labels": LABELS}, TypeError, r"a\.npz: images must be uint8.*float64"),
        ({"images": GRAY, "labels": LABELS[1:]}, ValueError, r"a\.npz.*got \(19,\)"),
        (
            {"x_train": GRAY, "y_train": LABELS, "x_test": COLOR, "y_test": LABELS},
            ValueError,
            "x_train has 1 channels and x_test 3",
        ),
    ],
)
def test_npz_that_holds_something_else(tmp_path, arrays, error, words):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(error, match=words):
        open_images(tmp_path / "a.npz")


# --- folders


def test_folder_of_classes(tmp_path):
    files = ["b/2.png", "b/1.PNG", "a/x.bmp", "c/z.png", "a/y.gif"]
    for file, pixels in zip(files, GRAY, strict=False):
        save_image(tmp_path / file, pixels)
    save_image(tmp_path / "a/.hidden.png", GRAY[9])
    save_image(tmp_path / ".hidden/1.png", GRAY[9])
    save_image(tmp_path / "loose.png", GRAY[9])
    (tmp_path / "a/notes.txt").write_text("not an image")
    (tmp_path / "empty").mkdir()
    image_set = open_images(tmp_path)
    assert image_set.class_names == ("a", "b", "c", "empty")
    assert image_set.num_channels == 1
    assert_holds(image_set, GRAY[[2, 4, 1, 0, 3]], [0, 0, 1, 1, 2])
    assert open_images(tmp_path, num_classes=6).class_names == ("a", "b", "c", "empty", "4", "5")


def test_a_folder_is_split_by_index(tmp_path):
    for i in range(20):
        save_image(tmp_path / f"class{i // 10}" / f"{i:02}.png", GRAY[i])
    for split, chosen in BY_INDEX.items():
        assert_holds(open_images(tmp_path, split=split), GRAY[chosen], np.array(chosen) // 10)


@pytest.mark.parametrize("name", ["validation", "val"])
def test_folder_of_splits(tmp_path, name):
    for i in range(3):
        save_image(tmp_path / f"train/cat/{i}.png", GRAY[i])
        save_image(tmp_path / f"test/dog/{i}.png", GRAY[3 + i])
    save_image(tmp_path / name / "ant" / "0.png", GRAY[6])
    assert_holds(open_images(tmp_path, split="train"), GRAY[:3], [1, 1, 1])
    assert_holds(open_images(tmp_path, split="validation"), GRAY[6:7], [0])
    assert_holds(open_images(tmp_path, split="test"), GRAY[3:6], [2, 2, 2])
    assert_holds(open_images(tmp_path, split="all"), GRAY[[0, 1, 2, 6, 3, 4, 5]], [1, 1, 1, 0, 2, 2, 2])
    assert open_images(tmp_path, split="test").class_names == ("ant", "cat", "dog")


def test_folder_of_splits_without_validation(tmp_path):
    for i in range(10):
        save_image(tmp_path / f"train/{i % 2}/{i}.png", GRAY[i])
    save_image(tmp_path / "test/0/0.png", GRAY[10])
    order = [0, 2, 4, 6, 8, 1, 3, 5, 7, 9]
    labels = np.array(order) % 2
    assert_holds(open_images(tmp_path, split="train"), GRAY[order[:9]], labels[:9])
    assert_holds(open_images(tmp_path, split="validation"), GRAY[order[9:]], labels[9:])
    assert_holds(open_images(tmp_path, split="all"), GRAY[[*order, 10]], [*labels, 0])


def test_one_colored_file_makes_all_rgb(tmp_path):
    save_image(tmp_path / "a/1.png", GRAY[0])
    save_image(tmp_path / "a/2.png", COLOR[0])
    save_image(tmp_path / "b/1.png", GRAY[1, :3])
    image_set = open_images(tmp_path)
    assert image_set.num_channels == 3
    gray = [np.dstack([image] * 3) for image in (GRAY[0], GRAY[1, :3])]
    assert_holds(image_set, [gray[0], COLOR[0], gray[1]], [0, 0, 1])


def test_folders_without_images(tmp_path):
    with pytest.raises(DataError, match=r"no images found.*no subfolders"):
        open_images(tmp_path)
    save_image(tmp_path / "loose.png", GRAY[0])
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "notes.txt").write_text("")
    with pytest.raises(DataError, match=r"no images found.*\.png.*found \['a'\]"):
        open_images(tmp_path)


def test_folder_arguments(tmp_path):
    save_image(tmp_path / "a/1.png", GRAY[0])
    save_image(tmp_path / "b/1.png", GRAY[1])
    with pytest.raises(ValueError, match="leave labels=None"):
        open_images(tmp_path, [0, 1])
    with pytest.raises(ValueError, match="at least 2"):
        open_images(tmp_path, num_classes=1)
    with pytest.raises(ValueError, match="'validation' has none of the 2"):
        open_images(tmp_path, split="validation")


def test_folder_with_two_validation_sets(tmp_path):
    for name in ("train", "val", "validation"):
        save_image(tmp_path / name / "a/1.png", GRAY[0])
    with pytest.raises(DataError, match="both validation and val"):
        open_images(tmp_path)


def test_folder_with_an_empty_split(tmp_path):
    save_image(tmp_path / "train/a/1.png", GRAY[0])
    (tmp_path / "test").mkdir()
    with pytest.raises(ValueError, match=r"'test' has none of the 1 images \(1 train, 0 validation, 0 test\)"):
        open_images(tmp_path, split="test")
