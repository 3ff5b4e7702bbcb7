"""GlimpseExtractor and the policy settings."""

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecFrameStack

from glimpse_gym.agents.sb3.features import GlimpseExtractor, glimpse_policy_kwargs

CATCH = "glimpse_gym/CatchDiscrete-v0"
GAINS = {"num_scales": 3, "scale_gain": 4.0}


def to_tensors(observation):
    return {name: torch.as_tensor(values) for name, values in observation.items()}


def test_features_are_the_glimpse_network_and_the_time():
    envs = gym.make_vec(CATCH, num_envs=5)
    extractor = GlimpseExtractor(envs.single_observation_space, **GAINS, features=7)
    envs.reset(seed=0)
    observation = to_tensors(envs.step(np.arange(5))[0])
    features = extractor(observation)
    assert extractor.features_dim == 8
    expected = extractor.network(observation["glimpse"], observation["location"])
    assert torch.equal(features, torch.cat([expected, observation["time"]], dim=1))


def test_what_and_where_both_matter():
    space = gym.make(CATCH).observation_space
    extractor = GlimpseExtractor(space, **GAINS)
    base = {name: torch.zeros(1, *part.shape) for name, part in space.items()}
    features = {"base": extractor(base)}
    for name in base:
        features[name] = extractor(base | {name: torch.full_like(base[name], 0.5)})
        assert not torch.equal(features[name], features["base"])
    assert torch.equal(features["time"][:, :-1], features["base"][:, :-1])  # the time passes unchanged
    assert features["time"][0, -1] == 0.5


def test_a_pixel_is_equally_bright_at_all_scales():
    space = gym.make(CATCH).observation_space
    gains = GlimpseExtractor(space, **GAINS).network.gains.flatten()
    np.testing.assert_array_equal(gains, [1, 4, 16])
    glimpse = torch.zeros(1, 3, 6, 6)
    glimpse[0, :, 2, 2] = torch.tensor([1, 1 / 4, 1 / 16])  # a pixel is averaged over 1, 4 and 16 pixels
    np.testing.assert_array_equal((glimpse[0] * gains[:, None, None])[:, 2, 2], [1, 1, 1])


@pytest.mark.parametrize("encoder", ["fc", "conv"])
@pytest.mark.parametrize("channels_order", [None, "first"])
def test_every_frame_of_a_stack_goes_through_the_same_network(channels_order, encoder):
    envs = VecFrameStack(make_vec_env(CATCH, n_envs=2, seed=0), 3, channels_order)
    extractor = GlimpseExtractor(envs.observation_space, **GAINS, encoder=encoder, features=5)
    assert extractor.num_frames == 3
    stacked = envs.reset()
    frames = [_newest(stacked)]
    for action in (3, 60):
        stacked, *_ = envs.step(np.full(2, action))
        frames.append(_newest(stacked))
    features = extractor(to_tensors(stacked))
    expected = [extractor.network(frame["glimpse"], frame["location"]) for frame in map(to_tensors, frames)]
    torch.testing.assert_close(features[:, :-1], torch.cat(expected, dim=1))
    np.testing.assert_array_equal(features[:, -1].detach(), np.full(2, np.float32(2 / 23)))


def _newest(stacked):
    """The newest frame, however the stack is laid out."""
    return {
        "glimpse": stacked["glimpse"][:, -3:, :, -6:].copy(),
        "location": stacked["location"][:, -2:].copy(),
        "time": stacked["time"][:, -1:].copy(),
    }


def test_policy_kwargs_reach_the_policy():
    envs = make_vec_env(CATCH, n_envs=2)
    policy_kwargs = glimpse_policy_kwargs(**GAINS, units=9, net_arch=[11])
    policy = PPO("MultiInputPolicy", envs, policy_kwargs=policy_kwargs, device="cpu").policy
    extractor = policy.features_extractor
    assert isinstance(extractor, GlimpseExtractor)
    assert (extractor.network.what.out_features, policy.action_net.in_features) == (9, 11)
    assert extractor.network.has_gains
    assert any(isinstance(module, torch.nn.ReLU) for module in policy.mlp_extractor.modules())


def test_first_gaussian_locations_are_rarely_clipped():
    envs = make_vec_env("glimpse_gym/Catch-v0", n_envs=2, env_kwargs={"actions": "continuous"})
    clipped = {}
    for gaussian in (False, True):
        policy_kwargs = glimpse_policy_kwargs(**GAINS, gaussian=gaussian)
        policy = PPO("MultiInputPolicy", envs, policy_kwargs=policy_kwargs, seed=0, device="cpu").policy
        batch = {name: np.repeat(values, 200, axis=0) for name, values in envs.reset().items()}
        locations = policy.predict(batch)[0][:, :2]
        clipped[gaussian] = (np.abs(locations) == 1).any(axis=1).mean()
    assert clipped[True] < 0.01 < 0.3 < clipped[False]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"encoder": "cnn"}, "encoder"),
        ({"num_scales": 2}, "num_scales must divide the 3 channels of a glimpse, got 2"),
        ({"num_scales": 0}, "num_scales"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        GlimpseExtractor(gym.make(CATCH).observation_space, **arguments)


@pytest.mark.parametrize("space", [spaces.Box(0, 1, (5,)), spaces.Dict({"glimpse": spaces.Box(0, 1, (1, 8, 8))})])
def test_observations_of_another_kind(space):
    with pytest.raises(ValueError, match="make the env with observations='dict'"):
        GlimpseExtractor(space)
