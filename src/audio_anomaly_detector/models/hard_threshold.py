"""DeSpaWN's learnable hard threshold: smooth, asymmetric, with a gradient that costs no memory."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def hard_threshold(x: Tensor, upper: Tensor, lower: Tensor, slope: Tensor) -> Tensor:
    """Keep what lies above `upper` or below ``-lower``, and set what lies between to zero.

    ``x [sigma(s (x - upper)) + sigma(-s (x + lower))]``, which is x itself where both thresholds
    are 0.

    Args:
        x: ``(B, bands, n)`` coefficients.
        upper: ``(B, bands, 1)`` positive, in the units of x.
        lower: ``(B, bands, 1)``, likewise.
        slope: ``(bands, 1)`` s, one over the units of x; it gets no gradient.

    Returns:
        ``(B, bands, n)``.

    Source: Michau, Frusque, Fink, PNAS 2022 (there with s = 10 on standardised signals).
    """
    return _HardThreshold.apply(x, upper, lower, slope)


class _HardThreshold(torch.autograd.Function):
    """Keeps x for the backward pass, where plain autograd keeps six tensors of its size."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, upper: Tensor, lower: Tensor, slope: Tensor) -> Tensor:
        ctx.save_for_backward(x, upper, lower, slope)
        above, below = _gates(x, upper, lower, slope)
        return above.add_(below).mul_(x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        x, upper, lower, slope = ctx.saved_tensors
        above, below = _gates(x, upper, lower, slope)
        through = (above + below).mul_(grad)
        steepness = (grad * x).mul_(slope)
        above.addcmul_(above, above, value=-1).mul_(steepness)  # sigma' = sigma (1 - sigma)
        below.addcmul_(below, below, value=-1).mul_(steepness)
        to_upper, to_lower = -above.sum(-1, keepdim=True), -below.sum(-1, keepdim=True)
        return through.add_(above).sub_(below), to_upper, to_lower, None


def _gates(x: Tensor, upper: Tensor, lower: Tensor, slope: Tensor) -> tuple[Tensor, Tensor]:
    above = torch.addcmul(-slope * upper, x, slope).sigmoid_()
    below = torch.addcmul(-slope * lower, x, -slope).sigmoid_()
    return above, below
