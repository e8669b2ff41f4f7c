"""The Gaussian that both decoders predict: a mean and a bounded log-variance for every bin."""

import torch
from torch import Tensor


def bounded_log_variance(raw: Tensor, bound: float) -> Tensor:
    """Keep a log-variance within +-`bound` smoothly, so that the gradient never dies at the bound.

    Args:
        raw: output of a linear layer, any shape.
        bound: largest magnitude.

    Returns:
        The log-variance, same shape, float32.
    """
    return bound * torch.tanh(raw.float() / bound)


def gaussian_nll(mean: Tensor, log_variance: Tensor, target: Tensor) -> Tensor:
    """Negative log-likelihood per bin, without the constant log(2 pi) / 2.

    Args:
        mean: predicted means, any shape.
        log_variance: predicted log-variances, same shape.
        target: true values, same shape and units as `mean`.

    Returns:
        Nats per bin, same shape.

    Source: Nix and Weigend, "Estimating the mean and variance of the target probability
    distribution", ICNN 1994.
    """
    return 0.5 * (log_variance + (target - mean).square() * torch.exp(-log_variance))
