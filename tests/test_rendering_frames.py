"""Frames of episodes, checked pixel by pixel, and tiles."""

import numpy as np
import pytest

from glimpse_gym.rendering import drawing, frames
from glimpse_gym.rendering.drawing import surface_to_array
from glimpse_gym.rendering.frames import render_frame, tile_frames
from glimpse_gym.rendering.scene import Scene
from glimpse_gym.retina import Retina
from pictures import CENTER, SHAPES, contains_color, frame_of, is_even_picture, random_fixations, random_image


@pytest.mark.parametrize("retina", [Retina(8), Retina(5, 3), Retina(3, 6), Retina(300, 2), Retina(1, 12)], ids=repr)
def test_frame_size_is_even_and_depends_only_on_the_retina(retina):
    pictures = [frame_of(random_image(shape), random_fixations(3), retina) for shape in SHAPES]
    assert all(is_even_picture(picture) for picture in pictures)
    assert len({picture.shape for picture in pictures}) == 1


def test_arguments_are_not_modified():
    image, fixations, retina = random_image((20, 30, 3)), random_fixations(4), Retina(4, 2)
    glimpse = retina.sense(image[np.newaxis], fixations[-1:])[0]
    for array in (image, fixations, glimpse):
        array.setflags(write=False)
    first, second = (
        render_frame(image, fixations, retina, glimpse, progress=(4, 6), reward=0.5, ended=True) for _ in range(2)
    )
    assert np.array_equal(surface_to_array(first), surface_to_array(second))


def test_earlier_glimpses_are_bright_unless_the_image_moves():
    image, fixations = np.full((20, 20), 255, np.uint8), np.array([[-0.8, -0.8], [0.8, 0.8]], np.float32)
    pixel = 84 + 24 + 30, 24 + 24 + 30  # in the upper left of the image, off the line
    still = frame_of(image, fixations, Retina(4))
    moving = frame_of(image, fixations, Retina(4), image_moves=True)
    assert still[pixel].min() == 255
    assert moving[pixel].max() < 128


def test_patch_outlines_and_glimpse_panel_share_colors():
    image, retina = np.zeros((48, 48), np.uint8), Retina(8, 3)
    frame = frame_of(image, CENTER, retina)
    scene = Scene(image, retina, CENTER, frames._IMAGE_SIDE, frames._MARGIN)
    for scale in range(3):
        left, top, width, height = scene.patch_rect(CENTER[0], scale)
        color = drawing.SCALE_COLORS[scale]
        right, bottom = left + width, top + height
        for y, x in ((top - 1, left - 1), (top, left), (bottom - 1, right - 1), (bottom, right)):
            assert tuple(frame[84 + y, 24 + x]) == color
        assert contains_color(frame[:, 24 + 528 + 24 :], color)


def test_glimpse_panel_shows_each_scale():
    red, green = np.zeros((3, 4, 4), np.float32), np.zeros((3, 4, 4), np.float32)
    red[0], green[1] = 1, 0.5
    glimpse = np.concatenate([red, green])
    surface = render_frame(random_image((9, 9, 3)), CENTER, Retina(4, 2), glimpse, progress=(1, 2), reward=0.0)
    frame = surface_to_array(surface)
    right = frame[84 : 84 + 528, 24 + 528 + 24 :]
    assert contains_color(right[:264], (255, 0, 0))
    assert not contains_color(right[264:], (255, 0, 0))
    assert contains_color(right[264:], (0, 128, 0))
    assert not contains_color(right[:264], (0, 128, 0))


def test_progress_and_reward_are_shown():
    image, retina = random_image((9, 9)), Retina(4)
    running = frame_of(image, CENTER, retina, reward=0.0)
    assert not np.array_equal(running, frame_of(image, CENTER, retina, progress=(2, 7)))
    assert not np.array_equal(running, frame_of(image, CENTER, retina, reward=1.0))
    assert np.array_equal(running, frame_of(image, CENTER, retina, reward=-0.0))
    caught = frame_of(image, CENTER, retina, reward=1.0, ended=True)
    missed = frame_of(image, CENTER, retina, reward=0.0, ended=True)
    colors = [
        (contains_color(p, drawing.SUCCESS), contains_color(p, drawing.FAILURE)) for p in (running, caught, missed)
    ]
    assert colors == [(False, False), (True, False), (False, True)]


@pytest.mark.parametrize("total", [1, 7, 23, 5000])
def test_progress_bar_grows(total):
    def filled(count):
        bar = frame_of(random_image((9, 9)), CENTER, Retina(4), progress=(count, total))[62, 24:-24]
        return np.flatnonzero((bar == drawing.SCALE_COLORS[0]).all(axis=-1))

    counts = sorted({0, total // 3, total // 2, total})
    lengths = [len(filled(count)) for count in counts]
    assert lengths[0] == 0
    assert lengths == sorted(lengths)
    assert filled(total).max() > 200


@pytest.mark.parametrize("scale", [0.2, 0.5, 1.37, 2.0])
@pytest.mark.parametrize("retina", [Retina(8), Retina(12, 4), Retina(300, 2)], ids=repr)
def test_frames_of_any_scale(scale, retina):
    frame, natural = (frame_of(random_image((60, 60)), random_fixations(3), retina, scale=s) for s in (scale, 1.0))
    assert is_even_picture(frame)
    assert frame.shape[:2] == pytest.approx(np.multiply(natural.shape[:2], scale), rel=0.15)
    for color in drawing.SCALE_COLORS[: retina.num_scales]:
        assert contains_color(frame, color)


def test_tiles_are_a_grid_in_row_order():
    pictures = [np.full((4, 6, 3), value, np.uint8) for value in (10, 20, 30, 40, 50)]
    tiled = tile_frames(pictures, gap=2)
    assert tiled.shape == (2 + 2 * 6, 2 + 3 * 8, 3)
    assert [int(tiled[y, x, 0]) for y in (3, 9) for x in (3, 11, 19)] == [10, 20, 30, 40, 50, drawing.BACKGROUND[0]]
    assert np.array_equal(tiled[2:6, 2:8], pictures[0])
    assert tile_frames(pictures, columns=1, gap=2).shape == (2 + 5 * 6, 2 + 8, 3)
    assert is_even_picture(tile_frames([np.zeros((3, 5, 3), np.uint8)], gap=1))
    with pytest.raises(ValueError, match="nothing to tile"):
        tile_frames([])
