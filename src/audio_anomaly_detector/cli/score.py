"""`aad score`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from audio_anomaly_detector.cli import options
from audio_anomaly_detector.cli.exit_codes import FAILED, report_failures


def score(
    model: Annotated[
        Path,
        typer.Argument(help="Model file, run folder that holds one, or file of `aad export`."),
    ],
    inputs: Annotated[list[Path], typer.Argument(help="Audio files or folders of them.")],
    out: Annotated[Path | None, typer.Option(help="Write the scores to this CSV file.")] = None,
    as_json: options.AsJson = False,
    verbose: options.Verbose = 0,
    quiet: options.Quiet = False,
    false_alarm_rate: options.FalseAlarms = None,
    threshold_method: options.ThresholdMethod = None,
    threshold: options.ThresholdValue = None,
    device: options.Device = "auto",
    runtime: options.Runtime = "auto",
    on_error: options.OnError = "skip",
) -> int:
    """Judge recordings: score, p-value, verdict, and which features are most unusual."""
    from audio_anomaly_detector.cli.configuration import changed_threshold
    from audio_anomaly_detector.cli.console import start_logging
    from audio_anomaly_detector.cli.progress_display import ProgressDisplay
    from audio_anomaly_detector.cli.tables import print_scores
    from audio_anomaly_detector.loading import load_scorer
    from audio_anomaly_detector.runs.score_files import score_files
    from audio_anomaly_detector.runs.score_table import write_scores

    start_logging(verbose, quiet)
    scorer = load_scorer(model, device, runtime)
    decision = changed_threshold(
        scorer.threshold_config, false_alarm_rate, threshold_method, threshold
    )
    with ProgressDisplay(quiet) as progress:
        scored, failures = score_files(scorer.with_threshold(decision), inputs, on_error, progress)
    if out is not None:
        write_scores(out, scored)
    if as_json:
        print(json.dumps([{"path": str(c.path), **s.to_dict()} for c, s in scored], indent=2))
    else:
        print_scores(scored)
    code = report_failures(failures)
    return code if scored else FAILED
