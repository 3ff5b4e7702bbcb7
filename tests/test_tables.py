"""Markdown tables from results made by hand. T glimpses."""

import dataclasses

from glimpse_gym.agents.experiments.literature import PUBLIC
from glimpse_gym.agents.experiments.tables import (
    TASK_NAMES,
    ablation_table,
    baseline_table,
    headline_table,
    run_table,
)
from hand_made_results import ablation_results, decreasing, make_ablation, make_result, make_score, ram_results

CLUTTERED = TASK_NAMES["cluttered60"]


def rows_of(table):
    """Cells of a Markdown table without its header; all rows have the same length."""
    header, rule, *rows = ([cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines())
    assert all(line.startswith("| ") and line.endswith(" |") for line in table.splitlines())
    assert set(rule) == {"---"}
    assert {len(row) for row in (rule, *rows)} <= {len(header)}
    return rows


def test_tables_without_results_have_dashes():
    rows = rows_of(headline_table([]))
    assert len(rows) == 6 + 3 + 3 + 3 + 1
    assert all(row[4:] == ["–", "–", "–"] for row in rows)
    assert all(float(row[2]) > 0 for row in rows)
    assert [row[0] for row in rows] == [
        *[TASK_NAMES["mnist"]] * 6,
        *[TASK_NAMES[task] for task in ("translated60", "cluttered60", "cluttered100") for _ in range(3)],
        "Catch, balls missed",
    ]
    for table in (baseline_table, ablation_table, run_table):
        assert rows_of(table([])) == []


# --------------------------------------------------------------------------------------------------- headline


def test_headline_is_the_mean_over_draws_then_over_seeds():
    scores = [make_score("test", decreasing(0.04, 8)), make_score("test", decreasing(0.05, 8), seed=1)]
    rows = rows_of(headline_table([make_result("paper-cluttered60", scores), *ram_results()]))
    # The standard deviation of 2 and 3 is the square root of a half.
    cost = "2, 3.0M episodes, 15 min"
    assert [row for row in rows if row[0] == CLUTTERED] == [
        [CLUTTERED, "4", "4.96", "–", "–", "6.50 ± 0.71", cost],
        [CLUTTERED, "6", "4.08", "–", "–", "4.50 ± 0.71", cost],
        [CLUTTERED, "8", "4.04", "2.63", "4.50", "**2.50 ± 0.71**", cost],
    ]
    assert all(row[4:] == ["–", "–", "–"] for row in rows if row[0] != CLUTTERED)


def test_headline_shows_an_agent_for_few_glimpses_in_its_row_only():
    few = make_result("ram4-cluttered60", [make_score("test", decreasing(0.01, 4))], task="cluttered60")
    results = [few, *ram_results()]
    rows = [row for row in rows_of(headline_table(results)) if row[0] == CLUTTERED]
    assert [row[5] for row in rows] == ["**1.00**", "4.50 ± 0.71", "**2.50 ± 0.71**"]
    assert [row[6] for row in rows] == ["1, 3.0M episodes, 10 min", *["2, 3.0M episodes, 15 min"] * 2]
    assert rows_of(baseline_table(results)) == rows_of(baseline_table(ram_results()))


def test_one_seed_has_no_spread():
    (one, _) = ram_results()
    rows = rows_of(headline_table([one]))
    assert [row[5:] for row in rows if row[0] == CLUTTERED][-1] == ["**2.00**", "1, 3.0M episodes, 10 min"]
    assert "±" not in headline_table([one]) + baseline_table([one])


def test_headline_has_the_public_errors_in_their_rows():
    rows = rows_of(headline_table([]))
    shown = {(row[0], int(row[1])): row[3] for row in rows if row[3] != "–"}
    expected = {(TASK_NAMES[task], public.num_glimpses): f"{public.error:.2f}" for task, public in PUBLIC.items()}
    del expected[TASK_NAMES["catch"], 23]
    assert shown == expected | {("Catch, balls missed", 23): "11"}


def test_headline_of_catch_is_balls_missed():
    games = [
        make_result("ram-catch", [make_score("validation", [0.9]), make_score("test", [0.1 + 0.02 * i])], i)
        for i in range(2)
    ]
    row = rows_of(headline_table(games))[-1]
    assert row[:3] == ["Catch, balls missed", "23", "15"]
    assert row[5:] == ["**11.00 ± 1.41**", "2, 3.0M episodes, 10 min"]


# -------------------------------------------------------------------------------------------------- baselines


def test_baselines_and_controls_against_the_paper():
    others = [
        make_result("conv-cluttered60", [make_score("test", [0.08]), make_score("validation", [0.5])], model="conv"),
        make_result("cnn-cluttered60", [make_score("test", [0.01])], model="CNN"),
        make_result("oracle-cluttered60", [make_score("test", [0.0])], model="oracle", num_episodes=0),
        make_result("random-cluttered60", [make_score("test", decreasing(0.1, 8))], model="random"),
        make_result("paper-cluttered60", [make_score("test", decreasing(0.04, 8))]),
    ]
    rows = rows_of(baseline_table([*others, *ram_results()]))
    cost, one, model = "2, 3.0M episodes, 15 min", "1, 3.0M episodes, 10 min", "model of ram-cluttered60"
    assert rows == [
        [CLUTTERED, "CNN", "–", "1.00", one],
        [CLUTTERED, "conv", "8.09", "8.00", one],
        [CLUTTERED, "oracle", "–", "0.00", "–"],
        [CLUTTERED, "random", "14.40", "10.00", one],
        [CLUTTERED, f"{model}; learned locations", "–", "2.50 ± 0.71", cost],
        [CLUTTERED, f"{model}; random locations", "–", "25.00 ± 0.00", cost],
        [CLUTTERED, f"{model}; fixed at center", "–", "50.00 ± 0.00", cost],
        [CLUTTERED, f"{model}; sampled locations", "–", "80.00 ± 0.00", cost],
    ]


# -------------------------------------------------------------------------------------------------- ablations


def test_ablations_are_named_by_all_changes_and_sorted_by_validation_error():
    assert rows_of(ablation_table([*ablation_results(), *ram_results()])) == [
        [
            "default agent: ram-cluttered60 with num_episodes = 200,000, learning_rate = 0.009",
            "4.50 ± 0.71",
            "30.00 ± 14.14",
            "400,000",
            "7.5 min",
        ],
        ["batch_size = 256, optimizer = adam, learning_rate = 0.004 †", "6.00", "30.00", "400,000", "10.0 min"],
        ["core = lstm", "8.00", "20.00", "400,000", "10.0 min"],
        ["my change", "9.00", "20.00", "400,000", "10.0 min"],
    ]


def test_ablations_are_named_by_the_settings_of_the_run_not_of_the_present_recipe():
    result = make_ablation("ablation-lstm-core", 0.08, 0.2)
    older = dataclasses.replace(result, training=result.training | {"batch_size": 64})
    assert rows_of(ablation_table([older]))[0][0] == "core = lstm, batch_size = 64 †"


def test_ablations_are_in_no_table_of_test_errors():
    assert baseline_table([*ablation_results(), *ram_results()]) == baseline_table(ram_results())
    assert headline_table([*ablation_results(), *ram_results()]) == headline_table(ram_results())


# ---------------------------------------------------------------------------------------------------- all runs


def test_runs_have_the_error_of_the_first_draw_at_mean_locations():
    (first, second) = ram_results()
    ablation = ablation_results()[0]
    machine = "a machine, torch 2.8, glimpse_gym 0.4"
    sizes = ["1,234,567", "24.0M"]
    # The standard error after the last of eight glimpses is 0.8 %.
    assert rows_of(run_table([second, ablation, first])) == [
        ["`glimpse-gym reproduce ablation-adam --seed 0`", "validation 6.00 ± 0.80", *sizes, "10.0 min", machine],
        ["`glimpse-gym reproduce ram-cluttered60 --seed 0`", "test 1.00 ± 0.80", *sizes, "10.0 min", machine],
        ["`glimpse-gym reproduce ram-cluttered60 --seed 1`", "test 3.00 ± 0.80", *sizes, "20.0 min", machine],
    ]


def test_runs_with_other_settings_than_their_recipe_are_marked():
    (result, _) = ram_results()
    older = dataclasses.replace(result, training=result.training | {"batch_size": 64})
    assert rows_of(run_table([older]))[0][0] == "`glimpse-gym reproduce ram-cluttered60 --seed 0` ‡"
    # The number of evaluations changes nothing that is learned, and an own recipe cannot be compared.
    same = dataclasses.replace(result, training=result.training | {"num_evaluations": 7, "seed": 5})
    own = dataclasses.replace(older, recipe="ram-of-mine")
    assert "‡" not in run_table([same, own])
