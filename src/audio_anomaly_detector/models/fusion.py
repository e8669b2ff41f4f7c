"""Hierarchical cross-attention between wavelet bands and transformer embeddings."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn


class LocalAttention(nn.Module):
    """Cross-attention along time within a window of neighbouring steps.

    A learned bias per head and time offset takes the place of absolute positions, so a shift of the
    clip shifts the result (Raffel et al., "T5", JMLR 2020).

    Args:
        width: D', width of queries and source.
        heads: attention heads; divides `width`.
        context: steps attended to on either side.
    """

    def __init__(self, width: int, heads: int, context: int) -> None:
        super().__init__()
        self.heads = heads
        self.context = context
        self.norm_query = nn.LayerNorm(width)
        self.norm_source = nn.LayerNorm(width)
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.project = nn.Linear(width, width)
        self.offset_bias = nn.Parameter(torch.zeros(heads, 2 * context + 1))
        self.norm_feed_forward = nn.LayerNorm(width)
        self.expand = nn.Linear(width, 2 * width)
        self.contract = nn.Linear(2 * width, width)

    def forward(self, queries: Tensor, source: Tensor) -> Tensor:
        """Attend from every step to the source's tokens of the steps around it.

        Args:
            queries: ``(B, S, D')``.
            source: ``(B, S, M, D')``, M tokens per step.

        Returns:
            ``(B, S, D')``: queries, plus what they attended to, plus a feed-forward layer.
        """
        query = self.query(self.norm_query(queries)).unflatten(-1, (self.heads, -1))
        key_value = self.key_value(self.norm_source(source)).flatten(1, 2)  # (B, S * M, 2 D')
        key, value = key_value.unflatten(-1, (2, self.heads, -1)).permute(2, 0, 3, 1, 4)
        bias = self._bias(*source.shape[1:3]).to(query.dtype)
        attended = F.scaled_dot_product_attention(query.transpose(1, 2), key, value, attn_mask=bias)
        x = queries + self.project(attended.transpose(1, 2).flatten(2))
        return x + self.contract(F.gelu(self.expand(self.norm_feed_forward(x))))

    def _bias(self, steps: int, tokens: int) -> Tensor:
        """Learned bias of offsets within the context, else -inf, ``(heads, S, S * M)``."""
        time = torch.arange(steps, device=self.offset_bias.device)
        offset = time - time.unsqueeze(1) + self.context  # (S, S)
        reach = (offset >= 0) & (offset <= 2 * self.context)
        bias = self.offset_bias[:, offset.clamp(0, 2 * self.context)]
        return bias.masked_fill(~reach, -torch.inf).repeat_interleave(tokens, dim=-1)


class HierarchicalFusion(nn.Module):
    """Joins band statistics and transformer embeddings, scale by scale from coarse to fine.

    Bands are grouped into scales from the lowest frequencies up. At every scale the transformer's
    time tokens query the scale's wavelet tokens, then the wavelet summary (which accumulates the
    scales so far) queries the time tokens; both go on to the next scale.

    Args:
        bands: wavelet bands, in order from the lowest frequency.
        statistics: statistics per band and time step.
        transformer_width: D, width of the transformer's time embeddings.
        width: D', width inside and of the result.
        heads: attention heads.
        scales: groups of bands, at most `bands`.
        context: steps attended to on either side.
    """

    def __init__(
        self,
        bands: int,
        statistics: int,
        transformer_width: int,
        *,
        width: int,
        heads: int,
        scales: int,
        context: int,
    ) -> None:
        super().__init__()
        self.scale_bands = [len(group) for group in np.array_split(range(bands), scales)]
        self.embed_time = nn.Linear(transformer_width, width)
        self.embed_statistics = nn.Linear(statistics, width)
        # Never on the device "meta", whose arithmetic imports PyTorch's compiler, for a second.
        identity = torch.randn(bands, width, device="cpu") / width**0.5
        self.band_identity = nn.Parameter(identity)
        # Names of weights in model files: "asks" is for "queries".
        self.time_asks = nn.ModuleList(LocalAttention(width, heads, context) for _ in range(scales))
        self.summary_asks = nn.ModuleList(
            LocalAttention(width, heads, context) for _ in range(scales)
        )
        self.norm = nn.LayerNorm(2 * width)
        self.join = nn.Linear(2 * width, width)

    def forward(self, wavelet: Tensor, transformer: Tensor) -> Tensor:
        """Fuse the two views of every time step.

        Args:
            wavelet: ``(B, S, bands, statistics)``, standardised.
            transformer: ``(B, S, D)``, standardised.

        Returns:
            ``(B, S, D')``.

        Raises:
            ValueError: the two views have different numbers of steps.
        """
        if wavelet.shape[1] != transformer.shape[1]:
            raise ValueError(
                f"{wavelet.shape[1]} wavelet steps but {transformer.shape[1]} transformer steps"
            )
        time = self.embed_time(transformer)  # (B, S, D')
        tokens = self.embed_statistics(wavelet) + self.band_identity  # (B, S, bands, D')
        summary = torch.zeros_like(time)
        scales = tokens.split(self.scale_bands, dim=2)
        for scale, time_asks, summary_asks in zip(
            scales, self.time_asks, self.summary_asks, strict=True
        ):
            time = time_asks(time, scale)
            summary = summary_asks(summary + scale.mean(dim=2), time.unsqueeze(2))
        return self.join(self.norm(torch.cat([time, summary], dim=-1)))
