"""Tables, figures, and the page of them, from results made by hand. T glimpses."""

import dataclasses
import re

import numpy as np
import pytest
from PIL import Image

from glimpse_gym.agents.base import Task
from glimpse_gym.agents.checkpoint import Card, save_agent
from glimpse_gym.agents.evaluation import make_envs
from glimpse_gym.agents.experiments import figures
from glimpse_gym.agents.experiments import report as page
from glimpse_gym.agents.experiments.literature import PUBLIC
from glimpse_gym.agents.experiments.report import write_page
from glimpse_gym.agents.experiments.results import Result, ResultError, load_results, save_result
from glimpse_gym.agents.experiments.tables import TASK_NAMES, ablation_table, control_table, headline_table, seed_table
from glimpse_gym.agents.ram import RAM, RAMConfig

ENV = "glimpse_gym/Images-v0"
SMALL = {"glimpse_network": "full", "glimpse_units": 8, "location_units": 8, "glimpse_features": 16, "hidden_units": 16}

# --------------------------------------------------------------------------------------------------- tables


def score(split, errors, locations="learned", sample=False, seed=0):
    spread = [0.001 * (t + 1) for t in range(len(errors))]
    return {
        "split": split,
        "locations": locations,
        "sample": sample,
        "seed": seed,
        "num_episodes": 10_000,
        "errors": errors,
        "standard_errors": spread,
    }


def history(error):
    """Three measurements, each a third of the run after the other, of which the first came to this error."""
    return [
        {"episodes": 1_000_000 * i, "seconds": 60.0 * i, "validation_error": error / i, "training_error": 2 * error / i}
        for i in (1, 2, 3)
    ]


def hand_made(recipe, scores, seed=0, **changes):
    values = {
        "recipe": recipe,
        "task": recipe.rpartition("-")[2],
        "model": f"model of {recipe}",
        "seed": seed,
        "scores": scores,
        "env_id": "glimpse_gym/Some-v0",
        "env_kwargs": {},
        "values_per_glimpse": 100,
        "num_parameters": 1_234_567,
        "config": {},
        "training": {},
        "history": history(0.1),
        "episodes": 3_000_000,
        "frames": 24_000_000,
        "seconds": 600.0,
        "generalization": [],
        "gaze": None,
        "machine": "a machine",
        "versions": {"python": "3", "glimpse_gym": "0.4", "gymnasium": "1", "numpy": "2", "torch": "2.8"},
    }
    return Result(**values | changes)


def falling(last, number):
    """Errors after each glimpse, each a hundredth more than the next: ..., last + 0.01, last."""
    return [round(last + 0.01 * (number - 1 - t), 10) for t in range(number)]


def rows_of(table):
    """The cells of a table in Markdown, without its header, all rows equally long."""
    header, rule, *rows = ([cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines())
    assert all(line.startswith("| ") and line.endswith(" |") for line in table.splitlines())
    assert set(rule) == {"---"}
    assert {len(row) for row in (rule, *rows)} <= {len(header)}
    return rows


NOISE = [score("validation", falling(0.9, 8)), score("test", falling(0.8, 8), sample=True)]
"""What no table of test errors at mean locations may look at."""


def steered_results():
    """Two seeds of one recipe, with two draws each; their last errors are 2 and 3 per cent."""
    looks = [score("test", falling(0.25, 8), "random"), score("test", falling(0.5, 8), "center")]
    return [
        hand_made(
            "ram-cluttered60",
            [score("test", falling(0.01, 8)), score("test", falling(0.03, 8), seed=1), *looks, *NOISE],
        ),
        hand_made("ram-cluttered60", [score("test", falling(0.03, 8)), *looks, *NOISE], seed=1, seconds=1200.0),
    ]


def test_where_nothing_is_there_is_a_dash():
    rows = rows_of(headline_table([]))
    assert len(rows) == 6 + 3 + 3 + 3 + 1
    assert all(row[4:] == ["–", "–", "–"] for row in rows)
    assert all(float(row[2]) > 0 for row in rows)
    assert [row[0] for row in rows] == [
        *[TASK_NAMES["mnist"]] * 6,
        *[TASK_NAMES[task] for task in ("translated60", "cluttered60", "cluttered100") for _ in range(3)],
        "Catch, balls missed",
    ]
    for table in (control_table, ablation_table, seed_table):
        assert rows_of(table([])) == []


def test_the_headline_is_the_mean_over_draws_and_then_over_seeds():
    faithful = hand_made(
        "paper-cluttered60", [score("test", falling(0.04, 8)), score("test", falling(0.05, 8), seed=1)]
    )
    rows = rows_of(headline_table([faithful, *steered_results()]))
    # Of 2 and 3 per cent the standard deviation is the root of a half.
    cost = "2, 3.0M episodes, 15 min"
    assert [row for row in rows if row[0] == "Cluttered, 60 × 60"] == [
        ["Cluttered, 60 × 60", "4", "4.96", "–", "–", "6.50 ± 0.71", cost],
        ["Cluttered, 60 × 60", "6", "4.08", "–", "–", "4.50 ± 0.71", cost],
        ["Cluttered, 60 × 60", "8", "4.04", "2.63", "4.50", "**2.50 ± 0.71**", cost],
    ]
    assert all(row[4:] == ["–", "–", "–"] for row in rows if row[0] != "Cluttered, 60 × 60")


def test_an_agent_made_for_few_glimpses_stands_in_their_row_alone():
    few = hand_made("ram4-cluttered60", [score("test", falling(0.01, 4))], task="cluttered60")
    results = [few, *steered_results()]
    rows = [row for row in rows_of(headline_table(results)) if row[0] == "Cluttered, 60 × 60"]
    assert [row[5] for row in rows] == ["**1.00**", "4.50 ± 0.71", "**2.50 ± 0.71**"]
    assert [row[6] for row in rows] == ["1, 3.0M episodes, 10 min", *["2, 3.0M episodes, 15 min"] * 2]
    assert rows_of(control_table(results)) == rows_of(control_table(steered_results()))


def test_one_seed_has_no_spread():
    (one, _) = steered_results()
    rows = rows_of(headline_table([one]))
    assert [row[5:] for row in rows if row[0] == "Cluttered, 60 × 60"][-1] == ["**2.00**", "1, 3.0M episodes, 10 min"]
    assert "±" not in headline_table([one]) + control_table([one])


def test_the_public_numbers_stand_in_their_rows():
    rows = rows_of(headline_table([]))
    stand = {(row[0], int(row[1])): row[3] for row in rows if row[3] != "–"}
    expected = {(TASK_NAMES[task], public.num_glimpses): f"{public.error:.2f}" for task, public in PUBLIC.items()}
    del expected[TASK_NAMES["catch"], 23]
    assert stand == expected | {("Catch, balls missed", 23): "11"}


def test_catch_is_a_row_of_balls_missed():
    games = [hand_made("ram-catch", [score("validation", [0.9]), score("test", [0.1 + 0.02 * i])], i) for i in range(2)]
    row = rows_of(headline_table(games))[-1]
    assert row[:3] == ["Catch, balls missed", "23", "15"]
    assert row[5:] == ["**11.00 ± 1.41**", "2, 3.0M episodes, 10 min"]


def test_controls_stand_beside_the_papers_likes():
    others = [
        hand_made("conv-cluttered60", [score("test", [0.08]), score("validation", [0.5])], model="conv"),
        hand_made("cnn-cluttered60", [score("test", [0.01])], model="CNN"),
        hand_made("oracle-cluttered60", [score("test", [0.0])], model="oracle", episodes=0),
        hand_made("random-cluttered60", [score("test", falling(0.1, 8))], model="random"),
        hand_made("paper-cluttered60", [score("test", falling(0.04, 8))]),
    ]
    rows = rows_of(control_table([*others, *steered_results()]))
    cost, one = "2, 3.0M episodes, 15 min", "1, 3.0M episodes, 10 min"
    place, model = "Cluttered, 60 × 60", "model of ram-cluttered60"
    assert rows == [
        [place, "CNN", "–", "1.00", one],
        [place, "conv", "8.09", "8.00", one],
        [place, "oracle", "–", "0.00", "–"],
        [place, "random", "14.40", "10.00", one],
        [place, f"{model}; tested at own places", "–", "2.50 ± 0.71", cost],
        [place, f"{model}; tested at random places", "–", "25.00 ± 0.00", cost],
        [place, f"{model}; tested at the center", "–", "50.00 ± 0.00", cost],
        [place, f"{model}; tested with samples", "–", "80.00 ± 0.00", cost],
    ]


def ablations():
    """Of three parts, on the validation split; of one with two seeds."""

    def ablation(name, learned, random, **changes):
        scores = [score("validation", falling(learned, 8)), score("validation", falling(random, 8), "random")]
        scores += [score("validation", falling(0.7, 8), sample=True), score("validation", falling(0.6, 8), "center")]
        model = name.removeprefix("ablation-")
        return hand_made(name, scores, task="cluttered60", model=model, episodes=400_000, **changes)

    return [
        ablation("ablation-without", 0.06, 0.3),
        ablation("ablation-with", 0.04, 0.2),
        ablation("ablation-with", 0.05, 0.4, seed=1, seconds=300.0),
        ablation("ablation-any", 0.08, 0.2),
    ]


def test_ablations_are_told_by_the_validation_split():
    assert rows_of(ablation_table([*ablations(), *steered_results()])) == [
        ["with", "4.50 ± 0.71", "30.00 ± 14.14", "400,000", "7.5 min"],
        ["without", "6.00", "30.00", "400,000", "10.0 min"],
        ["any", "8.00", "20.00", "400,000", "10.0 min"],
    ]


def test_ablations_stand_in_no_table_of_test_errors():
    assert control_table([*ablations(), *steered_results()]) == control_table(steered_results())
    assert headline_table([*ablations(), *steered_results()]) == headline_table(steered_results())


def test_every_run_has_a_line_of_its_first_draw_at_mean_locations():
    (first, second) = steered_results()
    small = ablations()[0]
    where = "a machine, torch 2.8, glimpse_gym 0.4"
    sizes = ["1,234,567", "24.0M"]
    # The error is the first draw's, and its spread at the last of eight glimpses is 0.8 %.
    assert rows_of(seed_table([second, small, first])) == [
        [
            "`glimpse-gym reproduce ablation-without --seed 0`",
            "validation 6.00 ± 0.80",
            *sizes,
            "10.0 min",
            where,
        ],
        ["`glimpse-gym reproduce ram-cluttered60 --seed 0`", "test 1.00 ± 0.80", *sizes, "10.0 min", where],
        ["`glimpse-gym reproduce ram-cluttered60 --seed 1`", "test 3.00 ± 0.80", *sizes, "20.0 min", where],
    ]


# -------------------------------------------------------------------------------------------------- figures


def shown_results():
    """Something to draw in every figure."""
    first, second = steered_results()

    def elsewhere(*errors):
        return [
            {"env_kwargs": {"num_clutter": number}, "score": score("test", [0.9, error])}
            for number, error in zip((16, 4), errors, strict=True)
        ]

    return [
        dataclasses.replace(first, generalization=elsewhere(0.2, 0.02)),
        dataclasses.replace(second, generalization=elsewhere(0.4, 0.04)),
        hand_made("paper-cluttered60", [score("test", falling(0.04, 8))], history=history(0.4)),
        hand_made("cnn-cluttered60", [score("test", [0.01])], values_per_glimpse=3600),
        hand_made("conv-cluttered60", [score("test", [0.08])], values_per_glimpse=3600),
        hand_made("ram-catch", [score("test", [0.1])], gaze=[4.0, 3.0, 2.5], frames=23 * 3_000_000),
        hand_made("screen-catch", [score("test", [0.05])], history=history(0.06), frames=23 * 3_000_000),
        *ablations(),
    ]


def curves(axes):
    """x and y of each line of a panel, by its label."""
    return {line.get_label(): np.array(line.get_data(), float).tolist() for line in axes.get_lines()}


def test_error_by_glimpses_is_the_mean_of_the_seeds():
    (axes,) = figures._error_by_glimpses(["cluttered60"], shown_results()).get_axes()
    drawn = curves(axes)
    glimpses = [*range(1, 9)]
    oracles_of = {"RAM, own places": 2.5, "the same, random places": 25.0, "the same, the center": 50.0}
    for name, last in oracles_of.items():
        x, y = drawn.pop(name)
        assert x == glimpses
        assert y == pytest.approx([last + 8 - t for t in glimpses])
    assert drawn.pop("RAM in the paper") == [[4, 6, 8], [4.96, 4.08, 4.04]]
    assert drawn.pop("CNN, whole image")[1] == pytest.approx([1.0, 1.0])
    assert not drawn
    assert axes.get_title() == "Cluttered, 60 × 60"


def test_error_by_values_counts_what_was_sensed():
    (axes,) = figures._error_by_values(["cluttered60"], shown_results()).get_axes()
    drawn = curves(axes)
    assert drawn["RAM, own places"][0] == [100 * t for t in range(1, 9)]
    assert drawn["RAM, own places"][1] == pytest.approx([10.5 - t for t in range(1, 9)])
    assert drawn["model of cnn-cluttered60, whole image"] == [[3600.0], pytest.approx([1.0])]
    assert drawn["model of conv-cluttered60, whole image"] == [[3600.0], pytest.approx([8.0])]
    assert len(drawn) == 5


def test_learning_is_a_line_for_each_seed():
    (axes,) = figures._learning(["cluttered60"], shown_results()).get_axes()
    lines = [np.array(line.get_data()).tolist() for line in axes.get_lines()]
    ours, papers = pytest.approx([10.0, 5.0, 10 / 3]), pytest.approx([40.0, 20.0, 40 / 3])
    assert lines == [[[1.0, 2.0, 3.0], errors] for errors in (ours, ours, papers)]
    named = [text.get_text() for text in axes.figure.legends[0].get_texts()]
    assert named == ["RAM, ours", "RAM, as in the paper"]


def test_catch_is_what_was_caught_and_where_the_gaze_was():
    learning, gaze = figures._catch(["catch"], shown_results()).get_axes()
    drawn = curves(learning)
    frames = pytest.approx([23.0, 46.0, 69.0])  # so many in a game
    assert drawn["through the retina"] == [frames, pytest.approx([90.0, 95.0, 100 - 10 / 3])]
    assert drawn["the whole screen"] == [frames, pytest.approx([94.0, 97.0, 98.0])]
    assert drawn["the paper, about"] == [[20.0], [85.0]]
    assert [np.array(line.get_data()).tolist() for line in gaze.get_lines()] == [[[0.0, 1.0, 2.0], [4.0, 3.0, 2.5]]]


def test_elsewhere_is_the_last_error_by_what_was_changed():
    (axes,) = figures._elsewhere(["cluttered60"], shown_results()).get_axes()
    assert curves(axes) == {"Cluttered, 60 × 60": [[4.0, 16.0], pytest.approx([3.0, 30.0])]}
    assert axes.get_xlabel() == "num clutter"


def test_nothing_is_drawn_of_what_was_not_measured(tmp_path):
    drawn = figures.save_figures(tmp_path, steered_results())  # measured nowhere else, and no game
    assert [path.stem for path in drawn] == ["error-by-glimpses", "error-by-values", "learning"]
    assert sorted(tmp_path.iterdir()) == sorted(drawn)


# ------------------------------------------------------------------------------------------------- the page


def save_all(folder, found):
    for result in found:
        save_result(folder, result)
    return folder


def assert_not_blank(path, color):
    """Fail unless a picture has something of this color on it."""
    with Image.open(path) as picture:
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    assert min(pixels.shape[:2]) > 200
    assert (pixels.min(), pixels.max()) < (80, 256)
    distance = np.abs(pixels - np.array(color)).sum(axis=-1)
    assert (distance < 30).sum() > 20, path


def rgb(text):
    return [int(text[i : i + 2], 16) for i in (1, 3, 5)]


def test_the_page_holds_tables_and_figures(tmp_path, no_agents):
    found = shown_results()
    docs = tmp_path / "docs"
    folder = save_all(tmp_path / "results", found)
    written = write_page(folder, docs)
    names = ["error-by-glimpses", "error-by-values", "learning", "catch", "elsewhere"]
    assert written == [docs / "results.md", *(docs / "figures" / f"{name}.png" for name in names)]
    assert sorted(path for path in docs.rglob("*") if path.is_file()) == sorted(written)
    text = (docs / "results.md").read_text(encoding="utf-8")
    loaded = load_results(folder)
    for table in (headline_table, control_table, ablation_table, seed_table):
        assert text.count(table(loaded)) == 1
    assert re.findall(r"!\[.*\]\((.*)\)", text) == [f"figures/{name}.png" for name in names]
    for name in names:
        # In the last panel colors are matplotlib's own.
        color = "#1f77b4" if name == "elsewhere" else figures._COLORS["learned"]
        assert_not_blank(docs / "figures" / f"{name}.png", rgb(color))


def test_a_page_of_a_first_result_whatever_it_is(tmp_path, no_agents):
    found = [hand_made("conv-mnist", [score("test", [0.01])])]
    docs = tmp_path / "docs"
    assert write_page(save_all(tmp_path / "results", found), docs) == [docs / "results.md"]
    text = (docs / "results.md").read_text(encoding="utf-8")
    assert control_table(found) in text
    assert "What decides" not in text


def test_without_results_there_is_no_page(tmp_path):
    with pytest.raises(ResultError, match="holds no results"):
        write_page(tmp_path / "results", tmp_path / "docs")
    assert not (tmp_path / "docs").exists()


def test_the_page_shows_where_shipped_agents_look(tmp_path, no_agents):
    # Of these images a tenth is for testing, and the plate is of twenty-four.
    images = np.random.default_rng(1).integers(0, 256, (240, 8, 8), np.uint8)
    np.savez(tmp_path / "images.npz", images=images, labels=np.arange(240) % 3)
    env_kwargs = {"images": str(tmp_path / "images.npz"), "patch_size": 4, "num_scales": 2, "num_glimpses": 3}
    agent = RAM(Task.of(make_envs(ENV, env_kwargs, "test", 1)), RAMConfig(**SMALL))
    save_agent(no_agents / "ram-tiny", agent, Card(ENV, env_kwargs, agent.config, agent.task))
    results_folder = save_all(tmp_path / "results", [hand_made("conv-mnist", [score("test", [0.1])])])
    (tmp_path / "docs" / "figures").mkdir(parents=True)
    plate = tmp_path / "docs" / "figures" / "scanpaths-ram-tiny.png"
    assert write_page(results_folder, tmp_path / "docs")[-1] == plate
    text = (tmp_path / "docs" / "results.md").read_text(encoding="utf-8")
    assert "Where `ram-tiny` looks:\n\n![Scan paths](figures/scanpaths-ram-tiny.png)" in text
    with Image.open(plate) as picture:
        assert len(set(picture.convert("RGB").getdata())) > 100


def test_the_headline_of_a_readme_is_renewed_and_nothing_else(tmp_path, no_agents):
    begin, end = page._BEGIN, page._END
    readme = tmp_path / "README.md"
    readme.write_text(f"# Title\n\n{begin}\n| old |\n{end}\n\nMore – of it.\n", encoding="utf-8")
    folder = save_all(tmp_path / "results", [hand_made("screen-catch", [score("test", [0.1])])])
    (tmp_path / "docs").mkdir()
    headline = headline_table(load_results(folder))
    for _ in range(2):
        assert write_page(folder, tmp_path / "docs", readme)[-1] == readme
        expected = f"# Title\n\n{begin}\n{headline}\n{end}\n\nMore – of it.\n"
        assert readme.read_text(encoding="utf-8") == expected


@pytest.mark.parametrize("text", ["", "# Title\n", "{begin}\n", "{end}\n", "{end}\n{begin}\n"])
def test_a_readme_without_a_place_for_the_headline_is_left_alone(tmp_path, no_agents, text):
    readme = tmp_path / "README.md"
    before = text.format(begin=page._BEGIN, end=page._END)
    readme.write_text(before)
    folder = save_all(tmp_path / "results", [hand_made("screen-catch", [score("test", [0.1])])])
    (tmp_path / "docs").mkdir()
    with pytest.raises(ValueError, match=re.escape(f"{readme} has no place for the headline table")):
        write_page(folder, tmp_path / "docs", readme)
    assert readme.read_text() == before
