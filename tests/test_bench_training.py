"""Measurement of training: what is counted and reported. No test depends on how fast anything is."""

import re

import pytest
import torch

from glimpse_gym.agents.configs import RAMConfig, ReinforceConfig
from glimpse_gym.agents.reinforce import Reinforce
from glimpse_gym.bench import training
from glimpse_gym.bench.training import PARTS, Product, ProductCounter, bench_training, measure
from glimpse_gym.cli import main
from runs import SMALL_RAM

ENV_ID, ENV_KWARGS = "glimpse_gym/MNIST-v0", {"num_glimpses": 3}

ROW = re.compile(
    r"    ([\d,]+) episodes/s, ([\d.]+) of ([\d.]+) GFLOP/s: (\d+)% of the matmul rate; "
    + ", ".join(rf"{part} (\d+)%" for part in PARTS)
)


@pytest.fixture
def small_cases(monkeypatch):
    case = "small agent", ENV_ID, ENV_KWARGS, RAMConfig(**SMALL_RAM), ReinforceConfig(batch_size=4)
    monkeypatch.setattr(training, "_CASES", (case,))
    monkeypatch.setattr(training, "_MIN_SECONDS", 1e-4)


def test_products_are_counted_with_their_layout():
    left, right, stack = torch.ones(2, 3), torch.ones(3, 4), torch.ones(5, 2, 2)
    layer = torch.nn.Linear(3, 4)
    with ProductCounter() as counter:
        left @ right
        torch.mm(left, right, out=torch.empty(2, 4))
        torch.zeros(2, 4).addmm_(left, right)
        torch.ones(4, 3) @ left.T
        torch.bmm(stack, stack)
        layer(left).sum().backward()
    assert counter.products == {
        Product(2, 3, 4, 1, False, False): 3,
        Product(4, 3, 2, 1, False, True): 1,
        Product(2, 2, 2, 5, False, False): 1,
        Product(2, 3, 4, 1, False, True): 1,  # the layer
        Product(4, 2, 3, 1, True, False): 1,  # the gradient of its weights
    }
    assert counter.num_operations == 2 * (3 * 24 + 24 + 40 + 24 + 24)


def test_operations_that_would_be_missed_are_refused():
    with ProductCounter(), pytest.raises(NotImplementedError, match="convolution are not counted"):
        torch.nn.functional.conv2d(torch.ones(1, 1, 3, 3), torch.ones(1, 1, 2, 2))


def test_report(small_cases):
    before = torch.get_num_threads()
    lines = list(bench_training(0.05))
    assert torch.get_num_threads() == before
    assert lines[1] == f"  small agent, {ENV_ID}, 3 glimpses"
    row = ROW.fullmatch(lines[2])
    assert row
    assert float(row[1].replace(",", "")) > 0
    assert 98 <= sum(int(share) for share in row.groups()[4:]) <= 102
    assert len(lines) == 3


def test_measuring_leaves_the_learner_as_it_was(small_cases):
    learner = Reinforce(ENV_ID, ENV_KWARGS, ReinforceConfig(batch_size=4), RAMConfig(**SMALL_RAM))
    learner.update()  # makes attributes of the env
    objects = [learner, learner.envs, *learner.optimizers]
    before = [set(vars(each)) for each in objects]
    report = measure(learner, 0.01)
    assert [set(vars(each)) for each in objects] == before
    assert sum(report.shares.values()) == pytest.approx(1.0)
    assert report.share == report.gflops / report.matmul_gflops
    assert learner.num_updates_done > 2


def test_bad_argument():
    with pytest.raises(ValueError, match="seconds must be greater than 0, got -1"):
        list(bench_training(-1.0))


def test_one_kind_of_measurement_at_a_time(cli):
    result = cli("bench", "--train", "--sizes")
    assert result.status == 2
    assert "not allowed with argument" in result.err


def test_command_line(monkeypatch, capsys):
    monkeypatch.setattr(training, "bench_training", lambda seconds: iter([f"measured {seconds}"]))
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")
    assert main(["bench", "--train", "--seconds", "0.5"]) == 0
    assert capsys.readouterr().out == "measured 0.5\n"
