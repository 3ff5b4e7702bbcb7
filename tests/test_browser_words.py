"""Texts of the page, and what its scripts have in common with the window of `glimpse-gym play`."""

from importlib import resources

import pytest

from browser_episodes import run_node
from glimpse_gym.play import game

BROWSER = resources.files("glimpse_gym.browser")


def script(name: str) -> str:
    return BROWSER.joinpath(name).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("fraction", "text"),
    [
        *((0.0, "0.0%"), (0.0094, "0.9%"), (0.0212, "2.1%"), (0.0996, "10%"), (0.124, "12%")),
        *((0.994, "99%"), (0.996, "100%"), (1.0, "100%")),
    ],
)
def test_errors_of_agents_are_written_without_exponents(fraction, text):
    agent, env = f"{{ name: 'a', testErrors: [{fraction}] }}", "{ kind: 'classification', horizon: 1 }"
    found = run_node(f"{script('words.js')} return describeAgent({agent}, {env});")
    assert f"In its test {text} of its answers after 1 glimpse were wrong." in found


def test_keys_are_those_of_the_window():
    found = run_node(f"{script('game.js')} return [GAZE_SPEED, DIRECTIONS, WASD, MOVES, STAY];")
    directions = {name: list(direction) for name, direction in game._DIRECTIONS.items()}
    assert found == [game._GAZE_SPEED, directions, game._WASD, game._MOVES, game._STAY]


def test_lines_are_short():
    files = [each for each in BROWSER.iterdir() if each.name.endswith((".js", ".css"))]
    assert len(files) > 10
    long = [(each.name, line) for each in files for line in script(each.name).splitlines() if len(line) > 120]
    assert long == []
