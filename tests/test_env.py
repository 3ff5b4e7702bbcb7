"""Single and vector env classes: observations, info, metadata and keyword arguments of every id."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AutoresetMode

import oracles
from glimpse_gym import ENV_IDS
from glimpse_gym.env import GlimpseEnv

OWN = {"images": np.zeros((6, 20, 30), np.uint8), "labels": np.arange(6) % 3, "split": "all"}
every_id = pytest.mark.parametrize("env_id", ENV_IDS)


def keywords(env_id):
    return OWN if "/Images" in env_id else {}


def make(env_id, **kwargs):
    return gym.make(env_id, **keywords(env_id), **kwargs)


def make_vec(env_id, **kwargs):
    return gym.make_vec(env_id, **keywords(env_id), **kwargs)


# ---------------------------------------------------------------- flat observations


@every_id
def test_flat_observations_are_the_dict_end_to_end(env_id):
    env, flat = make(env_id), make(env_id, observations="flat")
    assert flat.observation_space == spaces.flatten_space(env.observation_space)
    assert flat.observation_space.dtype == np.float32
    assert flat.action_space == env.action_space
    env.action_space.seed(0)

    def check(results, flat_results):
        (observation, *others), (vector, *flat_others) = results, flat_results
        parts = [observation[name].reshape(-1) for name in ("glimpse", "location", "time")]
        oracles.assert_identical(vector, np.concatenate(parts))
        oracles.assert_identical(others, flat_others)
        assert vector in flat.observation_space

    check(env.reset(seed=3), flat.reset(seed=3))
    for _ in range(30):
        action = env.action_space.sample()
        results = env.step(action)
        check(results, flat.step(action))
        if results[2]:
            check(env.reset(), flat.reset())


@every_id
def test_flat_observations_of_vector_envs(env_id):
    kwargs = {"num_envs": 3, "autoreset_mode": "SameStep", "num_glimpses": 4}
    envs, flat = make_vec(env_id, **kwargs), make_vec(env_id, **kwargs, observations="flat")
    single = spaces.flatten_space(envs.single_observation_space)
    assert flat.single_observation_space == single
    assert flat.observation_space.shape == (3, *single.shape)
    envs.action_space.seed(0)
    envs.reset(seed=3), flat.reset(seed=3)
    for _ in range(10):
        action = envs.action_space.sample()
        observation, _, terminated, _, infos = envs.step(action)
        vector, *_, flat_infos = flat.step(action)
        assert vector in flat.observation_space
        for row in range(3):
            parts = {name: value[row] for name, value in observation.items()}
            oracles.assert_identical(vector[row], spaces.flatten(envs.single_observation_space, parts))
            if terminated[row]:
                expected = spaces.flatten(envs.single_observation_space, infos["final_obs"][row])
                oracles.assert_identical(flat_infos["final_obs"][row], expected)


@pytest.mark.parametrize("bad", ["Flat", None, 1, ["dict"]])
def test_bad_observations_are_named(bad):
    for make_one in (gym.make, gym.make_vec):
        with pytest.raises(ValueError, match="observations must be one of 'dict', 'flat'"):
            make_one("glimpse_gym/Catch-v0", observations=bad)


# ---------------------------------------------------------------- metadata


@every_id
def test_metadata_describes_the_task(env_id):
    env, envs = make(env_id).unwrapped, make_vec(env_id, num_envs=2).unwrapped
    metadata = dict(envs.metadata)
    assert metadata.pop("autoreset_mode") is AutoresetMode.NEXT_STEP
    oracles.assert_identical(env.metadata, metadata)
    catch = "Catch" in env_id
    assert metadata["num_glimpses"] == env.world.horizon
    num_scales, patch_size, _ = env.observation_space["glimpse"].shape
    assert (metadata["num_scales"], metadata["patch_size"]) == (num_scales, patch_size)
    assert (metadata["num_images"] is None) == catch
    assert metadata["image_moves"] == catch
    assert metadata["choice_is_final"] == (not catch)
    if catch:
        assert metadata["choice_names"] == ("left", "stay", "right")
        assert metadata["image_size"] == (24, 24)
    elif "/Images" in env_id:
        assert metadata["num_images"] == 6
        assert metadata["image_size"] == (20, 30)
        assert len(metadata["choice_names"]) == 3
    else:
        assert metadata["num_images"] == 50_000
        assert metadata["choice_names"] == tuple("0123456789")


def test_metadata_of_images_of_several_sizes_is_their_mean():
    images = [np.zeros((4, 6), np.uint8), np.zeros((8, 7), np.uint8)]
    env = gym.make("glimpse_gym/Images-v0", images=images, labels=[0, 1])
    assert env.metadata["image_size"] == (6.0, 6.5)
    env = gym.make("glimpse_gym/Images-v0", images=images, labels=[0, 1], canvas_size=(9, 10))
    assert env.metadata["image_size"] == (9.0, 10.0)


def test_metadata_of_the_class_is_not_changed():
    env = gym.make("glimpse_gym/Catch-v0").unwrapped
    env.metadata["render_modes"].clear()
    assert set(GlimpseEnv.metadata) == {"render_modes", "render_fps"}
    assert gym.make("glimpse_gym/Catch-v0").metadata["render_modes"] == ["human", "rgb_array", "ansi"]


# ---------------------------------------------------------------- info


@every_id
def test_returned_info_can_be_modified(env_id):
    env, twin = make(env_id), make(env_id)
    env.action_space.seed(0)
    _, info = env.reset(seed=0)
    twin.reset(seed=0)
    for _ in range(3):
        info.clear()
        action = 0 if "Discrete" in env_id else env.action_space.sample()
        results = env.step(action)
        oracles.assert_identical(results, twin.step(action))
        info = results[4]


# ---------------------------------------------------------------- keyword arguments


def test_unknown_keyword_arguments_in_python_s_own_words():
    accepted = (
        "accepted: actions, grid_size, max_bytes, num_glimpses, num_scales, observations, observe, patch_size, "
        "render_mode"
    )
    with pytest.raises(
        TypeError, match=rf"CatchEnv.__init__\(\) got an unexpected keyword argument 'speed'; {accepted}"
    ):
        gym.make("glimpse_gym/Catch-v0", speed=2)
    with pytest.raises(TypeError, match=r"CatchVectorEnv.__init__\(\) got an unexpected keyword argument 'speed'; "):
        gym.make_vec("glimpse_gym/Catch-v0", speed=2)


def test_missing_keyword_arguments_in_python_s_own_words():
    with pytest.raises(
        TypeError, match=r"ClassificationEnv.__init__\(\) missing 1 required keyword-only argument: 'images'; accepted"
    ):
        gym.make("glimpse_gym/Images-v0")


@pytest.mark.parametrize(
    ("kwargs", "hint"),
    [
        ({"max_episode_steps": 5}, "set num_glimpses instead"),
        ({"vectorization_mode": "sync", "autoreset_mode": "SameStep"}, "it goes into vector_kwargs"),
    ],
)
def test_make_vec_with_misplaced_arguments(kwargs, hint):
    with pytest.raises(TypeError, match=hint):
        gym.make_vec("glimpse_gym/Catch-v0", **kwargs)


def test_vector_env_with_vector_kwargs():
    from glimpse_gym.envs import CatchVectorEnv

    with pytest.raises(TypeError, match="give autoreset_mode= directly"):
        CatchVectorEnv(2, vector_kwargs={"autoreset_mode": "SameStep"})
    with pytest.raises(gym.error.Error, match="vector_kwargs"):
        gym.make_vec("glimpse_gym/Catch-v0", vector_kwargs={"autoreset_mode": "SameStep"})
    with pytest.raises(TypeError, match="wrap the env"):
        CatchVectorEnv(2, wrappers=[])
