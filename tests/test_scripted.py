"""Players of Catch that learn nothing."""

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode

from glimpse_gym.agents.base import Task
from glimpse_gym.agents.checkpoint import Card, load_agent, save_agent
from glimpse_gym.agents.evaluation import Conditions, evaluate
from glimpse_gym.agents.scripted import Scripted, ScriptedConfig

CATCH = "glimpse_gym/Catch-v0"


def make_envs(number: int = 50, **kwargs):
    return gym.make_vec(CATCH, num_envs=number, autoreset_mode=AutoresetMode.DISABLED, **kwargs)


def player(name: str, **kwargs) -> Scripted:
    return Scripted(Task.of(make_envs(1, **kwargs)), ScriptedConfig(name))


def test_the_landing_column_is_where_the_ball_lands():
    envs = make_envs(500)
    envs.reset(seed=0)
    world = envs.unwrapped.world
    foretold = []
    for _ in range(23):
        foretold.append(world.landing_column)
        envs.step(envs.action_space.sample())
    np.testing.assert_array_equal(foretold, np.broadcast_to(world.column, (23, 500)))


def test_who_knows_the_landing_column_catches_every_ball():
    assert evaluate(player("oracle"), CATCH, {}, Conditions(), num_episodes=2000).errors == [0.0]


def test_who_follows_the_ball_does_better_than_chance_and_worse_than_who_knows():
    chaser = player("chaser", observe="screen")
    missed = evaluate(chaser, CATCH, {"observe": "screen"}, Conditions(), num_episodes=5000).errors[0]
    chance = evaluate(player("random"), CATCH, {}, Conditions(), num_episodes=5000).errors[0]
    assert 0.1 < missed < 0.7 < 0.88 < chance < 0.95


def test_the_chaser_goes_where_the_ball_is():
    screens = np.zeros((4, 1, 5, 5), np.float32)
    screens[:, 0, 4, 1:3] = 1.0  # the paddle
    for row, column in enumerate((0, 1, 2, 4)):
        screens[row, 0, row, column] = 1.0
    observation = {"glimpse": screens, "time": np.zeros((4, 1), np.float32)}
    action, _ = player("chaser", observe="screen").act(observation, None)
    assert action["move"].tolist() == [0, 1, 1, 2]
    assert not action["location"].any()


def test_random_moves_are_uniform_and_seeded():
    observation = {"glimpse": np.zeros((3000, 3, 6, 6), np.float32), "time": np.zeros((3000, 1), np.float32)}
    agent = player("random")
    agent.seed(7)
    first, _ = agent.act(observation, None)
    second, _ = agent.act(observation, None)
    agent.seed(7)
    again, _ = agent.act(observation, None)
    np.testing.assert_array_equal(first["move"], again["move"])
    assert (first["move"] != second["move"]).any()
    assert np.bincount(first["move"]) == pytest.approx([1000] * 3, abs=120)


def test_what_they_refuse():
    with pytest.raises(ValueError, match="player must be one of 'random', 'chaser', 'oracle'; got 'cheat'"):
        ScriptedConfig("cheat")
    images = gym.make_vec("glimpse_gym/Images-v0", num_envs=1, images=np.zeros((2, 8, 8), np.uint8), labels=[0, 1])
    with pytest.raises(ValueError, match="scripted players play Catch"):
        Scripted(Task.of(images))
    with pytest.raises(ValueError, match="observe='screen'"):
        player("chaser").check_env(make_envs(1))
    with pytest.raises(ValueError, match="check_env"):
        player("oracle").act({"glimpse": np.zeros((1, 3, 6, 6)), "time": np.zeros((1, 1))}, None)


def test_a_player_without_weights_is_saved_and_loaded_as_others_are(tmp_path):
    agent = player("random")
    save_agent(tmp_path, agent, Card(CATCH, {}, agent.config, agent.task))
    loaded, card = load_agent(tmp_path)
    assert (loaded.config, card.task) == (agent.config, agent.task)
    assert not list(loaded.parameters())
    assert torch.equal(loaded.generator.get_state(), torch.Generator().get_state())
