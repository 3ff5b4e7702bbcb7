"""Loading agents by name or folder, and the agents that ship with the package."""

from pathlib import Path

import pytest

import glimpse_gym.agents
import oracles
from glimpse_gym.agents import pretrained
from glimpse_gym.agents.base import TaskSpec
from glimpse_gym.agents.checkpoint import CheckpointError, CheckpointMetadata, load_agent, load_metadata, save_agent
from glimpse_gym.agents.configs import RAMConfig
from glimpse_gym.agents.evaluation import EvalConditions, evaluate
from glimpse_gym.agents.experiments.recipes import load_recipe
from glimpse_gym.agents.experiments.result_files import load_results
from glimpse_gym.agents.experiments.table_cells import RAM_RECIPES, TASK_NAMES
from glimpse_gym.agents.ram import RAM
from glimpse_gym.agents.task_envs import make_envs
from glimpse_gym.provenance import describe_requests

CATCH = "glimpse_gym/Catch-v0"
RESULTS = Path(__file__).parent.parent / "results"
SMALL = {"glimpse_network": "fc", "glimpse_units": 8, "location_units": 8, "glimpse_features": 16, "hidden_units": 16}


@pytest.fixture
def saved(tmp_path):
    """An untrained agent's folder, the agent and its metadata."""
    policy = RAM(TaskSpec.from_env(make_envs(CATCH, {}, "test", 1)), RAMConfig(**SMALL))
    metadata = CheckpointMetadata(CATCH, {}, policy.config, policy.task_spec)
    save_agent(tmp_path / "saved", policy, metadata)
    return tmp_path / "saved", policy, metadata


def test_unknown_agent_is_an_error_that_lists_the_pretrained_ones(no_agents, saved, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match=r"no folder is called nobody; pretrained agents: none$"):
        glimpse_gym.agents.load("nobody")
    for name in ("ram-two", "ram-one"):
        save_agent(no_agents / name, *saved[1:])
    (no_agents / "no-agent").mkdir()
    with pytest.raises(CheckpointError, match=r"is called nobody; pretrained agents: ram-one, ram-two$"):
        glimpse_gym.agents.load("nobody")
    with pytest.raises(CheckpointError, match="pretrained agents: ram-one, ram-two"):
        glimpse_gym.agents.load(no_agents / "ram-one" / "agent.json")  # a file, not a folder


def test_name_or_folder_gives_an_agent_ready_to_act(no_agents, saved, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder, policy, metadata = saved
    save_agent(no_agents / "ram-one", policy, metadata)
    for name_or_path in ("ram-one", str(folder), folder):
        loaded = glimpse_gym.agents.load(name_or_path)
        assert not loaded.training
        for name, weight in policy.state_dict().items():
            oracles.assert_identical(loaded.state_dict()[name].numpy(), weight.numpy())
    # A name is that of a pretrained agent, even if there is a folder of that name; a path is a path.
    (tmp_path / "ram-one").mkdir()
    glimpse_gym.agents.load("ram-one")
    with pytest.raises(CheckpointError, match="holds no agent"):
        glimpse_gym.agents.load("./ram-one")


def test_only_folders_of_pretrained_agents_are_pretrained(no_agents, saved, tmp_path):
    save_agent(no_agents / "ram-one", *saved[1:])
    assert pretrained.is_pretrained(pretrained.agent_folder("ram-one"))
    for folder in (saved[0], no_agents, no_agents / "ram-one" / "copy", tmp_path / "other" / "ram-one"):
        assert not pretrained.is_pretrained(folder)


@pytest.mark.parametrize("name", pretrained.pretrained_names())
def test_pretrained_agent_asks_for_nothing_but_its_data_set(name):
    metadata = load_metadata(pretrained.PRETRAINED / name)
    requests = describe_requests(metadata.env_id, metadata.env_kwargs)
    assert not [request for request in requests if not request.startswith("download the data set mnist")]


def test_pretrained_agents_are_one_of_each_task_and_small():
    names = pretrained.pretrained_names()
    files = [path for path in pretrained.PRETRAINED.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 15e6
    assert sorted(load_recipe(name).task for name in names) == sorted(TASK_NAMES)
    assert {path.parent.name for path in files} == set(names)
    assert {path.name for path in files} == {"agent.json", "weights.safetensors", "README.md"}


@pytest.mark.parametrize("name", pretrained.pretrained_names())
def test_pretrained_agent_performs_well_in_the_env_of_its_recipe(name):
    policy, metadata = load_agent(pretrained.PRETRAINED / name)
    recipe = load_recipe(metadata.command.split()[2])  # glimpse-gym reproduce RECIPE ...
    expected = (recipe.env_id, recipe.env_kwargs, recipe.policy_config)
    assert (metadata.env_id, metadata.env_kwargs, metadata.policy_config) == expected
    envs = make_envs(metadata.env_id, metadata.env_kwargs, "validation", 3)
    policy.check_env(envs)
    observation, _ = envs.reset(seed=0)
    action, _ = glimpse_gym.agents.load(name).act(observation, policy.initial_state(3))
    assert envs.action_space.contains(action)
    score = evaluate(policy, metadata.env_id, metadata.env_kwargs, EvalConditions(), num_episodes=500)
    assert score.errors[-1] < 0.3
    assert any(score["split"] == "test" for score in metadata.scores)


@pytest.mark.parametrize("name", pretrained.pretrained_names())
def test_pretrained_agent_is_that_of_a_result_with_the_lowest_validation_error(name):
    metadata, task = load_metadata(pretrained.PRETRAINED / name), load_recipe(name).task
    recipes = [f"{prefix}-{task}" for prefix in RAM_RECIPES]
    errors = {}
    for result in load_results(RESULTS):
        if result.recipe in recipes:
            command = f"glimpse-gym reproduce {result.recipe} --seed {result.seed}"
            errors[command] = result, result.errors(split="validation")[-1]
    result, error = errors[metadata.command]
    assert (result.training, result.scores) == (metadata.training, metadata.scores)
    lowest = min(error for _, error in errors.values())
    assert error <= lowest + (lowest * (1 - lowest) / 10_000) ** 0.5  # one standard error
