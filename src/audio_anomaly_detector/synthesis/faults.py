"""Faults of the synthetic machines: kinds, severities, and the sounds that they add.

A fault that changes the machine's own sound (imbalance, clogging, a valve's late click) is in
`machines`; here are the sounds that a fault adds to any machine that has it.
"""

from typing import NamedTuple

import numpy as np

from audio_anomaly_detector.synthesis.sounds import (
    Array,
    Clock,
    Spectrum,
    amplitude,
    between,
    noise,
    passings,
    ring,
    strike,
    swing,
    unit_rms,
    wander,
)


class Fault(NamedTuple):
    """What is wrong with the machine in one clip.

    Args:
        kind: one of the machine's kinds in `FAULTS`; "" if it is healthy.
        severity: 0 (hardly there) to 1 (severe).
        character: 0 to 1, where in the kind's range of rates and frequencies this one lies.
        heard: False: all that is random is drawn as with the fault, and the machine is healthy.
    """

    kind: str
    severity: float
    character: float
    heard: bool = True

    def of(self, kind: str) -> float:
        """Severity if this is that kind of fault, otherwise 0."""
        return self.severity if self.kind == kind and self.heard else 0.0

    def gain(self, mild_db: float, severe_db: float) -> float:
        """Amplitude of an added sound, whose level in dB rises with the severity."""
        if not self.heard:
            return 0.0
        return float(amplitude(mild_db + (severe_db - mild_db) * self.severity))


HEALTHY = Fault("", 0.0, 0.0)
MAINS_HZ = 50.0  # of valves and sliders


class FaultKinds(NamedTuple):
    """Which kinds of fault the two sets hold; their characters never overlap either."""

    tuning: tuple[str, ...]
    held_out: tuple[str, ...]


FAULTS: dict[str, FaultKinds] = {
    "fan": FaultKinds(
        tuning=("imbalance", "bearing", "clogging", "loosened"),
        held_out=("imbalance", "bearing", "clogging", "bent_blade"),
    ),
    "pump": FaultKinds(
        tuning=("imbalance", "bearing", "leak", "clogging"),
        held_out=("bearing", "leak", "loosened", "cavitation"),
    ),
    "slider": FaultKinds(
        tuning=("rail_damage", "dry_rail", "loosened"),
        held_out=("rail_damage", "dry_rail", "bearing", "dirt"),
    ),
    "valve": FaultKinds(
        tuning=("missing", "late", "weak", "leak", "clogging"),
        held_out=("late", "weak", "leak", "bounce", "chatter"),
    ),
}


def bearing_order(fault: Fault) -> float:
    """Impacts of a pitted race in a turn of the shaft."""
    return between(3.05, 6.2, fault.character)


def rattle_order(fault: Fault) -> float:
    """Knocks of a loose part in a turn, before many are left out."""
    return between(2.0, 0.5, fault.character)


def bearing(
    rng: np.random.Generator, clock: Clock, revolutions: Array, fault: Fault, housing_hz: float
) -> Array:
    """Pitted race: impacts at an order of 3 to 6, slip, load zone at shaft speed, ``(T,)``."""
    times = passings(revolutions, clock, bearing_order(fault))
    spacing = clock.seconds / max(len(times), 1)
    zone = swing(np.interp(times, clock.times, revolutions), 1, 0.6)
    strengths = zone * np.exp(rng.normal(0, 0.2, len(times)))
    jitter = rng.normal(0, 0.02 * spacing, len(times))
    modes = (housing_hz, 1.7 * housing_hz, 2.6 * housing_hz)
    return unit_rms(strike(clock, times + jitter, strengths, ring(clock, modes, 0.0015)))


def rattle(rng: np.random.Generator, clock: Clock, revolutions: Array, fault: Fault) -> Array:
    """Loose part: bouncing knocks twice a turn to every other turn, many left out, ``(T,)``."""
    first = passings(revolutions, clock, rattle_order(fault))
    first = first[rng.random(len(first)) < 0.4]
    bounces = first[:, None] + np.cumsum(rng.uniform(0.004, 0.014, (len(first), 3)), axis=1)
    strengths = np.exp(rng.normal(0, 0.5, (len(first), 1))) * np.array([1.0, 0.5, 0.25])
    hz = between(700, 2500, fault.character)
    kernel = ring(clock, (hz, 1.6 * hz, 2.3 * hz, 3.7 * hz), 0.004)
    return unit_rms(strike(clock, bounces.ravel(), strengths.ravel(), kernel))


def hiss(rng: np.random.Generator, clock: Clock, fault: Fault) -> Array:
    """Leak through a small hole: a flat band of noise that flutters a little, ``(T,)``."""
    low = between(1200, 4000, fault.character)
    band = noise(rng, clock, Spectrum(0.0, low_hz=low, high_hz=2 * low))
    return unit_rms(band * np.maximum(1 + 0.2 * wander(rng, clock, 4.0), 0))


def extra(
    rng: np.random.Generator, clock: Clock, revolutions: Array, fault: Fault, housing_hz: float
) -> Array:
    """Sound that a worn bearing or a loosened part adds to a rotor; else silence, ``(T,)``."""
    if fault.kind == "bearing":
        return fault.gain(-13, 1) * bearing(rng, clock, revolutions, fault, housing_hz)
    if fault.kind == "loosened":
        return fault.gain(-12, 1) * rattle(rng, clock, revolutions, fault)
    return np.zeros(clock.samples)
