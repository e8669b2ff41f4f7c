"""Building blocks of synthetic machine noise: wandering speeds, tones, coloured noise, impacts.

Every part has unit RMS over the clip, so that a machine is a list of parts and levels.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft, next_fast_len, rfftfreq
from scipy.signal import oaconvolve

Array = NDArray[np.floating[Any]]

HIGHEST = 0.45  # of the sample rate: nothing is synthesised above, so nothing folds back


class Clock(NamedTuple):
    """The time grid of one clip."""

    samples: int
    sample_rate: int

    @property
    def seconds(self) -> float:
        """Length of the clip in s."""
        return self.samples / self.sample_rate

    @property
    def times(self) -> Array:
        """Time of each sample in s, ``(T,)``."""
        return np.arange(self.samples) / self.sample_rate


class Spectrum(NamedTuple):
    """A smooth power spectrum: a slope, bumps (resonances), and the band it is confined to.

    Args:
        slope: dB per octave.
        peaks_hz, peaks_db: centre and height of each bump.
        width: standard deviation of the bumps in octaves.
        low_hz, high_hz: band edges, 18 dB per octave outside.
    """

    slope: float
    peaks_hz: tuple[float, ...] = ()
    peaks_db: tuple[float, ...] = ()
    width: float = 0.2
    low_hz: float = 30.0
    high_hz: float = 20_000.0

    def gain(self, frequencies: Array) -> Array:
        """Amplitude gain at `frequencies` (Hz, rising), same shape; 0 at 0 Hz."""
        # The curve is smooth: 500 points of it are enough, and much faster than every bin.
        points = np.geomspace(5.0, frequencies[-1], 500)
        octaves = np.log2(points / 1000)
        level = self.slope * octaves
        for hz, height in zip(self.peaks_hz, self.peaks_db, strict=True):
            level += height * np.exp(-0.5 * ((octaves - np.log2(hz / 1000)) / self.width) ** 2)
        below = np.maximum(np.log2(self.low_hz / 1000) - octaves, 0)
        above = np.maximum(octaves - np.log2(self.high_hz / 1000), 0)
        curve = amplitude(level - 18 * (below + above))
        return np.interp(frequencies, np.append(0.0, points), np.append(0.0, curve))


def amplitude(level: float | Array) -> Array:
    """Amplitude factor of a level in dB."""
    return np.asarray(10.0 ** (np.asarray(level) / 20))


def unit_rms(part: Array) -> Array:
    """`part` scaled to an RMS of one over all its samples; silence stays silence."""
    rms = np.sqrt(np.mean(part**2))
    return part / rms if rms > 0 else part


def between(low: float, high: float, at: float) -> float:
    """Value at the fraction `at` of the way from low to high, on a logarithmic scale."""
    return float(low * (high / low) ** at)


def wander(rng: np.random.Generator, clock: Clock, corner_hz: float) -> Array:
    """Slow random signal of about unit variance with its cut-off at `corner_hz`, ``(T,)``."""
    knots = rng.standard_normal(int(clock.seconds * 2 * corner_hz) + 3)
    return np.interp(clock.times * 2 * corner_hz, np.arange(len(knots)), knots) * np.sqrt(1.5)


def turns(speed_hz: Array, clock: Clock, start: float) -> Array:
    """Revolutions of a shaft by each sample, ``(T,)``, at speeds `speed_hz` ``(T,)``."""
    return start + np.cumsum(speed_hz) / clock.sample_rate


def tones(revolutions: Array, orders: Iterable[float], levels: Array, offsets: Array) -> Array:
    """Sum of sines at multiples of a shaft's speed, ``(T,)``, each RMS its level in dB.

    Orders that would pass the highest frequency at the highest speed are left out.
    """
    fastest = np.max(np.diff(revolutions))
    total = np.zeros_like(revolutions)
    for order, level, offset in zip(orders, levels, offsets, strict=True):
        if order * fastest < HIGHEST:
            phase = order * revolutions + offset
            # With the whole turns taken off single precision does: many times faster.
            phase -= np.floor(phase)
            total += np.sqrt(2) * amplitude(level) * np.sin(2 * np.pi * phase.astype(np.float32))
    return total


def noise(rng: np.random.Generator, clock: Clock, spectrum: Spectrum) -> Array:
    """Gaussian noise of that spectrum, ``(T,)``, unit RMS."""
    length = next_fast_len(clock.samples, real=True)
    frequencies = rfftfreq(length, 1 / clock.sample_rate)
    bins = rng.standard_normal((2, len(frequencies)))
    coloured = (bins[0] + 1j * bins[1]) * spectrum.gain(frequencies)
    return unit_rms(irfft(coloured, length)[: clock.samples])


def ring(clock: Clock, modes_hz: Sequence[float], decay: float) -> Array:
    """Sound of one knock: damped modes of unit energy, the higher ones decaying sooner.

    Args:
        clock: for the sample rate.
        modes_hz: frequencies of the struck part.
        decay: seconds until the lowest mode has fallen to 1/e.

    Returns:
        ``(taps,)``, about six decay times long.
    """
    times = np.arange(int(6 * decay * clock.sample_rate) + 2) / clock.sample_rate
    kernel = np.zeros_like(times)
    for mode in modes_hz:
        hz = min(mode, HIGHEST * clock.sample_rate)
        damping = (hz / modes_hz[0]) ** 0.5 / decay
        kernel += np.sin(2 * np.pi * hz * times) * np.exp(-times * damping)
    return kernel / np.sqrt(np.sum(kernel**2))


def strike(clock: Clock, times: Array, strengths: Array, kernel: Array) -> Array:
    """Knocks of the given strengths at the given times (s), ``(T,)``."""
    places = times * clock.sample_rate
    whole = np.floor(places).astype(int)
    part = places - whole
    inside = (whole >= 0) & (whole < clock.samples - 1)
    train = np.zeros(clock.samples)
    # A knock falls between two samples: shared among them, so that rates are not rounded.
    np.add.at(train, whole[inside], (strengths * (1 - part))[inside])
    np.add.at(train, whole[inside] + 1, (strengths * part)[inside])
    return np.asarray(oaconvolve(train, kernel)[: clock.samples])


def swing(revolutions: Array, order: float, depth: float) -> Array:
    """Amplitude modulation of that depth at `order` times the shaft's speed, ``(T,)``."""
    return 1 + depth * np.sin(2 * np.pi * order * revolutions)


def passings(revolutions: Array, clock: Clock, order: float) -> Array:
    """Times (s) at which `order` times the revolutions pass a whole number, ``(n,)``."""
    count = revolutions * order
    whole = np.arange(np.ceil(count[0]), np.floor(count[-1]) + 1)
    return np.interp(whole, count, clock.times)
