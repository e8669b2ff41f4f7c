"""Log-mel spectrogram: the front end of everything that works on time and frequency."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from pydantic import BaseModel, Field, model_validator
from torch import Tensor, nn

from audio_anomaly_detector.errors import UserError
from audio_anomaly_detector.threads import each_on_one_thread

# Frames in work at a time: 10 s at 16 kHz and hop 512, whose few MB stay in the processor's cache.
# A whole batch at once is two to three times slower, and a long clip would take gigabytes.
FRAMES_AT_ONCE = 320

# Bands multiplied at a time: neighbours cover few frequency bins, so that groups skip
# most zeros of the filter matrix, which halves its share of the time.
BANDS_AT_ONCE = 32


class LogMelConfig(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """Frames and bands of the log-mel spectrogram."""

    sample_rate: int = Field(
        default=16_000, gt=0, le=1_000_000, description="samples per second, Hz"
    )
    n_mels: int = Field(default=128, gt=0, le=1_024, description="mel bands")
    n_fft: int = Field(
        default=1024, ge=2, le=65_536, description="samples of one frame (Hann window)"
    )
    hop_length: int = Field(default=512, gt=0, le=65_536, description="samples between frames")
    f_min: float = Field(default=0.0, ge=0, description="lower edge of the lowest band, Hz")
    f_max: float | None = Field(
        default=None, description="upper edge, Hz; none: half the sample rate"
    )
    power_floor: float = Field(
        default=1e-10, gt=0, le=1.0, description="power of silence, -100 dB as librosa's amin"
    )

    @model_validator(mode="after")
    def _edges_fit(self) -> LogMelConfig:
        if not self.f_min < self.highest <= self.sample_rate / 2:
            raise ValueError("f_max must lie above f_min and not above half the sample rate")
        return self

    @property
    def highest(self) -> float:
        """Upper edge of the highest band, Hz."""
        return self.sample_rate / 2 if self.f_max is None else self.f_max


class LogMel(nn.Module):
    """Log-mel spectrogram in decibels, with librosa's numbers.

    Power spectrum of centred, reflect-padded Hann frames, Slaney's mel filters of unit area,
    ``10 log10(max(power, power_floor))``. Nothing is normalised by the clip's own statistics.

    Args:
        config: frame, hop and bands.

    Raises:
        UserError: if a mel band is so narrow that no frequency bin falls into it.

    Source: librosa 0.11, ``feature.melspectrogram(pad_mode="reflect")`` and ``power_to_db``.
    """

    filters: Tensor
    window: Tensor

    def __init__(self, config: LogMelConfig) -> None:
        super().__init__()
        self.config = config
        filters = mel_filters(config)
        empty = int((filters.amax(dim=1) == 0).sum())
        if empty:
            raise UserError(
                f"{empty} of n_mels={config.n_mels} mel bands hold no frequency bin at"
                f" n_fft={config.n_fft}: use fewer bands or a greater n_fft"
            )
        self.groups = band_groups(filters)
        # What the config gives need not be stored in a model file.
        self.register_buffer("filters", filters, persistent=False)
        self.register_buffer("window", torch.hann_window(config.n_fft), persistent=False)

    def forward(self, waveform: Tensor) -> Tensor:
        """Compute the spectrogram.

        Args:
            waveform: ``(..., T)`` float32, full scale ±1, at least ``n_fft // 2 + 1`` samples.

        Returns:
            ``(..., F, N)`` in dB, F = n_mels, N = T // hop_length + 1 for an even n_fft.

        Raises:
            UserError: if the waveform is too short for one frame.
        """
        half = self.config.n_fft // 2
        if waveform.shape[-1] <= half:
            raise UserError(
                f"{waveform.shape[-1]} samples are too few for a log-mel spectrogram with"
                f" n_fft={self.config.n_fft}: give at least {half + 1}"
            )
        rows = waveform.reshape(-1, waveform.shape[-1])
        with torch.autocast(waveform.device.type, enabled=False):  # powers span ten decades
            decibels = by_frames(
                self._decibels,
                self.config.n_mels,
                rows,
                self.config.n_fft,
                self.config.hop_length,
            )
        return decibels.view(*waveform.shape[:-1], *decibels.shape[1:])

    def _decibels(self, frames: Tensor) -> Tensor:
        """``(..., N, n_fft)`` -> ``(..., F, N)``."""
        power = band_power(power_spectrum(frames, self.window), self.filters, self.groups)
        return power.clamp_(min=self.config.power_floor).log10_().mul_(10)


def by_frames(
    work: Callable[[Tensor], Tensor], bands: int, rows: Tensor, n_fft: int, hop_length: int
) -> Tensor:
    """Cut signals into frames and do the same to all, few enough at a time to stay in the cache.

    An exported graph has no loop over a batch or length of any size and does it to all at once,
    and so does a GPU.

    Args:
        work: ``(..., N, n_fft) -> (..., bands, N)``, frame by frame.
        bands: number of values that `work` makes of a frame.
        rows: ``(B, T)``.
        n_fft: as in `centred_frames`.
        hop_length: as in `centred_frames`.

    Returns:
        ``(B, bands, N)``.
    """
    if torch.compiler.is_exporting() or rows.is_cuda:
        return work(centred_frames(rows, n_fft, hop_length))
    steps = (rows.shape[1] + n_fft // 2 * 2 - n_fft) // hop_length + 1
    result = rows.new_empty(len(rows), bands, steps)

    def of_row(row: int) -> None:
        (frames,) = centred_frames(rows[row : row + 1], n_fft, hop_length)
        for first in range(0, steps, FRAMES_AT_ONCE):
            part = slice(first, first + FRAMES_AT_ONCE)
            result[row, :, part] = work(frames[part])

    each_on_one_thread(of_row, range(len(rows)))
    return result


def centred_frames(rows: Tensor, n_fft: int, hop_length: int) -> Tensor:
    """Cut reflect-padded signals into overlapping frames, the first centred on the first sample.

    Args:
        rows: ``(B, T)``, T > n_fft // 2.
        n_fft: samples of a frame.
        hop_length: samples between frames.

    Returns:
        ``(B, N, n_fft)``, a view of the padded signals.
    """
    half = n_fft // 2
    # The same reflection as `F.pad`, which takes more than twice as long.
    before, after = rows[:, 1 : half + 1].flip(1), rows[:, -half - 1 : -1].flip(1)
    return torch.cat((before, rows, after), dim=1).unfold(-1, n_fft, hop_length)


def spectrum(frames: Tensor, window: Tensor) -> tuple[Tensor, Tensor]:
    """Real and imaginary part of the windowed frames' spectra, ``(..., n) -> (..., n // 2 + 1)``.

    In an exported graph as two matrix products (Cooley and Tukey, 1965, one step of it): runtimes
    transform hundreds of times more slowly than they multiply.
    """
    if not torch.compiler.is_exporting():
        bins = torch.fft.rfft(frames * window)
        return bins.real, bins.imag
    n = frames.shape[-1]
    columns = next(size for size in range(math.isqrt(n), 0, -1) if n % size == 0)
    rows = n // columns
    # Sample rows * t + s, bin columns * l + k: over t first, for each k and s.
    over_t = _roots(columns, torch.arange(columns)[:, None] * torch.arange(columns))
    twist = _roots(n, torch.arange(rows)[:, None] * torch.arange(columns))
    over_s = _roots(rows, torch.arange(rows)[:, None] * torch.arange(rows // 2 + 1))
    by_sample = (frames * window).unflatten(-1, (columns, rows)).mT  # (..., s, t)
    real, imaginary = (by_sample @ torch.cat(over_t, -1)).chunk(2, -1)  # (..., s, k)
    twisted = torch.cat(
        (real * twist[0] - imaginary * twist[1], real * twist[1] + imaginary * twist[0]), -2
    )
    over_both = torch.cat(
        (torch.cat(over_s, -1), torch.cat((-over_s[1], over_s[0]), -1)), -2
    )  # (2 s, 2 l)
    parts = (twisted.mT @ over_both).chunk(2, -1)  # (..., k, l) each
    real, imaginary = (part.mT.flatten(-2)[..., : n // 2 + 1] for part in parts)
    return real, imaginary


def _roots(n: int, powers: Tensor) -> tuple[Tensor, Tensor]:
    """Real and imaginary part of ``exp(-2 pi i powers / n)``."""
    phase = 2 * math.pi / n * (powers % n).double()
    return phase.cos().float(), -phase.sin().float()


def power_spectrum(frames: Tensor, window: Tensor) -> Tensor:
    """Squared magnitude of the windowed frames' spectra, ``(..., n) -> (..., n // 2 + 1)``."""
    real, imaginary = spectrum(frames, window)
    # Not abs().square(): the root would only be undone.
    return real.square() + imaginary.square()


def band_groups(filters: Tensor) -> list[tuple[slice, slice]]:
    """Groups of neighbouring bands and the range of bins that they cover, see `BANDS_AT_ONCE`.

    Args:
        filters: ``(bands, bins)``, in order of frequency; no band is empty.

    Returns:
        Slices of bands and of bins.
    """
    groups = []
    for first in range(0, len(filters), BANDS_AT_ONCE):
        bands = slice(first, first + BANDS_AT_ONCE)
        bins = filters[bands].amax(dim=0).nonzero()
        groups.append((bands, slice(int(bins.min()), int(bins.max()) + 1)))
    return groups


def band_power(power: Tensor, filters: Tensor, groups: list[tuple[slice, slice]]) -> Tensor:
    """Power in bands, ``(..., N, bins) -> (..., bands, N)``, by `filters` and their groups."""
    return torch.cat([filters[bands, bins] @ power[..., bins].mT for bands, bins in groups], dim=-2)


def mel_filters(config: LogMelConfig) -> Tensor:
    """Build triangular mel filters of unit area.

    Args:
        config: bands and their edges.

    Returns:
        ``(F, n_fft // 2 + 1)`` float32, F = n_mels.

    Source: Slaney, "Auditory Toolbox", 1998, as in librosa.filters.mel(norm="slaney").
    """
    bins = torch.arange(config.n_fft // 2 + 1, dtype=torch.float64)
    bins = bins * config.sample_rate / config.n_fft  # Hz
    low, high = hz_to_mel(torch.tensor([config.f_min, config.highest], dtype=torch.float64))
    steps = torch.linspace(0, 1, config.n_mels + 2, dtype=torch.float64)
    edges = mel_to_hz(low + steps * (high - low))[:, None]
    widths = edges.diff(dim=0)
    rising = (bins - edges[:-2]) / widths[:-1]
    falling = (edges[2:] - bins) / widths[1:]
    triangles = torch.minimum(rising, falling).clamp(min=0)
    return (triangles * 2 / (edges[2:] - edges[:-2])).float()


def hz_to_mel(frequency: Tensor) -> Tensor:
    """Convert Hz to Slaney's mel: 3 per 200 Hz up to 1 kHz, 27 per factor of 6.4 above."""
    above = 15 + torch.log(frequency.clamp(min=1000) / 1000) * 27 / math.log(6.4)
    return torch.where(frequency < 1000, frequency * 3 / 200, above)


def mel_to_hz(mel: Tensor) -> Tensor:
    """Convert Slaney's mel to Hz."""
    above = 1000 * torch.exp((mel.clamp(min=15) - 15) * math.log(6.4) / 27)
    return torch.where(mel < 15, mel * 200 / 3, above)
