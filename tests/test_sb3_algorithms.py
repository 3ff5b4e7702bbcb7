"""Algorithms and wrappers of Stable-Baselines3 and sb3-contrib, off the shelf: a few steps of training, unmodified."""

import gymnasium as gym
import numpy as np
import pytest
import sb3_contrib
import stable_baselines3
from stable_baselines3.common.env_checker import check_env
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import SubprocVecEnv, VecFrameStack, VecMonitor, VecNormalize

from glimpse_gym import ENV_IDS
from glimpse_gym.agents.sb3.features import glimpse_policy_kwargs
from glimpse_gym.agents.sb3.vec_env import to_sb3

OWN = {"images": np.random.default_rng(0).integers(0, 256, (6, 20, 30), np.uint8), "labels": np.arange(6) % 3}
SMALL = {"units": 8, "location_units": 8, "features": 8, "net_arch": [8]}
ON_POLICY = {"n_steps": 8}
OFF_POLICY = {"buffer_size": 100, "learning_starts": 4, "batch_size": 8}
DISCRETE, CONTINUOUS, FLAT = "Discrete", "Continuous", {"observations": "flat"}

ALGORITHMS = {
    "PPO": ("MultiInputPolicy", DISCRETE, ON_POLICY | {"batch_size": 16}),
    "A2C": ("MultiInputPolicy", DISCRETE, ON_POLICY),
    "DQN": ("MultiInputPolicy", DISCRETE, OFF_POLICY),
    "QRDQN": ("MultiInputPolicy", DISCRETE, OFF_POLICY),
    "RecurrentPPO": ("MultiInputLstmPolicy", DISCRETE, ON_POLICY | {"batch_size": 16}),
    "MaskablePPO": ("MultiInputPolicy", DISCRETE, ON_POLICY | {"batch_size": 16}),
    "SAC": ("MultiInputPolicy", CONTINUOUS, OFF_POLICY),
    "TD3": ("MultiInputPolicy", CONTINUOUS, OFF_POLICY),
}
"""Policy, action form and settings of each."""


def keywords(env_id):
    return OWN if "/Images" in env_id else {}


def make_model(name, envs, policy=None, **kwargs):
    default_policy, _, settings = ALGORITHMS[name]
    algorithm = getattr(stable_baselines3, name, None) or getattr(sb3_contrib, name)
    return algorithm(policy or default_policy, envs, seed=0, device="cpu", **settings | kwargs)


def parameters(model):
    return {name: values.clone() for name, values in model.policy.state_dict().items()}


def assert_learns(model, num_steps, part=""):
    """Train, and fail unless a parameter with this part in its name has changed."""
    before = parameters(model)
    model.learn(num_steps)
    assert any(part in name and not values.equal(before[name]) for name, values in parameters(model).items())


@pytest.mark.parametrize("extractor", ["CombinedExtractor", "GlimpseExtractor"])
@pytest.mark.parametrize("world", ["Images", "Catch"])
@pytest.mark.parametrize("name", ALGORITHMS)
def test_algorithms(name, world, extractor):
    env_id = f"glimpse_gym/{world}{ALGORITHMS[name][1]}-v0"
    envs = make_vec_env(env_id, n_envs=2, seed=0, env_kwargs=keywords(env_id))
    if extractor == "GlimpseExtractor":
        model = make_model(name, envs, policy_kwargs=glimpse_policy_kwargs(**SMALL))
        assert_learns(model, 32, "features_extractor")
    else:
        model = make_model(name, envs)
        assert_learns(model, 32)
    returns, lengths = evaluate_policy(model, envs, n_eval_episodes=3, return_episode_rewards=True)
    assert set(returns) <= {0.0, 1.0}
    assert max(lengths) <= envs.get_attr("metadata")[0]["num_glimpses"]


def test_an_id_is_enough():
    settings = ON_POLICY | {"n_epochs": 1, "batch_size": 8, "device": "cpu"}
    model = stable_baselines3.PPO("MultiInputPolicy", "glimpse_gym/CatchDiscrete-v0", **settings)
    assert model.learn(8).num_timesteps == 8


@pytest.mark.parametrize("actions", ["discrete", "multidiscrete", "continuous"])
def test_flat_observations(actions):
    envs = make_vec_env("glimpse_gym/Catch-v0", n_envs=2, env_kwargs=FLAT | {"actions": actions})
    assert_learns(make_model("PPO", envs, "MlpPolicy"), 16)


def test_gaussian_ppo_on_the_continuous_form():
    envs = make_vec_env("glimpse_gym/CatchContinuous-v0", n_envs=2)
    model = make_model("PPO", envs, policy_kwargs=glimpse_policy_kwargs(**SMALL, gaussian=True))
    assert_learns(model, 32, "log_std")


@pytest.mark.filterwarnings("ignore::UserWarning")  # a float image of less than 36 x 36 is no input of CnnPolicy
@pytest.mark.parametrize("env_id", [env_id for env_id in ENV_IDS if DISCRETE in env_id or CONTINUOUS in env_id])
def test_envs_pass_the_check_of_stable_baselines3(env_id):
    check_env(gym.make(env_id, **keywords(env_id)))


def test_dict_actions_are_refused():
    with pytest.raises(AssertionError, match=r"Dict.* was provided"):
        make_model("PPO", make_vec_env("glimpse_gym/Catch-v0", n_envs=2))


# ---------------------------------------------------------------- wrappers of Stable-Baselines3


@pytest.mark.parametrize("name", ["PPO", "DQN", "RecurrentPPO", "SAC"])
def test_stacked_frames(name):
    env_id = f"glimpse_gym/Catch{ALGORITHMS[name][1]}-v0"
    envs = VecFrameStack(make_vec_env(env_id, n_envs=2, seed=0), 3)
    model = make_model(name, envs, policy_kwargs=glimpse_policy_kwargs(**SMALL))
    assert_learns(model, 32, "features_extractor")
    assert model.observation_space["location"].shape == (6,)
    assert len(model.predict(envs.reset())[0]) == 2


@pytest.mark.parametrize("observations", ["dict", "flat"])
def test_normalized_observations_and_rewards(observations):
    envs = make_vec_env("glimpse_gym/CatchDiscrete-v0", n_envs=2, env_kwargs={"observations": observations})
    envs = VecNormalize(envs)
    model = make_model("PPO", envs, "MlpPolicy" if observations == "flat" else None).learn(64)
    mean = envs.obs_rms.mean if observations == "flat" else envs.obs_rms["time"].mean
    assert mean[-1] > 0.1
    returns, _ = evaluate_policy(model, envs, n_eval_episodes=2, return_episode_rewards=True)
    assert set(returns) <= {0.0, 1.0}


def test_monitored_native_env():
    envs = gym.make_vec("glimpse_gym/CatchDiscrete-v0", num_envs=3, autoreset_mode="SameStep")
    model = make_model("PPO", VecMonitor(to_sb3(envs)), batch_size=24).learn(72)
    assert {info["l"] for info in model.ep_info_buffer} == {23}


def test_sub_processes():
    processes = {"start_method": "fork"}
    make = {"n_envs": 2, "seed": 0}
    envs = make_vec_env("glimpse_gym/CatchDiscrete-v0", **make, vec_env_cls=SubprocVecEnv, vec_env_kwargs=processes)
    local = make_vec_env("glimpse_gym/CatchDiscrete-v0", **make)
    try:
        for a, b in zip(envs.reset().items(), local.reset().items(), strict=True):
            np.testing.assert_array_equal(a[1], b[1])
        model = make_model("PPO", envs).learn(32)
        assert all(map(np.array_equal, envs.env_method("action_masks"), [np.ones(75, bool)] * 2))
        assert evaluate_policy(model, envs, n_eval_episodes=2)[0] <= 1
    finally:
        envs.close()


def test_masked_actions_are_never_taken():
    """At the last step looking is masked, and MaskablePPO always names an image then."""
    kwargs = {"actions": "discrete", "num_glimpses": 2, **OWN}
    envs = make_vec_env("glimpse_gym/Images-v0", n_envs=4, seed=0, env_kwargs=kwargs)
    model = make_model("MaskablePPO", envs)
    observation, names = envs.reset(), []
    for _ in range(20):
        masks = np.stack(envs.env_method("action_masks"))
        assert (masks.dtype, masks.shape) == (np.bool_, (4, 28))
        last = observation["time"][:, 0] == 0.5
        np.testing.assert_array_equal(masks.sum(axis=1), np.where(last, 3, 28))
        actions, _ = model.predict(observation, action_masks=masks)
        names += (actions[last] >= 25).tolist()
        observation, *_ = envs.step(actions)
    assert len(names) > 10
    assert all(names)
