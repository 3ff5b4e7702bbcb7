"""Figures of results made by hand."""

import numpy as np
import pytest

from glimpse_gym.agents.experiments import figures
from hand_made_results import make_history, make_result, make_score, ram_results, results_for_all_figures


def curves(axes):
    """x and y of each line of a panel, by label."""
    return {line.get_label(): np.array(line.get_data(), float).tolist() for line in axes.get_lines()}


def test_error_by_glimpses_is_the_mean_over_seeds():
    (axes,) = figures._error_by_glimpses(["cluttered60"], results_for_all_figures()).get_axes()
    drawn = curves(axes)
    glimpses = [*range(1, 9)]
    last_errors = {"RAM, learned locations": 2.5, "RAM, random locations": 25.0, "RAM, fixed at center": 50.0}
    last_errors |= {"paper's model, Adam": 3.0, "paper's model, SGD with momentum": 5.0}
    for name, last in last_errors.items():
        x, y = drawn.pop(name)
        assert x == glimpses
        assert y == pytest.approx([last + 8 - t for t in glimpses])
    assert drawn.pop("paper (published)") == [[4, 6, 8], [4.96, 4.08, 4.04]]
    assert drawn.pop("CNN, whole image")[1] == pytest.approx([1.0, 1.0])
    assert not drawn
    assert axes.get_title() == "Cluttered, 60 × 60"


def test_error_by_glimpses_has_the_range_between_seeds():
    (axes,) = figures._error_by_glimpses(["cluttered60"], results_for_all_figures()).get_axes()
    # Of our RAM at three kinds of locations, and of the paper's model with Adam; one seed has no range.
    assert len(axes.collections) == 4
    corners = axes.collections[0].get_paths()[0].vertices
    at_last_glimpse = corners[corners[:, 0] == 8][:, 1]
    assert [at_last_glimpse.min(), at_last_glimpse.max()] == pytest.approx([2.0, 3.0])


def test_error_by_glimpses_of_mnist_has_the_agent_whose_first_glimpse_is_at_the_center():
    results = [
        make_result("ram-mnist", [make_score("test", [0.5, 0.2])]),
        make_result("ram-center-mnist", [make_score("test", [0.4, 0.1])]),
    ]
    (axes,) = figures._error_by_glimpses(["mnist"], results).get_axes()
    drawn = curves(axes)
    assert drawn["RAM, learned locations"] == [[1.0, 2.0], pytest.approx([50.0, 20.0])]
    assert drawn["RAM, learned, first at center"] == [[1.0, 2.0], pytest.approx([40.0, 10.0])]


def test_error_by_values_counts_the_values_sensed():
    (axes,) = figures._error_by_values(["cluttered60"], results_for_all_figures()).get_axes()
    drawn = curves(axes)
    assert drawn["RAM, learned locations"][0] == [100 * t for t in range(1, 9)]
    assert drawn["RAM, learned locations"][1] == pytest.approx([10.5 - t for t in range(1, 9)])
    assert drawn["model of cnn-cluttered60, whole image"] == [[3600.0], pytest.approx([1.0])]
    assert drawn["model of conv-cluttered60, whole image"] == [[3600.0], pytest.approx([8.0])]
    assert len(drawn) == 5


def test_learning_has_a_line_for_each_seed():
    (axes,) = figures._learning(["cluttered60"], results_for_all_figures()).get_axes()
    lines = [np.array(line.get_data()).tolist() for line in axes.get_lines()]
    ours, sgd, adam = (pytest.approx([first, first / 2, first / 3]) for first in (10.0, 50.0, 40.0))
    assert lines == [[[1.0, 2.0, 3.0], errors] for errors in (ours, ours, sgd, adam, adam, adam)]
    labels = [text.get_text() for text in axes.figure.legends[0].get_texts()]
    assert labels == ["our RAM", "paper's model, SGD with momentum", "paper's model, Adam"]


def test_learning_tells_runs_with_selection_from_those_without():
    scores, history = [make_score("test", [0.1])], make_history(0.1)
    found = [make_result(f"{name}-cluttered60", scores, history=history) for name in ("ram", "ram-select")]
    (axes,) = figures._learning(["cluttered60"], found).get_axes()
    without, selected = axes.get_lines()
    assert [without.get_label(), selected.get_label()] == ["our RAM", "our RAM, with selection"]
    assert without.get_color() != selected.get_color()


def test_catch_has_balls_caught_and_gaze_distances():
    learning, gaze = figures._catch(["catch"], results_for_all_figures()).get_axes()
    drawn = curves(learning)
    frames = pytest.approx([23.0, 46.0, 69.0])  # 23 frames per episode
    assert drawn["RAM, retina"] == [frames, pytest.approx([90.0, 95.0, 100 - 10 / 3])]
    assert drawn["RAM, whole screen"] == [frames, pytest.approx([94.0, 97.0, 98.0])]
    assert drawn["paper (published, approximate)"] == [[20.0], [85.0]]
    assert [np.array(line.get_data()).tolist() for line in gaze.get_lines()] == [[[0.0, 1.0, 2.0], [4.0, 3.0, 2.5]]]


def test_generalization_is_the_last_error_by_what_was_changed():
    (axes,) = figures._generalization(["cluttered60"], results_for_all_figures()).get_axes()
    assert curves(axes) == {"Cluttered, 60 × 60": [[4.0, 16.0], pytest.approx([3.0, 30.0])]}
    assert axes.get_xlabel() == "pieces of clutter"


def test_legend_of_generalization_has_the_tasks_in_their_order():
    entries = {"ram-mnist": ("shift",), "ram-translated60": ("canvas_size",), "ram-cluttered60": ("canvas_size",)}
    results = [
        make_result(
            recipe,
            [make_score("test", [0.1])],
            generalization=[{"env_kwargs": {name: 1}, "score": make_score("test", [0.2])} for name in names],
        )
        for recipe, names in entries.items()
    ]
    figure = figures._generalization(["mnist", "translated60", "cluttered60"], results)
    assert [axes.get_xlabel() for axes in figure.axes] == ["canvas size, pixels", "shift right and down, pixels"]
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["MNIST, 28 × 28", "Translated, 60 × 60", "Cluttered, 60 × 60"]


def test_figures_without_results_are_not_drawn(tmp_path):
    drawn = figures.save_figures(tmp_path, ram_results())  # no generalization, no Catch
    assert [path.stem for path in drawn] == ["error-by-glimpses", "error-by-values", "learning"]
    assert sorted(tmp_path.iterdir()) == sorted(drawn)
