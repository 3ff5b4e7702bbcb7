"""Bad input of the vector env: errors that change nothing."""

import numpy as np
import pytest
import torch
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode

import oracles
from glimpse_gym.validation import shown
from vector_cases import N, every_mode, native, some_cases


@every_mode
@some_cases
def test_step_needs_a_reset_first(case, mode):
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
def test_step_after_an_end_needs_a_reset_with_autoreset_disabled(case):
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
    (np.ma.array(np.ones(N, bool), mask=np.arange(N) == 2), ValueError),
]
BAD_RESETS = [({"options": {"reset_mask": mask}}, error) for mask, error in BAD_MASKS]
BAD_RESETS += [({"seed": [1, 2]}, ValueError), ({"seed": list(range(N + 1))}, ValueError)]
BAD_RESETS += [({"seed": [0, 1, 2, 3, bad]}, ValueError) for bad in (-1, 0.5, "4", True)]
BAD_RESETS += [({"seed": bad}, (ValueError, TypeError)) for bad in (-1, 0.5, "4")]
BAD_RESETS += [({"seed": bad}, ValueError) for bad in (2**64, 2**64 - 2, 10**5000, np.array(3), np.zeros((N, 2), int))]
BAD_RESETS += [({"seed": bad}, ValueError) for bad in (np.ma.arange(N), torch.arange(N), [*range(N - 1), 2**64])]
BAD_RESETS += [({"options": {"mask": np.ones(N, bool)}}, ValueError)]
BAD_RESETS += [({"options": {"reset_mask": np.arange(N) == 1, "nothing": 1}}, ValueError)]


@pytest.mark.parametrize(("bad", "error"), BAD_RESETS, ids=shown)
@some_cases
def test_bad_reset_changes_nothing(case, bad, error):
    env, twin = native(case), native(case)
    env.action_space.seed(10)
    env.reset(seed=0), twin.reset(seed=0)
    with pytest.raises(error, match=r"reset_mask|seed|options"):
        env.reset(**bad)
    for _ in range(12):
        action = env.action_space.sample()
        oracles.assert_identical(env.step(action), twin.step(action))
    oracles.assert_identical(env.reset(), twin.reset())
    assert env.unwrapped.np_random.bit_generator.state == twin.unwrapped.np_random.bit_generator.state


@some_cases
def test_the_largest_seed_is_that_of_the_last_sub_env(case):
    env = native(case)
    largest = [2**64 - N + i for i in range(N)]
    oracles.assert_identical(env.reset(seed=2**64 - N), native(case).reset(seed=largest))


@pytest.mark.parametrize("bad", [-1, 0, 1.5, True, "4", 2**31, 10**30, np.array(3)])
def test_num_envs_must_be_an_integer_of_at_least_1(bad):
    from glimpse_gym.envs import CatchVectorEnv

    with pytest.raises(ValueError, match="num_envs"):
        CatchVectorEnv(bad)


def test_num_envs_of_a_narrow_integer_type_does_not_overflow():
    from glimpse_gym.envs import CatchVectorEnv

    env, twin = CatchVectorEnv(np.uint8(200)), CatchVectorEnv(200)
    oracles.assert_identical(env.reset(seed=0), twin.reset(seed=0))
    assert env.action_space == twin.action_space


def test_unknown_autoreset_modes_and_keyword_arguments():
    from glimpse_gym.envs import CatchVectorEnv

    for bad in ("later", None, 0, ["NextStep"], np.zeros(2)):
        with pytest.raises(ValueError, match="autoreset_mode must be one of 'NextStep', 'SameStep', 'Disabled'; got "):
            CatchVectorEnv(2, autoreset_mode=bad)
    with pytest.raises(
        TypeError,
        match=r"CatchVectorEnv.__init__\(\) got an unexpected keyword argument 'speed'; accepted: .*num_glimpses",
    ):
        native("Catch", speed=2)
