"""The answers of the benchmark of decisions, kept in one file a machine."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from audio_anomaly_detector.benchmark.field import Answer, Part, RealMachine, SyntheticMachine
from audio_anomaly_detector.benchmark.machine_cells import cell_file, read_cell
from audio_anomaly_detector.benchmark.machine_runs import run_machines
from audio_anomaly_detector.files import hold_folder, write_csv
from audio_anomaly_detector.progress import Progress
from audio_anomaly_detector.threads import torch_threads

Machine = SyntheticMachine | RealMachine


@dataclass(frozen=True)
class Job:
    """Parts that a machine has not answered yet."""

    machine: Machine
    parts: tuple[Part, ...]


def run_missing(jobs: Sequence[Job], out: Path, workers: int, progress: Progress) -> list[str]:
    """Ask every machine the parts that it has not answered yet, in a process of its own.

    Args:
        jobs: machines and all parts that are wanted.
        out: folder.
        workers: machines at a time.
        progress: is told how many machines of all are done.

    Returns:
        Machines that failed, and why; the others go on.

    Raises:
        UserError: another run is writing into the folder, it cannot be written, or a file of
            answers is damaged; recordings of a real machine are not there.
    """
    with hold_folder(out):
        there = {job.machine: read_answers(job.machine, out) for job in jobs}

        def keep(job: Job, answers: list[Answer]) -> None:
            all_answers = [*there[job.machine], *answers]
            write_csv(cell_file(out, job.machine), Answer._fields, all_answers)

        missing = [
            Job(job.machine, parts)
            for job in jobs
            if (parts := _unanswered(job.parts, there[job.machine]))
        ]
        return run_machines(
            _ask, missing, len(jobs), workers, keep, lambda job: job.machine, progress
        )


def read_answers(machine: Machine, out: Path) -> list[Answer]:
    """What a machine has answered so far; nothing of another version, settings or data.

    Raises:
        UserError: the file is damaged.
    """
    return read_cell(out, machine, _answer, "answers", "ask")


def _answer(line: dict[str, str]) -> Answer:
    return Answer._make(line[name] for name in Answer._fields)._replace(
        label=int(line["label"]), nominal=float(line["nominal"])
    )


def _unanswered(parts: Sequence[Part], answers: Sequence[Answer]) -> tuple[Part, ...]:
    answered = {answer.part for answer in answers}
    return tuple(part for part in parts if str(part) not in answered)


def _ask(job: Job) -> list[Answer]:
    with torch_threads(1):
        return list(job.machine.answers(job.parts))
