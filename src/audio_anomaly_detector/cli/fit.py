"""`aad fit`."""

from pathlib import Path
from typing import Annotated

import typer

from audio_anomaly_detector.cli import options
from audio_anomaly_detector.cli.exit_codes import report_failures


def fit(
    data: options.Data = None,
    machine_id: options.MachineId = None,
    out: Annotated[Path, typer.Option(help="Run folder.")] = Path("out"),
    model: Annotated[
        Path | None, typer.Option(help="Model file.  [default: model.pth in the run folder]")
    ] = None,
    preset: options.Preset = None,
    seed: options.Seed = None,
    verbose: options.Verbose = 0,
    quiet: options.Quiet = False,
    data_option: options.DataOption = None,
    layout: options.Layout = "auto",
    normal: options.Normal = None,
    abnormal: options.Abnormal = None,
    join_takes: options.JoinTakes = False,
    channels: options.Channels = None,
    group: options.Group = None,
    length: options.Length = None,
    config_file: options.ConfigFile = None,
    settings: options.Settings = None,
    tta: options.Views = None,
    device: options.Device = "auto",
    on_error: options.OnError = "skip",
    watch_test: options.WatchTest = False,
    oracle_epoch: options.OracleEpoch = False,
) -> int:
    """Learn the normal sound of one machine from the normal clips below DATA.

    Clips labelled anomalous and as many normals are kept apart for `aad evaluate`. A fit that
    was interrupted is resumed when it is started again with the same settings.
    """
    from audio_anomaly_detector.cli.configuration import read_config
    from audio_anomaly_detector.cli.console import out as stdout
    from audio_anomaly_detector.cli.console import start_logging
    from audio_anomaly_detector.cli.progress_display import ProgressDisplay
    from audio_anomaly_detector.cli.recordings import find_recordings
    from audio_anomaly_detector.data.copies import copies_note
    from audio_anomaly_detector.data.datasets import prepare_split
    from audio_anomaly_detector.data.layouts import select_machine
    from audio_anomaly_detector.loading import RUN_MODEL
    from audio_anomaly_detector.run_options import RunOptions
    from audio_anomaly_detector.runs.fit import fit_machine

    start_logging(verbose, quiet)
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
    )
    data = options.one_place("DATA", data, data_option)
    found = find_recordings(data, layout, normal, abnormal, join_takes)
    clips = select_machine(found.clips, machine_id)
    found.require_labels(clips)
    split = prepare_split(clips, config.audio, config.seed)
    model = model or out / RUN_MODEL
    run_options = RunOptions(device, on_error, watch_test)
    with ProgressDisplay(quiet, epochs=watch_test or verbose > 0) as progress:
        result = fit_machine(split, config, out, model, run_options, progress)
    detector = result.detector
    stdout.print(
        f"{model}: {len(detector.provenance.clips)} normal clips of "
        f"{detector.provenance.machine}, preset {config.preset}, "
        f"threshold {detector.threshold:.3f}"
    )
    for note in copies_note(detector.provenance.copies):
        stdout.print(note)
    for note in detector.notes:
        stdout.print(note)
    if result.outliers:
        stdout.print(
            "outliers among the normal clips, used all the same: " + ", ".join(result.outliers)
        )
    return report_failures(result.failures)
