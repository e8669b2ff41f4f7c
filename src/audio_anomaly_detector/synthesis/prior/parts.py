"""What machines are made of: lines, impacts and noise, and how they sound in one clip.

A made machine is plain data, a few parts whose parameters no physics constrains, so that a change
of it (`changes`) is another machine. Levels are dB relative to one another.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from audio_anomaly_detector.synthesis.sounds import (
    Array,
    Clock,
    Spectrum,
    amplitude,
    noise,
    passings,
    ring,
    strike,
    swing,
    tones,
    turns,
    wander,
)


@dataclass(frozen=True)
class Drive:
    """What turns or repeats in a part.

    Args:
        hz: turns a second.
        wandering: share by which the speed wanders within a clip.
        clip_to_clip: share by which it differs between clips.
        starts_and_stops: the speed follows the machine's programme.
    """

    hz: float
    wandering: float
    clip_to_clip: float
    starts_and_stops: bool


@dataclass(frozen=True)
class Gate:
    """When in the machine's cycle a part is heard.

    Args:
        start: share of the cycle at which it begins.
        length: share of the cycle that it lasts; 1: always.
        ramp: share of that length in which it comes and goes.
    """

    start: float
    length: float
    ramp: float


@dataclass(frozen=True)
class Tones:
    """Harmonics of a drive, with side bands.

    Args:
        orders: multiples of the drive.
        levels: of each, dB.
        modulation: turns of amplitude modulation in a turn of the drive.
        depth: of that modulation.
    """

    orders: tuple[float, ...]
    levels: tuple[float, ...]
    modulation: float
    depth: float


@dataclass(frozen=True)
class Impacts:
    """Knocks that repeat.

    Args:
        order: knocks in a turn of the drive.
        modes_hz: frequencies of what is struck.
        decay: of the lowest mode, s.
        scatter: standard deviation of the log of their strengths.
        jitter: standard deviation of their times, in shares of the spacing.
        missing: share of knocks that are left out.
        echoes: smaller knocks after each.
        gap: seconds between these.
    """

    order: float
    modes_hz: tuple[float, ...]
    decay: float
    scatter: float
    jitter: float
    missing: float
    echoes: int
    gap: float


@dataclass(frozen=True)
class Flow:
    """Noise: flow, friction, brushes.

    Args:
        spectrum: its colour.
        modulation: turns of amplitude modulation in a turn of the drive.
        depth: of that modulation.
        gusts: how much its level wanders, in nepers.
        gust_hz: how fast.
    """

    spectrum: Spectrum
    modulation: float
    depth: float
    gusts: float
    gust_hz: float


@dataclass(frozen=True)
class Part:
    """One sound of a machine.

    Args:
        sound: what it is.
        drive: what turns in it.
        gate: when it is heard.
        level: dB.
        load_db: by how much its level follows the load of the clip.
        scatter_db: by how much its level differs between clips beyond that.
    """

    sound: Tones | Impacts | Flow
    drive: Drive
    gate: Gate
    level: float
    load_db: float
    scatter_db: float


@dataclass(frozen=True)
class Machine:
    """A made machine.

    Args:
        parts: its sounds.
        cycle_seconds: length of its programme.
        cycle_scatter: share by which that differs between clips.
    """

    parts: tuple[Part, ...]
    cycle_seconds: float
    cycle_scatter: float


class Running(NamedTuple):
    """How a machine runs in one clip, in standard deviations of its usual running.

    Args:
        load: that levels follow.
        speed: of all drives, which speed up together.
    """

    load: float
    speed: float


def draw_between(rng: np.random.Generator, low: float, high: float) -> float:
    """Draw on a logarithmic scale."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def draw_spectrum(rng: np.random.Generator) -> Spectrum:
    """A colour of noise: slope, resonances, and mostly a limited band."""
    peaks = int(rng.integers(0, 6))
    low, high = 30.0, 20_000.0
    if rng.random() < 0.5:
        low = draw_between(rng, 30, 4000)
        high = low * draw_between(rng, 1.3, 30)
    return Spectrum(
        rng.uniform(-8, 3),
        tuple(draw_between(rng, 80, 7000) for _ in range(peaks)),
        tuple(rng.uniform(-6, 15, peaks)),
        width=draw_between(rng, 0.04, 0.5),
        low_hz=low,
        high_hz=high,
    )


def draw_tones(rng: np.random.Generator, drive: Drive) -> Tones:
    """A few or many lines: harmonics of the drive, of a multiple of it, or unrelated."""
    count = int(rng.integers(1, 13))
    first = float(rng.integers(1, 60)) if rng.random() < 0.5 else draw_between(rng, 0.5, 80)
    first = min(first, 6000 / drive.hz)
    kind = rng.random()
    orders = first * np.arange(1, count + 1)
    if kind < 0.2:
        orders = first * np.exp(rng.uniform(0, 3, count))
    elif kind < 0.35:  # side bands around a carrier, as of an inverter or a gear mesh
        orders = first + np.arange(-(count // 2), count - count // 2)
    levels = -rng.uniform(0, 6) * np.arange(count) + rng.normal(0, 5, count)
    levels -= 10 * np.log10(np.sum(10 ** (levels / 10)))
    depth = float(rng.uniform(0, 0.8)) if rng.random() < 0.4 else 0.0
    return Tones(tuple(np.maximum(orders, 0.1)), tuple(levels), draw_between(rng, 0.05, 4.0), depth)


def draw_impacts(rng: np.random.Generator, drive: Drive) -> Impacts:
    """Anything from a click a second to the impacts of a gear."""
    rate = draw_between(rng, 0.5, 150)
    base = draw_between(rng, 150, 5000)
    modes = base * np.append(1.0, np.sort(rng.uniform(1.2, 5, int(rng.integers(1, 4)))))
    echoes = int(rng.integers(1, 4)) if rng.random() < 0.25 else 0
    return Impacts(
        rate / drive.hz,
        tuple(modes),
        draw_between(rng, 0.0008, 0.03),
        rng.uniform(0.02, 0.6),
        draw_between(rng, 0.001, 0.3),
        rng.uniform(0, 0.6) if rng.random() < 0.2 else 0.0,
        echoes,
        draw_between(rng, 0.004, 0.04),
    )


def draw_flow(rng: np.random.Generator) -> Flow:
    """Steady, pulsating or gusty noise."""
    depth = float(rng.uniform(0, 0.9)) if rng.random() < 0.5 else 0.0
    gusts = float(rng.uniform(0, 0.8)) if rng.random() < 0.4 else 0.0
    order = draw_between(rng, 0.2, 12)
    return Flow(draw_spectrum(rng), order, depth, gusts, draw_between(rng, 0.5, 40))


def draw_gate(rng: np.random.Generator, cyclic: bool) -> Gate:
    """Always, or, of a machine with a programme, mostly in a part of its cycle."""
    if not cyclic or rng.random() < 0.3:
        return Gate(0.0, 1.0, 0.0)
    return Gate(rng.random(), rng.uniform(0.05, 0.8), rng.uniform(0.01, 0.45))


def draw_drive(rng: np.random.Generator, shaft_hz: float, cyclic: bool) -> Drive:
    """The machine's shaft, mains, or something of its own."""
    kind = rng.random()
    if kind < 0.6:
        hz = shaft_hz
    elif kind < 0.75:
        hz = float(rng.choice([50.0, 60.0]))
        return Drive(hz, 0.0, 0.0, starts_and_stops=False)
    else:
        hz = draw_between(rng, 0.5, 400)
    moving = cyclic and rng.random() < 0.5
    return Drive(hz, draw_between(rng, 0.0002, 0.02), draw_between(rng, 0.0005, 0.03), moving)


def draw_part(rng: np.random.Generator, shaft_hz: float, cyclic: bool) -> Part:
    """One part of a machine whose shaft turns at that rate, in Hz."""
    drive = draw_drive(rng, shaft_hz, cyclic)
    kind = rng.random()
    sound: Tones | Impacts | Flow
    if kind < 0.4:
        sound = draw_tones(rng, drive)
    elif kind < 0.65:
        sound = draw_impacts(rng, drive)
    else:
        sound = draw_flow(rng)
    gate = draw_gate(rng, cyclic)
    load_db = rng.normal(0, 0.7) if rng.random() < 0.6 else rng.normal(0, 2.5)
    return Part(sound, drive, gate, rng.uniform(-20, 0), load_db, draw_between(rng, 0.2, 3))


def draw_machine(rng: np.random.Generator) -> Machine:
    """A machine of one to seven parts."""
    cyclic = bool(rng.random() < 0.4)
    shaft_hz = draw_between(rng, 4, 120)
    parts = [draw_part(rng, shaft_hz, cyclic) for _ in range(int(rng.integers(1, 8)))]
    if all(part.gate.length < 0.2 for part in parts):  # heard now and then only: give it a hum
        parts.append(draw_part(rng, shaft_hz, cyclic=False))
    return Machine(tuple(parts), draw_between(rng, 0.4, 4.0), draw_between(rng, 0.001, 0.03))


def sound_of(machine: Machine, running: Running, rng: np.random.Generator, clock: Clock) -> Array:
    """One clip of a machine, ``(T,)``; `rng` draws phases and what differs by chance."""
    length = machine.cycle_seconds * (1 + machine.cycle_scatter * rng.normal())
    speed = 1 + 0.2 * machine.cycle_scatter * wander(rng, clock, 0.3)
    cycle = turns(speed / length, clock, rng.random())
    total = np.zeros(clock.samples)
    for part in machine.parts:
        own = np.random.default_rng(rng.integers(2**63))
        level = amplitude(part.level + part.load_db * running.load + part.scatter_db * own.normal())
        total += level * _heard(part, own, clock, cycle, running.speed)
    return total


def _heard(part: Part, rng: np.random.Generator, clock: Clock, cycle: Array, speed: float) -> Array:
    """A part at unit level."""
    drive, gate = part.drive, part.gate
    opened = np.ones(clock.samples)
    if gate.length < 1:
        through = ((cycle - gate.start) % 1) / gate.length
        opened = np.clip(np.minimum(through, 1 - through) / max(gate.ramp, 1e-3), 0, 1)
    hz = drive.hz * (1 + drive.clip_to_clip * speed + drive.wandering * wander(rng, clock, 0.5))
    if drive.starts_and_stops:
        hz = hz * np.clip(opened, 0.02, 1)
    revolutions = turns(hz, clock, rng.random())
    sound = part.sound
    if isinstance(sound, Tones):
        offsets = rng.random(len(sound.orders))
        heard = tones(revolutions, sound.orders, np.asarray(sound.levels), offsets)
        return heard * swing(revolutions, sound.modulation, sound.depth) * opened
    if isinstance(sound, Flow):
        heard = noise(rng, clock, _varied(rng, sound.spectrum))
        heard *= np.maximum(swing(revolutions, sound.modulation, sound.depth), 0)
        if sound.gusts:
            heard *= np.exp(sound.gusts * wander(rng, clock, sound.gust_hz))
        return heard * opened
    return _knocks(sound, rng, clock, revolutions, opened)


def _knocks(
    sound: Impacts, rng: np.random.Generator, clock: Clock, revolutions: Array, opened: Array
) -> Array:
    """Impacts of about unit RMS if all of them are heard."""
    times = passings(revolutions, clock, sound.order)
    spacing = clock.seconds / max(len(times), 1)
    kept = rng.random(len(times)) >= sound.missing
    strengths = np.exp(rng.normal(0, sound.scatter, len(times))) * kept
    strengths *= np.interp(times, clock.times, opened)
    times = times + rng.normal(0, 1, len(times)) * sound.jitter * spacing
    kernel = ring(clock, sound.modes_hz, sound.decay)
    heard = strike(clock, times, strengths, kernel)
    for echo in range(1, sound.echoes + 1):
        later = times + sound.gap * echo * np.exp(rng.normal(0, 0.2, len(times)))
        heard += strike(clock, later, strengths * 0.55**echo, kernel)
    return heard * np.sqrt(clock.samples / max(len(times), 1))


def _varied(rng: np.random.Generator, spectrum: Spectrum) -> Spectrum:
    """The same colour in one clip."""
    heights = np.asarray(spectrum.peaks_db) + rng.normal(0, 0.7, len(spectrum.peaks_db))
    return spectrum._replace(slope=spectrum.slope + rng.normal(0, 0.2), peaks_db=tuple(heights))
