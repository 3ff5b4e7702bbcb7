"""Over every id: what Gymnasium and Stable-Baselines3 ask for, seeds, copies, specs, workers, videos."""

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

# As the contract has it: channels and side of a glimpse, glimpses, side of the image.
TABLE = {
    "MNIST": ((1, 8, 8), 7, 28),
    "TranslatedMNIST": ((3, 12, 12), 8, 60),
    "ClutteredMNIST": ((3, 12, 12), 8, 60),
    "ClutteredMNIST100": ((4, 12, 12), 8, 100),
    "Images": ((3, 12, 12), 6, 40),
    "Catch": ((3, 6, 6), 23, 24),
}

every_id = pytest.mark.parametrize("env_id", ENV_IDS)
every_kind_of_world = pytest.mark.parametrize(
    "env_id",
    ["MNIST", "ClutteredMNISTDiscrete", "TranslatedMNIST", "Images", "ImagesDiscrete", "Catch", "CatchDiscrete"],
)


@pytest.fixture(scope="session")
def own_images(tmp_path_factory):
    """The path of a file of a user's own images."""
    path = tmp_path_factory.mktemp("own") / "images.npz"
    rng = np.random.default_rng(0)
    np.savez(path, images=rng.integers(0, 256, (30, 40, 40), np.uint8), labels=np.arange(30) % 5)
    return str(path)


@pytest.fixture
def keywords(env_id, own_images):
    """What an id cannot do without."""
    return {"images": own_images} if "Images" in env_id else {}


def full(env_id):
    return env_id if "/" in env_id else f"glimpse_gym/{env_id}-v0"


def make(env_id, keywords, **kwargs):
    return gym.make(full(env_id), **keywords, **kwargs)


def rollout(env, num_steps, seed=None, action_seed=0):
    """Everything that an env says in so many steps; where the seed is None it just goes on."""
    env.action_space.seed(action_seed)
    said = [] if seed is None else [env.reset(seed=seed)]
    for _ in range(num_steps):
        said.append(env.step(env.action_space.sample()))
        said.append(env.unwrapped.image)
        if said[-2][2]:
            said.append(env.reset())
            said.append(env.unwrapped.image)
    return said


# ---------------------------------------------------------------- what is registered


def test_these_ids_are_registered():
    expected = {f"glimpse_gym/{name}{twin}-v0" for name in TABLE for twin in ("", "Discrete")}
    assert set(ENV_IDS) == expected
    assert len(ENV_IDS) == len(expected)
    assert {env_id for env_id in gym.registry if env_id.startswith("glimpse_gym/")} == expected


@every_id
def test_the_world_of_each_id(env_id, keywords):
    glimpse, num_glimpses, side = TABLE[env_id.split("/")[1].replace("Discrete", "").removesuffix("-v0")]
    env = make(env_id, keywords)
    assert env.observation_space["glimpse"] == gym.spaces.Box(0, 1, glimpse, np.float32)
    env.reset(seed=0)
    assert env.unwrapped.image.shape == (side, side)
    # Looking, and not answering, goes on until the last glimpse.
    look = 0 if "Discrete" in env_id else env.action_space.sample()
    ended = [env.step(look)[2] for _ in range(num_glimpses)]
    assert ended == [False] * (num_glimpses - 1) + [True]


@every_id
def test_the_twin_takes_one_flat_action(env_id, keywords):
    space = make(env_id, keywords).action_space
    num_choices = 3 if "Catch" in env_id else 5 if "Images" in env_id else 10
    if "Discrete" in env_id:
        assert space == gym.spaces.Discrete(75 if "Catch" in env_id else 25 + num_choices)
    else:
        assert space.keys() == {"location", "move" if "Catch" in env_id else "label"}
        assert space["location"] == gym.spaces.Box(-1, 1, (2,), np.float32)
        assert space["move" if "Catch" in env_id else "label"] == gym.spaces.Discrete(num_choices)


@every_id
def test_by_module_and_id(env_id, keywords):
    env = gym.make(f"glimpse_gym:{env_id}", **keywords)
    oracles.assert_identical(rollout(env, 5, seed=1), rollout(make(env_id, keywords), 5, seed=1))


@every_id
def test_keyword_values_of_every_id(env_id, keywords):
    env = make(env_id, keywords, grid_size=2, num_glimpses=3, patch_size=5, num_scales=2)
    assert env.observation_space["glimpse"].shape == (2, 5, 5)
    if "Discrete" in env_id:
        num_choices = 5 if "Images" in env_id else 10
        assert env.action_space.n == (3 * 4 if "Catch" in env_id else 4 + num_choices)
    env.reset(seed=0)
    assert [env.step(0 if "Discrete" in env_id else env.action_space.sample())[2] for _ in range(3)][-1]


# ---------------------------------------------------------------- other people's checks


@pytest.mark.filterwarnings("error")
@every_id
def test_gymnasium_finds_nothing_to_object_to(env_id, keywords):
    check_env(make(env_id, keywords).unwrapped)
    check_env(make(env_id, keywords, render_mode="rgb_array").unwrapped)


# Advice about images: SB3 takes any array of three axes for a picture meant for its CnnPolicy.
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


@pytest.mark.parametrize("env_id", [env_id for env_id in ENV_IDS if "Discrete" in env_id])
def test_stable_baselines3_has_nothing_but_advice_about_images(env_id, keywords):
    from stable_baselines3.common.env_checker import check_env as sb3_check_env

    with warnings.catch_warnings(record=True) as record:
        warnings.simplefilter("always")
        sb3_check_env(make(env_id, keywords).unwrapped)
    assert {str(warning.message) for warning in record} <= set(SB3_ADVICE)


# ---------------------------------------------------------------- seeds


@every_id
def test_the_same_seed_gives_the_same_episodes_and_another_does_not(env_id, keywords):
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
def test_a_reset_without_a_seed_goes_on_with_the_stream(env_id, keywords):
    env, twin = make(env_id, keywords), make(env_id, keywords)

    def begin(env, seed=None):
        return env.reset(seed=seed), env.unwrapped.image

    episodes = [begin(env, seed=3), *(begin(env) for _ in range(5))]
    assert len({observation["glimpse"].tobytes() + image.tobytes() for (observation, _), image in episodes}) > 1
    oracles.assert_identical(begin(twin, seed=3), episodes[0])
    for expected in episodes[1:]:
        twin.step(twin.action_space.sample())  # whatever is played, the next episode begins alike
        oracles.assert_identical(begin(twin), expected)
    oracles.assert_identical(begin(twin, seed=3), episodes[0])


@every_id
def test_nothing_leaks_before_the_end(env_id, keywords):
    env = make(env_id, keywords)
    env.action_space.seed(0)
    told_at_reset = set() if "Catch" in env_id else {"image_index"}
    told_at_end = {"caught"} if "Catch" in env_id else {"label", "prediction", "correct"}
    retina = Retina(env.unwrapped.world.retina.patch_size, env.unwrapped.world.retina.num_scales)
    for seed in range(3):
        observation, info = env.reset(seed=seed)
        assert info.keys() == told_at_reset
        terminated = False
        while True:
            assert observation.keys() == {"glimpse", "location", "time"}
            # No more of the image than the retina senses.
            seen = retina.sense(env.unwrapped.image[None], observation["location"][None])[0]
            oracles.assert_identical(observation["glimpse"], seen)
            if terminated:
                break
            observation, _, terminated, truncated, info = env.step(env.action_space.sample())
            assert not truncated
            assert info.keys() == (told_at_end if terminated else set())


# ---------------------------------------------------------------- copies and specs


COPIES = pytest.mark.parametrize(
    "duplicate", [copy.deepcopy, lambda env: pickle.loads(pickle.dumps(env))], ids=["deepcopy", "pickle"]
)


@COPIES
@pytest.mark.parametrize("wrapped", [True, False])
@every_kind_of_world
def test_a_copy_made_within_an_episode_goes_on_alike(env_id, keywords, duplicate, wrapped):
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
def test_what_a_copy_does_leaves_the_original_alone(env_id, keywords, duplicate):
    env, reference = make(env_id, keywords), make(env_id, keywords)
    env.reset(seed=1), reference.reset(seed=1)
    twin = duplicate(env)
    rollout(twin, 40, action_seed=5)
    oracles.assert_identical(rollout(env, 40), rollout(reference, 40))


@COPIES
@pytest.mark.parametrize("env_id", ["MNIST", "ClutteredMNISTDiscrete", "Catch"])
def test_a_copy_of_many_goes_on_alike(env_id, keywords, duplicate):
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
def test_a_pickle_does_not_hold_the_data_set(env_id, keywords):
    env = make(env_id, keywords)
    env.reset(seed=0)
    assert len(pickle.dumps(env)) < 2_000_000
    vector = gym.make_vec(env_id, num_envs=2, **keywords)
    vector.reset(seed=0)
    assert len(pickle.dumps(vector)) < 2_000_000


@every_id
def test_a_spec_goes_through_json(env_id, keywords):
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
def test_the_vector_spec_goes_through_json(env_id, keywords):
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
def test_no_id_has_a_time_limit_beside_its_own(env_id):
    spec = gym.spec(env_id)
    assert spec.max_episode_steps is None
    assert isinstance(spec.entry_point, str)
    assert isinstance(spec.vector_entry_point, str)
    assert spec.reward_threshold is None


# ---------------------------------------------------------------- workers and videos


@dataclass
class Maker:
    """Makes an env in another process, which does not know where a bare checkout keeps its parts."""

    env_id: str
    keywords: dict[str, Any] = field(default_factory=dict)
    path: list[str] = field(default_factory=lambda: list(glimpse_gym.__path__))

    def __call__(self):
        glimpse_gym.__path__[:] = self.path
        return gym.make(f"glimpse_gym:{self.env_id}", **self.keywords)


@pytest.mark.parametrize("env_id", ["glimpse_gym/ClutteredMNIST-v0", "glimpse_gym/CatchDiscrete-v0"])
def test_spawned_workers_are_equal_to_the_native_vector_env(env_id, keywords):
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
def test_videos(env_id, keywords, tmp_path):
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
def test_pictures(env_id, keywords):
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
    # To draw is not to act.
    oracles.assert_identical(env.render(), second)
    plain = make(env_id, keywords)
    oracles.assert_identical(rollout(env, 10, seed=2), rollout(plain, 10, seed=2))


def test_loading_the_package_loads_neither_compiler_nor_learner():
    # Registering costs next to nothing; the rest is imported where it is needed.
    code = "import sys, glimpse_gym; print(sorted({'numba', 'torch', 'PIL', 'matplotlib'} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
