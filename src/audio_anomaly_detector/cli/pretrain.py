"""`aad pretrain`."""

from pathlib import Path
from typing import Annotated

import typer

from audio_anomaly_detector.cli import options
from audio_anomaly_detector.cli.exit_codes import DONE


def pretrain(
    out: Annotated[Path, typer.Option(help="File of the backbone.")],
    recipe: Annotated[
        Path | None,
        typer.Option(metavar="YAML", help="What it is taught.  [default: that of the shipped one]"),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change the recipe, e.g. --set steps=500."),
    ] = None,
    workers: Annotated[
        int, typer.Option(min=0, max=1_000, help="Processes that draw sounds beside the training.")
    ] = 1,
    device: options.Device = "auto",
    verbose: options.Verbose = 0,
    quiet: options.Quiet = False,
) -> int:
    """Train a backbone: networks that have heard many made machines before any real one.

    A training that was interrupted goes on when it is started again with the same recipe. Several
    processes or GPUs: torchrun --nproc-per-node N -m audio_anomaly_detector pretrain --out FILE.
    Fits take it with --set networks.start=FILE.
    """
    from audio_anomaly_detector.cli.console import out as stdout
    from audio_anomaly_detector.cli.console import start_logging
    from audio_anomaly_detector.cli.progress_display import ProgressDisplay
    from audio_anomaly_detector.devices import resolve_device
    from audio_anomaly_detector.pretraining.recipe import SHIPPED_RECIPE, read_recipe
    from audio_anomaly_detector.pretraining.run import pretrain as train

    start_logging(max(verbose, 1), quiet)
    wanted = read_recipe(recipe or SHIPPED_RECIPE, settings)
    with ProgressDisplay(quiet) as progress:
        written = train(wanted, out, resolve_device(device), workers, progress)
    if written:
        stdout.print(
            f"{out}: written; use it with: "
            f"aad fit DATA --preset {wanted.preset} --set networks.start={out}"
        )
    return DONE
