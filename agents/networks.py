"""The networks of the recurrent attention model, each as small as its equation.

B episodes; a glimpse has k scales of C channels and g x g cells; H is the size of h, the core's output.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


class FullWhat(nn.Linear):
    """The paper's network on the glimpse: one layer of rectifiers on all of its cells."""

    def __init__(self, glimpse_shape: tuple[int, ...], units: int) -> None:
        super().__init__(math.prod(glimpse_shape), units)

    def forward(self, glimpse: Tensor) -> Tensor:
        """(B, k*C, g, g) to (B, units)."""
        return super().forward(glimpse.flatten(1)).relu_()


class ConvWhat(nn.Module):
    """Filters of 4 x 4 cells at stride 2, filters of 2 x 2 of those at stride 2, then a layer of rectifiers on all.

    What lies around the glimpse, one cell and as many as a multiple of four needs, is 0.

    On a CPU convolutions of so few channels take longer as such than written out as products of matrices, by a third
    to a half in training.
    """

    filters, more_filters = 32, 64

    def __init__(self, glimpse_shape: tuple[int, ...], units: int) -> None:
        super().__init__()
        depth, side, _ = glimpse_shape
        self.side = -(-side // 4)
        missing = 4 * self.side - side
        self.padding = 0, 0, 1, 1 + missing, 1, 1 + missing  # before and after the channels, the columns, the rows
        self.first = nn.Linear(4 * 4 * depth, self.filters)
        self.second = nn.Linear(2 * 2 * self.filters, self.more_filters)
        self.linear = nn.Linear(self.side**2 * self.more_filters, units)

    def forward(self, glimpse: Tensor) -> Tensor:
        """(B, k*C, g, g) to (B, units)."""
        batch, side = len(glimpse), self.side
        padded = functional.pad(glimpse.permute(0, 2, 3, 1), self.padding)  # (B, 4 side + 2, 4 side + 2, k*C)
        windows = _Windows.apply(padded)  # (B * (2 side)**2, 16 k*C)
        cells = self.first(windows).relu_()
        squares = cells.view(batch, side, 2, side, 2, -1).transpose(2, 3).reshape(batch * side**2, -1)
        return self.linear(self.second(squares).relu_().view(batch, -1)).relu_()


class _Windows(torch.autograd.Function):
    """Windows of 4 x 4 at stride 2, of (B, S, S, C), as rows, (B * (S/2 - 1)**2, 16 C)."""

    @staticmethod
    def forward(ctx: Any, padded: Tensor) -> Tensor:
        padded = padded.contiguous()
        ctx.shape = padded.shape
        batch, side, _, channels = padded.shape
        number = side // 2 - 1
        image, row, column, channel = padded.stride()
        windows = padded.as_strided(
            (batch, number, number, 4, 4, channels), (image, 2 * row, 2 * column, row, column, channel)
        )
        return windows.reshape(batch * number**2, -1)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        batch, side, _, channels = ctx.shape
        number = side // 2 - 1
        grad = grad.view(batch, number, number, 4, 4, channels)
        sums = grad.new_zeros(ctx.shape)
        for i in range(4):
            for j in range(4):
                sums[:, i : i + 2 * number : 2, j : j + 2 * number : 2] += grad[:, :, :, i, j]
        return sums


GLIMPSE_NETWORKS: dict[str, type[FullWhat] | type[ConvWhat]] = {"full": FullWhat, "conv": ConvWhat}


class GlimpseNetwork(nn.Module):
    """f_g: what was seen and where, (B, k*C, g, g) and (B, 2), to features g, (B, features).

    Args:
        glimpse_shape: ``(k*C, g, g)``.
        num_scales: k.
        kind: of GLIMPSE_NETWORKS, what the glimpse goes through.
        units: rectifiers on the glimpse.
        location_units: rectifiers on the location.
        features: size of the output.
        scale_gain: scale s is multiplied by its s-th power.
    """

    gains: Tensor

    def __init__(
        self,
        glimpse_shape: tuple[int, ...],
        num_scales: int,
        kind: str,
        units: int,
        location_units: int,
        features: int,
        scale_gain: float,
    ) -> None:
        super().__init__()
        self.what = GLIMPSE_NETWORKS[kind](glimpse_shape, units)
        self.where = nn.Linear(2, location_units)
        self.what_out = nn.Linear(units, features)
        self.where_out = nn.Linear(location_units, features)
        gains = scale_gain ** torch.arange(num_scales, dtype=torch.float32)
        self.register_buffer(
            "gains", gains.repeat_interleave(glimpse_shape[0] // num_scales)[:, None, None], persistent=False
        )
        self.changes_scales = scale_gain != 1.0

    def forward(self, glimpse: Tensor, location: Tensor) -> Tensor:
        """g = relu(linear(h_g) + linear(h_l))."""
        if self.changes_scales:
            glimpse = glimpse * self.gains
        what = self.what(glimpse)
        where = self.where(location).relu_()
        return self.what_out(what).add_(self.where_out(where)).relu_()


class RectifierCore(nn.Module):
    """The paper's core for classification: the state is h, (B, H)."""

    def __init__(self, features: int, hidden_units: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(hidden_units, hidden_units)
        self.input = nn.Linear(features, hidden_units)
        self.state_size = hidden_units

    def forward(self, features: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor]:
        """h_t = relu(linear(h_(t-1)) + linear(g_t)); no state stands for the zeros that h begins with."""
        carried = self.hidden.bias if state is None else self.hidden(state)
        hidden = self.input(features).add_(carried).relu_()
        return hidden, hidden


class GRUCore(nn.Module):
    """Gated recurrent units (Cho et al., 2014): the state is h, (B, H)."""

    def __init__(self, features: int, hidden_units: int) -> None:
        super().__init__()
        self.cell = nn.GRUCell(features, hidden_units)
        self.state_size = hidden_units

    def forward(self, features: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor]:
        """The output h_t and the new state, which is the same."""
        hidden = self.cell(features, state)
        return hidden, hidden


class LSTMCore(nn.Module):
    """The paper's core for Catch: the state is h and the cells, side by side, (B, 2 H)."""

    def __init__(self, features: int, hidden_units: int) -> None:
        super().__init__()
        self.cell = nn.LSTMCell(features, hidden_units)
        self.state_size = 2 * hidden_units

    def forward(self, features: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor]:
        """The output h_t and the new state."""
        hidden, cells = self.cell(features, None if state is None else state.chunk(2, dim=1))
        return hidden, torch.cat([hidden, cells], dim=1)


CORES: dict[str, type[RectifierCore] | type[GRUCore] | type[LSTMCore]] = {
    "rectifier": RectifierCore,
    "gru": GRUCore,
    "lstm": LSTMCore,
}


class LocationNetwork(nn.Module):
    """f_l: from h, (B, H), the mean of the next location, (B, 2) in [-1, 1]."""

    def __init__(self, hidden_units: int) -> None:
        super().__init__()
        self.mean = nn.Linear(hidden_units, 2)

    def forward(self, hidden: Tensor) -> Tensor:
        """The mean of a Gaussian of fixed variance."""
        return torch.tanh(self.mean(hidden))


class ChoiceNetwork(nn.Module):
    """f_a: from h, (B, H), the logits of the labels or the moves, (B, K)."""

    def __init__(self, hidden_units: int, num_choices: int) -> None:
        super().__init__()
        self.logits = nn.Linear(hidden_units, num_choices)

    def forward(self, hidden: Tensor) -> Tensor:
        """A linear softmax classifier, before the softmax."""
        return self.logits(hidden)


class Baseline(nn.Module):
    """b: from h, (B, H), the return to be expected, (B,)."""

    def __init__(self, hidden_units: int) -> None:
        super().__init__()
        self.value = nn.Linear(hidden_units, 1)

    def forward(self, hidden: Tensor) -> Tensor:
        """b(h_t)."""
        return self.value(hidden).squeeze(-1)


def steered(glimpse: Tensor, location: Tensor, num_scales: int, half_size: Tensor, limit: float) -> Tensor:
    """The same glimpse, with a gradient to the location at which it was taken.

    To move the retina by one cell is to move what it sees by one cell, so a glimpse tells by its own differences, of
    each cell's two neighbors, how it would change if it had been taken elsewhere: the pathwise derivative of a
    retina that interpolates between pixels, had without looking there. At scale s a cell is ``2**s`` pixels wide.
    Each episode's gradient is shortened to ``limit`` / B: chained through several glimpses it has a heavy tail.

    Args:
        glimpse: (B, k*C, g, g).
        location: (B, 2), x and y in [-1, 1].
        num_scales: k.
        half_size: (B, 2), half the width and half the height of each image in pixels: the units of its x and y.
        limit: the longest gradient of one episode, of a loss that is a mean over the B episodes, times B.
    """
    return _Steered.apply(glimpse, location, num_scales, half_size, limit)


class _Steered(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, glimpse: Tensor, location: Tensor, num_scales: int, half_size: Tensor, limit: float
    ) -> Tensor:
        ctx.save_for_backward(glimpse, half_size)
        ctx.num_scales, ctx.limit = num_scales, limit
        return glimpse.view_as(glimpse)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        glimpse, half_size = ctx.saved_tensors
        cells_per_pixel = 0.5 ** torch.arange(ctx.num_scales, dtype=torch.float32)
        channels = glimpse.shape[1] // ctx.num_scales
        grad = grad * (0.5 * cells_per_pixel.repeat_interleave(channels)[:, None, None])
        # Cells on the rim have one neighbor only, and say nothing.
        x = (grad[..., 1:-1] * (glimpse[..., 2:] - glimpse[..., :-2])).sum((1, 2, 3))
        y = (grad[..., 1:-1, :] * (glimpse[..., 2:, :] - glimpse[..., :-2, :])).sum((1, 2, 3))
        to_location = torch.stack([x, y], dim=1) * half_size
        length = to_location.norm(dim=1, keepdim=True)
        limit = ctx.limit / len(glimpse)  # the loss is a mean over the episodes
        return None, to_location * (limit / length.clamp_min(1e-30)).clamp_max(1.0), None, None, None
