"""Sounds over a healthy machine that are no fault of it: talk, rain, a lorry, another gain."""

from collections.abc import Callable

import numpy as np

from audio_anomaly_detector.benchmark.conditions import speech
from audio_anomaly_detector.synthesis.sounds import (
    Array,
    Clock,
    Spectrum,
    amplitude,
    noise,
    ring,
    strike,
    unit_rms,
    wander,
)

Sound = Callable[[np.random.Generator, Clock], Array]


def _talk(rng: np.random.Generator, clock: Clock) -> Array:
    return speech(rng, clock.samples, clock.sample_rate)


def _rain(rng: np.random.Generator, clock: Clock) -> Array:
    """On a roof of sheet metal: noise that comes and goes, and drops."""
    hiss = noise(rng, clock, Spectrum(-1.0, low_hz=300)) * amplitude(wander(rng, clock, 0.2))
    drops = rng.uniform(0, clock.seconds, rng.poisson(30 * clock.seconds))
    kernel = ring(clock, (1800.0, 3100.0, 4700.0), 0.003)
    struck = unit_rms(strike(clock, drops, np.exp(rng.normal(0, 0.7, len(drops))), kernel))
    return unit_rms(hiss + 0.5 * struck)


def _door(rng: np.random.Generator, clock: Clock) -> Array:
    """Slams in the middle, twice as a rule."""
    first = clock.seconds * rng.uniform(0.4, 0.6)
    times = first + np.array([0.0, rng.uniform(0.05, 0.4)])
    modes = np.sort(np.exp(rng.uniform(np.log(60), np.log(900), 6)))
    return strike(clock, times, np.array([1.0, 0.5]), ring(clock, tuple(modes), 0.08))


def _lorry(rng: np.random.Generator, clock: Clock) -> Array:
    """Passes by: a low rumble that swells and fades in some ten seconds."""
    rumble = noise(rng, clock, Spectrum(-5.0, (rng.uniform(60, 120),), (8.0,), low_hz=40))
    half = rng.uniform(4, 8)
    away = (clock.times - clock.seconds * rng.uniform(0.4, 0.6)) / half
    return unit_rms(rumble / (1 + away**2))


def _added(sound: Sound, level: float) -> Callable[[Array, np.random.Generator, int], Array]:
    """As loud as the recording, plus `level` dB."""

    def add(recording: Array, rng: np.random.Generator, sample_rate: int) -> Array:
        clock = Clock(recording.shape[1], sample_rate)
        loudness = np.sqrt(np.mean(recording**2)) * amplitude(level)
        return np.asarray(recording + loudness * unit_rms(sound(rng, clock)))

    return add


def _gained(level: float) -> Callable[[Array, np.random.Generator, int], Array]:
    return lambda recording, _, __: np.asarray(recording * amplitude(level))


# What is done to a recording ``(C, T)``, by name.
DISTURBANCES: dict[str, Callable[[Array, np.random.Generator, int], Array]] = {
    "talk beside it": _added(_talk, 0.0),
    "talk farther away": _added(_talk, -12.0),
    "rain": _added(_rain, -10.0),
    "heavy rain": _added(_rain, 0.0),
    "door": _added(_door, -3.0),
    "lorry": _added(_lorry, -3.0),
    "6 dB louder": _gained(6.0),
    "6 dB quieter": _gained(-6.0),
}
