"""The networks against slower or other versions of themselves.

B episodes, T glimpses, k scales of C channels, g x g cells.
"""

import numpy as np
import pytest
import torch
from torch.nn import functional

import oracles
from glimpse_gym import Retina
from glimpse_gym.agents.base import TaskSpec
from glimpse_gym.agents.configs import RAMConfig
from glimpse_gym.agents.networks import (
    CORES,
    ConvGlimpseEncoder,
    GlimpseNetwork,
    GRUCore,
    LSTMCore,
    ReLUCore,
    initialize_orthogonal,
)
from glimpse_gym.agents.ram import RAM
from runs import SMALL_RAM

FEATURES, HIDDEN, B, T = 5, 7, 3, 6


@pytest.fixture(autouse=True)
def seeded():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def unroll(core, features, state=None):
    """Outputs of all steps, and the last state."""
    outputs = []
    for step in features:
        output, state = core(step, state)
        outputs.append(output)
    return torch.stack(outputs), state


# ---------------------------------------------------------------------------------------------------- cores


@pytest.mark.parametrize(("core_class", "other_class"), [(GRUCore, torch.nn.GRU), (LSTMCore, torch.nn.LSTM)])
@pytest.mark.parametrize("with_state", [False, True])
def test_gru_and_lstm_cores_equal_torch(core_class, other_class, with_state):
    core, other = core_class(FEATURES, HIDDEN), other_class(FEATURES, HIDDEN)
    other.load_state_dict({f"{name}_l0": weight for name, weight in core.cell.state_dict().items()})
    features = torch.randn(T, B, FEATURES, requires_grad=True)
    parts = [torch.randn(B, HIDDEN) for _ in range(core.state_size // HIDDEN)]
    other_state = [part[None] for part in parts]
    state = torch.cat(parts, dim=1) if with_state else None
    expected, last = other(
        features, (other_state[0] if len(parts) == 1 else tuple(other_state)) if with_state else None
    )
    outputs, state = unroll(core, features, state)
    torch.testing.assert_close(outputs, expected)
    torch.testing.assert_close(state, last[0] if core_class is GRUCore else torch.cat([last[0][0], last[1][0]], dim=1))
    (expected_grad,) = torch.autograd.grad(expected.square().sum(), features)
    (grad,) = torch.autograd.grad(outputs.square().sum(), features)
    torch.testing.assert_close(grad, expected_grad)
    assert outputs.shape == (T, B, HIDDEN)


def test_relu_core_follows_its_equation_step_by_step():
    core = ReLUCore(FEATURES, HIDDEN)
    features, weights = torch.randn(T, B, FEATURES), {n: w.detach().numpy() for n, w in core.named_parameters()}
    hidden, expected = np.zeros((B, HIDDEN)), []
    for step in features.numpy():
        preactivation = step @ weights["input.weight"].T + weights["input.bias"]
        preactivation = preactivation + hidden @ weights["hidden.weight"].T + weights["hidden.bias"]
        hidden = np.maximum(preactivation, 0)
        expected.append(hidden)
    outputs, state = unroll(core, features)
    np.testing.assert_allclose(outputs.detach(), expected, rtol=1e-5, atol=1e-6)
    assert torch.equal(state, outputs[-1])


@pytest.mark.parametrize("name", CORES)
def test_state_none_equals_a_state_of_zeros(name):
    core = CORES[name](FEATURES, HIDDEN)
    features = torch.randn(T, B, FEATURES)
    oracles.assert_identical(
        [part.detach().numpy() for part in unroll(core, features, torch.zeros(B, core.state_size))],
        [part.detach().numpy() for part in unroll(core, features)],
    )


@pytest.mark.parametrize("name", CORES)
def test_rows_of_a_core_are_independent(name):
    core = CORES[name](FEATURES, HIDDEN)
    features = torch.randn(T, B, FEATURES)
    together, state = unroll(core, features)
    for row in range(B):
        alone, own_state = unroll(core, features[:, row : row + 1])
        torch.testing.assert_close(alone[:, 0], together[:, row])
        torch.testing.assert_close(own_state[0], state[row])


@pytest.mark.parametrize("name", CORES)
def test_unroll_of_a_core_equals_its_steps(name):
    core = CORES[name](FEATURES, HIDDEN)
    batch_sizes = [4, 4, 2, 1]  # the episodes have 4, 3, 2 and 2 steps
    features = torch.randn(sum(batch_sizes), FEATURES, requires_grad=True)
    found = core.unroll(features, batch_sizes)
    expected, state = [], None
    for step in features.split(batch_sizes):
        output, state = core(step, None if state is None else state[: len(step)])
        expected.append(output)
    torch.testing.assert_close(found, torch.cat(expected))
    parts = [features, *core.parameters()]
    grads = torch.autograd.grad(found.square().sum(), parts)
    for grad, other in zip(grads, torch.autograd.grad(torch.cat(expected).square().sum(), parts), strict=True):
        torch.testing.assert_close(grad, other)
    same_length = core.unroll(features[:8], [4, 4])
    torch.testing.assert_close(same_length, found[:8])


# ------------------------------------------------------------------------------------------ initial weights


@pytest.mark.parametrize("core", CORES)
def test_orthogonal_initialization(core):
    policy = RAM(TaskSpec((2, 4, 4), 2, "label", 3, True), RAMConfig(**SMALL_RAM, core=core))
    initialize_orthogonal(policy)
    singular = {
        name: torch.linalg.svdvals(part)
        for name, weight in policy.named_parameters()
        if weight.ndim == 2
        for part in (weight.data.split(SMALL_RAM["hidden_units"]) if "cell" in name else [weight.data])
    }
    assert len(singular) == 11
    for name, values in singular.items():
        head = name.startswith(("location_network", "choice_network"))
        gain = 0.01 if head else 1.0 if name.startswith(("core", "baseline")) else 2**0.5
        torch.testing.assert_close(values, torch.full_like(values, gain), msg=name)
    assert not any(weight.any() for name, weight in policy.named_parameters() if weight.ndim == 1)


# ------------------------------------------------------------------------------------------------- glimpses


def test_glimpse_network_follows_its_equation():
    network = GlimpseNetwork((2, 3, 3), 2, encoder="fc", units=4, location_units=3, features=5, scale_gain=1.0)
    weights = {name: weight.detach().numpy() for name, weight in network.named_parameters()}
    glimpse, location = torch.randn(B, 2, 3, 3), torch.randn(B, 2)

    def linear(name, x):
        return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    what = np.maximum(linear("what", glimpse.numpy().reshape(B, 18)), 0)
    where = np.maximum(linear("where", location.numpy()), 0)
    expected = np.maximum(linear("what_out", what) + linear("where_out", where), 0)
    np.testing.assert_allclose(network(glimpse, location).detach(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("channels", [1, 3])
def test_scale_gain_multiplies_scale_s_by_its_power_s(channels):
    shape, sizes = (3 * channels, 2, 2), {"encoder": "fc", "units": 4, "location_units": 3, "features": 5}
    network = GlimpseNetwork(shape, 3, **sizes, scale_gain=3.0)
    plain = GlimpseNetwork(shape, 3, **sizes, scale_gain=1.0)
    plain.load_state_dict(network.state_dict())
    glimpse, location = torch.rand(B, *shape), torch.rand(B, 2)
    before = glimpse.clone()
    scaled = glimpse.clone()
    for s in range(3):
        for c in range(channels):
            scaled[:, s * channels + c] *= 3.0**s
    torch.testing.assert_close(network(glimpse, location), plain(scaled, location))
    assert not torch.allclose(network(glimpse, location), plain(glimpse, location))
    assert torch.equal(glimpse, before)


def test_scale_gain_of_four_makes_a_single_pixel_equally_bright_at_every_scale():
    image = np.zeros((1, 32, 32), np.uint8)
    image[0, 16, 16] = 255
    glimpse = Retina(4, 4).sense(image, np.zeros((1, 2), np.float32))
    network = GlimpseNetwork((4, 4, 4), 4, encoder="fc", units=4, location_units=3, features=5, scale_gain=4.0)
    scaled = torch.from_numpy(glimpse) * network.gains
    assert scaled.amax((2, 3)).tolist() == [[1.0, 1.0, 1.0, 1.0]]


@pytest.mark.parametrize("shape", [(3, 12, 12), (1, 8, 8), (2, 4, 4), (2, 6, 6), (1, 7, 7), (1, 1, 1)])
@pytest.mark.parametrize("filters", [32, 5])
def test_conv_encoder_equals_torch_convolutions(shape, filters):
    torch.manual_seed(0)
    network, glimpse = ConvGlimpseEncoder(shape, units=7, filters=filters), torch.rand(5, *shape, requires_grad=True)
    first = network.first.weight.view(filters, 4, 4, shape[0]).permute(0, 3, 1, 2)
    second = network.second.weight.view(2 * filters, 2, 2, filters).permute(0, 3, 1, 2)
    extra = -shape[1] % 4
    padded = functional.pad(glimpse, (1, 1 + extra, 1, 1 + extra))
    expected = functional.conv2d(padded, first, network.first.bias, stride=2).relu()
    expected = functional.conv2d(expected, second, network.second.bias, stride=2).relu()
    expected = network.linear(expected.permute(0, 2, 3, 1).flatten(1)).relu()
    found = network(glimpse)
    torch.testing.assert_close(found, expected)
    (expected_grad,) = torch.autograd.grad(expected.square().sum(), glimpse)
    (grad,) = torch.autograd.grad(found.square().sum(), glimpse)
    torch.testing.assert_close(grad, expected_grad)
