"""Machines of a benchmark, each in a process of its own, whose results are kept as they come."""

from collections.abc import Callable, Sequence
from contextlib import closing
from typing import TypeVar

from audio_anomaly_detector.engines import Failed, Processes
from audio_anomaly_detector.errors import Interrupted
from audio_anomaly_detector.progress import Progress

Job = TypeVar("Job")
Result = TypeVar("Result")


def run_machines(
    work: Callable[[Job], Result],
    missing: Sequence[Job],
    total: int,
    workers: int,
    keep: Callable[[Job, Result], None],
    name: Callable[[Job], object],
    progress: Progress,
) -> list[str]:
    """Work on every machine that is not finished.

    Args:
        work: on one of them; a function of a module, as another process runs it.
        missing: machines that are not finished.
        total: how many there are with those that are.
        workers: machines at a time.
        keep: takes a result as it comes.
        name: of a machine in messages.
        progress: is told how many machines of all are done.

    Returns:
        Machines that failed, and why; the others go on.
    """
    failures = []
    done = total - len(missing)
    progress.advance("machines", done, total)
    if not missing:
        return []
    try:
        with closing(Processes(workers=workers).map(work, missing)) as results:
            for index, result in results:
                if isinstance(result, Failed):
                    failures.append(f"{name(missing[index])}: {result.reason}")
                else:
                    keep(missing[index], result)
                done += 1
                progress.advance("machines", done, total)
    except Interrupted as interruption:
        interruption.add_note(
            f"{done} of {total} machines are finished; start the same command again to go on"
        )
        raise
    return failures
