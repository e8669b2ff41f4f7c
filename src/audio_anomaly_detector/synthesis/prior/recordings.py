"""Recordings of made machines: a hall around them, a microphone, and clips of both."""

from typing import NamedTuple

import numpy as np
from scipy.fft import irfft, next_fast_len, rfft, rfftfreq

from audio_anomaly_detector.synthesis.prior.changes import changed
from audio_anomaly_detector.synthesis.prior.parts import (
    Machine,
    Running,
    draw_between,
    draw_machine,
    draw_spectrum,
    sound_of,
)
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
    unit_rms,
    wander,
)

# RMS of what a change adds and takes away against that of the machine, over so many seconds: a
# quarter of the changes as they are drawn lies below.
_LEAST_CHANGE = 0.1
_LISTENED_S = 2.0
# Centres of the bumps by which the spectrum of a hall differs between clips, Hz.
_BANDS_HZ = np.geomspace(40, 10_000, 24)


class Place(NamedTuple):
    """Where a machine is recorded.

    Args:
        snr_db: machine against hall.
        snr_jitter_db: by which that differs between clips.
        machine_path, hall_path: impulse responses, ``(taps,)``.
        ambience: colour of the steady noise.
        ambience_db: level of it, the other machines at 0.
        ambience_jitter_db: by which that and its colour differ between clips.
        others: machines beside this one.
        others_db: by which the level of each differs between clips.
        running: share of clips in which each of them runs.
        variation_db: by which the hall's spectrum differs between clips.
        variation_octaves: width of what differs together.
        memory: correlation of load, speed and hall between clips that follow each other.
        events: a second.
        microphone: its colour.
        low_pass_hz: of recorder or codec.
    """

    snr_db: float
    snr_jitter_db: float
    machine_path: Array
    hall_path: Array
    ambience: Spectrum
    ambience_db: float
    ambience_jitter_db: float
    others: tuple[Machine, ...]
    others_db: float
    running: float
    variation_db: float
    variation_octaves: float
    memory: float
    events: float
    microphone: Spectrum
    low_pass_hz: float


class Moment(NamedTuple):
    """What differs from clip to clip, in standard deviations.

    Args:
        running: of the machine.
        snr: machine against hall.
        ambience: level of the steady noise.
        hall: of the hall's spectrum, a value for each of its bands, ``(24,)``.
    """

    running: Running
    snr: float
    ambience: float
    hall: Array


class MachineClips(NamedTuple):
    """Clips of one machine.

    Args:
        normal: in the order of their times, ``(n, T)``.
        alone: what is heard of the machine itself in each of these, ``(n, T)``.
        changed: recorded among the later of them, ``(m, T)``.
    """

    normal: Array
    alone: Array
    changed: Array


def _path(rng: np.random.Generator, clock: Clock) -> Array:
    """Direct sound and a decaying tail of noise, ``(taps,)``."""
    reverberation = draw_between(rng, 0.05, 0.7)  # s until -60 dB
    taps = int(min(0.4, reverberation) * clock.sample_rate)
    tail = rng.standard_normal(taps) * 10 ** (-3 * np.arange(taps) / taps)
    tail *= amplitude(rng.uniform(-18, 0)) / np.sqrt(np.sum(tail**2))
    tail[0] += 1.0
    return tail


def draw_place(rng: np.random.Generator, clock: Clock) -> Place:
    """A hall, a microphone and how loud the machine is."""
    peaks = int(rng.integers(0, 5))
    return Place(
        snr_db=rng.uniform(-9, 12),
        snr_jitter_db=draw_between(rng, 0.05, 3),
        machine_path=_path(rng, clock),
        hall_path=_path(rng, clock),
        ambience=draw_spectrum(rng)._replace(low_hz=30.0, high_hz=20_000.0),
        ambience_db=rng.uniform(-6, 12),
        ambience_jitter_db=draw_between(rng, 0.1, 4),
        others=tuple(draw_machine(rng) for _ in range(int(rng.integers(0, 4)))),
        others_db=draw_between(rng, 0.3, 6),
        running=rng.uniform(0.3, 1),
        variation_db=draw_between(rng, 0.2, 8),
        variation_octaves=draw_between(rng, 0.2, 1.5),
        memory=rng.uniform(0.4, 0.97) if rng.random() < 0.3 else 0.0,
        events=draw_between(rng, 0.005, 0.3),
        microphone=Spectrum(
            rng.normal(0, 0.7),
            tuple(np.exp(rng.uniform(np.log(100), np.log(7500), peaks))),
            tuple(rng.normal(0, 4, peaks)),
            width=rng.uniform(0.1, 0.6),
            low_hz=draw_between(rng, 20, 150),
        ),
        low_pass_hz=20_000.0 if rng.random() < 0.7 else rng.uniform(3000, 7500),
    )


def machine_clips(
    rng: np.random.Generator, clock: Clock, normal: int, changes: int, each: int = 1
) -> MachineClips:
    """Draw a machine in its hall, normal clips of it, and clips of changed ones.

    Args:
        rng: draws everything.
        clock: of each clip.
        normal: clips of the machine as it is.
        changes: machines that differ from it in one way.
        each: clips of each of them.
    """
    machine, place = draw_machine(rng), draw_place(rng, clock)
    response = _response(place, clock)
    moments = draw_moments(place, rng, normal + changes * each)
    # The changed clips come among the later normal ones: how far conditions have drifted since
    # the first clips says nothing about a change.
    later = np.arange(max(0, normal - changes * each), len(moments))
    at = set(rng.permutation(later)[: changes * each].tolist())
    ordinary = [
        _clip(machine, place, response, moment, rng, clock)
        for i, moment in enumerate(moments)
        if i not in at
    ]
    others: list[Array] = []
    for i in sorted(at):
        if len(others) % each == 0:
            faulty = audibly_changed(machine, rng, clock.sample_rate)
        others.append(_clip(faulty, place, response, moments[i], rng, clock)[0])
    normal_clips, alone = (np.stack(part) for part in zip(*ordinary, strict=True))
    return MachineClips(normal_clips, alone, np.stack(others))


def draw_moments(place: Place, rng: np.random.Generator, clips: int) -> list[Moment]:
    """Conditions of clips that follow each other: an autoregressive process of order 1."""
    state = rng.standard_normal(4 + len(_BANDS_HZ))
    moments = []
    for _ in range(clips):
        load, speed, snr, ambience = state[:4]
        moments.append(Moment(Running(load, speed), snr, ambience, state[4:]))
        fresh = rng.standard_normal(len(state))
        state = place.memory * state + np.sqrt(1 - place.memory**2) * fresh
    return moments


def audibly_changed(machine: Machine, rng: np.random.Generator, sample_rate: int) -> Machine:
    """A change that is heard without a hall: what nobody hears is no anomaly to learn from.

    Args:
        machine: as it is.
        rng: draws changes until one is heard.
        sample_rate: Hz.
    """
    clock = Clock(round(_LISTENED_S * sample_rate), sample_rate)
    seed = int(rng.integers(2**63))
    usual = Running(0.0, 0.0)
    before = sound_of(machine, usual, np.random.default_rng(seed), clock)
    while True:
        after = changed(machine, rng)
        difference = sound_of(after, usual, np.random.default_rng(seed), clock) - before
        if np.sum(difference**2) > _LEAST_CHANGE**2 * np.sum(before**2):
            return after


def _response(place: Place, clock: Clock) -> tuple[int, Array, Array]:
    """Transform length and responses of machine and hall, ``(bins,)``."""
    length = next_fast_len(
        clock.samples + len(place.machine_path) + len(place.hall_path), real=True
    )
    hz = rfftfreq(length, 1 / clock.sample_rate)
    gain = place.microphone.gain(hz) / (1 + (hz / place.low_pass_hz) ** 16)
    return length, *(rfft(path, length) * gain for path in (place.machine_path, place.hall_path))


def _clip(
    machine: Machine,
    place: Place,
    response: tuple[int, Array, Array],
    moment: Moment,
    rng: np.random.Generator,
    clock: Clock,
) -> tuple[Array, Array]:
    """One recording, ``(T,)``, of unit RMS, and the machine's own part of it."""
    length, of_machine, of_hall = response
    dry = unit_rms(sound_of(machine, moment.running, rng, clock))
    near = irfft(rfft(dry, length) * of_machine, length)[: clock.samples]
    colour = _variation(place, moment, rfftfreq(length, 1 / clock.sample_rate))
    hall = rfft(_hall(place, moment, rng, clock), length)
    far = irfft(hall * of_hall * colour, length)[: clock.samples]
    snr = place.snr_db + place.snr_jitter_db * moment.snr
    own = unit_rms(near)
    heard = own + amplitude(-snr) * unit_rms(far)
    level = np.sqrt(np.mean(heard**2))
    return heard / level, own / level


def _variation(place: Place, moment: Moment, hz: Array) -> Array:
    """Gain of the hall's spectrum in a clip, ``(bins,)``: overlapping bumps of random height."""
    points = np.geomspace(20, max(hz[-1], 40), 200)
    apart = np.log2(points[:, None] / _BANDS_HZ) / place.variation_octaves
    shapes = np.exp(-0.5 * apart**2)
    shapes /= np.sqrt(np.sum(shapes**2, axis=1, keepdims=True))
    return np.interp(hz, points, amplitude(place.variation_db * shapes @ moment.hall))


def _hall(place: Place, moment: Moment, rng: np.random.Generator, clock: Clock) -> Array:
    """Ambience, other machines, and what happens, ``(T,)``."""
    jitter = place.ambience_jitter_db
    heights = np.asarray(place.ambience.peaks_db)
    colour = place.ambience._replace(
        slope=place.ambience.slope + 0.3 * jitter * rng.normal(),
        peaks_db=tuple(heights + jitter * rng.normal(0, 1, len(heights))),
    )
    level = amplitude(
        place.ambience_db + jitter * moment.ambience + jitter * wander(rng, clock, 0.3)
    )
    heard = level * noise(rng, clock, colour)
    for machine in place.others:
        if rng.random() < place.running:
            beside = unit_rms(sound_of(machine, Running(*rng.normal(size=2)), rng, clock))
            heard += amplitude(place.others_db * rng.normal()) * beside
    for _ in range(rng.poisson(place.events * clock.seconds)):
        heard += amplitude(place.ambience_db + rng.uniform(-12, 12)) * _event(rng, clock)
    return heard


def _event(rng: np.random.Generator, clock: Clock) -> Array:
    """Something that happens once: a knock, a puff, a voice-like sound, a passing hum."""
    at = rng.uniform(0, clock.seconds)
    length = draw_between(rng, 0.05, 2)
    shape = np.exp(-0.5 * ((clock.times - at) / (length / 2)) ** 4)
    kind = rng.integers(4)
    if kind == 0:
        modes = np.sort(np.exp(rng.uniform(np.log(120), np.log(6000), 4)))
        kernel = ring(clock, tuple(modes), rng.uniform(5, 50) / modes[0])
        knocks = at + np.cumsum(rng.uniform(0.05, 0.4, int(rng.integers(1, 5))))
        strengths = np.exp(rng.normal(0, 0.5, len(knocks)))
        heard = strike(clock, knocks, strengths, kernel)
        return 2 * heard / (np.max(np.abs(heard)) + 1e-9)
    if kind == 1:
        return noise(rng, clock, draw_spectrum(rng)) * shape
    if kind == 2:
        pitch = rng.uniform(80, 300) * (1 + 0.12 * wander(rng, clock, 2.5))
        levels = -6 * np.log2(np.arange(1, 20)) + rng.normal(0, 6, 19)
        voice = tones(turns(pitch, clock, 0.0), range(1, 20), levels, rng.random(19))
        return voice * np.maximum(0.5 + wander(rng, clock, 4.0), 0) * shape
    hz = draw_between(rng, 60, 3000) * (1 + 0.05 * wander(rng, clock, 0.5))
    return tones(turns(hz, clock, 0.0), range(1, 6), -6.0 * np.arange(5), rng.random(5)) * shape
