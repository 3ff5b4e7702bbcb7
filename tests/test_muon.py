"""The optimizer: against that of torch."""

import numpy as np
import pytest
import torch
from torch import nn

from glimpse_gym.agents.learner import ImageLearner, ImageTrainConfig
from glimpse_gym.agents.muon import Muon, orthogonal
from glimpse_gym.agents.ram import RAMConfig

SHAPES = [(40, 40), (30, 70), (70, 30), (1, 9)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_all_singular_values_come_to_about_one(shape, scale):
    matrix = scale * torch.randn(shape, generator=torch.Generator().manual_seed(0))
    found = orthogonal(matrix)
    assert found.shape == shape
    left, values, right = torch.linalg.svd(matrix, full_matrices=False)
    found_values = torch.diagonal(left.T @ found @ right.T)
    large = values > 0.02 * values[0]  # those that are nearly 0 take more steps
    assert (found_values[large] > 0.6).all()
    assert (found_values < 1.25).all()
    torch.testing.assert_close(left @ torch.diag(found_values) @ right, found, rtol=0, atol=1e-4)  # directions stay


def test_no_gradient_is_no_step():
    assert not orthogonal(torch.zeros(3, 4)).any()


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="torch has had its own since 2.9")
@pytest.mark.parametrize("shape", SHAPES)
def test_steps_are_those_of_torch_but_for_its_rounding(shape):
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(shape, generator=generator)
    ours, theirs = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    optimizers = (
        Muon([ours], lr=0.01),
        torch.optim.Muon([theirs], lr=0.01, weight_decay=0.0, momentum=0.95, adjust_lr_fn="match_rms_adamw"),
    )
    for _ in range(5):
        ours.grad = torch.randn(shape, generator=generator)
        theirs.grad = ours.grad.clone()
        for optimizer in optimizers:
            optimizer.step()
    moved, expected = ours.detach() - start, theirs.detach() - start
    assert moved.norm() > 0.01
    assert (moved - expected).norm() < 0.02 * expected.norm()  # bfloat16 has eight bits


def test_weights_without_a_gradient_stay():
    weight = nn.Parameter(torch.ones(3, 3))
    Muon([weight], lr=0.1).step()
    assert torch.equal(weight, torch.ones(3, 3))


def test_it_takes_the_weights_between_layers_and_adam_takes_the_rest():
    images = {"images": np.zeros((20, 16, 16), np.uint8), "labels": [0, 1] * 10}
    config = ImageTrainConfig(num_episodes=16, batch_size=8, optimizer="muon")
    learner = ImageLearner("glimpse_gym/Images-v0", images, config, RAMConfig())
    names = {weight: name for name, weight in learner.agent.named_parameters()}
    muon, adam = ({names[w] for group in o.param_groups for w in group["params"]} for o in learner.optimizers)
    assert type(learner.optimizers[0]) is Muon
    assert muon == {
        "glimpse_network.what.first.weight",
        "glimpse_network.what.second.weight",
        "glimpse_network.what.linear.weight",
        "glimpse_network.what_out.weight",
        "glimpse_network.where_out.weight",
        "core_network.cell.weight_ih",
        "core_network.cell.weight_hh",
    }
    assert muon | adam == set(names.values())
    assert not muon & adam
    assert {"glimpse_network.where.weight", "location_network.mean.weight", "choice_network.logits.weight"} < adam
