"""SB3Agent against the models' own predict, through Stable-Baselines3's own wrappers."""

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode
from sb3_contrib import RecurrentPPO
from stable_baselines3 import DQN, PPO, SAC
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecFrameStack, VecNormalize

import oracles
from glimpse_gym.agents.sb3.agent import SB3Agent
from glimpse_gym.agents.sb3.features import glimpse_policy_kwargs

NUM_ENVS = 3
OWN = {"images": np.random.default_rng(0).integers(0, 256, (6, 20, 30), np.uint8), "labels": np.arange(6) % 3}
SMALL = {"units": 8, "location_units": 8, "features": 8}
IMAGES = {"actions": "discrete", "num_glimpses": 4, **OWN}


def native(env_kwargs, env_id="glimpse_gym/Images-v0", mode=AutoresetMode.SAME_STEP):
    return gym.make_vec(env_id, num_envs=NUM_ENVS, autoreset_mode=mode, **env_kwargs)


def sub_envs(env_kwargs, env_id="glimpse_gym/Images-v0"):
    """The same episodes as those of `native`, as an env of Stable-Baselines3."""
    envs = make_vec_env(env_id, n_envs=NUM_ENVS, env_kwargs=env_kwargs)
    envs.seed(0)
    return envs


def assert_same_actions(model, theirs, ours, num_steps=20):
    """Step both envs with the model's own actions, and compare those of the agent."""
    agent = SB3Agent(model)
    agent.check_env(ours)
    stacked, (observation, _) = theirs.reset(), ours.reset(seed=0)
    state, lstm, started = agent.initial_state(NUM_ENVS), None, np.ones(NUM_ENVS, bool)
    episodes = 0
    for _ in range(num_steps):
        expected, lstm = model.predict(stacked, lstm, started, deterministic=True)
        actions, state = agent.act(observation, state)
        oracles.assert_identical(actions, expected)
        stacked, _, started, _ = theirs.step(expected)
        observation, *_ = ours.step(actions)
        episodes += started.sum()
    assert episodes >= NUM_ENVS


@pytest.mark.parametrize("observations", ["dict", "flat"])
@pytest.mark.parametrize(("num_stack", "channels_order"), [(1, None), (3, None), (3, "first")])
def test_frames_are_stacked_as_by_vec_frame_stack(observations, num_stack, channels_order):
    env_kwargs = IMAGES | {"observations": observations}
    theirs = VecFrameStack(sub_envs(env_kwargs), num_stack, channels_order)
    policy = "MlpPolicy" if observations == "flat" else "MultiInputPolicy"
    policy_kwargs = {"net_arch": [16]} if observations == "flat" else glimpse_policy_kwargs(**SMALL)
    model = PPO(policy, theirs, n_steps=8, batch_size=8, policy_kwargs=policy_kwargs, seed=0, device="cpu")
    state = SB3Agent(model).initial_state(NUM_ENVS)
    oracles.assert_identical(state.frames, theirs.stacked_obs.reset(_zeros_like(theirs.venv.reset())))
    theirs.seed(0)
    assert_same_actions(model, theirs, native(env_kwargs))


def _zeros_like(observation):
    if isinstance(observation, dict):
        return {name: np.zeros_like(values) for name, values in observation.items()}
    return np.zeros_like(observation)


@pytest.mark.parametrize("num_stack", [1, 2])
def test_recurrent_state_is_kept_and_reset_as_by_predict(num_stack):
    theirs = VecFrameStack(sub_envs(IMAGES), num_stack)
    policy_kwargs = glimpse_policy_kwargs(**SMALL) | {"lstm_hidden_size": 8}
    model = RecurrentPPO("MultiInputLstmPolicy", theirs, n_steps=8, policy_kwargs=policy_kwargs, seed=0, device="cpu")
    assert_same_actions(model, theirs, native(IMAGES))


def test_recurrent_state_matters():
    model = RecurrentPPO("MultiInputLstmPolicy", sub_envs(IMAGES), n_steps=8, seed=0, device="cpu")
    agent = SB3Agent(model)
    observation, _ = native(IMAGES).reset(seed=0)
    _, state = agent.act(observation, agent.initial_state(NUM_ENVS))
    _, restarted = agent.act(observation, state)
    later = observation | {"time": np.full((NUM_ENVS, 1), 0.25, np.float32)}
    _, continued = agent.act(later, state)
    oracles.assert_identical(restarted.recurrent, state.recurrent)
    assert not np.array_equal(continued.recurrent[0], state.recurrent[0])


def test_rows_do_not_depend_on_the_memory_before_their_reset():
    theirs = VecFrameStack(sub_envs(IMAGES), 3)
    agent = SB3Agent(PPO("MultiInputPolicy", theirs, n_steps=8, batch_size=8, device="cpu"))
    observation, _ = native(IMAGES).reset(seed=0)
    observation["time"][1:] = 0.5
    _, state = agent.act(observation, agent.initial_state(NUM_ENVS))
    before = {name: values.copy() for name, values in state.frames.items()}
    _, after = agent.act(observation, state)
    oracles.assert_identical(state.frames, before)  # the old state is still good
    np.testing.assert_array_equal(after.frames["time"], [[0, 0, 0], [0, 0.5, 0.5], [0, 0.5, 0.5]])


def test_sampling_follows_the_seed_and_leaves_the_global_generator_alone():
    agent = SB3Agent(PPO("MultiInputPolicy", sub_envs(IMAGES), n_steps=8, batch_size=8, seed=0, device="cpu"))
    observation, _ = native(IMAGES).reset(seed=0)
    batch = {name: np.repeat(values, 50, axis=0) for name, values in observation.items()}

    def draw(number):
        state, actions = agent.initial_state(len(batch["time"])), []
        for _ in range(number):
            action, state = agent.act(batch, state, sample=True)
            actions.append(action)
        return actions

    before = torch.get_rng_state()
    agent.seed(1)
    first = draw(2)
    agent.seed(1)
    oracles.assert_identical(draw(2), first)
    assert not np.array_equal(first[0], first[1])
    agent.seed(2)
    assert not np.array_equal(draw(1)[0], first[0])
    assert torch.equal(torch.get_rng_state(), before)
    greedy, _ = agent.act(batch, agent.initial_state(len(batch["time"])))
    assert all(len(set(actions)) == 1 for actions in np.split(greedy, NUM_ENVS))


def test_dqn_does_not_explore():
    model = DQN("MultiInputPolicy", sub_envs(IMAGES), buffer_size=10, seed=0, device="cpu")
    agent = SB3Agent(model)
    assert model.exploration_rate == 0.0  # before training
    model.exploration_rate = 1.0
    observation, _ = native(IMAGES).reset(seed=0)
    state = agent.initial_state(NUM_ENVS)
    greedy, _ = agent.act(observation, state)
    for _ in range(5):
        oracles.assert_identical(agent.act(observation, state, sample=True)[0], greedy)


def test_actions_of_sac_belong_to_the_env():
    env_kwargs = IMAGES | {"actions": "continuous"}
    agent = SB3Agent(SAC("MultiInputPolicy", sub_envs(env_kwargs), buffer_size=10, seed=0, device="cpu"))
    envs = native(env_kwargs)
    agent.check_env(envs)
    observation, _ = envs.reset(seed=0)
    actions, _ = agent.act(observation, agent.initial_state(NUM_ENVS), sample=True)
    assert actions in envs.action_space


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"actions": "hybrid"}, r"the model's actions are Discrete\(28\), and the env's are Dict"),
        ({"labels": np.arange(6)}, r"the model's actions are Discrete\(28\), and the env's are Discrete\(31\)"),
        ({"observations": "flat"}, "of which they are no stack"),
        ({"patch_size": 8}, "of which they are no stack"),
        ({"num_scales": 4}, "of which they are no stack"),
    ],
)
def test_an_env_that_the_model_was_not_trained_on(changed, message):
    model = PPO("MultiInputPolicy", VecFrameStack(sub_envs(IMAGES), 2), n_steps=8, batch_size=8, device="cpu")
    with pytest.raises(ValueError, match=message):
        SB3Agent(model).check_env(native(IMAGES | changed))


def test_normalized_observations_are_refused():
    envs = sub_envs(IMAGES | {"observations": "flat"})
    model = PPO("MlpPolicy", VecNormalize(envs), n_steps=8, batch_size=8, device="cpu")
    with pytest.raises(ValueError, match="norm_obs=False"):
        SB3Agent(model)
    SB3Agent(PPO("MlpPolicy", VecNormalize(envs, norm_obs=False), n_steps=8, batch_size=8, device="cpu"))
