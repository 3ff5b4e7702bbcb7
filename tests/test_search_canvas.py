"""The canvas strewn with digits: what is on it, its files, and its commands."""

import os
import shutil

import numpy as np
import pytest

from glimpse_gym import atomic_io
from glimpse_gym.images import open_images, open_large
from glimpse_gym.images.datasets import load
from glimpse_gym.images.search_canvas import write_search_canvas


@pytest.fixture(scope="module")
def canvas(tmp_path_factory):
    folder = tmp_path_factory.mktemp("canvas")
    return write_search_canvas(folder / "canvas.npy", side=1024, grid=2, seed=3)


def test_each_cell_has_its_target_at_full_brightness(canvas):
    image, labels = np.load(canvas.images), np.load(canvas.labels)
    digits, classes = load("mnist", "train")
    assert (image.shape, image.dtype, labels.shape) == ((1024, 1024), np.uint8, (2, 2))
    for row in range(2):
        for column in range(2):
            cell = image[512 * row : 512 * row + 512, 512 * column : 512 * column + 512]
            bright = np.argwhere(cell > 127)  # strewn digits are at half brightness
            (top, left), (bottom, right) = bright.min(axis=0), bright.max(axis=0) + 1
            enlarged = cell[top:bottom, left:right]
            target = enlarged[::4, ::4]
            np.testing.assert_array_equal(target.repeat(4, axis=0).repeat(4, axis=1) > 127, enlarged > 127)
            found = [
                classes[i]
                for i in np.flatnonzero(np.asarray(classes) == labels[row, column])
                if contains(digits[i], target)
            ]
            assert found


def contains(digit, target):
    """Whether the part of a digit that is brighter than what is strewn is this target."""
    rows, columns = np.nonzero(digit > 127)
    part = digit[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    return part.shape == target.shape and (part[part > 127] == target[part > 127]).all()


def test_a_small_digit_is_in_each_square(canvas):
    image = np.load(canvas.images)
    squares = image.reshape(8, 128, 8, 128)
    assert (squares.max(axis=(1, 3)) > 60).all()
    dim = np.where(image > 127, 0, image)
    assert dim.max() <= 127


def test_the_cells_are_images_of_the_set_with_a_pyramid(canvas):
    images = open_images(canvas.images, num_classes=10)
    np.testing.assert_array_equal(images.labels, np.load(canvas.labels).ravel())
    assert images.large.grid == (2, 2)
    assert images.large._usable == [2, 4, 6, 8]


def test_the_seed_decides(tmp_path, canvas):
    same = write_search_canvas(tmp_path / "same.npy", side=1024, grid=2, seed=3)
    other = write_search_canvas(tmp_path / "other.npy", side=1024, grid=2, seed=4)
    assert same.images.read_bytes() == canvas.images.read_bytes() != other.images.read_bytes()
    assert same.labels.read_bytes() == canvas.labels.read_bytes()


def test_one_cell_is_the_whole_canvas(tmp_path):
    files = write_search_canvas(tmp_path / "canvas.npy", side=512, grid=1)
    assert len(open_images(files.images, num_classes=10)) == 1
    assert len(open_large(files.images)) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"path": "canvas.png"}, "must be a .npy file, got"),
        ({"side": 1000}, r"side must be a multiple of 128 \* grid = 256, got 1000"),
        ({"side": 256}, r"side must be at least 256 \* grid = 512, got 256; use a larger side, or a smaller grid"),
        ({"side": 2**21}, "side must be an integer from 1 to 1048576"),
        ({"grid": 0}, "grid must be an integer from 1 to 223, got 0"),
        ({"seed": -1}, "seed must be an integer"),
    ],
)
def test_errors(tmp_path, arguments, message):
    arguments = {"path": "canvas.npy", "side": 1024, "grid": 2} | arguments
    with pytest.raises(ValueError, match=message):
        write_search_canvas(tmp_path / arguments.pop("path"), **arguments)
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize("name", ["canvas.npy", "canvas.labels.npy"])
def test_existing_files_are_not_overwritten(tmp_path, name):
    (tmp_path / name).write_text("mine")
    with pytest.raises(
        FileExistsError, match=f"{name} exists, and is not overwritten: name another file, or remove it"
    ):
        write_search_canvas(tmp_path / "canvas.npy", side=1024, grid=2)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["mine"]


def test_a_canvas_larger_than_the_disk_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(atomic_io.shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(10, 5, 1234))
    expected = r"it needs 1,19\d,\d+ bytes, and .* has 1,234 bytes free"
    with pytest.raises(OSError, match=expected):
        write_search_canvas(tmp_path / "canvas.npy", side=1024, grid=2)
    assert not os.listdir(tmp_path)


def test_an_interrupted_canvas_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr("glimpse_gym.images.search_canvas._Targets.draw", lambda *arguments: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_search_canvas(tmp_path / "canvas.npy", side=1024, grid=2)
    assert not os.listdir(tmp_path)


def test_commands(tmp_path, cli):
    out = tmp_path / "canvas.npy"
    result = cli("canvas", "--out", str(out), "--side", "512", "--grid", "2")
    names = ["canvas.npy", "canvas.labels.npy", "canvas.npy.pyramid"]
    assert result.status == 0
    assert result.out.splitlines() == [str(tmp_path / name) for name in names]
    pyramid = tmp_path / names[2]
    content = pyramid.read_bytes()
    pyramid.unlink()
    assert cli("pyramid", str(out)).out == f"{pyramid}\n"
    assert pyramid.read_bytes() == content
    result = cli("pyramid", str(tmp_path / "none.npy"))
    assert result.status == 1
    assert "none.npy: cannot be read" in result.err
