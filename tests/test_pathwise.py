"""The pathwise gradient through a glimpse, against finite differences of a retina that interpolates.

B episodes, k scales of C channels, g x g cells.
"""

import numpy as np
import pytest
import torch

from glimpse_gym import Retina
from glimpse_gym.agents.pathwise import with_pathwise_gradient

B, NO_LIMIT = 3, 1e9


@pytest.fixture(autouse=True)
def seeded():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def location_gradient(glimpse, weights, num_scales, half_size, max_norm=NO_LIMIT):
    """Gradient of the mean over episodes of the weighted glimpse with respect to the locations, (B, 2)."""
    location = torch.zeros(len(glimpse), 2, requires_grad=True)
    seen = with_pathwise_gradient(glimpse, location, num_scales, torch.tensor(half_size).expand(2), max_norm)
    (seen * weights).sum((1, 2, 3)).mean().backward()
    return location.grad


def moved(glimpse, right, down, num_scales):
    """One glimpse, (k*C, g, g), after the retina has moved by some pixels: float64, linear between cells."""
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
def test_gradient_equals_that_of_an_interpolating_retina(num_scales, channels, half_size):
    shape = (2, num_scales * channels, 6, 6)
    rng = np.random.default_rng(0)
    glimpse, weights = rng.random(shape), np.zeros(shape)
    weights[:, :, 1:-1, 1:-1] = rng.normal(size=(2, num_scales * channels, 4, 4))
    step = 1e-4  # of a location, whose units are half_size pixels
    right, down = step * half_size[0], step * half_size[1]
    expected = np.zeros((2, 2))
    for b in range(2):
        for axis, (x, y) in enumerate([(right, 0), (0, down)]):
            forward, backward = (moved(glimpse[b], sign * x, sign * y, num_scales) for sign in (1, -1))
            expected[b, axis] = ((forward - backward) * weights[b]).sum() / (2 * step) / 2  # the mean over two episodes
    found = location_gradient(torch.tensor(glimpse).float(), torch.tensor(weights).float(), num_scales, half_size)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    assert np.abs(expected).min() > 0.1


@pytest.mark.parametrize("axis", [0, 1])
def test_gradient_on_a_slope_equals_the_change_of_the_glimpse_one_pixel_further(axis):
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
        gradient = location_gradient(torch.from_numpy(here), weights, 3, half_size=32)
        expected = torch.zeros(1, 2)
        expected[0, axis] = 9 * 32 * 3 / 255  # nine cells, and 32 pixels to the unit
        torch.testing.assert_close(gradient, expected, rtol=1e-4, atol=1e-4)


def test_border_cells_give_a_gradient_along_the_border_only():
    # Along the border a cell has two neighbors, across it one.
    glimpse = torch.rand(1, 1, 5, 5)
    for row, column in ((0, 2), (4, 2), (2, 0), (2, 4), (0, 0), (4, 0)):
        weights = torch.zeros(1, 1, 5, 5)
        weights[0, 0, row, column] = 1
        gradient = location_gradient(glimpse, weights, 1, half_size=1)[0]
        along_x, along_y = row in (0, 4) and column == 2, column in (0, 4) and row == 2
        assert (gradient != 0).tolist() == [along_x, along_y]


@pytest.mark.parametrize("g", [1, 2])
def test_glimpses_without_inner_cells_give_no_gradient(g):
    assert not location_gradient(torch.rand(3, 2, g, g), torch.ones(3, 2, g, g), 2, half_size=30).any()


def test_glimpse_stays_bit_equal():
    glimpse, location = torch.randn(B, 6, 5, 5), torch.rand(B, 2, requires_grad=True)
    before = glimpse.clone()
    seen = with_pathwise_gradient(glimpse, location, 2, torch.full((2,), 30.0), 0.4)
    assert torch.equal(seen, before)
    assert seen.requires_grad
    seen.square().sum().backward()
    assert torch.equal(glimpse, before)


def test_glimpse_receives_no_gradient():
    glimpse = torch.rand(B, 2, 5, 5, requires_grad=True)
    location = torch.zeros(B, 2, requires_grad=True)
    with_pathwise_gradient(glimpse, location, 2, torch.full((2,), 30.0), 0.4).square().sum().backward()
    assert glimpse.grad is None
    assert location.grad.abs().min() > 0


def test_constant_glimpses_give_no_gradient():
    glimpse = torch.linspace(0, 1, B)[:, None, None, None].expand(B, 4, 5, 5).clone()
    for max_norm in (0.4, NO_LIMIT, 1e-6):
        gradient = location_gradient(glimpse, torch.rand(B, 4, 5, 5), 2, half_size=30, max_norm=max_norm)
        assert torch.equal(gradient, torch.zeros(B, 2))


def test_gradient_of_each_episode_is_clipped_to_max_norm_over_batch_size():
    size = 8
    glimpse = torch.rand(size, 3, 6, 6) * 10.0 ** -torch.arange(size)[:, None, None, None]  # from long to short
    weights = torch.randn(size, 3, 6, 6)
    free = location_gradient(glimpse, weights, 3, half_size=30)
    clipped = location_gradient(glimpse, weights, 3, half_size=30, max_norm=0.4)
    longest, lengths = 0.4 / size, free.norm(dim=1)
    assert (lengths > longest).any()
    assert (lengths < longest).any()
    for b in range(size):
        scale = min(1.0, longest / lengths[b].item())
        torch.testing.assert_close(clipped[b], free[b] * scale)
    assert clipped.norm(dim=1).max().item() == pytest.approx(longest, rel=1e-5)


def test_clipping_of_an_episode_does_not_depend_on_the_batch_size():
    glimpse, weights = torch.rand(1, 2, 6, 6), torch.randn(1, 2, 6, 6)
    alone = location_gradient(glimpse, weights, 2, half_size=30, max_norm=0.4)
    among = location_gradient(glimpse.expand(5, -1, -1, -1), weights.expand(5, -1, -1, -1), 2, 30, max_norm=0.4)
    torch.testing.assert_close(5 * among, alone.expand(5, 2))
