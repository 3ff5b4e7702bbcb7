"""Requirements of other libraries, checked without them."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import VectorEnv
from gymnasium.wrappers import FlattenObservation, FrameStackObservation, NormalizeObservation
from gymnasium.wrappers.vector import NormalizeObservation as VectorNormalizeObservation
from gymnasium.wrappers.vector import RecordEpisodeStatistics

import oracles
from glimpse_gym import ENV_IDS

OWN = {"images": np.random.default_rng(0).integers(0, 256, (6, 20, 30), np.uint8), "labels": np.arange(6) % 3}
every_id = pytest.mark.parametrize("env_id", ENV_IDS)


def keywords(env_id):
    return OWN if "/Images" in env_id else {}


# ---------------------------------------------------------------- TorchRL


@every_id
def test_torchrl_observations_and_actions_share_no_names(env_id):
    env = gym.make(env_id, **keywords(env_id))
    if isinstance(env.action_space, gym.spaces.Dict):
        assert not set(env.observation_space) & set(env.action_space)


@every_id
def test_torchrl_recognizes_the_error_of_an_unknown_keyword_argument(env_id):
    # TorchRL's GymEnv tries every env with frameskip=, and drops the argument if it finds these words in the error.
    with pytest.raises(TypeError, match="unexpected keyword argument 'frameskip'"):
        gym.make(env_id, **keywords(env_id), frameskip=1)


# ---------------------------------------------------------------- Minari


@every_id
def test_minari_info_always_has_the_same_keys_and_types(env_id):
    env = gym.make(env_id, **keywords(env_id))
    env.action_space.seed(0)
    _, info = env.reset(seed=0)
    expected = {name: type(value) for name, value in info.items()}
    assert expected["success"] is bool
    for _ in range(60):
        _, _, terminated, _, info = env.step(env.action_space.sample())
        assert {name: type(value) for name, value in info.items()} == expected
        if terminated:
            _, info = env.reset()
            assert {name: type(value) for name, value in info.items()} == expected


# ---------------------------------------------------------------- skrl


@every_id
def test_skrl_finds_gymnasium_among_the_direct_bases(env_id):
    assert gym.Env in type(gym.make(env_id, **keywords(env_id))).__bases__
    assert VectorEnv in type(gym.make_vec(env_id, **keywords(env_id))).__bases__


# ---------------------------------------------------------------- Gymnasium's wrappers


@every_id
def test_wrappers_on_flat_observations(env_id):
    env = gym.make(env_id, **keywords(env_id), observations="flat")
    (size,) = env.observation_space.shape
    flattened = FlattenObservation(gym.make(env_id, **keywords(env_id)))
    assert flattened.observation_space == env.observation_space
    oracles.assert_identical(flattened.reset(seed=0), env.reset(seed=0))
    stacked = FrameStackObservation(env, 4)
    assert stacked.reset(seed=0)[0].shape == (4, size)
    assert np.isfinite(NormalizeObservation(env).reset(seed=0)[0]).all()


@pytest.mark.parametrize(
    ("wrapper", "mode"), [(VectorNormalizeObservation, "NextStep"), (RecordEpisodeStatistics, "SameStep")]
)
@every_id
def test_vector_wrappers_on_flat_observations(env_id, wrapper, mode):
    # Gymnasium's observation wrappers, FlattenObservation included, refuse SAME_STEP.
    envs = wrapper(gym.make_vec(env_id, num_envs=3, **keywords(env_id), observations="flat", autoreset_mode=mode))
    envs.action_space.seed(0)
    envs.reset(seed=0)
    for _ in range(30):
        observation, *_ = envs.step(envs.action_space.sample())
        assert np.isfinite(observation).all()


# ---------------------------------------------------------------- gymnasium.utils.play


@pytest.mark.parametrize("env_id", [env_id for env_id in ENV_IDS if "Discrete" in env_id])
def test_play_finds_keys_and_frames(env_id):
    env = gym.make(env_id, **keywords(env_id), render_mode="rgb_array")
    assert env.has_wrapper_attr("get_keys_to_action")
    keys = env.get_wrapper_attr("get_keys_to_action")()
    assert all(action in env.action_space for action in keys.values())
    assert isinstance(env.metadata["render_fps"], int)
    env.reset(seed=0)
    assert env.render().dtype == np.uint8
