"""Results of a benchmark's machines, kept in one file a machine."""

import csv
from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol, TypeVar

from audio_anomaly_detector.benchmark.machine_runs import run_machines
from audio_anomaly_detector.benchmark.origin import settings_hash
from audio_anomaly_detector.config import load_config
from audio_anomaly_detector.errors import UserError
from audio_anomaly_detector.files import hold_folder, write_csv
from audio_anomaly_detector.progress import Progress
from audio_anomaly_detector.provenance import PACKAGE
from audio_anomaly_detector.synthesis.data_set import GENERATOR

CELLS = "machines"

Row = TypeVar("Row")


class Keyed(Protocol):
    """A machine of a benchmark."""

    @property
    def key(self) -> str:
        """Name of its file: all that its results depend on."""


Machine = TypeVar("Machine", bound=Keyed)


def origin() -> str:
    """What results depend on besides their machine: version, settings and generator."""
    settings = settings_hash(load_config("instant"))
    return f"{version(PACKAGE)}-{settings}-generator-{GENERATOR}"


def cell_file(out: Path, machine: Keyed) -> Path:
    """Where the results of a machine lie."""
    return out / CELLS / origin() / f"{machine.key}.csv"


def read_cell(
    out: Path, machine: Keyed, row: Callable[[dict[str, str]], Row], what: str, again: str
) -> list[Row]:
    """The results of a machine so far; none of another version, settings or data.

    Args:
        out: folder.
        machine: of the benchmark.
        row: makes a result of a line of the file, by column.
        what: the results are, in messages.
        again: what is done once more where the file is deleted.

    Raises:
        UserError: the file is damaged.
    """
    path = cell_file(out, machine)
    if not path.exists():
        return []
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return [row(line) for line in csv.DictReader(file)]
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        raise UserError(
            f"{path}: cannot be read as {what} ({error}); delete the file to {again} again"
        ) from error


def fill_missing(
    work: Callable[[Machine], Sequence[Iterable[Any]]],
    columns: Sequence[str],
    machines: Sequence[Machine],
    out: Path,
    workers: int,
    progress: Progress,
) -> list[str]:
    """Work on every machine that has no file yet, in a process of its own.

    Args:
        work: gives the results of a machine; a function of a module, as another process runs it.
        columns: of the results.
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
            work,
            [machine for machine in machines if not cell_file(out, machine).exists()],
            len(machines),
            workers,
            lambda machine, found: write_csv(cell_file(out, machine), columns, found),
            str,
            progress,
        )
