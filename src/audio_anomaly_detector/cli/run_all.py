"""`aad run-all`."""

from pathlib import Path
from typing import Annotated

import typer

from audio_anomaly_detector.cli import options
from audio_anomaly_detector.cli.exit_codes import DONE, FAILED, SOME_FAILED
from audio_anomaly_detector.engines import EngineName

SAVE = Path("best_models")


def run_all(
    data: options.Data = None,
    root: options.RootOption = None,
    save: Annotated[
        list[Path] | None,
        typer.Option(
            "--save",
            "--out",
            metavar="PATH",
            help="Folder for models, runs and the summary.  [default: best_models]",
        ),
    ] = None,
    preset: options.Preset = None,
    seed: options.Seed = None,
    verbose: options.Verbose = 0,
    quiet: options.Quiet = False,
    engine: Annotated[
        EngineName,
        typer.Option(
            help="One job after the other, each in a process of its own, or on a Ray cluster.",
            rich_help_panel=options.COMPUTING,
        ),
    ] = "serial",
    workers: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="INT",
            help="Jobs at a time.  [default: one a core]",
            rich_help_panel=options.COMPUTING,
        ),
    ] = None,
    threads: options.Threads = None,
    address: Annotated[
        str | None,
        typer.Option(
            help="Ray cluster to use; otherwise one is started here.",
            rich_help_panel=options.COMPUTING,
        ),
    ] = None,
    device: options.Device = "auto",
    on_error: options.OnError = "skip",
    layout: options.Layout = "auto",
    normal: options.Normal = None,
    abnormal: options.Abnormal = None,
    join_takes: options.JoinTakes = False,
    channels: options.Channels = None,
    group: options.Group = None,
    length: options.Length = None,
    pool: options.Pool = None,
    config_file: options.ConfigFile = None,
    settings: options.Settings = None,
    tta: options.Views = None,
    watch_test: options.WatchTest = True,
    oracle_epoch: options.OracleEpoch = False,
    plots: options.Plots = "sheet",
    figures: options.Figures = None,
) -> int:
    """Fit and evaluate a detector for every machine id below DATA, and sum up.

    Started again it skips what is finished. An id that fails is listed at the end; the others go
    on.
    """
    from audio_anomaly_detector.cli.configuration import read_config
    from audio_anomaly_detector.cli.console import err, remark, start_logging
    from audio_anomaly_detector.cli.progress_display import ProgressDisplay
    from audio_anomaly_detector.cli.recordings import find_recordings
    from audio_anomaly_detector.cli.tables import print_table
    from audio_anomaly_detector.devices import uses_gpu
    from audio_anomaly_detector.engines import make_engine
    from audio_anomaly_detector.fleet.jobs import Outcome, make_jobs
    from audio_anomaly_detector.fleet.overview import PAGE
    from audio_anomaly_detector.fleet.pools import make_pools
    from audio_anomaly_detector.fleet.run import run_all as run_jobs
    from audio_anomaly_detector.fleet.summary import outcome_line, summary_table
    from audio_anomaly_detector.run_options import RunOptions

    # The epochs' figures go through the log, as the jobs may run in other processes.
    start_logging(max(verbose, int(watch_test)), quiet)
    config = read_config(
        preset,
        config_file,
        settings,
        seed=seed,
        channels=channels,
        group=group,
        length=length,
        tta=tta,
        oracle_epoch=oracle_epoch,
        pool=pool,
    )
    runner = make_engine(engine, workers, threads, uses_gpu(device), address)
    found = find_recordings(
        options.one_place("DATA", data, root), layout, normal, abnormal, join_takes
    )
    found.require_labels(clips := found.clips)
    folder = options.one_place("--save", save or SAVE)
    run_options = RunOptions(device, on_error, watch_test, runner.cores, plots, figures)
    pools = make_pools(clips, config, folder, run_options)
    jobs = make_jobs(clips, config, folder, run_options, pools)
    summary = folder / "summary.csv"
    with ProgressDisplay(quiet) as progress:

        def show(outcome: Outcome) -> None:
            if not quiet and outcome.status != "skipped":
                with progress.aside():
                    err.print(outcome_line(outcome))

        outcomes = run_jobs(jobs, runner, summary, progress, pools, show)
    print_table(summary_table(outcomes))
    remark(f"summary: {summary}")
    remark(f"overview: {summary.with_name(PAGE)}")
    failed = [outcome for outcome in outcomes if outcome.status == "failed"]
    if len(failed) == len(outcomes):
        return FAILED
    return SOME_FAILED if failed or any(outcome.n_failed_clips for outcome in outcomes) else DONE
