"""What the benchmark of explanations measures, kept in one file a machine."""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from audio_anomaly_detector.benchmark.altered_recordings import RecordedMachine
from audio_anomaly_detector.benchmark.explained_machines import COST, FaultyMachine, Measured
from audio_anomaly_detector.benchmark.field_cells import CELLS, origin
from audio_anomaly_detector.benchmark.machine_runs import run_machines
from audio_anomaly_detector.errors import UserError
from audio_anomaly_detector.files import hold_folder, write_csv
from audio_anomaly_detector.progress import Progress
from audio_anomaly_detector.threads import torch_threads

Machine = FaultyMachine | RecordedMachine


def measure_missing(
    machines: Sequence[Machine], out: Path, workers: int, progress: Progress
) -> list[str]:
    """Measure every machine that has not been measured yet, in a process of its own.

    Args:
        machines: all that are wanted.
        out: folder.
        workers: machines at a time.
        progress: is told how many machines of all are done.

    Returns:
        Machines that failed, and why; the others go on.

    Raises:
        UserError: another run is writing into the folder, or it cannot be written.
    """
    with hold_folder(out):
        return run_machines(
            _measure,
            [machine for machine in machines if not _file(out, machine).exists()],
            len(machines),
            workers,
            lambda machine, found: write_csv(_file(out, machine), Measured._fields, found),
            str,
            progress,
        )


def read_measured(machine: Machine, out: Path) -> list[Measured]:
    """What was measured of a machine; nothing of another version, settings or data.

    Raises:
        UserError: the file is damaged.
    """
    path = _file(out, machine)
    if not path.exists():
        return []
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return [
                Measured._make(line[name] for name in Measured._fields)._replace(
                    value=float(line["value"])
                )
                for line in csv.DictReader(file)
            ]
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        raise UserError(
            f"{path}: cannot be read as what was measured ({error}); delete the file to measure "
            "again"
        ) from error


def cost(measured: Sequence[Measured]) -> float | None:
    """Median time of explaining a clip over that of scoring it; None: not measured."""
    ratios = [one.value for one in measured if one.quantity == COST]
    return float(np.median(ratios)) if ratios else None


def _measure(machine: Machine) -> list[Measured]:
    with torch_threads(1):
        return list(machine.measured())


def _file(out: Path, machine: Machine) -> Path:
    return out / CELLS / origin() / f"{machine.key}.csv"
