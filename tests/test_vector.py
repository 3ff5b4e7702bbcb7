"""Native vector env: bit-equal to Gymnasium's SyncVectorEnv of single envs."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.wrappers.vector import NormalizeReward, RecordEpisodeStatistics

import oracles
from vector_cases import (
    CASES,
    FINAL,
    MODES,
    N,
    both,
    every_case,
    every_mode,
    images,
    native,
    of_observation,
    reset_both,
    single,
    some_cases,
    step_both,
    sync,
    times,
)

# ---------------------------------------------------------------- equal to single envs


@every_case
def test_spaces_and_metadata(case):
    mine, theirs = both(case)
    for name in (
        "num_envs",
        "single_observation_space",
        "single_action_space",
        "observation_space",
        "action_space",
        "render_mode",
        "metadata",
    ):
        assert getattr(mine, name) == getattr(theirs, name), name


@every_case
@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP], ids=lambda mode: mode.name)
def test_equals_sync_vector_env(case, mode):
    mine, theirs = both(case, mode)
    mine.action_space.seed(1)
    keys = set(reset_both(mine, theirs, seed=7)[1])
    assert {"success", "_success"} < keys
    ends = np.zeros(N, int)
    for step in range(300):
        _, reward, terminated, truncated, infos = step_both(mine, theirs)
        assert (reward.dtype, terminated.dtype, truncated.dtype) == (np.float64, np.bool_, np.bool_)
        assert not truncated.any()
        ends += terminated
        assert set(infos) - FINAL == keys
        assert ("final_obs" in infos) == ("final_info" in infos)
        assert ("final_obs" in infos) == (mode is AutoresetMode.SAME_STEP and bool(terminated.any()))
        if step == 150:  # during the episodes
            reset_both(mine, theirs)
        if step == 200:
            reset_both(mine, theirs, seed=[3, None, 5, 2**64 - 1, None])
        if step == 250:
            reset_both(mine, theirs, options={"reset_mask": np.arange(N) % 2 == 0}, seed=11)
    assert (ends > 5).all()


@every_case
def test_equals_sync_vector_env_with_autoreset_disabled(case):
    mine, theirs = both(case, AutoresetMode.DISABLED)
    rng = np.random.default_rng(2)
    mine.action_space.seed(2)
    reset_both(mine, theirs, seed=13)
    num_resets = 0
    for step in range(300):
        _, _, terminated, _, infos = step_both(mine, theirs)
        assert "final_obs" not in infos
        if not terminated.any():
            continue
        num_resets += 1
        mask = terminated.copy()
        if num_resets % 4 == 0:  # reset some running episodes as well
            mask |= rng.random(N) < 0.5
        seed = [None, step, rng.integers(0, 99, N).tolist(), [None, 1, None, 2, step]][num_resets % 4]
        observation, infos = reset_both(mine, theirs, options={"reset_mask": mask}, seed=seed)
        assert (times(observation)[mask] == 0).all()
        for name in infos:
            if name.startswith("_"):
                oracles.assert_identical(infos[name], mask)
    assert num_resets > 10


@pytest.mark.parametrize("case", ["MNISTDiscrete", "ClutteredMNIST", "ImagesDiscrete"])
@every_mode
def test_reset_with_image_index_equals_sync_vector_env(case, mode):
    mine, theirs = both(case, mode)
    reset_both(mine, theirs, seed=1, options={"image_index": 17})
    _, infos = reset_both(mine, theirs, options={"image_index": 5})
    oracles.assert_identical(infos["image_index"], np.full(N, 5))
    mask = np.array([True, False, False, True, False])
    reset_both(mine, theirs, options={"image_index": 6, "reset_mask": mask})
    reset_both(mine, theirs)


@every_mode
@some_cases
def test_one_sub_env(case, mode):
    mine, theirs = both(case, mode, num_envs=1)
    reset_both(mine, theirs, seed=0)
    for _ in range(40):
        if step_both(mine, theirs)[2][0] and mode is AutoresetMode.DISABLED:
            reset_both(mine, theirs)


@some_cases
def test_autoreset_modes_by_name_and_the_default(case):
    assert native(case).metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP
    env = gym.make_vec("glimpse_gym/Catch-v0", num_envs=2)
    assert env.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP
    for mode in MODES:
        assert native(case, mode=mode.value).metadata["autoreset_mode"] is mode
    # The metadata of the class does not change.
    assert "autoreset_mode" not in single(case).unwrapped.metadata


# ---------------------------------------------------------------- rows


@every_mode
@every_case
def test_rows_are_independent_of_each_other(case, mode):
    env, other = native(case, mode=mode), native(case, mode=mode)
    env.action_space.seed(3), other.action_space.seed(4)
    row = 2

    def of_row(told):
        observation, reward, terminated, truncated, infos = told
        return of_observation(observation, row), reward[row], terminated[row], truncated[row], info(infos)

    def info(infos):
        told = {name for name in infos if not name.startswith("_") and infos["_" + name][row]}
        return {n: info(infos[n]) if isinstance(infos[n], dict) else infos[n][row] for n in told}

    env.reset(seed=[1, 2, 3, 4, 5])
    other.reset(seed=[11, 22, 3, 44, 55])
    for _ in range(60):
        action, neighbors = env.action_space.sample(), other.action_space.sample()
        if isinstance(action, dict):
            for name in action:
                neighbors[name][row] = action[name][row]
        else:
            neighbors[row] = action[row]
        mine, theirs = env.step(action), other.step(neighbors)
        oracles.assert_identical(of_row(mine), of_row(theirs))
        oracles.assert_identical(images(env)[row], images(other)[row])
        if mode is AutoresetMode.DISABLED:
            for each, (_, _, terminated, _, _) in ((env, mine), (other, theirs)):
                if terminated.any():
                    each.reset(options={"reset_mask": terminated})


@some_cases
def test_row_i_does_not_depend_on_num_envs(case):
    few, many = native(case, num_envs=3), native(case, num_envs=64)
    many.action_space.seed(5)
    observation, _ = many.reset(seed=9)
    expected, _ = few.reset(seed=9)
    for _ in range(30):
        oracles.assert_identical({name: value[:3] for name, value in observation.items()}, expected)
        action = many.action_space.sample()
        first = {name: value[:3] for name, value in action.items()} if isinstance(action, dict) else action[:3]
        observation, expected = many.step(action)[0], few.step(first)[0]


# ---------------------------------------------------------------- seeds


@some_cases
def test_seeds(case):
    env = native(case)
    first = env.reset(seed=20)
    oracles.assert_identical(env.reset(seed=[20, 21, 22, 23, 24]), first)
    oracles.assert_identical(native(case).reset(seed=20), first)
    # Row i has the episodes of a single env with seed + i.
    second = env.reset()
    for row in range(N):
        alone = single(case)
        for observation, _ in (first, second):
            expected, _ = alone.reset(seed=20 + row) if observation is first[0] else alone.reset()
            oracles.assert_identical({name: value[row] for name, value in observation.items()}, expected)
    # Rows whose seed is None continue their streams.
    env.reset(seed=20)
    observation, _ = env.reset(seed=[7, None, None, None, None])
    assert (observation["location"][1:] == second[0]["location"][1:]).all()
    oracles.assert_identical(observation["glimpse"][1:], second[0]["glimpse"][1:])


def test_sub_envs_differ_with_and_without_a_seed():
    for seed in (0, None, [3, 4, 5, 6, 7], [None] * N):
        observation, _ = native("MNIST").reset(seed=seed)
        assert len(np.unique(observation["location"], axis=0)) == N
    observation, _ = native("MNIST").reset(seed=[3, 3, 3, 3, 4])
    assert len(np.unique(observation["location"], axis=0)) == 2


def test_options_and_seeds_are_not_modified():
    env = native("MNIST", mode=AutoresetMode.DISABLED)
    seed, mask = [1, 2, None, 4, 5], np.array([True, False, True, False, True])
    env.reset(seed=0)
    options = {"reset_mask": mask, "image_index": 3}
    env.reset(seed=seed, options=options)
    assert seed == [1, 2, None, 4, 5]
    assert options.keys() == {"reset_mask", "image_index"}
    assert mask.tolist() == [True, False, True, False, True]


# ---------------------------------------------------------------- gym.make_vec and wrappers


def test_make_vec_passes_keyword_arguments():
    env = native("Catch", num_glimpses=5, patch_size=3, num_scales=2, actions="discrete", grid_size=4)
    assert env.single_action_space == gym.spaces.Discrete(3 * 16)
    assert env.single_observation_space["glimpse"].shape == (2, 3, 3)
    env.reset(seed=0)
    assert [env.step(np.zeros(N, int))[2].all() for _ in range(5)] == [False] * 4 + [True]


@pytest.mark.parametrize("how", [None, "vector_entry_point", "sync"])
def test_vectorization_modes(how):
    name, kwargs = CASES["MNISTDiscrete"]
    env = gym.make_vec(f"glimpse_gym:glimpse_gym/{name}-v0", num_envs=N, vectorization_mode=how, **kwargs)
    assert isinstance(env, SyncVectorEnv) == (how == "sync")
    oracles.assert_identical(env.reset(seed=4), native("MNISTDiscrete").reset(seed=4))


@pytest.mark.parametrize("case", ["MNIST", "MNISTDiscrete", "CatchDiscrete"])
@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP], ids=lambda mode: mode.name)
def test_wrappers(case, mode):
    mine, theirs = (NormalizeReward(RecordEpisodeStatistics(env)) for env in both(case, mode))
    mine.action_space.seed(11)
    oracles.assert_identical(mine.reset(seed=0), theirs.reset(seed=0))
    lengths = []
    for _ in range(60):
        action = mine.action_space.sample()
        told, expected = mine.step(action), theirs.step(action)
        for each in (told, expected):  # seconds differ
            if "episode" in each[4]:
                each[4]["episode"].pop("t", None)
        if "episode" in told[4]:
            lengths += told[4]["episode"]["l"][told[4]["_episode"]].tolist()
        oracles.assert_identical(told, expected)
    most = mine.unwrapped.world.horizon
    assert max(lengths) == most
    assert (set(lengths) == {most}) == (case != "MNISTDiscrete")


def test_render():
    mine, theirs = native("Catch", render_mode="rgb_array"), sync("Catch", render_mode="rgb_array")
    mine.action_space.seed(12)
    reset_both(mine, theirs, seed=0)
    for _ in range(25):
        step_both(mine, theirs)
    oracles.assert_identical(mine.render(), theirs.render())
    assert native("Catch").render() is None
