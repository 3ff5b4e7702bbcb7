"""The Muon optimizer (Jordan et al., 2024): momentum, orthogonalized before each step."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

_NUM_STEPS = 5
_COEFFICIENTS = 3.4445, -4.7750, 2.0315  # of x, x**3 and x**5


class Muon(torch.optim.Optimizer):
    """Muon optimizer: ``torch.optim.Muon`` with ``adjust_lr_fn="match_rms_adamw"``, in the precision of the weights.

    torch's version computes in bfloat16, which most CPUs do not support natively: those take 2.2 times as long.

    Args:
        weights: matrices only.
        lr: learning rate, on the same scale as Adam's: steps are scaled to the usual RMS of Adam's (Liu et al., 2025).
        momentum: Nesterov momentum.
    """

    def __init__(self, weights: Iterable[nn.Parameter], lr: float, momentum: float = 0.95) -> None:
        super().__init__(weights, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Update all weights that have a gradient."""
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                state = self.state[weight]
                if not state:
                    state["momentum"] = torch.zeros_like(weight)
                momentum = state["momentum"].lerp_(weight.grad, 1 - group["momentum"])
                step = orthogonalize(weight.grad.lerp(momentum, group["momentum"]))
                weight.sub_(step, alpha=group["lr"] * 0.2 * max(weight.shape) ** 0.5)


def orthogonalize(matrix: Tensor) -> Tensor:
    """Approximate the nearest orthogonal matrix (Newton-Schulz): singular values between about 0.7 and 1.2.

    Every step multiplies the matrix by a polynomial of its Gram matrix. If one side is clearly longer than the other,
    it is cheaper to compute the product of these polynomials first, since they are as small as the Gram matrix.
    """
    is_tall = matrix.shape[0] > matrix.shape[1]
    wide = matrix.T if is_tall else matrix
    wide = wide / wide.norm().clamp_min(1e-7)
    if wide.shape[1] > 1.5 * wide.shape[0]:  # where both ways take equally many multiplications
        wide = _product_of_polynomials(wide @ wide.T) @ wide
    else:
        for _ in range(_NUM_STEPS):
            wide = _polynomial(wide @ wide.T) @ wide
    return wide.T if is_tall else wide


def _product_of_polynomials(gram: Tensor) -> Tensor:
    """Multiply the polynomials of all steps, from the Gram matrix of the first."""
    product = factor = _polynomial(gram)
    for _ in range(_NUM_STEPS - 1):
        gram = gram @ factor @ factor  # the factors commute, since all are polynomials of one matrix
        factor = _polynomial(gram)
        product = product @ factor
    return product


def _polynomial(gram: Tensor) -> Tensor:
    a, b, c = _COEFFICIENTS
    result = torch.addmm(gram, gram, gram, beta=b, alpha=c)
    result.diagonal().add_(a)
    return result
