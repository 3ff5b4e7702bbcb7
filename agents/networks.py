"""Networks of the recurrent attention model, one class per network of the paper (section 3.1).

B episodes; a glimpse has k scales of C channels and g x g cells; H is the size of h, the core's output.

A core runs one step at a time in a rollout (``forward``), and over whole recorded episodes in learning (``unroll``).
There the N steps are packed as in :class:`torch.nn.utils.rnn.PackedSequence`: ``batch_sizes`` is the number of episodes
that have a first step, a second step, and so on.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from glimpse_gym.agents.layers import conv_features, gru_step


class FCGlimpseEncoder(nn.Linear):
    """The paper's glimpse encoder: one fully connected layer of ReLU units, which does not use ``filters``."""

    def __init__(self, glimpse_shape: tuple[int, ...], units: int, filters: int) -> None:
        super().__init__(math.prod(glimpse_shape), units)

    def forward(self, glimpse: Tensor) -> Tensor:
        """Map (B, k*C, g, g) to (B, units)."""
        return super().forward(glimpse.flatten(1)).relu_()


class ConvGlimpseEncoder(nn.Module):
    """Convolutional glimpse encoder: 4 x 4 at stride 2, 2 x 2 at stride 2, then a fully connected layer, with ReLUs.

    The first convolution has ``filters`` filters, the second twice as many. The glimpse is zero-padded by one cell,
    and further to a multiple of four cells.
    """

    def __init__(self, glimpse_shape: tuple[int, ...], units: int, filters: int) -> None:
        super().__init__()
        depth, side, _ = glimpse_shape
        self.side = -(-side // 4)
        self.first = nn.Linear(4 * 4 * depth, filters)  # inputs in the order (row, column, channel)
        self.second = nn.Linear(2 * 2 * filters, 2 * filters)
        self.linear = nn.Linear(self.side**2 * 2 * filters, units)

    def forward(self, glimpse: Tensor) -> Tensor:
        """Map (B, k*C, g, g) to (B, units)."""
        return self.linear(conv_features(glimpse, self.first, self.second)).relu_()


GLIMPSE_ENCODERS: dict[str, type[FCGlimpseEncoder] | type[ConvGlimpseEncoder]] = {
    "fc": FCGlimpseEncoder,
    "conv": ConvGlimpseEncoder,
}


class GlimpseNetwork(nn.Module):
    """Glimpse network f_g: maps a glimpse, (B, k*C, g, g), and its location, (B, 2), to features g, (B, features).

    Args:
        glimpse_shape: ``(k*C, g, g)``.
        num_scales: k.
        encoder: network on the glimpse, a key of GLIMPSE_ENCODERS.
        units: ReLU units on the glimpse.
        location_units: ReLU units on the location.
        features: size of the output.
        scale_gain: scale s of the glimpse is multiplied by ``scale_gain**s``.
        filters: of the first convolution, where the encoder has one.
    """

    gains: Tensor

    def __init__(
        self,
        glimpse_shape: tuple[int, ...],
        num_scales: int,
        encoder: str,
        units: int,
        location_units: int,
        features: int,
        scale_gain: float,
        filters: int = 32,
    ) -> None:
        super().__init__()
        self.what = GLIMPSE_ENCODERS[encoder](glimpse_shape, units, filters)
        self.where = nn.Linear(2, location_units)
        self.what_out = nn.Linear(units, features)
        self.where_out = nn.Linear(location_units, features)
        gains = scale_gain ** torch.arange(num_scales, dtype=torch.float32)
        self.register_buffer(
            "gains", gains.repeat_interleave(glimpse_shape[0] // num_scales)[:, None, None], persistent=False
        )
        self.has_gains = scale_gain != 1.0

    def forward(self, glimpse: Tensor, location: Tensor) -> Tensor:
        """Compute g = relu(linear(h_g) + linear(h_l))."""
        if self.has_gains:
            glimpse = glimpse * self.gains
        what = self.what(glimpse)
        where = self.where(location).relu_()
        return self.what_out(what).add_(self.where_out(where)).relu_()


class ReLUCore(nn.Module):
    """The paper's core for classification: ReLU units, whose state is h, (B, H)."""

    def __init__(self, features: int, hidden_units: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(hidden_units, hidden_units)
        self.input = nn.Linear(features, hidden_units)
        self.state_size = hidden_units

    def forward(self, features: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor]:
        """Compute h_t = relu(linear(h_(t-1)) + linear(g_t)), the output and the new state. None: a state of zeros."""
        carried = self.hidden.bias if state is None else self.hidden(state)
        hidden = self.input(features).add_(carried).relu_()
        return hidden, hidden

    def unroll(self, features: Tensor, batch_sizes: Sequence[int]) -> Tensor:
        """Compute h of all steps of whole episodes: from (N, features) to (N, H), both packed."""
        state: Tensor | None = None
        hiddens = []
        for step in features.split(list(batch_sizes)):
            hidden, state = self(step, None if state is None else state[: len(step)])
            hiddens.append(hidden)
        return torch.cat(hiddens)


class GRUCore(nn.Module):
    """Core of gated recurrent units (Cho et al., 2014), whose state is h, (B, H)."""

    def __init__(self, features: int, hidden_units: int) -> None:
        super().__init__()
        self.cell = nn.GRUCell(features, hidden_units)
        self.state_size = hidden_units

    def forward(self, features: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor]:
        """Compute h_t, the output and the new state. None: a state of zeros."""
        hidden = gru_step(features, state, self.cell)
        return hidden, hidden

    def unroll(self, features: Tensor, batch_sizes: Sequence[int]) -> Tensor:
        """See :meth:`ReLUCore.unroll`."""
        first = features.new_zeros(1, batch_sizes[0], self.cell.hidden_size)
        return _unroll_cell(torch.gru, self.cell, features, batch_sizes, first)


class LSTMCore(nn.Module):
    """The paper's core for Catch: an LSTM, whose state is h and c concatenated, (B, 2 H)."""

    def __init__(self, features: int, hidden_units: int) -> None:
        super().__init__()
        self.cell = nn.LSTMCell(features, hidden_units)
        self.state_size = 2 * hidden_units

    def forward(self, features: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor]:
        """Compute h_t and the new state. None: a state of zeros."""
        hidden, cell = self.cell(features, None if state is None else state.chunk(2, dim=1))
        return hidden, torch.cat([hidden, cell], dim=1)

    def unroll(self, features: Tensor, batch_sizes: Sequence[int]) -> Tensor:
        """See :meth:`ReLUCore.unroll`."""
        first = features.new_zeros(1, batch_sizes[0], self.cell.hidden_size)
        return _unroll_cell(torch.lstm, self.cell, features, batch_sizes, (first, first))


def _unroll_cell(
    function: Any, cell: nn.RNNCellBase, features: Tensor, batch_sizes: Sequence[int], first_state: Any
) -> Tensor:
    """Run torch's fused LSTM or GRU with the weights of a cell, a third faster than calling the cell at every step."""
    weights = [cell.weight_ih, cell.weight_hh, cell.bias_ih, cell.bias_hh]
    options = weights, True, 1, 0.0, True, False  # has biases, layers, dropout, training, bidirectional
    if batch_sizes[0] == batch_sizes[-1]:  # unpacked sequences are faster for a GRU
        sequences = features.view(len(batch_sizes), batch_sizes[0], -1)
        return function(sequences, first_state, *options, False)[0].flatten(0, 1)  # batch first: no
    return function(features, torch.tensor(batch_sizes), first_state, *options)[0]


CORES: dict[str, type[ReLUCore] | type[GRUCore] | type[LSTMCore]] = {
    "relu": ReLUCore,
    "gru": GRUCore,
    "lstm": LSTMCore,
}


class LocationNetwork(nn.Module):
    """Location network f_l: maps h, (B, H), to the mean of the next location, (B, 2) in [-1, 1]."""

    def __init__(self, hidden_units: int) -> None:
        super().__init__()
        self.mean = nn.Linear(hidden_units, 2)

    def forward(self, hidden: Tensor) -> Tensor:
        """Compute the mean of the Gaussian location policy, whose variance is fixed."""
        return torch.tanh(self.mean(hidden))


class ChoiceNetwork(nn.Module):
    """Action network f_a of the paper: maps h, (B, H), to the logits of the labels or moves, (B, K)."""

    def __init__(self, hidden_units: int, num_choices: int) -> None:
        super().__init__()
        self.logits = nn.Linear(hidden_units, num_choices)

    def forward(self, hidden: Tensor) -> Tensor:
        """Compute the logits of a linear softmax classifier."""
        return self.logits(hidden)


class Baseline(nn.Module):
    """Baseline b: maps h, (B, H), to the expected return, (B,)."""

    def __init__(self, hidden_units: int) -> None:
        super().__init__()
        self.value = nn.Linear(hidden_units, 1)

    def forward(self, hidden: Tensor) -> Tensor:
        """Compute b(h_t)."""
        return self.value(hidden).squeeze(-1)


def initialize_orthogonal(policy: nn.Module) -> None:
    """Initialize the weights of a policy with orthogonal matrices, and the biases with 0.

    The matrices are scaled by sqrt(2) before ReLU units, so that signals keep their size; by 0.01 in the heads, so that
    the first policy is close to uniform; and by 1 in the core and the baseline.
    """
    gains: dict[type[nn.Module], float] = {ChoiceNetwork: 0.01, LocationNetwork: 0.01, Baseline: 1.0, ReLUCore: 1.0}
    scaled = {
        part: gains[type(module)] for module in policy.modules() if type(module) in gains for part in module.modules()
    }
    for part in policy.modules():
        if isinstance(part, nn.Linear):
            nn.init.orthogonal_(part.weight, scaled.get(part, math.sqrt(2)))
            nn.init.zeros_(part.bias)
        elif isinstance(part, nn.RNNCellBase):
            for weight in (part.weight_ih, part.weight_hh):
                for gate in weight.data.split(part.hidden_size):
                    nn.init.orthogonal_(gate)
            nn.init.zeros_(part.bias_ih)
            nn.init.zeros_(part.bias_hh)
