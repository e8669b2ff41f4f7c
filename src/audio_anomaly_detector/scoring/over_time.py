"""Pooling over time: how a row of frames becomes one number without losing clicks or hums."""

import math

import torch
from torch import Tensor

_DB = 10.0 / math.log(10.0)  # decibels per neper of power


def power_mean(decibel: Tensor, exponent: float) -> Tensor:
    """Power mean over the last axis, in decibels.

    The generalised mean ``(mean_t P^p)^(1/p)`` of the power ``P``: p = 0 is the mean of the
    decibels, p = 1 the mean power, p = inf the loudest frame. Between them it moves from what is
    there all the time to what is there once, which is what global weighted ranking pooling does
    by sorting (Guan et al., "Time-weighted frequency domain audio representation with GMM
    estimator for anomalous sound detection", ICASSP 2023), without the sort.

    Args:
        decibel: levels in dB, ``(..., N)``.
        exponent: p >= 0, or ``math.inf``.

    Returns:
        Pooled levels in dB, ``(...)``.
    """
    if exponent == 0:
        return decibel.mean(-1)
    if math.isinf(exponent):
        return decibel.amax(-1)
    scaled = decibel * (exponent / _DB)
    frames = decibel.shape[-1]
    return (torch.logsumexp(scaled, -1) - math.log(frames)) * (_DB / exponent)


def upper_quantile(values: Tensor, share: float) -> Tensor:
    """The value that the top ``share`` of the last axis exceeds, ``(..., N) -> (...)``."""
    rank = max(1, round(share * values.shape[-1]))
    return values.topk(rank, dim=-1).values[..., -1]


def between_microphones(values: Tensor) -> Tensor:
    """What each microphone has more than the mean of all, ``(B, C, ...) -> (B, C, ...)``.

    A source stands at one place and reaches every microphone with a gain of its own; diffuse
    noise reaches all alike and cancels.
    """
    return values - values.mean(1, keepdim=True)
