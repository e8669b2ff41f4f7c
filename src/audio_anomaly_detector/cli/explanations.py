"""`aad explanations`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from audio_anomaly_detector.cli import options
from audio_anomaly_detector.cli.exit_codes import report_failures
from audio_anomaly_detector.errors import UserError


def explanations(
    data: Annotated[
        Path | None,
        typer.Argument(help="Real recordings; normal ones are altered as bad recordings are."),
    ] = None,
    out: Annotated[
        Path,
        typer.Option(help="Folder for explanations.md and .csv, the picture, what is measured."),
    ] = Path("explanations"),
    machines: Annotated[int, typer.Option(min=0, max=200, help="Synthetic machines.")] = 12,
    snr: Annotated[
        str,
        typer.Option(
            metavar="INTS", help="Machine against hall in dB; each machine at each, comma between."
        ),
    ] = "0,6",
    faults: Annotated[
        Literal["tuning", "held_out"],
        typer.Option(help="Which faults the synthetic machines have; constants know tuning ones."),
    ] = "held_out",
    normals: Annotated[int, typer.Option(min=4, help="Normal clips to learn from.")] = 30,
    seed: options.Seed = 0,
    verbose: options.Verbose = 0,
    quiet: options.Quiet = False,
    workers: options.MachinesAtATime = None,
) -> int:
    """Measure how right explanations are: places, words and rates of faults that are known.

    Of synthetic machines, whose faults' time, band, kind and rates are known, half a minute each,
    and of real recordings that are altered. Started again it goes on where it was stopped.
    """
    from audio_anomaly_detector.benchmark.altered_recordings import recorded_machines
    from audio_anomaly_detector.benchmark.explained_machines import FaultyMachine
    from audio_anomaly_detector.benchmark.explanation_cells import (
        Machine,
        cost,
        measure_missing,
        read_measured,
    )
    from audio_anomaly_detector.benchmark.explanation_pages import PAGE, write_pages
    from audio_anomaly_detector.benchmark.field import TYPES
    from audio_anomaly_detector.cli.console import remark, start_logging
    from audio_anomaly_detector.cli.progress_display import ProgressDisplay
    from audio_anomaly_detector.engines import cpu_cores

    start_logging(verbose, quiet)
    ratios = snr.split(",")
    if not all(ratio.removeprefix("-").isdigit() and abs(int(ratio)) <= 40 for ratio in ratios):
        raise UserError(f"--snr {snr}: give whole numbers from -40 to 40, comma between")
    wanted: list[Machine] = [
        FaultyMachine(
            TYPES[number % len(TYPES)], number // len(TYPES), ratio, faults, seed or 0, normals
        )
        for number in range(machines)
        for ratio in dict.fromkeys(map(int, ratios))
    ]
    if data is not None:
        wanted += recorded_machines(data, seed or 0)
    if not wanted:
        raise UserError("no machine is left to measure; give --machines or DATA")
    with ProgressDisplay(quiet) as progress:
        failures = measure_missing(wanted, out, workers or cpu_cores(), progress)
    measured = [one for machine in wanted for one in read_measured(machine, out)]
    given = "" if data is None else " $DATA"
    command = (
        f"aad explanations{given} --machines {machines} --snr {snr} --faults {faults} "
        f"--normals {normals} --seed {seed or 0}"
    )
    write_pages(measured, out, command)
    ratio = cost(measured)
    if ratio is not None:
        remark(f"explaining a clip takes {ratio:.1f} times as long as scoring it (median)")
    remark(f"results: {out / PAGE}")
    return report_failures(failures)
