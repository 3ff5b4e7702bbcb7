"""Arrays returned by the envs: new each time, never overwritten or shared."""

import copy
import itertools

import numpy as np
from gymnasium.vector import AutoresetMode

import oracles
from vector_cases import IMAGES, every_case, every_mode, native, single, some_cases


def arrays_in(told, where=""):
    """All arrays returned by an env, nested ones included, with their names."""
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
def test_returned_arrays_are_never_overwritten_or_shared(case, mode):
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
    for action, before in given:  # actions are not modified
        oracles.assert_identical(action, before)

    state = [(name, value) for name, value in vars(env.unwrapped.world).items() if isinstance(value, np.ndarray)]
    state += [("centers", env.unwrapped.codec.centers), ("images", IMAGES)]
    returned = list(arrays_in(kept)) + list(arrays_in([action for action, _ in given], "action"))
    spans = []
    for where, array in returned:
        for name, part in state:
            assert not np.shares_memory(array, part), (where, name)
        low, high = np.lib.array_utils.byte_bounds(array)
        spans.append((low, high, where))
    # Each span is contiguous: none may overlap the next.
    spans.sort()
    for (_, high, where), (low, _, after) in itertools.pairwise(spans):
        assert high <= low, (where, after)


@every_mode
@some_cases
def test_writing_into_returned_arrays_changes_nothing(case, mode):
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
def test_arrays_returned_by_single_envs_are_never_overwritten_or_shared(case):
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
