"""Attention across sub-bands: every band's threshold may depend on the content of all others."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from audio_anomaly_detector.models.wavelet import Coefficients


class BandContext(NamedTuple):
    """Output of the attention for a batch.

    Attributes:
        embedding: ``(B, bands, D)`` one vector per sub-band, in the context of all the others.
        factors: ``(B, bands, 2)`` in (0, 2), what to multiply the upper and lower threshold by.
    """

    embedding: Tensor
    factors: Tensor


class BandAttention(nn.Module):
    """One transformer layer whose tokens are the sub-bands of a clip.

    A token is computed from its band's RMS, mean magnitude and peak in a few time bins, as
    logarithms relative to the band's normal spread. Multi-head self-attention then weighs the bands
    against each other, so that what counts as small in one band depends on the whole clip: for
    example, a loud transient in the others raises a threshold, or a missing harmonic lowers it. A
    scalar gate per channel (squeeze and excitation) could not do that: a mono signal has only one.
    The last layer starts at zero, so the untrained factors are exactly 1.

    Args:
        bands: number of sub-bands.
        time_bins: time bins that each band is summed up in.
        dim: width D of an embedding.
        heads: heads of the attention; divides `dim`.
        floor: of a band's spread, added to every feature: the logarithm of silence is finite.

    Source: Vaswani et al., "Attention is all you need", 2017 (pre-norm form).
    """

    def __init__(self, bands: int, time_bins: int, dim: int, heads: int, floor: float) -> None:
        super().__init__()
        self.time_bins = time_bins
        self.heads = heads
        self.floor = floor
        self.token = nn.Linear(3 * time_bins, dim)
        self.band_position = nn.Parameter(torch.zeros(bands, dim))
        self.norm_bands = nn.LayerNorm(dim)
        self.query_key_value = nn.Linear(dim, 3 * dim)
        self.join_heads = nn.Linear(dim, dim)
        self.feed_forward = nn.Sequential(
            nn.LayerNorm(dim), nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim)
        )
        self.norm_embedding = nn.LayerNorm(dim)
        self.modulation = nn.Linear(dim, 2)
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)

    def forward(self, coefficients: Coefficients, spread: Tensor) -> BandContext:
        """Attend across all sub-bands of each clip.

        Args:
            coefficients: before the threshold. No gradient flows back into them: the filters
                learn from the reconstruction, not from moving their own thresholds.
            spread: ``(bands,)`` the normal spread of each band's coefficients.

        Returns:
            Embeddings and threshold factors.
        """
        summary = self._summary(coefficients, spread)
        tokens = self.token(summary) + self.band_position  # (B, bands, D)
        query, key, value = (
            self.query_key_value(self.norm_bands(tokens))
            .unflatten(-1, (3, self.heads, -1))
            .permute(2, 0, 3, 1, 4)  # each (B, heads, bands, D / heads)
        )
        mixed = F.scaled_dot_product_attention(query, key, value)
        tokens = tokens + self.join_heads(mixed.transpose(1, 2).flatten(2))
        tokens = tokens + self.feed_forward(tokens)
        embedding = self.norm_embedding(tokens)
        return BandContext(embedding, 2 * torch.sigmoid(self.modulation(embedding)))

    @torch.no_grad()
    def _summary(self, coefficients: Coefficients, spread: Tensor) -> Tensor:
        """Logarithmic RMS, mean magnitude and peak of every bin, ``(B, bands, 3 * time_bins)``."""
        bands = []
        for windows in coefficients.windows(self.time_bins):  # (B, bands, time_bins, width)
            rms = torch.linalg.vector_norm(windows, dim=-1) * windows.shape[-1] ** -0.5
            magnitude = windows.abs()
            bands.append(torch.cat((rms, magnitude.mean(-1), magnitude.amax(-1)), dim=-1))
        return torch.log(torch.cat(bands, dim=1) / spread[:, None] + self.floor)
