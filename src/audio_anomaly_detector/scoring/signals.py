"""What is measured on a batch of windows before any network sees it."""

from functools import cache, cached_property
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from audio_anomaly_detector.models.logmel import (
    LogMel,
    band_groups,
    band_power,
    by_frames,
    centred_frames,
    power_spectrum,
    spectrum,
)
from audio_anomaly_detector.models.wavelet import DB4, analyse, quadrature_mirror
from audio_anomaly_detector.scoring.pooling import upper_quantile

# Fast envelopes: 4-ms frames every 2 ms at 16 kHz, short enough for a click of a valve.
_ENVELOPE_FFT = 64
_ENVELOPE_HOP = 32
_ENVELOPE_BANDS = 16
_PACKET_LEVELS = 5  # 32 bands of equal width
# Narrow bands: quarter-second frames at 16 kHz, in which the orders of a shaft stand apart; frames
# twice and four times as long found less.
_NARROW_FFT = 4096
_NARROW_BINS = 2  # 8 Hz a band up to 1 kHz, above that 1 % of the frequency
_NARROW_UP_TO = 256
_NARROW_ABOVE = 192
# Modulation: two-second stretches of the fast envelopes, from 1 Hz up to half their rate.
_MODULATION_FRAMES = 1024
_MODULATION_BANDS = 17
POWER_FLOOR = 1e-10


class Signals:
    """A batch of windows and what is derived from it, each computed when first asked for.

    Args:
        waveform: ``(B, C, T)`` in full scale ±1.
        front_end: computes the log-mel spectrogram.
    """

    def __init__(self, waveform: Tensor, front_end: LogMel) -> None:
        self.waveform = waveform
        self._front_end = front_end

    @cached_property
    def logmel(self) -> Tensor:
        """Log-mel spectrogram, ``(B, C, F, N)`` in dB."""
        return self._front_end(self.waveform)

    @cached_property
    def envelope(self) -> Tensor:
        """Power in 16 bands of equal width, one value every 2 ms, ``(B, C, 16, M)``."""
        frames = centred_frames(self.waveform.flatten(0, 1), _ENVELOPE_FFT, _ENVELOPE_HOP)
        transform, bands = (matrix.to(frames.device) for matrix in _envelope_matrices())
        parts = (frames @ transform).square_()  # (B·C, M, 64), faster than short FFTs
        return (bands @ parts.mT).clamp_min(POWER_FLOOR).unflatten(0, self.waveform.shape[:2])

    @cached_property
    def spectrum(self) -> Tensor:
        """Mean over time of the level in narrow bands, ``(B, C, 320)`` in dB."""
        n_fft = min(_NARROW_FFT, self.waveform.shape[-1])
        window = _hann(n_fft).to(self.waveform.device)
        filters, groups = _narrow_bands(n_fft)
        filters = filters.to(self.waveform.device)

        def level(frames: Tensor) -> Tensor:
            bands = band_power(power_spectrum(frames, window), filters, groups)
            return bands.clamp_min(POWER_FLOOR).log10() * 10

        rows = self.waveform.flatten(0, 1)
        levels = by_frames(level, len(filters), rows, n_fft, n_fft // 2)  # (B·C, 320, M)
        return levels.mean(-1).unflatten(0, self.waveform.shape[:2])

    @cached_property
    def modulation(self) -> Tensor:
        """How strongly each fast envelope swings at which rate, ``(B, C, 16, rates)`` in dB.

        Relative to the envelope's own mean; the median over stretches of two seconds, so that a
        bang in the hall does not count.
        """
        frames = min(_MODULATION_FRAMES, self.envelope.shape[-1])
        stretches = self.envelope.unfold(-1, frames, frames // 2)  # (B, C, 16, S, frames)
        swing = stretches / stretches.mean(-1, keepdim=True) - 1
        power = power_spectrum(swing, _hann(frames).to(swing.device))
        ordered = power.sort(-2).values  # faster than a median, and every runtime has it
        median = ordered[..., (power.shape[-2] - 1) // 2, :]
        rates = median @ _modulation_bands(frames).to(power.device).mT
        return 10 * rates.clamp_min(POWER_FLOOR).log10()

    @cached_property
    def packets(self) -> Tensor:
        """Power of the db4 wavelet packet coefficients of 32 bands, ``(B, C, 32, T / 32)``."""
        low = torch.tensor(DB4, device=self.waveform.device)
        kernels = torch.stack([low, quadrature_mirror(low)]).expand(_PACKET_LEVELS, -1, -1)
        coefficients = analyse(self.waveform.flatten(0, 1), kernels, _PACKET_LEVELS)
        power = coefficients.groups[0].square()
        return power.clamp_min(POWER_FLOOR).unflatten(0, self.waveform.shape[:2])

    @cached_property
    def packet_quantile(self) -> Tensor:
        """Power that 0.1 % of the coefficients of each packet band exceed, ``(B, C, 32)`` in dB."""
        return 10 * upper_quantile(self.packets, 0.001).log10()

    def coherence(self, loud: bool) -> Tensor:
        """Complex coherence of every microphone with every other one, by mel band.

        The cross-spectrum of two microphones over a clip, divided by both levels: its magnitude
        says how much they hear of one source, its angle where that source stands.

        Args:
            loud: weight every frame by its power, so that short loud events count most.

        Returns:
            ``(B, C, C - 1, F, 2)`` real and imaginary part; row c compares microphone c with
            c + 1, c + 2, ... and goes round.
        """
        parts = self._spectrum
        weighted = parts
        if loud:
            weighted = parts * parts.square().sum(-2, keepdim=True)
        # One product of real matrices: complex ones of this shape take ten times as long.
        products = weighted @ parts.mT  # (B, n_fft / 2 + 1, 2 C, 2 C)
        (real, across), (back, imaginary) = (
            half.chunk(2, dim=-1) for half in products.chunk(2, dim=-2)
        )
        cross = torch.stack((real + imaginary, back - across), -1)  # (B, bins, C, C, 2)
        bands = torch.einsum("mf,bfcdr->bmcdr", self._front_end.filters, cross)
        power = bands[..., 0].diagonal(dim1=-2, dim2=-1).clamp_min(POWER_FLOOR**2)  # (B, F, C)
        level = power.sqrt()
        coherence = bands / (level[..., :, None] * level[..., None, :]).unsqueeze(-1)
        microphones = torch.arange(self.waveform.shape[1], device=parts.device)
        others = (microphones[:, None] + microphones[1:]) % len(microphones)  # (C, C - 1)
        return coherence.permute(0, 2, 3, 1, 4)[:, microphones[:, None], others]

    @cached_property
    def _spectrum(self) -> Tensor:
        """Short-time spectra ``(B, n_fft / 2 + 1, 2 C, N)``, real parts before imaginary ones."""
        config = self._front_end.config
        frames = centred_frames(self.waveform.flatten(0, 1), config.n_fft, config.hop_length)
        parts = spectrum(frames, self._front_end.window)  # (B·C, N, bins) each
        by_part = [part.unflatten(0, self.waveform.shape[:2]) for part in parts]
        return torch.cat(by_part, 1).permute(0, 3, 1, 2).contiguous()


@cache
def _envelope_matrices() -> tuple[Tensor, Tensor]:
    """Windowed frames to real and imaginary parts without DC, ``(64, 64)``; those to bands."""
    frequency = torch.arange(1, _ENVELOPE_FFT // 2 + 1, dtype=torch.float64) / _ENVELOPE_FFT
    phase = 2 * torch.pi * torch.arange(_ENVELOPE_FFT).unsqueeze(1) * frequency
    window = torch.hann_window(_ENVELOPE_FFT, dtype=torch.float64).unsqueeze(1)
    transform = torch.cat((phase.cos(), phase.sin()), 1) * window
    in_band = torch.eye(_ENVELOPE_BANDS).repeat_interleave(len(frequency) // _ENVELOPE_BANDS, 1)
    means = in_band / in_band.sum(1, keepdim=True)
    return transform.float(), torch.cat((means, means), 1)


@cache
def _hann(length: int) -> Tensor:
    return torch.hann_window(length)


@cache
def _narrow_bands(n_fft: int) -> tuple[Tensor, list[tuple[slice, slice]]]:
    """Averages bins to narrow bands, ``(bands, n_fft / 2 + 1)``, and groups of these."""
    last = n_fft // 2
    split = min(_NARROW_UP_TO, last // 2)
    above = np.geomspace(split, last + 1, _NARROW_ABOVE + 1)
    filters = _averages(np.concatenate([np.arange(0, split, _NARROW_BINS), above]), last + 1)
    return filters, band_groups(filters)


@cache
def _modulation_bands(frames: int) -> Tensor:
    """Averages rates to bands of equal ratio, ``(bands, frames / 2 + 1)``."""
    # Bin 0 is the mean, and the window carries it into bin 1.
    return _averages(np.geomspace(2, frames // 2 + 1, _MODULATION_BANDS + 1), frames // 2 + 1)


def _averages(edges: np.ndarray, bins: int) -> Tensor:
    """Mean of the bins between neighbouring edges, ``(bands, bins)``; bands without bin are out."""
    whole = np.unique(np.round(edges).astype(int))
    members = np.zeros((len(whole) - 1, bins), np.float32)
    for band, (first, end) in enumerate(pairwise(whole)):
        members[band, first:end] = 1 / (end - first)
    return torch.from_numpy(members)
