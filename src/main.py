"""Documented entry: fit a detector to one machine id and evaluate it.

    python src/main.py --data PATH/valve --id id_00 --length 160000 --device auto

The same as `aad fit --watch-test` and `aad evaluate`, under the documented file names.
"""

from pathlib import Path
from typing import Annotated

import typer

from audio_anomaly_detector import cli
from audio_anomaly_detector.cli import options

program = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@program.command()
def main(
    data: Annotated[Path, typer.Option(help="Folder that holds the machine's recordings.")],
    machine_id: options.MachineId = None,
    length: options.Length = None,
    device: options.Device = "auto",
    out: Annotated[Path, typer.Option(help="Folder for model, plots and report.")] = Path(),
    preset: options.Preset = None,
    channels: options.Channels = None,
    tta: options.Views = None,
    seed: options.Seed = None,
    config_file: options.ConfigFile = None,
    settings: options.Settings = None,
    oracle_epoch: options.OracleEpoch = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> int:
    """Learn one machine's normal sound, judge its test clips, write model, plots and report."""
    model = out / "final_audio_anomaly_model.pth"
    fitted = cli.fit(
        data,
        machine_id,
        out,
        model,
        preset=preset,
        channels=channels,
        length=length,
        tta=tta,
        device=device,
        seed=seed,
        config_file=config_file,
        settings=settings,
        watch_test=True,
        oracle_epoch=oracle_epoch,
        quiet=quiet,
    )
    return max(fitted, cli.evaluate(model, data, device=device, quiet=quiet))


if __name__ == "__main__":
    cli.execute(program)
