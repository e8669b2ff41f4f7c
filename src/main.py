"""Documented entry: fit a detector to one machine id and evaluate it.

    python src/main.py --data PATH/valve --id id_00 --length 160000 --device auto

The same as `aad fit --watch-test` and `aad evaluate`, under the documented file names, with the
three models unless another preset is named.
"""

from pathlib import Path
from typing import Annotated

import typer

from audio_anomaly_detector import cli
from audio_anomaly_detector.cli import options
from audio_anomaly_detector.cli.configuration import preset_of_scripts

program = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@program.command()
def main(
    data: Annotated[Path, typer.Option(help="Folder that holds the machine's recordings.")],
    machine_id: options.MachineId = None,
    out: Annotated[Path, typer.Option(help="Folder for model, plots and report.")] = Path(),
    preset: options.ScriptPreset = None,
    seed: options.Seed = None,
    quiet: options.Quiet = False,
    length: options.Length = None,
    channels: options.Channels = None,
    group: options.Group = None,
    config_file: options.ConfigFile = None,
    settings: options.Settings = None,
    tta: options.Views = None,
    device: options.Device = "auto",
    oracle_epoch: options.OracleEpoch = False,
    normal: options.Normal = None,
    abnormal: options.Abnormal = None,
) -> int:
    """Learn one machine's normal sound, judge its test clips, write model, plots and report."""
    model = out / "final_audio_anomaly_model.pth"
    fitted = cli.fit(
        data,
        machine_id,
        out,
        model,
        preset=preset_of_scripts(preset, config_file, device),
        channels=channels,
        group=group,
        length=length,
        tta=tta,
        device=device,
        seed=seed,
        config_file=config_file,
        settings=settings,
        watch_test=True,
        oracle_epoch=oracle_epoch,
        normal=normal,
        abnormal=abnormal,
        quiet=quiet,
    )
    evaluated = cli.evaluate(
        model, data, device=device, normal=normal, abnormal=abnormal, quiet=quiet
    )
    return max(fitted, evaluated)


if __name__ == "__main__":
    cli.execute(program)
