"""Rates and frequencies of the faults of the synthetic machines, to be compared with findings."""

from typing import NamedTuple

import numpy as np

from audio_anomaly_detector.synthesis.faults import (
    MAINS_HZ,
    Fault,
    bearing_order,
    rattle_order,
)
from audio_anomaly_detector.synthesis.machines import Fan, Machine, Pump, Slider, squeal_order


class FaultFigures(NamedTuple):
    """What repeats in the sound of a fault, and at which frequencies it lies.

    Attributes:
        rates: at which impacts or swings repeat, Hz.
        tones: frequencies of lines, Hz.
        steady: they hold throughout the clip, so that words should state one; False: the impacts
            are too irregular, or the machine changes its speed, so that none need be stated.
    """

    rates: tuple[float, ...] = ()
    tones: tuple[float, ...] = ()
    steady: bool = True


NONE = FaultFigures(steady=False)


def fault_figures(machine: Machine, rng: np.random.Generator, fault: Fault) -> FaultFigures:
    """Figures of a fault in one clip.

    Args:
        machine: that has it.
        rng: the one that `Machine.sound` was given: its first number is the load, which a rotor's
            speed follows.
        fault: of the clip.
    """
    load = rng.normal()
    if isinstance(machine, Fan):
        shaft = machine.speed_hz * (1 + 0.008 * load + 0.03 * fault.of("clogging"))
        return _of_rotor(shaft, machine.blades, fault)
    if isinstance(machine, Pump):
        shaft = machine.speed_hz * (1 - 0.004 * load + 0.01 * fault.of("clogging"))
        return _of_rotor(shaft, machine.vanes, fault)
    if isinstance(machine, Slider):
        return _of_slider(machine, fault)
    if fault.kind == "chatter":
        return FaultFigures((2 * MAINS_HZ * rattle_order(fault),), steady=False)
    return NONE


def _of_slider(slider: Slider, fault: Fault) -> FaultFigures:
    if fault.kind == "dry_rail":
        # At full speed, which the carriage keeps for most of a stroke.
        return FaultFigures(tones=(squeal_order(fault) * slider.whine_hz,))
    if fault.kind == "bearing":
        rollers = slider.rollers_hz
        return FaultFigures((bearing_order(fault) * rollers, rollers), steady=False)
    return NONE


def _of_rotor(shaft: float, blades: int, fault: Fault) -> FaultFigures:
    """Of a fan or pump whose shaft turns `shaft` times a second."""
    if fault.kind == "bearing":
        # The impacts, and the load zone by which they swing.
        return FaultFigures((bearing_order(fault) * shaft, shaft))
    if fault.kind == "imbalance":
        return FaultFigures((shaft,), tuple(order * shaft for order in (1, 2, 3)))
    if fault.kind == "bent_blade":
        # The blade tones rise and swing with the shaft, which gives each a side band on either
        # side.
        orders = [blades * harmonic + side for harmonic in range(1, 9) for side in (-1, 0, 1)]
        return FaultFigures((shaft,), (shaft, *(order * shaft for order in orders)))
    if fault.kind == "loosened":
        return FaultFigures((rattle_order(fault) * shaft,), steady=False)
    if fault.kind == "cavitation":
        return FaultFigures((blades * shaft,), steady=False)
    return NONE
