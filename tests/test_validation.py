"""Argument validation: accepted values and their types, and the messages of errors."""

import math
import warnings

import numpy as np
import pytest

import oracles
from glimpse_gym.validation import (
    check_choice,
    check_floats,
    check_integer,
    check_integers,
    check_locations,
    check_number,
    check_range,
    check_types,
)

RAGGED = [[1, 2], [3]]


@pytest.mark.parametrize("value", [2, 7, np.int8(2), np.uint64(7)])
def test_check_integer_returns_an_int(value):
    checked = check_integer("n", value, at_least=2)
    assert (type(checked), checked) == (int, value)


@pytest.mark.parametrize("value", [1, -5, np.int64(1), 2.0, "2", None, True, [2], math.nan], ids=repr)
def test_check_integer_error(value):
    with pytest.raises(ValueError, match=r"^n must be an integer >= 2, got ") as caught:
        check_integer("n", value, at_least=2)
    assert repr(value) in str(caught.value)


@pytest.mark.parametrize("value", [2, -0.5, np.float32(0.25), np.int64(3)])
def test_check_number_returns_a_float(value):
    checked = check_number("n", value)
    assert (type(checked), checked) == (float, value)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, "2", None, True, (1,), 1j], ids=repr)
def test_check_number_error(value):
    with pytest.raises(ValueError, match=r"^n must be a finite number, got ") as caught:
        check_number("n", value)
    assert repr(value) in str(caught.value)


@pytest.mark.parametrize(
    ("value", "expected"), [(2, (2.0, 2.0)), ((1, 3), (1.0, 3.0)), ([1, np.float32(1)], (1.0, 1.0))]
)
def test_check_range_returns_a_pair(value, expected):
    oracles.assert_identical(check_range("n", value), expected)


@pytest.mark.parametrize("value", [(2, 1), (1, 2, 3), (), (1, math.nan), "ab", None], ids=repr)
def test_check_range_error(value):
    with pytest.raises(ValueError, match=r"^n must be a (number or a \(low, high\) pair|finite number), got "):
        check_range("n", value)


def test_check_choice():
    assert check_choice("mode", "a", ("a", "b")) == "a"
    assert check_choice("mode", None, (None, "b")) is None


@pytest.mark.parametrize("value", ["c", None, ["a"], {"a": 1}], ids=repr)
def test_check_choice_error(value):
    with pytest.raises(ValueError, match=r"^mode must be one of 'a', 'b'; got ") as caught:
        check_choice("mode", value, ("a", "b"))
    assert repr(value) in str(caught.value)


@pytest.mark.parametrize("values", [[0.5, math.nan, 7.0], np.array([1, 2, math.inf], np.float16)], ids=repr)
def test_check_floats(values):
    oracles.assert_identical(check_floats("scores", values, (3,), "pass three"), np.asarray(values))


@pytest.mark.parametrize("values", [[1, 2, 3], [1.0, 2.0], [[1.0, 2.0, 3.0]], RAGGED, None, "abc", 1.0], ids=repr)
def test_check_floats_error(values):
    with pytest.raises(ValueError, match=r"^scores must be floating point of shape \(3,\), got .*; pass three$"):
        check_floats("scores", values, (3,), "pass three")


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.5, -0.25], [0.5, -0.25]),
        ([7, -7], [1, -1]),
        ([[0.5, 3], [-60000, 1]], [[0.5, 1], [-1, 1]]),
        (np.zeros((0, 2)), np.zeros((0, 2))),
    ],
)
def test_check_locations_clips_into_a_new_float32_array(dtype, values, expected):
    given = np.array(values, dtype)
    before = given.copy()
    checked = check_locations(given, given.shape)
    oracles.assert_identical(checked, np.array(expected, np.float32))
    oracles.assert_identical(given, before)
    assert not np.shares_memory(checked, given)


def test_check_locations_accepts_a_list_of_floats_and_huge_values():
    oracles.assert_identical(check_locations([0.5, 1.5], (2,)), np.array([0.5, 1], np.float32))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        checked = check_locations(np.array([[1e308, -1e308]]), (1, 2))
    oracles.assert_identical(checked, np.array([[1, -1]], np.float32))


@pytest.mark.parametrize("locations", [[1, 0], [0.5], [0.5, 0.5, 0.5], "ab", None, 0.5, [[0.5, 0.5]], RAGGED], ids=repr)
def test_check_locations_dtype_or_shape_error(locations):
    with pytest.raises(ValueError, match=r"^location must be floating point of shape \(2,\), got "):
        check_locations(locations, (2,))


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_check_locations_not_finite_error(bad):
    for locations, shape in (([0.25, bad], (2,)), ([[0.0, 0.0], [0.25, bad]], (2, 2))):
        with pytest.raises(ValueError, match=rf"^location must be finite, got \(0.25, {bad}\); pass x and y in"):
            check_locations(np.array(locations), shape)


@pytest.mark.parametrize(
    ("values", "shape"), [(3, ()), (np.int64(3), ()), (np.uint8(3), ()), ([0, 4], (2,)), (np.int8([[1], [2]]), (2, 1))]
)
@pytest.mark.parametrize("number", [None, 5])
def test_check_integers_returns_a_new_int64_array(values, shape, number):
    checked = check_integers("action", values, shape, number)
    oracles.assert_identical(checked, np.array(values, np.int64))
    assert not np.shares_memory(checked, values)


@pytest.mark.parametrize("values", [1.0, True, "1", None, [1]], ids=repr)
def test_check_integers_scalar_error(values):
    with pytest.raises(ValueError, match=r"^action must be an integer, got "):
        check_integers("action", values, (), 5)


@pytest.mark.parametrize("values", [1, [1], [1, 2, 3], [1.0, 2.0], [True, False], RAGGED, None], ids=repr)
def test_check_integers_array_error(values):
    with pytest.raises(ValueError, match=r"^action must be integers of shape \(2,\), got "):
        check_integers("action", values, (2,), 5)


@pytest.mark.parametrize(("values", "shape", "bad"), [(5, (), 5), (-1, (), -1), ([0, 5], (2,), 5), ([-2, 9], (2,), -2)])
def test_check_integers_range_error(values, shape, bad):
    with pytest.raises(ValueError, match=rf"^action must be from 0 to 4, got {bad}$"):
        check_integers("action", values, shape, 5)


def test_check_types():
    check_types({"a": 1, "b": "x", "c": None}, a=int, b=str)
    for entries in ({"a": True}, {"a": 1.0}, {"a": None}):
        with pytest.raises(TypeError, match=r"^a must be of type int, got "):
            check_types(entries, a=int)
