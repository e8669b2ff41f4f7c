"""The factory hall: microphones around a machine, and the background noise at them."""

from collections.abc import Callable
from functools import partial

import numpy as np
from scipy.fft import irfft, next_fast_len, rfftfreq
from scipy.signal import oaconvolve

from audio_anomaly_detector.synthesis.sounds import (
    Array,
    Clock,
    Spectrum,
    amplitude,
    noise,
    ring,
    strike,
    tones,
    turns,
    wander,
)

SPEED_OF_SOUND = 343.0  # m/s
ARRAY_RADIUS = 0.05  # m: a small circular array, as in MIMII
FIR_SECONDS = 0.032


class Microphones:
    """A circular array whose microphones differ a little in gain and shade one another.

    Args:
        rng: draws the gains.
        channels: number of microphones, C.
        sample_rate: Hz.
    """

    def __init__(self, rng: np.random.Generator, channels: int, sample_rate: int) -> None:
        self.angles = 2 * np.pi * np.arange(channels) / channels  # (C,)
        self.gains = amplitude(rng.normal(0, 0.4, channels))
        self.sample_rate = sample_rate

    def path(self, rng: np.random.Generator, angle: float, reflections: int) -> Array:
        """Impulse responses from a source in direction `angle` (radians), ``(C, taps)``.

        The direct sound and early reflections, each a plane wave from its own direction with
        fractional delays; the body of the array attenuates high frequencies on the far side.
        """
        taps = next_fast_len(int(FIR_SECONDS * self.sample_rate), real=True)
        frequencies = rfftfreq(taps, 1 / self.sample_rate)  # (F,)
        shade = frequencies / (frequencies + 1500)
        directions = np.append(angle, rng.uniform(0, 2 * np.pi, reflections))
        delays = np.append(0.0, rng.uniform(0.001, 0.6 * FIR_SECONDS, reflections)) + 0.002
        levels = np.append(0.0, rng.uniform(-16, -6, reflections) - 200 * delays[1:])
        response = np.zeros((len(self.angles), len(frequencies)), complex)
        for direction, delay, level in zip(directions, delays, levels, strict=True):
            facing = np.cos(self.angles - direction)[:, None]  # (C, 1)
            arrival = delay - facing * ARRAY_RADIUS / SPEED_OF_SOUND
            wave = np.exp(-2j * np.pi * frequencies * arrival)  # (C, F)
            response += amplitude(level + 2.5 * facing * shade) * wave
        return irfft(response * self.gains[:, None], taps)

    @staticmethod
    def record(sources: Array, paths: list[Array]) -> Array:
        """Sum of ``(sources, T)``, each through its own path ``(C, taps)``: ``(C, T)``."""
        samples = sources.shape[1]
        recorded = [
            oaconvolve(source[None], path, axes=1)[:, :samples]
            for source, path in zip(sources, paths, strict=True)
        ]
        return np.asarray(np.sum(recorded, axis=0))


class Hall:
    """A factory hall: its ventilation and distant machines, their hums, and what happens there.

    Every clip holds another mixture, normal and abnormal clips alike, so that neither a bang nor
    a hiss nor a new tone is a sign of a fault by itself.

    Args:
        rng: draws the sources in the hall.
        microphones: the array that records it.
    """

    def __init__(self, rng: np.random.Generator, microphones: Microphones) -> None:
        self.microphones = microphones
        self.areas = [
            Spectrum(
                rng.uniform(-6, -2.5),
                tuple(np.exp(rng.uniform(np.log(80), np.log(6500), 4))),
                tuple(rng.uniform(0, 9, 4)),
                width=0.15,
            )
            for _ in range(5)
        ]
        self.hums_hz = np.exp(rng.uniform(np.log(90), np.log(2500), 8))
        self.places = [
            microphones.path(rng, angle, reflections=12) for angle in rng.uniform(0, 2 * np.pi, 3)
        ]

    def noise(self, rng: np.random.Generator, clock: Clock) -> Array:
        """One clip of the hall at every microphone, ``(C, T)``, mean square one over all."""
        ambience = self._diffuse(rng, clock)
        distant = np.zeros((len(self.places), clock.samples))
        for hz in self.hums_hz[rng.random(len(self.hums_hz)) < 0.5]:
            cycles = turns(hz * (1 + 0.002 * wander(rng, clock, 0.5)), clock, rng.random())
            levels = rng.uniform(-28, -12) + np.array([0.0, -6.0, -9.0])
            place = rng.integers(len(self.places))
            distant[place] += tones(cycles, (1, 2, 3), levels, rng.random(3))
        for _ in range(rng.poisson(0.06 * clock.seconds)):
            event = EVENTS[rng.integers(len(EVENTS))](rng, clock)
            distant[rng.integers(len(self.places))] += amplitude(rng.normal(-2, 4)) * event
        recorded = ambience + self.microphones.record(distant, self.places)
        return recorded / np.sqrt(np.mean(recorded**2))

    def _diffuse(self, rng: np.random.Generator, clock: Clock) -> Array:
        """Diffuse noise ``(C, T)``: coherent between microphones where waves are long."""
        length = next_fast_len(clock.samples, real=True)
        frequencies = rfftfreq(length, 1 / clock.sample_rate)
        weights = amplitude(rng.normal(0, 2, len(self.areas)))
        power = sum(
            weight**2 * area.gain(frequencies) ** 2
            for weight, area in zip(weights, self.areas, strict=True)
        )
        gain = np.sqrt(power)
        # Coherence of a diffuse field between points one radius apart, without its ripples.
        coherent = np.exp(-0.5 * (2 * np.pi * frequencies * ARRAY_RADIUS / SPEED_OF_SOUND) ** 2 / 3)
        shared = rng.standard_normal((2, len(frequencies)))
        channels = []
        for microphone_gain in self.microphones.gains:
            own = rng.standard_normal((2, len(frequencies)))
            real, imaginary = np.sqrt(coherent) * shared + np.sqrt(1 - coherent) * own
            spectrum = microphone_gain * gain * (real + 1j * imaginary)
            channels.append(irfft(spectrum, length)[: clock.samples])
        field = np.stack(channels)
        field /= np.sqrt(np.mean(field**2))
        return field * amplitude(1.5 * wander(rng, clock, 0.5))


def _burst(rng: np.random.Generator, clock: Clock, seconds: float) -> Array:
    """Smooth envelope of that length in s somewhere in the clip, peak one, ``(T,)``."""
    squares = ((clock.times - rng.uniform(0, clock.seconds)) / (seconds / 4)) ** 2
    return np.exp(-0.5 * squares * squares)


def _bang(rng: np.random.Generator, clock: Clock, low_hz: float, high_hz: float) -> Array:
    """Something that is dropped far away, ``(T,)``."""
    modes = np.sort(np.exp(rng.uniform(np.log(low_hz), np.log(high_hz), 5)))
    kernel = ring(clock, tuple(modes), rng.uniform(10, 40) / modes[0])
    kernel /= np.max(np.abs(kernel)) / 3
    return strike(clock, rng.uniform(0, clock.seconds, 1), np.ones(1), kernel)


def _air(rng: np.random.Generator, clock: Clock) -> Array:
    """Compressed air that is blown off, ``(T,)``."""
    low = rng.uniform(1000, 4000)
    band = noise(rng, clock, Spectrum(0.0, low_hz=low, high_hz=2 * low))
    return 0.5 * band * _burst(rng, clock, rng.uniform(0.2, 1.5))


def _voice(rng: np.random.Generator, clock: Clock) -> Array:
    """A word or two across the hall: a gliding pitch under two formants, ``(T,)``."""
    pitch = rng.uniform(90, 230) * (1 + 0.1 * wander(rng, clock, 2.0))
    formants = np.array([rng.uniform(300, 900), rng.uniform(900, 2400)])
    orders = np.arange(1, 15)
    distance = np.abs(np.log2(orders * np.mean(pitch) / formants[:, None]))  # (2, orders)
    levels = -9 - 20 * np.minimum(distance.min(axis=0), 1.5)
    sung = tones(turns(pitch, clock, 0.0), orders, levels, rng.random(len(orders)))
    syllables = np.maximum(1 + wander(rng, clock, 4.0), 0)
    return sung * syllables * _burst(rng, clock, rng.uniform(0.3, 1.5))


EVENTS: tuple[Callable[[np.random.Generator, Clock], Array], ...] = (
    partial(_bang, low_hz=150, high_hz=1500),
    partial(_bang, low_hz=1200, high_hz=6000),
    _air,
    _voice,
)
