"""The comparison of training speeds: what is compared is the same, and every contender trains. No speed is asserted."""

import re

import pytest
import torch

from glimpse_gym.agents.benchmark import speed

NAME = "glimpse_gym/CatchDiscrete-v0"


@pytest.fixture(autouse=True)
def small(monkeypatch):
    for name, value in {"_NUM_ENVS": 4, "_NUM_ROUNDS": 1, "_UNITS": 8, "_FEATURES": 8, "_HIDDEN_UNITS": 8}.items():
        monkeypatch.setattr(speed, name, value)
    monkeypatch.setattr(speed, "_NUM_EPISODES", {"Catch": 4})


def test_report_has_a_line_with_speeds_and_a_ratio_for_every_comparison():
    num_threads = torch.get_num_threads()
    lines = list(speed.measure(seconds=1e-6))
    number = r"([\d,.]+)"
    pairs = ("sb3-contrib RecurrentPPO", "glimpse_gym PPO"), ("DummyVecEnv", "to_sb3")
    for line, (slow, fast) in zip((lines[1], lines[3]), pairs, strict=True):
        pattern = rf"{NAME} +{slow}: {number} frames/s, {fast}: {number} frames/s, ratio {number}"
        slow_rate, fast_rate, ratio = (
            float(value.replace(",", "")) for value in re.fullmatch(pattern, line.strip()).groups()
        )
        assert ratio == pytest.approx(fast_rate / slow_rate, abs=0.06)
    shares = [int(value) for value in re.findall(r"(\d+)%", lines[4])]
    assert len(shares) == 2
    assert all(0 < share < 100 for share in shares)
    assert torch.get_num_threads() == num_threads


def test_both_recurrent_ppos_take_as_many_frames():
    contenders = speed._recurrent_ppo(NAME, 4), speed._sb3_recurrent_ppo(NAME)
    for contender in contenders:
        assert contender.num_frames() == 0
        contender.update()
        assert contender.num_frames() == 4 * 23
        contender.update()
        assert contender.num_frames() == 8 * 23


def test_ratio_is_the_median_over_rounds_of_turns(monkeypatch):
    monkeypatch.setattr(speed, "_NUM_ROUNDS", 3)
    rates = {"slow": iter([10.0, 20.0, 30.0]), "fast": iter([20.0, 80.0, 90.0])}
    contenders = {name: speed.Contender(lambda: None, lambda: 0) for name in rates}
    names = {id(contender): name for name, contender in contenders.items()}
    monkeypatch.setattr(speed, "_frames_per_second", lambda contender, seconds: next(rates[names[id(contender)]]))
    line = speed._compare("env", "slow", "fast", contenders["slow"], contenders["fast"], 1.0)
    assert line.split() == ["env", "slow:", "20", "frames/s,", "fast:", "80", "frames/s,", "ratio", "3.0"]
