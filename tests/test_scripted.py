"""Scripted players of Catch."""

import numpy as np
import pytest
import torch

from glimpse_gym.agents.base import TaskSpec
from glimpse_gym.agents.checkpoint import CheckpointMetadata, load_agent, save_agent
from glimpse_gym.agents.configs import ScriptedConfig
from glimpse_gym.agents.evaluation import EvalConditions, evaluate
from glimpse_gym.agents.scripted import ScriptedPlayer
from runs import CATCH, make_envs, noise_images


def make_player(name: str, **env_kwargs) -> ScriptedPlayer:
    return ScriptedPlayer(TaskSpec.from_env(make_envs(CATCH, 1, **env_kwargs)), ScriptedConfig(name))


def test_landing_column_is_known_from_the_start():
    envs = make_envs(CATCH, 500)
    envs.reset(seed=0)
    world = envs.unwrapped.world
    predicted = []
    for _ in range(23):
        predicted.append(world.landing_column)
        envs.step(envs.action_space.sample())
    np.testing.assert_array_equal(predicted, np.broadcast_to(world.column, (23, 500)))


def test_oracle_catches_every_ball():
    assert evaluate(make_player("oracle"), CATCH, {}, EvalConditions(), num_episodes=2000).errors == [0.0]


def test_chaser_is_better_than_random_and_worse_than_the_oracle():
    chaser = make_player("chaser", observe="screen")
    missed = evaluate(chaser, CATCH, {"observe": "screen"}, EvalConditions(), num_episodes=5000).errors[0]
    by_chance = evaluate(make_player("random"), CATCH, {}, EvalConditions(), num_episodes=5000).errors[0]
    assert 0.1 < missed < 0.7 < 0.88 < by_chance < 0.95


def test_chaser_moves_toward_the_ball():
    screens = np.zeros((4, 1, 5, 5), np.float32)
    screens[:, 0, 4, 1:3] = 1.0  # the paddle
    for row, column in enumerate((0, 1, 2, 4)):
        screens[row, 0, row, column] = 1.0
    observation = {"glimpse": screens, "time": np.zeros((4, 1), np.float32)}
    action, _ = make_player("chaser", observe="screen").act(observation, None)
    assert action["move"].tolist() == [0, 1, 1, 2]
    assert not action["next_location"].any()


@pytest.mark.parametrize(("name", "env_kwargs"), [("random", {}), ("chaser", {"observe": "screen"}), ("oracle", {})])
def test_actions_belong_to_the_space(name, env_kwargs):
    envs = make_envs(CATCH, 5, **env_kwargs)
    player = make_player(name, **env_kwargs)
    player.check_env(envs)
    observation, _ = envs.reset(seed=0)
    action, state = player.act(observation, player.initial_state(5))
    assert envs.action_space.contains(action)
    assert state is None


def test_random_moves_are_uniform_and_seeded():
    observation = {"glimpse": np.zeros((3000, 3, 6, 6), np.float32), "time": np.zeros((3000, 1), np.float32)}
    player = make_player("random")
    player.seed(7)
    first, _ = player.act(observation, None)
    second, _ = player.act(observation, None)
    player.seed(7)
    again, _ = player.act(observation, None)
    np.testing.assert_array_equal(first["move"], again["move"])
    assert (first["move"] != second["move"]).any()
    assert np.bincount(first["move"]) == pytest.approx([1000] * 3, abs=120)


def test_classification_is_refused():
    task_spec = TaskSpec.from_env(make_envs(**noise_images()))
    with pytest.raises(ValueError, match=r"scripted players play Catch; this is a task of glimpses .* 4 labels"):
        ScriptedPlayer(task_spec)


def test_chaser_needs_the_whole_screen():
    with pytest.raises(ValueError, match="observe='screen'"):
        make_player("chaser").check_env(make_envs(CATCH, 1))


def test_oracle_needs_check_env_first():
    with pytest.raises(ValueError, match="check_env"):
        make_player("oracle").act({"glimpse": np.zeros((1, 3, 6, 6)), "time": np.zeros((1, 1))}, None)


def test_player_without_weights_is_saved_and_loaded_like_other_policies(tmp_path):
    player = make_player("random")
    save_agent(tmp_path, player, CheckpointMetadata(CATCH, {}, player.config, player.task_spec))
    loaded, metadata = load_agent(tmp_path)
    assert (loaded.config, metadata.task_spec) == (player.config, player.task_spec)
    assert not list(loaded.parameters())
    assert torch.equal(loaded.generator.get_state(), torch.Generator().get_state())
