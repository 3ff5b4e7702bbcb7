"""Text for terminals."""

import re

import numpy as np

from glimpse_gym.rendering.ansi import render_ansi
from glimpse_gym.retina import Retina
from pictures import CENTER, SHAPES, random_image

PIXEL = {"  ": " ", "\u2588\u2588": "#", "\u2592\u2592": "+", "\u2591\u2591": "."}


def without_colors(text):
    return re.sub("\x1b\\[[0-9;]*m", "", text)


def board(text):
    """Board with one character per pixel: seen bright #, less bright +, frame of the gaze ., dark or unseen blank."""
    return [
        "".join(PIXEL[line[i : i + 2]] for i in range(0, len(line), 2)) for line in without_colors(text).split("\n")
    ]


def view(image, location, retina, **kwargs):
    location = np.array([location], np.float32)
    return render_ansi(image.shape[:2], retina, retina.sense(image[np.newaxis], location), location, **kwargs)


def test_board_shows_what_the_finest_patch_sees():
    image = np.zeros((8, 8), np.uint8)
    image[3, 4] = 255
    image[7, 0] = 255  # outside of the patch
    assert board(view(image, (0, 0), Retina(4))) == [
        "        ",
        " ...... ",
        " .    . ",
        " .  # . ",
        " .    . ",
        " .    . ",
        " ...... ",
        "        ",
    ]


def test_frame_never_covers_what_was_seen():
    image = np.zeros((8, 8), np.uint8)
    image[0:2] = 255
    assert board(view(image, (0, 0), Retina(4, 2)))[:3] == ["########", "########", " .    . "]


def test_coarse_patches_are_visible_though_their_values_are_small():
    image = np.zeros((8, 8), np.uint8)
    image[0, 0] = 255  # a sixteenth of a cell of the coarsest patch
    assert board(view(image, (0, 0), Retina(2, 3)))[:3] == ["++++    ", "++++    ", "++....  "]


def test_status_and_colors():
    image = np.zeros((8, 8), np.uint8)
    lines = view(image, (0, 0), Retina(2), status="frame 1 / 7").split("\n")
    assert lines[0] == "frame 1 / 7"
    assert len(lines) == 9
    assert all(line.endswith("\x1b[0m") for line in lines[1:])
    assert "48;2;27;30;42m" in lines[1]  # unseen
    assert "48;2;0;0;0m" in lines[5]  # seen, and black


def test_large_images_have_two_rows_per_line():
    for height, width in ((60, 60), (100, 41), (99, 99)):
        lines = without_colors(view(np.zeros((height, width), np.uint8), (0, 0), Retina(12, 3))).split("\n")
        assert {line for line in lines} == {"\u2580" * width}
        assert len(lines) == -(-height // 2)
    lines = without_colors(view(np.zeros((1000, 500, 3), np.uint8), (0, 0), Retina(50))).split("\n")
    assert (len(lines), len(lines[0])) == (60, 60)


def test_images_of_all_shapes():
    for shape in SHAPES:
        assert view(random_image(shape), CENTER[0], Retina(5, 2))
