"""All recipes of recipes.toml."""

import re
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from glimpse_gym.agents.base import TaskSpec
from glimpse_gym.agents.configs import ClassifierConfig, PPOConfig, ReinforceConfig, ScriptedConfig, SupervisedConfig
from glimpse_gym.agents.experiments import recipes
from glimpse_gym.agents.experiments.literature import PAPER, PAPER_BASELINES
from glimpse_gym.agents.experiments.recipes import (
    ablated_settings,
    describe_ablation,
    is_single_factor,
    load_recipe,
    matches_recipe,
    recipe_names,
)
from glimpse_gym.agents.experiments.search_files import load_searches
from glimpse_gym.agents.experiments.tables import TASK_NAMES
from glimpse_gym.agents.registry import algorithm_name, make_policy, policy_name
from glimpse_gym.agents.task_envs import make_envs

RESULTS = Path(__file__).parent.parent / "results"
SIDES = {"mnist": 28, "translated60": 60, "cluttered60": 60, "cluttered100": 100, "catch": 24}
TABLES = {"env_kwargs", "augmentation", "policy_config", "training"}
VALUES = {"base", "task", "model", "env_id", "policy", "algorithm", "test", "generalization_envs"}

every_recipe = pytest.mark.parametrize("name", recipe_names())
every_ablation = pytest.mark.parametrize("name", [name for name in recipe_names() if name.startswith("ablation-")])


def chain(name):
    """Entries in the file of a recipe, its base, the base of that one, and so on."""
    while name:
        entry = recipes._entries()[name]
        yield entry
        name = entry.get("base")


def looked_up(name, key, table=None):
    """A value of a recipe, or None: the first that is found in the chain."""
    for entry in chain(name):
        found = entry if table is None else entry.get(table, {})
        if key in found:
            return found[key]
    return None


def blank_images(task):
    """Env kwargs: blank images in the place of the digits."""
    if task == "catch":
        return {}
    return {"images": np.zeros((20, 28, 28), np.uint8), "labels": np.arange(20) % 10}


def test_file_has_recipes_of_known_keys_in_known_groups():
    table = recipes._table()
    groups = ["headline", "paper", "baselines", "controls", "ablations"]
    assert list(table) == ["sweeps", *groups]
    names = [name for group in groups for name in table[group]]
    assert len(names) == len(set(names)) == 61
    assert recipe_names() == sorted(names)
    for entry in recipes._entries().values():
        assert entry.keys() <= TABLES | VALUES | {"group"}
        assert all(isinstance(entry[key], dict) for key in TABLES & entry.keys())


@every_recipe
def test_recipe_has_its_own_values_and_inherits_the_others(name):
    recipe = load_recipe(name)
    assert recipe.name == name
    assert name in recipes._table()[recipe.group]
    assert recipe.base == recipes._entries()[name].get("base")
    assert (recipe.task, recipe.env_id) == (looked_up(name, "task"), looked_up(name, "env_id"))
    if recipe.group != "ablations":
        assert recipe.model == looked_up(name, "model")
    assert recipe.test == (looked_up(name, "test") is not False)
    assert policy_name(recipe.policy_config) == looked_up(name, "policy")
    configs = {"policy_config": recipe.policy_config, "training": recipe.training}
    for table in TABLES:
        keys = {key for entry in chain(name) for key in entry.get(table, {})}
        given = {key: looked_up(name, key, table) for key in keys}
        if table not in configs:
            assert getattr(recipe, table) == given
        elif configs[table] is None:
            assert looked_up(name, "algorithm") is None
            assert not given
        else:
            assert asdict(configs[table]) == asdict(type(configs[table])()) | given
    if recipe.training:
        assert algorithm_name(recipe.training) == looked_up(name, "algorithm")
    sweeps = looked_up(name, "generalization_envs") or []
    expected = [{sweep: value} for sweep in sweeps for value in recipes._table()["sweeps"][sweep]]
    assert list(recipe.generalization_envs) == expected


@every_recipe
def test_recipe_without_a_base_gives_all_values(name):
    recipe = load_recipe(name)
    if recipe.base is None:  # so that a change of defaults changes no recipe
        entry = recipes._entries()[name]
        assert entry["policy_config"].keys() == asdict(recipe.policy_config).keys()
        if recipe.training:
            left_out = {"seed", "save_interval", "num_threads"}
            assert entry["training"].keys() == asdict(recipe.training).keys() - left_out


@every_recipe
def test_policy_of_a_recipe_acts_in_its_env(name):
    recipe = load_recipe(name)
    assert recipe.task in TASK_NAMES
    if recipe.training is None:
        assert isinstance(recipe.policy_config, ScriptedConfig)
    else:
        algorithm = SupervisedConfig if isinstance(recipe.policy_config, ClassifierConfig) else ReinforceConfig
        assert type(recipe.training) is (PPOConfig if recipe.task == "catch" else algorithm)
    assert all(len(changes) == 1 for changes in recipe.generalization_envs)  # the figure shows one change at a time
    for changes in (recipe.augmentation, *recipe.generalization_envs, {}):
        envs = make_envs(recipe.env_id, recipe.env_kwargs | changes | blank_images(recipe.task), "train", 2)
        policy = make_policy(TaskSpec.from_env(envs), recipe.policy_config).eval()
        policy.check_env(envs)
        observation, _ = envs.reset(seed=0)
        action, _ = policy.act(observation, policy.initial_state(2))
        assert envs.action_space.contains(action)
    side = SIDES[recipe.task]
    assert envs.unwrapped.image[0].shape == (side, side)
    if isinstance(recipe.policy_config, ClassifierConfig) or recipe.env_kwargs.get("observe") == "screen":
        assert observation["glimpse"].shape == (2, 1, side, side)  # the whole image, from the center
        assert not observation["location"].any()


@every_recipe
def test_name_of_a_recipe_ends_in_its_task_or_is_an_ablation(name):
    recipe = load_recipe(name)
    assert name.startswith("ablation-") == (recipe.group == "ablations")
    assert name.startswith("ablation-") or name.endswith(f"-{recipe.task}")
    # No choice rests on the test split: ablations are not measured there.
    assert recipe.test == (recipe.group != "ablations")
    assert recipe.test or not recipe.generalization_envs
    assert not (recipe.augmentation.keys() | recipe.env_kwargs.keys()) & {"split", "images", "labels"}


def test_every_row_of_the_tables_has_a_recipe():
    names = recipe_names()
    assert names == sorted(names)
    kinds = ("ram", "paper-adam", "paper-sgd")
    assert {f"{kind}-{task}" for kind in kinds for task in PAPER} | {"ram-catch", "ram-center-mnist"} <= set(names)
    assert PAPER_BASELINES.keys() <= set(names)


@pytest.mark.parametrize("name", ["ram", "RAM-mnist", "", "../ram-mnist", "headline.ram-mnist", "sweeps", "zoom"])
def test_unknown_recipe_is_an_error_that_lists_all(name):
    with pytest.raises(ValueError, match=r"there is no recipe ") as caught:
        load_recipe(name)
    assert repr(name) in str(caught.value)
    assert set(recipe_names()) <= set(re.split(r"[ ,]+", str(caught.value)))


def test_changing_a_recipe_leaves_the_next_load_as_it_was():
    for _ in range(2):
        recipe = load_recipe("ram2-mnist")
        assert recipe.env_kwargs == {"num_glimpses": 2}
        recipe.env_kwargs["num_glimpses"] = 5
        recipe.augmentation.clear()
    assert load_recipe("ram-mnist").augmentation == {"rotation": [-12, 12], "zoom": [0.9, 1.1]}


@pytest.mark.parametrize("search", load_searches(RESULTS), ids=lambda search: search.name)
def test_recipe_has_the_values_of_the_best_trial_of_its_search(search):
    best = min(
        (trial for trial in search.trials if trial.outcome.validation_error is not None),
        key=lambda trial: trial.outcome.validation_error,
    )
    settings = load_recipe(search.name).settings
    assert {name: settings[name] for name in search.space} == best.values


def test_importing_recipes_loads_no_torch():
    program = (
        "import sys; from glimpse_gym.agents.experiments.recipes import *; "
        "[load_recipe(name) for name in recipe_names()]; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0


# -------------------------------------------------------------------------------------------------- ablations


@every_ablation
def test_label_of_an_ablation_has_every_setting_that_differs_from_its_base(name):
    recipe = load_recipe(name)
    base = load_recipe(recipe.base)
    differing = {
        key
        for mine, others in (
            (asdict(recipe.policy_config), asdict(base.policy_config)),
            (asdict(recipe.training), asdict(base.training)),
            (recipe.env_kwargs, base.env_kwargs),
        )
        for key in mine.keys() | others.keys()
        if mine.get(key) != others.get(key)
    }
    differing |= {"augmentation"} if recipe.augmentation != base.augmentation else set()
    differing -= {"num_evaluations"}  # changes nothing that is learned
    assert differing
    assert ablated_settings(name, recipe.settings).keys() == differing
    assert {key for key in recipe.settings if f"{key} = " in recipe.model} == differing
    assert (recipe.env_id, recipe.task) == (base.env_id, base.task)


def test_labels_of_ablations_in_words():
    labels = {
        "ablation-default": "default agent: ram-cluttered60 with num_episodes = 200,000, learning_rate = 0.009",
        "ablation-augmentation": "augmentation = rotation -12 to 12, zoom 0.9 to 1.1",
        "ablation-detached-location-network": "detach_location_network = true",
        "ablation-no-pathwise": "pathwise_max_norm = 0 (no pathwise gradient)",
        "ablation-no-reinforce": "reinforce_weight = 0 (no REINFORCE)",
        "ablation-small-reinforce-weight": "reinforce_weight = 0.3",
        "ablation-adam": "optimizer = adam, learning_rate = 0.004",
    }
    assert {name: load_recipe(name).model for name in labels} == labels


@every_ablation
def test_ablations_are_variations_of_the_default_in_one_setting(name):
    recipe = load_recipe(name)
    assert recipe.base == ("ram-cluttered60" if name == "ablation-default" else "ablation-default")
    changes = ablated_settings(name, recipe.settings)
    assert is_single_factor(name, recipe.settings) or changes.keys() == {"optimizer", "learning_rate"}


def test_settings_of_a_run_are_compared_with_the_recipe():
    recipe = load_recipe("ablation-lstm-core")
    assert matches_recipe(recipe.name, recipe.settings)
    assert matches_recipe("a-recipe-of-mine", recipe.settings)
    changed = recipe.settings | {"optimizer": "adam"}
    assert not matches_recipe(recipe.name, changed)
    assert not is_single_factor(recipe.name, changed)
    assert describe_ablation(recipe.name, changed) == "core = lstm, optimizer = adam"
    without = {key: value for key, value in recipe.settings.items() if key != "optimizer"}
    assert describe_ablation(recipe.name, without) == "core = lstm, optimizer = none"
    assert describe_ablation(recipe.name, load_recipe("ablation-default").settings) == "no change"
