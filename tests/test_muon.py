"""The Muon optimizer against that of torch."""

import pytest
import torch
from torch import nn

from glimpse_gym.agents import muon
from glimpse_gym.agents.muon import Muon, orthogonalize

SHAPES = [(40, 40), (30, 70), (70, 30), (1, 9)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_orthogonalize_brings_singular_values_close_to_one(shape, scale):
    matrix = scale * torch.randn(shape, generator=torch.Generator().manual_seed(0))
    found = orthogonalize(matrix)
    assert found.shape == shape
    left, values, right = torch.linalg.svd(matrix, full_matrices=False)
    found_values = torch.diagonal(left.T @ found @ right.T)
    large = values > 0.02 * values[0]  # smaller ones need more steps
    assert (found_values[large] > 0.6).all()
    assert (found_values < 1.25).all()
    # The singular vectors do not change.
    torch.testing.assert_close(left @ torch.diag(found_values) @ right, found, rtol=0, atol=1e-4)


def test_orthogonalize_keeps_zeros():
    assert not orthogonalize(torch.zeros(3, 4)).any()


@pytest.mark.parametrize("shape", [(50, 50), (20, 70), (70, 20), (40, 50)])
def test_both_ways_to_multiply_give_the_same(shape):
    # With a spectrum of four decades, as that of a momentum.
    generator = torch.Generator().manual_seed(0)
    left, _, right = torch.linalg.svd(torch.randn(shape, generator=generator), full_matrices=False)
    matrix = left @ torch.diag(torch.logspace(0, -4, min(shape))) @ right
    found = orthogonalize(matrix)
    double = orthogonalize(matrix.double())
    assert (found - double).norm() < 1e-3 * double.norm()
    wide = matrix.double() if shape[0] <= shape[1] else matrix.double().T
    wide = wide / wide.norm()
    for _ in range(5):
        wide = muon._polynomial(wide @ wide.T) @ wide
    torch.testing.assert_close(double, wide if shape[0] <= shape[1] else wide.T, rtol=1e-6, atol=1e-9)


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="torch.optim.Muon exists since torch 2.9")
@pytest.mark.parametrize("shape", SHAPES)
def test_steps_equal_those_of_torch_up_to_rounding(shape):
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
    assert (moved - expected).norm() < 0.02 * expected.norm()  # torch rounds to bfloat16, which has eight bits


def test_weights_without_a_gradient_do_not_change():
    weight = nn.Parameter(torch.ones(3, 3))
    Muon([weight], lr=0.1).step()
    assert torch.equal(weight, torch.ones(3, 3))
