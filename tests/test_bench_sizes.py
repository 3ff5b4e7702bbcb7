"""The benchmark of sizes: what it measures and reports. No test depends on how fast anything is."""

import os
import re

import pytest
from PIL import Image

from glimpse_gym.bench import sizes as module
from glimpse_gym.bench.sizes import CURVES, bench_sizes


@pytest.fixture(autouse=True)
def small_workload(monkeypatch):
    monkeypatch.setattr(module, "_NUM_ROUNDS", 1)
    monkeypatch.setattr(module, "_MAX_IN_MEMORY", 64)
    monkeypatch.setattr(module, "_NUM_ENVS", 4)
    curves = [curve._replace(name=curve.name.replace("256", "4")) for curve in CURVES]
    monkeypatch.setattr(module, "CURVES", curves)


def test_the_table_has_a_time_for_all_that_was_measured(tmp_path):
    lines = list(bench_sizes(tmp_path, seconds=0.01, max_side=128))
    assert lines[1].split() == ["side", "memory", "file", "9", "scales", "4", "memory", "4", "file", "CNN"]
    rows = [line.split() for line in lines[2:5]]
    assert [row[0] for row in rows] == ["28", "64", "128"]
    assert [row.count("-") for row in rows] == [0, 0, 2]
    assert all(float(cell.replace(",", "")) > 0 for row in rows for cell in row if cell != "-")
    ratios = [line for line in lines if " against " in line]
    assert [ratio.split(",")[0] for ratio in ratios] == ["memory", "4 memory", "file", "4 file"]
    assert re.fullmatch(r"file, 128 pixels, against memory, 28 pixels: \d+\.\d\d times", ratios[2])
    memory = next(line for line in lines if line.startswith("memory of a process"))
    assert 10 < int(re.search(r"([\d,]+) MiB,", memory)[1].replace(",", "")) < 500
    assert os.listdir(tmp_path) == ["sizes.png"]
    with Image.open(tmp_path / "sizes.png") as picture:
        assert picture.size == (1080, 660)


def test_the_cnn_stops_when_it_takes_too_long(monkeypatch):
    monkeypatch.setattr(module, "_MAX_CNN_SECONDS", 0.0)
    assert [side for side, _ in module._cnn_seconds([28, 64, 128], 0.01)] == [28]


def test_errors(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="seconds must be greater than 0, got 0"):
        next(bench_sizes(tmp_path, seconds=0))
    with pytest.raises(ValueError, match="max_side must be an integer from 28 to"):
        next(bench_sizes(tmp_path, max_side=20))
    monkeypatch.setattr("glimpse_gym.extras.find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'glimpse_gym\[agents\]'"):
        next(bench_sizes(tmp_path))


def test_the_command(tmp_path, cli, monkeypatch):
    called = []
    monkeypatch.setattr(module, "bench_sizes", lambda *arguments: called.append(arguments) or ["a line"])
    assert cli("bench", "--sizes", "--out", str(tmp_path), "--seconds", "0.5", "--max-side", "64").out == "a line\n"
    assert called == [(tmp_path, 0.5, 64)]
