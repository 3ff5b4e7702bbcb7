"""The generated page of the benchmark."""

import re

import numpy as np
import pytest
from PIL import Image

from glimpse_gym.agents.benchmark import report
from glimpse_gym.agents.benchmark.algorithms import ALGORITHMS
from glimpse_gym.agents.benchmark.records import RecordError, load_records, save_record
from glimpse_gym.agents.benchmark.report import write_report
from glimpse_gym.agents.benchmark.tables import (
    aggregate_table,
    cost_table,
    progress_table,
    result_table,
    suites,
    task_table,
)
from hand_made_records import make_record, make_records, make_test

MAIN = ("MNIST", "Cluttered", "Catch")


def some_records():
    """Runs for every figure, with unequal numbers of seeds, and with a task and an algorithm of one's own."""
    early = make_test([0, 10, 60], [0, 40, 60])
    records = [r for task in MAIN for r in make_records(task, "sb3-ppo", (0.4, 0.6))]
    records += [r for task in MAIN for r in make_records(task, "random", (0.1, 0.2))]
    records += [make_record("MNIST", "sb3-ppo", 2, test=early), make_record("MNIST-cost", "sb3-ppo", test=early)]
    records += [make_record(task, "ram") for task in MAIN[:2]] + [make_record("own", "mine", num_steps=10)]
    return records


def save_all(folder, records):
    for record in records:
        save_record(folder, record)
    return folder


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("benchmark")
    return folder, write_report(save_all(folder / "records", some_records()), folder / "docs")


def test_page_has_all_tables_and_figures(written):
    folder, paths = written
    page, *figures = paths
    assert page == folder / "docs" / "benchmark.md"
    assert sorted(path for path in (folder / "docs").rglob("*") if path.is_file()) == sorted(paths)
    text = page.read_text(encoding="utf-8")
    records = load_records(folder / "records")
    tables = [task_table(records), progress_table(records), cost_table(records)]
    tables += [result_table(records, task) for task in (*MAIN, "MNIST-cost", "own")]
    tables += [aggregate_table(records, suite) for suite in suites(records)]
    assert len(tables) == 10
    for table in tables:
        assert text.count(table) == 1
    linked = re.findall(r"^!\[.+\]\((.+)\)$", text, re.MULTILINE)
    assert sorted(linked) == sorted(f"figures/{path.name}" for path in figures)
    suite_names = ("MNIST-Cluttered-Catch", "MNIST-Cluttered")
    assert {path.stem.removeprefix("benchmark-") for path in figures} == {
        *(f"learning-{task}" for task in (*MAIN, "MNIST-cost", "own")),
        *(f"{kind}-{name}" for kind in ("aggregate", "profiles", "improvement") for name in suite_names),
        *("glimpses", "by-glimpses", "cost"),
    }


def test_page_has_a_section_for_each_task_and_suite(written):
    _, (page, *_) = written
    headings = re.findall(r"^(#+ .*)", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert headings[:4] == ["# Benchmark", "## What was run", "## Results by task", "### MNIST, 28 × 28, 7 glimpses"]
    assert headings[7:] == [
        *("### own", "## MNIST, Cluttered and Catch together", "## MNIST and Cluttered together"),
        *("## Glimpses used", "## Cost of a glimpse"),
    ]


def test_figures_are_not_blank_and_no_wider_than_a_page(written):
    _, (_, *figures) = written
    for path in figures:
        with Image.open(path) as picture:
            pixels = np.asarray(picture.convert("RGB")).astype(int)
        assert 150 < min(pixels.shape[:2]) <= max(pixels.shape[:2]) < 2000, path
        assert pixels.min() < 80, path
        assert (np.ptp(pixels, axis=-1) > 60).sum() > 100, f"{path} has no colors"


def test_page_states_what_is_missing_and_the_cost(written):
    folder, (page, *_) = written
    text = page.read_text(encoding="utf-8")
    records = load_records(folder / "records")
    missing = sum(
        max(5 - sum((r.task, r.algorithm) == (task.name, name) for r in records), 0)
        for task in report.TASKS.values()
        for name, entry in ALGORITHMS.items()
        if (task.algorithms is None or name in task.algorithms) and (entry.worlds is None or task.world in entry.worlds)
    )
    hours = len(records) * 250 / 3600
    assert f"So far there are {len(records)} runs; {missing} runs of the protocol are missing." in text
    assert f"took {hours:.1f} core-hours. Machine: a machine ({len(records)} runs)." in text
    assert "Versions: python 3, glimpse_gym 0.4, torch 2.8." in text


def test_page_names_all_machines_and_versions(tmp_path):
    records = make_records()
    records.append(make_record(seed=3, machine="a cluster", versions={"python": "3", "torch": "2.9", "ray": "2"}))
    write_report(save_all(tmp_path / "records", records), tmp_path)
    text = (tmp_path / "benchmark.md").read_text(encoding="utf-8")
    assert "Machine: a machine (3 runs); a cluster (1 runs)." in text
    assert "Versions: python 3, glimpse_gym 0.4, torch 2.8 and 2.9, ray 2." in text


def test_page_explains_what_is_special(written, tmp_path):
    _, (page, *_) = written
    text = page.read_text(encoding="utf-8")
    # RAM has no runs on Catch; the numbers of seeds differ; no run of a task of the protocol has another budget.
    assert f"Left out, because they have no runs on some of these tasks: {ALGORITHMS['ram'].label}." in text
    assert report._UNEQUAL in text
    assert "‡" not in text
    write_report(save_all(tmp_path / "records", [make_record(num_steps=10)]), tmp_path)
    text = (tmp_path / "benchmark.md").read_text(encoding="utf-8")
    assert "PPO ‡" in text
    assert report._OTHER_BUDGET in text
    assert report._UNEQUAL not in text
    assert "Left out" not in text


def test_same_records_same_page(written):
    folder, (page, *figures) = written
    names = {path.stem.removeprefix("benchmark-") for path in figures}
    assert report._page(load_records(folder / "records"), names) == page.read_text(encoding="utf-8")


def test_report_without_usable_records_writes_nothing(tmp_path):
    with pytest.raises(RecordError, match="holds no records of runs"):
        write_report(tmp_path / "records", tmp_path / "docs")
    path = save_record(tmp_path / "records", make_record())
    path.write_text(path.read_text().replace("protocol 1", "protocol 0"))
    with pytest.raises(RecordError, match="is of protocol 0"):
        write_report(tmp_path / "records", tmp_path / "docs")
    assert not (tmp_path / "docs").exists()
