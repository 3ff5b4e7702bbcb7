"""All registered ids: env checkers, seeds, copies, specs, worker processes, videos."""

import copy
import json
import pickle
import subprocess
import sys
import warnings
from dataclasses import dataclass, field
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AsyncVectorEnv
from gymnasium.wrappers import RecordVideo

import glimpse_gym
import oracles
from glimpse_gym import ENV_IDS, Retina

# Shape of a glimpse, number of glimpses, side of the image.
TABLE = {
    "MNIST": ((1, 8, 8), 7, 28),
    "TranslatedMNIST": ((3, 12, 12), 8, 60),
    "ClutteredMNIST": ((3, 12, 12), 8, 60),
    "ClutteredMNIST100": ((4, 12, 12), 8, 100),
    "Images": ((3, 12, 12), 6, 40),
    "Catch": ((3, 6, 6), 23, 24),
}

FORMS = ("", "Discrete", "Continuous")

every_id = pytest.mark.parametrize("env_id", ENV_IDS)
every_kind_of_world = pytest.mark.parametrize(
    "env_id",
    [
        *("MNIST", "MNISTContinuous", "ClutteredMNISTDiscrete", "TranslatedMNIST"),
        *("Images", "ImagesDiscrete", "Catch", "CatchDiscrete", "CatchContinuous"),
    ],
)


@pytest.fixture(scope="session")
def own_images(tmp_path_factory):
    """Path of a file with a user's own images."""
    path = tmp_path_factory.mktemp("own") / "images.npz"
    rng = np.random.default_rng(0)
    np.savez(path, images=rng.integers(0, 256, (30, 40, 40), np.uint8), labels=np.arange(30) % 5)
    return str(path)


@pytest.fixture
def keywords(env_id, own_images):
    """Required keyword arguments of an id."""
    return {"images": own_images} if "Images" in env_id else {}


def full(env_id):
    return env_id if "/" in env_id else f"glimpse_gym/{env_id}-v0"


def make(env_id, keywords, **kwargs):
    return gym.make(full(env_id), **keywords, **kwargs)


def rollout(env, num_steps, seed=None, action_seed=0):
    """Everything an env returns in so many steps; if the seed is None, the running episode continues."""
    env.action_space.seed(action_seed)
    returned = [] if seed is None else [env.reset(seed=seed)]
    for _ in range(num_steps):
        returned.append(env.step(env.action_space.sample()))
        returned.append(env.unwrapped.image)
        if returned[-2][2]:
            returned.append(env.reset())
            returned.append(env.unwrapped.image)
    return returned


# ---------------------------------------------------------------- ids


def test_registered_ids():
    expected = {f"glimpse_gym/{name}{form}-v0" for name in TABLE for form in FORMS}
    assert set(ENV_IDS) == expected
    assert len(ENV_IDS) == len(expected)
    assert {env_id for env_id in gym.registry if env_id.startswith("glimpse_gym/")} == expected


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("MNIST",), "glimpse_gym/MNIST-v0"),
        (("MNIST", "hybrid"), "glimpse_gym/MNIST-v0"),
        (("Catch", "discrete"), "glimpse_gym/CatchDiscrete-v0"),
        (("my_lab/Catch", "continuous"), "my_lab/CatchContinuous-v0"),
    ],
)
def test_env_id(arguments, expected):
    assert glimpse_gym.registration.env_id(*arguments) == expected


@pytest.mark.parametrize("bad", ["multidiscrete", "Discrete", "", None, True, ["hybrid"]], ids=repr)
def test_env_id_of_other_action_forms(bad):
    with pytest.raises(ValueError, match="actions must be one of 'hybrid', 'discrete', 'continuous'; got ") as caught:
        glimpse_gym.registration.env_id("MNIST", bad)
    assert repr(bad) in str(caught.value)


@every_id
def test_world_of_each_id(env_id, keywords):
    name = env_id.split("/")[1].removesuffix("-v0")
    glimpse, num_glimpses, side = TABLE[name.removesuffix("Discrete").removesuffix("Continuous")]
    env = make(env_id, keywords)
    assert env.observation_space["glimpse"] == gym.spaces.Box(0, 1, glimpse, np.float32)
    env.reset(seed=0)
    assert env.unwrapped.image.shape == (side, side)
    # An episode of glimpses without an answer lasts until the last glimpse.
    look = 0 if "Discrete" in env_id else env.action_space.sample()
    ended = [env.step(look)[2] for _ in range(num_glimpses)]
    assert ended == [False] * (num_glimpses - 1) + [True]


@every_id
def test_action_space_of_each_id(env_id, keywords):
    space = make(env_id, keywords).action_space
    num_choices = 3 if "Catch" in env_id else 5 if "Images" in env_id else 10
    if "Discrete" in env_id:
        assert space == gym.spaces.Discrete(75 if "Catch" in env_id else 25 + num_choices)
    elif "Continuous" in env_id:
        assert space == gym.spaces.Box(-1, 1, (2 + num_choices,), np.float32)
    else:
        assert space.keys() == {"next_location", "move" if "Catch" in env_id else "label"}
        assert space["next_location"] == gym.spaces.Box(-1, 1, (2,), np.float32)
        assert space["move" if "Catch" in env_id else "label"] == gym.spaces.Discrete(num_choices)


@every_id
def test_make_by_module_and_id(env_id, keywords):
    env = gym.make(f"glimpse_gym:{env_id}", **keywords)
    oracles.assert_identical(rollout(env, 5, seed=1), rollout(make(env_id, keywords), 5, seed=1))


@every_id
def test_keyword_arguments_of_every_id(env_id, keywords):
    env = make(env_id, keywords, grid_size=2, num_glimpses=3, patch_size=5, num_scales=2)
    assert env.observation_space["glimpse"].shape == (2, 5, 5)
    if "Discrete" in env_id:
        num_choices = 5 if "Images" in env_id else 10
        assert env.action_space.n == (3 * 4 if "Catch" in env_id else 4 + num_choices)
    env.reset(seed=0)
    assert [env.step(0 if "Discrete" in env_id else env.action_space.sample())[2] for _ in range(3)][-1]


# ---------------------------------------------------------------- env checkers


@pytest.mark.filterwarnings("error")
@every_id
def test_gymnasium_env_checker(env_id, keywords):
    check_env(make(env_id, keywords).unwrapped)
    check_env(make(env_id, keywords, render_mode="rgb_array").unwrapped)


# SB3 takes every array with three axes for an image meant for its CnnPolicy.
SB3_ADVICE = (
    "It seems that your observation glimpse is an image but its `dtype` is (float32) whereas it has to be "
    "`np.uint8`. If your observation is not an image, we recommend you to flatten the observation to have only a 1D "
    "vector",
    "It seems that your observation space glimpse is an image but the upper and lower bounds are not in [0, 255]. "
    "Because the CNN policy normalize automatically the observation you may encounter issue if the values are not in "
    "that range.",
    "The minimal resolution for an image is 36x36 for the default `CnnPolicy`. You might need to use a custom "
    "features extractor cf. https://stable-baselines3.readthedocs.io/en/master/guide/custom_policy.html",
)


@pytest.mark.parametrize("env_id", [each for each in ENV_IDS if "Discrete" in each or "Continuous" in each])
def test_stable_baselines3_env_checker(env_id, keywords):
    from stable_baselines3.common.env_checker import check_env as sb3_check_env

    with warnings.catch_warnings(record=True) as record:
        warnings.simplefilter("always")
        sb3_check_env(make(env_id, keywords).unwrapped)
    assert {str(warning.message) for warning in record} <= set(SB3_ADVICE)


# ---------------------------------------------------------------- seeds


@every_id
def test_seeds_determine_the_episodes(env_id, keywords):
    env = make(env_id, keywords)
    first = rollout(env, 30, seed=3)
    oracles.assert_identical(rollout(make(env_id, keywords), 30, seed=3), first)
    oracles.assert_identical(rollout(env, 30, seed=3), first)
    env.reset(seed=3)
    image = env.unwrapped.image
    others = []
    for seed in (4, 5, 2**40):
        env.reset(seed=seed)
        others.append(env.unwrapped.image)
    assert any((other != image).any() for other in others)


@every_id
def test_reset_without_a_seed_continues_the_stream(env_id, keywords):
    env, twin = make(env_id, keywords), make(env_id, keywords)

    def start(env, seed=None):
        return env.reset(seed=seed), env.unwrapped.image

    episodes = [start(env, seed=3), *(start(env) for _ in range(5))]
    assert len({observation["glimpse"].tobytes() + image.tobytes() for (observation, _), image in episodes}) > 1
    oracles.assert_identical(start(twin, seed=3), episodes[0])
    for expected in episodes[1:]:
        twin.step(twin.action_space.sample())  # the next episode does not depend on the actions
        oracles.assert_identical(start(twin), expected)
    oracles.assert_identical(start(twin, seed=3), episodes[0])


@every_id
def test_observations_and_info_hide_the_answer(env_id, keywords):
    env = make(env_id, keywords)
    env.action_space.seed(0)
    hidden = {"caught": False, "success": False}
    if "Catch" not in env_id:
        hidden = {"label": -1, "prediction": -1, "correct": False, "success": False}
    retina = Retina(env.unwrapped.world.retina.patch_size, env.unwrapped.world.retina.num_scales)
    for seed in range(3):
        observation, info = env.reset(seed=seed)
        index = {} if "Catch" in env_id else {"image_index": info["image_index"]}
        oracles.assert_identical(info, {**index, **hidden})
        terminated = False
        while True:
            assert observation.keys() == {"glimpse", "location", "time"}
            # The glimpse shows only what the retina senses.
            seen = retina.sense(env.unwrapped.image[None], observation["location"][None])[0]
            oracles.assert_identical(observation["glimpse"], seen)
            if terminated:
                break
            observation, _, terminated, truncated, info = env.step(env.action_space.sample())
            assert not truncated
            assert info.keys() == {*index, *hidden}
            assert terminated or info == {**index, **hidden}
            assert ("label" in info and info["label"] >= 0) == (terminated and "Catch" not in env_id)


# ---------------------------------------------------------------- copies and specs


COPIES = pytest.mark.parametrize(
    "duplicate", [copy.deepcopy, lambda env: pickle.loads(pickle.dumps(env))], ids=["deepcopy", "pickle"]
)


@COPIES
@pytest.mark.parametrize("wrapped", [True, False])
@every_kind_of_world
def test_copies_continue_the_episode(env_id, keywords, duplicate, wrapped):
    env = make(env_id, keywords, render_mode="rgb_array")
    env = env if wrapped else env.unwrapped
    env.reset(seed=1)
    env.step(0 if "Discrete" in env_id else env.action_space.sample())
    twin = duplicate(env)
    oracles.assert_identical(twin.unwrapped.image, env.unwrapped.image)
    oracles.assert_identical(twin.render(), env.render())
    oracles.assert_identical(rollout(twin, 60), rollout(env, 60))
    oracles.assert_identical(rollout(twin, 10, seed=2), rollout(env, 10, seed=2))


@COPIES
@every_kind_of_world
def test_copies_are_independent_of_the_original(env_id, keywords, duplicate):
    env, reference = make(env_id, keywords), make(env_id, keywords)
    env.reset(seed=1), reference.reset(seed=1)
    twin = duplicate(env)
    rollout(twin, 40, action_seed=5)
    oracles.assert_identical(rollout(env, 40), rollout(reference, 40))


@COPIES
@pytest.mark.parametrize("env_id", ["MNIST", "ClutteredMNISTDiscrete", "Catch", "CatchContinuous"])
def test_copies_of_vector_envs_continue_the_episodes(env_id, keywords, duplicate):
    env = gym.make_vec(full(env_id), num_envs=4)
    env.reset(seed=1)
    env.action_space.seed(0)
    env.step(env.action_space.sample())
    twin = duplicate(env)
    for _ in range(40):
        action = env.action_space.sample()
        oracles.assert_identical(twin.step(action), env.step(action))
        oracles.assert_identical(twin.unwrapped.image, env.unwrapped.image)


@every_id
def test_pickles_do_not_contain_the_data_set(env_id, keywords):
    env = make(env_id, keywords)
    env.reset(seed=0)
    assert len(pickle.dumps(env)) < 2_000_000
    vector = gym.make_vec(env_id, num_envs=2, **keywords)
    vector.reset(seed=0)
    assert len(pickle.dumps(vector)) < 2_000_000


@every_id
def test_spec_to_json_and_back(env_id, keywords):
    env = make(env_id, keywords, grid_size=3, num_glimpses=4)
    text = env.spec.to_json()
    json.loads(text)
    spec = EnvSpec.from_json(text)
    assert spec.max_episode_steps is None
    assert spec.kwargs == env.spec.kwargs
    again = gym.make(spec)
    assert again.action_space == env.action_space
    oracles.assert_identical(rollout(again, 20, seed=4), rollout(env, 20, seed=4))
    oracles.assert_identical(rollout(pickle.loads(pickle.dumps(env.spec)).make(), 20, seed=4), rollout(env, 20, seed=4))


@every_id
def test_vector_spec_to_json_and_back(env_id, keywords):
    env = gym.make_vec(env_id, num_envs=2, **keywords, autoreset_mode="SameStep", num_glimpses=2)
    spec = EnvSpec.from_json(env.spec.to_json())
    assert spec.max_episode_steps is None
    again = gym.make_vec(spec, num_envs=2)
    oracles.assert_identical(again.reset(seed=5), env.reset(seed=5))
    env.action_space.seed(0)
    for _ in range(5):
        action = env.action_space.sample()
        oracles.assert_identical(again.step(action), env.step(action))


@every_id
def test_no_id_has_a_time_limit(env_id):
    spec = gym.spec(env_id)
    assert spec.max_episode_steps is None
    assert isinstance(spec.entry_point, str)
    assert isinstance(spec.vector_entry_point, str)
    assert spec.reward_threshold is None


# ---------------------------------------------------------------- workers and videos


@dataclass
class Maker:
    """Makes an env in another process, in which the path of a bare checkout is not set up."""

    env_id: str
    keywords: dict[str, Any] = field(default_factory=dict)
    path: list[str] = field(default_factory=lambda: list(glimpse_gym.__path__))

    def __call__(self):
        glimpse_gym.__path__[:] = self.path
        return gym.make(f"glimpse_gym:{self.env_id}", **self.keywords)


@pytest.mark.parametrize(
    "env_id", ["glimpse_gym/ClutteredMNIST-v0", "glimpse_gym/CatchDiscrete-v0", "glimpse_gym/MNISTContinuous-v0"]
)
def test_async_vector_env_with_spawn_equals_the_native_vector_env(env_id, keywords):
    native = gym.make_vec(env_id, num_envs=2, **keywords)
    workers = AsyncVectorEnv([Maker(env_id, keywords)] * 2, context="spawn")
    try:
        native.action_space.seed(0)
        oracles.assert_identical(workers.reset(seed=6), native.reset(seed=6))
        for _ in range(30):
            action = native.action_space.sample()
            oracles.assert_identical(workers.step(action), native.step(action))
    finally:
        workers.close()


@pytest.mark.parametrize("env_id", ["glimpse_gym/ClutteredMNIST-v0", "glimpse_gym/CatchDiscrete-v0"])
def test_record_video(env_id, keywords, tmp_path):
    env = make(env_id, keywords, render_mode="rgb_array", num_glimpses=3)
    env = RecordVideo(env, str(tmp_path / "videos"), episode_trigger=lambda episode: True, disable_logger=True)
    env.action_space.seed(0)
    env.reset(seed=0)
    while not env.step(env.action_space.sample())[2]:
        pass
    env.close()
    (video,) = tmp_path.glob("videos/*.mp4")
    assert video.stat().st_size > 0


@every_id
def test_render(env_id, keywords):
    env = make(env_id, keywords, render_mode="rgb_array")
    env.action_space.seed(0)
    env.reset(seed=0)
    first = env.render()
    assert first.dtype == np.uint8
    assert first.ndim == 3
    assert first.shape[2] == 3
    env.step(0 if "Discrete" in env_id else env.action_space.sample())
    second = env.render()
    assert second.shape == first.shape
    assert (second != first).any()
    # Rendering changes nothing.
    oracles.assert_identical(env.render(), second)
    plain = make(env_id, keywords)
    oracles.assert_identical(rollout(env, 10, seed=2), rollout(plain, 10, seed=2))


def test_import_loads_neither_numba_nor_torch():
    # Heavy packages are imported only where they are needed.
    code = "import sys, glimpse_gym; print(sorted({'numba', 'torch', 'PIL', 'matplotlib'} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
