"""How normal clips of a machine sound in short frames: what an explanation compares a clip with."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from audio_anomaly_detector.scoring.clip_features import (
    ClipFeatures,
    Floats,
    Waveform,
    clip_features,
    feature_grid,
)

# Fewer normal clips do not show how they vary.
LEAST_CLIPS = 4
# Of so many normal clips: more would say little more.
MOST_CLIPS = 64
_LEFT_OUT = 20  # times at most, groups of clips are left out

# Half of each value's variance is the median value's, as in `scoring.conditions`.
_SHRINKAGE = 0.5
_LEAST_SPREAD_DB = 0.25
# Shares of frames, and how many standard deviations of a normal distribution lie there. The unit of
# a map is the largest that any of them asks for: clicks that a machine always makes are then no 30
# standard deviations.
_TAILS = ((0.1587, 1.0), (0.02275, 2.0), (0.00135, 3.0))
# The largest of many deviations has about a Gumbel distribution, whose upper 2 % begin at 2.59
# standard deviations above its mean: the share of normal clips that may have any finding though
# their score is normal.
_GUMBEL_98 = 2.59
# Divided by the number of groups, by how much limits of few clips are wider. With limits for 5 % of
# normal clips, 30, 12 and 6 % of 80 fresh ones of four synthetic machines with 5, 8 and 12 normal
# clips had a finding without it, and 12, 5 and 5 % of four other machines with it.
_WIDER = 3.0
# Of an anomalous clip, which few normal ones are, less has to stand out: 5 % of normal clips exceed
# the limit of each kind.
_NORMAL_95 = 1.64
_NORMAL_90 = 1.28  # standard deviations above which a tenth of a normal distribution lies

# Per cent, in logarithms: by more, a cycle is another multiple of what repeats.
MOST_CYCLE_CHANGE = 30.0

Name = Literal[
    "lines",
    "bands",
    "rates",
    "peaks",
    "burst",
    "gap",
    "strokes",
    "weaker",
    "cycle",
    "level",
    "microphones",
]


class Kind(NamedTuple):
    """A way in which a clip may deviate.

    Attributes:
        name: of the values that are compared.
        sign: 1 upwards, -1 downwards, 0 either way.
    """

    name: Name
    sign: int


KINDS: tuple[Kind, ...] = (
    Kind("lines", 1),
    Kind("lines", -1),
    Kind("bands", 1),
    Kind("bands", -1),
    Kind("rates", 1),
    Kind("peaks", 1),
    Kind("peaks", -1),
    Kind("burst", 1),
    Kind("gap", 1),
    Kind("strokes", 1),
    Kind("strokes", -1),
    Kind("weaker", 1),
    Kind("cycle", 0),
    Kind("level", 0),
    Kind("microphones", 0),
)


@dataclass(frozen=True)
class Usual:
    """Values in normal clips.

    Args:
        centre: their mean, ``(D,)``.
        spread: their standard deviation, leaning on that of the other values, ``(D,)``.
    """

    centre: Floats
    spread: Floats

    @classmethod
    def of(cls, values: Floats) -> "Usual":
        """Of the values of normal clips, ``(n, D)``."""
        variance = values.var(0, ddof=1)
        shrunk = (1 - _SHRINKAGE) * variance + _SHRINKAGE * np.median(variance)
        spread = np.sqrt(np.maximum(shrunk, _LEAST_SPREAD_DB**2))
        return cls(values.mean(0).astype(np.float32), spread.astype(np.float32))


@dataclass(frozen=True)
class UsualLevels:
    """Levels of frames in normal clips, of the mean power and of each microphone.

    Args:
        centre: median, dB, ``(1 + C, F)``.
        above: robust standard deviation upwards, dB, ``(1 + C, F)``.
        below: downwards, dB, ``(1 + C, F)``.
    """

    centre: Floats
    above: Floats
    below: Floats

    @classmethod
    def of(cls, clips: Sequence[Floats]) -> "UsualLevels":
        """From centre, above and below of each normal clip, ``(n, 3, 1 + C, F)``."""
        centre, above, below = np.median(clips, 0)
        centres = np.stack([clip[0] for clip in clips])
        between = np.maximum(centres.std(0, ddof=1), _LEAST_SPREAD_DB)
        parts = centre, np.hypot(above, between), np.hypot(below, between)
        return cls(*(part.astype(np.float32) for part in parts))

    def standard(self, levels: Floats) -> Floats:
        """Levels ``(1 + C, F, N)`` in robust standard deviations of the normals; 0: as always."""
        offset = levels - self.centre[..., None]
        unit = np.where(offset > 0, self.above[..., None], self.below[..., None])
        return np.asarray((offset / unit).astype(np.float32))


@dataclass(frozen=True)
class UsualSound:
    """How normal clips of a machine sound in short frames.

    Args:
        sample_rate: Hz.
        seconds: length of the clips.
        names: of the clips that the banks hold, in their order; empty: they hold others.
        values: what is compared, by name.
        limits: deviation above which a clip stands out, by kind; see `Kind`.
        anomalous_limits: the same of clips whose score is that of an anomalous one.
        narrow: levels in narrow bands.
        fast: levels in fast bands.

    Raises:
        ValueError: parts that do not belong together, numbers that are not finite or not above 0.
    """

    sample_rate: int
    seconds: float
    names: tuple[str, ...]
    values: dict[Name, Usual]
    limits: dict[Kind, float]
    anomalous_limits: dict[Kind, float]
    narrow: UsualLevels
    fast: UsualLevels

    def __post_init__(self) -> None:
        grid = feature_grid(self.sample_rate)
        rows = len(self.narrow.centre)
        microphones = max(1, rows - 1)
        bands, fast = len(grid.band_hz) - 1, len(grid.fast_hz) - 1
        wanted: dict[Name, int] = {
            "lines": len(grid.line_hz),
            "bands": bands,
            "rates": fast * len(grid.rate_hz),
            "peaks": fast,
            "burst": fast,
            "gap": fast,
            "strokes": 1,
            "weaker": 2 * fast,
            "cycle": 1,
            "level": 2,
            "microphones": microphones * bands,
        }
        parts: list[tuple[Floats, tuple[int, ...]]] = [
            (part, (wanted[name],))
            for name, usual in self.values.items()
            for part in (usual.centre, usual.spread)
        ]
        parts += [(part, (rows, len(grid.narrow_hz) - 1)) for part in vars(self.narrow).values()]
        parts += [(part, (rows, fast)) for part in vars(self.fast).values()]
        if self.values.keys() != wanted.keys() or any(
            limits.keys() != set(KINDS) for limits in (self.limits, self.anomalous_limits)
        ):
            raise ValueError("the usual sound lacks a part")
        if not all(part.shape == shape and np.isfinite(part).all() for part, shape in parts):
            raise ValueError("the usual sound has parts of other shapes, or not finite")
        spreads = [usual.spread for usual in self.values.values()]
        spreads += [self.narrow.above, self.narrow.below, self.fast.above, self.fast.below]
        if not all((part > 0).all() for part in spreads) or not 0 < self.seconds < math.inf:
            raise ValueError("the usual sound has a spread or length that is not above 0")
        limits = [*self.limits.values(), *self.anomalous_limits.values()]
        if not all(0 < limit < math.inf for limit in limits):
            raise ValueError("the usual sound has a limit that is not above 0")

    @classmethod
    def fit(
        cls,
        clips: Iterable[Waveform],
        groups: Sequence[int],
        sample_rate: int,
        seconds: float,
        names: Sequence[str],
    ) -> "UsualSound | None":
        """Learn how normal clips sound; None: fewer than `LEAST_CLIPS`, or of one group.

        Args:
            clips: waveforms ``(C, T)``.
            groups: which of them vary together.
            sample_rate: Hz.
            seconds: length of the clips.
            names: see `UsualSound`.
        """
        of_clip = np.unique(groups, return_inverse=True)[1].astype(np.int64)
        if len(of_clip) < LEAST_CLIPS or of_clip.max() == 0:
            return None
        found: dict[Name, list[Floats]] = {kind.name: [] for kind in KINDS}
        narrow, fast = [], []
        for clip in clips:
            features = clip_features(clip, sample_rate)
            for name, values in compared(
                features, sample_rate, clip.shape[1] / sample_rate
            ).items():
                found[name].append(values)
            narrow.append(_centre_and_units(features.narrow))
            fast.append(_centre_and_units(features.fast))
        stacked = {name: np.stack(values) for name, values in found.items()}  # (n, D) each
        stacked["cycle"] = _of_one_cycle(stacked["cycle"])
        return cls(
            sample_rate,
            seconds,
            tuple(names),
            {name: Usual.of(values) for name, values in stacked.items()},
            *_limits(stacked, of_clip),
            UsualLevels.of(narrow),
            UsualLevels.of(fast),
        )

    def deviations(self, values: dict[Name, Floats], kind: Kind, seconds: float) -> Floats:
        """By how many standard deviations of the normals a clip deviates, ``(D,)``.

        Args:
            values: of `compared`.
            kind: in which way.
            seconds: length of the clip. In a shorter one than usual everything scatters more, as
                the mean of fewer frames does.
        """
        widened = math.sqrt(max(1.0, self.seconds / seconds))
        return deviation(values[kind.name], self.values[kind.name], kind.sign) / widened

    def to_content(self) -> dict[str, Any]:
        """Tensors and plain data, as the model file holds them."""
        return {
            "sample_rate": self.sample_rate,
            "seconds": self.seconds,
            "names": list(self.names),
            "values": {
                name: [torch.from_numpy(part) for part in (usual.centre, usual.spread)]
                for name, usual in self.values.items()
            },
            "limits": [self.limits[kind] for kind in KINDS],
            "anomalous_limits": [self.anomalous_limits[kind] for kind in KINDS],
            **{
                name: [torch.from_numpy(part) for part in (of.centre, of.above, of.below)]
                for name, of in (("narrow", self.narrow), ("fast", self.fast))
            },
        }

    @classmethod
    def from_content(cls, content: dict[str, Any]) -> "UsualSound":
        """What `to_content` gave; raises `ValueError` or another error for anything else."""
        values = {
            name: Usual(*(part.numpy() for part in parts))
            for name, parts in content["values"].items()
        }
        narrow, fast = (
            UsualLevels(*(part.numpy() for part in content[name])) for name in ("narrow", "fast")
        )
        limits, anomalous_limits = (
            dict(zip(KINDS, content[name], strict=True)) for name in ("limits", "anomalous_limits")
        )
        return cls(
            content["sample_rate"],
            content["seconds"],
            tuple(content["names"]),
            values,
            limits,
            anomalous_limits,
            narrow,
            fast,
        )


def compared(features: ClipFeatures, sample_rate: int, seconds: float) -> dict[Name, Floats]:
    """What of a clip is compared with the normal clips, ``(D,)`` each.

    Args:
        features: of the clip.
        sample_rate: Hz.
        seconds: length of the clip.
    """
    grid = feature_grid(sample_rate)
    median = np.median(features.moments, 1)
    return {
        "lines": grid.widest_line(features.lines),
        # Against their mean, so that another gain is none of another spectrum.
        "bands": features.bands - features.level,
        "rates": grid.widest_rate(features.rates).ravel(),
        "peaks": features.peaks,
        "burst": features.moments.max(1) - median,
        "gap": median - features.moments.min(1),
        # As a ratio, in decibels: a few per cent are nothing.
        "strokes": np.array([20 * np.log10(max(1, len(features.strokes.times)) / seconds)]),
        "weaker": features.strokes.weaker,
        # As a ratio, in per cent.
        "cycle": np.array([100 * np.log(max(features.cycle, 0.01))]),
        "level": np.array([features.level, features.power]),
        "microphones": features.by_microphone.ravel(),
    }


def deviation(values: Floats, usual: Usual, sign: int) -> Floats:
    """By how many standard deviations values exceed the usual ones, ``(D,)``.

    Args:
        values: of a clip.
        usual: of the normal clips.
        sign: as `Kind.sign`.
    """
    standard = (values - usual.centre) / usual.spread
    return np.abs(standard) if sign == 0 else sign * standard


def pairs(standard: Floats) -> Floats:
    """The smaller deviation of neighbouring bands, ``(K,) -> (K - 1,)``: noise is broad."""
    return np.minimum(standard[1:], standard[:-1])


def _largest(kind: Kind, standard: Floats) -> float:
    return float((pairs(standard) if kind.name == "bands" else standard).max())


def _of_one_cycle(cycles: Floats) -> Floats:
    """The median one where a clip seems to repeat after another multiple or part of it."""
    middle = np.median(cycles)
    return np.where(np.abs(cycles - middle) < MOST_CYCLE_CHANGE, cycles, middle)


def _limits(
    values: dict[Name, Floats], of_clip: NDArray[np.int64]
) -> tuple[dict[Kind, float], dict[Kind, float]]:
    """The deviations of each kind that few normal clips have from the others; see `UsualSound`.

    Every kind is taken in units of its own scatter. Of clips as they come, one limit in these units
    stands for all kinds together.

    Args:
        values: of the normal clips, ``(n, D)`` each.
        of_clip: number of the group of each, ``(n,)``.
    """
    groups = int(of_clip.max()) + 1
    folds = of_clip % min(groups, _LEFT_OUT)
    largest = np.empty((len(of_clip), len(KINDS)))
    for fold in np.unique(folds):
        out = folds == fold
        usual = {name: Usual.of(all_clips[~out]) for name, all_clips in values.items()}
        for clip in np.flatnonzero(out):
            for number, kind in enumerate(KINDS):
                standard = deviation(values[kind.name][clip], usual[kind.name], kind.sign)
                largest[clip, number] = _largest(kind, standard)
    middle = np.median(largest, 0)
    spread = (np.quantile(largest, 0.9, axis=0) - middle) / _NORMAL_90
    spread = np.maximum(spread, 1.4826 * np.median(np.abs(largest - middle), 0))
    # A microphone that is the only one differs from no other.
    spread = np.maximum(spread, 1e-3) * (1 + _WIDER / groups)
    worst = ((largest - middle) / spread).max(1)
    of_all = worst.mean() + _GUMBEL_98 * worst.std(ddof=1)
    limits = [
        dict(zip(KINDS, np.maximum(middle + factor * spread, 1.0).tolist(), strict=True))
        for factor in (max(of_all * (1 + _WIDER / groups), _NORMAL_95), _NORMAL_95)
    ]
    return limits[0], limits[1]


def _centre_and_units(levels: Floats) -> Floats:
    """Median of frames, and robust standard deviations above and below, ``(3, 1 + C, F)``."""
    frames = levels.shape[-1]
    ordered = np.sort(levels, axis=-1)
    centre = ordered[..., (frames - 1) // 2]
    above, below = np.zeros_like(centre), np.zeros_like(centre)
    for share, sigmas in _TAILS:
        rank = math.floor(share * frames)
        if rank > 0:  # as many frames lie beyond
            above = np.maximum(above, (ordered[..., -1 - rank] - centre) / sigmas)
            below = np.maximum(below, (centre - ordered[..., rank]) / sigmas)
    return np.stack([centre, above, below])
