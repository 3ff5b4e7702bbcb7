"""Figures of finished episodes."""

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.patches import Rectangle

from glimpse_gym.rendering import drawing
from glimpse_gym.rendering.animation import ScanpathEpisode
from glimpse_gym.rendering.figures import scanpath_plate
from glimpse_gym.rendering.paper_figures import save_figure
from glimpse_gym.retina import Retina
from pictures import SHAPES, random_episodes


def panels(figure):
    return [axes for axes in figure.axes if axes.images]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_plate_has_a_panel_for_each_episode(shape, tmp_path):
    episodes = random_episodes([1, 3, 12], shape, caption="a \u2192 b", success=True)
    for columns in (1, 2, 6):
        figure = scanpath_plate(episodes, title="seen", columns=columns)
        assert len(panels(figure)) == 3
        lefts = {round(axes.get_position(original=True).x0, 6) for axes in figure.axes}
        assert len(lefts) == min(columns, 3)
        assert "seen" in {text.get_text() for text in figure.texts}
    assert [path.suffix for path in save_figure(figure, tmp_path / "plate")] == [".svg", ".png"]


def test_panels_have_the_shape_of_their_images():
    figure = scanpath_plate(random_episodes([2], (90, 40, 3)) + random_episodes([2], (10, 10)))
    assert [axes.get_aspect() for axes in panels(figure)] == [90 / 40, 1]


def test_captions_are_colored_by_outcome():
    colors = {}
    for good in (True, False, None):
        (axes,) = panels(scanpath_plate(random_episodes([2], caption="7 \u2192 7", success=good)))
        (caption,) = (text for text in axes.texts if text.get_text() == "7 \u2192 7")
        colors[good] = to_rgb(caption.get_color())
    assert len(set(colors.values())) == 3
    assert colors[True][1] > colors[True][0]
    assert colors[False][0] > colors[False][1]


def test_fixations_are_numbered_at_their_patches_in_colors_of_time():
    fixations, retina = np.array([[-0.8, 0], [0.1, 0.3], [0.8, 0]], np.float32), Retina(2)
    (axes,) = panels(scanpath_plate([ScanpathEpisode(np.zeros((20, 20), np.uint8), fixations, retina)]))
    numbers = [text for text in axes.texts if text.get_text().isdigit()]
    assert [text.get_text() for text in numbers] == ["1", "2", "3"]
    np.testing.assert_allclose([text.get_position() for text in numbers], fixations, atol=0.06)
    squares = [patch for patch in axes.patches if isinstance(patch, Rectangle)]
    assert [square.get_width() for square in squares] == pytest.approx([2 * 2 / 20] * 3)
    colors = [np.rint(255 * np.array(to_rgb(square.get_edgecolor()))).astype(int).tolist() for square in squares]
    assert colors == [list(color) for color in drawing.time_colors(3)]


@pytest.mark.parametrize("lengths", [[], [2, 0]])
def test_no_episodes_or_no_fixations_error(lengths):
    with pytest.raises(ValueError, match="nothing to draw"):
        scanpath_plate(random_episodes(lengths))
