"""Figures of benchmark records made by hand. S runs, P evaluations."""

import itertools

import numpy as np
import pytest
from matplotlib.colors import to_hex

from glimpse_gym.agents.benchmark import figures
from glimpse_gym.agents.benchmark.algorithms import ALGORITHMS
from glimpse_gym.agents.benchmark.protocol import TASKS
from glimpse_gym.agents.benchmark.tables import Suite
from hand_made_records import make_point, make_record, make_records, make_test

IMAGES = Suite(("MNIST", "Cluttered"), ("random", "sb3-ppo", "ram"), ())


def suite_records():
    """Two runs on both tasks; random < PPO in all runs, and PPO like RAM."""
    levels = {"random": (0.1, 0.1), "sb3-ppo": (0.4, 0.6), "ram": (0.4, 0.7)}
    return [r for task in IMAGES.tasks for name, levels_ in levels.items() for r in make_records(task, name, levels_)]


def lines(axes):
    """x and y of the labeled lines of a panel, by label."""
    return {
        line.get_label(): np.array(line.get_data(), float).tolist()
        for line in axes.get_lines()
        if not line.get_label().startswith("_")
    }


def legend_of(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


# ------------------------------------------------------------------------------------------ styles


def test_each_algorithm_has_its_own_color_and_marker():
    styles = figures.line_styles([make_record(algorithm="mine"), make_record(algorithm="yours")])
    assert list(styles) == [*ALGORITHMS, "mine", "yours"]
    assert len({(style["color"], style["marker"]) for style in styles.values()}) == len(styles)
    # A color is not shared within a group, whose algorithms are in the same panel.
    for group in {entry.group for entry in ALGORITHMS.values()}:
        colors = [styles[name]["color"] for name, entry in ALGORITHMS.items() if entry.group == group]
        assert len(set(colors)) == len(colors)


def test_style_does_not_depend_on_which_runs_there_are():
    few, many = (figures.line_styles(records) for records in ([make_record()], suite_records()))
    assert {name: few[name] for name in ALGORITHMS} == {name: many[name] for name in ALGORITHMS}


@pytest.mark.parametrize("values", [[], [50], [1, 2, 3], [99, 98, 97.5], [0, 100, 0], [50, 50, 50, 10]])
def test_spread_labels_do_not_overlap(values):
    placed = figures.spread(values, gap=5, low=0, high=100)
    assert len(placed) == len(values)
    assert all(0 <= place <= 100 for place in placed)
    assert all(abs(a - b) >= 5 - 1e-9 for a, b in itertools.combinations(placed, 2))
    assert [a for _, a in sorted(zip(values, placed, strict=True))] == sorted(placed)


def test_spread_leaves_distant_labels_where_they_are():
    assert figures.spread([80, 10, 40], gap=5, low=0, high=100) == [80, 10, 40]


# ------------------------------------------------------------------------------------------ learning curves


def test_learning_curve_is_the_iqm_over_seeds_with_a_band():
    records = make_records(successes=(0.0, 0.5, 0.6, 0.7, 1.0))
    (axes,) = figures.learning_curves(records, "MNIST").get_axes()
    assert lines(axes) == {"PPO": [[250_000, 500_000], pytest.approx([30, 60])]}
    assert axes.get_title() == "SB3"
    assert axes.get_xlabel() == "thousand env steps"
    assert axes.get_xlim() == (0, 500_000)
    (band,) = axes.collections
    edges = band.get_paths()[0].vertices
    assert (edges[:, 0].min(), edges[:, 0].max()) == (250_000, 500_000)
    at_the_end = edges[edges[:, 0] == 500_000, 1]
    assert 0 < at_the_end.min() < 60 < at_the_end.max() < 100


def test_learning_has_a_panel_for_each_group_and_the_ladder_in_each():
    names = {"random": 0.1, "sb3-ppo": 0.5, "ram": 0.9, "recurrent-ppo": 0.8, "mine": 0.6}
    records = [make_record(algorithm=name, success=level) for name, level in names.items()]
    panels = figures.learning_curves(records, "MNIST").get_axes()
    assert [axes.get_title() for axes in panels] == ["SB3", "ours", "others"]
    assert [legend_of(axes) for axes in panels] == [["PPO"], ["our recurrent PPO", ALGORITHMS["ram"].label], ["mine"]]
    for axes in panels:
        levels = sorted(line.get_ydata()[0] for line in axes.get_lines() if line.get_label().startswith("_"))
        assert levels == pytest.approx([10, 10, 80, 90])  # chance and random, pure RL, hybrid
    assert [text.get_text() for text in panels[-1].texts] == ["random", "pure RL", "hybrid", "chance"]
    assert not panels[0].texts


def test_learning_curve_of_random_actions_is_drawn_if_there_is_no_other():
    records = [make_record(algorithm="random"), make_record(curve=[])]
    (axes,) = figures.learning_curves(records, "MNIST").get_axes()
    assert legend_of(axes) == [ALGORITHMS["random"].label]


def test_chance_is_that_of_the_task():
    (axes,) = figures.learning_curves([make_record("Catch")], "Catch").get_axes()
    (chance,) = (line for line in axes.get_lines() if line.get_label().startswith("_"))
    assert chance.get_ydata()[0] == pytest.approx(100 * 45 / 529)
    (axes,) = figures.learning_curves([make_record("mine")], "mine").get_axes()
    assert not [line for line in axes.get_lines() if line.get_label().startswith("_")]


def test_random_actions_alone_are_drawn():
    (axes,) = figures.learning_curves([make_record(algorithm="random")], "MNIST").get_axes()
    assert list(lines(axes)) == ["random actions"]


def test_curves_of_different_lengths():
    longer = make_record(seed=1, curve=[make_point(step, 0.5) for step in (250_000, 400_000, 600_000)])
    (axes,) = figures.learning_curves([make_record(success=0.5), longer], "MNIST").get_axes()
    assert lines(axes)["PPO"] == [[250_000, 400_000, 500_000], pytest.approx([37.5, 45, 50])]
    apart = [make_record(seed=seed, curve=[make_point(step, 0.5)]) for seed, step in enumerate((10, 20))]
    (axes,) = figures.learning_curves([*apart, make_record(algorithm="sb3-dqn")], "MNIST").get_axes()
    assert list(lines(axes)) == [ALGORITHMS["sb3-dqn"].label]


@pytest.mark.parametrize(("num_steps", "unit"), [(2_000_000, "million "), (50_000, "thousand "), (500, "")])
def test_unit_of_the_steps(num_steps, unit):
    records = [make_record(curve=[make_point(num_steps // 2, 0.1), make_point(num_steps, 0.2)])]
    figure = figures.learning_curves(records, "MNIST")
    (axes,) = figure.get_axes()
    assert axes.get_xlabel() == f"{unit}env steps"
    figure.draw_without_rendering()
    labels = [float(text.get_text()) for text in axes.get_xticklabels()]
    assert 0 < max(labels) <= 500


# ------------------------------------------------------------------------------------------ over several tasks


def test_aggregate_bars_are_sorted_by_the_iqm():
    (axes,) = figures.aggregate_bars(suite_records(), IMAGES).get_axes()
    assert [text.get_text() for text in axes.get_yticklabels()] == ["random actions", "PPO", ALGORITHMS["ram"].label]
    assert [bar.get_width() for bar in axes.patches] == pytest.approx([10, 50, 55])
    intervals = [line.get_xdata() for line in axes.get_lines()]
    assert intervals[0] == pytest.approx([10, 10])
    assert all(low < high for low, high in intervals[1:])
    styles = figures.line_styles(suite_records())
    colors = [styles[name]["color"].lower() for name in ("random", "sb3-ppo", "ram")]
    assert [to_hex(bar.get_facecolor()) for bar in axes.patches] == colors


def test_profiles_fall_at_the_scores_of_the_runs():
    panels = figures.performance_profiles(suite_records(), IMAGES).get_axes()
    assert [axes.get_title() for axes in panels] == ["SB3", "ours"]
    assert [legend_of(axes) for axes in panels] == [
        ["random actions", name] for name in ("PPO", ALGORITHMS["ram"].label)
    ]
    x, y = (np.array(values) for values in lines(panels[0])["PPO"])
    for success, fraction in ((0, 100), (39.5, 100), (40, 50), (59.5, 50), (60, 0), (100, 0)):
        assert y[np.isclose(x, success)] == pytest.approx([fraction])
    assert len(panels[0].collections) == 2


def test_improvement_is_a_matrix_with_gray_numbers_where_it_is_unclear():
    (axes,) = figures.improvement_matrix(suite_records(), IMAGES).get_axes()
    labels = [ALGORITHMS["ram"].label, "PPO", "random actions"]  # the highest IQM first
    assert [text.get_text() for text in axes.get_yticklabels()] == labels
    assert [text.get_text() for text in axes.get_xticklabels()] == labels
    # RAM 0.4 and 0.7 against PPO 0.4 and 0.6: one tie, two higher, one lower.
    numbers = {
        (labels[int(y)], labels[int(x)]): (text.get_text(), text.get_color())
        for text in axes.texts
        for x, y in [text.get_position()]
    }
    ram, ppo, random = labels
    assert numbers == {
        (ram, ppo): ("62", "#777777"),
        (ppo, ram): ("38", "#777777"),
        (ram, random): ("100", "black"),
        (random, ram): ("0", "black"),
        (ppo, random): ("100", "black"),
        (random, ppo): ("0", "black"),
    }


# ------------------------------------------------------------------------------------------ glimpses used


def early_records():
    """Two runs that stop early, one in the discrete form that does not, and one in the hybrid form."""
    tests = [make_test([0, 10, 60], [0, 40, 60]), make_test([0, 20, 10, 20], [0, 40, 20, 40])]
    records = [make_record(seed=seed, test=test) for seed, test in enumerate(tests)]
    return [*records, make_record(algorithm="sb3-dqn"), make_record(algorithm="ram"), make_record("Catch")]


def test_tasks_in_which_episodes_end_early():
    assert figures.early_tasks(early_records()) == ["MNIST"]
    assert figures.early_tasks([make_record()]) == []


def test_success_against_glimpses_has_a_point_for_each_run():
    (axes,) = figures.success_against_glimpses(early_records(), ["MNIST"]).get_axes()
    drawn = lines(axes)
    assert drawn.pop("PPO") == [pytest.approx([1.6, 2.0]), pytest.approx([70, 50])]
    assert drawn.pop(ALGORITHMS["sb3-dqn"].label) == [[4], [50]]
    assert drawn.pop("chance")[1] == pytest.approx([10, 10])
    assert not drawn
    assert axes.get_xlim() == (0, 4.5)


def test_success_by_glimpses_is_over_all_seeds():
    shares, rates = figures.success_by_glimpses(early_records(), ["MNIST"]).get_axes()
    assert lines(shares)["PPO"] == [[1, 2, 3], pytest.approx([40, 40, 20])]
    by_marker = {line.get_marker(): line for line in rates.get_lines() if len(line.get_xdata()) == 3}
    (ppo,) = by_marker.values()
    assert ppo.get_xdata().tolist() == [1, 2, 3]
    assert ppo.get_ydata() == pytest.approx([100 * 30 / 80, 100 * 70 / 80, 100 * 20 / 40])


def test_success_of_few_episodes_is_not_shown():
    record = make_record(test=make_test([0, 29, 30, 1], [0, 29, 30, 41]))
    _, rates = figures.success_by_glimpses([record], ["MNIST"]).get_axes()
    shown = [line.get_xdata().tolist() for line in rates.get_lines() if line.get_marker() != "None"]
    assert shown == [[2, 3]]


def test_cost_comparison_has_points_and_an_arrow_between_the_means():
    costly = [make_record("MNIST-cost", seed=seed, test=make_test([0, n], [0, 100])) for seed, n in enumerate((30, 50))]
    (axes,) = figures.cost_comparison([*make_records("MNIST", successes=(0.4, 0.6)), *costly]).get_axes()
    assert lines(axes) == {
        "PPO, without cost": [[4, 4], pytest.approx([40, 60])],
        "PPO, with cost": [[1, 1], pytest.approx([30, 50])],
    }
    (arrow,) = axes.texts
    assert arrow.xy == pytest.approx((1, 40))
    assert arrow.xyann == pytest.approx((4, 50))
    hollow, filled = axes.get_lines()
    assert hollow.get_markerfacecolor() == "white" != filled.get_markerfacecolor()


# ------------------------------------------------------------------------------------------ files


def test_only_figures_with_runs_are_drawn(tmp_path):
    drawn = figures.save_figures(tmp_path, [make_record(), make_record("mine", "mine", curve=[])])
    assert drawn == [tmp_path / "benchmark-learning-MNIST.png"]
    assert list(tmp_path.iterdir()) == drawn


def test_unknown_tasks_and_algorithms_are_drawn(tmp_path):
    test = make_test([0, 10, 60], [0, 40, 60])
    records = [make_record(task, "mine", test=test) for task in ("own", "own-cost")]
    assert not {"own", "own-cost"} & TASKS.keys()
    names = ["learning-own", "learning-own-cost", "glimpses", "by-glimpses", "cost"]
    assert figures.save_figures(tmp_path, records) == [tmp_path / f"benchmark-{name}.png" for name in names]
