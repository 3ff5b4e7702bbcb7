"""Searches in searches.toml, and the settings that they draw."""

import dataclasses

import pytest

from glimpse_gym.agents.configs import ClassifierConfig, SupervisedConfig
from glimpse_gym.agents.experiments.recipes import load_recipe
from glimpse_gym.agents.experiments.search_spaces import (
    Choices,
    Range,
    Search,
    check_values,
    load_search,
    parse_space,
    round_value,
    search_names,
)
from small_searches import SPACE, make_search
from test_imports import loaded_after


@pytest.mark.parametrize("name", search_names())
def test_every_search_tunes_a_recipe_on_all_validation_images(name):
    search = load_search(name)
    assert search.recipe == load_recipe(name)
    assert search.settings["validation_episodes"] == 10_000
    assert search.settings["num_episodes"] <= search.recipe.training.num_episodes
    assert search.settings.keys() & search.space.keys() == set()
    # A recipe that takes the values of a trial changes nothing that the trials have in common.
    low, high = ({key: setting.extremes[end] for key, setting in search.space.items()} for end in (0, -1))
    for training, policy_config in (search.make_configs(low, 0), search.make_configs(high, 1)):
        tuned = dataclasses.replace(search.recipe, training=training, policy_config=policy_config)
        assert dataclasses.replace(search, recipe=tuned).settings == search.settings


def test_unknown_search():
    with pytest.raises(ValueError, match=f"there is no search 'nothing'; the searches are {', '.join(search_names())}"):
        load_search("nothing")


def test_listing_searches_loads_neither_torch_nor_optuna():
    code = (
        "from glimpse_gym.agents.experiments.search_spaces import load_search, search_names\n"
        "assert [*map(load_search, search_names())]"
    )
    assert loaded_after(code, ("torch", "optuna")) == set()


def test_configurations_have_the_values_and_the_shared_settings(tmp_path):
    search = make_search(tmp_path)
    values = {"learning_rate": 0.02, "sigma": 0.07, "copies_per_image": 4, "detach_location_network": True}
    training, policy_config = search.make_configs(values, seed=5)
    assert policy_config == dataclasses.replace(search.recipe.policy_config, sigma=0.07, detach_location_network=True)
    assert training == dataclasses.replace(
        search.recipe.training,
        **{"seed": 5, "learning_rate": 0.02, "copies_per_image": 4},
        **{"num_episodes": 190, "num_evaluations": 2, "validation_episodes": 20},
    )


@pytest.mark.parametrize(
    ("value", "rounded"), [(0.0123456, 0.012), (9.96, 10.0), (0.3, 0.3), (123.0, 120.0), (-0.0999, -0.1), (0.0, 0.0)]
)
def test_values_are_rounded_to_two_significant_digits(value, rounded):
    assert round_value(value) == rounded


def test_values_in_the_space_are_accepted():
    space = parse_space("space", SPACE)
    assert space["learning_rate"] == Range(0.001, 0.1, log=True)
    assert space["copies_per_image"] == Choices([1, 2, 4])
    values = {"learning_rate": 0.1, "sigma": 0.05, "copies_per_image": 4, "detach_location_network": False}
    assert check_values("values", values, space) == values


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"learning_rate": 0.11}, r"values\.learning_rate must be log-uniform from 0.001 to 0.1, got 0.11"),
        ({"learning_rate": 0.0111}, r"values\.learning_rate must be"),
        ({"learning_rate": float("nan")}, r"values\.learning_rate must be"),
        ({"learning_rate": True}, r"values\.learning_rate must be"),
        ({"sigma": "0.1"}, r"values\.sigma must be uniform from 0.05 to 0.3, got '0.1'"),
        ({"copies_per_image": 3}, r"values\.copies_per_image must be one of 1, 2, 4, got 3"),
        ({"copies_per_image": 1.0}, r"values\.copies_per_image must be"),
        ({"copies_per_image": True}, r"values\.copies_per_image must be"),
        ({"detach_location_network": 1}, r"values\.detach_location_network must be one of true, false, got 1"),
        ({"other": 1}, r"values has the unknown entries \['other'\]"),
    ],
)
def test_other_values_are_refused(change, message):
    values = {"learning_rate": 0.1, "sigma": 0.05, "copies_per_image": 4, "detach_location_network": False}
    with pytest.raises(ValueError, match=message):
        check_values("values", values | change, parse_space("space", SPACE))


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (5, "space.sigma must be a dict, got 5"),
        ({"low": 1.0}, "space.sigma lacks the entries"),
        ({"low": 1.0, "high": 2.0, "step": 1}, "space.sigma has the unknown entries"),
        ({"low": 1.0, "high": 2.0, "choices": [1.5]}, "space.sigma has the unknown entries"),
        ({"low": 2.0, "high": 1.0}, "space.sigma.low must be below high, got 2 and 1"),
        ({"low": 1.0, "high": 1.0}, "space.sigma.low must be below high, got 1 and 1"),
        ({"low": 0.0, "high": 1.0, "log": True}, "space.sigma.low must be below high, and above 0, got 0 and 1"),
        ({"low": 1.0, "high": 2.0, "log": 1}, "space.sigma.log must be true or false, got 1"),
        ({"low": 1.0, "high": float("inf")}, "space.sigma.high must be a number"),
        ({"low": 1.0, "high": "2"}, "space.sigma.high must be a number"),
        ({"low": 0.123, "high": 1.0}, "space.sigma must have limits with at most two significant digits, got 0.123"),
        ({"choices": []}, "space.sigma.choices must be a list of different values"),
        ({"choices": [1, 1]}, "space.sigma.choices must be a list of different values"),
        ({"choices": 1}, "space.sigma.choices must be a list of different values"),
        ({"choices": [[1]]}, r"space.sigma.choices\[0\] must be a number"),
    ],
)
def test_other_entries_of_a_space_are_refused(entry, message):
    with pytest.raises(ValueError, match=message):
        parse_space("space", {"sigma": entry})


def test_space_must_have_a_setting():
    for entries in ({}, [], None):
        with pytest.raises(ValueError, match="space must be a dict with an entry for each setting"):
            parse_space("space", entries)


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({"sigmas": {"low": 0.1, "high": 0.2}}, "paper-mine has no setting 'sigmas': it has .*sigma"),
        ({"sigma": {"low": 0.0, "high": 0.2}}, "sigma must be greater than 0"),
        ({"copies_per_image": {"choices": [2, 3]}}, "batch_size must be a multiple of copies_per_image=3"),
        ({"copies_per_image": {"low": 1.0, "high": 2.0}}, "copies_per_image must be of type int"),
        ({"optimizer": {"choices": ["adam", "none"]}}, "optimizer must be one of"),
        ({"seed": {"choices": [1, 2]}}, "seed cannot be drawn in the search paper-mine"),
        ({"num_episodes": {"choices": [100, 200]}}, "num_episodes cannot be drawn in the search paper-mine"),
    ],
)
def test_space_must_fit_the_recipe(tmp_path, space, message):
    with pytest.raises(ValueError, match=message):
        make_search(tmp_path, space)


def test_search_must_have_trials_and_train_something(tmp_path):
    with pytest.raises(ValueError, match="num_trials must be an integer from 1"):
        make_search(tmp_path, num_trials=0)
    with pytest.raises(ValueError, match="oracle-catch cannot be tuned: nothing is trained"):
        Search(load_recipe("oracle-catch"), 1, {}, {})


def test_settings_of_another_algorithm_can_be_drawn(tmp_path):
    search = make_search(tmp_path, {"sigma": {"low": 0.1, "high": 0.2}})
    training = SupervisedConfig(num_episodes=1_000, batch_size=20)
    recipe = dataclasses.replace(search.recipe, training=training, policy_config=ClassifierConfig())
    found = dataclasses.replace(search, recipe=recipe, space={"units": Choices([8, 16])})
    assert found.make_configs({"units": 16}, 0)[1] == ClassifierConfig(units=16)
