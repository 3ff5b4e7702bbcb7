"""Vector envs on torch devices beside those with NumPy arrays, for the tests."""

import numpy as np
import pytest
import torch

import oracles
from vector_cases import N, native

CPU = "torch:cpu"
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device, and there is none")


def to_tensors(actions, device="cpu"):
    """Actions of a NumPy env as tensors of the dtypes that an env on a device takes."""
    if isinstance(actions, dict):
        return {name: to_tensors(part, device) for name, part in actions.items()}
    return torch.as_tensor(np.asarray(actions), device=device)


def to_arrays(told):
    """What an env on a device returns, with NumPy arrays for the tensors."""
    if isinstance(told, torch.Tensor):
        return told.cpu().numpy()
    if isinstance(told, dict):
        return {name: to_arrays(part) for name, part in told.items()}
    return type(told)(map(to_arrays, told)) if isinstance(told, tuple) else told


def in_finals(observation, mask):
    """A batch of final observations in the form of the NumPy envs: an object array, None where there is none."""
    finals = np.full(len(mask), None, dtype=object)
    for row in np.flatnonzero(mask):
        finals[row] = (
            {name: values[row] for name, values in observation.items()}
            if isinstance(observation, dict)
            else observation[row]
        )
    return finals


def assert_equal(told, expected):
    """Fail unless what an env on a device returns has the bits of what a NumPy env returns."""
    told = to_arrays(told)
    if isinstance(told[-1], dict) and "final_obs" in told[-1]:
        told[-1]["final_obs"] = in_finals(told[-1]["final_obs"], told[-1]["_final_obs"])
    oracles.assert_identical(told, expected)


def on_both(case, mode, device=CPU, num_envs=N, **more):
    return native(case, num_envs, mode, device=device, **more), native(case, num_envs, mode, **more)


def assert_same_episodes(case, mode, device, num_steps=80):
    """Fail unless an env on a device has the episodes of the NumPy env, with resets of all kinds in between."""
    mine, theirs = on_both(case, mode, device)
    theirs.action_space.seed(1)
    rng = np.random.default_rng(2)
    tensor_device = mine.unwrapped.world.backend.torch_device

    def reset(**kwargs):
        assert_equal(mine.reset(**kwargs), theirs.reset(**kwargs))
        assert_equal(mine.unwrapped.image, theirs.unwrapped.image)

    reset(seed=7)
    ends = np.zeros(N, int)
    for step in range(num_steps):
        action = theirs.action_space.sample()
        expected = theirs.step(action)
        assert_equal(mine.step(to_tensors(action, tensor_device)), expected)
        assert_equal(mine.unwrapped.image, theirs.unwrapped.image)
        if hasattr(theirs.unwrapped.single_action_space, "n") or hasattr(theirs.unwrapped.single_action_space, "nvec"):
            assert_equal((mine.unwrapped.action_masks(),), (theirs.unwrapped.action_masks(),))
        terminated = expected[2]
        ends += terminated
        if mode.name == "DISABLED" and terminated.any():
            reset(options={"reset_mask": terminated | (rng.random(N) < 0.2)}, seed=[None, step, None, 5, None])
        elif step == num_steps // 3:  # during the episodes
            reset(options={"reset_mask": np.arange(N) % 2 == 0}, seed=11)
        elif step == num_steps // 2:
            reset(seed=[3, None, 5, 2**64 - 1, None])
    assert (ends > 1).all()
