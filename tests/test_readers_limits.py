"""Readers of files from strangers: limits on what a small file can become, and files that are no regular files."""

import os
import zlib

import numpy as np
import pytest

from glimpse_gym.images import DataError, open_images, pictures
from glimpse_gym.images.readers import read_class_folders, read_idx, read_npz
from tiny_data import GRAY, LABELS, assert_holds, idx, limited_memory, save_image

SMALL = idx(np.arange(6).reshape(2, 3))


def zeros_after(header, number=20_000_000):
    """gzip of a header and then zeros: a thousandth of its size."""
    packer = zlib.compressobj(wbits=31)
    pieces = [packer.compress(header)] + [packer.compress(bytes(1_000_000)) for _ in range(number // 1_000_000)]
    return b"".join([*pieces, packer.flush()])


def test_an_idx_file_that_states_too_much_is_refused_before_memory_is_taken(tmp_path):
    path = tmp_path / "bomb"
    path.write_bytes(zeros_after(idx(np.zeros((0, 0, 0)))[:4] + np.array([5, 2000, 2000], ">u4").tobytes()))
    message = r"takes 20,000,000 bytes, and the limit is 8,000,000.*max_bytes=50000000 or"
    with limited_memory(2_000_000), pytest.raises(DataError, match=message):
        read_idx(path, max_bytes=20_000_000)
    assert read_idx(path, max_bytes=50_000_000).shape == (5, 2000, 2000)


def test_an_idx_file_with_endless_bytes_after_its_end(tmp_path):
    (tmp_path / "bomb").write_bytes(zeros_after(SMALL))
    with limited_memory(2_000_000), pytest.raises(DataError, match="too long: more than 18 bytes"):
        read_idx(tmp_path / "bomb")


def test_many_tiny_images_count_for_more_than_their_pixels(tmp_path):
    (tmp_path / "images").write_bytes(idx(np.zeros((50_000, 1, 1))))
    np.savez_compressed(tmp_path / "a.npz", images=np.zeros((50_000, 1, 1), np.uint8), labels=np.zeros(50_000, int))
    for arguments in ((tmp_path / "images", np.zeros(50_000, int)), (tmp_path / "a.npz",)):
        with pytest.raises(DataError, match=r"takes 2,\d{3},\d{3} bytes.*max_bytes"):
            open_images(*arguments, max_bytes=5_000_000)
        assert len(open_images(*arguments, max_bytes=7_000_000)) == 50_000


@pytest.mark.parametrize("shape", [(95, 100, 100), (24_000, 1, 1)], ids=["few large", "many tiny"])
def test_what_is_just_small_enough_takes_no_more_than_max_bytes(tmp_path, shape):
    images, labels = np.zeros(shape, np.uint8), np.zeros(shape[0], np.uint8)
    (tmp_path / "images").write_bytes(idx(images))
    (tmp_path / "labels").write_bytes(idx(labels))
    half = len(images) // 2
    parts = {"x_train": images[:half], "y_train": labels[:half], "x_test": images[half:], "y_test": labels[half:]}
    np.savez_compressed(tmp_path / "a.npz", **parts)
    np.savez_compressed(tmp_path / "b.npz", images=np.asfortranarray(images), labels=labels)
    for arguments in ((tmp_path / "images", tmp_path / "labels"), (tmp_path / "a.npz",), (tmp_path / "b.npz",)):
        with limited_memory(2_600_000):
            open_images(*arguments, split="test", max_bytes=2_600_000)


def test_an_npz_with_too_much_content(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", images=np.zeros((20, 1000, 1000), np.uint8), labels=LABELS)
    message = r"a\.npz: its content takes 20,000,\d{3} bytes.*limit is 4,000,000.*max_bytes"
    with limited_memory(2_000_000), pytest.raises(DataError, match=message):
        read_npz(tmp_path / "a.npz", max_bytes=10_000_000)
    assert len(open_images(tmp_path / "a.npz", max_bytes=60_000_000)) == 20


def test_a_folder_with_too_many_pixels_is_not_decoded_to_its_end(tmp_path, monkeypatch):
    for i in range(50):
        save_image(tmp_path / "a" / f"{i:02}.png", np.zeros((40, 40), np.uint8))
    decoded = []
    decode = pictures.picture_to_array
    monkeypatch.setattr(pictures, "picture_to_array", lambda picture: decoded.append(1) or decode(picture))
    # 400 for the folder and for each file, and 1,600 for each picture.
    with pytest.raises(DataError, match=r"12\.png, with all before it: its content takes 41,200 bytes.*max_bytes"):
        read_class_folders(tmp_path, max_bytes=100_000)
    assert len(decoded) == 12


def test_a_folder_with_too_many_files(tmp_path):
    (tmp_path / "a").mkdir()
    for i in range(100):
        (tmp_path / "a" / f"{i}.txt").touch()
    with pytest.raises(DataError, match="a, with all before it: its content takes 20,400 bytes"):
        read_class_folders(tmp_path, max_bytes=50_000)


SPECIAL = {
    "a FIFO": os.mkfifo,
    "a device": lambda path: path.symlink_to("/dev/zero"),
    "a link to itself": lambda path: path.symlink_to(path),
    "a link to nothing": lambda path: path.symlink_to("nowhere"),
}


@pytest.mark.parametrize("make", SPECIAL.values(), ids=SPECIAL)
def test_what_is_not_a_regular_file_is_refused_in_a_class_folder(tmp_path, make):
    save_image(tmp_path / "a/1.png", GRAY[0])
    make(tmp_path / "a" / "2.png")
    with pytest.raises(DataError, match=r"a/2\.png"):
        open_images(tmp_path)


@pytest.mark.parametrize("make", SPECIAL.values(), ids=SPECIAL)
@pytest.mark.parametrize("name", ["images.npz", "images"])
def test_what_is_not_a_regular_file_is_refused_as_images_and_as_labels(tmp_path, make, name):
    make(tmp_path / name)
    for path in (tmp_path / name, "/dev/zero"):
        with pytest.raises((DataError, ValueError), match=r"not a regular file|does not exist|loop"):
            open_images(path, None if name.endswith("npz") and path != "/dev/zero" else LABELS)
    (tmp_path / "good").write_bytes(idx(GRAY))
    with pytest.raises((DataError, ValueError), match=r"not a regular file|does not exist|loop"):
        open_images(tmp_path / "good", tmp_path / name)


def test_a_folder_without_end(tmp_path):
    save_image(tmp_path / "a/1.png", GRAY[0])
    (tmp_path / "up").symlink_to("..")
    (tmp_path / "root").symlink_to("/")
    (tmp_path / "a" / "again").symlink_to(tmp_path)
    (tmp_path / "same").symlink_to("a")  # links to folders are followed, but never more than one level deep
    image_set = open_images(tmp_path)
    assert image_set.class_names == ("a", "root", "same", "up")
    assert_holds(image_set, GRAY[[0, 0]], [0, 2])


@pytest.mark.parametrize("name", ["a\0b", "x" * 5000, "~no-such-user/images"])
def test_a_name_that_no_file_can_have(name):
    with pytest.raises(ValueError, match="images must be one of"):
        open_images(name)


@pytest.mark.parametrize("max_bytes", [0, -1, 1.5, "1", True, None, 2**63])
def test_bad_max_bytes(tmp_path, max_bytes):
    save_image(tmp_path / "tree/a/1.png", GRAY[0])
    (tmp_path / "images").write_bytes(idx(GRAY))
    for arguments in ((GRAY, LABELS), (tmp_path / "tree",), (tmp_path / "images", LABELS)):
        with pytest.raises(ValueError, match="max_bytes must be an integer from 1"):
            open_images(*arguments, max_bytes=max_bytes)
