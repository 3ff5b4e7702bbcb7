"""Tables, names and suites of the benchmark, from records made by hand."""

import numpy as np
import pytest

from glimpse_gym.agents.benchmark.algorithms import ALGORITHMS
from glimpse_gym.agents.benchmark.protocol import SEEDS, TASKS
from glimpse_gym.agents.benchmark.statistics import Estimate
from glimpse_gym.agents.benchmark.tables import (
    Suite,
    aggregate_table,
    algorithm_label,
    algorithm_names,
    cost_pairs,
    cost_table,
    format_percent,
    group_of,
    missing_seeds,
    progress_table,
    result_table,
    suite_scores,
    suites,
    task_names,
    task_table,
    task_title,
)
from hand_made_records import make_record, make_records, make_test

MAIN = ("MNIST", "Cluttered", "Catch")


def rows_of(table):
    """Cells of a Markdown table without its header; all rows have the same length."""
    header, rule, *rows = ([cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines())
    assert set(rule) == {"---"}
    assert {len(row) for row in (rule, *rows)} <= {len(header)}
    return rows


def test_order_of_names_is_that_of_the_protocol_then_the_alphabet():
    pairs = [("mine", "zz"), ("Catch", "sb3-dqn"), ("MNIST", "mine"), ("also-mine", "random")]
    records = [make_record(*pair) for pair in pairs]
    assert task_names(records) == ["MNIST", "Catch", "also-mine", "mine"]
    assert algorithm_names(records) == ["random", "sb3-dqn", "mine", "zz"]


def test_titles_and_labels_of_unknown_names_are_the_names():
    assert (task_title("MNIST"), algorithm_label("ram")) == (TASKS["MNIST"].title, ALGORITHMS["ram"].label)
    assert (task_title("mine"), algorithm_label("mine"), group_of("mine")) == ("mine", "mine", "others")
    assert group_of("sb3-ppo") == ALGORITHMS["sb3-ppo"].group


# ------------------------------------------------------------------------------------------ what was run


def test_missing_seeds_are_those_of_the_protocol():
    records = [make_record("MNIST", "sb3-ppo", seed) for seed in (0, 3, 17)]
    assert missing_seeds(records, "MNIST", "sb3-ppo") == [1, 2, 4]
    assert missing_seeds(records, "Catch", "sb3-ppo") == list(SEEDS)
    # Not in the protocol: the algorithm on this task, the world of this algorithm, unknown names.
    for task, name in (("MNIST-cost", "sb3-dqn"), ("Catch", "ram"), ("mine", "sb3-ppo"), ("MNIST", "mine")):
        assert missing_seeds(records, task, name) == []


def test_progress_has_all_tasks_and_algorithms():
    records = [
        *make_records("MNIST", "random", [0.1] * 5),
        make_record("MNIST", "sb3-ppo"),
        make_record("mine", "mine"),
    ]
    rows = {row[0]: row[1:] for row in rows_of(progress_table(records))}
    assert list(rows) == [f"`{name}`" for name in [*ALGORITHMS, "mine"]]
    assert rows["`random`"] == ["random actions", "5", "0 of 5", "0 of 5", "–", "–", "–", "–"]
    assert rows["`sb3-ppo`"] == ["PPO", "1 of 5", "0 of 5", "0 of 5", "–", "–", "–", "–"]
    assert rows["`ram`"] == [ALGORITHMS["ram"].label, "0 of 5", "0 of 5", "–", "0 of 5", "–", "–", "–"]
    assert rows["`mine`"] == ["mine", *["–"] * 6, "1"]


def test_tasks_have_budget_chance_and_cost():
    records = [*make_records("Catch", seconds=1800.0), make_record("mine", seconds=360.0)]
    rows = {row[0]: row[1:] for row in rows_of(task_table(records))}
    assert list(rows) == [f"`{name}`" for name in [*TASKS, "mine"]]
    assert rows["`Catch`"] == [TASKS["Catch"].title, "1,000,000", "8.5", "1.5"]
    assert rows["`MNIST`"] == [TASKS["MNIST"].title, "500,000", "10.0", "0.0"]
    assert rows["`mine`"] == ["mine", "–", "–", "0.1"]


# ------------------------------------------------------------------------------------------ results


def test_results_have_the_iqm_over_seeds_and_the_cost():
    records = make_records(successes=(0.0, 0.5, 0.6, 0.7, 1.0), seconds=125.0)
    records[0] = make_record(success=0.0, seconds=125.0, test=make_test([0, 0, 0], [0, 0, 100]))
    (row,) = rows_of(result_table([*records, make_record("Catch")], "MNIST"))
    assert row[0] == "PPO"
    assert row[1].startswith("60.0 (")
    # Four runs with 4 glimpses and one with 2; 500,000 steps in 125 seconds.
    assert row[2:] == ["5", "3.60", "4,000", "2.1"]


@pytest.mark.parametrize("successes", [(0.5,), (0.5, 0.5)])
def test_one_or_two_seeds_have_no_interval(successes):
    rows = rows_of(result_table([*make_records(successes=successes), *make_records(algorithm="ram")], "MNIST"))
    assert rows[0][1] == "50.0"
    assert rows[1][1] == "50.0 (40.0 to 60.0)"


def test_algorithms_without_training_have_no_speed():
    (row,) = rows_of(result_table(make_records(algorithm="random", seconds=0.001), "MNIST"))
    assert row[4:] == ["–", "0.0"]


def test_runs_of_another_budget_are_marked():
    other = make_record(algorithm="ram", num_steps=1000)
    rows = rows_of(result_table([make_record(), other], "MNIST"))
    assert [row[0] for row in rows] == ["PPO", f"{ALGORITHMS['ram'].label} ‡"]
    (row,) = rows_of(result_table([make_record("mine", num_steps=1000)], "mine"))
    assert row[0] == "PPO"


def test_percent_with_and_without_interval():
    estimate = Estimate(np.array(0.12345), np.array(0.1), np.array(0.2))
    assert format_percent(estimate) == "12.3 (10.0 to 20.0)"
    assert format_percent(estimate, has_interval=False) == "12.3"


# ------------------------------------------------------------------------------------------ suites


def test_suites_are_the_tasks_of_all_algorithms_and_those_of_some_worlds():
    records = [make_record(task, name) for task in MAIN for name in ("sb3-ppo", "mine")]
    records += [make_record(task, "ram") for task in MAIN[:2]] + [make_record("MNIST", "sb3-dqn")]
    records += [make_record("MNIST-cost", "sb3-ppo"), make_record("own", "sb3-ppo")]
    assert suites(records) == [
        Suite(MAIN, ("sb3-ppo", "mine"), ("sb3-dqn", "ram")),
        Suite(MAIN[:2], ("sb3-ppo", "ram", "mine"), ("sb3-dqn",)),
    ]


def test_suites_need_two_tasks_and_two_algorithms():
    assert suites([make_record("MNIST", "sb3-ppo"), make_record("MNIST", "ram")]) == []
    assert suites([make_record(task, "sb3-ppo") for task in MAIN]) == []
    assert suites([make_record("own", name) for name in ("sb3-ppo", "ram")]) == []


def test_scores_of_a_suite_have_one_array_for_each_task():
    records = [*make_records("MNIST", successes=(0.1, 0.2)), *make_records("Catch", successes=(0.9,))]
    records += make_records("MNIST", "ram", (0.5,))
    scores = suite_scores(records, Suite(("Catch", "MNIST"), (), ()), "sb3-ppo")
    assert [task.tolist() for task in scores] == [[0.9], [0.1, 0.2]]


def test_aggregates_are_in_the_order_of_the_iqm():
    records = [record for task in MAIN[:2] for record in make_records(task, "sb3-ppo", (0.1, 0.2, 0.3))]
    records += [record for task in MAIN[:2] for record in make_records(task, "ram", (0.9, 0.9))]
    low, high = rows_of(aggregate_table(records, suites(records)[0]))[::-1]
    assert high == [ALGORITHMS["ram"].label, *["90.0 (90.0 to 90.0)"] * 3, "10.0 (10.0 to 10.0)"]
    assert low[0] == "PPO"
    assert [cell.split()[0] for cell in low[1:]] == ["20.0", "20.0", "20.0", "80.0"]
    assert all(cell.count(" to ") == 1 for cell in low[1:])


# ------------------------------------------------------------------------------------------ glimpse cost


def test_cost_is_compared_where_both_tasks_have_runs():
    records = [make_record(task, "sb3-ppo") for task in ("MNIST", "MNIST-cost", "Catch")]
    records += [make_record("MNIST-cost", "random"), make_record("own-cost", "ram"), make_record("own", "ram")]
    assert cost_pairs(records) == [("MNIST", "MNIST-cost", "sb3-ppo"), ("own", "own-cost", "ram")]
    assert cost_pairs([make_record("MNIST-cost")]) == []


def test_cost_table_has_means_and_deviations_over_seeds():
    few = [make_record("MNIST-cost", seed=0, test=make_test([0, 40], [0, 100]))]
    (row,) = rows_of(cost_table([*make_records("MNIST", successes=(0.4, 0.6)), *few]))
    assert row == ["`MNIST`", "PPO", "4.00 ± 0.00", "1.00", f"50.00 ± {100 * np.std([0.4, 0.6], ddof=1):.2f}", "40.00"]


@pytest.mark.parametrize("table", [task_table, progress_table])
def test_tables_without_records(table):
    assert len(rows_of(table([]))) == len(TASKS if table is task_table else ALGORITHMS)
