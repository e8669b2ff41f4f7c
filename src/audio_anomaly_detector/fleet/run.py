"""Every machine id on an engine: finished ones are skipped, failed ones do not stop the rest."""

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import TypeVar

from audio_anomaly_detector.engines import Engine, Failed
from audio_anomaly_detector.errors import Interrupted
from audio_anomaly_detector.files import hold_folder
from audio_anomaly_detector.fleet.jobs import Job, Outcome, failure, finished, is_fitted, run_job
from audio_anomaly_detector.fleet.overview import PAGE, Row, overview_row, write_overview
from audio_anomaly_detector.fleet.pools import Pool, is_trained, train_pool
from audio_anomaly_detector.fleet.summary import write_summary
from audio_anomaly_detector.progress import SILENT, Progress

_T = TypeVar("_T")

# Written after every outcome, a summary of thousands would take longer than looking them up.
_SUMMARY_SECONDS = 1.0
_PAUSE = 20.0  # times as long as the last writing took: it takes at most a twentieth of the time


def run_all(
    jobs: Sequence[Job],
    engine: Engine,
    summary: Path,
    progress: Progress = SILENT,
    pools: Sequence[Pool] = (),
    on_outcome: Callable[[Outcome], None] | None = None,
) -> list[Outcome]:
    """Run all jobs that are not finished yet.

    Args:
        jobs: in the order of the summary.
        engine: runs them.
        summary: CSV, rewritten as outcomes come, every second at most, and at the end, with the
            overview page beside it. A crash loses no outcome: each stands in its run folder.
        progress: receives how many "machine ids" have an outcome, and how many "pools" of those
            that were missing are trained.
        on_outcome: called with every outcome as it comes.
        pools: what jobs share; those that jobs need and that are missing are trained first.

    Returns:
        Outcomes in the order of the jobs: all of them, or, if a job with ``on_error="stop"``
        failed, those there were by then.

    Raises:
        UserError: the engine cannot be started, the summary cannot be written, or another run is
            writing into its folder.
    """
    with hold_folder(summary.parent):
        outcomes: dict[int, Outcome] = {}
        rows: dict[int, Row] = {}
        page = summary.with_name(PAGE)
        next_writing = 0.0

        def write() -> None:
            nonlocal next_writing
            started = time.monotonic()
            write_summary(summary, _in_order(outcomes))
            write_overview(page, _in_order(rows), len(jobs))
            ended = time.monotonic()
            next_writing = ended + max(_SUMMARY_SECONDS, _PAUSE * (ended - started))

        def enter(index: int, outcome: Outcome) -> None:
            outcomes[index] = outcome
            rows[index] = overview_row(outcome, jobs[index].folder, page)
            if time.monotonic() > next_writing:
                write()
            if on_outcome is not None:
                on_outcome(outcome)
            progress.advance("machine ids", len(outcomes), len(jobs))

        write()  # if it cannot be written, better now than after an hour
        try:
            _run(jobs, engine, enter, progress, pools)
        except Interrupted as interruption:
            interruption.add_note(
                f"{len(outcomes)} of {len(jobs)} machine ids are finished; start the same command "
                "again to go on"
            )
            raise
        finally:
            write()
        return _in_order(outcomes)


def _run(
    jobs: Sequence[Job],
    engine: Engine,
    enter: Callable[[int, Outcome], None],
    progress: Progress,
    pools: Sequence[Pool],
) -> None:
    """Look up finished jobs, run the others, and enter every outcome as it comes."""
    waiting = []
    for index, job in enumerate(jobs):
        before = finished(job)
        if before is None:
            waiting.append(index)
        else:
            enter(index, before)
    unfitted = [index for index in waiting if not is_fitted(jobs[index])]
    needed = {jobs[index].pool for index in unfitted}
    failed = _train([pool for pool in pools if pool.path in needed], engine, progress)
    for index in [i for i in unfitted if jobs[i].pool in failed]:
        waiting.remove(index)
        enter(index, failure(jobs[index], failed[jobs[index].pool]))
    if waiting:
        with closing(engine.map(run_job, [jobs[index] for index in waiting])) as results:
            for place, result in results:
                job = jobs[waiting[place]]
                outcome = failure(job, result.reason) if isinstance(result, Failed) else result
                enter(waiting[place], outcome)
                if outcome.status == "failed" and job.options.on_error == "stop":
                    break


def _train(pools: Sequence[Pool], engine: Engine, progress: Progress) -> dict[Path | None, str]:
    """Train the pools that are missing; files of those that failed, with the reason."""
    missing = [pool for pool in pools if not is_trained(pool)]
    failed: dict[Path | None, str] = {}
    if missing:
        progress.advance("pools", 0, len(missing))
        with closing(engine.map(train_pool, missing)) as results:
            for done, (place, result) in enumerate(results, start=1):
                progress.advance("pools", done, len(missing))
                reason = result.reason if isinstance(result, Failed) else result
                if reason:
                    failed[missing[place].path] = f"its pool could not be trained: {reason}"
    return failed


def _in_order(found: dict[int, _T]) -> list[_T]:
    return [found[index] for index in sorted(found)]
