"""What an explanation compares of a clip: levels in short frames, and what stands out of them.

Two resolutions: *narrow* bands of a few hertz in frames of half a second, which resolve the tones
of a machine, and *fast* ones, a few milliseconds in wide bands, which resolve its impacts.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft, rfft, rfftfreq

Floats = NDArray[np.floating]
Waveform = NDArray[np.float32]

LOWEST_HZ = 10.0
_POWER_FLOOR = 1e-14  # -140 dB re full scale, below the noise of 16 bits in any band

_NARROW_S = 0.512  # frame: bins of 2 Hz
_NARROW_HOPS = 4  # a frame
_NARROW_HZ = 4.0  # band, and above the frequency where this is as much
_NARROW_RATIO = 0.0075  # this part of the frequency
_FAST_S = 0.004
_FAST_HOPS = 4
_FAST_HZ = 500.0  # band, and above the frequency where this is as much
_FAST_RATIO = 0.26  # this part of the frequency: a third of an octave
_MAP_FAST_HOPS = 8  # of the fast frames, joined in a column of the map

# Lines: steps of a bin, and above the frequency where this is as much, of a part of it.
_LINE_STEP = 0.0025
_LINE_AROUND = 41  # steps over whose median a line stands out
# Tones of a machine that runs a little faster or slower today are the same tones.
LINE_TOLERANCE = 0.012
_BAND_OCTAVES = 1 / 6
_MOST_OF_LINE_DB = 3.0  # that a line adds to its band

_RATE_S = 4.096  # segment of the envelope
_RATE_AROUND = 31  # rates over whose median one stands out
RATE_TOLERANCE = 0.012
LOWEST_RATE_HZ = 3.0
_EVENT_S = 0.25
# A stroke: mean level of all bands in a column of the fast map, half as far above its median as the
# median stroke, which is at least as far; no two within so many seconds.
_STROKE_DB = 4.0
_STROKE_APART_S = 0.06
# A cycle: shortest, and of how many a clip has to consist; how alike its repetitions are at least,
# as a correlation; a cycle of which that is the multiple repeats nearly as well.
_SHORTEST_CYCLE_S = 0.15
_LEAST_CYCLES = 2.5
_LEAST_ALIKE = 0.4
_NEARLY_AS_ALIKE = 0.8


@cache
def feature_grid(sample_rate: int) -> "FeatureGrid":
    """Frequencies and bands for a sample rate in Hz."""
    return FeatureGrid(sample_rate)


class FeatureGrid:
    """Frequencies and bands of `ClipFeatures`.

    Attributes:
        narrow_length: samples of a narrow frame.
        narrow_hop: from one to the next.
        narrow_hz: edges of the narrow bands, ``(F + 1,)``.
        fast_length: samples of a fast frame.
        fast_hop: from one to the next.
        fast_hz: edges of the fast bands, ``(B + 1,)``.
        line_hz: frequencies of lines, ``(G,)``.
        band_hz: edges of the sixth-octave bands, ``(K + 1,)``.
        rate_hz: rates of the envelope spectrum, ``(R,)``.

    Args:
        sample_rate: Hz.
    """

    def __init__(self, sample_rate: int) -> None:
        self.sample_rate = sample_rate
        top = sample_rate / 2
        self.narrow_length = 2 * round(_NARROW_S * sample_rate / 2)
        self.narrow_hop = self.narrow_length // _NARROW_HOPS
        self._bins_hz = rfftfreq(self.narrow_length, 1 / sample_rate)
        self._narrow_bins = _edges(self._bins_hz, _NARROW_HZ, _NARROW_RATIO, LOWEST_HZ)
        self.narrow_hz = np.append(self._bins_hz[self._narrow_bins], top)
        self.fast_length = 2 * max(8, round(_FAST_S * sample_rate / 2))
        self.fast_hop = self.fast_length // _FAST_HOPS
        fast_bins_hz = rfftfreq(self.fast_length, 1 / sample_rate)
        self._fast_bins = _edges(fast_bins_hz, _FAST_HZ, _FAST_RATIO, fast_bins_hz[1])
        self.fast_hz = np.append(fast_bins_hz[self._fast_bins], top)
        step = self._bins_hz[1]
        line_hz = [LOWEST_HZ]
        while line_hz[-1] < 0.97 * top:
            line_hz.append(line_hz[-1] + max(step, _LINE_STEP * line_hz[-1]))
        self.line_hz = np.array(line_hz)
        line_step = np.maximum(step, _LINE_STEP * self.line_hz)
        self._line_bins = np.searchsorted(self._bins_hz, self.line_hz - line_step / 2)
        self._line_reach = np.maximum(1, np.round(LINE_TOLERANCE * self.line_hz / line_step))
        octaves = np.log2(0.97 * top / 50) / _BAND_OCTAVES
        self.band_hz = 50 * 2 ** (_BAND_OCTAVES * np.arange(int(octaves) + 1))
        self._line_band = np.searchsorted(self.band_hz, self.line_hz, side="right") - 1
        self.envelope_rate = sample_rate / self.fast_hop
        self._segment = round(_RATE_S * self.envelope_rate)
        rates = rfftfreq(self._segment, 1 / self.envelope_rate)
        self._rates = rates >= LOWEST_RATE_HZ
        self.rate_hz = rates[self._rates]
        reach = np.round(RATE_TOLERANCE * self.rate_hz / rates[1])
        self._rate_reach = np.maximum(1, reach)

    def narrow_power(self, waveform: Waveform) -> Floats:
        """Power of every bin in narrow frames, ``(C, T) -> (C, N, bins)``."""
        return _power(waveform, self.narrow_length, self.narrow_hop)

    def narrow_levels(self, power: Floats) -> Floats:
        """Level in narrow bands, dB, ``(C, N, bins) -> (C, F, N)``."""
        return _band_levels(power, self._narrow_bins)

    def fast_power(self, waveform: Waveform) -> Floats:
        """Power in fast bands and frames, ``(C, T) -> (C, B, M)``."""
        power = _power(waveform, self.fast_length, self.fast_hop)
        return np.ascontiguousarray(_band_means(power, self._fast_bins).swapaxes(1, 2))

    def fast_levels(self, power: Floats) -> Floats:
        """Level in the columns of the fast map, dB, ``(C, B, M) -> (C, B, M / 8)``."""
        whole = power.shape[-1] // _MAP_FAST_HOPS * _MAP_FAST_HOPS
        joined = power[..., :whole].reshape(*power.shape[:-1], -1, _MAP_FAST_HOPS).mean(-1)
        return _decibels(joined)

    @property
    def fast_column_s(self) -> float:
        """Seconds of a column of the fast map."""
        return self.fast_hop * _MAP_FAST_HOPS / self.sample_rate

    def spectrum(self, power: Floats) -> Floats:
        """Mean level at the frequencies of lines, dB, ``(N, bins) -> (G,)``."""
        level = _decibels(power).mean(0)
        return np.maximum.reduceat(level, self._line_bins)

    def lines(self, spectrum: Floats) -> Floats:
        """By how much each frequency stands out of those around it, dB, ``(G,)``."""
        return spectrum - _running_median(spectrum, _LINE_AROUND)

    def widest_line(self, lines: Floats) -> Floats:
        """The largest within the tolerance of each frequency, ``(G,)``."""
        return _dilated(lines, self._line_reach)

    def bands(self, spectrum: Floats) -> Floats:
        """Level between the lines in sixth-octave bands, dB, ``(G,) -> (K,)``."""
        lines = self.lines(spectrum)
        level = spectrum - np.maximum(lines - _MOST_OF_LINE_DB, 0)
        inside = slice(*np.searchsorted(self._line_band, [0, len(self.band_hz) - 1]))
        starts = np.searchsorted(self._line_band[inside], np.arange(len(self.band_hz) - 1))
        counts = np.bincount(self._line_band[inside])
        return np.add.reduceat(level[inside], starts) / counts

    def rates(self, envelope: Floats) -> Floats:
        """By how much each rate of the envelope stands out, dB, ``(B, M) -> (B, R)``.

        Of the amplitude of every band against its mean, which limits what a single bang does.
        """
        length = min(self._segment, envelope.shape[-1])
        starts = np.arange(0, envelope.shape[-1] - length + 1, max(1, length // 2))
        segments = np.lib.stride_tricks.sliding_window_view(np.sqrt(envelope), length, -1)
        segments = segments[:, starts]  # (B, S, length)
        swing = segments / segments.mean(-1, keepdims=True) - 1
        window = np.hanning(length).astype(np.float32)
        spectrum = rfft(swing * window, self._segment, axis=-1)
        # The mean of levels, not of powers: a steady rate is in all segments, knocks at random
        # have another one in each.
        depth = _decibels(np.abs(spectrum) ** 2 / np.sum(window) ** 2).mean(1)[:, self._rates]
        return depth - _running_median(depth, _RATE_AROUND)

    def widest_rate(self, rates: Floats) -> Floats:
        """The largest within the tolerance of each rate, ``(B, R)``."""
        return _dilated(rates, self._rate_reach)


def peaks(envelope: Floats) -> Floats:
    """By how much the loudest thousandth exceeds the median, dB, ``(B, M) -> (B,)``."""
    rank = max(1, round(0.001 * envelope.shape[-1]))
    high = np.partition(envelope, -rank, axis=-1)[:, -rank]
    return _decibels(high) - _decibels(np.median(envelope, -1))


def moments(envelope: Floats, envelope_rate: float) -> Floats:
    """Level of moments of a quarter second, dB, ``(B, M) -> (B, W)``, two a quarter second."""
    half = max(1, round(_EVENT_S * envelope_rate / 2))
    whole = envelope.shape[-1] // half * half
    halves = envelope[:, :whole].reshape(len(envelope), -1, half).mean(-1)
    return _decibels((halves[:, 1:] + halves[:, :-1]) / 2)


def _with_mean(power: Floats) -> Floats:
    """The mean over microphones before them; of one microphone itself."""
    return power if len(power) == 1 else np.concatenate([power.mean(0, keepdims=True), power])


def cycle_length(fast: Floats, column_s: float) -> float:
    """After which time a clip repeats itself, s; 0: it does not.

    The shortest lag at which the mean course of all bands correlates with itself about as well as
    at the best one.

    Args:
        fast: levels in fast bands, dB, ``(B, M)``.
        column_s: seconds of a column.
    """
    course = np.mean(fast - np.mean(fast, 1, keepdims=True), 0)  # (M,)
    # A click falls into one column or two.
    course = np.convolve(course, np.hanning(7) / 4, "same")
    size = len(course)
    shortest, longest = round(_SHORTEST_CYCLE_S / column_s), int(size / _LEAST_CYCLES)
    if longest <= shortest + 1:
        return 0.0
    spectrum = rfft(course, 2 * size)
    products = irfft(spectrum.real**2 + spectrum.imag**2, 2 * size)[:size]
    alike = products / max(float(products[0]), _POWER_FLOOR) * size / np.arange(size, 0, -1)
    inside = alike[shortest:longest]
    peaks = (
        shortest + 1 + np.flatnonzero((inside[1:-1] >= inside[:-2]) & (inside[1:-1] > inside[2:]))
    )
    if len(peaks) == 0 or alike[peaks].max() < _LEAST_ALIKE:
        return 0.0
    at = int(peaks[alike[peaks] > _NEARLY_AS_ALIKE * alike[peaks].max()][0])
    low, middle, high = alike[at - 1 : at + 2]
    return float((at + 0.5 * (low - high) / min(low - 2 * middle + high, -1e-9)) * column_s)


def find_strokes(fast: Floats, column_s: float) -> "Strokes":
    """When a clip is loud for a moment, as a machine that works in strokes is.

    Args:
        fast: levels in fast bands, dB, ``(B, M)``.
        column_s: seconds of a column.
    """
    over = fast - np.median(fast, 1, keepdims=True)
    course = np.mean(over, 0)  # (M,)
    heights = [course[stroke].max() for stroke in _stretches(course, _STROKE_DB, column_s)]
    if not heights:
        return Strokes(np.zeros(0), np.zeros((len(fast), 0)))
    half = max(_STROKE_DB, float(np.median(heights)) / 2)
    found = _stretches(course, half, column_s)
    return Strokes(
        np.array([stroke[0] for stroke in found]) * column_s,
        np.stack([over[:, stroke].max(1) for stroke in found], 1),
    )


def _stretches(course: Floats, least: float, column_s: float) -> list[NDArray[np.int64]]:
    """Positions above a level, in stretches that are so far apart that they are strokes."""
    loud = np.flatnonzero(course > least)
    if len(loud) == 0:
        return []
    return np.split(loud, np.flatnonzero(np.diff(loud) * column_s > _STROKE_APART_S) + 1)


def _edges(bins_hz: Floats, width: float, ratio: float, lowest: float) -> NDArray[np.int64]:
    """First bin of every band; each is as wide as the larger of a width and a ratio."""
    step = bins_hz[1]
    edges = [round(lowest / step)]
    while True:
        edge = max(edges[-1] + 1, round(edges[-1] + max(width, ratio * bins_hz[edges[-1]]) / step))
        if edge >= len(bins_hz) - 1 - (edge - edges[-1]) // 2:
            return np.array(edges)
        edges.append(edge)


def _power(waveform: Waveform, length: int, hop: int) -> Floats:
    """Power of windowed frames, ``(C, T) -> (C, frames, length // 2 + 1)``."""
    if waveform.shape[1] < length:
        waveform = np.pad(waveform, ((0, 0), (0, length - waveform.shape[1])))
    window = np.hanning(length + 1)[:-1].astype(np.float32)
    window *= np.sqrt(2 / (length * np.sum(window**2)))
    frames = np.lib.stride_tricks.sliding_window_view(waveform, length, 1)[:, ::hop]
    spectrum = rfft(frames * window, axis=-1)
    return spectrum.real**2 + spectrum.imag**2


def _band_means(power: Floats, first: NDArray[np.int64]) -> Floats:
    """Mean over the bins of every band, ``(..., bins) -> (..., bands)``."""
    counts = np.diff(np.append(first, power.shape[-1])).astype(np.float32)
    return np.add.reduceat(power, first, axis=-1) / counts


def _band_levels(power: Floats, first: NDArray[np.int64]) -> Floats:
    return np.ascontiguousarray(_decibels(_band_means(power, first)).swapaxes(-1, -2))


def _decibels(power: Floats) -> Floats:
    return np.asarray(10 * np.log10(power + np.float32(_POWER_FLOOR)))


def _running_median(values: Floats, width: int) -> Floats:
    """Median over an odd number of neighbours along the last axis; the ends are mirrored."""
    padded = np.pad(values, [(0, 0)] * (values.ndim - 1) + [(width // 2, width // 2)], "reflect")
    views = np.lib.stride_tricks.sliding_window_view(padded, width, -1)
    return np.partition(views, width // 2, axis=-1)[..., width // 2]


def _dilated(values: Floats, reach: Floats) -> Floats:
    """The largest of as many neighbours on either side as `reach` says of each place."""
    result = values.copy()
    for distance in range(1, int(reach.max()) + 1):
        near = reach[:-distance] >= distance
        ahead = np.where(near, values[..., distance:], -np.inf)
        result[..., :-distance] = np.maximum(result[..., :-distance], ahead)
        near = reach[distance:] >= distance
        behind = np.where(near, values[..., :-distance], -np.inf)
        result[..., distance:] = np.maximum(result[..., distance:], behind)
    return result


@dataclass(frozen=True)
class Strokes:
    """Moments in which a clip is loud.

    Args:
        times: their beginnings, s, ``(S,)``.
        heights: the loudest column of each above the median one, by fast band, dB, ``(B, S)``.
    """

    times: Floats
    heights: Floats

    @property
    def weaker(self) -> Floats:
        """By how much the weaker strokes lie below the strongest tenth, dB, ``(2 B,)``.

        The weakest fifth and the weaker half in each fast band; 0 without strokes.
        """
        if len(self.times) == 0:
            return np.zeros(2 * len(self.heights))
        low, half, high = np.quantile(self.heights, (0.2, 0.5, 0.9), axis=1)
        return np.concatenate([high - low, high - half])


@dataclass(frozen=True)
class ClipFeatures:
    """What is compared of a clip, of the mean power over microphones unless another is named.

    Args:
        spectrum: mean level at the frequencies of lines, dB, ``(G,)``.
        lines: by how much each stands out of those around it, dB, ``(G,)``.
        bands: level between the lines in sixth-octave bands, dB, ``(K,)``.
        rates: by how much each rate of the envelope of a fast band stands out, dB, ``(B, R)``.
        peaks: by how much the loudest thousandth of each fast band exceeds its median, dB,
            ``(B,)``.
        moments: level of moments of a quarter second in each fast band, dB, ``(B, W)``.
        envelope: power of each fast band in every fast frame, ``(B, M)``.
        strokes: when the clip is loud for a moment; see `find_strokes`.
        cycle: after which time the clip repeats itself, s; 0: it does not. See `cycle_length`.
        level: mean of `bands`, dB.
        power: level of the whole clip, dB.
        by_microphone: level of each microphone over that of all, dB, ``(C, K)``.
        narrow: levels in narrow bands, of the mean power and of each microphone, dB,
            ``(1 + C, F, N)``; of one microphone ``(1, F, N)``.
        fast: levels in fast bands, likewise, ``(1 + C, B, M)``.
    """

    spectrum: Floats
    lines: Floats
    bands: Floats
    rates: Floats
    peaks: Floats
    moments: Floats
    envelope: Floats
    strokes: Strokes
    cycle: float
    level: float
    power: float
    by_microphone: Floats
    narrow: Floats
    fast: Floats


def clip_features(waveform: Waveform, sample_rate: int) -> ClipFeatures:
    """Measure a clip.

    Args:
        waveform: ``(C, T)``, at most a window long.
        sample_rate: Hz.
    """
    grid = feature_grid(sample_rate)
    power = grid.narrow_power(waveform)  # (C, N, bins)
    together = power.mean(0)
    spectrum = grid.spectrum(together)
    fast = grid.fast_power(waveform)  # (C, B, M)
    envelope = fast.mean(0)
    levels = grid.fast_levels(_with_mean(fast))
    bands = grid.bands(spectrum)
    if len(waveform) > 1:
        each = np.stack([grid.bands(grid.spectrum(one)) for one in power])
        by_microphone = each - each.mean(0)
    else:
        by_microphone = np.zeros((1, len(bands)))
    return ClipFeatures(
        spectrum=spectrum,
        lines=grid.lines(spectrum),
        bands=bands,
        rates=grid.rates(envelope),
        peaks=peaks(envelope),
        moments=moments(envelope, grid.envelope_rate),
        envelope=envelope,
        strokes=find_strokes(levels[0], grid.fast_column_s),
        cycle=cycle_length(levels[0], grid.fast_column_s),
        level=float(bands.mean()),
        power=float(10 * np.log10(np.mean(waveform**2) + _POWER_FLOOR)),
        by_microphone=by_microphone,
        narrow=grid.narrow_levels(_with_mean(power)),
        fast=levels,
    )
