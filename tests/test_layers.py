"""Fused layers in float32, against torch's own operations in float64.

B episodes, D channels, g x g cells, H hidden units.
"""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from glimpse_gym.agents import cpu_kernels, layers
from glimpse_gym.agents.configs import RAMConfig, ReinforceConfig
from glimpse_gym.agents.layers import conv_features, gru_step, is_fused, linear_relu, location_gradient
from glimpse_gym.agents.registry import make_learner
from runs import IMAGES, SMALL_RAM, noise_images


@pytest.fixture(autouse=True)
def seeded():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def assert_equals_float64(function, inputs, modules):
    """Compare output and gradients of ``function(*inputs, *modules)`` with those of float64 copies."""
    results = []
    for dtype in (torch.float32, torch.float64):
        values = [value.detach().to(dtype).requires_grad_() for value in inputs]
        layers = [copy.deepcopy(module).to(dtype) for module in modules]
        assert all(map(is_fused, values)) == (dtype == torch.float32)
        output = function(*values, *layers)
        generator = torch.Generator().manual_seed(1)
        weights = torch.randn(output.shape, generator=generator, dtype=torch.float64).to(dtype)
        parameters = [weight for layer in layers for weight in layer.parameters()]
        results.append([output, *torch.autograd.grad((output * weights).sum(), [*values, *parameters])])
    for found, expected in zip(*results, strict=True):
        assert found.dtype == torch.float32
        torch.testing.assert_close(found, expected.float(), rtol=1e-4, atol=2e-5 * expected.abs().max().item())


@pytest.mark.parametrize("batch", [1, 5, 130])  # 130: more than two chunks
@pytest.mark.parametrize(("depth", "size"), [(1, 1), (1, 8), (3, 12), (4, 12), (2, 7), (3, 13), (6, 6)])
def test_conv_features(batch, depth, size):
    side = -(-size // 4)
    modules = [nn.Linear(16 * depth, 32), nn.Linear(4 * 32, 64)]
    assert_equals_float64(conv_features, [torch.rand(batch, depth, size, size)], modules)
    assert conv_features(torch.rand(batch, depth, size, size), *modules).shape == (batch, side**2 * 64)


def test_conv_features_of_a_view_with_other_strides():
    glimpse, modules = torch.rand(6, 8, 8, 3), [nn.Linear(48, 32), nn.Linear(128, 64)]
    view = glimpse.permute(0, 3, 1, 2)[::2]
    assert torch.equal(conv_features(view, *modules), conv_features(view.contiguous(), *modules))


def test_extracting_and_folding_windows_are_adjoint():
    rng = np.random.default_rng(0)
    glimpses, windows = rng.random((2, 3, 7, 7), np.float32), rng.random((2 * 16, 48), np.float32)
    extracted, folded = np.empty_like(windows), np.empty_like(glimpses)
    cpu_kernels.extract_windows(glimpses, extracted)
    cpu_kernels.fold_windows(windows, folded)
    assert np.vdot(extracted, windows) == pytest.approx(np.vdot(glimpses, folded), rel=1e-5)


@pytest.mark.parametrize("sizes", [[(5, 7)], [(64, 256), (3, 256)], [(1, 1), (2, 1), (3, 1)]])
@pytest.mark.parametrize("batch", [1, 33])
def test_linear_relu(batch, sizes):
    inputs, modules = [torch.randn(batch, size) for size, _ in sizes], [nn.Linear(*size) for size in sizes]
    assert_equals_float64(
        lambda *parts: linear_relu(*zip(parts[: len(sizes)], parts[len(sizes) :], strict=True)), inputs, modules
    )


@pytest.mark.parametrize("hidden_units", [1, 5, 64])
@pytest.mark.parametrize("batch", [1, 33])
@pytest.mark.parametrize("scale", [1.0, 30.0])  # 30: saturated gates
def test_gru_step(batch, hidden_units, scale):
    inputs, cell = [scale * torch.randn(batch, 7), torch.randn(batch, hidden_units)], nn.GRUCell(7, hidden_units)
    assert_equals_float64(gru_step, inputs, [cell])


def test_gru_step_without_a_state():
    features, cell = torch.randn(4, 7), nn.GRUCell(7, 5)
    found, expected = gru_step(features, None, cell), gru_step(features, torch.zeros(4, 5), cell)
    assert torch.equal(found, expected)
    parameters = list(cell.parameters())
    for grad, other in zip(*(torch.autograd.grad(each.sum(), parameters) for each in (found, expected)), strict=True):
        torch.testing.assert_close(grad, other)


def test_gates_are_accurate_near_zero_and_far_away():
    x = torch.cat([torch.logspace(-8, 2.5, 200), -torch.logspace(-8, 2.5, 200)])
    cell = nn.GRUCell(1, 1)
    nn.init.zeros_(cell.bias_ih)
    nn.init.zeros_(cell.bias_hh)
    nn.init.constant_(cell.weight_ih, 1.0)
    with torch.no_grad():
        found = gru_step(x[:, None], torch.zeros(len(x), 1), cell)[:, 0]
        double = x.double()
        expected = (1 - double.sigmoid()) * double.tanh()
    torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize(("depth", "size"), [(1, 1), (1, 2), (3, 12), (4, 7)])
def test_location_gradient(depth, size):
    grad, glimpse = torch.randn(5, depth, size, size), torch.rand(5, depth, size, size)
    weights = torch.rand(depth)
    found = location_gradient(grad, glimpse, weights)
    expected = location_gradient(grad.double(), glimpse.double(), weights.double())
    torch.testing.assert_close(found, expected.float(), rtol=1e-4, atol=1e-5)


def test_inputs_without_gradient_get_none():
    glimpse, features = torch.rand(2, 1, 8, 8), torch.rand(2, 3)
    outputs = [
        conv_features(glimpse, nn.Linear(16, 32), nn.Linear(128, 64)),
        linear_relu((features, nn.Linear(3, 2))),
        gru_step(features, None, nn.GRUCell(3, 2)),
    ]
    for output in outputs:
        output.sum().backward()  # fails if a gradient is returned for an input that needs none
    assert glimpse.grad is None
    assert features.grad is None


def test_autocast_uses_torch():
    features, layer = torch.rand(2, 64), nn.Linear(64, 64)
    with torch.autocast("cpu", torch.bfloat16):
        assert not is_fused(features)
        assert linear_relu((features, layer)).dtype == torch.bfloat16


@pytest.mark.parametrize("core", ["relu", "gru"])
@pytest.mark.parametrize("encoder", ["fc", "conv"])
def test_losses_and_gradients_of_training_do_not_depend_on_fusion(monkeypatch, core, encoder):
    policy_config = RAMConfig(**SMALL_RAM, core=core, glimpse_network=encoder)
    results = []
    for fused in (True, False):
        if not fused:
            monkeypatch.setattr(layers, "is_fused", lambda *inputs: False)
        learner = make_learner(IMAGES, noise_images(), ReinforceConfig(batch_size=24), policy_config)
        losses = learner.loss(learner.rollout())
        losses.total.backward()
        results.append([*losses, *(weight.grad for weight in learner.policy.parameters())])
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4 * expected.abs().max().item() + 1e-9)
