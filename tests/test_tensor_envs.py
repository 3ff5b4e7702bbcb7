"""Learners on a torch device, tested on torch's CPU device: the same bits as with NumPy arrays."""

import numpy as np
import pytest
import torch

from glimpse_gym.agents.configs import (
    ClassifierConfig,
    DiscreteRAMConfig,
    PPOConfig,
    RAMConfig,
    ReinforceConfig,
    SupervisedConfig,
)
from glimpse_gym.agents.pathwise import with_pathwise_gradient
from glimpse_gym.agents.ram import RAMOutput
from glimpse_gym.agents.registry import make_learner
from glimpse_gym.agents.reinforce import Rollout
from glimpse_gym.agents.task_envs import make_envs
from glimpse_gym.agents.tensor_envs import TensorEnvs, to_arrays
from runs import CATCH, IMAGES, SMALL_RAM, noise_images, whole_image

TRAINING = {"num_episodes": 48, "batch_size": 8}
CASES = {
    "reinforce": (IMAGES, noise_images(), ReinforceConfig(**TRAINING, copies_per_image=2), RAMConfig(**SMALL_RAM)),
    "last-loss": (IMAGES, noise_images(), ReinforceConfig(**TRAINING, loss_weighting="last"), RAMConfig(**SMALL_RAM)),
    "candidates": (
        IMAGES,
        noise_images(),
        ReinforceConfig(**TRAINING, candidates_per_episode=3, selection_start=0.2),
        RAMConfig(**SMALL_RAM),
    ),
    "ppo": (
        CATCH,
        {"num_glimpses": 3, "patch_size": 3, "num_scales": 2},
        PPOConfig(**TRAINING, minibatch_size=4),
        RAMConfig(**SMALL_RAM, core="lstm"),
    ),
    "ppo-discrete": (
        IMAGES,
        noise_images(actions="discrete"),
        PPOConfig(**TRAINING, minibatch_size=4),
        DiscreteRAMConfig(**SMALL_RAM),
    ),
    "supervised": (
        IMAGES,
        noise_images(**whole_image(16)),
        SupervisedConfig(**TRAINING),
        ClassifierConfig(units=8),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_training_on_a_torch_device_gives_the_same_bits(case):
    env_id, env_kwargs, config, policy_config = CASES[case]
    results = []
    for device in ("cpu", "torch:cpu"):
        learner = make_learner(env_id, env_kwargs, type(config)(**vars(config) | {"device": device}), policy_config)
        assert learner.envs.metadata["device"] == device
        updates = [learner.update() for _ in range(3)]
        results.append((updates, learner.policy.state_dict()))
    (updates, weights), (other_updates, other_weights) = results
    assert updates == other_updates
    assert weights.keys() == other_weights.keys()
    assert all(torch.equal(weights[name], other_weights[name]) for name in weights)


@pytest.mark.parametrize("device", ["cpu", "torch:cpu"])
def test_tensor_envs_give_and_take_tensors(device):
    envs = TensorEnvs(make_envs(IMAGES, noise_images(), "train", 3, device))
    observation, infos = envs.reset(seed=[1, 2, 3])
    action = {"next_location": torch.zeros(3, 2), "label": torch.zeros(3, dtype=torch.int64)}
    for _ in range(4):
        observation, reward, terminated, truncated, infos = envs.step(action)
    parts = [*observation.values(), reward, terminated, truncated, infos["label"], infos["correct"]]
    assert all(isinstance(part, torch.Tensor) for part in parts)
    assert terminated.all()


def test_to_arrays_shares_memory_on_the_cpu():
    tensor = torch.ones(2, requires_grad=True)
    (array,) = to_arrays({"a": tensor}).values()
    assert isinstance(array, np.ndarray)
    assert np.shares_memory(array, tensor.detach().numpy())


def test_rules_of_locations_need_numpy():
    config = ReinforceConfig(**TRAINING, device="torch:cpu")
    with pytest.raises(ValueError, match="chosen by a rule with device='cpu' only, got 'torch:cpu'"):
        make_learner(IMAGES, noise_images(), config, RAMConfig(**SMALL_RAM, location_policy="raster"))


def test_missing_device():
    with pytest.raises(ValueError, match="device"):
        make_learner(IMAGES, noise_images(), ReinforceConfig(**TRAINING, device="cuda:99"), RAMConfig(**SMALL_RAM))


def test_device_is_not_an_env_kwarg():
    with pytest.raises(ValueError, match=r"\['device'\] cannot be given as env keyword arguments"):
        make_envs(IMAGES, noise_images(device="torch:cpu"), "train", 2)


@pytest.mark.parametrize("encoder", ["fc", "conv"])
@pytest.mark.parametrize("core", ["relu", "gru", "lstm"])
def test_networks_and_losses_compute_on_the_device_of_the_policy(core, encoder):
    # torch's meta device computes shapes only, and refuses to mix its tensors with those of the CPU.
    config = RAMConfig(**SMALL_RAM, core=core, glimpse_network=encoder)
    learner = make_learner(IMAGES, noise_images(), ReinforceConfig(**TRAINING, copies_per_image=2), config)
    policy = learner.policy.to("meta")
    glimpse, location = torch.empty(8, 2, 4, 4, device="meta"), torch.empty(8, 2, device="meta")
    outputs, samples, state = [], [], policy.initial_state(8)
    for _ in range(4):
        output, state = policy(glimpse, location, state)
        samples.append(policy.sample_location(output.location_mean))
        moved = output.location_mean.clamp(-1, 1)
        glimpse = with_pathwise_gradient(glimpse.detach(), moved, 2, learner._half_image_size(), 0.4)
        action = policy.to_action(output.logits.argmax(-1), samples[-1])
        outputs.append(output)
    stacked = RAMOutput(*(torch.stack(parts) for parts in zip(*outputs, strict=True)))
    labels, correct = (torch.empty(8, dtype=dtype, device="meta") for dtype in (torch.int64, torch.bool))
    losses = learner.loss(Rollout(stacked, torch.stack(samples), labels, torch.empty(8, device="meta"), correct))
    losses.total.backward()
    assert {part.device.type for part in (*losses, *action.values())} == {"meta"}
    assert all(weight.grad is not None and weight.grad.is_meta for weight in policy.parameters())
