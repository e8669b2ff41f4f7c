"""What is measured on a batch of windows before any network sees it."""

import math
from functools import cache, cached_property
from itertools import pairwise

import numpy as np
import torch
from pydantic import BaseModel, Field
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
from audio_anomaly_detector.scoring.over_time import upper_quantile


class SignalConfig(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """Time and frequency resolution of what is measured without networks.

    In seconds and Hz, so that it means the same at every sample rate. Part of a detector's
    settings and thus of its model file: another default here never changes an older model.
    """

    envelope_frame_s: float = Field(
        0.004,
        gt=0,
        le=1.0,
        description="frame of the fast envelopes, s; short enough for a valve's click",
    )
    envelope_hop_s: float = Field(0.002, gt=0, le=1.0, description="hop of the fast envelopes, s")
    envelope_band_hz: float = Field(500.0, gt=0, description="width of their bands, Hz")
    envelope_peak_shares: tuple[float, ...] = Field(
        (0.01, 0.001), description="shares of the time that their peak levels are exceeded"
    )
    packet_band_hz: float = Field(
        250.0, gt=0, description="width of the wavelet packet bands, Hz, to a power of two"
    )
    packet_peak_share: float = Field(
        0.001, gt=0, lt=1, description="share of the coefficients that their peak is exceeded by"
    )
    narrow_frame_s: float = Field(
        0.256,
        ge=0.001,
        le=10.0,
        description="frame of the narrow bands, s; a quarter second resolves the orders of a "
        "shaft, two and four times as long found fewer faults",
    )
    narrow_band_hz: float = Field(
        7.8125, ge=0.01, le=1e6, description="width of the lowest narrow bands, Hz"
    )
    narrow_up_to_hz: float = Field(
        1000.0,
        ge=1.0,
        le=1e6,
        description="bands of equal width below, of equal ratio above, Hz",
    )
    narrow_bands_per_octave: float = Field(
        64.0, ge=0.1, le=10_000, description="above that; 64 are about 1 % of the frequency each"
    )
    modulation_s: float = Field(
        2.048,
        gt=0,
        le=100.0,
        description="segment of the fast envelopes whose modulation is taken, s",
    )
    modulation_bands: int = Field(17, gt=0, le=1_000, description="modulation rates of equal ratio")
    power_floor: float = Field(
        1e-10, gt=0, le=1.0, description="power of silence, -100 dB re full scale"
    )
    level_tolerance_db: float = Field(
        1.0,
        gt=0,
        description="what a microphone's gain may change by; a finer difference of level is an "
        "artefact of how a data set was mixed (docs/how-it-decides.md)",
    )


class Signals:
    """A batch of windows and what is derived from it, each computed when first asked for.

    Args:
        waveform: ``(B, C, T)`` in full scale ±1, at the front end's sample rate.
        front_end: computes the log-mel spectrogram.
        config: resolution of everything else.
    """

    def __init__(self, waveform: Tensor, front_end: LogMel, config: SignalConfig) -> None:
        self.waveform = waveform
        self.config = config
        self.sample_rate = front_end.config.sample_rate
        self._front_end = front_end

    @cached_property
    def logmel(self) -> Tensor:
        """Log-mel spectrogram, ``(B, C, F, N)`` in dB."""
        return self._front_end(self.waveform)

    @cached_property
    def envelope(self) -> Tensor:
        """Power in bands of equal width, one value a hop, ``(B, C, bands, M)``."""
        n_fft, hop = envelope_frame(self.config, self.sample_rate)
        frames = centred_frames(self.waveform.flatten(0, 1), n_fft, hop)
        matrices = _envelope_matrices(n_fft, envelope_bins(self.config, self.sample_rate))
        transform, bands = (matrix.to(frames.device) for matrix in matrices)
        parts = (frames @ transform).square_()  # (B·C, M, n_fft), faster than short FFTs
        power = (bands @ parts.mT).clamp_min(self.config.power_floor)
        return power.unflatten(0, self.waveform.shape[:2])

    @cached_property
    def spectrum(self) -> Tensor:
        """Mean over time of the level in narrow bands, ``(B, C, bands)`` in dB."""
        edges = narrow_edges(self.config, self.sample_rate, self.waveform.shape[-1])
        n_fft = narrow_frame(self.config, self.sample_rate, self.waveform.shape[-1])
        window = _hann(n_fft).to(self.waveform.device)
        filters, groups = _narrow_bands(edges, n_fft)
        filters = filters.to(self.waveform.device)

        def level(frames: Tensor) -> Tensor:
            bands = band_power(power_spectrum(frames, window), filters, groups)
            return bands.clamp_min(self.config.power_floor).log10() * 10

        rows = self.waveform.flatten(0, 1)
        levels = by_frames(level, len(filters), rows, n_fft, n_fft // 2)  # (B·C, bands, M)
        return levels.mean(-1).unflatten(0, self.waveform.shape[:2])

    @cached_property
    def modulation(self) -> Tensor:
        """Modulation depth of each fast envelope by rate, ``(B, C, bands, rates)`` in dB.

        Relative to the envelope's own mean; the median over segments of two seconds, so that a
        bang in the hall does not count.
        """
        frames = modulation_frames(self.config, self.sample_rate, self.envelope.shape[-1])
        segments = self.envelope.unfold(-1, frames, frames // 2)  # (B, C, bands, S, frames)
        swing = segments / segments.mean(-1, keepdim=True) - 1
        power = power_spectrum(swing, _hann(frames).to(swing.device))
        ordered = power.sort(-2).values  # faster than a median, and every runtime has it
        median = ordered[..., (power.shape[-2] - 1) // 2, :]
        edges = modulation_edges(self.config, frames)
        rates = median @ _averages(edges, frames // 2 + 1).to(power.device).mT
        return 10 * rates.clamp_min(self.config.power_floor).log10()

    @cached_property
    def packets(self) -> Tensor:
        """Power of the db4 wavelet packet coefficients, ``(B, C, bands, T / bands)``."""
        levels = packet_levels(self.config, self.sample_rate)
        low = torch.tensor(DB4, device=self.waveform.device)
        kernels = torch.stack([low, quadrature_mirror(low)]).expand(levels, -1, -1)
        coefficients = analyse(self.waveform.flatten(0, 1), kernels, levels)
        power = coefficients.groups[0].square()
        return power.clamp_min(self.config.power_floor).unflatten(0, self.waveform.shape[:2])

    @cached_property
    def packet_quantile(self) -> Tensor:
        """High quantile of the level in each packet band, ``(B, C, bands)`` in dB."""
        return 10 * upper_quantile(self.packets, self.config.packet_peak_share).log10()

    def coherence(self, loud: bool) -> Tensor:
        """Complex coherence of every microphone with every other one, by mel band.

        The cross-spectrum of two microphones over a clip, divided by both levels: its magnitude
        is the share that comes from one source, its angle depends on where that source is.

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
        power = (
            bands[..., 0].diagonal(dim1=-2, dim2=-1).clamp_min(self.config.power_floor**2)
        )  # (B, F, C)
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


def envelope_frame(config: SignalConfig, sample_rate: int) -> tuple[int, int]:
    """Frame and hop of the fast envelopes in samples."""
    return (
        2 * max(1, round(config.envelope_frame_s * sample_rate / 2)),
        max(1, round(config.envelope_hop_s * sample_rate)),
    )


def envelope_bins(config: SignalConfig, sample_rate: int) -> int:
    """Frequency bins of one band of the fast envelopes."""
    n_fft, _ = envelope_frame(config, sample_rate)
    return min(n_fft // 2, max(1, round(config.envelope_band_hz * n_fft / sample_rate)))


def modulation_frames(config: SignalConfig, sample_rate: int, available: int) -> int:
    """Envelope values of one modulation segment."""
    _, hop = envelope_frame(config, sample_rate)
    return min(round(config.modulation_s * sample_rate / hop), available)


def modulation_edges(config: SignalConfig, frames: int) -> tuple[int, ...]:
    """Edges of the modulation rates in bins of a segment's spectrum."""
    # Bin 0 is the mean, and the window carries it into bin 1.
    return _whole(np.geomspace(2, frames // 2 + 1, config.modulation_bands + 1))


def packet_levels(config: SignalConfig, sample_rate: int) -> int:
    """Depth of the wavelet packet tree."""
    return max(1, round(math.log2(sample_rate / 2 / config.packet_band_hz)))


def narrow_frame(config: SignalConfig, sample_rate: int, samples: int) -> int:
    """Frame of the narrow bands in samples; of a shorter window all of it."""
    return min(round(config.narrow_frame_s * sample_rate), samples)


def narrow_edges(config: SignalConfig, sample_rate: int, samples: int) -> tuple[int, ...]:
    """Edges of the narrow bands in bins of a frame's spectrum."""
    last = narrow_frame(config, sample_rate, samples) // 2
    width = max(1, round(config.narrow_band_hz * config.narrow_frame_s))
    split = min(round(config.narrow_up_to_hz * config.narrow_frame_s), last // 2)
    octaves = math.log2(max(2.0, sample_rate / 2 / config.narrow_up_to_hz))
    above = np.geomspace(split, last + 1, round(config.narrow_bands_per_octave * octaves) + 1)
    return _whole(np.concatenate([np.arange(0, split, width), above]))


@cache
def _envelope_matrices(n_fft: int, bins_per_band: int) -> tuple[Tensor, Tensor]:
    """Windowed frames to real and imaginary parts without DC, ``(n_fft, n_fft)``; those to bands.

    The last band also takes what bins are left over.
    """
    bins = n_fft // 2
    frequency = torch.arange(1, bins + 1, dtype=torch.float64) / n_fft
    phase = 2 * torch.pi * torch.arange(n_fft).unsqueeze(1) * frequency
    window = torch.hann_window(n_fft, dtype=torch.float64).unsqueeze(1)
    transform = torch.cat((phase.cos(), phase.sin()), 1) * window
    count = bins // bins_per_band
    band = (torch.arange(bins) // bins_per_band).clamp_max(count - 1)
    in_band = (band == torch.arange(count).unsqueeze(1)).float()
    means = in_band / in_band.sum(1, keepdim=True)
    return transform.float(), torch.cat((means, means), 1)


@cache
def _hann(length: int) -> Tensor:
    return torch.hann_window(length)


@cache
def _narrow_bands(edges: tuple[int, ...], n_fft: int) -> tuple[Tensor, list[tuple[slice, slice]]]:
    """Averages bins to narrow bands, ``(bands, n_fft / 2 + 1)``, and groups of these."""
    filters = _averages(edges, n_fft // 2 + 1)
    return filters, band_groups(filters)


def _whole(edges: np.ndarray) -> tuple[int, ...]:
    """Edges at whole bins; bands without a bin are left out."""
    return tuple(np.unique(np.round(edges).astype(int)).tolist())


@cache
def _averages(edges: tuple[int, ...], bins: int) -> Tensor:
    """Mean of the bins between neighbouring edges, ``(bands, bins)``."""
    members = np.zeros((len(edges) - 1, bins), np.float32)
    for band, (first, end) in enumerate(pairwise(edges)):
        members[band, first:end] = 1 / (end - first)
    return torch.from_numpy(members)
