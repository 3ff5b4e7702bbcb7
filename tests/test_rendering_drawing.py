"""Drawing primitives."""

import numpy as np
import pytest

from glimpse_gym.rendering import drawing


def drawn_columns(canvas):
    """Columns that differ from the background."""
    return np.flatnonzero((canvas != drawing.BACKGROUND).any(axis=(0, 2)))


@pytest.mark.parametrize(("height", "width"), [(3, 5), (4, 6), (1, 2)])
def test_even_canvas_rounds_up(height, width):
    assert drawing.even_canvas(height, width).shape == (height + height % 2, width + width % 2, 3)


def test_blank_canvas_is_a_new_array():
    canvas = drawing.blank_canvas(4, 4)
    canvas[:] = 1
    assert (drawing.blank_canvas(4, 4) == drawing.BACKGROUND).all()


def test_line_is_clipped_to_the_canvas():
    canvas = drawing.blank_canvas(20, 20)
    drawing.draw_line(canvas, (100, 100), (120, 130), 2, drawing.TEXT)
    assert (canvas == drawing.BACKGROUND).all()
    drawing.draw_line(canvas, (10, -50), (10, 50), 2, drawing.TEXT)
    assert (canvas[9:11] == drawing.TEXT).all()


def test_rectangle_is_an_outline():
    canvas = drawing.blank_canvas(9, 9)
    drawing.draw_rectangle(canvas, (2, 1, 6, 7), drawing.BORDER, 1)
    expected = np.zeros((9, 9), bool)
    expected[2:7, 1:8] = True
    expected[3:6, 2:7] = False
    assert np.array_equal((canvas == drawing.BORDER).all(axis=-1), expected)


@pytest.mark.parametrize(("align", "low", "high"), [(0, 100, 160), (0.5, 70, 130), (1, 40, 100)])
def test_text_alignment(align, low, high):
    canvas = drawing.blank_canvas(40, 200)
    width = drawing.draw_text(canvas, 25, 100, "glimpse", 12, drawing.TEXT, align)
    columns = drawn_columns(canvas)
    assert 20 < width < 60
    assert low <= columns.min() < columns.max() < high


def test_long_text_is_drawn_smaller_and_clipped():
    canvas = drawing.blank_canvas(40, 100)
    short = drawing.draw_text(canvas, 25, 0, "a text of some length", 20, drawing.TEXT)
    assert short <= 100
    assert drawing.draw_text(canvas, 25, 0, "a text of some length" * 10, 20, drawing.TEXT) > 100


@pytest.mark.parametrize(("total", "count"), [(4, 0), (4, 3), (4, 4), (1000, 0), (1000, 500)])
def test_progress_fills_a_fraction_of_the_bar(total, count):
    canvas = drawing.blank_canvas(20, 200)
    drawing.draw_progress(canvas, 10, 0, 200, count, total, radius=3)
    filled = np.flatnonzero((canvas[10] == drawing.SCALE_COLORS[0]).all(axis=-1))
    if count == 0:
        assert len(filled) == 0
    else:
        assert filled.max() == pytest.approx(200 * count / total, abs=10)


def test_outcome_colors():
    colors = [drawing.outcome_color(success) for success in (None, True, False)]
    assert colors == [drawing.TEXT, drawing.SUCCESS, drawing.FAILURE]
