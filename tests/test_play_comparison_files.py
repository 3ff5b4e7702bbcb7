"""Comparisons as text, CSV, JSON and figures."""

import csv
import json

import numpy as np
import pytest

from glimpse_gym.play.attention_mnist import SELECTION_NOTE
from glimpse_gym.play.attention_mnist import TASK as ATTENTION_MNIST
from glimpse_gym.play.compare import CENTER_NOTE, compare, group_trials
from glimpse_gym.play.comparison_files import (
    belief_figure,
    class_heat_map_figure,
    error_figure,
    format_comparison,
    heat_map_figure,
    save_numbers,
    scanpath_figure,
)
from glimpse_gym.rendering.paper_figures import save_figure
from hand_made_trials import TASK, make_trial

PEOPLE = [make_trial("Ann", n, guesses=(0, 1), label=n % 2) for n in range(4)]
AGENT = [
    make_trial("agent", n, guesses=(1, 1), label=n % 2, seconds=np.full(2, np.nan), guess_probs=np.full((2, 3), 1 / 3))
    for n in (0, 1)
]
BASELINE = [make_trial("agent, random locations", n, label=n % 2, is_baseline=True) for n in (0, 1)]
GAMES = [make_trial("Ben", n, task="game", label=-1, guesses=(-1, -1), success=n > 0, image_moves=True) for n in (0, 1)]
ALL = [*PEOPLE, *AGENT, *BASELINE, *GAMES]


def test_text():
    text = " ".join(format_comparison(compare(ALL)).split())
    assert f"{TASK} player trials success % s/glimpse Ann 4 50.0 [15.0, 85.0] 0.50 agent 2 50.0" in text
    assert "glimpses Ann agent agent, random locations 1 50.0 [15.0, 85.0] 50.0 [9.5, 90.5] no guesses" in text
    assert "game player trials success % s/glimpse Ben 2 50.0 [9.5, 90.5] 0.50 Distance" in text  # no accuracies
    assert "player compared with distance center random pairs Ann agent 0.000 ± 0.000 0.707" in text
    assert "2 at 2 shared pictures" in text
    assert CENTER_NOTE in text


def test_text_tells_where_no_picture_is_shared():
    text = format_comparison(compare([make_trial("Ann", 1), make_trial("Ben", 2)]))
    assert "1, no shared pictures: all pairs" in text


def test_text_tells_how_many_trials_had_a_guess():
    assert "1 no guesses 2 100.0 [34.2, 100.0]" in " ".join(
        format_comparison(compare([make_trial(), make_trial()])).split()
    )
    assert "0.0 [0.0, 79.3] of 1" in format_comparison(compare([make_trial(), make_trial(guesses=(0, 1))]))


def test_numbers(tmp_path):
    comparison = compare(ALL)
    paths = save_numbers(comparison, tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted(paths)
    content = json.loads(paths[0].read_text(encoding="utf-8"), parse_constant=pytest.fail)  # no NaN
    assert content["notes"] == comparison.notes
    ann, agent, baseline, ben = content["players"]
    assert (ann["player"], ann["task"], ann["median_seconds"]) == ("Ann", TASK, 0.5)
    assert agent["median_seconds"] is None
    assert [each["is_baseline"] for each in (ann, agent, baseline, ben)] == [False, False, True, False]
    assert ben["accuracy_after_glimpses"] == []
    assert ann["accuracy_after_glimpses"] == [rate._asdict() for rate in comparison.accuracies[0]]
    assert len(content["similarities"]) == len(comparison.similarities)


def test_tables(tmp_path):
    comparison = compare(ALL)
    _, accuracy, similarity = save_numbers(comparison, tmp_path)
    with accuracy.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["player"], row["glimpses"], row["trials"], row["correct"]) for row in rows] == [
        *(("Ann", "1", "4", "2"), ("Ann", "2", "4", "2"), ("agent", "1", "2", "1"), ("agent", "2", "2", "1")),
        *(("agent, random locations", "1", "0", "0"), ("agent, random locations", "2", "2", "1")),
    ]
    assert float(rows[0]["low"]) == comparison.accuracies[0][0].low
    assert rows[4]["accuracy"] == ""
    with similarity.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["player"], row["reference"]) for row in rows] == [
        (each.player, each.reference) for each in comparison.similarities
    ]
    assert float(rows[0]["center"]) == comparison.similarities[0].center


# ---------------------------------------------------------------- figures


def legend(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_error_figure():
    figure = error_figure(compare(ALL))
    assert legend(figure) == ["Ann", "agent", "agent, random locations", "chance"]
    chance = figure.axes[0].get_lines()[-1]
    num_labels = len(ALL[0].choice_names)
    assert num_labels >= 2
    np.testing.assert_allclose(chance.get_ydata(), [100 * (1 - 1 / num_labels)] * 2)
    assert [axes.get_title() for axes in figure.axes] == [TASK]
    assert "Wilson" in figure.get_supxlabel()
    assert "In gray" in figure.get_supxlabel()
    assert "time warping" not in figure.get_supxlabel()


def test_figures_of_attention_mnist_tell_that_trials_were_left_out():
    figure = error_figure(compare([make_trial(task=ATTENTION_MNIST)]))
    assert SELECTION_NOTE in figure.get_supxlabel().replace("\n", " ")


def test_error_figure_without_labels():
    with pytest.raises(ValueError, match="there are none"):
        error_figure(compare(GAMES))


def test_heat_maps_of_players():
    figure = heat_map_figure(group_trials(ALL), ["some note"])
    titles = [axes.get_title() for axes in figure.axes if axes.images]
    assert titles == ["Ann\n4 fixations", "agent\n2 fixations", "Ben\n2 fixations"]  # without the given first glimpses
    assert figure.get_supxlabel() == "some note"


def test_heat_maps_of_classes():
    figure = class_heat_map_figure(group_trials(PEOPLE)[0])
    titles = [axes.get_title() for axes in figure.axes if axes.images]
    assert titles == ["zero\n2 fixations", "one\n2 fixations"]
    assert figure.get_suptitle() == "Ann"


def test_heat_maps_of_classes_need_labels():
    with pytest.raises(ValueError, match="heat maps of classes need labels; game has none"):
        class_heat_map_figure(group_trials(GAMES)[0])


def test_belief():
    assert belief_figure(AGENT[0]).get_suptitle() == "agent"


@pytest.mark.parametrize("trial", [PEOPLE[0], GAMES[0]])
def test_belief_needs_probabilities_of_labels(trial):
    with pytest.raises(ValueError, match=r"an agent's probabilities of labels; (Ann|Ben) at .* has none"):
        belief_figure(trial)


def test_scanpaths():
    figure = scanpath_figure([*PEOPLE, *GAMES])
    captions = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert [text for text in captions if not text.isdigit()] == [
        *("zero → one", "one → one", "zero → one", "one → one"),
        *("failure", "success"),
    ]


def test_scanpaths_of_one_player_are_titled():
    assert "Ann" in [text.get_text() for text in scanpath_figure(PEOPLE).texts]
    assert "Ann" not in [text.get_text() for text in scanpath_figure([*PEOPLE, *AGENT]).texts]


def test_scanpaths_need_a_retina():
    with pytest.raises(ValueError, match="AttentionMNIST is unknown"):
        scanpath_figure([make_trial(retina=None)])


@pytest.mark.parametrize("name", [r"a $\frac$ b", "$", r"$\x$"])
def test_names_are_drawn_as_they_are(tmp_path, name):
    trials = [make_trial(name, choice_names=(name,) * 3, guess_probs=np.full((2, 3), 1 / 3))]
    comparison = compare(trials)
    figures = [
        error_figure(comparison),
        heat_map_figure(comparison.groups),
        class_heat_map_figure(comparison.groups[0]),
        belief_figure(trials[0]),
        scanpath_figure(trials),
    ]
    for number, figure in enumerate(figures):
        save_figure(figure, tmp_path / f"{number}.png")
