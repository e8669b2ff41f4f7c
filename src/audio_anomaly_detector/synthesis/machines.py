"""The four synthetic machines: their sound when healthy, and with each fault.

A machine id draws its parameters once (`Fan(rng)`); `sound` then synthesises one clip of it. Normal
clips differ too: load, speed, phase and spectrum vary from clip to clip. The sound leaves the
machine at two places, its drive and its working end, so that it is an extended source.
Levels within a machine are relative; `data_set` scales the whole.
"""

from typing import Protocol

import numpy as np

from audio_anomaly_detector.synthesis.faults import MAINS_HZ, Fault, extra, hiss, rattle
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
    tones,
    turns,
    unit_rms,
    wander,
)


class Machine(Protocol):
    """One machine id; its class is called with the generator that draws its parameters."""

    def __init__(self, rng: np.random.Generator) -> None: ...

    def sound(self, rng: np.random.Generator, clock: Clock, fault: Fault) -> Array:
        """One clip at the drive and the working end, ``(2, T)``.

        Args:
            rng: draws load, speed and phases of the clip.
            clock: length and sample rate of the clip.
            fault: what is wrong with the machine.
        """


def body(rng: np.random.Generator, slope: float, low_hz: float, high_hz: float) -> Spectrum:
    """Draw a machine's noise spectrum: a slope in dB per octave and three resonances."""
    peaks = np.exp(rng.uniform(np.log(low_hz), np.log(high_hz), 3))
    return Spectrum(slope, tuple(peaks), tuple(rng.uniform(3, 12, 3)))


def varied(rng: np.random.Generator, spectrum: Spectrum, tilt: float = 0.0) -> Spectrum:
    """Vary that spectrum for one clip and tilt it by dB per octave."""
    heights = tuple(np.asarray(spectrum.peaks_db) + rng.normal(0, 1, len(spectrum.peaks_db)))
    return spectrum._replace(slope=spectrum.slope + rng.normal(0, 0.3) + tilt, peaks_db=heights)


class Fan:
    """Axial fan: tones at the blade-pass rate over turbulence shaped by its duct."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.speed_hz = rng.uniform(14, 30)
        self.blades = int(rng.integers(5, 10))
        self.blade_levels = rng.uniform(-8, 0) - rng.uniform(2, 5) * np.arange(8)
        self.blade_levels += rng.normal(0, 2.5, 8)
        self.shaft_levels = rng.normal(-14, 3, 5)
        self.offsets = rng.random(13)
        self.duct = body(rng, rng.uniform(-6, -3), 150, 3000)
        self.housing_hz = rng.uniform(1500, 2800)

    def sound(self, rng: np.random.Generator, clock: Clock, fault: Fault) -> Array:
        """Drive: motor and shaft; working end: blades and airflow."""
        load = rng.normal()
        imbalance, clogging = fault.of("imbalance"), fault.of("clogging")
        bent = fault.of("bent_blade")
        speed = 1 + 0.008 * load + 0.003 * wander(rng, clock, 0.5) + 0.03 * clogging
        revolutions = turns(self.speed_hz * speed, clock, rng.random())

        # The heavy side shows at 1 x shaft speed (at 2 x, if the shaft is rather misaligned) and,
        # through the tip gap, modulates the air.
        skew = fault.character * np.array([-16.0, 8.0, 8.0, 0.0, 0.0])
        shaft = self.shaft_levels + (np.array([20.0, 12.0, 6.0, 0.0, 0.0]) + skew) * imbalance
        drive = tones(revolutions, range(1, 6), shaft, self.offsets[:5])

        # A blocked inlet takes the high frequencies from the flow, which stalls and surges.
        air = noise(rng, clock, varied(rng, self.duct, 0.3 * load - 3.0 * clogging))
        stall_hz = self.speed_hz * between(0.15, 0.6, fault.character)
        surge = np.maximum(1 + 0.5 * clogging * wander(rng, clock, stall_hz), 0)
        air = air * surge * swing(revolutions, 1, 0.5 * imbalance + 0.05)
        orders = [self.blades * harmonic for harmonic in range(1, 9)]
        blades = tones(revolutions, orders, self.blade_levels + 0.7 * load, self.offsets[5:])
        blades *= swing(revolutions, 1, 0.8 * bent) * amplitude(-4 * clogging + 3 * bent)
        drive += extra(rng, clock, revolutions, fault, self.housing_hz)
        return np.stack([drive, air + blades])


class Pump:
    """Water pump: motor hum, vane-pass pulsation, flow noise with a little cavitation."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.mains_hz = float(rng.choice([50.0, 60.0]))
        self.speed_hz = self.mains_hz * rng.uniform(0.95, 0.985) / float(rng.choice([1.0, 2.0]))
        self.vanes = int(rng.integers(5, 8))
        self.hum_levels = rng.uniform(-12, -4) - 5.0 * np.arange(4) + rng.normal(0, 3, 4)
        self.vane_levels = rng.uniform(-8, 0) - rng.uniform(3, 6) * np.arange(6)
        self.shaft_levels = rng.normal(-16, 3, 3)
        self.offsets = rng.random(13)
        self.pipe = body(rng, rng.uniform(-5, -2), 200, 4000)
        self.pulsation = rng.uniform(0.1, 0.35)
        self.cavitation = rng.uniform(-22, -12)
        self.housing_hz = rng.uniform(1500, 3000)

    def sound(self, rng: np.random.Generator, clock: Clock, fault: Fault) -> Array:
        """Drive: motor; working end: casing and pipe."""
        load = rng.normal()
        imbalance, clogging = fault.of("imbalance"), fault.of("clogging")
        speed = 1 - 0.004 * load + 0.0015 * wander(rng, clock, 0.5) + 0.01 * clogging
        revolutions = turns(self.speed_hz * speed, clock, rng.random())

        shaft = self.shaft_levels + np.array([20.0, 12.0, 6.0]) * imbalance
        drive = tones(revolutions, (1, 2, 3), shaft, self.offsets[:3])
        cycles = turns(np.full(clock.samples, self.mains_hz), clock, rng.random())
        drive += tones(cycles, (2, 4, 6, 8), self.hum_levels + 0.7 * load, self.offsets[3:7])

        # Less water through the wheel: weaker flow noise, duller, and it begins to recirculate.
        flow = noise(rng, clock, varied(rng, self.pipe, 0.3 * load - 2.5 * clogging))
        flow *= swing(revolutions, self.vanes, self.pulsation)
        flow *= swing(revolutions, 1, 0.05 + 0.6 * imbalance) * amplitude(-4 * clogging)
        flow *= np.maximum(1 + 0.4 * clogging * wander(rng, clock, 6.0), 0)
        vanes = tones(
            revolutions,
            [self.vanes * harmonic for harmonic in range(1, 7)],
            self.vane_levels + 0.7 * load - 3 * clogging,
            self.offsets[7:],
        )
        # Collapsing bubbles: high noise in bursts that follow the vanes.
        bubbles = noise(rng, clock, Spectrum(0.0, low_hz=2500, high_hz=9000))
        bubbles *= swing(revolutions, self.vanes, 0.6) * np.exp(0.5 * wander(rng, clock, 20.0))
        crackle = amplitude(self.cavitation + rng.normal(0, 1.5))
        if fault.kind == "cavitation":
            crackle = crackle + fault.gain(-10, 2)
        flow += vanes + crackle * unit_rms(bubbles)
        if fault.kind == "leak":
            flow += fault.gain(-10, 2) * hiss(rng, clock, fault)
        drive += extra(rng, clock, revolutions, fault, self.housing_hz)
        return np.stack([drive, flow])


def squeal_order(fault: Fault) -> float:
    """Frequency at which a dry rail squeals, in multiples of the motor's whine."""
    return between(3.3, 7.7, fault.character)


class Slider:
    """Slide rail: a carriage that goes there and back, with whine and friction as it moves."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.cycle_hz = 1 / rng.uniform(1.6, 3.6)
        self.moving = rng.uniform(0.3, 0.46)  # share of the cycle of one stroke; the rest rests
        self.ramp = rng.uniform(0.12, 0.3)  # share of the stroke that speeds up or slows down
        self.whine_hz = rng.uniform(250, 900)
        self.whine_levels = rng.uniform(-10, -2) - rng.uniform(3, 6) * np.arange(5)
        self.rollers_hz = rng.uniform(12, 30)
        self.housing_hz = rng.uniform(1500, 3000)
        self.offsets = rng.random(8)
        self.rail = body(rng, rng.uniform(-3, 0), 400, 5000)
        self.hum_levels = rng.normal(-22, 3, 3)
        self.stop_hz = rng.uniform(300, 1100)
        self.stop_level = rng.uniform(-12, -5)
        self.damage_at = rng.uniform(0.2, 0.8)

    def sound(self, rng: np.random.Generator, clock: Clock, fault: Fault) -> Array:
        """Drive and working end: the two ends of the rail, between which the carriage moves."""
        load = rng.normal()
        rate = self.cycle_hz * (1 + 0.01 * rng.normal() + 0.003 * wander(rng, clock, 0.3))
        phase = turns(rate, clock, rng.random())
        back = phase % 1 >= 0.5
        through = np.minimum(phase % 0.5 / self.moving, 1.0)  # 0 to 1 along the stroke
        speed = np.clip(np.minimum(through, 1 - through) / self.ramp, 0, 1)
        # Near enough to the integral of the trapezoid of the speed.
        there = 0.5 - 0.5 * np.cos(np.pi * through)
        position = np.where(back, 1 - there, there)

        dry, dirt = fault.of("dry_rail"), fault.of("dirt")
        scrape = noise(rng, clock, varied(rng, self.rail, 0.3 * load + 2.5 * dry))
        scrape *= speed**0.8 * np.maximum(1 + 0.1 * wander(rng, clock, 15.0), 0)
        # Grains under the carriage: friction that comes in gusts.
        scrape *= np.exp(dirt * (wander(rng, clock, 25.0) - 0.5))
        motor = turns(self.whine_hz * speed, clock, rng.random())
        whine = tones(motor, (1, 2, 3, 4, 6), self.whine_levels + 0.7 * load, self.offsets[:5])
        stops = passings(phase + 0.5 - self.moving, clock, 2.0)
        kernel = ring(clock, (self.stop_hz, 2.3 * self.stop_hz, 4.1 * self.stop_hz), 0.012)
        strengths = np.exp(rng.normal(0, 0.25, len(stops)))
        knocks = amplitude(self.stop_level) * unit_rms(strike(clock, stops, strengths, kernel))
        cycles = turns(np.full(clock.samples, MAINS_HZ), clock, rng.random())
        hum = tones(cycles, (2, 4, 6), self.hum_levels, self.offsets[5:])
        carriage = scrape + whine * np.sqrt(speed) + knocks
        if fault.kind == "dry_rail":
            squeal = tones(motor, (squeal_order(fault),), np.zeros(1), np.zeros(1))
            carriage += fault.gain(-12, 1) * squeal * speed
        if fault.kind == "rail_damage":
            # Passing the dent, on the way there and on the way back.
            hits = np.flatnonzero(np.diff(position > self.damage_at)) / clock.sample_rate
            hz = between(500, 2500, fault.character)
            strengths = np.exp(rng.normal(0, 0.3, len(hits)))
            dent = strike(clock, hits, strengths, ring(clock, (hz, 1.8 * hz, 2.9 * hz), 0.006))
            carriage += fault.gain(-20, -6) * unit_rms(dent)
        rollers = turns(self.rollers_hz * speed, clock, rng.random())
        carriage += 0.35 * extra(rng, clock, rollers, fault, self.housing_hz)
        return np.stack([carriage * np.sqrt(1 - position) + hum, carriage * np.sqrt(position)])


class Valve:
    """Solenoid valve: a click to open, a duller one to close, flow hiss while it is open."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.period = rng.uniform(0.7, 1.5)
        self.open_share = rng.uniform(0.25, 0.6)
        self.strokes = int(rng.integers(5, 12))  # before the programme pauses
        self.pause = float(rng.choice([0.0, rng.uniform(1, 3)]))
        self.open_hz = rng.uniform(2200, 4200)
        self.close_hz = rng.uniform(900, 2000)
        self.close_level = rng.uniform(-10, -3)
        self.flow = body(rng, rng.uniform(-1, 2), 1500, 6000)
        self.flow_level = rng.uniform(-12, -5)
        self.coil_levels = rng.uniform(-30, -22) - 5.0 * np.arange(3)

    def schedule(self, rng: np.random.Generator, seconds: float) -> Array:
        """Draw the times (s) of opening, from before the clip to its end, ``(n,)``."""
        block = self.strokes * self.period + self.pause
        start = rng.uniform(0, self.strokes * self.period)  # never in the pause
        blocks = np.arange(np.ceil(seconds / block) + 1) * block - start
        times = blocks[:, None] + np.arange(self.strokes) * self.period
        return times.ravel() + rng.normal(0, 0.004, times.size)

    def sound(self, rng: np.random.Generator, clock: Clock, fault: Fault) -> Array:
        """Drive: solenoid and its clicks; working end: the pipe."""
        opening = self.schedule(rng, clock.seconds)
        closing = opening + self.period * self.open_share + rng.normal(0, 0.004, len(opening))
        load = rng.normal()
        failing = rng.random(len(opening)) < 0.3 + 0.7 * fault.severity
        failing[::3] = False  # not quite dead: a silent machine has no level to scale
        if fault.kind == "late":
            delays = between(0.03, 0.15, fault.character) * rng.uniform(0.5, 1.5, len(opening))
            opening = (
                opening + np.minimum(delays, 0.8 * (closing - opening)) * failing * fault.heard
            )
        struck = ~failing if fault.kind == "missing" else np.ones(len(opening), bool)
        drawn = int(np.count_nonzero(struck))
        if fault.heard:
            opening, closing, struck = opening[struck], closing[struck], struck[struck]

        snap = ring(clock, (self.open_hz, 1.6 * self.open_hz, 2.2 * self.open_hz), 0.003)
        thud = ring(clock, (self.close_hz, 2.1 * self.close_hz, 3.4 * self.close_hz), 0.005)
        strengths = np.ones((2, len(opening)))
        strengths[:, struck] = np.exp(rng.normal(0, 0.12, (2, drawn)))
        size, shut = strengths
        shut = shut * amplitude(self.close_level)
        if fault.kind == "weak" and fault.heard:
            # A sticky armature lands softly: the failing click is faint and duller, too.
            soft = amplitude(-8 * fault.severity) * failing
            hz = self.open_hz * between(0.9, 0.6, fault.character)
            clicks = strike(clock, opening, soft * size, ring(clock, (hz, 1.6 * hz), 0.004))
            size = size * ~failing
        else:
            clicks = np.zeros(clock.samples)
        clicks += strike(clock, opening, size, snap) + strike(clock, closing, shut, thud)
        if fault.kind == "bounce":
            gaps = rng.uniform(0.012, 0.04, (len(opening), 3))
            again = opening[:, None] + np.cumsum(gaps, axis=1)
            fading = size[:, None] * np.array([1.0, 0.6, 0.35])
            clicks += fault.gain(-18, -4) * strike(clock, again.ravel(), fading.ravel(), snap)
        clicks *= np.sqrt(self.period * clock.sample_rate)  # one unit click a period: unit RMS

        edges = np.zeros(clock.samples)
        for times, step in ((opening, 1.0), (closing, -1.0)):
            places = np.clip(np.round(times * clock.sample_rate), 0, None).astype(int)
            np.add.at(edges, places[places < clock.samples], step)
        is_open = np.clip(np.cumsum(edges), 0, 1)
        clogging = fault.of("clogging")
        stream = noise(rng, clock, varied(rng, self.flow, 0.3 * load + 3 * clogging))
        flow = amplitude(self.flow_level + 0.7 * load - 14 * clogging) * stream * is_open
        cycles = turns(np.full(clock.samples, MAINS_HZ), clock, rng.random())
        coil = tones(cycles, (2, 4, 6), self.coil_levels, np.zeros(3))
        drive = clicks + coil * np.where(is_open, 1.0, 0.3)
        if fault.kind == "chatter":
            drive += fault.gain(-20, -4) * rattle(rng, clock, 2 * cycles, fault) * is_open
        if fault.kind == "leak":
            flow += fault.gain(-18, -4) * hiss(rng, clock, fault)
        return np.stack([drive, flow])


MACHINES: dict[str, type[Machine]] = {"fan": Fan, "pump": Pump, "slider": Slider, "valve": Valve}
