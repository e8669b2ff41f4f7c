"""`aad alerts`."""

from pathlib import Path
from typing import Annotated

import typer

from audio_anomaly_detector.cli import options
from audio_anomaly_detector.cli.exit_codes import report_failures


def alerts(
    out: Annotated[Path, typer.Option(help="Folder for alerts.md and .csv, scored sound.")] = Path(
        "alerts"
    ),
    machines: Annotated[int, typer.Option(min=1, max=200, help="Synthetic machines.")] = 8,
    weeks: Annotated[int, typer.Option(min=1, help="Simulated weeks of each.")] = 13,
    tuning: Annotated[
        bool,
        typer.Option("--tuning", metavar="", help="The faults that rules may be chosen on."),
    ] = False,
    seed: options.Seed = 0,
    verbose: options.Verbose = 0,
    quiet: options.Quiet = False,
    workers: options.MachinesAtATime = None,
) -> int:
    """Measure how often watched machines are told of without a fault, and how soon with one.

    Synthetic machines learn, are scored healthy, disturbed and faulty, about two minutes each, and
    go through weeks with talk, rain, doors, lorries and other gains. Started again it goes on where
    it was stopped.
    """
    from audio_anomaly_detector.benchmark.alert_pages import (
        PAGE,
        Outcome,
        simulate,
        write_pages,
    )
    from audio_anomaly_detector.benchmark.field import TYPES
    from audio_anomaly_detector.benchmark.watched_cells import read_lines, score_missing
    from audio_anomaly_detector.benchmark.watched_machines import WatchedMachine
    from audio_anomaly_detector.cli.console import remark, start_logging
    from audio_anomaly_detector.cli.progress_display import ProgressDisplay
    from audio_anomaly_detector.engines import cpu_cores
    from audio_anomaly_detector.monitor.alert_config import AlertConfig

    start_logging(verbose, quiet)
    watched = [
        WatchedMachine(
            TYPES[number % len(TYPES)],
            number // len(TYPES),
            seed or 0,
            "tuning" if tuning else "held_out",
        )
        for number in range(machines)
    ]
    with ProgressDisplay(quiet) as progress:
        failures = score_missing(watched, out, workers or cpu_cores(), progress)
        outcomes: list[Outcome] = []
        for number, machine in enumerate(watched):
            progress.advance("simulating weeks", number, len(watched))
            if lines := read_lines(machine, out):
                outcomes += simulate(lines, weeks, seed or 0, AlertConfig())
        progress.advance("simulating weeks", len(watched), len(watched))
    command = f"aad alerts --machines {machines} --weeks {weeks} --seed {seed or 0}"
    write_pages(outcomes, out, command + (" --tuning" if tuning else ""))
    remark(f"results: {out / PAGE}")
    return report_failures(failures)
