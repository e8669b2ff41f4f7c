"""Surrogates: noise that a machine's clip could pass for by level, colour and direction alone."""

import math

import torch
from torch import Tensor
from torch.nn import functional

# Lines narrower than this are flattened to the level around them.
_LINE_HZ = 2.0
# The colour that is kept: the mean power within a sixth of an octave, or 50 Hz, on either side.
_COLOUR_HZ = 50.0
_COLOUR_SHARE = 2 ** (1 / 6) - 1


def surrogate(window: Tensor, sample_rate: int, generator: torch.Generator) -> Tensor:
    """Take from a window its lines and all that happens in time; its hum becomes steady noise.

    The phases are random, the same at all microphones, so that levels and directions stay.

    Args:
        window: ``(C, T)``.
        sample_rate: Hz.
        generator: of the phases, on the CPU.

    Returns:
        ``(C, T)``, of the same power.

    Source: Theiler et al., "Testing for nonlinearity in time series: the method of surrogate
    data", 1992; the flattening of lines is ours.
    """
    spectrum = torch.fft.rfft(window.double())  # (C, bins)
    power = spectrum.abs().square().sum(0)
    width = sample_rate / window.shape[-1]  # Hz of a bin
    hertz = width * torch.arange(len(power), dtype=torch.float64, device=power.device)
    fine = _mean_around(power, torch.full_like(hertz, _LINE_HZ) / width)
    colour = _mean_around(power, (hertz * _COLOUR_SHARE).clamp_min(_COLOUR_HZ) / width)
    phase = 2 * math.pi * torch.rand(len(power), generator=generator, dtype=torch.float64)
    turn = torch.polar(torch.ones_like(phase), phase).to(power.device)
    flat = spectrum * turn * (colour / fine.clamp_min(1e-30)).sqrt()
    sound = torch.fft.irfft(flat, window.shape[-1])
    same_power = (window.double().square().sum() / sound.square().sum().clamp_min(1e-30)).sqrt()
    return (sound * same_power).to(window.dtype)


def _mean_around(values: Tensor, reach: Tensor) -> Tensor:
    """Mean of the values within ``reach`` places on either side, at the ends of what there is."""
    sums = functional.pad(values.cumsum(0), (1, 0))
    place = torch.arange(len(values), device=values.device)
    first = (place - reach.long()).clamp_min(0)
    end = (place + reach.long() + 1).clamp_max(len(values))
    return (sums[end] - sums[first]) / (end - first)
