"""`aad score`."""

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from audio_anomaly_detector.cli import options
from audio_anomaly_detector.cli.exit_codes import (
    DONE,
    FAILED,
    SOME_FAILED,
    report_failure,
    report_failures,
)
from audio_anomaly_detector.errors import ClipError, Interrupted


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
    join_takes: options.JoinTakes = False,
    runtime: options.Runtime = "auto",
    on_error: options.OnError = "skip",
) -> int:
    """Judge recordings: score, p-value, verdict, and which features are most unusual.

    Results are printed and written as they come. Clips that cannot be scored are listed with the
    reason, and the others go on.
    """
    from audio_anomaly_detector.cli.configuration import changed_threshold
    from audio_anomaly_detector.cli.console import err, in_terminal, start_logging
    from audio_anomaly_detector.cli.progress_display import ProgressDisplay
    from audio_anomaly_detector.cli.score_output import ScoreList, ScoreRows
    from audio_anomaly_detector.data.inputs import find_inputs
    from audio_anomaly_detector.loading import load_scorer
    from audio_anomaly_detector.runs.score_table import ScoreTable

    start_logging(verbose, quiet)
    scorer = load_scorer(model, device, runtime)
    scorer = scorer.with_threshold(
        changed_threshold(scorer.threshold_config, false_alarm_rate, threshold_method, threshold)
    )
    found = find_inputs(inputs, on_error, join_takes)
    for problem in found.problems:
        err.print(f"problem: {problem}")
    report_failures(found.failures)
    scored = failed = 0
    with ExitStack() as stack:
        table = stack.enter_context(ScoreTable(out, scorer.components)) if out else None
        rows = ScoreList() if as_json else ScoreRows(scorer.threshold)
        stack.enter_context(rows)
        # Rows on the screen are progress enough.
        progress = stack.enter_context(ProgressDisplay(quiet or in_terminal()))
        try:
            for clip, outcome in scorer.score_clips(found.clips):
                if isinstance(outcome, ClipError):
                    if on_error == "stop":
                        raise outcome
                    failed += 1
                    if as_json or not in_terminal():
                        report_failure(outcome)
                else:
                    scored += 1
                rows.add(clip, outcome)
                if table:
                    table.add(clip, outcome)
                progress.advance("scoring clips", scored + failed, len(found.clips))
        except Interrupted as interruption:
            kept = f"; their rows are in {table.part}" if table else ""
            interruption.add_note(f"{scored + failed} of {len(found.clips)} clips are done{kept}")
            raise
    if not scored:
        return FAILED
    return SOME_FAILED if failed or found.failures else DONE
