"""Canvases and clutter of the classification world."""

import numpy as np
import pytest

import oracles
from small_classification import IMAGES, canvases, constant, look, make, make_vec, patterned

# ---------------------------------------------------------------- canvases


@pytest.mark.parametrize("channels", [None, 3])
def test_images_are_placed_inside_the_canvas(channels):
    images = patterned((3, 4), (5, 2), (9, 12), (1, 1), channels=channels)
    seen, info = canvases(300, images=images, labels=[0, 1, 2, 3], canvas_size=(9, 12))
    for canvas, index in zip(seen, info["image_index"], strict=True):
        lit = canvas.reshape(9, 12, -1).any(axis=-1)
        rows, columns = np.flatnonzero(lit.any(axis=1)), np.flatnonzero(lit.any(axis=0))
        box = canvas[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        np.testing.assert_array_equal(box, images[index])
        assert not canvas[~lit].any()
    assert set(info["image_index"]) == {0, 1, 2, 3}


def top_left(canvas):
    lit = canvas.any(axis=2) if canvas.ndim == 3 else canvas > 0
    return np.flatnonzero(lit.any(axis=1))[0], np.flatnonzero(lit.any(axis=0))[0]


def test_image_positions_are_uniform():
    images = patterned((3, 4), (3, 4))
    env = make_vec(6000, images=images, labels=[0, 1], canvas_size=(7, 9))
    observation, info = env.reset(seed=0)
    counts = np.zeros((5, 6, 2, 2, 2))
    quadrants = (observation["location"] > 0).astype(int)
    for canvas, quadrant, index in zip(env.unwrapped.image, quadrants, info["image_index"], strict=True):
        counts[(*top_left(canvas), *quadrant, index)] += 1
    # The position, the first location and the image are independent.
    for sums in (counts.sum(axis=(2, 3, 4)), counts.sum(axis=(0, 1)), counts):
        assert sums.min() > 0
        assert abs(oracles.chi_square(sums)) < 5


def test_positions_of_clutter_pieces_are_independent():
    # Two pieces of one pixel in a row of four pixels.
    kwargs = {"images": constant([0, 1], size=(1, 1)), "labels": [0, 1], "canvas_size": (1, 4)}
    seen, _ = canvases(4000, **kwargs, num_clutter=2, clutter_size=1, options={"image_index": 0})
    rows = seen[:, 0].astype(int)
    assert (rows.sum(axis=1) == 2).all()
    # Both are at the same pixel with probability 1/4, and every pixel is equally likely.
    oracles.assert_binomial(int((rows == 2).any(axis=1).sum()), 4000, 1 / 4)
    assert abs(oracles.chi_square(rows.sum(axis=0))) < 5


@pytest.mark.parametrize("canvas_size", [60, (60, 60)])
def test_canvas_size_is_a_side_or_height_and_width(canvas_size):
    env = make(canvas_size=canvas_size)
    env.reset(seed=0)
    assert env.image.shape == (60, 60)
    env = make(canvas_size=(60, 61))
    env.reset(seed=0)
    assert env.image.shape == (60, 61)


def test_without_a_canvas_the_image_is_unchanged():
    images = patterned((3, 4), (7, 2))
    env = make(images=images, labels=[0, 1])
    for index in (0, 1, 0):
        env.reset(seed=0, options={"image_index": index})
        oracles.assert_identical(env.image, images[index])


def test_a_canvas_as_large_as_the_image_shows_the_image():
    env = make(canvas_size=(10, 9))
    for index in range(5):
        env.reset(seed=index, options={"image_index": index})
        oracles.assert_identical(env.image, IMAGES[index])


def test_image_property_returns_a_copy():
    for env in (make(), make(canvas_size=20)):
        env.reset(seed=0)
        before = env.image
        env.image[:] = 0
        oracles.assert_identical(env.image, before)
    assert IMAGES.any()


# ---------------------------------------------------------------- clutter


def test_clutter_is_an_8_by_8_piece_of_another_image():
    # Every image has one value of its own, so the sum identifies the image that a piece was cut from.
    values = np.arange(1, 7)
    images = constant(20 * values)
    seen, info = canvases(3000, images=images, labels=[0, 1] * 3, canvas_size=24, num_clutter=1)
    sources = np.zeros((6, 6))
    for canvas, index in zip(seen.astype(int), info["image_index"], strict=True):
        # The image (value a) and the piece (value b) overlap where a + b is seen.
        a = 20 * (index + 1)
        total = canvas.sum()
        b = (total - 64 * a) // 64
        assert total == 64 * (a + b)
        assert set(np.unique(canvas)) <= {0, a, b, a + b}
        sources[index, b // 20 - 1] += 1
    assert not sources.diagonal().any()
    others = sources[~np.eye(6, dtype=bool)]
    assert abs(oracles.chi_square(others)) < 5


def test_clutter_never_comes_from_the_image_itself():
    # With two images, the other one is the only source.
    images = constant([100, 1])
    seen, _ = canvases(50, images=images, labels=[0, 1], canvas_size=20, num_clutter=9, options={"image_index": 0})
    assert (seen.astype(int).sum(axis=(1, 2)) == 64 * (100 + 9)).all()
    images = constant([1, 25])
    seen, _ = canvases(50, images=images, labels=[0, 1], canvas_size=20, num_clutter=9, options={"image_index": 0})
    assert (seen.astype(int).sum(axis=(1, 2)) == 64 * (1 + 9 * 25)).all()


def test_clutter_is_cut_and_placed_uniformly():
    source = patterned((10, 11))[0]
    images = [np.zeros((8, 8), np.uint8), source]
    kwargs = {"images": images, "labels": [0, 1], "canvas_size": (12, 11), "num_clutter": 1}
    seen, _ = canvases(6000, **kwargs, options={"image_index": 0})
    counts = np.zeros((3, 4, 5, 4))
    for canvas in seen:
        row, column = top_left(canvas)
        cut = divmod(int(canvas[row, column]) - 1, 11)
        expected = np.zeros((12, 11), np.uint8)
        expected[row : row + 8, column : column + 8] = source[cut[0] : cut[0] + 8, cut[1] : cut[1] + 8]
        np.testing.assert_array_equal(canvas, expected)
        counts[(*cut, row, column)] += 1
    # The cut and the position are independent.
    for sums in (counts.sum(axis=(2, 3)), counts.sum(axis=(0, 1)), counts):
        assert sums.min() > 0
        assert abs(oracles.chi_square(sums)) < 5


def test_clutter_is_added_and_clipped_at_255():
    images = constant([0, 100])
    kwargs = {"images": images, "labels": [0, 1], "canvas_size": 9, "options": {"image_index": 0}}
    seen, _ = canvases(200, **kwargs, num_clutter=8)
    assert set(np.unique(seen)) == {0, 100, 200, 255}
    # Two pieces on 9 x 9 pixels always overlap; where they do, the value is the sum.
    seen, _ = canvases(200, **kwargs, num_clutter=2)
    assert (seen.astype(int).sum(axis=(1, 2)) == 2 * 64 * 100).all()
    # Clutter is also added to the image.
    images = constant([200, 100])
    seen, _ = canvases(50, **kwargs | {"images": images, "canvas_size": 8}, num_clutter=1)
    assert (seen == 255).all()
    images = constant([155, 100])
    seen, _ = canvases(50, **kwargs | {"images": images, "canvas_size": 8}, num_clutter=1)
    assert (seen == 255).all()
    images = constant([154, 100])
    seen, _ = canvases(50, **kwargs | {"images": images, "canvas_size": 8}, num_clutter=1)
    assert (seen == 254).all()


def test_num_clutter_and_clutter_size():
    images = constant([0, 1], size=(12, 12))
    for num_clutter, clutter_size in ((0, 8), (1, 1), (4, 8), (8, 3), (100, 12)):
        kwargs = {"canvas_size": 30, "num_clutter": num_clutter, "clutter_size": clutter_size}
        seen, _ = canvases(20, images=images, labels=[0, 1], **kwargs, options={"image_index": 0})
        assert (seen.astype(int).sum(axis=(1, 2)) == num_clutter * clutter_size**2).all()


def test_clutter_keeps_color_channels_apart():
    images = np.zeros((2, 8, 8, 3), np.uint8)
    images[1] = 10, 20, 30
    kwargs = {"images": images, "labels": [0, 1], "canvas_size": (14, 9), "num_clutter": 2}
    seen, _ = canvases(30, **kwargs, options={"image_index": 0})
    assert seen.shape == (30, 14, 9, 3)
    assert (seen.astype(int).sum(axis=(1, 2)) == [2 * 64 * 10, 2 * 64 * 20, 2 * 64 * 30]).all()


def test_clutter_comes_from_the_same_split():
    images = constant(range(1, 41))
    mine = {"train": set(range(8)), "validation": {8}, "test": {9}}
    for split, digits in mine.items():
        kwargs = {"images": images, "labels": np.zeros(40, int), "split": split, "num_classes": 2}
        seen, info = canvases(400, **kwargs, canvas_size=17, num_clutter=1)
        in_split = [i for i in range(40) if i % 10 in digits]
        for canvas, index in zip(seen.astype(int), info["image_index"], strict=True):
            shown = in_split[index] + 1
            piece = canvas.sum() // 64 - shown
            assert canvas.sum() == 64 * (shown + piece)
            assert piece - 1 in in_split
            assert piece != shown


def test_each_episode_has_a_new_canvas():
    env = make(canvas_size=30, num_clutter=2, num_glimpses=1)
    env.reset(seed=0, options={"image_index": 3})
    first = env.image
    env.step(look(0, 0))
    oracles.assert_identical(env.image, first)
    env.reset(options={"image_index": 3})
    assert (env.image != first).any()
