"""Elementwise work between the matrix products of a network, one pass over memory each; compiled by Numba, for the CPU.

Arrays are float32 and C-contiguous. A window is 4 x 4 cells of a padded glimpse: n glimpses have D channels and g x g
cells, and are zero-padded to P x P cells, P = 4 s + 2: by one cell at the top and on the left, the rest at the bottom
and on the right. They have 2 s x 2 s windows, at stride 2. The windows are rows of a matrix, in the order
(glimpse, I, J, i, j), where window (2 I + i, 2 J + j) is one of the 2 x 2 windows of block (I, J), so that a second
convolution of 2 x 2 at stride 2 reads four adjacent rows. The columns have the order (row, column, channel).

B episodes, H hidden units.
"""

from __future__ import annotations

import numpy as np

from glimpse_gym.kernels.compilation import compiled, compiled_inline

# Unsigned indices need no check for negative numbers, which would prevent loops from being vectorized.


@compiled_inline
def _corner(block: int, window: int, side: int, depth: int) -> int:
    """Return the index of the first value of one of the four windows of a block in its padded glimpse."""
    row, column = 4 * (block // side) + 2 * (window >> 1), 4 * (block % side) + 2 * (window & 1)
    return (row * (4 * side + 2) + column) * depth


@compiled
def extract_windows(glimpses: np.ndarray, windows: np.ndarray) -> None:
    """Write the windows of glimpses, float32 (n, D, g, g), to ``windows``, float32 (n * 4 * s**2, 16 * D)."""
    number, depth, size, _ = glimpses.shape
    side = (size + 3) // 4
    stride, run = (4 * side + 2) * depth, 4 * depth  # values of a padded row, and of a row of a window
    padded = np.zeros((4 * side + 2) * stride, np.float32)
    source, target = glimpses.reshape(-1), windows.reshape(-1)
    first, w = 0, 0
    for _ in range(number):
        for c in range(depth):
            for y in range(size):
                p = (y + 1) * stride + depth + c
                for x in range(size):
                    padded[np.uint64(p + x * depth)] = source[np.uint64(first + x)]
                first += size
        for block in range(side**2):
            for window in range(4):
                p = _corner(block, window, side, depth)
                for _ in range(4):
                    for x in range(run):
                        target[np.uint64(w + x)] = padded[np.uint64(p + x)]
                    p += stride
                    w += run


@compiled
def fold_windows(windows: np.ndarray, glimpses: np.ndarray) -> None:
    """Sum windows where they overlap, the adjoint of :func:`extract_windows`; ``glimpses`` is overwritten."""
    number, depth, size, _ = glimpses.shape
    side = (size + 3) // 4
    stride, run = (4 * side + 2) * depth, 4 * depth
    padded = np.zeros((4 * side + 2) * stride, np.float32)
    source, target = windows.reshape(-1), glimpses.reshape(-1)
    first, w = 0, 0
    for _ in range(number):
        padded[:] = 0.0
        for block in range(side**2):
            for window in range(4):
                p = _corner(block, window, side, depth)
                for _ in range(4):
                    for x in range(run):
                        padded[np.uint64(p + x)] += source[np.uint64(w + x)]
                    p += stride
                    w += run
        for c in range(depth):
            for y in range(size):
                p = (y + 1) * stride + depth + c
                for x in range(size):
                    target[np.uint64(first + x)] = padded[np.uint64(p + x * depth)]
                first += size


@compiled
def location_gradients(grads: np.ndarray, glimpses: np.ndarray, weights: np.ndarray, result: np.ndarray) -> None:
    """Sum a gradient times the central differences of the glimpse along x and y, over the cells inside the border.

    Args:
        grads: gradients with respect to the glimpses, (B, D, g, g).
        glimpses: (B, D, g, g).
        weights: (D,), factor of each channel.
        result: (B, 2), overwritten.
    """
    number, depth, size, _ = glimpses.shape
    x_sums, y_sums = np.zeros(size, np.float32), np.zeros(size, np.float32)  # one per column, so that it vectorizes
    grad, glimpse = grads.reshape(-1), glimpses.reshape(-1)
    p = 0
    for b in range(number):
        x_sums[:] = 0.0
        y_sums[:] = 0.0
        for c in range(depth):
            weight = weights[c]
            for y in range(size):
                for x in range(1, size - 1):
                    difference = glimpse[np.uint64(p + x + 1)] - glimpse[np.uint64(p + x - 1)]
                    x_sums[np.uint64(x)] += weight * grad[np.uint64(p + x)] * difference
                if 0 < y < size - 1:
                    for x in range(size):
                        difference = glimpse[np.uint64(p + x + size)] - glimpse[np.uint64(p + x - size)]
                        y_sums[np.uint64(x)] += weight * grad[np.uint64(p + x)] * difference
                p += size
        result[b, 0] = x_sums.sum()
        result[b, 1] = y_sums.sum()


@compiled
def add_bias_relu(outputs: np.ndarray, bias: np.ndarray) -> None:
    """Add a bias, (F,), to the rows of ``outputs``, (B, F), and apply ReLU, in place."""
    zero = np.float32(0.0)
    for b in range(len(outputs)):
        row = outputs[b]
        for i in range(bias.size):
            row[i] = max(row[i] + bias[i], zero)


@compiled
def relu_backward(grads: np.ndarray, outputs: np.ndarray, bias_grad: np.ndarray) -> None:
    """Set gradients to 0 where the output of a ReLU is 0, in place, and add their sums to the gradient of the bias.

    Args:
        grads: with respect to the outputs, (B, F).
        outputs: (B, F).
        bias_grad: (F,), added to.
    """
    zero = np.float32(0.0)
    for b in range(len(outputs)):
        grad, output = grads[b], outputs[b]
        for i in range(bias_grad.size):
            grad[i] = grad[i] if output[i] > zero else zero
        for i in range(bias_grad.size):
            bias_grad[i] += grad[i]


_ONE, _TWO = np.float32(1.0), np.float32(2.0)
_LOG2_E, _LN2_HIGH, _LN2_LOW = np.float32(1.44269504), np.float32(0.693359375), np.float32(-2.12194440e-4)
_ROUND = np.float32(1.5 * 2**23)  # adding and subtracting it rounds to an integer
_EXP = tuple(map(np.float32, (1.9875691e-4, 1.3981999e-3, 8.3334519e-3, 4.1665796e-2, 1.6666665e-1, 5.0000001e-1)))
_TANH = tuple(map(np.float32, (-5.70498872e-3, 2.06390888e-2, -5.37397156e-2, 1.33314422e-1, -3.33332819e-1)))


@compiled_inline
def _exp(x: np.float32) -> np.float32:
    """Compute the exponential function, as in the Cephes library, in operations that the compiler vectorizes."""
    x = min(max(x, np.float32(-87.0)), np.float32(88.0))
    exponent = (x * _LOG2_E + _ROUND) - _ROUND
    rest = x - exponent * _LN2_HIGH - exponent * _LN2_LOW
    series = _EXP[0]
    series = series * rest + _EXP[1]
    series = series * rest + _EXP[2]
    series = series * rest + _EXP[3]
    series = series * rest + _EXP[4]
    series = series * rest + _EXP[5]
    bits = (np.int32(exponent) + np.int32(127)) << np.int32(23)  # of 2**exponent
    return (series * rest * rest + rest + _ONE) * np.int32(bits).view(np.float32)


@compiled_inline
def _sigmoid(x: np.float32) -> np.float32:
    return _ONE / (_ONE + _exp(-x))


@compiled_inline
def _tanh(x: np.float32) -> np.float32:
    squared = x * x
    series = _TANH[0]
    series = series * squared + _TANH[1]
    series = series * squared + _TANH[2]
    series = series * squared + _TANH[3]
    series = series * squared + _TANH[4]
    near_zero = series * squared * x + x  # accurate where the other form cancels
    return near_zero if abs(x) < np.float32(0.625) else _TWO / (_ONE + _exp(-_TWO * x)) - _ONE


# Each of the loops below reads and writes few arrays, because the compiler vectorizes a loop only if few comparisons
# show that its arrays do not overlap.


@compiled
def gru_forward(
    from_input: np.ndarray, from_hidden: np.ndarray, bias: np.ndarray, hidden: np.ndarray, result: np.ndarray
) -> None:
    """Compute the gates and the new h of a GRU (in torch's form), from the products with its weights.

    Args:
        from_input: (B, 3 H); overwritten with reset gate r, update gate z and candidate n.
        from_hidden: (B, 3 H), in the same order; the last third is overwritten with the part of n that r multiplies.
        bias: both biases of the reset gate, both of the update gate, then the candidate's two one by one, (4 H,).
        hidden: h, (B, H).
        result: new h, (B, H), overwritten.
    """
    size = hidden.shape[1]
    for b in range(len(hidden)):
        x, h, old, new = from_input[b], from_hidden[b], hidden[b], result[b]
        r, z, n, part = x[:size], x[size : 2 * size], x[2 * size :], h[2 * size :]
        x_bias, h_bias = bias[2 * size : 3 * size], bias[3 * size :]
        for i in range(2 * size):
            x[i] = _sigmoid(x[i] + h[i] + bias[i])
        for i in range(size):
            part[i] += h_bias[i]
        for i in range(size):
            n[i] = _tanh(n[i] + x_bias[i] + r[i] * part[i])
        for i in range(size):
            new[i] = n[i] + z[i] * (old[i] - n[i])


@compiled
def gru_backward(
    grads: np.ndarray,
    gates: np.ndarray,
    parts: np.ndarray,
    hidden: np.ndarray,
    input_grads: np.ndarray,
    hidden_grads: np.ndarray,
    carried_grads: np.ndarray,
    bias_grads: np.ndarray,
) -> None:
    """Compute the gradients before the gates of a GRU, from those of its new h.

    Args:
        grads: with respect to the new h, (B, H).
        gates: ``from_input`` after :func:`gru_forward`, (B, 3 H).
        parts: ``from_hidden`` after :func:`gru_forward`, (B, 3 H).
        hidden: h, (B, H).
        input_grads: with respect to the products with the input, (B, 3 H), overwritten.
        hidden_grads: with respect to those with h, (B, 3 H), overwritten.
        carried_grads: with respect to h, where the update gate carries it over, (B, H), overwritten.
        bias_grads: sums of the first two over B, (2, 3 H), added to.
    """
    size = hidden.shape[1]
    for b in range(len(hidden)):
        r, z, n, part = gates[b, :size], gates[b, size : 2 * size], gates[b, 2 * size :], parts[b, 2 * size :]
        x, h, grad, old, carried = input_grads[b], hidden_grads[b], grads[b], hidden[b], carried_grads[b]
        x_r, x_z, x_n, h_n = x[:size], x[size : 2 * size], x[2 * size :], h[2 * size :]
        for i in range(size):
            x_n[i] = grad[i] * (_ONE - z[i]) * (_ONE - n[i] * n[i])
        for i in range(size):
            h_n[i] = x_n[i] * r[i]
        for i in range(size):
            x_r[i] = x_n[i] * part[i] * r[i] * (_ONE - r[i])
        for i in range(size):
            x_z[i] = grad[i] * (old[i] - n[i]) * z[i] * (_ONE - z[i])
        for i in range(size):
            carried[i] = grad[i] * z[i]
        for i in range(2 * size):
            h[i] = x[i]
        for i in range(3 * size):
            bias_grads[0, i] += x[i]
        for i in range(3 * size):
            bias_grads[1, i] += h[i]
