"""`aad evaluate`."""

from pathlib import Path
from typing import Annotated

import typer

from audio_anomaly_detector.cli import options
from audio_anomaly_detector.cli.exit_codes import DONE, report_failures


def evaluate(
    model: options.Model,
    data: options.Data = None,
    machine_id: options.MachineId = None,
    out: Annotated[
        Path | None, typer.Option(help="Run folder.  [default: the model file's]")
    ] = None,
    as_json: options.AsJson = False,
    verbose: options.Verbose = 0,
    quiet: options.Quiet = False,
    data_option: options.DataOption = None,
    layout: options.Layout = "auto",
    normal: options.Normal = None,
    abnormal: options.Abnormal = None,
    join_takes: options.JoinTakes = False,
    false_alarm_rate: options.FalseAlarms = None,
    threshold_method: options.ThresholdMethod = None,
    threshold: options.ThresholdValue = None,
    false_alarms: options.AlarmsInTime = None,
    clips_per_day: options.ClipsPerDay = None,
    device: options.Device = "auto",
    plots: options.Plots = "all",
    figures: options.Figures = None,
) -> int:
    """Score the test clips below DATA and write metrics, scores, plots and a report.

    The test clips are those that `aad fit` kept apart; clips used in training are refused.
    """
    from audio_anomaly_detector.cli.configuration import changed_threshold
    from audio_anomaly_detector.cli.console import remark, start_logging
    from audio_anomaly_detector.cli.interruption import NOTHING_KEPT
    from audio_anomaly_detector.cli.progress_display import ProgressDisplay
    from audio_anomaly_detector.cli.recordings import find_recordings
    from audio_anomaly_detector.cli.tables import print_metrics
    from audio_anomaly_detector.data.datasets import prepare_split
    from audio_anomaly_detector.data.layouts import machines, select_machine
    from audio_anomaly_detector.loading import load_detector, run_folder
    from audio_anomaly_detector.runs.evaluate import NothingToEvaluate, evaluate_machine

    start_logging(verbose, quiet)
    detector = load_detector(model, device)
    decision = changed_threshold(
        detector.threshold_config,
        false_alarm_rate,
        threshold_method,
        threshold,
        false_alarms,
        clips_per_day,
    )
    detector = detector.with_threshold(decision)
    key = str(detector.provenance.machine)
    data = options.one_place("DATA", data, data_option)
    found = find_recordings(data, layout, normal, abnormal, join_takes, to_learn=False)
    if machine_id is None and key in map(str, machines(found.clips)):
        machine_id = key
    config = detector.config
    clips = select_machine(found.clips, machine_id)
    found.require_labels(clips)
    test = prepare_split(clips, config.audio, config.seed).test
    out = out or run_folder(model)
    try:
        with ProgressDisplay(quiet, interrupted=NOTHING_KEPT) as progress:
            evaluation = evaluate_machine(detector, test, out, progress, plots, figures)
    except NothingToEvaluate as reason:
        remark(f"nothing to evaluate: {reason}")
        return DONE
    if as_json:
        print((out / "metrics.json").read_text(), end="")
    else:
        print_metrics(key, evaluation.metrics)
        for note in evaluation.notes:
            remark(note)
        remark(evaluation.said)
        remark(f"report: {out / 'report.html'}")
    return report_failures(evaluation.failures)
