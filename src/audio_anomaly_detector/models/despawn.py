"""Enhanced DeSpaWN: a learnable wavelet tree whose thresholds keep what normal sound consists of.

Source: Michau, Frusque, Fink, "Fully learnable deep wavelet transform for unsupervised monitoring
of high-frequency time series", PNAS 2022. Added to the paper's model: a packet tree, thresholds
in units of each band's own spread, filters held near orthonormality by the loss, and attention
across the sub-bands that moves the thresholds.
"""

from __future__ import annotations

import itertools
import math
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from pydantic import BaseModel, Field, model_validator
from torch import Tensor, nn

from audio_anomaly_detector.errors import UserError
from audio_anomaly_detector.models.band_attention import BandAttention
from audio_anomaly_detector.models.hard_threshold import hard_threshold
from audio_anomaly_detector.models.wavelet import (
    DB4,
    Coefficients,
    analyse,
    quadrature_mirror,
    synthesise,
)

# Names of the last axis of `Despawn.band_statistics`; logarithms are natural.
BAND_STATISTICS = (
    "log_energy",  # mean c^2
    "log_magnitude",  # mean |c|
    "log_kurtosis",  # mean c^4 / (mean c^2)^2
    "log_crest",  # max |c| / sqrt(mean c^2)
    "survival_rate",  # share of coefficients that the threshold at least half keeps
    "log_quantile_999",  # 99.9 % quantile of |c|, the maximum below 1000 coefficients
    "log_residual",  # mean square of what the threshold removes
)
SMALLEST_SPREAD = 1e-5  # of a band that is silent in training; keeps slopes and ratios finite


class DespawnConfig(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """Shape of the wavelet network and the weights of its loss."""

    levels: int = Field(default=17, ge=1, le=24, description="depth of the tree")
    packet_levels: int = Field(
        default=0,
        ge=0,
        le=10,
        description="first levels that split both halves; 0: plain wavelet tree",
    )
    sharing: Literal["one", "level", "filter", "free"] = Field(
        default="level",
        description="kernels: one for all; one per level; low and high pass apart; synthesis too",
    )
    threshold_start: float = Field(
        default=0.1, gt=0, description="thresholds before training, in spreads of their band"
    )
    slope: float = Field(
        default=10.0,
        gt=0,
        description="slope of the thresholds' sigmoids, per spread of their band; the paper's 10 "
        "on standardised signals",
    )
    silence: float = Field(
        default=1e-6,
        gt=0,
        le=1.0,
        description="magnitude of silence in units of the machine's scale (-120 dB), a floor of "
        "the sub-band statistics",
    )
    attention_dim: int = Field(
        default=32, gt=0, le=1_024, description="width of a sub-band's embedding"
    )
    attention_heads: int = Field(
        default=4, gt=0, le=64, description="heads of the attention across sub-bands"
    )
    attention_bins: int = Field(
        default=4, gt=0, le=1_024, description="time bins that a sub-band is summed up in"
    )
    attention_floor: float = Field(
        default=1e-6,
        gt=0,
        description="share of a band's spread added to what the attention sees of it, so that "
        "the logarithm of silence is finite",
    )
    reconstruction_weight: float = Field(
        default=1.0, ge=0, description="loss weight of mean |x - x^|"
    )
    sparsity_weight: float = Field(
        default=1.0, ge=0, description="loss weight of mean |c| (lambda)"
    )
    orthonormality_weight: float = Field(
        default=10.0, ge=0, description="loss weight of the filters' distance from orthonormality"
    )

    @model_validator(mode="after")
    def _parts_fit(self) -> DespawnConfig:
        if self.packet_levels > self.levels:
            raise ValueError("packet_levels must not exceed levels")
        if self.attention_dim % self.attention_heads:
            raise ValueError("attention_dim must be a multiple of attention_heads")
        return self

    @property
    def bands(self) -> int:
        """Number of sub-bands of the tree."""
        return 2**self.packet_levels + self.levels - self.packet_levels

    @property
    def loss_weights(self) -> dict[str, float]:
        """Weight of each term of `Despawn.loss_terms`."""
        return {
            "reconstruction": self.reconstruction_weight,
            "sparsity": self.sparsity_weight,
            "orthonormality": self.orthonormality_weight,
        }


class Decomposition(NamedTuple):
    """Output of the analysis and threshold, which is all that the score uses.

    Attributes:
        coefficients: before the threshold, in units of the machine's scale.
        kept: after the threshold, in the same units.
        thresholds: ``(B, bands, 2)`` upper and lower threshold, both positive, same units.
        embedding: ``(B, bands, D)`` the attention's embedding of each sub-band.
    """

    coefficients: Coefficients
    kept: Coefficients
    thresholds: Tensor
    embedding: Tensor


class DespawnOutput(NamedTuple):
    """Output of `Despawn.forward`: analysis, threshold and synthesis of a batch of waveforms.

    Attributes:
        reconstruction: ``(B, T)`` in the waveform's units.
        coefficients: as in `Decomposition`, like the rest.
    """

    reconstruction: Tensor
    coefficients: Coefficients
    kept: Coefficients
    thresholds: Tensor
    embedding: Tensor


class Despawn(nn.Module):
    """Learnable wavelet tree: analysis, threshold with attention across sub-bands, synthesis.

    Call `set_scales` once with normal waveforms before training; training and scoring then share
    the machine's scale and the spread of its sub-bands.

    Args:
        config: shape of the tree, start values, loss weights.
    """

    high: Tensor | None
    synthesis_low: Tensor | None
    synthesis_high: Tensor | None
    scale: Tensor
    spread: Tensor

    def __init__(self, config: DespawnConfig) -> None:
        super().__init__()
        self.config = config
        low = torch.tensor([DB4] * (1 if config.sharing == "one" else config.levels))
        self.low = nn.Parameter(low)
        high = synthesis_low = synthesis_high = None
        if config.sharing in ("filter", "free"):
            high = nn.Parameter(quadrature_mirror(low))
        if config.sharing == "free":
            synthesis_low = nn.Parameter(low.clone())
            synthesis_high = nn.Parameter(quadrature_mirror(low))
        self.register_parameter("high", high)
        self.register_parameter("synthesis_low", synthesis_low)
        self.register_parameter("synthesis_high", synthesis_high)
        start = math.log(math.expm1(config.threshold_start))  # softplus(start) = threshold_start
        self.raw_thresholds = nn.Parameter(torch.full((config.bands, 2), start))
        self.attention = BandAttention(
            config.bands,
            config.attention_bins,
            config.attention_dim,
            config.attention_heads,
            config.attention_floor,
        )
        self.register_buffer("scale", torch.ones(()))
        self.register_buffer("spread", torch.ones(config.bands))

    @torch.no_grad()
    def set_scales(self, waveforms: Tensor) -> None:
        """Estimate the machine's scale (RMS) and each sub-band's spread (MAD / 0.6745).

        Args:
            waveforms: ``(B, T)`` normal training waveforms of one machine; some dozens are enough.

        Raises:
            UserError: if the waveforms are silent or not finite.
        """
        scale = waveforms.square().mean().sqrt()
        if not (scale.isfinite() and scale > 0):
            raise UserError(
                "the training recordings are silent or hold values that are no numbers;"
                " check the recording chain and leave such files out"
            )
        self.scale.copy_(scale)
        # Median about zero, not about the median: a threshold is a distance from zero.
        spreads = [band.abs().median() / 0.6745 for band in self.analyse(waveforms).bands]
        self.spread.copy_(torch.stack(spreads).clamp(min=SMALLEST_SPREAD))

    @property
    def analysis_kernels(self) -> Tensor:
        """``(levels, 2, taps)`` low-pass and high-pass kernel of every level."""
        return self._per_level(self.low, self.high)

    @property
    def synthesis_kernels(self) -> Tensor:
        """``(levels, 2, taps)``; the analysis kernels unless all four are free."""
        if self.synthesis_low is None:
            return self.analysis_kernels
        return self._per_level(self.synthesis_low, self.synthesis_high)

    def _per_level(self, low: Tensor, high: Tensor | None) -> Tensor:
        pair = torch.stack((low, quadrature_mirror(low) if high is None else high), dim=1)
        return pair.expand(self.config.levels, -1, -1)

    def analyse(self, waveform: Tensor) -> Coefficients:
        """Decompose waveforms ``(B, T)``; coefficients are in units of the machine's scale."""
        return analyse(waveform / self.scale, self.analysis_kernels, self.config.packet_levels)

    def threshold(self, coefficients: Coefficients, thresholds: Tensor) -> Coefficients:
        """Set what lies between ``-lower`` and ``upper`` to zero, in the last approximation too.

        Args:
            coefficients: as `analyse` gives them.
            thresholds: ``(B, bands, 2)`` upper and lower threshold.

        Returns:
            What is kept, in the same shapes.
        """
        counts = [group.shape[1] for group in coefficients.groups]
        upper, lower = thresholds.unsqueeze(-1).unbind(2)  # (B, bands, 1)
        slopes = (self.config.slope / self.spread).unsqueeze(1)
        kept = map(
            hard_threshold,
            coefficients.groups,
            upper.split(counts, dim=1),
            lower.split(counts, dim=1),
            slopes.split(counts),
        )
        return Coefficients(tuple(kept), coefficients.length)

    def synthesise(self, coefficients: Coefficients) -> Tensor:
        """Reconstruct waveforms ``(B, T)`` from coefficients in units of the machine's scale."""
        signal = synthesise(coefficients, self.synthesis_kernels, self.config.packet_levels)
        return signal * self.scale

    def decompose(self, waveform: Tensor) -> Decomposition:
        """Analyse and threshold.

        Args:
            waveform: ``(B, T)``, any T; below ``2^levels`` samples the deepest levels hold one
                value each.

        Returns:
            Coefficients before and after the threshold, thresholds and embeddings.
        """
        # Half precision would cost the perfect reconstruction and save next to nothing.
        with torch.autocast(waveform.device.type, enabled=False):
            coefficients = self.analyse(waveform)
            context = self.attention(coefficients, self.spread)
            relative = F.softplus(self.raw_thresholds) * context.factors
            thresholds = relative * self.spread[:, None]  # (B, bands, 2)
            kept = self.threshold(coefficients, thresholds)
        return Decomposition(coefficients, kept, thresholds, context.embedding)

    def forward(self, waveform: Tensor) -> DespawnOutput:
        """Decompose waveforms ``(B, T)`` and reconstruct them from the coefficients kept."""
        parts = self.decompose(waveform)
        with torch.autocast(waveform.device.type, enabled=False):
            reconstruction = self.synthesise(parts.kept)
        return DespawnOutput(reconstruction, *parts)

    def loss_terms(self, output: DespawnOutput, waveform: Tensor) -> dict[str, Tensor]:
        """Compute what training minimises; `DespawnConfig.loss_weights` weighs it.

        Args:
            output: of `forward`.
            waveform: ``(B, T)`` what `forward` was given.

        Returns:
            Scalars: ``reconstruction`` mean ``|x - x^|`` in units of the machine's scale,
            ``sparsity`` mean ``|c|`` of what is kept, ``orthonormality``.
        """
        groups = output.kept.groups
        magnitude = torch.stack([group.abs().sum() for group in groups]).sum()
        return {
            "reconstruction": F.l1_loss(output.reconstruction, waveform) / self.scale,
            "sparsity": magnitude / sum(group.numel() for group in groups),
            "orthonormality": self.orthonormality_error(),
        }

    def orthonormality_error(self) -> Tensor:
        """Distance of the filters from orthonormality, summed over the levels' kernels.

        For mirror filters ``sum_k (sum_n h[n] h[n+2k] - delta_k)^2 + (sum_n h[n] - sqrt 2)^2``.
        Where high pass or synthesis have kernels of their own, the mean over all pairs of these:
        free kernels could otherwise lower the sparsity term by a small gain in the analysis and a
        large one in the synthesis.

        Returns:
            A scalar, 0 for orthonormal filters.
        """
        kernels = 1 if self.config.sharing == "one" else self.config.levels
        banks = [self.analysis_kernels[:kernels]]
        if self.synthesis_low is not None:
            banks.append(self.synthesis_kernels[:kernels])
        pairs = list(itertools.product(banks, repeat=2))
        taps = self.low.shape[-1]
        error = (self.low.sum(-1) - math.sqrt(2)).square().sum()
        identity = torch.eye(2, device=self.low.device, dtype=self.low.dtype)
        for one, other in pairs:
            for shift in range(0, taps, 2):
                products = one[..., : taps - shift] @ other[..., shift:].mT  # (kernels, 2, 2)
                target = identity if shift == 0 else torch.zeros_like(identity)
                # Half: low and high pass of a mirror pair meet the same conditions.
                error = error + (products - target).square().sum() / (2 * len(pairs))
        return error

    def band_statistics(
        self, coefficients: Coefficients, kept: Coefficients, time_bins: int
    ) -> Tensor:
        """Describe every sub-band in every time bin, before the threshold.

        Args:
            coefficients: before the threshold.
            kept: after it.
            time_bins: equally long windows per clip; see `Coefficients.windows`.

        Returns:
            ``(B, bands, time_bins, statistics)``, named by `BAND_STATISTICS`; finite in silence.
        """
        pairs = zip(coefficients.windows(time_bins), kept.windows(time_bins), strict=True)
        silence = self.config.silence
        return torch.cat([_statistics(before, after, silence) for before, after in pairs], dim=1)


def _statistics(before: Tensor, after: Tensor, silence: float) -> Tensor:
    """``(B, bands, time_bins, n)`` twice -> ``(B, bands, time_bins, statistics)``."""
    magnitude = before.abs()
    square = before.square()
    energy = square.mean(-1) + silence**2
    log_energy = energy.log()
    peak = magnitude.amax(-1)
    above = before.shape[-1] // 1000  # coefficients above the quantile; sorting is slow
    quantile = magnitude.topk(above + 1).values[..., -1] if above else peak
    columns = {
        "log_energy": log_energy,
        "log_magnitude": (magnitude.mean(-1) + silence).log(),
        "log_kurtosis": (square.square().mean(-1) + silence**4).log() - 2 * log_energy,
        "log_crest": (peak + silence).log() - log_energy / 2,
        "survival_rate": (after.abs() > magnitude / 2).to(before.dtype).mean(-1),
        "log_quantile_999": (quantile + silence).log(),
        "log_residual": ((before - after).square().mean(-1) + silence**2).log(),
    }
    return torch.stack([columns[name] for name in BAND_STATISTICS], dim=-1)
