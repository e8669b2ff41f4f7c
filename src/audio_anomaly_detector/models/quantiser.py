"""Vector quantiser with cosine similarity that keeps its codes in use."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

KMEANS_STEPS = 10


class QuantiserOutput(NamedTuple):
    """Quantised vectors, their codes and the distance to them."""

    quantised: Tensor  # (B, S, L) unit vectors, gradient straight through
    codes: Tensor  # (B, S) int64
    commitment: Tensor  # (B, S) squared distance of the unit vector to its code, 0 to 4
    perplexity: Tensor  # scalar: exp of the entropy of the codes in this batch


def spread_out(members: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Pick members far from one another, to start k-means from.

    Args:
        members: ``(M, L)``.
        count: members to pick; more than once each if there are fewer.
        generator: source of all randomness.

    Returns:
        ``(count, L)``.

    Source: Arthur and Vassilvitskii, "k-means++", SODA 2007.
    """
    distance = torch.ones(len(members))
    picked = []
    for _ in range(count):
        # Picked members keep a tiny weight, for when all have been picked.
        pick = members[torch.multinomial(distance + 1e-9, 1, generator=generator)]  # (1, L)
        distance = torch.minimum(distance, (members - pick).square().sum(dim=-1))
        picked.append(pick)
    return torch.cat(picked)


class VectorQuantiser(nn.Module):
    """Replaces every vector by the nearest of `n_codes` unit vectors.

    Against collapse: vectors and codes on the unit sphere, codes as moving averages of their
    members, k-means start from the first training batch, and codes that are hardly used moved to
    random members of the batch. Codes move only in training mode. Draws depend on the seed and on
    the number of updates so far, both stored, so a resumed training ends with the same codes.

    Args:
        width: L, length of a vector.
        n_codes: size of the codebook.
        decay: of the moving averages.
        dead_usage: a code whose average members per batch fall below this is re-seeded (below half
            of a fair share, if that is less, so that small batches do not re-seed all the time).
        seed: of k-means and re-seeding.

    Source: van den Oord et al., "Neural discrete representation learning", NeurIPS 2017 (EMA:
    appendix A.1); Yu et al., "Vector-quantized image modeling with improved VQGAN", ICLR 2022
    (unit sphere); Dhariwal et al., "Jukebox", 2020 (re-seeding).
    """

    sums: Tensor
    usage: Tensor
    updates: Tensor

    def __init__(
        self,
        width: int,
        n_codes: int,
        *,
        decay: float = 0.95,
        dead_usage: float = 2.0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.n_codes = n_codes
        self.decay = decay
        self.dead_usage = dead_usage
        self.seed = seed
        generator = torch.Generator().manual_seed(seed)
        # Never on the device "meta", where this imports PyTorch's compiler, for a second.
        start = torch.randn(n_codes, width, generator=generator, device="cpu")
        # Averages of the members' sum and number; the code is the direction of the sum.
        self.register_buffer("sums", F.normalize(start, dim=-1))
        self.register_buffer("usage", torch.ones(n_codes))
        self.register_buffer("updates", torch.zeros((), dtype=torch.int64))

    @property
    def codebook(self) -> Tensor:
        """The codes as unit vectors, ``(n_codes, L)``."""
        return F.normalize(self.sums, dim=-1)

    def forward(self, latent: Tensor) -> QuantiserOutput:
        """Quantise, and in training mode move the codes.

        Args:
            latent: ``(B, S, L)``, vectors of any norm.

        Returns:
            Quantised vectors, codes, commitment distances, perplexity.
        """
        with torch.autocast(latent.device.type, enabled=False):
            unit = F.normalize(latent.float(), dim=-1)
            members = unit.detach().flatten(0, 1)  # (B * S, L)
            if self.training:
                self._start(members)
            codes = self._nearest(members)  # (B * S,)
            assigned = F.one_hot(codes, self.n_codes).to(members.dtype)  # (B * S, n_codes)
            chosen = self.look_up(codes).view_as(unit)
            commitment = (unit - chosen).square().sum(dim=-1)
            quantised = unit + (chosen - unit).detach()
            perplexity = torch.exp(torch.special.entr(assigned.mean(dim=0)).sum())
            if self.training:
                self._update(members, assigned)
        return QuantiserOutput(quantised, codes.view(latent.shape[:-1]), commitment, perplexity)

    def look_up(self, codes: Tensor) -> Tensor:
        """Unit vectors ``(..., L)`` of codes ``(...)``."""
        return F.embedding(codes, self.codebook)

    def _nearest(self, members: Tensor) -> Tensor:
        return (members @ self.codebook.T).argmax(dim=-1)

    def _generator(self) -> torch.Generator:
        """Generator of this update, the same in a resumed training."""
        return torch.Generator().manual_seed(self.seed + int(self.updates))

    def _start(self, members: Tensor) -> None:
        """Spherical k-means on the first training batch (Dhillon and Modha, 2001)."""
        if int(self.updates) > 0:
            return
        self.sums.copy_(spread_out(members.cpu(), self.n_codes, self._generator()))
        for _ in range(KMEANS_STEPS):
            assigned = F.one_hot(self._nearest(members), self.n_codes).to(members.dtype)
            self.usage.copy_(assigned.sum(dim=0))
            occupied = (self.usage > 0).unsqueeze(1)
            self.sums.copy_(torch.where(occupied, assigned.T @ members, self.sums))

    def _update(self, members: Tensor, assigned: Tensor) -> None:
        """Move the codes towards their members; move dead ones to members drawn at random."""
        self.sums.lerp_(assigned.T @ members, 1 - self.decay)
        self.usage.lerp_(assigned.sum(dim=0), 1 - self.decay)
        fair_share = len(members) / self.n_codes
        dead = self.usage < min(self.dead_usage, fair_share / 2)
        drawn = torch.randint(len(members), (self.n_codes,), generator=self._generator())
        # A moved code starts with a fair share of members: it needs some updates to find its own.
        moved = fair_share * members[drawn.to(members.device)]
        self.sums.copy_(torch.where(dead.unsqueeze(1), moved, self.sums))
        self.usage.masked_fill_(dead, fair_share)
        self.updates += 1
