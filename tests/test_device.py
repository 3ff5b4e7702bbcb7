"""Vector envs on torch devices: the same bits as NumPy."""

import copy
import gc
import json
import pickle

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode

import oracles
from device_cases import CPU, assert_equal, assert_same_episodes, needs_cuda, on_both, to_arrays, to_tensors
from glimpse_gym import ENV_IDS
from glimpse_gym.kernels import torch_backend, torch_kernels
from glimpse_gym.kernels.backend import NUMPY, make_backend
from test_digests import keywords
from vector_cases import IMAGES, every_case, every_mode, native, some_cases

NEXT_STEP, DISABLED = AutoresetMode.NEXT_STEP, AutoresetMode.DISABLED


@every_mode
@every_case
def test_same_episodes_as_numpy(case, mode):
    assert_same_episodes(case, mode, CPU)


@needs_cuda
@every_mode
@every_case
def test_same_episodes_on_cuda(case, mode):
    assert_same_episodes(case, mode, "cuda")


@pytest.mark.parametrize("env_id", ENV_IDS)
def test_every_id(env_id):
    mine, theirs = (gym.make_vec(env_id, num_envs=3, **keywords(env_id), **device) for device in ({"device": CPU}, {}))
    theirs.action_space.seed(0)
    assert_equal(mine.reset(seed=2**64 - 3), theirs.reset(seed=2**64 - 3))
    for _ in range(50):
        action = theirs.action_space.sample()
        assert_equal(mine.step(to_tensors(action)), theirs.step(action))


DIFFERENT_SIZES = [
    np.full((height, width), 10 * height + width, np.uint8) for height, width in ((5, 9), (8, 4), (7, 7))
]
WORLDS = {
    "warped": {"rotation": (-90, 90), "zoom": (0.5, 2), "shift": (-3, 3)},
    "warped on a canvas": {"rotation": 20, "zoom": 1.3, "canvas_size": 30, "num_clutter": 5, "clutter_size": 3},
    "tiled on the CPU": {"canvas_size": (600, 520), "num_clutter": 30, "num_scales": 6},
    "different sizes": {"images": DIFFERENT_SIZES, "labels": [0, 1, 2]},
    "different sizes on a canvas": {"images": DIFFERENT_SIZES, "labels": [0, 1, 2], "canvas_size": (9, 10)},
    "different sizes warped": {"images": DIFFERENT_SIZES, "labels": [0, 1, 2], "canvas_size": 9, "rotation": (0, 99)},
    "many clutter": {"canvas_size": 20, "num_clutter": 40, "clutter_size": 11},
    "patches wider than the margin of the pixels": {"canvas_size": 20, "patch_size": 11, "num_scales": 9},
}


@pytest.mark.parametrize("kwargs", WORLDS.values(), ids=WORLDS)
def test_other_images_and_canvases(kwargs):
    given = {"images": IMAGES, "labels": np.arange(40) % 4, "num_glimpses": 3, "num_scales": 2, "patch_size": 5}
    mine, theirs = (
        gym.make_vec("glimpse_gym/Images-v0", num_envs=4, **given | kwargs, **device)
        for device in ({"device": CPU}, {})
    )
    theirs.action_space.seed(0)
    assert_equal(mine.reset(seed=3), theirs.reset(seed=3))
    for _ in range(12):
        action = theirs.action_space.sample()
        assert_equal(mine.step(to_tensors(action)), theirs.step(action))
        assert_equal(mine.unwrapped.image, theirs.unwrapped.image)


def test_chunks_change_nothing(monkeypatch):
    mine, theirs = on_both("ClutteredMNIST", NEXT_STEP)
    monkeypatch.setattr(torch_kernels, "_MAX_CHUNK_BYTES", 1000)
    assert_equal(mine.reset(seed=0), theirs.reset(seed=0))
    assert_equal(mine.unwrapped.image, theirs.unwrapped.image)


@every_mode
@pytest.mark.parametrize("case", ["MNISTDiscrete", "ClutteredMNIST"])
def test_reset_options(case, mode):
    mine, theirs = on_both(case, mode)
    for kwargs in (
        {"seed": 1, "options": {"image_index": 17}},
        {"options": {"image_index": np.arange(5)}},
        {"seed": list(range(5)), "options": {"image_index": 6, "reset_mask": np.arange(5) < 2}},
        {"seed": None},
    ):
        assert_equal(mine.reset(**copy.deepcopy(kwargs)), theirs.reset(**copy.deepcopy(kwargs)))
    mask = np.arange(5) == 3
    told = mine.reset(options={"reset_mask": torch.from_numpy(mask)})
    assert_equal(told, theirs.reset(options={"reset_mask": mask}))


def test_metadata_and_spaces():
    mine, theirs = on_both("MNIST", NEXT_STEP)
    assert mine.metadata == theirs.metadata | {"device": "torch:cpu"}
    assert theirs.metadata["device"] == "cpu"
    assert (mine.observation_space, mine.action_space) == (theirs.observation_space, theirs.action_space)


def test_oracles_of_the_worlds():
    for case, names in (("Catch", ("column", "landing_column", "target_boxes")), ("ClutteredMNIST", ("target_boxes",))):
        mine, theirs = on_both(case, NEXT_STEP)
        mine.reset(seed=0), theirs.reset(seed=0)
        for name in names:
            mine_told, told = getattr(mine.unwrapped.world, name), getattr(theirs.unwrapped.world, name)
            oracles.assert_identical(to_arrays(mine_told), told)


# ---------------------------------------------------------------- returned tensors and images


def tensors_in(told):
    if isinstance(told, torch.Tensor):
        yield told
    elif isinstance(told, (dict, tuple)):
        for part in told.values() if isinstance(told, dict) else told:
            yield from tensors_in(part)


@every_mode
@some_cases
def test_returned_tensors_are_never_overwritten_or_shared(case, mode):
    env, twin = native(case, mode=mode, device=CPU), native(case, mode=mode, device=CPU)
    env.action_space.seed(6)
    kept, copies = [], []
    told, expected = env.reset(seed=1), twin.reset(seed=1)
    for _ in range(30):
        kept.append(told), copies.append(copy.deepcopy(told))
        action = to_tensors(env.action_space.sample())
        told = env.step(copy.deepcopy(action))
        expected = twin.step(action)
        oracles.assert_identical(to_arrays(told)[:4], to_arrays(expected)[:4])
        for tensor in tensors_in(expected):  # writing changes nothing
            tensor.fill_(1)
        if mode is DISABLED and told[2].any():
            told = env.reset(options={"reset_mask": told[2]})
            twin.reset(options={"reset_mask": told[1]["_success"]})
    oracles.assert_identical(to_arrays(tuple(kept)), to_arrays(tuple(copies)))
    addresses = [tensor.untyped_storage().data_ptr() for tensor in tensors_in(tuple(kept))]
    assert len(addresses) == len(set(addresses))


def test_images_are_on_a_device_once():
    gc.collect()
    before = len(torch_backend._shared)
    one, other = native("MNIST", device=CPU), native("MNIST-flat", device=CPU)
    pixels = [env.unwrapped.world._pixels for env in (one, other)]
    assert pixels[0].dtype == torch.uint8
    assert pixels[0].data_ptr() == pixels[1].data_ptr()
    del one, other, pixels
    gc.collect()
    assert len(torch_backend._shared) == before


def test_arrays_of_the_user_may_change_between_envs():
    images, means = np.zeros((4, 8, 8), np.uint8), []
    for value in (0, 255):
        images[:] = value
        kwargs = {"images": images, "labels": np.arange(4), "first_glimpse": "center", "patch_size": 4}
        envs = [gym.make_vec("glimpse_gym/Images-v0", num_envs=2, device=device, **kwargs) for device in ("cpu", CPU)]
        means.append([float(env.reset(seed=0)[0]["glimpse"][:, 0].mean()) for env in envs])
    assert means == [[0.0, 0.0], [1.0, 1.0]]


def test_backends_can_be_copied():
    assert copy.deepcopy(make_backend(CPU)).device == CPU
    assert copy.deepcopy(NUMPY).kernels is NUMPY.kernels


def test_devices_in_specs_are_json():
    env = gym.make_vec("glimpse_gym/Catch-v0", num_envs=2, device=CPU)
    assert json.loads(env.spec.to_json())["kwargs"]["device"] == CPU


@pytest.mark.parametrize("case", ["ClutteredMNIST", "CatchDiscrete"])
def test_pickled_envs_continue(case):
    env = native(case, device=CPU).unwrapped
    env.reset(seed=0)
    other = pickle.loads(pickle.dumps(env))
    env.action_space.seed(0)
    for _ in range(9):
        action = to_tensors(env.action_space.sample())
        oracles.assert_identical(to_arrays(env.step(action)), to_arrays(other.step(action)))
