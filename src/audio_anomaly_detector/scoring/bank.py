"""Distance to the nearest normal clip, in units of how normal clips of that microphone vary."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from audio_anomaly_detector.errors import UserError

# Share of each feature's variance that is replaced by the microphone's median variance: with
# eight clips a sample variance is known to a factor of two, and one that came out near zero
# would dominate the distance.
_VARIANCE_SHRINKAGE = 0.25
# Axes kept for each microphone: with 16 the gain of the prior deviations is a quarter less, with
# more than these no greater.
_AXES = 64
# Equivalent clips of the prior that features vary independently: with few clips, features that
# seem to vary together do so by chance.
_PRIOR_CLIPS = 20.0
# Equivalent clips of the prior deviations (`Deviations`) beside the bank's own clips. From 24
# synthetic machines with faults of the generator's tuning kind, the AUROC gained by segments of the
# clips themselves and by clips of the 23 other machines: .020 and .050 at 8 normal clips, .005 and
# .012 at 20, nothing and .004 at 50; 3 to 20 equivalent clips gave much the same.
_DEVIATION_CLIPS = 8.0
# A feature's weight is this power of the deviation of surrogates in it over that of normal clips.
# From 24 synthetic machines with faults of the generator's tuning kind and 8, 20 and 50 normal
# clips: 1, 1.5 and 2 gave a mean AUROC of .858, .872 and .870, equal weights .808.
_SURROGATE_POWER = 1.5
# The ratio is limited to this, or an almost empty band could dominate the distance; with 10 and 30
# the gain was two and four fifths of that.
_LARGEST_SURROGATE_RATIO = 100.0


@dataclass(frozen=True)
class Deviations:
    """Deviations that show which features vary together, beyond a machine's few clips.

    Args:
        values: statistics less the mean of what they belong to, ``(m, C, D)``.
        clips: how many clips they are: m for clips of other machines, 0 for segments of the very
            clips of the bank, which do not show what varies from clip to clip.
    """

    values: Tensor
    clips: int


@dataclass(frozen=True)
class Bank:
    """Statistics of normal clips, one set for each microphone.

    Args:
        clips: decorrelated and weighted statistics, ``(n, C, D)``.
        mean: of the normal clips, ``(C, D)``.
        scale: what one unit is, ``(C, D)``.
        axes: directions in which normal clips vary together, unit vectors, ``(C, r, D)``.
        gain: what is left of a unit along each axis, less one, ``(C, r)``.
        weight: how much each decorrelated feature counts, 1 on average, ``(C, D)``.

    Raises:
        ValueError: shapes that do not belong together, numbers that are not finite, no clip, or a
            unit that is not above 0.
    """

    clips: Tensor
    mean: Tensor
    scale: Tensor
    axes: Tensor
    gain: Tensor
    weight: Tensor

    def __post_init__(self) -> None:
        parts = vars(self)
        if not all(torch.is_floating_point(part) for part in parts.values()):
            raise ValueError("a bank holds floating-point numbers")
        # Shapes that broadcast would give a score, and a wrong one.
        if self.mean.ndim != 2 or self.axes.ndim != 3 or self.clips.ndim != 3:
            raise ValueError("a bank has parts of other dimensions")
        microphones, features = self.mean.shape
        wanted = {
            "clips": (max(1, len(self.clips)), microphones, features),
            "mean": (microphones, features),
            "scale": (microphones, features),
            "axes": (microphones, self.axes.shape[1], features),
            "gain": (microphones, self.axes.shape[1]),
            "weight": (microphones, features),
        }
        for name, part in parts.items():
            if tuple(part.shape) != wanted[name]:
                raise ValueError(f"a bank's {name} have shape {tuple(part.shape)}")
            if not torch.isfinite(part).all():
                raise ValueError(f"a bank's {name} are not finite")
        if not (self.scale > 0).all():
            raise ValueError("a bank has a unit that is not above 0")

    @classmethod
    def fit(
        cls,
        statistics: Tensor,
        capacity: int,
        seed: int,
        scaled: bool = True,
        reference_size: int | None = None,
        surrogates: Tensor | None = None,
        prior: Deviations | None = None,
    ) -> "Bank":
        """Keep at most ``capacity`` clips, drawn at random under ``seed``.

        What varies together in normal clips (a hall that is louder today, a machine under load)
        is decorrelated by the symmetric square root of a shrunk covariance, so that a clip that
        is louder in a hundred bands at once deviates once, not a hundred times. Shrinkage is that
        of Ledoit and Wolf ("A well-conditioned estimator for large-dimensional covariance
        matrices", 2004), and stronger while clips are few.

        Args:
            statistics: ``(n, C, D)``, n >= 2.
            capacity: largest number of clips kept, so that memory stays flat.
            seed: seed of the draw.
            scaled: use the clips' spread; otherwise the statistics' own units stand.
            reference_size: clips of the bank that this one is a cross-fit of; by default its own.
                Both are shrunk as that number asks for: distances are in units that depend on the
                shrinkage, and later clips would come out nearer than the cross-fitted ones that
                set the threshold.
            surrogates: statistics of surrogates of normal clips, ``(m, C, D)``. Features in which
                they deviate from normal clips depend on the machine, the others only on the hall,
                and weigh less. None: all weigh alike.
            prior: further deviations that show which features vary together; not used unless
                ``scaled``.
        """
        mean = statistics.mean(0)  # (C, D)
        scale = _scale(statistics) if scaled else torch.ones_like(mean)
        standard = _standardise(statistics, mean, scale)  # (C, n, D)
        if scaled:
            reference_size = reference_size or len(statistics)
            if prior is None:
                axes, gain = _decorrelation(standard, reference_size)
            else:
                others = (prior.values / scale).transpose(0, 1)  # (C, m, D)
                both = _with_deviations(standard, others)
                axes, gain = _decorrelation(both, reference_size + prior.clips)
        else:
            axes, gain = standard[:, :0], standard[:, :0, 0]
        clips = _decorrelate(standard, axes, gain)  # (C, n, D)
        weight = torch.ones_like(mean)
        if surrogates is not None:
            deviating = _standardise(surrogates, mean, scale)
            weight = _weight(clips, _decorrelate(deviating, axes, gain))
        if len(statistics) > capacity:
            generator = torch.Generator().manual_seed(seed)
            kept = torch.randperm(len(statistics), generator=generator)[:capacity]
            clips = clips[:, kept.sort().values]
        weighted = (clips * weight.unsqueeze(1)).transpose(0, 1)
        return cls(weighted.contiguous(), mean, scale, axes, gain, weight)

    def distance(self, statistics: Tensor) -> Tensor:
        """Mean absolute distance to the nearest clip, ``(m, C, D) -> (m, C)``.

        Absolute and not squared: with a handful of clips some features' spreads come out far too
        small, and squares would let those few dominate.

        Raises:
            UserError: statistics of another shape than the bank's: the settings are not its own.
        """
        queries = self.located(statistics).transpose(0, 1)  # (C, m, D)
        known = self.clips.transpose(0, 1)  # (C, n, D)
        if torch.compiler.is_exporting():  # no runtime has this distance
            distances = (queries.unsqueeze(2) - known.unsqueeze(1)).abs().sum(-1)
        else:
            distances = torch.cdist(queries, known, p=1)
        return distances.amin(-1).transpose(0, 1) / statistics.shape[-1]  # (m, C)

    def located(self, statistics: Tensor) -> Tensor:
        """Statistics decorrelated and weighted as the bank's clips are, ``(m, C, D)``.

        Raises:
            UserError: as `distance`.
        """
        if statistics.shape[1:] != self.mean.shape:
            raise UserError(
                "the model is damaged or altered, fit the detector again: statistics of "
                f"shape {tuple(statistics.shape[1:])} where the bank has "
                f"{tuple(self.mean.shape)}"
            )
        standard = _standardise(statistics, self.mean, self.scale)  # (C, m, D)
        weighted = _decorrelate(standard, self.axes, self.gain) * self.weight.unsqueeze(1)
        return weighted.transpose(0, 1)

    def reliability(self, effect: float, left_out: NDArray[np.float64]) -> float:
        """Power of a fault's effect over that of effect and normal variation together, 0 to 1.

        Only variation counts that other normal clips do not show, too: a machine whose level is
        another from hour to hour has neighbours in a bank of many hours.

        Args:
            effect: by how much a fault moves a statistic.
            left_out: distances of normal clips from banks without them, ``(n, C)``.
        """
        scale = self.scale.square().median(-1).values.sqrt().numpy()  # (C,)
        unexplained = scale * np.median(left_out, axis=0)
        return float((effect**2 / (effect**2 + unexplained**2)).mean())


def _scale(statistics: Tensor) -> Tensor:
    """Spread of each feature, leaning on the microphone's others, ``(n, C, D) -> (C, D)``."""
    variance = statistics.var(0)
    typical = variance.median(-1, keepdim=True).values
    shrunk = (1 - _VARIANCE_SHRINKAGE) * variance + _VARIANCE_SHRINKAGE * typical
    return (shrunk + 1e-12).sqrt()


def _standardise(statistics: Tensor, mean: Tensor, scale: Tensor) -> Tensor:
    """Units of the normal clips' spread, ``(m, C, D) -> (C, m, D)``."""
    return ((statistics - mean) / scale).transpose(0, 1)


def _with_deviations(standard: Tensor, others: Tensor) -> Tensor:
    """Rows whose covariance is that of both, the others weighted as 8 clips.

    The others are scaled to the power of the machine's own clips: they show which features vary
    together, not how far.

    Args:
        standard: centred, scaled statistics, ``(C, n, D)``.
        others: likewise, ``(C, m, D)``.

    Returns:
        ``(C, n + m, D)``.
    """
    n, m = standard.shape[1], others.shape[1]
    power, of_others = (rows.square().mean((1, 2), keepdim=True) for rows in (standard, others))
    share = (power / of_others.clamp_min(1e-12) * _DEVIATION_CLIPS / m).sqrt()
    return torch.cat((standard, others * share), 1) * math.sqrt((n + m) / (n + _DEVIATION_CLIPS))


def _decorrelation(standard: Tensor, reference_size: int) -> tuple[Tensor, Tensor]:
    """Axes and gains that make the shrunk covariance a multiple of the identity.

    Args:
        standard: centred, scaled statistics, ``(C, n, D)``.
        reference_size: clips that set the least shrinkage.

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
    shrinkage = (noise / off).clamp(_PRIOR_CLIPS / (_PRIOR_CLIPS + reference_size), 1.0)
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
        rows: ``(C, n, D)``, double precision.

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
    """Weight of each feature by the deviation of surrogates, ``(C, n, D), (C, m, D) -> (C, D)``.

    Args:
        clips: decorrelated normal clips.
        surrogates: decorrelated likewise.
    """
    ratio = surrogates.abs().mean(1) / clips.abs().mean(1).clamp_min(1e-6)
    weight = ratio.clamp(1, _LARGEST_SURROGATE_RATIO) ** _SURROGATE_POWER
    return weight / weight.mean(-1, keepdim=True)
