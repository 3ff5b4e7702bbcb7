"""Vector envs on torch devices: no reads from the device within an episode, and capture."""

import pytest
import torch
from gymnasium.vector import AutoresetMode
from torch.utils._python_dispatch import TorchDispatchMode

import oracles
from device_cases import CPU, assert_equal, needs_cuda, on_both, to_arrays, to_tensors
from glimpse_gym import vector
from glimpse_gym.envs import ClassificationWorld
from glimpse_gym.kernels import torch_kernels
from glimpse_gym.kernels.torch_backend import TorchBackend
from glimpse_gym.world import World
from vector_cases import CASES, native

NEXT_STEP, DISABLED = AutoresetMode.NEXT_STEP, AutoresetMode.DISABLED
FIXED_LENGTH = [case for case in CASES if case.startswith("Catch") or "Discrete" not in case]


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
