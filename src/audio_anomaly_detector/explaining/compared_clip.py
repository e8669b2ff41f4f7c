"""A clip beside the normal clips, and how places in it are put into words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from audio_anomaly_detector.explaining.orders import Order
from audio_anomaly_detector.scoring.clip_features import (
    ClipFeatures,
    FeatureGrid,
    Floats,
    feature_grid,
)
from audio_anomaly_detector.scoring.usual_sound import Kind, Name, UsualSound

# What supports a finding (a harmonic, a neighbouring band) stands out by this part of the limit.
SUPPORT = 0.5
LEAST_DB = 3.0  # by which a tone or rate stands out more or less than usual


@dataclass(frozen=True)
class ComparedClip:
    """A clip that is explained.

    Args:
        features: of it.
        usual: of the normal clips.
        values: what is compared.
        seconds: length.
        start: of the part in the clip, s.
        rates: known rates by name, Hz.
        limits: deviation above which a clip stands out, by kind.
    """

    features: ClipFeatures
    usual: UsualSound
    values: dict[Name, Floats]
    seconds: float
    start: float
    rates: Mapping[str, float]
    limits: Mapping[Kind, float]

    @property
    def grid(self) -> FeatureGrid:
        """Frequencies and bands of the features."""
        return feature_grid(self.usual.sample_rate)

    def standard(self, name: Name, sign: int) -> Floats:
        """Deviations as parts of the limit, ``(D,)``: above 1 few normal clips lie."""
        kind = Kind(name, sign)
        found = self.usual.deviations(self.values, kind, self.seconds)
        return np.asarray(found / self.limits[kind])

    def limit(self, name: Name, sign: int) -> float:
        """Deviation above which few normal clips lie."""
        return self.limits[Kind(name, sign)]


def local_peaks(values: Floats) -> NDArray[np.int64]:
    """Positions of values that no neighbour exceeds."""
    ends = np.pad(values, 1, constant_values=-np.inf)
    return np.flatnonzero((values >= ends[:-2]) & (values > ends[2:]))


def refined(hz: Floats, level: Floats, at: NDArray[np.int64]) -> Floats:
    """Frequencies of peaks by a parabola through their neighbours, ``(P,)``."""
    inner = at.clip(1, len(level) - 2)
    low, middle, high = level[inner - 1], level[inner], level[inner + 1]
    curvature = np.minimum(low - 2 * middle + high, -1e-9)
    shift = (0.5 * (low - high) / curvature).clip(-0.5, 0.5)
    step = (hz[inner + 1] - hz[inner - 1]) / 2
    return np.asarray(np.where(at == inner, hz[inner] + shift * step, hz[at]))


def around(stands_out: Sequence[bool] | NDArray[np.bool_], at: int) -> slice:
    """The neighbours of a place that stand out without a gap, the place itself in any case."""
    start = stop = at
    while start > 0 and stands_out[start - 1]:
        start -= 1
    while stop < len(stands_out) - 1 and stands_out[stop + 1]:
        stop += 1
    return slice(start, stop + 1)


def band_edges(hz: Floats, bands: slice) -> tuple[float, float]:
    """Lowest and highest frequency of some bands, Hz."""
    return float(hz[bands.start]), float(hz[bands.stop])


def band_words(hz: Floats, bands: slice) -> str:
    """The same in words."""
    low, high = band_edges(hz, bands)
    return f"{hertz(low)} to {hertz(high)}"


def hertz(value: float) -> str:
    """A frequency in words."""
    return f"{value / 1000:.2f} kHz" if value >= 1000 else f"{value:.0f} Hz"


def per_second(rate: float) -> str:
    """A rate in words, as listeners and as machine builders count it."""
    return f"{rate:.1f} times a second ({60 * rate:.0f} a minute)"


def as_order(order: Order | None) -> str:
    """Of which known rate something is a multiple, as the end of a sentence."""
    return "" if order is None else f"; that is {order.words}"
