"""Measurements of speed: what they measure and report. No test depends on how fast anything is."""

import itertools
import json
import platform
import re
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

import glimpse_gym
from glimpse_gym.bench import worlds as bench_module
from glimpse_gym.bench.worlds import bench_worlds
from glimpse_gym.cli import main
from glimpse_gym.registration import WORLDS

NAMES = ("MNIST", "TranslatedMNIST", "ClutteredMNIST", "ClutteredMNIST100", "Catch")
ROW = re.compile(r"  (\S+) +([\d,]+) steps/s   ratio (\d+\.\d{3})")


@pytest.fixture(autouse=True, scope="module")
def small_workload():
    """One round instead of several."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bench_module, "_NUM_ROUNDS", 1)
        yield


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    return tmp_path_factory.mktemp("saved") / "speed.json"


@pytest.fixture(scope="module")
def report(saved):
    return list(bench_worlds(0.01, num_envs=3, save=saved))


def test_first_line_names_machine_and_versions(report):
    line = report[0]
    for text in ("cores", f"Python {platform.python_version()}", f"glimpse_gym {glimpse_gym.__version__}"):
        assert text in line
    for name, module in (("gymnasium", gym), ("numpy", np)):
        assert f"{name} {module.__version__}".partition("+")[0] in line
    assert len(line.splitlines()) == 1


def test_one_row_per_world_for_vector_and_single_env(report):
    titles = [line.strip() for line in report if "random actions" in line]
    assert titles == [
        "3 sub-envs, one thread, random actions; ratios are medians over rounds",
        "single env through gym.make, random actions; ratios are medians over rounds",
    ]
    rows = [match for line in report if (match := ROW.fullmatch(line))]
    expected = ["CartPole-v1", *(f"glimpse_gym/{name}-v0" for name in NAMES)]
    assert [row[1] for row in rows] == expected * 2
    for row in rows:
        assert float(row[2].replace(",", "")) > 0
        assert float(row[3]) > 0
        assert row[1] != "CartPole-v1" or row[3] == "1.000"


def test_the_file_has_the_speeds_of_the_report(report, saved):
    content = json.loads(saved.read_text())
    assert content["machine"] == report[0]
    assert content["num_envs"] == 3
    rows = [match.groups() for line in report if (match := ROW.fullmatch(line))]
    for kind, expected in (("vector", rows[: len(rows) // 2]), ("single", rows[len(rows) // 2 :])):
        found = [(name, f"{row['steps_per_second']:,}", f"{row['ratio']:.3f}") for name, row in content[kind].items()]
        assert found == expected
    assert any(f": {content['render_milliseconds']:.2f} ms per frame" in line for line in report)


def test_rendering_import_and_memory_rows(report):
    assert any(re.fullmatch(r"import glimpse_gym: -?\d+\.\d\d s beyond import gymnasium", line) for line in report)
    rendering = r"\nrender\(\) as rgb_array, glimpse_gym/ClutteredMNIST100-v0: \d+\.\d\d ms per frame"
    assert any(re.fullmatch(rendering, line) for line in report)
    memory = re.fullmatch(r"peak memory of this process: ([\d,]+) MiB", report[-1])
    assert memory
    assert 20 < int(memory[1].replace(",", "")) < 100_000


def test_reported_ratio_is_the_median_of_ratios(monkeypatch):
    # CartPole 10, 20, 30 calls per second; every world 5, 40, 33: ratios 0.5, 2, 1.1.
    calls = itertools.count()

    def fake_rate(function, seconds):
        round_index, position = divmod(next(calls), 6)
        assert seconds == 0.5
        return ((5, 40, 33) if position else (10, 20, 30))[round_index]

    monkeypatch.setattr(bench_module, "_NUM_ROUNDS", 3)
    monkeypatch.setattr(bench_module, "_calls_per_second", fake_rate)
    found = bench_module._compare(lambda name: lambda: None, 100, 1.5)
    assert next(calls) == 18
    assert found[0] == ("CartPole-v1", 2000, 1)
    assert {row[1:] for row in found[1:]} == {(3300, 1.1)}


def test_calls_per_second(monkeypatch):
    calls = itertools.count()
    times = itertools.chain([0.0, 0.0], itertools.count(1, 1))
    monkeypatch.setattr(bench_module.time, "perf_counter", lambda: float(next(times)))
    # One batch of calls starts at 0 s and one at 1 s; at 2 s the time is over.
    rate = bench_module._calls_per_second(lambda: next(calls), 2.0)
    assert rate == next(calls) / 2


@pytest.mark.parametrize(("seconds", "num_envs"), [(0, 1), (-1.0, 1), (float("nan"), 1), (0.1, 0), (0.1, -3)])
def test_bad_arguments(seconds, num_envs):
    wrong = "num_envs must be an integer from 1 to 2147483647" if num_envs < 1 else "seconds must be greater than 0"
    with pytest.raises(ValueError, match=f"{wrong}, got {num_envs if num_envs < 1 else seconds}"):
        list(bench_worlds(seconds, num_envs))


def test_command_line(monkeypatch, capsys):
    calls = []

    def fake_bench(seconds, num_envs, save):
        calls.append((seconds, num_envs, save))
        yield "first line"
        yield "second line"

    monkeypatch.setattr(bench_module, "bench_worlds", fake_bench)
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")
    assert main(["bench", "--seconds", "0.5", "--num-envs", "7"]) == 0
    assert main(["bench", "--save", "speed.json"]) == 0
    assert calls == [(0.5, 7, None), (1.0, 256, Path("speed.json"))]
    assert capsys.readouterr().out == "first line\nsecond line\n" * 2


def test_newly_registered_world_is_benchmarked(monkeypatch):
    before = bench_module.benchmarked_ids()
    prefix, kwargs = WORLDS["Catch"]
    monkeypatch.setitem(WORLDS, "Catch2", (prefix, kwargs))
    monkeypatch.setitem(WORLDS, "Images2", WORLDS["Images"])  # needs images
    assert bench_module.benchmarked_ids() == [*before, "glimpse_gym/Catch2-v0"]
