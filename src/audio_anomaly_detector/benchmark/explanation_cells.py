"""What the benchmark of explanations measures, kept in one file a machine."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from audio_anomaly_detector.benchmark.altered_recordings import RecordedMachine
from audio_anomaly_detector.benchmark.explained_machines import COST, FaultyMachine, Measured
from audio_anomaly_detector.benchmark.machine_cells import fill_missing, read_cell
from audio_anomaly_detector.progress import Progress
from audio_anomaly_detector.threads import torch_threads

Machine = FaultyMachine | RecordedMachine


def measure_missing(
    machines: Sequence[Machine], out: Path, workers: int, progress: Progress
) -> list[str]:
    """Measure every machine that has not been measured yet; see `fill_missing`."""
    return fill_missing(_measure, Measured._fields, machines, out, workers, progress)


def read_measured(machine: Machine, out: Path) -> list[Measured]:
    """What was measured of a machine; nothing of another version, settings or data.

    Raises:
        UserError: the file is damaged.
    """
    return read_cell(out, machine, _row, "what was measured", "measure")


def cost(measured: Sequence[Measured]) -> float | None:
    """Median time of explaining a clip over that of scoring it; None: not measured."""
    ratios = [one.value for one in measured if one.quantity == COST]
    return float(np.median(ratios)) if ratios else None


def _row(line: dict[str, str]) -> Measured:
    return Measured._make(line[name] for name in Measured._fields)._replace(
        value=float(line["value"])
    )


def _measure(machine: Machine) -> list[Measured]:
    with torch_threads(1):
        return list(machine.measured())
