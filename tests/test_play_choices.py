"""Keys for labels: digit keys, or a list to choose from."""

import pytest

from glimpse_gym.play.choices import ChoiceKeys

DIGITS = tuple("0123456789")
NAMES = ("Trouser", "Pullover", "Dress", "Coat", "T-shirt")


@pytest.mark.parametrize("key", ["7", "[7]"])
def test_digit_keys_choose_digits(key):
    assert ChoiceKeys(DIGITS).press(key) == 7


@pytest.mark.parametrize("key", ["a", "space", "return", "up", "f7", "77"])
def test_other_keys_choose_nothing(key):
    assert ChoiceKeys(DIGITS).press(key) is None


def test_digits_are_no_list():
    assert not ChoiceKeys(DIGITS).is_list
    assert not ChoiceKeys(DIGITS[:3]).is_list
    assert ChoiceKeys(DIGITS[:3]).press("5") is None


@pytest.mark.parametrize("names", [NAMES, tuple(str(i) for i in range(11))])
def test_names_and_many_classes_are_a_list(names):
    assert ChoiceKeys(names).is_list


def test_typing_filters_by_name():
    choices = ChoiceKeys(NAMES)
    for key in "co":
        assert choices.press(key) is None
    assert choices.matches == [3]
    assert choices.press("return") == 3
    assert choices.filter == ""


def test_arrows_move_the_selection_around():
    choices = ChoiceKeys(NAMES)
    choices.press("up")
    assert choices.press("return") == 4
    choices.press("down")
    choices.press("down")
    assert choices.press("return") == 2


def test_backspace_and_a_filter_without_matches():
    choices = ChoiceKeys(NAMES)
    for key in "xy":
        choices.press(key)
    assert choices.matches == []
    assert choices.press("return") is None
    choices.press("backspace")
    choices.press("backspace")
    assert choices.matches == [0, 1, 2, 3, 4]


def test_typed_letters_have_no_other_meaning():
    assert ChoiceKeys(NAMES).takes("h")
    assert not ChoiceKeys(NAMES).takes("space")
    assert not ChoiceKeys(DIGITS).takes("h")
