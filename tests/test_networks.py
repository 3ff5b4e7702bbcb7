"""The networks against slower or other versions of themselves, and the gradient that goes through a glimpse.

B episodes, T glimpses, k scales of C channels, g x g cells.
"""

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode
from torch.nn import functional

import oracles
from glimpse_gym import Retina
from glimpse_gym.agents.base import Task
from glimpse_gym.agents.networks import CORES, ConvWhat, GlimpseNetwork, GRUCore, LSTMCore, RectifierCore, steered
from glimpse_gym.agents.ram import RAM, RAMConfig

FEATURES, HIDDEN, B, T = 5, 7, 3, 6
NO_LIMIT = 1e9


@pytest.fixture(autouse=True)
def seeded():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def unrolled(core, features, state=None):
    """The outputs of all steps, and the last state."""
    outputs = []
    for step in features:
        output, state = core(step, state)
        outputs.append(output)
    return torch.stack(outputs), state


# ---------------------------------------------------------------------------------------------------- cores


@pytest.mark.parametrize(("core_class", "other_class"), [(GRUCore, torch.nn.GRU), (LSTMCore, torch.nn.LSTM)])
@pytest.mark.parametrize("begun", [False, True])
def test_gated_cores_are_those_of_torch(core_class, other_class, begun):
    core, other = core_class(FEATURES, HIDDEN), other_class(FEATURES, HIDDEN)
    other.load_state_dict({f"{name}_l0": weight for name, weight in core.cell.state_dict().items()})
    features = torch.randn(T, B, FEATURES, requires_grad=True)
    parts = [torch.randn(B, HIDDEN) for _ in range(core.state_size // HIDDEN)]
    others_state = [part[None] for part in parts]
    state = torch.cat(parts, dim=1) if begun else None
    expected, last = other(features, (others_state[0] if len(parts) == 1 else tuple(others_state)) if begun else None)
    outputs, state = unrolled(core, features, state)
    torch.testing.assert_close(outputs, expected)
    torch.testing.assert_close(state, last[0] if core_class is GRUCore else torch.cat([last[0][0], last[1][0]], dim=1))
    (expected_grad,) = torch.autograd.grad(expected.square().sum(), features)
    (grad,) = torch.autograd.grad(outputs.square().sum(), features)
    torch.testing.assert_close(grad, expected_grad)
    assert outputs.shape == (T, B, HIDDEN)


def test_the_rectifier_core_follows_its_equation_step_by_step():
    core = RectifierCore(FEATURES, HIDDEN)
    features, weights = torch.randn(T, B, FEATURES), {n: w.detach().numpy() for n, w in core.named_parameters()}
    hidden, expected = np.zeros((B, HIDDEN)), []
    for step in features.numpy():
        before = step @ weights["input.weight"].T + weights["input.bias"]
        before = before + hidden @ weights["hidden.weight"].T + weights["hidden.bias"]
        hidden = np.maximum(before, 0)
        expected.append(hidden)
    outputs, state = unrolled(core, features)
    np.testing.assert_allclose(outputs.detach(), expected, rtol=1e-5, atol=1e-6)
    assert torch.equal(state, outputs[-1])


@pytest.mark.parametrize("name", CORES)
def test_no_state_stands_for_zeros(name):
    core = CORES[name](FEATURES, HIDDEN)
    features = torch.randn(T, B, FEATURES)
    oracles.assert_identical(
        [part.detach().numpy() for part in unrolled(core, features, torch.zeros(B, core.state_size))],
        [part.detach().numpy() for part in unrolled(core, features)],
    )


@pytest.mark.parametrize("name", CORES)
def test_no_row_of_a_core_depends_on_another(name):
    core = CORES[name](FEATURES, HIDDEN)
    features = torch.randn(T, B, FEATURES)
    together, state = unrolled(core, features)
    for row in range(B):
        alone, own_state = unrolled(core, features[:, row : row + 1])
        torch.testing.assert_close(alone[:, 0], together[:, row])
        torch.testing.assert_close(own_state[0], state[row])


@pytest.mark.parametrize("name", CORES)
def test_memory_of_any_core_starts_afresh_where_time_is_zero(name):
    agent = RAM(Task((1, 4, 4), 1, "label", 2), RAMConfig(core=name, hidden_units=HIDDEN))
    observation = {
        "glimpse": np.random.default_rng(0).random((B, 1, 4, 4), np.float32),
        "location": np.zeros((B, 2), np.float32),
        "time": np.array([[0.0], [0.5], [0.0]], np.float32),
    }
    state = agent.initial_state(B)
    assert state.shape == (B, HIDDEN * (2 if name == "lstm" else 1))
    assert not state.any()
    _, fresh = agent.act(observation, state)
    _, after = agent.act(observation, torch.rand(state.shape))
    assert [torch.equal(a, b) for a, b in zip(after, fresh, strict=True)] == [True, False, True]


@pytest.mark.parametrize("name", CORES)
@pytest.mark.parametrize("gain", [1.0, 4.0])
def test_to_think_through_is_to_think_step_by_step(name, gain):
    agent = RAM(Task((6, 4, 4), 3, "move", 3), RAMConfig(core=name, hidden_units=HIDDEN, scale_gain=gain))
    glimpses, locations = torch.rand(T, B, 6, 4, 4), torch.rand(T, B, 2)
    whole = agent.think_through(glimpses, locations)
    state = None
    for t in range(T):
        thought, state = agent.think(glimpses[t], locations[t], state)
        for found, expected in zip(whole, thought, strict=True):
            torch.testing.assert_close(found[t], expected)


# ------------------------------------------------------------------------------------------------- glimpses


def test_the_glimpse_network_follows_its_equation():
    network = GlimpseNetwork((2, 3, 3), 2, kind="full", units=4, location_units=3, features=5, scale_gain=1.0)
    weights = {name: weight.detach().numpy() for name, weight in network.named_parameters()}
    glimpse, location = torch.randn(B, 2, 3, 3), torch.randn(B, 2)

    def linear(name, x):
        return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    what = np.maximum(linear("what", glimpse.numpy().reshape(B, 18)), 0)
    where = np.maximum(linear("where", location.numpy()), 0)
    expected = np.maximum(linear("what_out", what) + linear("where_out", where), 0)
    np.testing.assert_allclose(network(glimpse, location).detach(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("channels", [1, 3])
def test_each_scale_is_multiplied_by_its_power_of_the_gain(channels):
    shape, sizes = (3 * channels, 2, 2), {"kind": "full", "units": 4, "location_units": 3, "features": 5}
    network = GlimpseNetwork(shape, 3, **sizes, scale_gain=3.0)
    plain = GlimpseNetwork(shape, 3, **sizes, scale_gain=1.0)
    plain.load_state_dict(network.state_dict())
    glimpse, location = torch.rand(B, *shape), torch.rand(B, 2)
    before = glimpse.clone()
    louder = glimpse.clone()
    for s in range(3):
        for c in range(channels):
            louder[:, s * channels + c] *= 3.0**s
    torch.testing.assert_close(network(glimpse, location), plain(louder, location))
    assert not torch.allclose(network(glimpse, location), plain(glimpse, location))
    assert torch.equal(glimpse, before)


def test_with_a_gain_of_four_a_lone_pixel_is_as_bright_at_every_scale():
    image = np.zeros((1, 32, 32), np.uint8)
    image[0, 16, 16] = 255
    glimpse = Retina(4, 4).sense(image, np.zeros((1, 2), np.float32))
    network = GlimpseNetwork((4, 4, 4), 4, kind="full", units=4, location_units=3, features=5, scale_gain=4.0)
    louder = torch.from_numpy(glimpse) * network.gains
    assert louder.amax((2, 3)).tolist() == [[1.0, 1.0, 1.0, 1.0]]


# ------------------------------------------------------------------------------- gradients through a glimpse


def steered_gradient(glimpse, weights, num_scales, half_size, limit=NO_LIMIT):
    """Of the mean over episodes of what is seen, weighted, to the locations: (B, 2)."""
    location = torch.zeros(len(glimpse), 2, requires_grad=True)
    seen = steered(glimpse, location, num_scales, torch.tensor(half_size).expand(len(glimpse), 2), limit)
    (seen * weights).sum((1, 2, 3)).mean().backward()
    return location.grad


def moved(glimpse, right, down, num_scales):
    """One glimpse, (k*C, g, g), after the retina has moved by so many pixels: float64, linear between the cells."""
    depth, g, _ = glimpse.shape
    result = np.zeros(glimpse.shape)
    for d in range(depth):
        cell = 2 ** (d // (depth // num_scales))
        for i in range(1, g - 1):
            for j in range(1, g - 1):
                y, x = i + down / cell, j + right / cell
                for row in range(g):
                    for column in range(g):
                        share = max(0.0, 1 - abs(y - row)) * max(0.0, 1 - abs(x - column))
                        result[d, i, j] += share * glimpse[d, row, column]
    return result


@pytest.mark.parametrize(("num_scales", "channels"), [(1, 1), (3, 1), (1, 3), (2, 3)])
@pytest.mark.parametrize("half_size", [(14.0, 14.0), (30.0, 20.0)])
def test_gradient_is_that_of_a_retina_that_interpolates(num_scales, channels, half_size):
    shape = (2, num_scales * channels, 6, 6)
    rng = np.random.default_rng(0)
    glimpse, weights = rng.random(shape), np.zeros(shape)
    weights[:, :, 1:-1, 1:-1] = rng.normal(size=(2, num_scales * channels, 4, 4))
    step = 1e-4  # of a location, whose units are half_size pixels
    right, down = step * half_size[0], step * half_size[1]
    expected = np.zeros((2, 2))
    for b in range(2):
        for axis, (x, y) in enumerate([(right, 0), (0, down)]):
            ahead, behind = (moved(glimpse[b], sign * x, sign * y, num_scales) for sign in (1, -1))
            expected[b, axis] = ((ahead - behind) * weights[b]).sum() / (2 * step) / 2  # the mean over two episodes
    found = steered_gradient(torch.tensor(glimpse).float(), torch.tensor(weights).float(), num_scales, half_size)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    assert np.abs(expected).min() > 0.1


@pytest.mark.parametrize("axis", [0, 1])
def test_on_a_slope_it_is_what_the_retina_sees_one_pixel_further(axis):
    slope = np.broadcast_to(3 * np.arange(64, dtype=np.uint8), (64, 64))
    image = np.ascontiguousarray(slope if axis == 0 else slope.T)[None]
    retina, g = Retina(5, 3), 5
    further = np.zeros((1, 2), np.float32)
    further[0, axis] = 2 / 64
    here, there = retina.sense(image, np.zeros((1, 2), np.float32)), retina.sense(image, further)
    np.testing.assert_allclose(there - here, 3 / 255, rtol=1e-4)
    for s in range(3):
        weights = torch.zeros(1, 3, g, g)
        weights[0, s, 1:-1, 1:-1] = 1
        gradient = steered_gradient(torch.from_numpy(here), weights, 3, half_size=32)
        expected = torch.zeros(1, 2)
        expected[0, axis] = 9 * 32 * 3 / 255  # nine cells, and 32 pixels to the unit
        torch.testing.assert_close(gradient, expected, rtol=1e-4, atol=1e-4)


def test_cells_on_the_rim_tell_nothing_across_it():
    # Each says how it changes along the rim, where it has two neighbors, and nothing across.
    glimpse = torch.rand(1, 1, 5, 5)
    for row, column in ((0, 2), (4, 2), (2, 0), (2, 4), (0, 0), (4, 0)):
        weights = torch.zeros(1, 1, 5, 5)
        weights[0, 0, row, column] = 1
        gradient = steered_gradient(glimpse, weights, 1, half_size=1)[0]
        along_x, along_y = row in (0, 4) and column == 2, column in (0, 4) and row == 2
        assert (gradient != 0).tolist() == [along_x, along_y]


@pytest.mark.parametrize("g", [1, 2])
def test_a_glimpse_of_rim_only_tells_nothing(g):
    assert not steered_gradient(torch.rand(3, 2, g, g), torch.ones(3, 2, g, g), 2, half_size=30).any()


def test_what_is_seen_stays_the_same_bit_for_bit():
    glimpse, location = torch.randn(B, 6, 5, 5), torch.rand(B, 2, requires_grad=True)
    before = glimpse.clone()
    seen = steered(glimpse, location, 2, torch.full((B, 2), 30.0), 0.4)
    assert torch.equal(seen, before)
    assert seen.requires_grad
    seen.square().sum().backward()
    assert torch.equal(glimpse, before)


def test_nothing_goes_to_what_was_seen():
    glimpse = torch.rand(B, 2, 5, 5, requires_grad=True)
    location = torch.zeros(B, 2, requires_grad=True)
    steered(glimpse, location, 2, torch.full((B, 2), 30.0), 0.4).square().sum().backward()
    assert glimpse.grad is None
    assert location.grad.abs().min() > 0


def test_constant_glimpses_give_no_gradient():
    glimpse = torch.linspace(0, 1, B)[:, None, None, None].expand(B, 4, 5, 5).clone()
    for limit in (0.4, NO_LIMIT, 1e-6):
        gradient = steered_gradient(glimpse, torch.rand(B, 4, 5, 5), 2, half_size=30, limit=limit)
        assert torch.equal(gradient, torch.zeros(B, 2))


def test_each_episodes_gradient_is_shortened_to_its_share_of_the_limit():
    size = 8
    glimpse = torch.rand(size, 3, 6, 6) * 10.0 ** -torch.arange(size)[:, None, None, None]  # from long to short
    weights = torch.randn(size, 3, 6, 6)
    free = steered_gradient(glimpse, weights, 3, half_size=30)
    limited = steered_gradient(glimpse, weights, 3, half_size=30, limit=0.4)
    longest, lengths = 0.4 / size, free.norm(dim=1)
    assert (lengths > longest).any()
    assert (lengths < longest).any()
    for b in range(size):
        scale = min(1.0, longest / lengths[b].item())
        torch.testing.assert_close(limited[b], free[b] * scale)
    assert limited.norm(dim=1).max().item() == pytest.approx(longest, rel=1e-5)


def test_a_limit_per_episode_does_not_depend_on_the_batch():
    glimpse, weights = torch.rand(1, 2, 6, 6), torch.randn(1, 2, 6, 6)
    alone = steered_gradient(glimpse, weights, 2, half_size=30, limit=0.4)
    among = steered_gradient(glimpse.expand(5, -1, -1, -1), weights.expand(5, -1, -1, -1), 2, 30, limit=0.4)
    torch.testing.assert_close(5 * among, alone.expand(5, 2))


# --------------------------------------------------------------------------------------- in the whole model


def make_envs(number=8, **kwargs):
    images = np.random.default_rng(0).integers(0, 256, (40, 16, 16), np.uint8)
    kwargs = {"images": images, "labels": np.arange(40) % 4, "patch_size": 4, "num_scales": 2} | kwargs
    return gym.make_vec(
        "glimpse_gym/Images-v0",
        num_envs=number,
        autoreset_mode=AutoresetMode.DISABLED,
        **kwargs | {"num_glimpses": 4},
    )


SMALL = {"glimpse_units": 8, "location_units": 8, "glimpse_features": 16, "hidden_units": 16}


def learned_from(number=8, num_scales=2, **config):
    """An agent that played an episode in each sub-env, and its losses."""
    envs = make_envs(number, num_scales=num_scales)
    torch.manual_seed(1)
    agent = RAM(Task.of(envs), RAMConfig(**SMALL | config))
    agent.seed(2)
    rollout = agent.roll_out(envs, list(range(number)))
    return agent, rollout, agent.losses(rollout, copies=1)


def location_gradient(part, **config):
    """What one part of the losses sends to the location layer, or None."""
    agent, _, losses = learned_from(**config)
    getattr(losses, part).backward()
    return agent.location_network.mean.weight.grad


def test_without_the_pathwise_gradient_the_location_layer_learns_by_reinforce_alone():
    assert location_gradient("classification", pathwise_limit=0.0) is None
    whole = location_gradient("total", pathwise_limit=0.0, reinforce_weight=0.3)
    reinforce = location_gradient("reinforce", pathwise_limit=0.0, reinforce_weight=0.3)
    assert whole.abs().max() > 0
    torch.testing.assert_close(whole, 0.3 * reinforce)


def test_one_scale_does_not_show_what_lies_beside_it_and_sends_no_gradient():
    assert location_gradient("classification", num_scales=1) is None
    assert location_gradient("classification", num_scales=2) is not None


@pytest.mark.parametrize("core", CORES)
@pytest.mark.parametrize("loss_at", ["every", "rising", "last"])
def test_the_pathwise_gradient_alone_moves_the_location_layer(core, loss_at):
    whole = location_gradient("total", reinforce_weight=0.0, core=core, loss_at=loss_at)
    assert whole.abs().max() > 0
    torch.testing.assert_close(whole, location_gradient("classification", core=core, loss_at=loss_at))


def test_the_two_ways_add_up():
    config = {"pathwise_limit": 0.4, "reinforce_weight": 0.5}
    both = location_gradient("total", **config)
    # What REINFORCE sends through the glimpses between goes the pathwise way, too.
    parts = location_gradient("classification", **config) + 0.5 * location_gradient("reinforce", **config)
    torch.testing.assert_close(both, parts)
    assert not torch.allclose(both, location_gradient("total", **config | {"pathwise_limit": 0.0}))


def test_a_gradient_to_the_locations_changes_nothing_that_is_seen_or_said():
    _, with_it, losses = learned_from(pathwise_limit=0.4)
    _, without, others = learned_from(pathwise_limit=0.0)
    torch.testing.assert_close(with_it.locations, without.locations)
    torch.testing.assert_close(with_it.thoughts.logits, without.thoughts.logits)
    torch.testing.assert_close(losses.total, others.total)


def test_random_looks_go_everywhere_and_are_not_learned():
    agent, rollout, losses = learned_from(600, looks="random", pathwise_limit=0.4)
    assert rollout.locations.abs().max() <= 1
    cells = ((rollout.locations + 1) * 2).long().clamp(max=3).reshape(-1, 2)
    assert abs(oracles.chi_square(np.bincount(4 * cells[:, 0] + cells[:, 1], minlength=16))) < 5
    # Nor does a place tell of the one before.
    pairs = (rollout.locations > 0).long()[:2].permute(1, 0, 2).reshape(-1, 4) @ torch.tensor([8, 4, 2, 1])
    assert abs(oracles.chi_square(np.bincount(pairs, minlength=16))) < 5
    assert (losses.reinforce, losses.baseline) == (0, 0)
    assert torch.equal(losses.total, losses.classification)
    losses.total.backward()
    assert agent.location_network.mean.weight.grad is None
    assert agent.choice_network.logits.weight.grad.abs().max() > 0


@pytest.mark.parametrize("sample", [False, True])
def test_random_looks_stay_random_after_training_and_are_seeded(sample):
    envs = make_envs(300)
    agent = RAM(Task.of(envs), RAMConfig(**SMALL, looks="random"))
    observation, _ = envs.reset(seed=0)
    agent.seed(5)
    first, _ = agent.act(observation, agent.initial_state(300), sample=sample)
    second, _ = agent.act(observation, agent.initial_state(300), sample=sample)
    agent.seed(5)
    again, _ = agent.act(observation, agent.initial_state(300), sample=sample)
    assert envs.action_space.contains(first)
    np.testing.assert_equal(again, first)
    assert (first["location"] != second["location"]).all()
    cells = ((np.concatenate([first["location"], second["location"]]) + 1) * 2).astype(int)
    assert abs(oracles.chi_square(np.bincount(4 * cells[:, 0] + cells[:, 1], minlength=16))) < 5


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"core": "transformer"}, "core must be one of 'rectifier', 'gru', 'lstm'"),
        ({"looks": "everywhere"}, "looks must be one of 'learned', 'random'"),
        ({"pathwise_limit": -0.1}, "pathwise_limit must be at least 0"),
        ({"scale_gain": 0.0}, "scale_gain must be greater than 0"),
        ({"scale_gain": float("nan")}, "scale_gain must be finite"),
    ],
)
def test_configurations_that_make_no_sense(values, message):
    with pytest.raises(ValueError, match=message):
        RAMConfig(**values)


@pytest.mark.parametrize("shape", [(3, 12, 12), (1, 8, 8), (2, 4, 4), (2, 6, 6), (1, 7, 7), (1, 1, 1)])
def test_the_convolutions_are_torchs(shape):
    torch.manual_seed(0)
    network, glimpse = ConvWhat(shape, units=7), torch.rand(5, *shape, requires_grad=True)
    first = network.first.weight.view(32, 4, 4, shape[0]).permute(0, 3, 1, 2)
    second = network.second.weight.view(64, 2, 2, 32).permute(0, 3, 1, 2)
    missing = -shape[1] % 4
    padded = functional.pad(glimpse, (1, 1 + missing, 1, 1 + missing))
    expected = functional.conv2d(padded, first, network.first.bias, stride=2).relu()
    expected = functional.conv2d(expected, second, network.second.bias, stride=2).relu()
    expected = network.linear(expected.permute(0, 2, 3, 1).flatten(1)).relu()
    found = network(glimpse)
    torch.testing.assert_close(found, expected)
    (expected_gradient,) = torch.autograd.grad(expected.square().sum(), glimpse)
    (gradient,) = torch.autograd.grad(found.square().sum(), glimpse)
    torch.testing.assert_close(gradient, expected_gradient)
