"""Checks of values from JSON files."""

import json
import re

import pytest

from damaged_files import nested
from glimpse_gym.agents import json_checks
from glimpse_gym.agents.json_checks import (
    check_amount,
    check_count,
    check_entries,
    check_env_id,
    check_fraction,
    check_list,
    check_name,
    check_ranges,
    check_settings,
    check_text,
    check_versions,
)

CHECKS = {
    "entries": lambda value: check_entries("x", value, ("a",)),
    "list": lambda value: check_list("x", value, check_count),
    "count": lambda value: check_count("x", value),
    "amount": lambda value: check_amount("x", value),
    "fraction": lambda value: check_fraction("x", value),
    "name": lambda value: check_name("x", value),
    "text": lambda value: check_text("x", value),
    "env id": lambda value: check_env_id("x", value),
    "versions": lambda value: check_versions("x", value),
    "settings": lambda value: check_settings("x", value),
    "ranges": lambda value: check_ranges("x", value),
}
ACCEPTED = [
    ("entries", {"a": None}),
    ("list", []),
    ("list", [0, 1]),
    ("count", 0),
    ("count", 10**15),
    ("amount", 0.0),
    ("amount", 0.5),
    ("fraction", 1.0),
    ("name", "ram-mnist_2"),
    ("text", ""),
    ("text", "Intel(R) Xeon(R) @ 2.5 GHz, «β», 28 × 28"),
    ("env id", "glimpse_gym/MNIST-v0"),
    ("env id", "CartPole-v1"),
    ("versions", {"torch": "2.13.0+cpu", "stable-baselines3": "2"}),
    ("settings", {"a": None, "b": True, "c": -1, "d": 0.5, "e": "text", "f": [1, "a", None]}),
    ("ranges", {}),
    ("ranges", {"zoom": [0.5, 1], "shift": [-1, -1]}),
]
JUNK = [None, True, -1, 10**16, 10**400, 1.5e300, float("nan"), float("-inf")]
JUNK += ["a\0b", "|", [[]], [{}], {"": 1}, {"a": {}}]


@pytest.mark.parametrize(("check", "value"), ACCEPTED, ids=str)
def test_accepted_value_is_returned(check, value):
    assert CHECKS[check](value) == value


@pytest.mark.parametrize("check", CHECKS)
def test_junk_is_a_short_error_that_names_the_entry(check):
    refused = [*JUNK, json.loads(nested(900)), "a" * 10**6, [0.5] * 10**5, dict.fromkeys(map(str, range(10**5)), 0.5)]
    if check == "entries":
        refused.remove({"a": {}})
    for value in refused:
        with pytest.raises(ValueError, match=r"^(x|a setting of x|a package of x)\b") as caught:
            CHECKS[check](value)
        assert len(str(caught.value)) < 400


@pytest.mark.parametrize("value", [*"|`<>[]$", "a\nb", "a\tb", "\u202e", "\ud800", "\x1b[31m"])
def test_text_without_markup_and_control_characters(value):
    with pytest.raises(ValueError, match=re.escape("x must be one line of at most 1,000 printable characters without")):
        check_text("x", f"a{value}")


def test_limits_are_accepted_and_named():
    assert check_count("x", 3, 3) == 3
    with pytest.raises(ValueError, match=f"x must be an integer from 3 to {10**15}, got 2"):
        check_count("x", 2, 3)
    with pytest.raises(ValueError, match=f"x must be a number from 0 to {10**15:,}, got 1e"):
        check_amount("x", 1e16)
    with pytest.raises(ValueError, match=r"x must be a number from 0 to 1, got 1\.5"):
        check_fraction("x", 1.5)
    items = [0] * json_checks.MAX_ITEMS
    assert check_list("x", items, check_count) is items
    with pytest.raises(ValueError, match="x must be a list of at most 10,000 items"):
        check_list("x", [*items, 0], check_count)


def test_items_are_named_by_their_position():
    with pytest.raises(ValueError, match=re.escape("x[1] must be an integer from 0 to")):
        check_list("x", [0, -1], check_count)
    with pytest.raises(ValueError, match=re.escape("x.f[1] must be a number from")):
        check_settings("x", {"f": [1, [2]]})


def test_missing_and_unknown_entries_are_listed():
    with pytest.raises(ValueError, match=re.escape("x lacks the entries ['b'] and has the unknown entries ['c']")):
        check_entries("x", {"a": 1, "c": 2}, ("a", "b"))
    with pytest.raises(ValueError, match=re.escape("x lacks the entries ['b']") + "$"):
        check_entries("x", {"a": 1}, ("a", "b"))
    with pytest.raises(ValueError, match=re.escape("x has the unknown entries ['c']") + "$"):
        check_entries("x", {"a": 1, "c": 2}, ("a",))


def test_missing_versions_are_listed():
    with pytest.raises(ValueError, match=re.escape("x lacks the packages ['torch']")):
        check_versions("x", {"numpy": "2"}, ("numpy", "torch"))
