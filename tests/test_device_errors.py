"""Vector envs on torch devices: bad devices, too little memory, and bad actions."""

import copy
import subprocess
import sys
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode

import oracles
from device_cases import CPU, to_arrays, to_tensors
from glimpse_gym.envs import CatchVectorEnv
from glimpse_gym.kernels.backend import make_backend
from glimpse_gym.kernels.torch_backend import TorchBackend
from vector_cases import IMAGES, OWN, native

DISABLED = AutoresetMode.DISABLED


@pytest.mark.parametrize(
    "bad", ["", "CPU", "gpu", "torch:", "torch:gpu", "cuda:x", "cuda:-1", None, 0, ["cpu"], np.zeros(2)]
)
def test_unknown_devices(bad):
    with pytest.raises(ValueError, match=r"device must be 'cpu' \(NumPy arrays\), 'torch:cpu' .* 'cuda:1'; got "):
        CatchVectorEnv(2, device=bad)


@pytest.mark.parametrize("bad", ["cuda:99", torch.device("cuda:99"), "xpu:99"])
def test_devices_that_do_not_exist(bad):
    with pytest.raises(
        ValueError, match=r"device .*99.* cannot be used .*; devices of this machine: 'cpu', 'torch:cpu'"
    ):
        CatchVectorEnv(2, device=bad)


def test_a_device_without_values():
    with pytest.raises(ValueError, match="device 'meta' computes no values: use one of 'cpu', 'torch:cpu'"):
        CatchVectorEnv(2, device="meta")


@pytest.mark.parametrize("bad", ["mps", "torch:mps", torch.device("mps:0")])
def test_devices_without_64_bit_numbers(bad):
    with pytest.raises(ValueError, match="has no 64-bit floating-point numbers, which locations need: use 'cpu'"):
        CatchVectorEnv(2, device=bad)


@pytest.mark.parametrize("bad", [None, 2, "yes"])
def test_compiled_is_a_bool(bad):
    with pytest.raises(ValueError, match="compiled must be one of False, True; got"):
        CatchVectorEnv(2, compiled=bad)


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
        make_backend(CPU).share(IMAGES.reshape(-1).copy())


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


def test_bad_values_with_same_step_autoreset_leave_no_episode_running():
    env = native("MNIST", mode=AutoresetMode.SAME_STEP, device=CPU)
    env.action_space.seed(0)
    actions = [to_tensors(env.action_space.sample()) for _ in range(env.metadata["num_glimpses"])]
    actions[0]["next_location"][3] = torch.nan
    env.reset(seed=0)
    for action in actions[:-1]:
        env.step(action)
    with pytest.raises(ValueError, match=r"NaN or infinite numbers in the sub-envs \[3\]"):
        env.step(actions[-1])
    with pytest.raises(gym.error.ResetNeeded, match=r"sub-envs \[0, 1, 2, 3, 4\]: call reset"):
        env.step(actions[-1])
    env.reset(seed=0)
    env.step(actions[-1])


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
