"""Argument validation: accepted values and their types, and the messages of errors."""

import collections
import math
import warnings

import numpy as np
import pytest
import torch

import oracles
from glimpse_gym.validation import (
    check_choice,
    check_floats,
    check_integer,
    check_integers,
    check_locations,
    check_max_bytes,
    check_memory,
    check_not_masked,
    check_number,
    check_range,
    check_types,
    printable,
    shown,
)

RAGGED = [[1, 2], [3]]


@pytest.mark.parametrize("value", [2, 7, np.int8(2), np.uint64(7)])
def test_check_integer_returns_an_int(value):
    checked = check_integer("n", value, at_least=2)
    assert (type(checked), checked) == (int, value)


class Unfriendly(int):
    """An int whose own methods fail."""

    def __int__(self):
        raise KeyError("int")

    __index__ = __repr__ = __int__


@pytest.mark.parametrize(
    "value",
    [1, -5, np.int64(1), 2.0, "2", None, True, [2], math.nan, 8, 2**63, np.uint64(2**64 - 1), np.timedelta64(3, "s")],
    ids=shown,
)
def test_check_integer_error(value):
    with pytest.raises(ValueError, match=r"^n must be an integer from 2 to 7, got ") as caught:
        check_integer("n", value, at_least=2, at_most=7)
    assert repr(value) in str(caught.value)


def test_check_integer_accepts_32_bits_by_default():
    assert check_integer("n", 2**31 - 1, at_least=0) == 2**31 - 1
    with pytest.raises(ValueError, match=r"^n must be an integer from 0 to 2147483647, got 2147483648$"):
        check_integer("n", 2**31, at_least=0)


def test_errors_with_numbers_too_long_to_print():
    for value in (10**100, 10**10_000, -(10**10_000)):
        with pytest.raises(ValueError, match=r"^n must be") as caught:
            check_integer("n", value, at_least=0)
        assert len(str(caught.value)) < 200
    for check in (check_number, check_range):
        with pytest.raises(ValueError, match=r"^n must be a finite number, got an integer of 33,220 bits$"):
            check("n", 10**10_000)


def test_integers_of_an_unfriendly_class():
    checked = check_integer("n", Unfriendly(3), at_least=0)
    assert (type(checked), checked) == (int, 3)
    with pytest.raises(ValueError, match=r"^n must be an integer from 0 to 2, got "):
        check_integer("n", Unfriendly(3), at_least=0, at_most=2)


def nested(depth, width):
    """A list that prints as width**depth numbers, but takes little memory."""
    values = [0.0] * width
    for _ in range(depth - 1):
        values = [values] * width
    return values


class NoRepr:
    def __repr__(self):
        raise RuntimeError("repr")


@pytest.mark.parametrize("value", [nested(6, 1000), "x" * 10**6, 10**10_000, (NoRepr(),), NoRepr()], ids=shown)
def test_shown_is_short_and_never_raises(value):
    assert 0 < len(shown(value)) <= 80


def test_shown_values_look_as_usual():
    for value in (1, "a", [1, "b"], (0.5,), {"a": None}, np.zeros(2), math.nan):
        assert shown(value) == repr(value)


@pytest.mark.parametrize("value", [2, -0.5, np.float32(0.25), np.int64(3)])
def test_check_number_returns_a_float(value):
    checked = check_number("n", value)
    assert (type(checked), checked) == (float, value)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, "2", None, True, (1,), 1j], ids=shown)
def test_check_number_error(value):
    with pytest.raises(ValueError, match=r"^n must be a finite number, got ") as caught:
        check_number("n", value)
    assert repr(value) in str(caught.value)


@pytest.mark.parametrize("value", [-1.5, 4.5, 1e300, math.nan, 10**400, np.timedelta64(1)], ids=shown)
def test_check_number_out_of_range(value):
    with pytest.raises(ValueError, match=r"^n must be a number from -1 to 4, got "):
        check_number("n", value, at_least=-1, at_most=4)
    with pytest.raises(ValueError, match=r"^n must be a number from -1 to 4, got "):
        check_range("n", (0, value), at_least=-1, at_most=4)


def test_number_with_one_bound_names_it():
    with pytest.raises(ValueError, match=r"^n must be a finite number >= 0, got -1\.0$"):
        check_number("n", -1.0, at_least=0)
    with pytest.raises(ValueError, match=r"^n must be a finite number <= 1,000\.5, got inf$"):
        check_number("n", math.inf, at_most=1000.5)


def test_long_bounds_are_written_out():
    with pytest.raises(ValueError, match=r"^n must be a number from 0\.1 to 1,000,000,000,000,000, got 0$"):
        check_number("n", 0, 0.1, 10**15)


@pytest.mark.parametrize(
    ("value", "expected"), [(2, (2.0, 2.0)), ((1, 3), (1.0, 3.0)), ([1, np.float32(1)], (1.0, 1.0))]
)
def test_check_range_returns_a_pair(value, expected):
    oracles.assert_identical(check_range("n", value), expected)


@pytest.mark.parametrize("value", [(2, 1), (1, 2, 3), (), (1, math.nan), "ab", None], ids=shown)
def test_check_range_error(value):
    with pytest.raises(
        ValueError, match=r"^n must be a (number or a \(low, high\) pair with low <= high|finite number), got "
    ):
        check_range("n", value)


def test_check_choice():
    assert check_choice("mode", "a", ("a", "b")) == "a"
    assert check_choice("mode", None, (None, "b")) is None
    assert check_choice("mode", np.True_, (True, False)) is True
    assert type(check_choice("mode", np.str_("a"), ("a", "b"))) is str


@pytest.mark.parametrize("value", ["c", None, ["a"], {"a": 1}, np.zeros(2), (np.zeros(2),), 1j], ids=shown)
def test_check_choice_error(value):
    with pytest.raises(ValueError, match=r"^mode must be one of 'a', 'b'; got ") as caught:
        check_choice("mode", value, ("a", "b"))
    assert repr(value) in str(caught.value)


@pytest.mark.parametrize("values", [[0.5, math.nan, 7.0], np.array([1, 2, math.inf], np.float16)], ids=shown)
def test_check_floats(values):
    oracles.assert_identical(check_floats("scores", values, (3,), "pass three"), np.asarray(values))


@pytest.mark.parametrize("values", [[1, 2, 3], [1.0, 2.0], [[1.0, 2.0, 3.0]], RAGGED, None, "abc", 1.0], ids=shown)
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


@pytest.mark.parametrize(
    "locations", [[1, 0], [0.5], [0.5, 0.5, 0.5], "ab", None, 0.5, [[0.5, 0.5]], RAGGED], ids=shown
)
def test_check_locations_dtype_or_shape_error(locations):
    with pytest.raises(ValueError, match=r"^location must be floating point of shape \(2,\), got "):
        check_locations(locations, (2,))


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_check_locations_not_finite_error(bad):
    for locations, shape in (([0.25, bad], (2,)), ([[0.0, 0.0], [0.25, bad]], (2, 2))):
        with pytest.raises(ValueError, match=rf"^location must be finite, got \(0.25, {bad}\); pass x and y in"):
            check_locations(np.array(locations), shape)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16, np.longdouble, ">f4"])
@pytest.mark.parametrize("bad", [math.nan, -math.nan, math.inf, -math.inf])
def test_one_location_that_is_not_finite_is_found_anywhere(bad, dtype):
    for number in (1, 2, 17, 64):
        for i in range(2 * number):
            locations = np.linspace(-1.5, 1.5, 2 * number).astype(dtype)
            locations[i] = bad
            for given in (locations.reshape(number, 2), np.repeat(locations, 2)[::2].reshape(number, 2)):
                with pytest.raises(ValueError, match=rf"^location must be finite, got .*{abs(bad)}"):
                    check_locations(given, (number, 2))


def test_locations_inside_and_outside_are_clipped_alike():
    inside = np.linspace(-1, 1, 40, dtype=np.float32).reshape(20, 2)
    outside = np.concatenate([inside, np.float32([[1.5, -2]])])
    checked = check_locations(outside, (21, 2))
    oracles.assert_identical(checked[:20], check_locations(inside, (20, 2)))
    assert checked[20].tolist() == [1, -1]
    for x in (-1.0, np.nextafter(np.float32(-1), np.float32(-2)), np.nextafter(np.float32(1), np.float32(2)), 1.0):
        for location in np.float32([[x, 0], [0, x]]):
            oracles.assert_identical(check_locations(location, (2,)), np.clip(location, -1, 1))
            oracles.assert_identical(check_locations(location[None], (1, 2)), np.clip(location[None], -1, 1))


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int64, np.uint64, ">i4"])
def test_one_integer_out_of_range_is_found_anywhere(dtype):
    for number in (1, 2, 17, 64):
        values = (np.arange(number) % 10).astype(dtype)
        oracles.assert_identical(check_integers("label", values, (number,), 10), values.astype(np.int64))
        for i in range(number):
            for bad in (10, np.iinfo(dtype).max, np.iinfo(dtype).min or 10):
                wrong = values.copy()
                wrong[i] = bad
                with pytest.raises(ValueError, match=rf"^label must be from 0 to 9, got {bad}$"):
                    check_integers("label", wrong, (number,), 10)


@pytest.mark.parametrize(
    ("values", "shape"), [(3, ()), (np.int64(3), ()), (np.uint8(3), ()), ([0, 4], (2,)), (np.int8([[1], [2]]), (2, 1))]
)
@pytest.mark.parametrize("number", [None, 5])
def test_check_integers_returns_a_new_int64_array(values, shape, number):
    checked = check_integers("action", values, shape, number)
    oracles.assert_identical(checked, np.array(values, np.int64))
    assert not np.shares_memory(checked, values)


@pytest.mark.parametrize("values", [1.0, True, "1", None, [1]], ids=shown)
def test_check_integers_scalar_error(values):
    with pytest.raises(ValueError, match=r"^action must be an integer, got "):
        check_integers("action", values, (), 5)


@pytest.mark.parametrize("values", [1, [1], [1, 2, 3], [1.0, 2.0], [True, False], RAGGED, None], ids=shown)
def test_check_integers_array_error(values):
    with pytest.raises(ValueError, match=r"^action must be integers of shape \(2,\), got "):
        check_integers("action", values, (2,), 5)


@pytest.mark.parametrize(("values", "shape", "bad"), [(5, (), 5), (-1, (), -1), ([0, 5], (2,), 5), ([-2, 9], (2,), -2)])
def test_check_integers_range_error(values, shape, bad):
    with pytest.raises(ValueError, match=rf"^action must be from 0 to 4, got {bad}$"):
        check_integers("action", values, shape, 5)


MASKED = np.ma.array([0.5, 0.5], mask=[False, True])
NOT_ARRAYS = [
    (MASKED, "a masked array is not accepted"),
    ([np.ma.masked, 0.5], "a masked array is not accepted"),
    (torch.zeros(2, requires_grad=True), r"it requires a gradient; call .detach\(\) on it"),
    ([torch.tensor(0.5, requires_grad=True), 0.5], r"it requires a gradient; call .detach\(\) on it"),
    (torch.zeros(2, device="meta"), "NumPy cannot convert it"),
    ([True, 0.5], "bools are not accepted"),
    (["0.5", "0.5"], "text is not accepted"),
    ([range(10**12), 1], "it has another shape"),
    (range(10**12), "it has another shape"),
    (range(10**30), "NumPy cannot convert it"),
    (nested(6, 1000), "it has another shape"),
    ([nested(6, 1000), 0.5], "it has another shape"),
    ([np.zeros(10**5)] * 2, r"its shape is \(100000,\)"),
]


@pytest.mark.parametrize(("values", "reason"), NOT_ARRAYS, ids=[reason for _, reason in NOT_ARRAYS])
def test_values_that_numpy_would_misread_or_that_are_huge(values, reason):
    with pytest.raises(ValueError, match=f"(?s)^location must be floating point of shape .*{reason}"):
        check_locations(values, (2,))
    with pytest.raises(ValueError, match=f"(?s)^action must be integers of shape .*{reason}"):
        check_integers("action", values, (2,), 5)


class NoArray:
    def __array__(self, *args, **kwargs):
        raise OSError("array")


def test_objects_that_cannot_be_converted():
    for values in (NoArray(), [NoArray(), 0.5]):
        with pytest.raises(ValueError, match=r"^scores must be .*: NumPy cannot convert it \(OSError\('array'\)\)"):
            check_floats("scores", values, (2,), "pass two")


def test_tensors_without_gradient_and_other_sequences_are_accepted():
    expected = np.array([0.5, -0.5], np.float32)
    for values in (torch.tensor(expected), list(torch.tensor(expected)), collections.deque([0.5, -0.5])):
        oracles.assert_identical(check_locations(values, (2,)), expected)
    for values in (torch.tensor([1, 2]), range(1, 3), np.array([1, 2], ">i2")):
        oracles.assert_identical(check_integers("action", values, (2,), 5), np.array([1, 2]))


def test_long_doubles_and_byte_swapped_locations():
    huge = np.array([np.longdouble("1e4000"), -1])
    oracles.assert_identical(check_locations(huge, (2,)), np.array([1, -1], np.float32))
    oracles.assert_identical(check_locations(np.array([0.5, -2], ">f8"), (2,)), np.array([0.5, -1], np.float32))


def test_unsigned_integers_do_not_wrap_around():
    with pytest.raises(ValueError, match=r"^action must be integers below 2\*\*63, got 18446744073709551615$"):
        check_integers("action", np.array([0, 2**64 - 1], np.uint64), (2,))


def test_check_max_bytes():
    for value in (1, 2**63 - 1, np.int64(7)):
        checked = check_max_bytes(value)
        assert (type(checked), checked) == (int, value)
    for bad in (0, 2**63, 1e9, None):
        with pytest.raises(ValueError, match=rf"^max_bytes must be an integer from 1 to {2**63 - 1}, got "):
            check_max_bytes(bad)


def test_check_memory():
    check_memory(1000, 1000, "n=2", "a smaller n")
    message = "^n=2 take 1,001 bytes of memory, more than max_bytes=1,000: pass a smaller n, or a larger max_bytes$"
    with pytest.raises(ValueError, match=message):
        check_memory(1001, 1000, "n=2", "a smaller n")
    for bad in (0, -1, 2**63, 1e9, None):
        with pytest.raises(ValueError, match=r"^max_bytes must be an integer from 1 to "):
            check_memory(10**100, bad, "n=2", "a smaller n")


def test_check_not_masked():
    check_not_masked("mask", np.zeros(2))
    with pytest.raises(ValueError, match=r"^mask must not be a masked array"):
        check_not_masked("mask", MASKED)


def test_check_types():
    check_types({"a": 1, "b": "x", "c": None}, a=int, b=str)
    for entries in ({"a": True}, {"a": 1.0}, {"a": None}):
        with pytest.raises(TypeError, match=r"^a must be of type int, got "):
            check_types(entries, a=int)


def test_printable_text_has_no_escape_codes_and_line_ends():
    assert printable("caf\u00e9 \x1b[31mred\n\x00") == "caf\u00e9 [31mred"
