"""Distance to the nearest normal clip, in units of how normal clips of that microphone vary."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

# Share of each feature's variance that is replaced by the microphone's median variance: with
# eight clips a sample variance is known to a factor of two, and one that came out near zero
# would rule the distance.
_VARIANCE_SHRINKAGE = 0.25
# Axes kept for each microphone: with 16 the gain of what is borrowed is a quarter less, with more
# than these no greater.
_AXES = 64
# As many clips as the assumption that features vary independently is worth: with fewer, what
# seems to vary together does so by chance.
_PRIOR_CLIPS = 20.0
# Clips that what is borrowed (`Deviations`) is worth beside the bank's own. From 24 made machines
# with faults of the generator's tuning kind, the AUROC gained by stretches of the clips themselves
# and by clips of the 23 other machines: .020 and .050 at 8 normal clips, .005 and .012 at 20,
# nothing and .004 at 50; worths of 3 to 20 gave much the same.
_BORROWED_CLIPS = 8.0
# A feature counts by this power of how far surrogates stray in it, as a multiple of how far normal
# clips do. From 24 made machines with faults of the generator's tuning kind and 8, 20 and 50 normal
# clips: 1, 1.5 and 2 gave a mean AUROC of .858, .872 and .870, equal weights .808.
_STRAY_POWER = 1.5
# As a multiple of more than this it counts no further, or a band that is all but empty could rule
# the distance; with 10 and 30 the gain was two and four fifths of that.
_STRAY_MOST = 100.0


@dataclass(frozen=True)
class Deviations:
    """How sound varies beyond what a machine's few clips can tell.

    Args:
        values: statistics less the mean of what they belong to, shape ``(m, C, D)``.
        clips: how many clips they are: m for clips of other machines, 0 for stretches of the very
            clips of the bank, which know nothing of what varies from clip to clip.
    """

    values: Tensor
    clips: int


@dataclass(frozen=True)
class Bank:
    """Statistics of normal clips, one set for each microphone.

    Args:
        clips: decorrelated and weighted statistics, shape ``(n, C, D)``.
        mean: of the normal clips, shape ``(C, D)``.
        scale: what one unit is, shape ``(C, D)``.
        axes: directions in which normal clips vary together, unit vectors, shape ``(C, r, D)``.
        gain: what is left of a unit along each axis, less one, shape ``(C, r)``.
        weight: how much each decorrelated feature counts, 1 on average, shape ``(C, D)``.
    """

    clips: Tensor
    mean: Tensor
    scale: Tensor
    axes: Tensor
    gain: Tensor
    weight: Tensor

    @classmethod
    def fit(
        cls,
        statistics: Tensor,
        capacity: int,
        seed: int,
        scaled: bool = True,
        stands_for: int | None = None,
        surrogates: Tensor | None = None,
        borrowed: Deviations | None = None,
    ) -> "Bank":
        """Keep at most ``capacity`` clips, drawn at random under ``seed``.

        What varies together in normal clips (a hall that is louder today, a machine under load)
        is decorrelated by the symmetric square root of a shrunk covariance, so that a clip is
        not odd for being loud in a hundred bands at once. Shrinkage is Ledoit and Wolf's ("A
        well-conditioned estimator for large-dimensional covariance matrices", 2004), and more
        while clips are few.

        Args:
            statistics: shape ``(n, C, D)``, n >= 2.
            capacity: largest number of clips kept, so that memory stays flat.
            seed: seed of the draw.
            scaled: use the clips' spread; otherwise the statistics' own units stand.
            stands_for: clips of the bank that this one is a cross-fit of. Both are shrunk as that
                one asks for: distances are in units that depend on it, and fresh clips would come
                out nearer than the cross-fitted ones that set the threshold.
            surrogates: statistics of surrogates of normal clips, ``(m, C, D)``. Features in which
                they stray from what is normal hear the machine, the others only the hall, and
                count less. None: all count alike.
            borrowed: what else tells which features vary together; of no use without ``scaled``.
        """
        mean = statistics.mean(0)  # (C, D)
        scale = _scale(statistics) if scaled else torch.ones_like(mean)
        standard = _standardise(statistics, mean, scale)  # (C, n, D)
        if scaled:
            stands_for = stands_for or len(statistics)
            if borrowed is None:
                axes, gain = _decorrelation(standard, stands_for)
            else:
                others = (borrowed.values / scale).transpose(0, 1)  # (C, m, D)
                both = _with_borrowed(standard, others)
                axes, gain = _decorrelation(both, stands_for + borrowed.clips)
        else:
            axes, gain = standard[:, :0], standard[:, :0, 0]
        clips = _decorrelate(standard, axes, gain)  # (C, n, D)
        weight = torch.ones_like(mean)
        if surrogates is not None:
            strange = _standardise(surrogates, mean, scale)
            weight = _weight(clips, _decorrelate(strange, axes, gain))
        if len(statistics) > capacity:
            generator = torch.Generator().manual_seed(seed)
            kept = torch.randperm(len(statistics), generator=generator)[:capacity]
            clips = clips[:, kept.sort().values]
        weighted = (clips * weight.unsqueeze(1)).transpose(0, 1)
        return cls(weighted.contiguous(), mean, scale, axes, gain, weight)

    def distance(self, statistics: Tensor) -> Tensor:
        """Mean absolute distance to the nearest clip, ``(m, C, D) -> (m, C)``.

        Absolute and not squared: with a handful of clips some features' spreads come out far too
        small, and squares would let those few rule.
        """
        standard = _standardise(statistics, self.mean, self.scale)  # (C, m, D)
        queries = _decorrelate(standard, self.axes, self.gain) * self.weight.unsqueeze(1)
        known = self.clips.transpose(0, 1)  # (C, n, D)
        if torch.compiler.is_exporting():  # no runtime has this distance
            distances = (queries.unsqueeze(2) - known.unsqueeze(1)).abs().sum(-1)
        else:
            distances = torch.cdist(queries, known, p=1)
        return distances.amin(-1).transpose(0, 1) / statistics.shape[-1]  # (m, C)

    def reliability(self, effect: float) -> float:
        """Share of a fault's effect in it and the wandering of normal clips together, 0 to 1.

        Args:
            effect: by how much a fault moves a statistic.
        """
        typical = self.scale.square().median(-1).values  # (C,) variance
        return float((effect**2 / (effect**2 + typical)).mean())


def _scale(statistics: Tensor) -> Tensor:
    """Spread of each feature, leaning on the microphone's others, ``(n, C, D) -> (C, D)``."""
    variance = statistics.var(0)
    typical = variance.median(-1, keepdim=True).values
    shrunk = (1 - _VARIANCE_SHRINKAGE) * variance + _VARIANCE_SHRINKAGE * typical
    return (shrunk + 1e-12).sqrt()


def _standardise(statistics: Tensor, mean: Tensor, scale: Tensor) -> Tensor:
    """Units of the normal clips' spread, ``(m, C, D) -> (C, m, D)``."""
    return ((statistics - mean) / scale).transpose(0, 1)


def _with_borrowed(standard: Tensor, others: Tensor) -> Tensor:
    """Rows whose covariance is that of both, the others counting as so many clips.

    The others take the power of the machine's own clips: what they tell is not how far features
    vary, but which vary together.

    Args:
        standard: centred, scaled statistics, shape ``(C, n, D)``.
        others: likewise, shape ``(C, m, D)``.

    Returns:
        ``(C, n + m, D)``.
    """
    n, m = standard.shape[1], others.shape[1]
    power, of_others = (rows.square().mean((1, 2), keepdim=True) for rows in (standard, others))
    share = (power / of_others.clamp_min(1e-12) * _BORROWED_CLIPS / m).sqrt()
    return torch.cat((standard, others * share), 1) * math.sqrt((n + m) / (n + _BORROWED_CLIPS))


def _decorrelation(standard: Tensor, stands_for: int) -> tuple[Tensor, Tensor]:
    """Axes and gains that make the shrunk covariance a multiple of the identity.

    Args:
        standard: centred, scaled statistics, shape ``(C, n, D)``.
        stands_for: clips that set the least shrinkage.

    Returns:
        ``(C, r, D)`` and ``(C, r)`` with r = min(n, D), at most 64.
    """
    n, features = standard.shape[1:]
    squares, axes = _principal_axes(standard.double())
    eigenvalues = squares / n  # (C, r), of the sample covariance
    mean = eigenvalues.sum(-1, keepdim=True) / features  # (C, 1), of all its eigenvalues
    # Ledoit and Wolf's d^2 and b^2, times the number of features.
    off = (eigenvalues.square().sum(-1, keepdim=True) - features * mean.square()).clamp_min(1e-12)
    fourth = standard.double().square().sum(-1).square().sum(-1, keepdim=True) / n**2
    noise = (fourth - eigenvalues.square().sum(-1, keepdim=True) / n).clamp_min(0)
    shrinkage = (noise / off).clamp(_PRIOR_CLIPS / (_PRIOR_CLIPS + stands_for), 1.0)
    floor = shrinkage * mean
    shrunk = (1 - shrinkage) * eigenvalues + floor
    # Off all axes only the floor is left, there a unit stays what it is; so it does everywhere
    # if the clips do not vary at all.
    gain = ((floor + 1e-12) / (shrunk + 1e-12)).sqrt() - 1
    return axes.float(), gain[:, :_AXES].float()


def _principal_axes(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Squared singular values and the first right singular vectors, greatest first.

    By the smaller of the two products of the rows with themselves, which for wide rows takes a
    quarter of the time of their decomposition.

    Args:
        rows: shape ``(C, n, D)``, double precision.

    Returns:
        ``(C, r)`` with r = min(n, D), and at most 64 of ``(C, r, D)``; those along which nothing
        varies are zero.
    """
    wide = rows.shape[1] < rows.shape[2]
    product = rows @ rows.mT if wide else rows.mT @ rows
    squares, vectors = torch.linalg.eigh(product)
    squares, vectors = squares.flip(-1).clamp_min(0), vectors.flip(-1)[..., :_AXES]
    if not wide:
        return squares, vectors.mT
    kept = squares[:, :_AXES]
    varies = kept > 1e-10 * squares[:, :1]  # what is smaller is rounding
    lengths = kept.where(varies, torch.ones_like(kept)).sqrt()
    axes = (vectors.mT @ rows) / lengths.unsqueeze(-1)
    return squares, axes * varies.unsqueeze(-1)


def _decorrelate(standard: Tensor, axes: Tensor, gain: Tensor) -> Tensor:
    """Shrink what lies along the axes, ``(C, m, D) -> (C, m, D)``."""
    along = standard @ axes.mT  # (C, m, r)
    return standard + (along * gain.unsqueeze(1)) @ axes


def _weight(clips: Tensor, surrogates: Tensor) -> Tensor:
    """Weight of each feature by how far surrogates stray in it, ``(C, n, D), (C, m, D) -> (C, D)``.

    Args:
        clips: decorrelated normal clips.
        surrogates: decorrelated likewise.
    """
    stray = surrogates.abs().mean(1) / clips.abs().mean(1).clamp_min(1e-6)
    weight = stray.clamp(1, _STRAY_MOST) ** _STRAY_POWER
    return weight / weight.mean(-1, keepdim=True)
