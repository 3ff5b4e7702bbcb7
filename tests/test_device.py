"""Vector envs on torch devices: the same bits as NumPy, and no reads from the device within an episode."""

import copy
import gc
import json
import pickle
import subprocess
import sys
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode
from torch.utils._python_dispatch import TorchDispatchMode

import oracles
from device_cases import CPU, assert_equal, assert_same_episodes, on_both, to_arrays, to_tensors
from glimpse_gym import ENV_IDS, vector
from glimpse_gym.envs import CatchVectorEnv, ClassificationWorld
from glimpse_gym.kernels import torch_backend, torch_kernels
from glimpse_gym.kernels.backend import NUMPY, make_backend
from glimpse_gym.kernels.torch_backend import TorchBackend
from glimpse_gym.world import World
from test_digests import keywords
from vector_cases import CASES, IMAGES, OWN, every_case, every_mode, native, some_cases

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device, and there is none")
NEXT_STEP, DISABLED = AutoresetMode.NEXT_STEP, AutoresetMode.DISABLED
FIXED_LENGTH = [case for case in CASES if case.startswith("Catch") or "Discrete" not in case]

# ---------------------------------------------------------------- the same bits as NumPy


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


def test_backends_can_be_copied():
    assert copy.deepcopy(make_backend(CPU)).device == CPU
    assert copy.deepcopy(NUMPY).kernels is NUMPY.kernels


# ---------------------------------------------------------------- no reads from the device

READS = {"_local_scalar_dense", "nonzero", "masked_select", "equal", "is_nonzero", "unique_dim", "_unique2"}


class NoReads(TorchDispatchMode):
    """Fails on operations that wait for a device: reads of a value, and shapes that depend on values."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function.overloadpacket.__name__
        assert name not in READS, name
        if name in ("index", "index_put", "index_put_"):
            assert all(index is None or index.dtype is torch.int64 for index in args[1]), name
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("case", FIXED_LENGTH)
def test_no_reads_within_an_episode(case):
    env = native(case, device=CPU)
    env.action_space.seed(0)
    actions = [to_tensors(env.action_space.sample()) for _ in range(env.metadata["num_glimpses"])]
    env.reset(seed=0)
    with NoReads():
        for action in actions[:-1]:
            assert not to_arrays(env.step(action)[2]).any()
    with pytest.raises(AssertionError, match="_local_scalar_dense"), NoReads():
        env.step(actions[-1])


def test_discrete_actions_read_only_which_episodes_have_ended():
    env = native("MNISTDiscrete", device=CPU)
    env.reset(seed=0)
    look = torch.zeros(5, dtype=torch.int64)
    with NoReads():
        for _ in range(3):  # on the CPU that is no copy
            env.step(look)


@pytest.mark.parametrize("case", FIXED_LENGTH)
def test_steps_run_on_a_device_without_values(case, monkeypatch):
    monkeypatch.setattr(vector, "make_backend", lambda device: TorchBackend(torch.device(device)))
    monkeypatch.setattr(World, "image_size", (5, 5))
    monkeypatch.setattr(ClassificationWorld, "image_size", (5, 5))
    env = native(case, device="meta")  # its tensors have shapes, and reading one is an error
    with monkeypatch.context() as within_reset:  # which may read
        within_reset.setattr(TorchBackend, "is_capturing", True)
        within_reset.setattr(torch_kernels, "_largest_size", lambda sizes: (5, 5))
        env.reset(seed=0)
    env.action_space.seed(0)
    actions = [to_tensors(env.action_space.sample(), "meta") for _ in range(env.metadata["num_glimpses"])]
    for action in actions[:-1]:
        env.step(action)
    with pytest.raises(RuntimeError, match="meta"):
        env.step(actions[-1])  # reads whether values were bad


@pytest.mark.parametrize("case", FIXED_LENGTH)
def test_a_whole_episode_can_be_captured(case, monkeypatch):
    """With its reset it reads nothing from the device and copies nothing to it."""
    env = native(case, mode=DISABLED, device=CPU)
    env.action_space.seed(0)
    actions = [to_tensors(env.action_space.sample()) for _ in range(env.metadata["num_glimpses"])]

    def play():
        return env.reset(), [env.step(action) for action in actions]

    env.reset(seed=0)
    play()

    def fail(*args):
        raise AssertionError("a copy between host and device")

    monkeypatch.setattr(TorchBackend, "is_capturing", True)
    monkeypatch.setattr(TorchBackend, "from_host", fail)
    monkeypatch.setattr(TorchBackend, "to_host", fail)
    with NoReads():
        play()


def step_of_world(env, action):
    world = env.unwrapped.world
    outcome = world.step(env.unwrapped._device_actions.decode(action), world.running.clone())
    return world.observe(), outcome.reward, outcome.terminated


@pytest.mark.parametrize("case", ["MNIST", "ClutteredMNIST", "Catch", "CatchDiscrete"])
def test_a_step_is_one_graph(case):
    mine, theirs = on_both(case, NEXT_STEP)
    mine.reset(seed=0), theirs.reset(seed=0)
    theirs.action_space.seed(0)
    step = torch.compile(step_of_world, fullgraph=True, backend="eager")
    for _ in range(3):
        action = theirs.action_space.sample()
        oracles.assert_identical(to_arrays(step(mine, to_tensors(action))), theirs.step(action)[:3])


@needs_cuda
@pytest.mark.parametrize("case", ["MNIST", "ClutteredMNIST", "Catch", "CatchDiscrete"])
def test_compiled_steps_on_cuda(case):
    mine, theirs = on_both(case, NEXT_STEP, "cuda")
    mine.reset(seed=0), theirs.reset(seed=0)
    theirs.action_space.seed(0)
    step = torch.compile(step_of_world, fullgraph=True)
    for _ in range(3):
        action = theirs.action_space.sample()
        oracles.assert_identical(to_arrays(step(mine, to_tensors(action, "cuda"))), theirs.step(action)[:3])


@needs_cuda
@pytest.mark.parametrize("case", ["MNIST", "ClutteredMNIST", "Catch", "TranslatedMNIST-multidiscrete"])
def test_an_episode_as_a_cuda_graph(case):
    mine, theirs = on_both(case, DISABLED, "cuda")
    theirs.action_space.seed(0)
    actions = [theirs.action_space.sample() for _ in range(theirs.metadata["num_glimpses"])]
    tensors = [to_tensors(action, "cuda") for action in actions]

    def play(env, actions):
        return env.reset(), [env.step(action) for action in actions]

    mine.reset(seed=3), theirs.reset(seed=3)
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        play(mine, tensors)
    torch.cuda.current_stream().wait_stream(side)
    play(theirs, actions)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        told = play(mine, tensors)
    for _ in range(3):  # each replay plays new episodes
        graph.replay()
        start, steps = play(theirs, actions)
        assert_equal(told[0], start)
        for mine_told, expected in zip(told[1], steps, strict=True):
            assert_equal(mine_told, expected)


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    "bad", ["", "CPU", "gpu", "torch:", "torch:gpu", "cuda:x", "cuda:-1", None, 0, ["cpu"], np.zeros(2)]
)
def test_unknown_devices(bad):
    with pytest.raises(ValueError, match=r"device must be 'cpu' \(NumPy arrays\), 'torch:cpu' .* 'cuda:1'; got "):
        CatchVectorEnv(2, device=bad)


@pytest.mark.parametrize("bad", ["cuda:99", torch.device("cuda:99"), "xpu:99"])
def test_devices_that_do_not_exist(bad):
    with pytest.raises(
        ValueError, match=r"device .*99.* cannot be used: .*Devices of this machine: 'cpu', 'torch:cpu'"
    ):
        CatchVectorEnv(2, device=bad)


@pytest.mark.parametrize("bad", ["mps", "torch:mps", torch.device("mps:0")])
def test_devices_without_64_bit_numbers(bad):
    with pytest.raises(ValueError, match="has no 64-bit floating-point numbers, which locations need: use 'cpu'"):
        CatchVectorEnv(2, device=bad)


@pytest.mark.parametrize("good", ["torch:cpu", "torch:cpu:0", torch.device("cpu")])
def test_names_of_devices(good):
    assert CatchVectorEnv(2, device=good).metadata["device"] == CPU


def test_too_little_memory(monkeypatch):
    monkeypatch.setattr(TorchBackend, "free_bytes", lambda self: 700_000_000)
    native("Images", device=CPU)
    for num_envs, kwargs in ((100_000, OWN), (100_000, {"images": IMAGES, "labels": np.arange(40) % 4})):
        with pytest.raises(
            ValueError,
            match=r"num_envs=100000, .* take .* bytes of memory on device 'torch:cpu' .*, which has 700,000,000",
        ):
            gym.make_vec("glimpse_gym/Images-v0", num_envs=num_envs, device=CPU, max_bytes=10**12, **kwargs)
    monkeypatch.setattr(TorchBackend, "free_bytes", lambda self: 600_000_100)
    with pytest.raises(ValueError, match="images of 17,160 bytes take 600,017,160 bytes of memory on device"):
        make_backend(CPU).share(np.ascontiguousarray(IMAGES.reshape(-1)))


def test_patches_that_take_too_much_memory():
    kwargs = {"patch_size": 100, "num_scales": 12, "images": IMAGES, "labels": np.arange(40) % 4}
    gym.make_vec("glimpse_gym/Images-v0", num_envs=2, **kwargs)
    with pytest.raises(ValueError, match=r"Retina\(patch_size=100, num_scales=12\) take .* more than max_bytes="):
        gym.make_vec("glimpse_gym/Images-v0", num_envs=2, device=CPU, **kwargs)


def test_without_torch(monkeypatch):
    monkeypatch.setattr("glimpse_gym.kernels.backend.find_spec", lambda name: None)
    with pytest.raises(
        ModuleNotFoundError, match="device='cuda' needs torch, which is not installed: pip install torch"
    ):
        CatchVectorEnv(2, device="cuda")
    CatchVectorEnv(2)


def test_envs_on_the_cpu_do_not_import_torch():
    program = (
        "import sys, conftest, gymnasium, glimpse_gym; gymnasium.make_vec('glimpse_gym/Catch-v0', num_envs=2).reset(); "
        "print('torch' in sys.modules)"
    )
    command = [sys.executable, "-c", program]
    root = Path(__file__).parents[1]
    assert subprocess.run(command, capture_output=True, text=True, check=True, cwd=root).stdout.strip() == "False"


@pytest.mark.parametrize("mode", ["rgb_array", "human", "ansi"])
def test_rendering_needs_the_cpu(mode):
    with pytest.raises(ValueError, match=f"render_mode='{mode}' needs device='cpu', got 'torch:cpu'"):
        CatchVectorEnv(2, device=CPU, render_mode=mode)


def test_single_envs_have_no_device():
    with pytest.raises(TypeError, match=r"unexpected keyword argument 'device' \(only vector envs have one"):
        gym.make("glimpse_gym/Catch-v0", device=CPU)


def test_worlds_of_numpy_only():
    from toy_world import SideVectorEnv

    SideVectorEnv(2)
    with pytest.raises(ValueError, match="SideWorld computes with NumPy only: make the env with device='cpu'"):
        SideVectorEnv(2, device=CPU)


GOOD = {"next_location": torch.zeros(5, 2), "move": torch.ones(5, dtype=torch.int64)}
BAD_TYPES = [
    ({"next_location": np.zeros((5, 2), np.float32)}, "convert it with torch.as_tensor", TypeError),
    ({"move": np.ones(5, np.int64)}, "convert it with torch.as_tensor", TypeError),
    ({"move": [1] * 5}, "got an object of type list", TypeError),
    (
        {"next_location": torch.zeros(5, 2, device="meta")},
        r"got one on device 'meta': call .to\('cpu'\) on it",
        TypeError,
    ),
    ({"next_location": torch.zeros(5, 2, dtype=torch.float64)}, "got torch.float64 of shape", ValueError),
    ({"next_location": torch.zeros(5, 2, dtype=torch.int64)}, "got torch.int64 of shape", ValueError),
    ({"next_location": torch.zeros(5, 3)}, r"of shape \(5, 2\) .*, got torch.float32 of shape \(5, 3\)", ValueError),
    ({"next_location": torch.zeros(4, 2)}, r"got torch.float32 of shape \(4, 2\)", ValueError),
    ({"next_location": torch.zeros(5, 2, requires_grad=True)}, r"call .detach\(\) on it", ValueError),
    (
        {"move": torch.ones(5, dtype=torch.int32)},
        "must be a tensor of torch.int64 of shape .*, got torch.int32",
        ValueError,
    ),
    ({"move": torch.ones(5)}, "got torch.float32", ValueError),
    ({"move": torch.ones(5, 1, dtype=torch.int64)}, r"got torch.int64 of shape \(5, 1\)", ValueError),
    ({"label": GOOD["move"]}, "keys 'next_location' and 'move', got the keys", ValueError),
]


@pytest.mark.parametrize(("change", "message", "error"), BAD_TYPES, ids=[message for _, message, _ in BAD_TYPES])
def test_bad_actions_that_change_nothing(change, message, error):
    env, twin = native("Catch", device=CPU), native("Catch", device=CPU)
    env.reset(seed=0), twin.reset(seed=0)
    with pytest.raises(error, match=message):
        env.step(GOOD | change)
    oracles.assert_identical(to_arrays(env.step(GOOD)), to_arrays(twin.step(GOOD)))


@pytest.mark.parametrize(
    ("case", "bad"),
    [
        ("CatchDiscrete", GOOD),
        ("CatchDiscrete", torch.zeros(5)),
        ("CatchDiscrete", torch.zeros(5, 2, dtype=torch.int64)),
        ("CatchContinuous", torch.zeros(5, 2)),
        ("CatchContinuous", np.zeros((5, 5), np.float32)),
        ("Catch-screen", torch.zeros(5, dtype=torch.int64)),
        ("MNISTDiscrete", None),
    ],
)
def test_bad_actions_of_other_forms(case, bad):
    env = native(case, device=CPU)
    env.reset(seed=0)
    with pytest.raises((TypeError, ValueError), match=r"action must be a tensor of torch.* on device 'cpu', got "):
        env.step(bad)


BAD_VALUES = [
    ("Catch", {"next_location": [0.0, np.nan]}, "NaN or infinite numbers"),
    ("Catch", {"next_location": [np.inf, 0.0]}, "NaN or infinite numbers"),
    ("Catch", {"move": 3}, "integers out of the range of Dict"),
    ("Catch", {"move": -1}, "integers out of the range of Dict"),
    ("CatchDiscrete", 75, r"integers out of the range of Discrete\(75\)"),
    ("CatchDiscrete", -1, r"integers out of the range of Discrete\(75\)"),
    ("Catch-screen", [3, 0], "integers out of the range of MultiDiscrete"),
    ("Catch-screen", [0, 25], "integers out of the range of MultiDiscrete"),
    ("CatchContinuous", [0, 0, 0, np.nan, 0], "NaN or infinite numbers"),
    ("CatchContinuous", [-np.inf, 0, 0, 0, 0], "NaN or infinite numbers"),
]


@pytest.mark.parametrize("when", ["end", "reset"])
@pytest.mark.parametrize(("case", "bad", "message"), BAD_VALUES, ids=[f"{case} {bad}" for case, bad, _ in BAD_VALUES])
def test_bad_values_are_errors_at_the_end_or_at_the_next_reset(case, bad, message, when):
    env, twin = native(case, device=CPU), native(case, device=CPU)
    env.action_space.seed(0)
    good = [to_tensors(env.action_space.sample()) for _ in range(env.metadata["num_glimpses"])]
    wrong = copy.deepcopy(good[0])
    for name, value in bad.items() if isinstance(bad, dict) else [(None, bad)]:
        (wrong if name is None else wrong[name])[3] = torch.as_tensor(value)
    env.reset(seed=0), twin.reset(seed=0)
    env.step(wrong), twin.step(good[0])
    for action in good[1:-1]:
        told, expected = env.step(action)[0], twin.step(action)[0]
    if isinstance(told, dict):  # the other episodes are not affected
        others = torch.arange(5) != 3
        oracles.assert_identical(
            *({name: to_arrays(part[others]) for name, part in t.items()} for t in (told, expected))
        )
    with pytest.raises(ValueError, match=rf"actions since the last check had {message}.* in the sub-envs \[3\]: "):
        env.reset(seed=0) if when == "reset" else env.step(good[-1])
    oracles.assert_identical(to_arrays(env.reset(seed=9)), to_arrays(twin.reset(seed=9)))  # reported only once


def test_masks_need_a_discrete_form():
    env = native("Catch", device=CPU)
    env.reset(seed=0)
    with pytest.raises(ValueError, match="has no action masks: make the env with actions='discrete'"):
        env.unwrapped.action_masks()


def test_first_reset_and_ends():
    env = native("CatchDiscrete", mode=DISABLED, device=CPU)
    with pytest.raises(gym.error.ResetNeeded, match="call reset"):
        env.step(torch.zeros(5, dtype=torch.int64))
    env.reset(seed=0)
    for _ in range(3):
        env.step(torch.zeros(5, dtype=torch.int64))
    with pytest.raises(gym.error.ResetNeeded, match=r"sub-envs \[0, 1, 2, 3, 4\]"):
        env.step(torch.zeros(5, dtype=torch.int64))


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
