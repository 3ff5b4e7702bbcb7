"""The native vector env against Gymnasium's SyncVectorEnv of single envs, bit for bit."""

import copy
import itertools

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.wrappers.vector import NormalizeReward, RecordEpisodeStatistics

import oracles

N = 5
IMAGES = np.random.default_rng(0).integers(0, 256, (40, 11, 13, 3), np.uint8)
OWN = {"images": IMAGES, "labels": np.arange(40) % 4, "canvas_size": (20, 18), "num_clutter": 3}

# Names and keyword values: every world, every form of action, episodes of one length and of different lengths.
CASES = {
    "MNIST": ("MNIST", {}),
    "MNISTDiscrete": ("MNISTDiscrete", {"num_glimpses": 4, "glimpse_cost": 0.125}),
    "ClutteredMNIST": ("ClutteredMNIST", {"split": "test", "reveal_label": True}),
    "ClutteredMNIST100Discrete": ("ClutteredMNIST100Discrete", {"grid_size": 2}),
    "TranslatedMNIST-multidiscrete": ("TranslatedMNIST", {"actions": "multidiscrete"}),
    "Images": ("Images", OWN | {"num_glimpses": 1, "first_glimpse": "center"}),
    "ImagesDiscrete": ("ImagesDiscrete", OWN | {"num_clutter": 0, "canvas_size": None, "reveal_label": True}),
    "Catch": ("Catch", {}),
    "CatchDiscrete": ("CatchDiscrete", {"num_glimpses": 3}),
    "Catch-screen": ("Catch", {"observe": "screen", "num_glimpses": 7, "actions": "multidiscrete"}),
}
MODES = list(AutoresetMode)
every_case = pytest.mark.parametrize("case", CASES)
every_mode = pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
some_cases = pytest.mark.parametrize("case", ["MNISTDiscrete", "ClutteredMNIST", "CatchDiscrete"])


def native(case, num_envs=N, mode=AutoresetMode.NEXT_STEP, **more):
    name, kwargs = CASES[case]
    return gym.make_vec(f"glimpse_gym/{name}-v0", num_envs=num_envs, autoreset_mode=mode, **kwargs | more)


def sync(case, num_envs=N, mode=AutoresetMode.NEXT_STEP, **more):
    name, kwargs = CASES[case]
    return gym.make_vec(
        f"glimpse_gym/{name}-v0",
        num_envs=num_envs,
        vectorization_mode="sync",
        vector_kwargs={"autoreset_mode": mode},
        **kwargs | more,
    )


def single(case, **more):
    name, kwargs = CASES[case]
    return gym.make(f"glimpse_gym/{name}-v0", **kwargs | more)


def both(case, mode=AutoresetMode.NEXT_STEP, num_envs=N):
    mine, theirs = native(case, num_envs, mode), sync(case, num_envs, mode)
    assert isinstance(theirs, SyncVectorEnv)
    assert not isinstance(mine, SyncVectorEnv)
    return mine, theirs


def images(env):
    """Of a native vector env or of one made of single envs."""
    if isinstance(env, SyncVectorEnv):
        return tuple(each.unwrapped.image for each in env.envs)
    return env.unwrapped.image


def reset_both(mine, theirs, **kwargs):
    # SyncVectorEnv takes what it has read out of the options: each gets its own.
    told = mine.reset(**copy.deepcopy(kwargs))
    oracles.assert_identical(told, theirs.reset(**copy.deepcopy(kwargs)))
    oracles.assert_identical(images(mine), images(theirs))
    return told


def step_both(mine, theirs):
    action = mine.action_space.sample()
    told = mine.step(action)
    oracles.assert_identical(told, theirs.step(action))
    oracles.assert_identical(images(mine), images(theirs))
    assert told[0] in mine.observation_space
    return told


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
def test_equal_to_single_envs_step_by_step(case, mode):
    mine, theirs = both(case, mode)
    mine.action_space.seed(1)
    reset_both(mine, theirs, seed=7)
    ends = np.zeros(N, int)
    for step in range(300):
        _, reward, terminated, truncated, infos = step_both(mine, theirs)
        assert (reward.dtype, terminated.dtype, truncated.dtype) == (np.float64, np.bool_, np.bool_)
        assert not truncated.any()
        ends += terminated
        assert ("final_obs" in infos) == ("final_info" in infos)
        assert ("final_obs" in infos) == (mode is AutoresetMode.SAME_STEP and bool(terminated.any()))
        if step == 150:  # by hand, in the middle of everything
            reset_both(mine, theirs)
        if step == 200:
            reset_both(mine, theirs, seed=[3, None, 5, 2**64 + 1, None])
        if step == 250:
            reset_both(mine, theirs, options={"reset_mask": np.arange(N) % 2 == 0}, seed=11)
    assert (ends > 5).all()


@every_case
def test_equal_to_single_envs_where_the_user_resets(case):
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
        if num_resets % 4 == 0:  # others may begin anew as well
            mask |= rng.random(N) < 0.5
        seed = [None, step, rng.integers(0, 99, N).tolist(), [None, 1, None, 2, step]][num_resets % 4]
        observation, infos = reset_both(mine, theirs, options={"reset_mask": mask}, seed=seed)
        assert (observation["time"][mask] == 0).all()
        for name in infos:
            if name.startswith("_"):
                oracles.assert_identical(infos[name], mask)
    assert num_resets > 10


@pytest.mark.parametrize("case", ["MNISTDiscrete", "ClutteredMNIST", "ImagesDiscrete"])
@every_mode
def test_asking_for_an_image_is_the_same(case, mode):
    mine, theirs = both(case, mode)
    reset_both(mine, theirs, seed=1, options={"image_index": 17})
    _, infos = reset_both(mine, theirs, options={"image_index": 5})
    oracles.assert_identical(infos["image_index"], np.full(N, 5))
    mask = np.array([True, False, False, True, False])
    reset_both(mine, theirs, options={"image_index": 6, "reset_mask": mask})
    reset_both(mine, theirs)


@every_mode
@some_cases
def test_one_sub_env_is_enough(case, mode):
    mine, theirs = both(case, mode, num_envs=1)
    reset_both(mine, theirs, seed=0)
    for _ in range(40):
        if step_both(mine, theirs)[2][0] and mode is AutoresetMode.DISABLED:
            reset_both(mine, theirs)


@some_cases
def test_modes_by_name_and_the_default(case):
    assert native(case).metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP
    env = gym.make_vec("glimpse_gym/Catch-v0", num_envs=2)
    assert env.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP
    for mode in MODES:
        assert native(case, mode=mode.value).metadata["autoreset_mode"] is mode
    # What the class says of itself is not changed by what one env was told.
    assert "autoreset_mode" not in single(case).unwrapped.metadata


# ---------------------------------------------------------------- rows


@every_mode
@every_case
def test_a_row_does_not_care_what_its_neighbors_do(case, mode):
    env, other = native(case, mode=mode), native(case, mode=mode)
    env.action_space.seed(3), other.action_space.seed(4)
    row = 2

    def of_row(told):
        observation, reward, terminated, truncated, infos = told
        return {n: v[row] for n, v in observation.items()}, reward[row], terminated[row], truncated[row], info(infos)

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
def test_row_i_of_many_is_row_i_of_few(case):
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
    # Row i has the episodes of a single env with seed + i, and goes on with them.
    second = env.reset()
    for row in range(N):
        alone = single(case)
        for observation, _ in (first, second):
            expected, _ = alone.reset(seed=20 + row) if observation is first[0] else alone.reset()
            oracles.assert_identical({name: value[row] for name, value in observation.items()}, expected)
    # Rows without a seed of their own go on with their streams.
    env.reset(seed=20)
    observation, _ = env.reset(seed=[7, None, None, None, None])
    assert (observation["location"][1:] == second[0]["location"][1:]).all()
    oracles.assert_identical(observation["glimpse"][1:], second[0]["glimpse"][1:])


def test_sub_envs_differ_from_each_other_with_and_without_a_seed():
    for seed in (0, None, [3, 4, 5, 6, 7], [None] * N):
        observation, _ = native("MNIST").reset(seed=seed)
        assert len(np.unique(observation["location"], axis=0)) == N
    observation, _ = native("MNIST").reset(seed=[3, 3, 3, 3, 4])
    assert len(np.unique(observation["location"], axis=0)) == 2


def test_the_user_s_options_and_seeds_are_left_alone():
    env = native("MNIST", mode=AutoresetMode.DISABLED)
    seed, mask = [1, 2, None, 4, 5], np.array([True, False, True, False, True])
    env.reset(seed=0)
    options = {"reset_mask": mask, "image_index": 3}
    env.reset(seed=seed, options=options)
    assert seed == [1, 2, None, 4, 5]
    assert options.keys() == {"reset_mask", "image_index"}
    assert mask.tolist() == [True, False, True, False, True]


# ---------------------------------------------------------------- what is handed out stays as it is


def arrays_in(told, where=""):
    """All arrays in what an env says, however deep, with their names."""
    if isinstance(told, np.ndarray) and told.dtype != object:
        yield where, told
    elif isinstance(told, dict):
        for name, value in told.items():
            yield from arrays_in(value, f"{where}.{name}")
    elif isinstance(told, (tuple, list, np.ndarray)):
        for i, value in enumerate(told):
            yield from arrays_in(value, f"{where}[{i}]")


@every_mode
@every_case
def test_nothing_handed_out_is_ever_overwritten_or_shared(case, mode):
    env = native(case, mode=mode)
    env.action_space.seed(6)
    kept, copies, given = [], [], []

    def keep(told):
        kept.append(told)
        copies.append(copy.deepcopy(told))
        return told

    keep(env.reset(seed=1))
    for _ in range(30):
        action = env.action_space.sample()
        given.append((action, copy.deepcopy(action)))
        terminated = keep(env.step(action))[2]
        keep(env.unwrapped.image)
        if mode is AutoresetMode.DISABLED and terminated.any():
            keep(env.reset(options={"reset_mask": terminated}))
    oracles.assert_identical(kept, copies)
    for action, before in given:  # and what was handed in is left alone
        oracles.assert_identical(action, before)

    state = [(name, value) for name, value in vars(env.unwrapped.world).items() if isinstance(value, np.ndarray)]
    state += [("centers", env.unwrapped.codec.centers), ("images", IMAGES)]
    handed_out = list(arrays_in(kept)) + list(arrays_in([action for action, _ in given], "action"))
    spans = []
    for where, array in handed_out:
        for name, part in state:
            assert not np.shares_memory(array, part), (where, name)
        low, high = np.lib.array_utils.byte_bounds(array)
        spans.append((low, high, where))
    # All are contiguous, or parts of one: none may overlap the next.
    spans.sort()
    for (_, high, where), (low, _, after) in itertools.pairwise(spans):
        assert high <= low, (where, after)


@every_mode
@some_cases
def test_writing_into_what_was_handed_out_changes_nothing(case, mode):
    env, twin = native(case, mode=mode), native(case, mode=mode)
    env.action_space.seed(7)
    for array in arrays_in(env.reset(seed=1)):
        array[1][...] = 0
    twin.reset(seed=1)
    for _ in range(30):
        action = env.action_space.sample()
        told = env.step(copy.deepcopy(action))
        oracles.assert_identical(told, twin.step(action))
        terminated = told[2].copy()
        for _, array in (*arrays_in(told), *arrays_in(env.unwrapped.image)):
            array[...] = 1
        if mode is AutoresetMode.DISABLED and terminated.any():
            again = env.reset(options={"reset_mask": terminated.copy()})
            oracles.assert_identical(again, twin.reset(options={"reset_mask": terminated.copy()}))
            for _, array in arrays_in(again):
                array[...] = 1


@some_cases
def test_what_single_envs_hand_out_is_never_overwritten_or_shared(case):
    env = single(case)
    env.action_space.seed(8)
    kept = [env.reset(seed=1)]
    copies = copy.deepcopy(kept)
    for _ in range(30):
        told = env.step(env.action_space.sample())
        kept += [told, env.unwrapped.image]
        copies += copy.deepcopy(kept[-2:])
        if told[2]:
            kept.append(env.reset())
            copies.append(copy.deepcopy(kept[-1]))
    oracles.assert_identical(kept, copies)
    spans = sorted((*np.lib.array_utils.byte_bounds(array), where) for where, array in arrays_in(kept))
    for (_, high, where), (low, _, after) in itertools.pairwise(spans):
        assert high <= low, (where, after)


# ---------------------------------------------------------------- what is not accepted


@every_mode
@some_cases
def test_no_step_before_the_first_reset(case, mode):
    env = native(case, mode=mode)
    with pytest.raises(ResetNeeded, match="reset"):
        env.step(env.action_space.sample())
    with pytest.raises(ResetNeeded, match="every sub-env"):
        env.reset(options={"reset_mask": np.arange(N) == 0})
    with pytest.raises(ResetNeeded, match="reset"):
        env.step(env.action_space.sample())
    mask = np.ones(N, bool)
    oracles.assert_identical(env.reset(seed=0, options={"reset_mask": mask}), native(case).reset(seed=0))


@some_cases
def test_where_the_user_resets_no_step_after_an_end(case):
    env, twin = (native(case, mode=AutoresetMode.DISABLED) for _ in range(2))
    env.action_space.seed(9)
    env.reset(seed=0), twin.reset(seed=0)
    terminated = np.zeros(N, bool)
    while not terminated.any():
        action = env.action_space.sample()
        terminated = env.step(action)[2]
        twin.step(action)
    with pytest.raises(ResetNeeded, match=rf"sub-envs \[.*{np.flatnonzero(terminated)[0]}"):
        env.step(env.action_space.sample())
    options = {"reset_mask": terminated}
    oracles.assert_identical(env.reset(options=options), twin.reset(options=options))
    action = env.action_space.sample()
    oracles.assert_identical(env.step(action), twin.step(action))


BAD_MASKS = [
    ([True] * N, TypeError),
    (np.ones(N), TypeError),
    (np.ones(N, int), TypeError),
    (True, TypeError),
    ("all", TypeError),
    (np.ones(N - 1, bool), ValueError),
    (np.ones((N, 1), bool), ValueError),
    (np.bool_([True]), ValueError),
    (np.zeros(N, bool), ValueError),
]
BAD_RESETS = [({"options": {"reset_mask": mask}}, error) for mask, error in BAD_MASKS]
BAD_RESETS += [({"seed": [1, 2]}, ValueError), ({"seed": list(range(N + 1))}, ValueError)]
BAD_RESETS += [({"seed": [0, 1, 2, 3, bad]}, ValueError) for bad in (-1, 0.5, "4", True)]
BAD_RESETS += [({"seed": bad}, (ValueError, TypeError)) for bad in (-1, 0.5, "4")]
BAD_RESETS += [({"options": {"mask": np.ones(N, bool)}}, ValueError)]
BAD_RESETS += [({"options": {"reset_mask": np.arange(N) == 1, "nothing": 1}}, ValueError)]


@pytest.mark.parametrize(("bad", "error"), BAD_RESETS, ids=repr)
@some_cases
def test_a_bad_reset_leaves_everything_as_it_was(case, bad, error):
    env, twin = native(case), native(case)
    env.action_space.seed(10)
    env.reset(seed=0), twin.reset(seed=0)
    with pytest.raises(error, match=r"reset_mask|seed|options"):
        env.reset(**bad)
    for _ in range(12):
        action = env.action_space.sample()
        oracles.assert_identical(env.step(action), twin.step(action))
    oracles.assert_identical(env.reset(), twin.reset())


@pytest.mark.parametrize("bad", [-1, 0, 1.5, True, "4"])
def test_the_number_of_sub_envs_is_a_whole_number_of_at_least_one(bad):
    from glimpse_gym.envs import CatchVectorEnv

    with pytest.raises(ValueError, match="num_envs"):
        CatchVectorEnv(bad)


def test_unknown_modes_and_keyword_values():
    with pytest.raises(ValueError, match="later"):
        native("Catch", mode="later")
    with pytest.raises(TypeError, match=r"unknown keyword values \['speed'\]; accepted: .*num_glimpses"):
        native("Catch", speed=2)


# ---------------------------------------------------------------- gym.make_vec and wrappers


def test_make_vec_passes_keyword_values():
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
        for each in (told, expected):  # how long it took is not the env's affair
            if "episode" in each[4]:
                each[4]["episode"].pop("t", None)
        if "episode" in told[4]:
            lengths += told[4]["episode"]["l"][told[4]["_episode"]].tolist()
        oracles.assert_identical(told, expected)
    most = mine.unwrapped.world.horizon
    assert max(lengths) == most
    assert (set(lengths) == {most}) == (case != "MNISTDiscrete")


def test_pictures_of_all():
    mine, theirs = native("Catch", render_mode="rgb_array"), sync("Catch", render_mode="rgb_array")
    mine.action_space.seed(12)
    reset_both(mine, theirs, seed=0)
    for _ in range(25):
        step_both(mine, theirs)
    oracles.assert_identical(mine.render(), theirs.render())
    assert native("Catch").render() is None
