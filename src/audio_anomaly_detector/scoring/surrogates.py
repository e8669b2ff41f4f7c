"""Surrogates: noise with the level, colour and direction of a machine's clip, and nothing else."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

# The colour that is kept: the mean power within a sixth of an octave, or 50 Hz, on either side.
_COLOUR_HZ = 50.0
_COLOUR_SHARE = 2 ** (1 / 6) - 1
# The power of a gap is raised to at most this times the mean within so many Hz of it: empty bands,
# as above the cut-off of a recording, stay empty.
_LARGEST_GAP_GAIN = 100.0
_GAP_HZ = 10.0
# The end of a window is faded into its start over so long: a jump there would become noise.
_FADE = 0.05  # s


def surrogate(window: Tensor, sample_rate: int, generator: torch.Generator) -> Tensor:
    """Remove spectral lines and temporal structure from a window; steady noise remains.

    The phases are random, the same at all microphones, so that delays between them stay, and so do
    their levels in every band.

    Args:
        window: ``(C, T)`` on the CPU.
        sample_rate: Hz.
        generator: of the phases.

    Returns:
        ``(C, T)``, of the same power, all microphones together.

    Source: Theiler et al., "Testing for nonlinearity in time series: the method of surrogate
    data", 1992; the flattening of lines is added here.
    """
    offset = window.double().mean(-1, keepdim=True)
    loop = _without_jump(window - offset, round(_FADE * sample_rate))
    spectrum = torch.fft.rfft(loop)  # (C, bins)
    power = spectrum.abs().square().sum(0)
    width = sample_rate / loop.shape[-1]  # Hz of a bin
    hertz = width * torch.arange(len(power), dtype=torch.float64)
    colour = _mean_around(power, (hertz * _COLOUR_SHARE).clamp_min(_COLOUR_HZ) / width)
    near = _mean_around(power, torch.full_like(hertz, _GAP_HZ / width))
    colour = colour.minimum(_LARGEST_GAP_GAIN * near)
    phase = 2 * math.pi * torch.rand(len(power), generator=generator, dtype=torch.float64)
    turn = torch.polar((colour / power.clamp_min(1e-30)).sqrt(), phase)
    noise = torch.fft.irfft(spectrum * turn, loop.shape[-1])
    noise = noise * (loop.square().sum() / noise.square().sum().clamp_min(1e-30)).sqrt()
    again = window.shape[-1] - loop.shape[-1]
    return (torch.cat((noise, noise[:, :again]), -1) + offset).to(window.dtype)


def _without_jump(window: Tensor, fade: int) -> Tensor:
    """Fade the end into the start, ``(C, T) -> (C, T - fade)``, at most half of the window."""
    fade = min(fade, window.shape[-1] // 2)
    length = window.shape[-1] - fade
    rise = torch.linspace(0, 1, fade, dtype=window.dtype)
    start = rise * window[:, :fade] + (1 - rise) * window[:, length:]
    return torch.cat((start, window[:, fade:length]), -1)


def _mean_around(values: Tensor, reach: Tensor) -> Tensor:
    """Mean of the values within ``reach`` places on either side, at the ends of what there is."""
    sums = F.pad(values.cumsum(0), (1, 0))
    place = torch.arange(len(values))
    first = (place - reach.long()).clamp_min(0)
    end = (place + reach.long() + 1).clamp_max(len(values))
    return (sums[end] - sums[first]) / (end - first)
