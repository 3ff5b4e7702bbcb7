"""Adding a world takes one file, here tests/toy_world.py, and one line, here in the fixture."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode, SyncVectorEnv

import oracles
from glimpse_gym.agents.checkpoint import load_agent
from glimpse_gym.agents.configs import PPOConfig, RAMConfig, ReinforceConfig
from glimpse_gym.agents.evaluation import EvalConditions, evaluate
from glimpse_gym.agents.registry import default_algorithm
from glimpse_gym.agents.scanpaths import save_pictures
from glimpse_gym.agents.trainer import Trainer
from glimpse_gym.bench.worlds import benchmarked_ids
from glimpse_gym.registration import WORLDS, describe_envs, document_envs, env_id, register_world

NAME = "toy/Side"
IDS = [env_id(NAME), env_id(NAME, "discrete"), env_id(NAME, "continuous")]
every_id = pytest.mark.parametrize("toy_id", IDS)


@pytest.fixture(autouse=True, scope="module")
def toy_world():
    register_world(NAME, "toy_world:Side", {"num_glimpses": 4})
    yield
    del WORLDS[NAME]
    for toy_id in IDS:
        del gym.registry[toy_id]


def test_ids():
    assert IDS == ["toy/Side-v0", "toy/SideDiscrete-v0", "toy/SideContinuous-v0"]
    assert set(IDS) <= set(gym.registry)


@every_id
def test_gymnasium_env_checker(toy_id):
    check_env(gym.make(toy_id).unwrapped)


@pytest.mark.parametrize("mode", list(AutoresetMode), ids=lambda mode: mode.name)
@pytest.mark.parametrize("observations", ["dict", "flat"])
@every_id
def test_vector_env_equals_sync_vector_env(toy_id, observations, mode):
    native = gym.make_vec(toy_id, num_envs=3, autoreset_mode=mode, observations=observations)
    theirs = SyncVectorEnv([lambda: gym.make(toy_id, observations=observations)] * 3, autoreset_mode=mode)
    native.action_space.seed(0)
    oracles.assert_identical(native.reset(seed=1), theirs.reset(seed=1))
    for _ in range(20):
        action = native.action_space.sample()
        results = native.step(action)
        oracles.assert_identical(results, theirs.step(action))
        if mode is AutoresetMode.DISABLED and results[2].any():
            mask = results[2]
            oracles.assert_identical(
                native.reset(options={"reset_mask": mask}), theirs.reset(options={"reset_mask": mask.copy()})
            )


@every_id
def test_render(toy_id):
    env = gym.make(toy_id, render_mode="rgb_array")
    env.action_space.seed(0)
    env.reset(seed=0)
    before = env.render()
    env.step(0 if "Discrete" in toy_id else env.action_space.sample())
    after = env.render()
    assert after.dtype == np.uint8
    assert after.shape == before.shape
    assert (after != before).any()


def test_policy_that_knows_the_side_scores_1():
    envs = gym.make_vec(IDS[0], num_envs=50, autoreset_mode="SameStep")
    observation, _ = envs.reset(seed=0)
    for _ in range(4):
        action = {"next_location": observation["location"], "side": envs.unwrapped.world.side}
        observation, reward, terminated, _, infos = envs.step(action)
    assert terminated.all()
    assert (reward == 1).all()
    assert infos["final_info"]["success"].all()


def test_descriptions_include_the_new_world():
    assert all(toy_id in describe_envs() for toy_id in IDS)
    assert "Say on which side the bright pixel is." in document_envs()


# ---------------------------------------------------------------- training, evaluation, checkpoints


@pytest.fixture(scope="module")
def trained(toy_world, tmp_path_factory):
    """Folder of a RAM trained by the default algorithm, which for a world without labels is PPO."""
    policy = RAMConfig(glimpse_network="fc", glimpse_units=32, location_units=16, glimpse_features=32, hidden_units=32)
    config = PPOConfig(num_episodes=24_000, batch_size=256, learning_rate=4e-3, num_evaluations=2)
    folder = tmp_path_factory.mktemp("runs") / "side"
    trainer = Trainer(folder, IDS[0], train_config=config, policy_config=policy)
    assert trainer.train(progress=False)
    return folder


def test_default_algorithm_is_ppo():
    assert default_algorithm(IDS[0]) == "ppo"


def test_reinforce_is_refused_without_labels(tmp_path):
    with pytest.raises(ValueError, match="learns from labels"):
        Trainer(tmp_path / "run", IDS[0], train_config=ReinforceConfig(num_episodes=10, batch_size=10))


def test_trained_agent_is_loaded_and_evaluated(trained):
    agent, metadata = load_agent(trained)
    score = evaluate(agent, metadata.env_id, metadata.env_kwargs, EvalConditions("test"), num_episodes=1000)
    assert score.errors[0] < 0.1  # chance is 0.5
    assert score.num_episodes == 1000


def test_pictures_of_the_trained_agent(trained, tmp_path):
    agent, metadata = load_agent(trained)
    paths = save_pictures(tmp_path, agent, metadata, "test", seed=0)
    assert all(path.stat().st_size > 0 for path in paths)


def test_benchmark_includes_the_new_world():
    assert IDS[0] in benchmarked_ids()
