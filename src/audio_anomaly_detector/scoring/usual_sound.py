"""How normal clips of a machine sound in short frames: what an explanation compares a clip with."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
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
from audio_anomaly_detector.scoring.network_maps import MapSource

# By source, the values that a clip has at each rank in the map of a network, ``(R, 1 + C, F)``.
SourceLevels = dict[MapSource, Floats]
# Fewer normal clips do not show how they vary.
LEAST_CLIPS = 4
# Of so many normal clips: more would say little more.
MOST_CLIPS = 64
_LEFT_OUT = 20  # times at most, groups of clips are left out

# Half of each value's variance is the median value's, as in `scoring.conditions`.
_SHRINKAGE = 0.5
_LEAST_SPREAD = 0.25  # dB; in maps of networks also of predicted standard deviations
# Shares of a clip's frames that are quieter, at which maps compare it with normal clips. Compared
# with all normal frames instead, a tone that is a little louder all the time lies less far out than
# whatever happens in a hall once: of 173 clips with a fault of the tuning kind (16 machines, `aad
# explanations --faults tuning --seed 171`) the narrow map's peak then lay in the true region in
# 72 %, the fast map's in 51 %; so in 89 % and 65 %.
_RANKS = np.array(
    [0, 0.001, 0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.98, 0.995, 0.999, 1]
)
# Knocks take the highest ranks from frames that are as always. Of what exceeded 5 standard
# deviations in the fast maps of those clips 75 % lay in the true region without a tolerance, 89 %
# with this one, in the narrow maps 83 and 84 %; peaks lay there as often, to 1 %.
_RANK_TOLERANCE = 0.02
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
        spread = np.sqrt(np.maximum(shrunk, _LEAST_SPREAD**2))
        return cls(values.mean(0).astype(np.float32), spread.astype(np.float32))


@dataclass(frozen=True)
class UsualLevels:
    """Levels that normal clips have at each rank, of the mean power and of each microphone.

    The rank of a frame is the share of the frames of its clip that are quieter in its band.

    Args:
        centre: mean of the clips, dB, ``(R, 1 + C, F)``.
        spread: standard deviation between clips, dB, leaning on that of the other bands,
            ``(R, 1 + C, F)``.
    """

    centre: Floats
    spread: Floats

    @classmethod
    def of(cls, clips: Sequence[Floats]) -> "UsualLevels":
        """From the levels of each normal clip at each rank, ``(n, R, 1 + C, F)``."""
        stacked = np.stack(clips)
        each = [
            [Usual.of(stacked[:, rank, row]) for row in range(stacked.shape[2])]
            for rank in range(stacked.shape[1])
        ]
        return cls(
            np.array([[usual.centre for usual in of_rank] for of_rank in each]),
            np.array([[usual.spread for usual in of_rank] for of_rank in each]),
        )

    def standard(self, levels: Floats) -> Floats:
        """Levels in standard deviations of the normals near their ranks, ``(1 + C, F, N)``.

        Louder than the normals a little above their rank, quieter than those a little below, 0
        between.
        """
        order = np.argsort(levels, axis=-1)
        above, below = (
            (levels - _spread_out(self.centre, order, shift))
            / _spread_out(self.spread, order, shift)
            for shift in (_RANK_TOLERANCE, -_RANK_TOLERANCE)
        )
        return np.asarray((np.maximum(above, 0) + np.minimum(below, 0)).astype(np.float32))

    def at_ranks_of(self, levels: Floats) -> Floats:
        """Levels that normal clips have at the ranks of these, dB, ``(1 + C, F, N)``."""
        return _spread_out(self.centre, np.argsort(levels, axis=-1), 0.0)


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
        networks: values in the maps of the networks, of clips that these were trained without;
            empty: it has no networks, or was fitted before these maps were known.

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
    networks: dict[MapSource, UsualLevels] = field(default_factory=dict)

    def __post_init__(self) -> None:
        grid = feature_grid(self.sample_rate)
        rows = self.narrow.centre.shape[1]
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
        ranks, narrow = len(_RANKS), len(grid.narrow_hz) - 1
        parts += [(part, (ranks, rows, narrow)) for part in vars(self.narrow).values()]
        parts += [(part, (ranks, rows, fast)) for part in vars(self.fast).values()]
        for usual in self.networks.values():
            shape = (ranks, rows, usual.centre.shape[-1])  # bands: see `check_sources`
            parts += [(part, shape) for part in vars(usual).values()]
        if self.values.keys() != wanted.keys() or any(
            limits.keys() != set(KINDS) for limits in (self.limits, self.anomalous_limits)
        ):
            raise ValueError("the usual sound lacks a part")
        if not all(part.shape == shape and np.isfinite(part).all() for part, shape in parts):
            raise ValueError("the usual sound has parts of other shapes, or not finite")
        spreads = [usual.spread for usual in self.values.values()]
        spreads += [of.spread for of in (self.narrow, self.fast, *self.networks.values())]
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
        of_networks: Sequence[SourceLevels] = (),
    ) -> "UsualSound | None":
        """Learn how normal clips sound; None: fewer than `LEAST_CLIPS`, or of one group.

        Args:
            clips: waveforms ``(C, T)``.
            groups: which of them vary together.
            sample_rate: Hz.
            seconds: length of the clips.
            names: see `UsualSound`.
            of_networks: values of normal clips in the maps of networks that were trained without
                them; fewer than `LEAST_CLIPS` make no maps.
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
            narrow.append(levels_at_ranks(features.narrow))
            fast.append(levels_at_ranks(features.fast))
        stacked = {name: np.stack(values) for name, values in found.items()}  # (n, D) each
        stacked["cycle"] = _of_one_cycle(stacked["cycle"])
        networks = {}
        if len(of_networks) >= LEAST_CLIPS:
            networks = {
                name: UsualLevels.of([levels[name] for levels in of_networks])
                for name in of_networks[0]
            }
        return cls(
            sample_rate,
            seconds,
            tuple(names),
            {name: Usual.of(values) for name, values in stacked.items()},
            *_limits(stacked, of_clip),
            UsualLevels.of(narrow),
            UsualLevels.of(fast),
            networks,
        )

    def check_sources(self, bands: Mapping[MapSource, int]) -> None:
        """Raise `ValueError` if the maps of networks are not of so many bands.

        Args:
            bands: of each source that the networks have.
        """
        for name, usual in self.networks.items():
            if usual.centre.shape[-1] != bands.get(name):
                raise ValueError(f"the usual sound has other bands of {name} than its networks")

    def deviations(self, values: dict[Name, Floats], kind: Kind, seconds: float) -> Floats:
        """By how many standard deviations of the normals a clip deviates, ``(D,)``.

        Args:
            values: of `compared`.
            kind: in which way.
            seconds: length of the clip. In a shorter one than usual everything scatters more, as
                the mean of fewer frames does.
        """
        return deviation(values[kind.name], self.values[kind.name], kind.sign) / self._wider(
            seconds
        )

    def maps(self, features: ClipFeatures, seconds: float) -> tuple[Floats, Floats]:
        """Narrow and fast levels in standard deviations of the normals, ``(1 + C, F, N)`` each.

        Args:
            features: of a clip.
            seconds: length of it, see `deviations`.
        """
        wider = np.float32(self._wider(seconds))
        return (
            self.narrow.standard(features.narrow) / wider,
            self.fast.standard(features.fast) / wider,
        )

    def network_map(self, name: MapSource, values: Floats, seconds: float) -> Floats:
        """Values of a network's map in standard deviations of the normals, ``(1 + C, F, N)``.

        Args:
            name: of the source.
            values: of a clip, see `network_maps`.
            seconds: length of it, see `deviations`.
        """
        return self.networks[name].standard(values) / np.float32(self._wider(seconds))

    def _wider(self, seconds: float) -> float:
        """By how much values of a clip of some length scatter more than those of the normals."""
        return math.sqrt(max(1.0, self.seconds / seconds))

    def to_content(self) -> dict[str, Any]:
        """Tensors and plain data, as the model file holds them."""
        networks = {
            name: [torch.from_numpy(part) for part in (of.centre, of.spread)]
            for name, of in self.networks.items()
        }
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
                name: [torch.from_numpy(part) for part in (of.centre, of.spread)]
                for name, of in (("narrow", self.narrow), ("fast", self.fast))
            },
            **({"networks": networks} if networks else {}),
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
            {
                name: UsualLevels(*(part.numpy() for part in parts))
                for name, parts in content.get("networks", {}).items()
            },
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


def levels_at_ranks(levels: Floats) -> Floats:
    """Levels ``(..., N)`` of a clip at each rank, ``(R, ...)``; see `UsualLevels`."""
    return np.quantile(levels, _RANKS, axis=-1, method="hazen").astype(np.float32)


def _spread_out(at_ranks: Floats, order: NDArray[np.int64], shift: float) -> Floats:
    """Values of each rank ``(R, 1 + C, F)`` for every frame of a clip, ``(1 + C, F, N)``.

    Args:
        at_ranks: the values.
        order: of the frames in each band, the quietest first, ``(1 + C, F, N)``.
        shift: added to the ranks.
    """
    frames = order.shape[-1]
    shares = ((np.arange(frames) + 0.5) / frames + shift).clip(0, 1)
    weights = np.stack([np.interp(shares, _RANKS, one) for one in np.eye(len(_RANKS))])
    from_quietest = np.einsum("rcf,rn->cfn", at_ranks, weights.astype(np.float32))
    values = np.empty(order.shape, np.float32)
    np.put_along_axis(values, order, from_quietest, -1)
    return values
