"""`aad synth`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from audio_anomaly_detector.cli import options
from audio_anomaly_detector.cli.exit_codes import DONE


def synth(
    out: Annotated[Path, typer.Argument(help="Folder for the synthetic data set (MIMII layout).")],
    machines: Annotated[
        str, typer.Option(help="Machine types, comma-separated.")
    ] = "fan,pump,slider,valve",
    ids: Annotated[int, typer.Option(help="Machines of each type.")] = 2,
    normal: Annotated[int, typer.Option(help="Normal clips of each machine.")] = 20,
    abnormal: Annotated[int, typer.Option(help="Faulty clips of each machine.")] = 10,
    snr: Annotated[str, typer.Option(help="Machine over noise in dB, comma-separated.")] = "-6",
    channels: Annotated[int, typer.Option(help="Microphones.")] = 2,
    seconds: Annotated[float, typer.Option(help="Length of a clip.")] = 10.0,
    faults: Annotated[
        Literal["tuning", "held_out"],
        typer.Option(help="Faults this program was tuned on, or others."),
    ] = "tuning",
    seed: options.Seed = 0,
    verbose: options.Verbose = 0,
    quiet: options.Quiet = False,
) -> int:
    """Synthesise recordings of fans, pumps, slide rails and valves, healthy and faulty.

    The same seed gives the same bytes.
    """
    from audio_anomaly_detector.cli.console import out as stdout
    from audio_anomaly_detector.cli.console import start_logging
    from audio_anomaly_detector.cli.progress_display import ProgressDisplay
    from audio_anomaly_detector.settings import validated
    from audio_anomaly_detector.synthesis.data_set import SyntheticConfig, synthesise

    start_logging(verbose, quiet)
    config = validated(
        SyntheticConfig,
        {
            "machines": machines.split(","),
            "ids": ids,
            "normal": normal,
            "abnormal": abnormal,
            "snr_db": snr.split(","),
            "channels": channels,
            "seconds": seconds,
            "faults": faults,
            "seed": seed,
        },
    )
    with ProgressDisplay(quiet) as progress:
        synthesise(out, config, progress)
    stdout.print(f"{out}: written; look at it with: aad inspect {out}")
    return DONE
