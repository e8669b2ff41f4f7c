"""Scored pieces of watched machines, kept in one file a machine."""

from collections.abc import Sequence
from pathlib import Path

from audio_anomaly_detector.benchmark.machine_cells import fill_missing, read_cell
from audio_anomaly_detector.benchmark.watched_machines import Line, WatchedMachine
from audio_anomaly_detector.progress import Progress
from audio_anomaly_detector.threads import torch_threads


def score_missing(
    machines: Sequence[WatchedMachine], out: Path, workers: int, progress: Progress
) -> list[str]:
    """Score the pieces of every machine that has no file yet; see `fill_missing`."""
    return fill_missing(_score, Line._fields, machines, out, workers, progress)


def read_lines(machine: WatchedMachine, out: Path) -> list[Line]:
    """The scored pieces of a machine; none if it has failed.

    Raises:
        UserError: the file is damaged.
    """
    return read_cell(out, machine, _line, "scores", "score")


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
