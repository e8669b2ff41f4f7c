"""Changes of a made machine: what a fault may do to its sound."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from audio_anomaly_detector.synthesis.prior.parts import (
    Drive,
    Flow,
    Gate,
    Impacts,
    Machine,
    Part,
    Tones,
    draw_flow,
    draw_impacts,
    draw_tones,
)

Change = Callable[[Machine, np.random.Generator, float], Machine | None]


def changed(machine: Machine, rng: np.random.Generator) -> Machine:
    """The machine with one or, rarely, two changes of random kind and severity."""
    changes = int(rng.random() < 0.15) + 1
    while changes > 0:
        change = CHANGES[rng.integers(len(CHANGES))]
        after = change(machine, rng, rng.uniform(0.2, 1.0))
        if after is not None:
            machine, changes = after, changes - 1
    return machine


def _drive_of(machine: Machine, rng: np.random.Generator) -> Drive:
    return machine.parts[rng.integers(len(machine.parts))].drive


def _gate_of(machine: Machine, rng: np.random.Generator) -> Gate:
    """Of one of the parts, or always."""
    always = Gate(0.0, 1.0, 0.0)
    return always if rng.random() < 0.5 else machine.parts[rng.integers(len(machine.parts))].gate


def _added(
    sound: Tones | Impacts | Flow, drive: Drive, gate: Gate, severity: float, machine: Machine
) -> Machine:
    loudest = max(part.level for part in machine.parts)
    part = Part(sound, drive, gate, loudest - 20 + 20 * severity, 0.0, 0.4)
    return replace(machine, parts=(*machine.parts, part))


def _new_tones(machine: Machine, rng: np.random.Generator, severity: float) -> Machine:
    drive = _drive_of(machine, rng)
    return _added(draw_tones(rng, drive), drive, _gate_of(machine, rng), severity, machine)


def _new_impacts(machine: Machine, rng: np.random.Generator, severity: float) -> Machine:
    drive = _drive_of(machine, rng)
    return _added(draw_impacts(rng, drive), drive, _gate_of(machine, rng), severity, machine)


def _new_flow(machine: Machine, rng: np.random.Generator, severity: float) -> Machine:
    drive = _drive_of(machine, rng)
    return _added(draw_flow(rng), drive, _gate_of(machine, rng), severity, machine)


def _with(machine: Machine, index: int, part: Part) -> Machine:
    parts = list(machine.parts)
    parts[index] = part
    return replace(machine, parts=tuple(parts))


def _pick(machine: Machine, rng: np.random.Generator, kind: type | None = None) -> int | None:
    """A part of that kind, the louder the likelier: a change of what is not heard is none."""
    at = [i for i, p in enumerate(machine.parts) if kind is None or isinstance(p.sound, kind)]
    if not at:
        return None
    weights = np.array([10 ** (machine.parts[i].level / 20) for i in at])
    return int(rng.choice(at, p=weights / weights.sum()))


def _level(machine: Machine, rng: np.random.Generator, severity: float) -> Machine | None:
    index = _pick(machine, rng)
    if index is None:
        return None
    part = machine.parts[index]
    sign = 1 if rng.random() < 0.5 else -1.5
    return _with(machine, index, replace(part, level=part.level + sign * (2 + 10 * severity)))


def _speed(machine: Machine, rng: np.random.Generator, severity: float) -> Machine | None:
    index = _pick(machine, rng)
    if index is None:
        return None
    part = machine.parts[index]
    factor = 1 + rng.choice([-1, 1]) * (0.02 + 0.12 * severity)
    return _with(
        machine, index, replace(part, drive=replace(part.drive, hz=part.drive.hz * factor))
    )


def _tones(machine: Machine, rng: np.random.Generator, severity: float) -> Machine | None:
    """Some harmonics grow or fall, or the modulation deepens."""
    index = _pick(machine, rng, Tones)
    if index is None:
        return None
    part = machine.parts[index]
    sound = part.sound
    assert isinstance(sound, Tones)
    if rng.random() < 0.4:
        sound = replace(sound, depth=min(1.0, sound.depth + 0.9 * severity))
    else:
        hit = rng.random(len(sound.orders)) < 0.5
        hit[rng.integers(len(hit))] = True
        levels = np.asarray(sound.levels) + hit * rng.choice([-1, 1]) * (4 + 14 * severity)
        sound = replace(sound, levels=tuple(levels))
    return _with(machine, index, replace(part, sound=sound))


def _impacts(machine: Machine, rng: np.random.Generator, severity: float) -> Machine | None:
    """Knocks are missing, late, uneven, dull, doubled or more frequent."""
    index = _pick(machine, rng, Impacts)
    if index is None:
        return None
    part = machine.parts[index]
    sound = part.sound
    assert isinstance(sound, Impacts)
    kind = rng.integers(6)
    if kind == 0:
        sound = replace(sound, missing=min(0.95, sound.missing + 0.2 + 0.6 * severity))
    elif kind == 1:
        sound = replace(sound, jitter=sound.jitter + 0.05 + 0.3 * severity)
    elif kind == 2:
        sound = replace(sound, scatter=sound.scatter + 0.3 + 0.8 * severity)
    elif kind == 3:
        factor = 1 - 0.5 * severity
        modes = tuple(mode * factor for mode in sound.modes_hz)
        sound = replace(sound, modes_hz=modes, decay=sound.decay * (1 + severity))
    elif kind == 4:
        sound = replace(
            sound, echoes=sound.echoes + int(rng.integers(1, 4)), gap=0.005 + 0.04 * rng.random()
        )
    else:
        sound = replace(sound, order=sound.order * rng.choice([0.5, 2.0, 1 + 0.3 * severity]))
    return _with(machine, index, replace(part, sound=sound))


def _flow(machine: Machine, rng: np.random.Generator, severity: float) -> Machine | None:
    """Noise of another colour, more gusty or more modulated."""
    index = _pick(machine, rng, Flow)
    if index is None:
        return None
    part = machine.parts[index]
    sound = part.sound
    assert isinstance(sound, Flow)
    kind = rng.integers(3)
    if kind == 0:
        tilt = rng.choice([-1, 1]) * (1 + 4 * severity)
        sound = replace(sound, spectrum=sound.spectrum._replace(slope=sound.spectrum.slope + tilt))
    elif kind == 1:
        sound = replace(sound, gusts=sound.gusts + 0.2 + 0.7 * severity)
    else:
        sound = replace(sound, depth=min(1.0, sound.depth + 0.2 + 0.7 * severity))
    return _with(machine, index, replace(part, sound=sound))


def _gate(machine: Machine, rng: np.random.Generator, severity: float) -> Machine | None:
    """A part comes late, or lasts longer or shorter."""
    at = [i for i, part in enumerate(machine.parts) if part.gate.length < 1]
    if not at:
        return None
    index = int(rng.choice(at))
    part = machine.parts[index]
    gate = part.gate
    if rng.random() < 0.5:
        gate = replace(gate, start=gate.start + rng.choice([-1, 1]) * (0.05 + 0.2 * severity))
    else:
        factor = np.exp(rng.choice([-1, 1]) * (0.15 + 0.6 * severity))
        gate = replace(gate, length=float(np.clip(gate.length * factor, 0.02, 0.95)))
    return _with(machine, index, replace(part, gate=gate))


def _cycle(machine: Machine, rng: np.random.Generator, severity: float) -> Machine | None:
    if all(part.gate.length == 1 for part in machine.parts):
        return None
    factor = np.exp(rng.choice([-1, 1]) * (0.05 + 0.4 * severity))
    return replace(machine, cycle_seconds=machine.cycle_seconds * float(factor))


CHANGES: tuple[Change, ...] = (
    _new_tones,
    _new_impacts,
    _new_impacts,
    _new_flow,
    _level,
    _level,
    _speed,
    _tones,
    _impacts,
    _flow,
    _gate,
    _cycle,
)
