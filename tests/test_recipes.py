"""Recipes: every file of them."""

import dataclasses
import json
import re

import numpy as np
import pytest

from glimpse_gym.agents.base import Task
from glimpse_gym.agents.classifier import ClassifierConfig
from glimpse_gym.agents.evaluation import make_envs
from glimpse_gym.agents.experiments import recipes
from glimpse_gym.agents.experiments.literature import PAPER, PAPER_CONTROLS
from glimpse_gym.agents.experiments.recipes import load_recipe, recipe_names
from glimpse_gym.agents.experiments.tables import TASK_NAMES
from glimpse_gym.agents.learner import ImageTrainConfig
from glimpse_gym.agents.ppo import GameTrainConfig
from glimpse_gym.agents.registry import kind_of, make_agent
from glimpse_gym.agents.scripted import ScriptedConfig

SIDES = {"mnist": 28, "translated60": 60, "cluttered60": 60, "cluttered100": 100, "catch": 24}

every_recipe = pytest.mark.parametrize("name", recipe_names())


def blank(task):
    """Images of the digits' size in the place of the real ones."""
    if task == "catch":
        return {}
    return {"images": np.zeros((20, 28, 28), np.uint8), "labels": np.arange(20) % 10}


@every_recipe
def test_a_recipe_is_what_its_file_says(name):
    entries = json.loads(recipes._FOLDER.joinpath(f"{name}.json").read_text())
    optional = {"final", "elsewhere"}
    assert entries.keys() - optional == {
        *("task", "model", "env_id", "env_kwargs", "augmentation", "agent", "config", "training")
    }
    recipe = load_recipe(name)
    assert recipe.name == name
    for key in ("task", "model", "env_id", "env_kwargs", "augmentation"):
        assert getattr(recipe, key) == entries[key]
    assert recipe.final == entries.get("final", True)
    assert list(recipe.elsewhere) == entries.get("elsewhere", [])
    assert kind_of(recipe.config) == entries["agent"]
    for part in ("config", "training"):
        values = getattr(recipe, part) and dataclasses.asdict(getattr(recipe, part))
        if values is None:  # nothing is trained
            assert entries[part] is None
            continue
        assert values == dataclasses.asdict(type(getattr(recipe, part))()) | entries[part]


@every_recipe
def test_the_env_of_a_recipe_can_be_made_and_acted_in(name):
    recipe = load_recipe(name)
    assert recipe.task in TASK_NAMES
    if recipe.training is None:
        assert isinstance(recipe.config, ScriptedConfig)
    else:
        assert isinstance(recipe.training, GameTrainConfig if recipe.task == "catch" else ImageTrainConfig)
    assert all(len(changes) == 1 for changes in recipe.elsewhere)  # which is what its figure can show
    for changes in (recipe.augmentation, *recipe.elsewhere, {}):
        envs = make_envs(recipe.env_id, recipe.env_kwargs | changes | blank(recipe.task), "train", 2)
        agent = make_agent(Task.of(envs), recipe.config).eval()
        agent.check_env(envs)
        observation, _ = envs.reset(seed=0)
        action, _ = agent.act(observation, agent.initial_state(2))
        assert envs.action_space.contains(action)
    side = SIDES[recipe.task]
    assert envs.unwrapped.image[0].shape == (side, side)
    if isinstance(recipe.config, ClassifierConfig) or recipe.env_kwargs.get("observe") == "screen":
        assert observation["glimpse"].shape == (2, 1, side, side)  # all there is to see, from the center
        assert not observation["location"].any()


@every_recipe
def test_the_name_of_a_recipe_tells_its_task(name):
    recipe = load_recipe(name)
    assert name.startswith("ablation-") or name.endswith(f"-{recipe.task}")
    # No choice rests on the test split: what was tried on the way is not measured there.
    assert recipe.final == (not name.startswith("ablation-"))
    assert not (recipe.augmentation.keys() | recipe.env_kwargs.keys()) & {"split", "images", "labels"}


def test_there_is_a_recipe_for_every_row_of_the_tables():
    names = recipe_names()
    assert names == sorted(names)
    assert {f"{kind}-{task}" for kind in ("ram", "paper") for task in PAPER} | {"ram-catch"} <= set(names)
    assert PAPER_CONTROLS.keys() <= set(names)


@pytest.mark.parametrize("name", ["ram", "RAM-mnist", "", "../recipes/ram-mnist", "ram-mnist.json"])
def test_an_unknown_recipe_is_answered_with_a_list(name):
    with pytest.raises(ValueError, match=r"there is no recipe ") as caught:
        load_recipe(name)
    assert repr(name) in str(caught.value)
    assert set(recipe_names()) <= set(re.split(r"[ ,]+", str(caught.value)))
