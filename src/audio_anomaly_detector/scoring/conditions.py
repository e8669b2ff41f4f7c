"""How a clip was recorded, against the normal clips: a second statement beside the anomaly score.

A clip may be unlike the normal ones because the machine is, or because it was recorded otherwise:
another gain or microphone, a codec, a louder hall, speech over it, the machine at another speed.
These leave marks that faults do not, in the *floor* of the spectrum above all: its level between
the lines and between the events, which a median over time and over neighbouring frequencies gives.

All constants were set on eight synthetic machines with faults of the generator's tuning kind. The
command `aad decisions` measures what comes of it on others.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from fractions import Fraction
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit

from audio_anomaly_detector.scoring.recording_spectra import (
    LINE_STEP,
    LOWEST_HZ,
    Floats,
    RecordingSpectra,
    Waveform,
    recording_spectra,
)
from audio_anomaly_detector.scoring.speech_and_music import Heard, heard_over

# Fewer normal clips do not show how recordings vary.
LEAST_CLIPS = 4
# Of so many normal clips: more would say little more.
MOST_CLIPS = 256

# Half of each band's variance is the median band's, as a few clips show it by chance; and no
# spread falls below what another position of the same recorder makes, dB.
_SHRINKAGE = 0.5
_LEAST_SPREAD_DB = 0.25
_LEAST_LOG_SPREAD = 0.1
# Share of normal clips whose floor may be called unlike the others'.
_UNLIKE_BELOW = 0.05
# Of a floor that is always the same a fault may lift a little, too.
_LEAST_OFFSET_DB = 1.0

# A codec or a lower sample rate leaves nothing above its limit; a fault leaves the hall's noise.
# Beside the end of the spectrum, where the floor of normal clips falls too, less is missing: of 80
# real clips that were sent over a telephone 10 lacked 11 to 20 dB in the highest band alone.
_MISSING_DB = 20.0
_KEPT_DB = 10.0
# Below the loudest band a floor is that of the recorder.
_AUDIBLE_DB = 70.0

_LEAST_NAMED_DB = 0.5

_AROUND = 81  # frequencies
_LOUD_SHARE = 0.05  # of the frames that are the loud moments of a frequency
_LOUD_BINS = 48  # at most, where loud moments exceed the floor most,
_STANDS_OUT_DB = 3.0  # and by so much more than elsewhere
_LEAST_LOUD_BINS = 4

_MOST_SPEED = 0.045  # change of speed that is looked for
_LEAST_SPEED = 0.004  # beyond the speeds of normal clips
# Correlation of a clip's lines with those of the normal clips, at another speed: a little less than
# that of normal clips, and by so much more than at the same speed.
_LINE_SHARE = 0.6
_LINE_GAIN = 0.25

_LARGEST_RATIO = 400  # of whole numbers by which a clip is slowed down
_SPLIT = 0.91  # of half the sample rate; above it the spectrum is not slowed down
_SPLIT_TAPS = 513


@dataclass(frozen=True)
class Recorded:
    """How a clip was recorded, against the normal clips.

    Args:
        p_value: share of normal clips whose floor is expected to lie as far from the others'.
        gain: level of the floor over that of the normal clips, dB.
        tilt: of the floor, dB from the middle of the spectrum (in octaves) to its upper end.
        offset: median distance of its bands from the normal floor, dB.
        missing_above: Hz above which nothing is left of what normal clips have; None: all is there.
    """

    p_value: float
    gain: float
    tilt: float
    offset: float
    missing_above: float | None


class AsNormal(NamedTuple):
    """A clip as it would be, had it been recorded like the normal clips.

    Attributes:
        compensated: with their gain and tilt, ``(C, T)``.
        speed: of the machine against normal clips, if it is another one.
        at_speed: with their speed, too, ``(C, T')``; None: it is the same.
    """

    compensated: Waveform
    speed: float | None
    at_speed: Waveform | None

    @property
    def waveforms(self) -> list[Waveform]:
        """Of both changes, as far as they are made."""
        return [self.compensated] if self.at_speed is None else [self.compensated, self.at_speed]


@dataclass(frozen=True)
class Conditions:
    """What the recordings of the normal clips were like, mean over microphones.

    Args:
        sample_rate: Hz.
        floor: median level of each fine band, dB, ``(B,)``.
        lowest: the lowest of the normal clips, dB, ``(B,)``.
        bands: median floor of each band in which it is compared, dB, ``(K,)``.
        spread: how far normal clips lie from it, dB, ``(K,)``.
        deviation: mean and standard deviation of the logarithm of how far each normal clip lies
            from the others, ``(2,)``.
        transfer: standard deviation of gain and tilt of normal clips against the others, dB,
            ``(2,)``.
        groups: how many independent groups of normal clips there are.
        loud_bins: numbers of the frequencies that stand out most in loud moments, ``(P,)``; empty
            for a machine that is no louder than the hall anywhere.
        loud: level of loud moments there, dB, ``(P,)``.
        lines: levels over those nearby on a logarithmic axis of frequency, dB, ``(G,)``.
        line_match: correlation of normal clips' lines with the mean of the others'.
        speed_range: the lowest and the highest speed of a normal clip against the others.
        power: mean power of each frequency, ``(F,)``.

    Raises:
        ValueError: parts of other lengths, or numbers that are not finite.
    """

    sample_rate: int
    floor: Floats
    lowest: Floats
    bands: Floats
    spread: Floats
    deviation: Floats
    transfer: Floats
    groups: int
    loud_bins: NDArray[np.int64]
    loud: Floats
    lines: Floats
    line_match: float
    speed_range: Floats
    power: Floats

    def __post_init__(self) -> None:
        spectra = recording_spectra(self.sample_rate)
        wanted = {
            "floor": len(spectra.fine),
            "lowest": len(spectra.fine),
            "bands": len(spectra.band_of),
            "spread": len(spectra.band_of),
            "deviation": 2,
            "transfer": 2,
            "loud_bins": len(self.loud),
            "loud": len(self.loud_bins),
            "lines": len(spectra.line_hz),
            "speed_range": 2,
            "power": spectra.voice_bins,
        }
        for name, length in wanted.items():
            part = getattr(self, name)
            if part.shape != (length,) or not np.isfinite(part).all():
                raise ValueError(f"the conditions of the recordings have no sound {name}")
        above_0 = (self.spread, self.transfer, self.deviation[1:], self.power)
        if not all((part > 0).all() for part in above_0):
            raise ValueError("the conditions of the recordings have a spread that is not above 0")
        if not math.isfinite(self.line_match) or self.groups < 2:
            raise ValueError("the conditions of the recordings are of no normal clips")
        if not set(self.loud_bins.tolist()) <= set(range(len(spectra.hertz))):
            raise ValueError("the conditions of the recordings have other frequencies")

    @classmethod
    def fit(
        cls, clips: Iterable[Waveform], groups: Sequence[int], sample_rate: int
    ) -> "Conditions | None":
        """Learn how normal clips are recorded; None: fewer than `LEAST_CLIPS`, or of one group.

        Args:
            clips: waveforms ``(C, T)``.
            groups: which of them vary together.
            sample_rate: Hz.
        """
        from scipy.ndimage import median_filter  # noqa: PLC0415  see `_signal`

        of_clip = np.unique(groups, return_inverse=True)[1]
        n_groups = int(of_clip.max()) + 1
        if len(of_clip) < LEAST_CLIPS or n_groups < 2:
            return None
        spectra = recording_spectra(sample_rate)
        floors, levels, louds, lines, powers = [], [], [], [], []
        for clip in clips:
            level = spectra.levels(clip)
            floor = spectra.floor(level)
            floors.append(floor)
            levels.append(np.median(level, 1))
            louds.append(_loud_moments(level))
            lines.append(spectra.lines(clip))
            powers.append(spectra.voice_power(clip).mean(1))
        bands = np.stack([spectra.bands(floor) for floor in floors])  # (n, K)
        heard = np.stack(lines)  # (n, G)
        loud = np.median(louds, 0)
        # Over the floor around each frequency, which lines do not reach.
        around = median_filter(np.median(levels, 0), size=_AROUND, mode="nearest")
        over = np.where(spectra.hertz > LOWEST_HZ, loud - around, -np.inf)
        first = np.argsort(-over, kind="stable")[:_LOUD_BINS]
        least = np.median(over[spectra.hertz > LOWEST_HZ]) + _STANDS_OUT_DB
        stand_out = np.sort(first[over[first] > least])
        distances, transfers, matches, speeds = [], [], [], [1.0]
        for group in range(n_groups):
            own = of_clip == group
            centre, spread = np.median(bands[~own], 0), _spread(bands[~own])
            place = spectra.band_place
            transfers += [_transfer(clip - centre, spread, place) for clip in bands[own]]
            of_others = heard[~own].mean(0)
            distances += [math.log(_distance(clip, centre, spread)) for clip in bands[own]]
            matches += [_correlation(clip, of_others) for clip in heard[own]]
            speeds += [_speed(clip, of_others).speed for clip in heard[own]]
        deviation = [np.mean(distances), max(np.std(distances, ddof=1), _LEAST_LOG_SPREAD)]
        parts = {
            "floor": np.median(floors, 0),
            "lowest": np.min(floors, 0),
            "bands": np.median(bands, 0),
            "spread": _spread(bands),
            "deviation": np.array(deviation),
            "transfer": np.maximum(np.std(transfers, axis=0, ddof=1), _LEAST_SPREAD_DB),
            "loud": loud[stand_out],
            "lines": heard.mean(0),
            "speed_range": np.array([min(speeds), max(speeds)]),
            "power": np.mean(powers, 0),
        }
        return cls(
            sample_rate=sample_rate,
            groups=n_groups,
            loud_bins=stand_out.astype(np.int64),
            line_match=float(np.median(matches)),
            **{name: part.astype(np.float64) for name, part in parts.items()},
        )

    def to_plain(self) -> dict[str, int | float | list[float]]:
        """Plain numbers and lists."""
        return {
            name: part.tolist() if isinstance(part, np.ndarray) else part
            for name, part in vars(self).items()
        }

    @classmethod
    def from_plain(cls, content: dict[str, int | float | list[float]]) -> "Conditions":
        """What `to_plain` gave; raises `ValueError` for anything else."""
        if content.keys() != {field.name for field in fields(cls)}:
            raise ValueError("the conditions of the recordings have other parts")
        parts: dict[str, Any] = {
            name: np.array(part) if isinstance(part, list) else part
            for name, part in content.items()
        }
        parts["loud_bins"] = parts["loud_bins"].astype(np.int64)
        return cls(**parts)

    def compare(self, waveform: Waveform) -> Recorded:
        """How a clip ``(C, T)`` was recorded."""
        spectra = recording_spectra(self.sample_rate)
        floor = spectra.floor(spectra.levels(waveform))
        bands = spectra.bands(floor)
        gain, tilt = _transfer(bands - self.bands, self.spread, spectra.band_place)
        mean, deviation = self.deviation
        distance = math.log(_distance(bands, self.bands, self.spread))
        standard = (distance - mean) / (deviation * math.sqrt(1 + 1 / self.groups))
        # Student's t: the deviation is known from so many groups.
        p_value = float(stdtr(self.groups - 1, -standard))
        offset = float(np.median(np.abs(bands - self.bands)))
        return Recorded(
            p_value, gain, tilt, offset, self._missing_above(floor, gain, tilt, spectra)
        )

    def as_normal(self, waveform: Waveform, recorded: Recorded) -> AsNormal:
        """A clip ``(C, T)`` as it would be, had it been recorded like the normal clips."""
        spectra = recording_spectra(self.sample_rate)
        compensated = self._compensated(waveform, recorded, spectra)
        speed = self._speed(compensated, spectra)
        slowed = None if speed is None else _slowed(compensated, speed)
        return AsNormal(compensated, speed, slowed)

    def even_gain(self, waveform: Waveform) -> float | None:
        """By how much everything is louder than in the normal clips, dB, ``(C, T)``.

        Returns:
            None: the clip differs in another way, such as by a louder hall.
        """
        recorded = self.compare(waveform)
        scaled = waveform * np.float32(10 ** (-recorded.gain / 20))
        if self.compare(scaled).p_value < _UNLIKE_BELOW:
            return None
        spectra = recording_spectra(self.sample_rate)
        if abs(recorded.gain) >= _LEAST_OFFSET_DB and self._machine_is_as_loud(
            waveform, recorded, spectra
        ):
            return None
        return recorded.gain

    def heard(self, waveform: Waveform, recorded: Recorded) -> Heard | None:
        """What is heard over the machine in a clip ``(C, T)``."""
        spectra = recording_spectra(self.sample_rate)
        compensated = self._compensated(waveform, recorded, spectra)
        return heard_over(spectra.voice_power(compensated), self.power, spectra)

    def difference(
        self,
        waveform: Waveform,
        recorded: Recorded,
        as_normal: AsNormal,
        compensation_explains: bool,
        speed_explains: bool,
        background_explains: bool,
    ) -> str | None:
        """What of the recording can explain a high score; None: nothing that is known.

        Args:
            waveform: of the clip, ``(C, T)``.
            recorded: how it was recorded.
            as_normal: the clip as if it were recorded like the normal ones.
            compensation_explains: whether it is normal without the difference of gain and tilt.
            speed_explains: whether much of its height is gone at the normal speed.
            background_explains: whether its height is no more than a background makes.

        Returns:
            One sentence.
        """
        spectra = recording_spectra(self.sample_rate)
        if recorded.missing_above is not None:
            return missing_words(recorded.missing_above)
        heard = heard_over(spectra.voice_power(as_normal.compensated), self.power, spectra)
        if heard is not None:
            return heard_words(heard)
        transferred = self.transferred(recorded)
        if compensation_explains and transferred is not None:
            return f"it is recorded {transferred}, and normal otherwise"
        speed = as_normal.speed
        if speed is not None and speed_explains:
            return (
                f"its tones lie {abs(speed - 1):.1%} {'higher' if speed > 1 else 'lower'} than in "
                "normal clips: the machine runs at another speed"
            )
        moved = recorded.p_value < _UNLIKE_BELOW and recorded.offset >= _LEAST_OFFSET_DB
        if background_explains and moved and self._machine_is_as_loud(waveform, recorded, spectra):
            louder = "louder" if recorded.gain > 0 else "quieter"
            return (
                f"its background is unlike that of normal clips (about {abs(recorded.gain):.0f} dB "
                f"{louder}), while the machine's own sound is as loud"
            )
        return None

    def _compensated(
        self, waveform: Waveform, recorded: Recorded, spectra: RecordingSpectra
    ) -> Waveform:
        """A clip with the gain and tilt of the normal ones."""
        hertz = np.concatenate([[0.0], np.geomspace(LOWEST_HZ, self.sample_rate / 2, 64)])
        gains = -(recorded.gain + recorded.tilt * spectra.place(hertz))
        taps = 2 * (spectra.length // 4) + 1  # odd: linear phase, a whole delay
        return _filtered(
            waveform, _signal().firwin2(taps, hertz, 10 ** (gains / 20), fs=self.sample_rate)
        )

    def transferred(self, recorded: Recorded) -> str | None:
        """How gain and tilt differ, such as `6.1 dB quieter than normal clips`.

        None: a normal clip may have them, at the same rate as `_UNLIKE_BELOW`.
        """
        beyond = stdtrit(self.groups - 1, 1 - _UNLIKE_BELOW / 4)  # two numbers, on two sides
        limits = beyond * math.sqrt(1 + 1 / self.groups) * self.transfer
        differs = np.abs([recorded.gain, recorded.tilt]) > limits
        return _transfer_words(recorded) if differs.any() else None

    def _missing_above(
        self, floor: Floats, gain: float, tilt: float, spectra: RecordingSpectra
    ) -> float | None:
        """Hz above which the floor falls far below that of every normal clip."""
        audible = self.floor > self.floor.max() - _AUDIBLE_DB
        brought = floor - gain - tilt * spectra.place(spectra.fine_hz)
        missing = audible & (brought < self.lowest - _MISSING_DB)
        if not missing.any():
            return None
        # A gap below the upper end is no limit of a codec.
        kept = np.flatnonzero(audible & (brought >= self.lowest - _KEPT_DB))
        first = 0 if len(kept) == 0 else int(kept[-1]) + 1
        if not missing[first:].any():
            return None
        return float(spectra.fine_hz[first + int(missing[first:].argmax())])

    def _machine_is_as_loud(
        self, waveform: Waveform, recorded: Recorded, spectra: RecordingSpectra
    ) -> bool:
        """Whether what stands out of the floor kept its level, rather than moved with the floor."""
        if len(self.loud_bins) < _LEAST_LOUD_BINS:
            return False
        offset = _loud_moments(spectra.levels(waveform))[self.loud_bins] - self.loud
        moved = recorded.gain + recorded.tilt * spectra.place(spectra.hertz[self.loud_bins])
        return bool(np.median(np.abs(offset)) < np.median(np.abs(offset - moved)))

    def _speed(self, waveform: Waveform, spectra: RecordingSpectra) -> float | None:
        """Speed against that of the normal clips, if it is another one."""
        if waveform.shape[1] < 2 * spectra.line_length:
            return None
        found = _speed(spectra.lines(waveform), self.lines)
        lowest, highest = self.speed_range
        inside = lowest - _LEAST_SPEED < found.speed < highest + _LEAST_SPEED
        return None if inside or found.match < _LINE_SHARE * self.line_match else found.speed


def nearest_conditions(
    conditions: Sequence[Conditions], waveform: Waveform
) -> tuple[Conditions, Recorded]:
    """Those of several conditions that a clip is recorded most like, and how it differs."""
    found = [(of, of.compare(waveform)) for of in conditions]
    return max(found, key=lambda pair: pair[1].p_value)


def _transfer(offset: Floats, spread: Floats, place: Floats) -> tuple[float, float]:
    """Gain and tilt of a floor over the normal one, dB, by least absolute deviations.

    Args:
        offset: of each band, dB, ``(K,)``.
        spread: how far normal clips lie from the normal floor, dB, ``(K,)``.
        place: of each band, see `RecordingSpectra.place`, ``(K,)``.
    """
    design = np.stack([np.ones_like(place), place], 1)  # (K, 2)
    transfer: Floats = np.zeros(2)
    for _ in range(20):
        residual = np.abs(offset - design @ transfer) / spread
        weight = 1 / (spread**2 * np.maximum(residual, 0.5))
        transfer = np.linalg.solve((design.T * weight) @ design, (design.T * weight) @ offset)
    return float(transfer[0]), float(transfer[1])


def _loud_moments(levels: Floats) -> Floats:
    """Mean level of the loudest frames of each frequency, dB, ``(F, N) -> (F,)``."""
    count = max(1, round(_LOUD_SHARE * levels.shape[1]))
    loudest = np.partition(levels, -count, axis=1)[:, -count:]
    return np.asarray(10 * np.log10(np.mean(10 ** (loudest / 10), axis=1)))


def _spread(bands: Floats) -> Floats:
    """Standard deviation of each band over clips, ``(n, K) -> (K,)``."""
    variance = bands.var(axis=0, ddof=1) if len(bands) > 1 else np.zeros(bands.shape[1])
    shrunk = (1 - _SHRINKAGE) * variance + _SHRINKAGE * np.median(variance)
    return np.asarray(np.sqrt(np.maximum(shrunk, _LEAST_SPREAD_DB**2)))


def _distance(bands: Floats, centre: Floats, spread: Floats) -> float:
    """Mean absolute distance of a clip's floor, in units of the spread; above 0."""
    return max(float(np.mean(np.abs(bands - centre) / spread)), 1e-3)


def _signal() -> Any:
    """Imported for anomalous clips alone: it takes a second, ten times as long as all the rest."""
    return import_module("scipy.signal")


def _filtered(waveform: Waveform, kernel: Floats) -> Waveform:
    """Through a kernel of odd length without delay; beyond its ends a clip is mirrored."""
    reach = min(len(kernel) // 2, waveform.shape[1] - 1)
    padded = np.pad(waveform, ((0, 0), (reach, reach)), mode="reflect")
    filtered = _signal().oaconvolve(padded, kernel.astype(np.float32)[None], mode="same", axes=1)
    return np.ascontiguousarray(filtered[:, reach : reach + waveform.shape[1]])


def _slowed(waveform: Waveform, speed: float) -> Waveform:
    """A clip at one over a speed, cut to its length; the upper end of the spectrum stays.

    There the hall is what is heard, and slowing it down would leave nothing.
    """
    ratio = Fraction(speed).limit_denominator(_LARGEST_RATIO)
    high = _signal().firwin(_SPLIT_TAPS, _SPLIT, pass_zero=False)
    slow = _signal().resample_poly(waveform, ratio.numerator, ratio.denominator, axis=1)
    length = min(slow.shape[1], waveform.shape[1])
    slow = slow[:, :length].astype(np.float32)
    return slow - _filtered(slow, high) + _filtered(waveform, high)[:, :length]


class _Speed(NamedTuple):
    """Speed of a clip against other clips, and how well its lines match theirs then."""

    speed: float
    match: float


def _speed(lines: Floats, others: Floats) -> _Speed:
    """The speed at which lines match, 1 unless it brings them together far better, ``(G,)``."""
    reach = int(_MOST_SPEED / LINE_STEP)
    inner = others[reach:-reach]
    matches = [
        _correlation(lines[reach + shift : len(lines) - reach + shift], inner)
        for shift in range(-reach, reach + 1)
    ]
    best = int(np.argmax(matches))
    if matches[best] - matches[reach] < _LINE_GAIN:
        best = reach
    return _Speed(math.exp((best - reach) * LINE_STEP), matches[best])


def _correlation(one: Floats, other: Floats) -> float:
    """Of two vectors; 0 where one of them is constant."""
    one, other = one - one.mean(), other - other.mean()
    return float(one @ other / max(math.sqrt((one @ one) * (other @ other)), 1e-12))


def missing_words(hertz: float) -> str:
    """That nothing is left above a frequency in Hz."""
    return (
        f"nothing is left of it above {_hertz(hertz)}, where normal clips "
        "have sound: was it coded, or recorded at a lower rate?"
    )


def heard_words(heard: Heard) -> str:
    """That something is heard over the machine."""
    return f"{heard} is heard over it"


def _transfer_words(recorded: Recorded) -> str:
    """How the transfer differs, such as `6.1 dB quieter`."""
    words = []
    if abs(recorded.gain) >= _LEAST_NAMED_DB or abs(recorded.tilt) < _LEAST_NAMED_DB:
        words.append(f"{abs(recorded.gain):.1f} dB {'louder' if recorded.gain > 0 else 'quieter'}")
    if abs(recorded.tilt) >= _LEAST_NAMED_DB:
        kind = "brighter" if recorded.tilt > 0 else "duller"
        words.append(f"{abs(recorded.tilt):.1f} dB {kind}")
    return f"{' and '.join(words)} than normal clips"


def _hertz(value: float) -> str:
    return f"{value / 1000:.1f} kHz" if value >= 1000 else f"{value:.0f} Hz"
