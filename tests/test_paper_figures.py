"""Matplotlib figures: what is drawn, and the files."""

import re
from itertools import combinations

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from glimpse_gym.rendering import paper_figures
from glimpse_gym.rendering.paper_figures import (
    COLORS,
    GRAY,
    ErrorCurve,
    HeatMap,
    belief_over_time,
    error_against_glimpses,
    fixation_density,
    fixation_heat_maps,
    save_figure,
)
from glimpse_gym.retina import Retina

NAMES = ("zero", "one", "two")
PROBS = np.array([[0.5, 0.3, 0.2], [0.05, 0.9, 0.05]])


def curve(name, *errors, **changes):
    return ErrorCurve(name, errors, [e - 0.05 for e in errors], [e + 0.1 for e in errors], **changes)


def belief(**changes):
    image = np.random.default_rng(0).integers(0, 256, (20, 20), dtype=np.uint8)
    values = {
        "image": image,
        "locations": np.array([[0.0, 0.0], [0.5, -0.5]]),
        "retina": Retina(4, 2),
        "probs": PROBS,
        "class_names": NAMES,
        "label": 1,
    }
    return belief_over_time(**values | changes)


def heat_map(title="people", locations=((0.0, 0.0), (0.5, 0.5))):
    return HeatMap(title, np.full((10, 10), 0.5), np.array(locations).reshape(-1, 2))


def bars(axes):
    """Left edge, bottom and height of each filled bar."""
    found = [patch for patch in axes.patches if isinstance(patch, Rectangle) and patch.get_fill()]
    return [(round(p.get_x() + 0.4), p.get_y(), p.get_height()) for p in found if p.get_height() > 1e-9]


ALL = {
    "errors": lambda: error_against_glimpses([curve("Ann", 0.5, 0.2), curve("agent", 0.1, task="other")], note="x"),
    "belief": belief,
    "heat maps": lambda: fixation_heat_maps([heat_map()] * 3, columns=2, title="t", note="note"),
}


# ---------------------------------------------------------------- files


@pytest.mark.parametrize("name", ALL)
def test_svg_and_png(name, tmp_path):
    paths = save_figure(ALL[name](), tmp_path / "figure")
    assert [path.name for path in paths] == ["figure.svg", "figure.png"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["figure.png", "figure.svg"]
    text = paths[0].read_text()
    assert text.startswith("<?xml")
    assert text.rstrip().endswith("</svg>")
    with Image.open(paths[1]) as picture:
        picture.load()
        assert picture.format == "PNG"
        assert min(picture.size) >= 30


@pytest.mark.parametrize("name", ALL)
def test_equal_figures_give_equal_files(name, tmp_path):
    first, second = (save_figure(ALL[name](), tmp_path / stem) for stem in "ab")
    for a, b in zip(first, second, strict=True):
        assert a.read_bytes() == b.read_bytes()


@pytest.mark.parametrize("suffix", [".svg", ".png"])
def test_one_file(suffix, tmp_path):
    assert save_figure(Figure(), tmp_path / f"a{suffix}") == [tmp_path / f"a{suffix}"]
    assert [path.name for path in tmp_path.iterdir()] == [f"a{suffix}"]


def test_other_endings(tmp_path):
    with pytest.raises(ValueError, match=r"\.svg or \.png, or both without an ending; got 'a\.pdf'"):
        save_figure(Figure(), tmp_path / "a.pdf")
    assert not list(tmp_path.iterdir())


def test_folder_that_does_not_exist(tmp_path):
    with pytest.raises(FileNotFoundError):
        save_figure(Figure(), tmp_path / "no" / "a.svg")


def test_colors_of_okabe_and_ito_are_distinct():
    assert len(set(COLORS)) == 8
    assert all(re.fullmatch("#[0-9A-F]{6}", color) for color in COLORS)
    assert min(np.abs(np.subtract(to_rgb(a), to_rgb(b))).sum() for a, b in combinations(COLORS, 2)) > 0.3


# ---------------------------------------------------------------- errors


def test_errors_are_drawn_with_their_intervals(monkeypatch):
    drawn = []
    plot = paper_figures._plot_curve
    monkeypatch.setattr(paper_figures, "_plot_curve", lambda *args: drawn.append(plot(*args)) or drawn[-1])
    (axes,) = error_against_glimpses([curve("Ann", 0.5, 0.2), curve("agent", 0.4, 0.1)]).axes
    for line, errors in zip(drawn, [(50, 20), (40, 10)], strict=True):
        np.testing.assert_allclose(np.round(line.get_xdata()), [1, 2])
        np.testing.assert_allclose(line.get_ydata(), errors)
    spans = [segment[:, 1].tolist() for collection in axes.collections for segment in collection.get_segments()]
    np.testing.assert_allclose(spans, [(45, 60), (15, 30), (35, 50), (5, 20)])
    assert axes.get_ylim()[0] == 0
    assert axes.get_xlabel() == "glimpses"
    # The lines of two players are moved apart.
    assert drawn[0].get_xdata()[0] < drawn[1].get_xdata()[0]


def test_a_panel_for_each_task_and_a_color_for_each_player():
    curves = [curve("Ann", 0.5, task="one"), curve("agent", 0.4, task="one"), curve("agent", 0.1, task="two")]
    curves += [curve("random", 0.9, task="two", is_baseline=True), curve("center", 0.8, task="two", is_baseline=True)]
    figure = error_against_glimpses(curves)
    one, two = figure.axes
    assert (one.get_title(), two.get_title()) == ("one", "two")
    assert [line.get_color() for line in one.get_lines()] == [COLORS[0], COLORS[1]]
    assert [line.get_color() for line in two.get_lines()] == [COLORS[1], GRAY, GRAY]
    assert len({line.get_linestyle() for line in two.get_lines()}) == 3
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["Ann", "agent", "random", "center"]


def test_the_note_is_below_and_takes_place():
    plain, noted = (error_against_glimpses([curve("Ann", 0.5)], note=note) for note in ("", "word " * 60))
    assert noted.get_figheight() > plain.get_figheight()
    assert "word word" in noted.get_supxlabel()
    assert max(map(len, noted.get_supxlabel().splitlines())) <= 19 * noted.get_figwidth()


def test_errors_without_intervals_or_points(tmp_path):
    nan = [np.nan, 0.5]
    figure = error_against_glimpses([ErrorCurve("Ann", nan, nan, nan)])
    save_figure(figure, tmp_path / "a.png")


def test_no_curves():
    with pytest.raises(ValueError, match="no curves"):
        error_against_glimpses([])


# ---------------------------------------------------------------- belief


def test_bars_are_stacked_from_the_true_class_up():
    *glimpses, axes = belief().axes
    assert len(glimpses) == 2
    expected = [(1, 0, 0.3), (2, 0, 0.9), (1, 0.3, 0.5), (2, 0.9, 0.05), (1, 0.8, 0.2), (2, 0.95, 0.05)]
    np.testing.assert_allclose(bars(axes), expected)
    texts = [(round(t.get_position()[0]), t.get_text(), t.get_weight()) for t in axes.texts]
    assert texts == [(1, "one", "normal"), (2, "one", "bold"), (1, "zero", "bold"), (1, "two", "normal")]
    frames = [p for p in axes.patches if isinstance(p, Rectangle) and not p.get_fill()]
    np.testing.assert_allclose([p.get_height() for p in frames], [0.3, 0.9])
    assert "one, the true class" in axes.get_xlabel()


def test_belief_without_a_label():
    axes = belief(label=None).axes[-1]
    np.testing.assert_allclose(bars(axes)[:2], [(1, 0, 0.3), (2, 0, 0.9)])  # the largest probability first
    assert "true class" not in axes.get_xlabel()


def test_many_small_classes_are_one_gray_bar():
    probs = np.full((1, 100), 0.01)
    axes = belief(locations=np.zeros((1, 2)), probs=probs, class_names=[str(k) for k in range(100)], label=None).axes[
        -1
    ]
    np.testing.assert_allclose(bars(axes), [(1, 0, 1)])
    assert not axes.texts


def test_glimpses_show_what_was_seen():
    first, second, _ = belief(image=np.full((20, 20), 255, np.uint8), retina=Retina(4, 1)).axes
    shown = [axes.images[0].get_array()[..., 0] for axes in (first, second)]
    assert (shown[0] == 1).sum() == 16
    assert (shown[0][8:12, 8:12] == 1).all()
    assert (shown[1] == 1).sum() == 32
    (outline,) = second.patches
    assert (outline.get_x(), outline.get_y(), outline.get_width()) == (12.5, 2.5, 4)  # around (0.5, -0.5)


@pytest.mark.parametrize("shape", [(20, 20, 3), (20, 30, 1), (5, 9, 4), (1, 1)])
def test_belief_of_any_image(shape, tmp_path):
    save_figure(belief(image=np.zeros(shape, np.uint8)), tmp_path / "a.png")


@pytest.mark.parametrize("probs", [PROBS[:1], PROBS[:, :2], PROBS[0]])
def test_belief_of_other_shapes(probs):
    with pytest.raises(ValueError, match=r"probs must be of shape \(2, 3\)"):
        belief(probs=probs)


# ---------------------------------------------------------------- heat maps


def test_density_is_that_of_gaussians_relative_to_uniform():
    location = np.array([[0.21, -0.39]])
    density = fixation_density(location, 100)
    row, column = np.unravel_index(density.argmax(), density.shape)
    assert (column, row) == (60, 30)  # cells around x = 0.21 and y = -0.39
    assert density.max() == pytest.approx(4 / (2 * np.pi * 0.1**2))
    assert density.mean() == pytest.approx(1, abs=1e-6)
    for y, x in ((5, 90), (35, 61)):
        center = (2 * x + 1) / 100 - 1, (2 * y + 1) / 100 - 1
        expected = 4 / (2 * np.pi * 0.1**2) * np.exp(-((np.array(center) - location[0]) ** 2).sum() / 0.02)
        assert density[y, x] == pytest.approx(expected)


def test_density_of_uniform_places_is_one():
    places = np.random.default_rng(0).uniform(-1, 1, (100_000, 2))
    np.testing.assert_allclose(fixation_density(places, 10)[2:8, 2:8], 1, atol=0.12)


def test_density_without_fixations():
    np.testing.assert_array_equal(fixation_density(np.zeros((0, 2)), 4), np.zeros((4, 4)))


def test_panels_share_a_color_scale():
    figure = fixation_heat_maps([heat_map("a"), heat_map("b", [(0, 0)] * 5), heat_map("c", [])], columns=2)
    panels = [axes for axes in figure.axes if axes.images]
    assert [axes.get_title() for axes in panels] == ["a\n2 fixations", "b\n5 fixations", "c\n0 fixations"]
    assert len({axes.images[1].get_clim() for axes in panels}) == 1
    assert panels[0].images[1].get_clim()[1] == pytest.approx(fixation_density(np.zeros((5, 2))).max())


def test_heat_maps_without_any_fixation(tmp_path):
    save_figure(fixation_heat_maps([heat_map(locations=[])]), tmp_path / "a.png")


def test_no_heat_maps():
    with pytest.raises(ValueError, match="no heat maps"):
        fixation_heat_maps([])
