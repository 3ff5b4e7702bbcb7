"""Drawing primitives."""

import os
import subprocess
import sys

import numpy as np
import pygame
import pytest

from glimpse_gym.rendering import appearance, drawing
from glimpse_gym.rendering.drawing import surface_to_array
from pictures import contains_color, random_image


def drawn(surface):
    """Mask of the pixels that differ from the background, (height, width)."""
    return (surface_to_array(surface) != appearance.BACKGROUND).any(axis=-1)


@pytest.mark.parametrize(("size", "even"), [((3, 5), (4, 6)), ((4, 6), (4, 6)), ((0.2, 2), (2, 2))])
def test_even_size_rounds_up(size, even):
    assert drawing.even_size(*size) == even


def test_surfaces_and_arrays_convert_without_loss():
    image = random_image((7, 5, 3))
    array = surface_to_array(drawing.array_to_surface(image))
    assert np.array_equal(array, image)
    array[:] = 0  # a copy of its own
    assert surface_to_array(drawing.new_surface((4, 2), (1, 2, 3))).tolist() == 2 * [4 * [[1, 2, 3]]]


@pytest.mark.parametrize(("channels", "expected"), [(1, [0, 0, 0]), (2, [0, 0, 0]), (3, [0, 1, 2]), (5, [0, 1, 2])])
def test_images_of_any_number_of_channels(channels, expected):
    image = random_image((4, 6, channels))
    assert np.array_equal(surface_to_array(drawing.array_to_surface(image)), image[..., expected])


def test_arrays_that_are_not_contiguous():
    image = random_image((8, 8))
    shown = surface_to_array(drawing.array_to_surface(image[::2, ::-1].T))
    assert np.array_equal(shown[..., 0], image[::2, ::-1].T)


def test_line_is_clipped_to_the_surface():
    surface = drawing.new_surface((20, 20))
    drawing.draw_line(surface, (100, 100), (120, 130), 2, appearance.TEXT)
    assert not drawn(surface).any()
    drawing.draw_line(surface, (-50, 10.5), (50, 10.5), 3, appearance.TEXT)
    assert (surface_to_array(surface)[9:12] == appearance.TEXT).all()
    assert drawn(surface).sum() == 3 * 20


def test_lines_are_antialiased():
    surface = drawing.new_surface((40, 40))
    drawing.draw_line(surface, (2, 3), (37, 21), 2, appearance.TEXT)
    assert len(np.unique(surface_to_array(surface)[..., 0])) > 5


def test_opacity_is_that_of_the_whole_polyline():
    surface = drawing.new_surface((40, 40), (0, 0, 0))
    points = [(0, 20.5), (40, 20.5), (20.5, 0), (20.5, 40)]  # the lines cross at (20, 20)
    drawing.draw_polyline(surface, points, 3, (200, 200, 200), opacity=0.5)
    array = surface_to_array(surface)
    assert abs(int(array[20, 5, 0]) - 100) <= 2
    assert array[20, 20, 0] == array[20, 5, 0]
    drawing.draw_polyline(surface, points, 3, (200, 200, 200), opacity=0)
    assert np.array_equal(surface_to_array(surface), array)


@pytest.mark.parametrize("center", [(15, 15), (15.5, 12.25), (14.3, 15.7)])
def test_dot_has_the_area_and_the_place_of_a_disk(center):
    surface = drawing.new_surface((30, 30), (0, 0, 0))
    drawing.draw_dot(surface, center, 6, (255, 255, 255))
    weights = surface_to_array(surface)[..., 0] / 255
    assert weights.sum() == pytest.approx(np.pi * 36, rel=0.04)
    y, x = (weights * (np.indices(weights.shape) + 0.5)).sum(axis=(1, 2)) / weights.sum()
    assert (x, y) == pytest.approx(center, abs=0.15)


def test_ring_is_hollow_and_dots_are_clipped():
    surface = drawing.new_surface((30, 30))
    drawing.draw_ring(surface, (15, 15), 10, 2, appearance.TEXT)
    mask = drawn(surface)
    assert not mask[10:20, 10:20].any()
    assert mask[15, 5]
    drawing.draw_dot(surface, (-100, 500), 6, appearance.TEXT)
    assert np.array_equal(drawn(surface), mask)


def test_opacity_of_a_dot():
    surface = drawing.new_surface((30, 30), (0, 0, 0))
    drawing.draw_dot(surface, (15, 15), 6, (200, 200, 200), opacity=0.5)
    assert abs(int(surface_to_array(surface)[15, 15, 0]) - 100) <= 2


def test_rectangle_is_an_outline():
    surface = drawing.new_surface((9, 9))
    drawing.draw_rectangle(surface, pygame.Rect(1, 2, 6, 4), appearance.BORDER, 1)
    expected = np.zeros((9, 9), bool)
    expected[2:7, 1:8] = True
    expected[3:6, 2:7] = False
    assert np.array_equal((surface_to_array(surface) == appearance.BORDER).all(axis=-1), expected)


def test_filled_rectangles():
    surface = drawing.new_surface((20, 20), (0, 0, 0))
    drawing.fill_rectangle(surface, pygame.Rect(2, 3, 10, 8), (200, 0, 0), opacity=0.5)
    red = surface_to_array(surface)[..., 0]
    assert abs(int(red[3, 2]) - 100) <= 2
    assert (red > 0).sum() == 80
    rounded = drawing.new_surface((20, 20), (0, 0, 0))
    drawing.fill_rectangle(rounded, pygame.Rect(2, 3, 10, 8), (200, 0, 0), corner_radius=4)
    red = surface_to_array(rounded)[..., 0]
    assert red[3, 2] < 60
    assert red[7, 2] > 120
    assert (red[5:9, 4:10] == 200).all()


@pytest.mark.parametrize(("align", "low", "high"), [("left", 100, 160), ("center", 70, 130), ("right", 40, 100)])
def test_text_alignment(align, low, high):
    surface = drawing.new_surface((200, 40))
    width = drawing.draw_text(surface, "glimpse", (100, 25), 12, appearance.TEXT, align)
    columns = np.flatnonzero(drawn(surface).any(axis=0))
    assert 20 < width < 60
    assert width == drawing.text_width("glimpse", 12)
    assert low <= columns.min() < columns.max() < high


def test_text_stands_on_its_baseline():
    surface = drawing.new_surface((200, 60))
    drawing.draw_text(surface, "HEX", (10, 40), 24)
    rows = np.flatnonzero(drawn(surface).any(axis=1))
    assert rows.max() in (38, 39, 40)


def test_long_text_is_drawn_smaller_and_clipped():
    surface = drawing.new_surface((100, 40))
    assert drawing.draw_text(surface, "a text of some length", (0, 25), 20) <= 100
    assert drawing.draw_text(surface, "short", (0, 25), 20, max_width=30) <= 30
    assert drawing.draw_text(surface, "a text of some length" * 10, (0, 25), 20) > 100
    assert drawing.draw_text(surface, "", (0, 25), 20) == 0


@pytest.mark.parametrize("text", ["→", "←", "↑", "↓", "é", "± ×", "7 → 7 Käfer"])
def test_text_beyond_ascii(text):
    surfaces = [drawing.new_surface((200, 40)) for _ in range(2)]
    drawing.draw_text(surfaces[0], text, (10, 25), 16)
    drawing.draw_text(surfaces[1], "\uffff" * len(text), (10, 25), 16)  # the sign for a missing character
    masks = [drawn(surface) for surface in surfaces]
    assert masks[0].any()
    assert not np.array_equal(*masks)


def test_arrows_point_in_their_directions():
    def center_of_mass(arrow):
        surface = drawing.new_surface((60, 60))
        drawing.draw_text(surface, arrow, (10, 45), 40)
        rows, columns = np.nonzero(drawn(surface))
        return np.array([columns.mean() - (columns.min() + columns.max()) / 2, rows.mean() - rows.min()])

    assert center_of_mass("→")[0] > 0 > center_of_mass("←")[0]
    assert center_of_mass("↓")[1] > center_of_mass("↑")[1]


@pytest.mark.parametrize(("total", "count"), [(4, 0), (4, 3), (4, 4), (1000, 0), (1000, 500)])
def test_progress_fills_a_fraction_of_the_bar(total, count):
    surface = drawing.new_surface((200, 20))
    drawing.draw_progress(surface, pygame.Rect(0, 7, 200, 6), count, total)
    row = surface_to_array(surface)[10]
    filled = np.flatnonzero((row == appearance.SCALE_COLORS[0]).all(axis=-1))
    if count == 0:
        assert len(filled) == 0
    else:
        assert filled.max() == pytest.approx(200 * count / total, abs=10)


def test_colors():
    colors = [drawing.outcome_color(success) for success in (None, True, False)]
    assert colors == [appearance.TEXT, appearance.SUCCESS, appearance.FAILURE]
    times = drawing.time_colors(5)
    assert np.array_equal([times[0], times[-1]], [appearance.TIME_GRADIENT[0], appearance.TIME_GRADIENT[-1]])
    assert len(set(times)) == 5
    assert drawing.time_colors(1) == times[:1]


def test_drawing_needs_no_display_and_makes_no_sound():
    program = """
import pygame
from glimpse_gym.rendering import appearance, drawing
surface = drawing.new_surface((60, 40))
drawing.draw_text(surface, "seen", (5, 20), 12)
drawing.draw_line(surface, (0, 0), (60, 40), 2, appearance.TEXT)
drawing.surface_to_array(surface)
assert not pygame.display.get_init()
assert not pygame.mixer.get_init()
"""
    env = {name: value for name, value in os.environ.items() if name not in ("SDL_VIDEODRIVER", "DISPLAY")}
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=env)
    assert result.returncode == 0, result.stderr
    assert "pygame" not in result.stdout


def test_contains_color_finds_single_pixels():
    surface = drawing.new_surface((5, 5))
    surface.set_at((3, 2), appearance.SUCCESS)
    assert contains_color(surface_to_array(surface), appearance.SUCCESS)
