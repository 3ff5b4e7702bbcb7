"""Memory of worlds: claims before anything is allocated, and comparison of the claims with measured peaks."""

import tracemalloc

import gymnasium as gym
import numpy as np
import pytest

import oracles
from glimpse_gym.envs import CatchEnv, CatchVectorEnv, ClassificationEnv, ClassificationVectorEnv
from glimpse_gym.validation import shown
from toy_world import SideEnv

IMAGES = np.random.default_rng(0).integers(0, 256, (40, 28, 28), np.uint8)
GIVEN = {"images": IMAGES, "labels": np.arange(40) % 10, "split": "all", "patch_size": 1, "num_glimpses": 2}

# Each lets another part of the memory grow: number of sub-envs and arguments.
CASES = {
    "rows": (CatchVectorEnv, 5000, {"num_glimpses": 2, "patch_size": 1, "num_scales": 1}),
    "rows with images": (ClassificationVectorEnv, 5000, GIVEN),
    "rows with warps": (ClassificationVectorEnv, 5000, GIVEN | {"canvas_size": 30, "rotation": (0, 5)}),
    "clutter": (ClassificationVectorEnv, 50, GIVEN | {"canvas_size": 30, "num_clutter": 1000}),
    "glimpses": (ClassificationVectorEnv, 200, GIVEN | {"patch_size": 40, "num_scales": 3}),
    "flat glimpses": (ClassificationVectorEnv, 200, GIVEN | {"patch_size": 60, "observations": "flat"}),
    "last glimpses": (
        ClassificationVectorEnv,
        200,
        GIVEN | {"patch_size": 60, "observations": "flat", "num_glimpses": 1, "autoreset_mode": "SameStep"},
    ),
    "canvases": (ClassificationVectorEnv, 20, GIVEN | {"canvas_size": 500}),
    "canvases with tiles": (ClassificationVectorEnv, 20, GIVEN | {"canvas_size": 600, "num_clutter": 20}),
    "screens": (CatchVectorEnv, 100, {"num_glimpses": 200, "patch_size": 1, "num_scales": 1}),
    "whole screens": (CatchVectorEnv, 20, {"num_glimpses": 200, "observe": "screen"}),
    "times": (ClassificationEnv, None, GIVEN | {"num_glimpses": 500_000}),
    "cells": (CatchEnv, None, {"grid_size": 500, "actions": "discrete"}),
    "scores": (ClassificationVectorEnv, 50, GIVEN | {"num_classes": 5000, "actions": "continuous"}),
    "masks": (ClassificationVectorEnv, 500, GIVEN | {"grid_size": 100, "actions": "multidiscrete"}),
    "frames": (CatchVectorEnv, 4, {"render_mode": "rgb_array"}),
}


def make(env_class, num_envs, kwargs):
    return env_class(**kwargs) if num_envs is None else env_class(num_envs, **kwargs)


def use(env):
    env.action_space.seed(0)
    env.reset(seed=0)
    action = env.action_space.sample()
    if env.world.num_rows > 1 or env.world.horizon > 2:
        env.step(action)
    if not isinstance(action, dict) and action.dtype.kind == "i":
        env.action_masks()
    if env.render_mode:
        env.render()
    return env.step(action)


@pytest.mark.parametrize("case", CASES)
def test_claims_are_at_least_the_memory_that_is_taken(case):
    env_class, num_envs, kwargs = CASES[case]
    use(make(env_class, num_envs and 2, kwargs))  # imports, and compiles the kernels
    tracemalloc.start()
    try:
        env = make(env_class, num_envs, kwargs)
        use(env)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    claimed = env.world.claimed_bytes
    assert peak < claimed < 10 * peak
    # The same env is made with this limit and not with a lower one.
    make(env_class, num_envs, kwargs | {"max_bytes": claimed})
    with pytest.raises(ValueError, match=f"bytes of memory, more than max_bytes={claimed - 1:,}: pass .*or a larger"):
        make(env_class, num_envs, kwargs | {"max_bytes": claimed - 1})


HUGE = [
    (ClassificationVectorEnv, 10**9, GIVEN, "num_envs=1000000000, num_glimpses=2 and Retina"),
    (ClassificationVectorEnv, 2, GIVEN | {"canvas_size": 10**6}, "num_envs=2, canvas_size=1000000 x 1000000"),
    (ClassificationVectorEnv, 1000, GIVEN | {"canvas_size": 30, "num_clutter": 10_000}, "num_clutter=10000 take"),
    (ClassificationEnv, None, GIVEN | {"num_glimpses": 2**31 - 1}, "num_glimpses=2147483647"),
    (ClassificationEnv, None, GIVEN | {"patch_size": 2**31 - 1}, "patch_size=2147483647"),
    (CatchEnv, None, {"num_glimpses": 10**5}, "num_glimpses=100000"),
    (CatchEnv, None, {"num_glimpses": 10**4, "observe": "screen"}, "patch_size=10001"),
    (
        CatchVectorEnv,
        10_000,
        {"grid_size": 1000, "actions": "discrete"},
        "num_envs=10000, grid_size=1000 and 3 choices",
    ),
    (CatchVectorEnv, 10_000, {"render_mode": "rgb_array"}, "frames of num_envs=10000 with render_mode='rgb_array'"),
    (
        ClassificationVectorEnv,
        1000,
        GIVEN | {"num_classes": 100_000, "actions": "continuous"},
        "num_envs=1000, grid_size=5 and 100000 choices",
    ),
]


@pytest.mark.parametrize(("env_class", "num_envs", "kwargs", "message"), HUGE, ids=[case[-1] for case in HUGE])
def test_envs_that_take_too_much_memory_allocate_nothing(env_class, num_envs, kwargs, message):
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=f"{message}.* bytes of memory, more than max_bytes=2,000,000,000: pass "):
            make(env_class, num_envs, kwargs)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 150_000_000


@pytest.mark.parametrize("bad", [0, -1, 1e9, "1", None, True, 2**63])
def test_bad_limits(bad):
    with pytest.raises(ValueError, match="max_bytes must be an integer from 1 to 9223372036854775807, got"):
        CatchEnv(max_bytes=bad)


def test_limits_by_keyword_argument_and_in_worlds_without_one():
    with pytest.raises(ValueError, match="num_envs=3, num_glimpses=23 and Retina"):
        gym.make_vec("glimpse_gym/Catch-v0", num_envs=3, max_bytes=1000)
    env, twin = (gym.make("glimpse_gym/Catch-v0", **kwargs) for kwargs in ({}, {"max_bytes": 10**12}))
    oracles.assert_identical(env.reset(seed=0), twin.reset(seed=0))
    assert SideEnv().world.claimed_bytes < 1_000_000


class BadRepr:
    def __repr__(self):
        raise RuntimeError("repr")


@pytest.mark.parametrize(
    "options",
    [5, "ab", [("image_index", 1)], BadRepr(), {BadRepr(): 1}, {10**5000: 1}, {None: 1}],
    ids=shown,
)
def test_bad_options(options):
    env, twin = CatchEnv(), CatchEnv()
    env.reset(seed=0), twin.reset(seed=0)
    with pytest.raises(
        ValueError, match=r"options must be a dict or None, got |unknown options .*; accepted here: none"
    ):
        env.reset(options=options)
    oracles.assert_identical(env.reset(), twin.reset())
