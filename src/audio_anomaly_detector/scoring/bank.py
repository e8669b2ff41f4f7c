"""Distance to the nearest normal clip, in each microphone's own units."""

from dataclasses import dataclass

import torch
from torch import Tensor

# Share of each feature's variance that is replaced by the microphone's median variance: with
# eight clips a sample variance is known to a factor of two, and one that came out near zero
# would rule the distance.
_VARIANCE_SHRINKAGE = 0.25


@dataclass(frozen=True)
class Bank:
    """Statistics of normal clips, one set for each microphone.

    Args:
        clips: standardised statistics, shape ``(n, C, D)``.
        scale: what one unit is, shape ``(C, D)``.
    """

    clips: Tensor
    scale: Tensor

    @classmethod
    def fit(cls, statistics: Tensor, capacity: int, seed: int, scaled: bool = True) -> "Bank":
        """Keep at most ``capacity`` clips, drawn at random under ``seed``.

        Args:
            statistics: shape ``(n, C, D)``, n >= 2.
            capacity: largest number of clips kept, so that memory stays flat.
            seed: seed of the draw.
            scaled: divide by the spread; otherwise the statistics' own units stand.
        """
        variance = statistics.var(0)  # (C, D)
        typical = variance.median(-1, keepdim=True).values
        shrunk = (1 - _VARIANCE_SHRINKAGE) * variance + _VARIANCE_SHRINKAGE * typical
        scale = (shrunk + 1e-12).sqrt() if scaled else torch.ones_like(variance)
        if len(statistics) > capacity:
            generator = torch.Generator().manual_seed(seed)
            kept = torch.randperm(len(statistics), generator=generator)[:capacity]
            statistics = statistics[kept.sort().values]
        return cls(statistics / scale, scale)

    def distance(self, statistics: Tensor) -> Tensor:
        """Mean absolute distance to the nearest clip, ``(m, C, D) -> (m, C)``.

        Absolute and not squared: with a handful of clips some features' spreads come out far too
        small, and squares would let those few rule.
        """
        queries = (statistics / self.scale).transpose(0, 1)  # (C, m, D)
        distances = torch.cdist(queries, self.clips.transpose(0, 1), p=1)
        return distances.amin(-1).transpose(0, 1) / statistics.shape[-1]  # (m, C)
