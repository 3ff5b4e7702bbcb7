"""Layers whose elementwise work is fused: on the CPU one compiled pass follows each matrix product.

On other devices, in other precisions and under autocast the same functions are computed by torch's own operations. The
results agree within rounding.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from glimpse_gym.agents import cpu_kernels

_CHUNK = 128  # glimpses of a convolution: large enough that few calls are needed, small enough for a cache


def is_fused(*inputs: Tensor) -> bool:
    """Return whether the compiled kernels apply: float32 on the CPU, without autocast."""
    on_cpu = all(each.device.type == "cpu" and each.dtype == torch.float32 for each in inputs)
    return on_cpu and not torch.is_autocast_enabled("cpu")


def gru_step(features: Tensor, hidden: Tensor | None, cell: nn.GRUCell) -> Tensor:
    """Compute one step of a GRU, from features, (B, inputs), and h, (B, H), or None for zeros: the new h, (B, H)."""
    if is_fused(features):
        return _GRUStep.apply(features, hidden, cell.weight_ih, cell.weight_hh, cell.bias_ih, cell.bias_hh)
    return cell(features, hidden)


class _GRUStep(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        features: Tensor,
        hidden: Tensor | None,
        input_weight: Tensor,
        hidden_weight: Tensor,
        input_bias: Tensor,
        hidden_bias: Tensor,
    ) -> Tensor:
        from_input = features @ input_weight.T
        old = features.new_zeros(len(features), hidden_weight.shape[1]) if hidden is None else hidden.contiguous()
        from_hidden = torch.zeros_like(from_input) if hidden is None else old @ hidden_weight.T
        new, size = torch.empty_like(old), old.shape[1]
        bias = torch.cat([input_bias, hidden_bias[2 * size :]])
        bias[: 2 * size] += hidden_bias[: 2 * size]
        arrays = (each.numpy() for each in (from_input, from_hidden, bias, old, new))
        cpu_kernels.gru_forward(*arrays)
        ctx.save_for_backward(features, old, from_input, from_hidden, input_weight, hidden_weight)
        ctx.has_state = hidden is not None
        return new

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        features, hidden, gates, parts, input_weight, hidden_weight = ctx.saved_tensors
        input_grads = features.new_empty(len(hidden), len(input_weight))
        hidden_grads, carried = torch.empty_like(input_grads), torch.empty_like(hidden)
        bias_grads = features.new_zeros(2, len(input_weight))
        cpu_kernels.gru_backward(
            grad.contiguous().numpy(),
            gates.numpy(),
            parts.numpy(),
            hidden.numpy(),
            input_grads.numpy(),
            hidden_grads.numpy(),
            carried.numpy(),
            bias_grads.numpy(),
        )
        return (
            input_grads @ input_weight if ctx.needs_input_grad[0] else None,
            carried.addmm_(hidden_grads, hidden_weight) if ctx.needs_input_grad[1] else None,
            input_grads.T @ features,
            hidden_grads.T @ hidden if ctx.has_state else torch.zeros_like(hidden_weight),
            *bias_grads,
        )


def conv_features(glimpse: Tensor, first: nn.Linear, second: nn.Linear) -> Tensor:
    """Apply a convolution of 4 x 4 at stride 2 and one of 2 x 2 at stride 2, both with ReLUs.

    The glimpse is zero-padded by one cell, and at the bottom and on the right further, to a multiple of four cells and
    two. On a CPU, with so few channels, matrix products are faster than torch's convolutions. They process the glimpses
    in chunks that stay in the cache, whose windows are extracted again in the backward pass instead of being kept.

    Args:
        glimpse: (B, D, g, g).
        first: from 16 * D inputs in the order (row, column, channel).
        second: from 4 times the outputs of ``first``, in the order (row, column, filter).

    Returns:
        (B, s * s * F), where s is g / 4, rounded up, and F the number of filters of ``second``.
    """
    if is_fused(glimpse):
        return _ConvFeatures.apply(glimpse, first.weight, first.bias, second.weight, second.bias)
    depth, size = glimpse.shape[1:3]
    extra = -size % 4
    padded = functional.pad(glimpse, (1, 1 + extra, 1, 1 + extra))
    outputs = functional.conv2d(padded, _filters(first.weight, 4, depth), first.bias, stride=2).relu_()
    outputs = functional.conv2d(outputs, _filters(second.weight, 2, len(first.weight)), second.bias, stride=2).relu_()
    return outputs.permute(0, 2, 3, 1).flatten(1)


def _filters(weight: Tensor, side: int, depth: int) -> Tensor:
    """Reorder the weights of a linear layer, (F, side * side * depth), to those of a convolution."""
    return weight.view(-1, side, side, depth).permute(0, 3, 1, 2)


class _ConvFeatures(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, glimpse: Tensor, weight_1: Tensor, bias_1: Tensor, weight_2: Tensor, bias_2: Tensor
    ) -> Tensor:
        glimpse = glimpse.contiguous()
        batch, num_blocks = len(glimpse), (-(-glimpse.shape[2] // 4)) ** 2
        first = glimpse.new_empty(batch * num_blocks, weight_2.shape[1])
        second = glimpse.new_empty(batch * num_blocks, len(weight_2))
        for _, rows, windows in _chunks(glimpse):
            outputs = first[rows].view(len(windows), -1)
            torch.mm(windows, weight_1.T, out=outputs)
            cpu_kernels.add_bias_relu(outputs.numpy(), bias_1.numpy())
            torch.mm(first[rows], weight_2.T, out=second[rows])
            cpu_kernels.add_bias_relu(second[rows].numpy(), bias_2.numpy())
        ctx.save_for_backward(glimpse, first, second, weight_1, weight_2)
        return second.view(batch, -1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        glimpse, first, second, weight_1, weight_2 = ctx.saved_tensors
        grad = grad.reshape(second.shape)
        glimpse_grad = torch.empty_like(glimpse) if ctx.needs_input_grad[0] else None
        weight_1_grad, weight_2_grad = torch.zeros_like(weight_1), torch.zeros_like(weight_2)
        bias_1_grad, bias_2_grad = weight_1.new_zeros(len(weight_1)), weight_2.new_zeros(len(weight_2))
        rows_of_chunk = min(_CHUNK, len(glimpse)) * len(second) // len(glimpse)
        buffer_1, buffer_2 = (
            first.new_empty(rows_of_chunk, first.shape[1]),
            second.new_empty(rows_of_chunk, second.shape[1]),
        )
        for part, rows, windows in _chunks(glimpse):
            grad_1, grad_2 = (buffer[: rows.stop - rows.start] for buffer in (buffer_1, buffer_2))
            grad_2.copy_(grad[rows])
            cpu_kernels.relu_backward(grad_2.numpy(), second[rows].numpy(), bias_2_grad.numpy())
            weight_2_grad.addmm_(grad_2.T, first[rows])
            torch.mm(grad_2, weight_2, out=grad_1)
            grad_1, outputs_1 = (each.view(len(windows), -1) for each in (grad_1, first[rows]))
            cpu_kernels.relu_backward(grad_1.numpy(), outputs_1.numpy(), bias_1_grad.numpy())
            weight_1_grad.addmm_(grad_1.T, windows)
            if glimpse_grad is not None:
                torch.mm(grad_1, weight_1, out=windows)  # the windows are not needed any more
                cpu_kernels.fold_windows(windows.numpy(), glimpse_grad[part].numpy())
        return glimpse_grad, weight_1_grad, bias_1_grad, weight_2_grad, bias_2_grad


def _chunks(glimpse: Tensor) -> Iterator[tuple[slice, slice, Tensor]]:
    """Yield the parts of a batch, their blocks of windows, and their windows, in memory that the next part reuses."""
    batch, depth, size, _ = glimpse.shape
    num_blocks = (-(-size // 4)) ** 2
    buffer = glimpse.new_empty(min(_CHUNK, batch) * 4 * num_blocks, 16 * depth)
    array = glimpse.detach().numpy()
    for start in range(0, batch, _CHUNK):
        stop = min(start + _CHUNK, batch)
        windows = buffer[: (stop - start) * 4 * num_blocks]
        cpu_kernels.extract_windows(array[start:stop], windows.numpy())
        yield slice(start, stop), slice(start * num_blocks, stop * num_blocks), windows


def location_gradient(grad: Tensor, glimpse: Tensor, weights: Tensor) -> Tensor:
    """Sum a gradient times the differences between the two neighbors of each cell, along x and along y.

    Cells on the border have one neighbor only and are left out.

    Args:
        grad: gradient with respect to the glimpse, (B, D, g, g).
        glimpse: (B, D, g, g).
        weights: (D,), factor of each channel.

    Returns:
        (B, 2).
    """
    if is_fused(grad, glimpse):
        result = grad.new_empty(len(grad), 2)
        arrays = grad.contiguous().numpy(), glimpse.contiguous().numpy(), weights.numpy()
        cpu_kernels.location_gradients(*arrays, result.numpy())
        return result
    grad = grad * weights[:, None, None]
    x = (grad[..., 1:-1] * (glimpse[..., 2:] - glimpse[..., :-2])).sum((1, 2, 3))
    y = (grad[..., 1:-1, :] * (glimpse[..., 2:, :] - glimpse[..., :-2, :])).sum((1, 2, 3))
    return torch.stack([x, y], dim=1)
