"""Muon (Jordan et al., 2024): momentum, of which every step moves a layer equally far in all its directions."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

_NUM_STEPS = 5
_COEFFICIENTS = 3.4445, -4.7750, 2.0315


class Muon(torch.optim.Optimizer):
    """As ``torch.optim.Muon`` with ``adjust_lr_fn="match_rms_adamw"``, but in the weights' own precision.

    That one works in bfloat16, which most CPUs have no unit for: measured on one of them, it takes 2.2 times as long.

    Args:
        weights: matrices alone.
        lr: as large as Adam's: steps have the length that Adam's usually have (Liu et al., 2025).
        momentum: Nesterov's.
    """

    def __init__(self, weights: Iterable[nn.Parameter], lr: float, momentum: float = 0.95) -> None:
        super().__init__(weights, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One step along the gradients that there are."""
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                state = self.state[weight]
                if not state:
                    state["momentum"] = torch.zeros_like(weight)
                momentum = state["momentum"].lerp_(weight.grad, 1 - group["momentum"])
                step = orthogonal(weight.grad.lerp(momentum, group["momentum"]))
                weight.sub_(step, alpha=group["lr"] * 0.2 * max(weight.shape) ** 0.5)


def orthogonal(matrix: Tensor) -> Tensor:
    """Nearly the orthogonal matrix next to this one: all singular values between about 0.7 and 1.2 (Newton-Schulz)."""
    a, b, c = _COEFFICIENTS
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    wide = wide / wide.norm().clamp_min(1e-7)
    for _ in range(_NUM_STEPS):
        gram = wide @ wide.T
        wide = torch.addmm(wide, torch.addmm(gram, gram, gram, beta=b, alpha=c), wide, beta=a)
    return wide if matrix.shape[0] <= matrix.shape[1] else wide.T
