"""Building blocks of the masked transformer: attention, temporal convolution, positions."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class TransformerBlock(nn.Module):
    """Pre-norm self-attention and a four-fold feed-forward layer (Xiong et al., ICML 2020).

    Args:
        width: D, width of a token.
        heads: attention heads; divides `width`.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_attention = nn.LayerNorm(width)
        self.query_key_value = nn.Linear(width, 3 * width)
        self.project = nn.Linear(width, width)
        self.norm_feed_forward = nn.LayerNorm(width)
        self.expand = nn.Linear(width, 4 * width)
        self.contract = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Map tokens ``(B, P, D)`` to tokens ``(B, P, D)``."""
        fused = self.query_key_value(self.norm_attention(x))  # (B, P, 3 D)
        query, key, value = fused.unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(query, key, value)  # (B, heads, P, D / heads)
        x = x + self.project(attended.transpose(1, 2).flatten(2))
        return x + self.contract(F.gelu(self.expand(self.norm_feed_forward(x))))


class TemporalConvolution(nn.Module):
    """Depthwise convolution along time within a frequency row, mixed by a pointwise layer.

    Args:
        width: D, width of a token.
        kernel: odd number of tokens.
    """

    def __init__(self, width: int, kernel: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.depthwise = nn.Conv2d(width, width, (1, kernel), padding="same", groups=width)
        self.pointwise = nn.Linear(width, width)

    def forward(self, grid: Tensor, hidden: Tensor | None = None) -> Tensor:
        """Add to every token a function of its neighbours in time.

        Args:
            grid: tokens ``(B, R, S, D)``.
            hidden: ``(B, R, S)`` bool; True tokens count as zero for their neighbours.

        Returns:
            Tokens ``(B, R, S, D)``.
        """
        context = self.norm(grid)
        if hidden is not None:
            context = context.masked_fill(hidden.unsqueeze(-1), 0.0)
        # (B, R, S, D) viewed as (B, D, R, S) is the channels-last layout: no copy is made.
        mixed = self.depthwise(context.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return grid + self.pointwise(F.gelu(mixed))


def sinusoidal_positions(rows: int, columns: int, width: int, device: torch.device) -> Tensor:
    """Encode the positions in a grid: half of the width encodes the row, half the column.

    Args:
        rows: frequency rows R.
        columns: patch columns S.
        width: D, a multiple of 4.
        device: of the result.

    Returns:
        ``(R, S, D)`` float32.

    Source: He et al., "Masked autoencoders are scalable vision learners", CVPR 2022.
    """
    rates = 10_000.0 ** -torch.linspace(0, 1, width // 4 + 1, device=device)[:-1]

    def waves(count: int) -> Tensor:
        angles = torch.arange(count, device=device).unsqueeze(1) * rates
        return torch.cat([angles.sin(), angles.cos()], dim=1)  # (count, width / 2)

    by_row = waves(rows).unsqueeze(1).expand(-1, columns, -1)
    by_column = waves(columns).unsqueeze(0).expand(rows, -1, -1)
    return torch.cat([by_row, by_column], dim=-1)
