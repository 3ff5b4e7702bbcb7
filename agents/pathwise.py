"""Pathwise gradient: the derivative of a glimpse with respect to its location, estimated from the glimpse itself."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from glimpse_gym.agents.layers import location_gradient


def with_pathwise_gradient(
    glimpse: Tensor, location: Tensor, num_scales: int, half_size: Tensor, max_norm: float
) -> Tensor:
    """Return the same glimpse, with a gradient with respect to the location at which it was taken.

    Moving the retina by one cell moves its content by one cell, so the central differences between neighboring cells of
    the glimpse estimate its derivative with respect to the location: the derivative of a retina that interpolates
    between pixels, from this glimpse alone. A cell of scale s is ``2**s`` pixels wide. Each episode's gradient is
    clipped to norm ``max_norm / B``, because chained through several glimpses it has a heavy tail.

    Args:
        glimpse: (B, k*C, g, g).
        location: (B, 2), x and y in [-1, 1].
        num_scales: k.
        half_size: (2,), half the width and half the height of the image in pixels: the units of x and y.
        max_norm: maximum norm of the gradient of one episode's own loss, before the mean over the B episodes.
    """
    return _PathwiseGradient.apply(glimpse, location, num_scales, half_size, max_norm)


class _PathwiseGradient(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, glimpse: Tensor, location: Tensor, num_scales: int, half_size: Tensor, max_norm: float
    ) -> Tensor:
        ctx.save_for_backward(glimpse, half_size)
        ctx.num_scales, ctx.max_norm = num_scales, max_norm
        return glimpse.view_as(glimpse)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        glimpse, half_size = ctx.saved_tensors
        channels = glimpse.shape[1] // ctx.num_scales
        scale = torch.arange(ctx.num_scales, device=grad.device).repeat_interleave(channels)
        # Half the difference of the two neighbors of a cell, which is 2**scale pixels wide.
        difference = location_gradient(grad, glimpse, 0.5 * 0.5**scale)
        location_grad = difference * half_size  # (B, 2)
        norm = location_grad.norm(dim=1, keepdim=True)
        max_norm = ctx.max_norm / len(glimpse)  # the mean over the B episodes scales gradients by 1/B
        return None, location_grad * (max_norm / norm.clamp_min(1e-30)).clamp_max(1.0), None, None, None
