"""Scored pieces of watched machines, kept in one file a machine."""

import csv
from collections.abc import Sequence
from pathlib import Path

from audio_anomaly_detector.benchmark.field_cells import origin
from audio_anomaly_detector.benchmark.machine_runs import run_machines
from audio_anomaly_detector.benchmark.watched_machines import Line, WatchedMachine
from audio_anomaly_detector.errors import UserError
from audio_anomaly_detector.files import hold_folder, write_csv
from audio_anomaly_detector.progress import Progress
from audio_anomaly_detector.threads import torch_threads

CELLS = "machines"


def score_missing(
    machines: Sequence[WatchedMachine], out: Path, workers: int, progress: Progress
) -> list[str]:
    """Score the pieces of every machine that has no file yet, in a process of its own.

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

    def keep(machine: WatchedMachine, lines: list[Line]) -> None:
        write_csv(_file(out, machine), Line._fields, lines)

    with hold_folder(out):
        missing = [machine for machine in machines if not _file(out, machine).exists()]
        return run_machines(_score, missing, len(machines), workers, keep, str, progress)


def read_lines(machine: WatchedMachine, out: Path) -> list[Line]:
    """The scored pieces of a machine; none if it has failed.

    Raises:
        UserError: the file is damaged.
    """
    path = _file(out, machine)
    if not path.exists():
        return []
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return [_line(row) for row in csv.DictReader(file)]
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        raise UserError(
            f"{path}: cannot be read as scores ({error}); delete the file to score again"
        ) from error


def _line(row: dict[str, str]) -> Line:
    return Line(
        row["machine"],
        row["learned"],
        row["sound"],
        row["kind"],
        int(row["piece"]),
        float(row["score"]),
        float(row["p_recording"]),
        row["verdict"],
        float(row["threshold"]),
        float(row["alarm_threshold"]) if row["alarm_threshold"] else "",
    )


def _score(machine: WatchedMachine) -> list[Line]:
    with torch_threads(1):
        return machine.lines()


def _file(out: Path, machine: WatchedMachine) -> Path:
    return out / CELLS / origin() / f"{machine.key}.csv"
