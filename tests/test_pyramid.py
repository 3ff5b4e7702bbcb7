"""Pyramids: exact where patches are aligned, and refused if they are stale or damaged."""

import json
import os
import shutil

import gymnasium as gym
import numpy as np
import pytest

from glimpse_gym import Retina, atomic_io
from glimpse_gym.images import DataError, build_pyramid_of, open_large
from glimpse_gym.images.pyramid import level_of_scale, pyramid_path


def random_image(*shape):
    """Random blocks, so that coarse means differ from each other."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 200, (*(side // 64 + 1 for side in shape[:2]), *shape[2:]))
    image = coarse.repeat(64, axis=0).repeat(64, axis=1)[: shape[0], : shape[1]]
    return (image + rng.integers(0, 56, shape)).astype(np.uint8)


def means(image, location, g, scale, snap):
    """Compute one patch from the definition, with NumPy's own sums; its corner moved to a multiple of ``snap``."""
    height, width, channels = image.shape
    cell, (x, y) = 2**scale, map(float, location)
    corner = []
    for coordinate, extent in ((y, height), (x, width)):
        first = int(np.floor((coordinate + 1) * extent / 2 - g * cell / 2 + 0.5))
        corner.append((first + snap // 2) // snap * snap)
    pad = g * cell + snap
    padded = np.pad(image, ((pad, pad), (pad, pad), (0, 0)))
    top, left = np.add(corner, pad)
    window = padded[max(top, 0) :, max(left, 0) :][: g * cell, : g * cell]
    sums = window.reshape(g, cell, g, cell, channels).sum(axis=(1, 3), dtype=np.int64)
    return sums.transpose(2, 0, 1).astype(np.float32) / np.float32(255 * 4**scale)


@pytest.fixture
def canvas(tmp_path):
    image = random_image(1300, 1111, 2)
    np.save(tmp_path / "canvas.npy", image)
    build_pyramid_of(tmp_path / "canvas.npy")
    return tmp_path / "canvas.npy", image


@pytest.mark.parametrize("num_scales", [5, 6, 8, 9])
def test_scales_are_exact_up_to_a_shift_to_the_grid_of_their_level(canvas, num_scales):
    path, image = canvas
    large, g = open_large(path), 4
    assert sorted(large.levels) == [0, 2, 4, 6, 8]
    locations = np.random.default_rng(2).uniform(-1, 1, (40, 2)).astype(np.float32)
    locations[:4] = [(-1, -1), (1, 1), (-1, 1), (0, 0)]
    glimpses = Retina(g, num_scales).sense_large(large, locations).reshape(40, num_scales, 2, g, g)
    for b, location in enumerate(locations):
        for scale in range(num_scales):
            expected = means(image, location, g, scale, 2 ** level_of_scale(scale))
            np.testing.assert_array_equal(glimpses[b, scale], expected)


def test_aligned_patches_equal_those_of_the_whole_image(tmp_path):
    image = random_image(2048, 2048)
    np.save(tmp_path / "canvas.npy", image)
    build_pyramid_of(tmp_path / "canvas.npy")
    retina = Retina(4, 10)
    # The corner of scale s is at (x - 2) * 2**s, and at the multiple of 256 that x is for s = 9.
    locations = np.array([(x / 1024 - 1, y / 1024 - 1) for x in (0, 256, 1024, 2048) for y in (512, 768)], np.float32)
    found = retina.sense_large(open_large(tmp_path / "canvas.npy"), locations)
    np.testing.assert_array_equal(found, retina.sense(np.repeat(image[None], 8, axis=0), locations))


def test_the_levels_are_used_where_the_cells_of_a_grid_begin_on_them(tmp_path):
    image = random_image(1024, 1536, 1)
    path = tmp_path / "canvas.npy"
    np.save(path, image)
    build_pyramid_of(path)
    locations = np.random.default_rng(2).uniform(-1, 1, (12, 2)).astype(np.float32)
    for grid, coarsest in (((2, 3), 8), ((8, 12), 6), ((32, 48), 4), ((256, 384), 2), ((512, 768), 0)):
        large = open_large(path, 1, grid)
        rows, columns = 1024 // grid[0], 1536 // grid[1]
        index = np.arange(12) * (grid[0] * grid[1] - 1) // 11
        glimpses = Retina(2, 10).sense_large(large, locations, index)
        for b in range(12):
            top, left = index[b] // grid[1] * rows, index[b] % grid[1] * columns
            cell = image[top : top + rows, left : left + columns]
            for scale in range(10):
                expected = means(cell, locations[b], 2, scale, 2 ** min(level_of_scale(scale), coarsest))
                np.testing.assert_array_equal(glimpses[b, scale : scale + 1], expected)


def test_images_of_one_file_have_levels_of_their_own(tmp_path):
    images = np.stack([random_image(333, 270) for _ in range(3)]) // np.array([1, 2, 3], np.uint8)[:, None, None]
    np.save(tmp_path / "images.npy", images)
    build_pyramid_of(tmp_path / "images.npy")
    locations = np.random.default_rng(2).uniform(-1, 1, (9, 2)).astype(np.float32)
    glimpses = Retina(4, 7).sense_large(open_large(tmp_path / "images.npy"), locations, np.arange(9) % 3)
    for b in range(9):
        for scale in range(7):
            expected = means(images[b % 3, :, :, None], locations[b], 4, scale, 2 ** level_of_scale(scale))
            np.testing.assert_array_equal(glimpses[b, scale : scale + 1], expected)


def test_without_a_pyramid_large_reads_are_refused_and_small_ones_exact(tmp_path):
    image = random_image(1500, 1500)
    np.save(tmp_path / "canvas.npy", image)
    large = open_large(tmp_path / "canvas.npy")
    locations = np.random.default_rng(2).uniform(-1, 1, (4, 2)).astype(np.float32)
    with pytest.raises(ValueError, match=r"scale 8 .* would read 1,048,576 pixels a glimpse: build a pyramid once"):
        Retina(4, 10).sense_large(large, locations)
    expected = Retina(4, 8).sense(np.repeat(image[None], 4, axis=0), locations)
    np.testing.assert_array_equal(Retina(4, 8).sense_large(large, locations), expected)
    with pytest.raises(ValueError, match="glimpse-gym pyramid"):
        gym.make("glimpse_gym/Images-v0", images=tmp_path / "canvas.npy", labels=[0], num_scales=11, patch_size=4)


# ---------------------------------------------------------------- bad pyramids


def test_a_stale_pyramid_is_refused_until_it_is_built_again(canvas):
    path, image = canvas
    np.save(path, image // 2)
    with pytest.raises(DataError, match=r"canvas.npy.pyramid: was made from another file, .*: glimpse-gym pyramid"):
        open_large(path)
    build_pyramid_of(path)
    assert open_large(path).levels[8].max() < 2**16 * 128


def cut(path):
    path.write_bytes(path.read_bytes()[:-4])


def change_format(path):
    content = path.read_bytes()
    header = json.loads(content[:4096]) | {"format": 99}
    path.write_bytes(json.dumps(header).encode().ljust(4096) + content[4096:])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (cut, "bytes, expected .*; build it again: glimpse-gym pyramid"),
        (lambda path: path.write_bytes(b""), "is not a pyramid, or is damaged; build it again"),
        (lambda path: path.write_bytes(b"[1, 2]".ljust(4096)), "is not a pyramid, or is damaged; build it again"),
        (lambda path: path.write_bytes(b"{}"), "is not a pyramid, or is damaged; build it again"),
        (change_format, "has format 99, expected 1; build it again"),
    ],
)
def test_a_damaged_pyramid_is_refused(canvas, damage, message):
    path, _ = canvas
    damage(pyramid_path(path))
    with pytest.raises(DataError, match=message):
        open_large(path)


def test_a_build_that_is_interrupted_leaves_nothing(canvas, monkeypatch):
    path, _ = canvas
    before = pyramid_path(path).read_bytes()
    calls = []

    def interrupt(*arguments):
        calls.append(arguments)
        if len(calls) > 6:
            raise KeyboardInterrupt

    monkeypatch.setattr("glimpse_gym.kernels.pyramid_kernels.block_sums", interrupt)
    with pytest.raises(KeyboardInterrupt):
        build_pyramid_of(path)
    assert pyramid_path(path).read_bytes() == before
    assert sorted(os.listdir(path.parent)) == ["canvas.npy", "canvas.npy.pyramid"]


def test_a_file_that_changes_while_its_pyramid_is_built(canvas, monkeypatch):
    path, _ = canvas
    monkeypatch.setattr("glimpse_gym.kernels.pyramid_kernels.block_sums", lambda *arguments: os.utime(path, ns=(1, 1)))
    with pytest.raises(DataError, match="has changed since it was opened"):
        build_pyramid_of(path)
    assert sorted(os.listdir(path.parent)) == ["canvas.npy", "canvas.npy.pyramid"]


def test_leftovers_of_a_killed_build_are_removed(canvas):
    path, _ = canvas
    leftover = path.parent / ".canvas.npy-abcdefgh.pyramid"
    leftover.write_bytes(b"half")
    build_pyramid_of(path)
    assert not leftover.exists()


def test_a_pyramid_that_does_not_fit_on_the_disk(canvas, monkeypatch):
    path, _ = canvas
    pyramid_path(path).unlink()
    monkeypatch.setattr(atomic_io.shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(10, 5, 1234))
    with pytest.raises(OSError, match=r"it needs [\d,]+ bytes, and .* has 1,234 bytes free; free some, or"):
        build_pyramid_of(path)
    assert os.listdir(path.parent) == ["canvas.npy"]
