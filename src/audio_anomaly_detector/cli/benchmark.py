"""`aad benchmark`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from audio_anomaly_detector.cli import options
from audio_anomaly_detector.cli.exit_codes import report_failures
from audio_anomaly_detector.errors import UserError


def benchmark(
    data: options.Data = None,
    root: options.RootOption = None,
    out: Annotated[
        Path, typer.Option(help="Folder for results.md, .csv, .html and the cells (results/).")
    ] = Path("benchmark"),
    detectors: Annotated[
        str, typer.Option(help="all, or some, comma between; a wrong name lists them.")
    ] = "all",
    protocol: Annotated[
        Literal["folds", "split"], typer.Option(help="Five folds an id, or the data set's split.")
    ] = "folds",
    level: Annotated[
        Literal["equalised", "recorded", "both"], typer.Option(help="Of the clips.")
    ] = "both",
    channels: Annotated[
        str, typer.Option(help="all, mean or numbers of microphones, comma between.")
    ] = "all,0",
    train_clips: Annotated[
        str, typer.Option(help="all, or numbers of normals to learn from, comma between.")
    ] = "all",
    seeds: Annotated[
        int, typer.Option(min=1, metavar="INT", help="Of detectors that draw anything.")
    ] = 3,
    verbose: options.Verbose = 0,
    quiet: options.Quiet = False,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="INT",
            help="Cells at a time.  [default: one a core]",
            rich_help_panel=options.COMPUTING,
        ),
    ] = None,
    threads: Annotated[
        int,
        typer.Option(
            min=1, metavar="INT", help="CPU threads of a cell.", rich_help_panel=options.COMPUTING
        ),
    ] = 1,
    layout: options.Layout = "auto",
    normal: options.Normal = None,
    abnormal: options.Abnormal = None,
    join_takes: options.JoinTakes = False,
) -> int:
    """Judge detectors on the same folds, side by side, with intervals and paired differences.

    Started again it goes on where it was stopped. The pages have all finished cells below --out,
    the terminal those that were asked for.
    """
    from audio_anomaly_detector.benchmark.cells import Setting, make_cell_jobs, run_missing
    from audio_anomaly_detector.benchmark.detectors import DETECTORS
    from audio_anomaly_detector.benchmark.pages import CELLS, write_results
    from audio_anomaly_detector.cli.console import err, remark, start_logging
    from audio_anomaly_detector.cli.progress_display import ProgressDisplay
    from audio_anomaly_detector.cli.recordings import find_recordings
    from audio_anomaly_detector.cli.tables import print_leaderboard
    from audio_anomaly_detector.data.layouts import machines
    from audio_anomaly_detector.engines import cpu_cores

    start_logging(verbose, quiet)
    data = options.one_place("DATA", data, root)
    names = list(DETECTORS) if detectors == "all" else detectors.split(",")
    for name in list(names):
        if name not in DETECTORS:
            raise UserError(f"--detectors {name}: choose one of {', '.join(DETECTORS)}")
        reason = DETECTORS[name].missing()
        if reason:
            err.print(f"skipped {name}: {reason}")
            names.remove(name)
    if not names:
        raise UserError("no detector is left to run")
    settings = [
        Setting(
            protocol,
            each,
            microphones
            if microphones in ("all", "mean")
            else str(_count("--channels", microphones)),
            None if limit == "all" else _count("--train-clips", limit),
        )
        for each in (("equalised", "recorded") if level == "both" else (level,))
        for microphones in channels.split(",")
        for limit in train_clips.split(",")
    ]
    found = find_recordings(data, layout, normal, abnormal, join_takes)
    found.require_labels(found.clips)
    jobs = make_cell_jobs(machines(found.clips), names, settings, seeds, threads)
    folder = out / CELLS / data.resolve().name
    with ProgressDisplay(quiet) as progress:
        failures = [
            f"{job}: {failed.reason}"
            for job, failed in run_missing(jobs, folder, workers or cpu_cores(), progress)
        ]
    for section in write_results(out):
        if section.dataset == folder.name and section.leaderboard.setting in settings:
            print_leaderboard(section.title, section.leaderboard, section.verdict)
    remark(f"results: {out / 'results.html'}")
    return report_failures(failures)


def _count(option: str, value: str) -> int:
    if not value.isdigit():
        raise UserError(f"{option} {value}: give a whole number, or all")
    return int(value)
