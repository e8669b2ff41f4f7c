"""`aad decisions`."""

from pathlib import Path
from typing import Annotated

import typer

from audio_anomaly_detector.cli import options
from audio_anomaly_detector.cli.exit_codes import report_failures
from audio_anomaly_detector.errors import UserError


def decisions(
    real: Annotated[
        Path | None,
        typer.Argument(help="Folder with a folder for each real machine, clips in order of name."),
    ] = None,
    out: Annotated[
        Path, typer.Option(help="Folder for decisions.md, the picture, answers.")
    ] = Path("decisions"),
    machines: Annotated[int, typer.Option(min=0, help="Synthetic machines.")] = 52,
    seed: options.Seed = 0,
    verbose: options.Verbose = 0,
    quiet: options.Quiet = False,
    workers: Annotated[
        int | None,
        typer.Option(min=1, metavar="INT", help="Machines at a time.  [default: one a core]"),
    ] = None,
) -> int:
    """Measure false alarms and faults found: few and many normals, other lengths and conditions.

    Of synthetic machines with faults that no tuning has seen, about two minutes each, and of real
    ones: fitted on the first part of their normal clips, asked about the later ones. Started again
    it goes on where it was stopped.
    """
    from audio_anomaly_detector.benchmark.field import TYPES, RealMachine, SyntheticMachine
    from audio_anomaly_detector.benchmark.field_pages import (
        PAGE,
        Machine,
        run_machines,
        summed_up,
        write_page,
    )
    from audio_anomaly_detector.cli.console import remark, start_logging
    from audio_anomaly_detector.cli.progress_display import ProgressDisplay
    from audio_anomaly_detector.engines import cpu_cores

    start_logging(verbose, quiet)
    asked: list[Machine] = [
        SyntheticMachine(TYPES[number % len(TYPES)], number // len(TYPES), seed or 0)
        for number in range(machines)
    ]
    if real is not None:
        folders = (
            sorted(place for place in real.iterdir() if place.is_dir()) if real.is_dir() else []
        )
        if not folders:
            raise UserError(f"{real}: holds no folder of a machine; give the folder above them")
        asked += [RealMachine(folder.name, folder) for folder in folders]
    if not asked:
        raise UserError("no machine is left to ask; give --machines or a folder of real ones")
    with ProgressDisplay(quiet) as progress:
        failures = run_machines(asked, out, workers or cpu_cores(), progress)
    given = "" if real is None else " $FIELD"
    command = f"aad decisions{given} --machines {machines} --seed {seed or 0}"
    write_page(summed_up(asked, out), out, command)
    remark(f"results: {out / PAGE}")
    return report_failures(failures)
