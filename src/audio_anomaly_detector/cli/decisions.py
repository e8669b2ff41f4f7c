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
        Path, typer.Option(help="Folder for decisions.md and .csv, the picture, answers.")
    ] = Path("decisions"),
    machines: Annotated[int, typer.Option(min=0, help="Synthetic machines.")] = 52,
    scenarios: Annotated[
        str, typer.Option(help="all, or some, comma between; a wrong name lists them.")
    ] = "all",
    normals: Annotated[
        str,
        typer.Option(
            metavar="INTS",
            help="Normal clips that detectors learn from which are asked about other lengths and "
            "conditions, comma between.",
        ),
    ] = "20",
    seed: options.Seed = 0,
    verbose: options.Verbose = 0,
    quiet: options.Quiet = False,
    workers: options.MachinesAtATime = None,
) -> int:
    """Measure false alarms and faults found: few and many normals, other lengths and conditions.

    Of synthetic machines with faults that no tuning has seen, about two minutes each, and of real
    ones: fitted on the first part of their normal clips, asked about the later ones. Started again
    it goes on where it was stopped, with other scenarios too.
    """
    from audio_anomaly_detector.benchmark.field import (
        SCENARIOS,
        TYPES,
        RealMachine,
        SyntheticMachine,
    )
    from audio_anomaly_detector.benchmark.field_cells import (
        Job,
        Machine,
        read_answers,
        run_missing,
    )
    from audio_anomaly_detector.benchmark.field_pages import PAGE, summed_up, write_pages
    from audio_anomaly_detector.cli.console import remark, start_logging
    from audio_anomaly_detector.cli.progress_display import ProgressDisplay
    from audio_anomaly_detector.data.datasets import MIN_TRAIN_CLIPS
    from audio_anomaly_detector.engines import cpu_cores

    start_logging(verbose, quiet)
    chosen = SCENARIOS if scenarios == "all" else tuple(scenarios.split(","))
    for name in chosen:
        if name not in SCENARIOS:
            raise UserError(f"--scenarios {name}: choose some of {', '.join(SCENARIOS)}")
    counts = normals.split(",")
    if not all(count.isdigit() and int(count) >= MIN_TRAIN_CLIPS for count in counts):
        raise UserError(f"--normals {normals}: give whole numbers from {MIN_TRAIN_CLIPS} up")
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
    numbers = list(dict.fromkeys(map(int, counts)))
    jobs = [Job(machine, tuple(machine.parts(chosen, numbers))) for machine in asked]
    with ProgressDisplay(quiet) as progress:
        failures = run_missing(jobs, out, workers or cpu_cores(), progress)
    answers = [
        answer
        for job in jobs
        for answer in read_answers(job.machine, out)
        if answer.part in set(map(str, job.parts))
    ]
    given = "" if real is None else " $FIELD"
    command = (
        f"aad decisions{given} --machines {machines} --scenarios {scenarios} "
        f"--normals {normals} --seed {seed or 0}"
    )
    write_pages(summed_up(answers), out, command)
    remark(f"results: {out / PAGE}")
    return report_failures(failures)
