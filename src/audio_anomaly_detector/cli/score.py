"""`aad score`."""

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from audio_anomaly_detector.cli import options
from audio_anomaly_detector.cli.exit_codes import (
    DONE,
    FAILED,
    SOME_FAILED,
    report_failure,
    report_failures,
)
from audio_anomaly_detector.errors import ClipError, Interrupted, UserError

if TYPE_CHECKING:
    from audio_anomaly_detector.data.clips import Clip
    from audio_anomaly_detector.detector import Detector
    from audio_anomaly_detector.score import Score, Scorer
    from audio_anomaly_detector.scoring.series import Rule
    from audio_anomaly_detector.scoring.threshold import ThresholdConfig


def score(  # noqa: PLR0912, PLR0915 -- one step after the other, each an option
    model: Annotated[
        Path,
        typer.Argument(help="Model file, run folder that holds one, or file of `aad export`."),
    ],
    inputs: Annotated[list[Path], typer.Argument(help="Audio files or folders of them.")],
    out: Annotated[Path | None, typer.Option(help="Write the scores to this CSV file.")] = None,
    report: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.html",
            help="Write a page of the recordings with pictures, sound and reasons, the worst "
            "first.",
        ),
    ] = None,
    as_json: options.AsJson = False,
    verbose: options.Verbose = 0,
    quiet: options.Quiet = False,
    false_alarm_rate: options.FalseAlarms = None,
    threshold_method: options.ThresholdMethod = None,
    threshold: options.ThresholdValue = None,
    false_alarms: options.AlarmsInTime = None,
    clips_per_day: options.ClipsPerDay = None,
    series: Annotated[
        bool,
        typer.Option(
            "--series",
            metavar="",
            help="The clips follow one another: by the times in all their names, or as given. "
            "Also say when K of the last N are anomalous; --false-alarms is then the rate of that.",
            rich_help_panel=options.DECISION,
        ),
    ] = False,
    persistent: Annotated[
        str | None,
        typer.Option(
            metavar="K/N",
            help="K and N of --series.  [default: 3/5]",
            show_default=False,
            rich_help_panel=options.DECISION,
        ),
    ] = None,
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
    from audio_anomaly_detector.cli.console import err, in_terminal, remark, start_logging
    from audio_anomaly_detector.cli.interruption import NOTHING_KEPT
    from audio_anomaly_detector.cli.progress_display import ProgressDisplay
    from audio_anomaly_detector.cli.score_output import ScoreList, ScoreRows
    from audio_anomaly_detector.data.inputs import find_inputs
    from audio_anomaly_detector.data.time_order import series_order
    from audio_anomaly_detector.loading import load_scorer
    from audio_anomaly_detector.runs.score_table import ScoreTable
    from audio_anomaly_detector.score import judgement
    from audio_anomaly_detector.scoring.series import Rule, Series

    start_logging(verbose, quiet)
    scorer = load_scorer(model, device, runtime)
    if persistent and not series:
        raise UserError("--persistent is a part of --series; give that, too")
    if series and false_alarms and false_alarm_rate is not None:
        raise UserError(
            "with --series, --false-alarms sets the rate of clips; leave out --false-alarm-rate"
        )
    decision = changed_threshold(
        scorer.threshold_config,
        false_alarm_rate,
        threshold_method,
        threshold,
        false_alarms,
        clips_per_day,
    )
    asked = bool(false_alarms) or clips_per_day is not None
    rule = Rule.parse(persistent or "3/5") if series else None
    scorer, notes = _decided(scorer, decision, rule, asked)
    detector = _explaining(scorer) if report else None
    found = find_inputs(inputs, on_error, join_takes)
    clips = found.clips
    if series:
        clips, order = series_order(clips)
        notes.append(order)
    for note in notes:
        remark(note)
    for problem in found.problems:
        err.print(f"problem: {problem}")
    report_failures(found.failures)
    running = Series(rule) if rule else None
    judged: list[tuple[Clip, Score]] = []  # what the report shows
    failures: list[ClipError] = []
    scored = 0
    with ExitStack() as stack:
        table = stack.enter_context(ScoreTable(out, scorer.components, series)) if out else None
        rows = ScoreList() if as_json else ScoreRows(scorer.threshold, series)
        stack.enter_context(rows)
        # Rows on the screen are progress enough.
        progress = stack.enter_context(ProgressDisplay(quiet or in_terminal()))
        try:
            for clip, outcome in scorer.score_clips(clips):
                if isinstance(outcome, ClipError):
                    if on_error == "stop":
                        raise outcome
                    failures.append(outcome)
                    if as_json or not in_terminal():
                        report_failure(outcome)
                else:
                    scored += 1
                    if detector:
                        judged.append((clip, outcome))
                evidence = running.add(judgement(outcome)) if running else None
                rows.add(clip, outcome, evidence)
                if table:
                    table.add(clip, outcome, evidence)
                progress.advance("scoring clips", scored + len(failures), len(clips))
        except Interrupted as interruption:
            kept = f"; their rows are in {table.part}" if table else ""
            done = scored + len(failures)
            interruption.add_note(f"{done} of {len(clips)} clips are done{kept}")
            raise
    if not scored:
        return FAILED
    if report and detector:
        from audio_anomaly_detector.runs.report import write_clip_report

        with ProgressDisplay(quiet, interrupted=NOTHING_KEPT) as progress:
            failed = [str(error) for error in (*found.failures, *failures)]
            known = list(dict.fromkeys([*detector.notes, *notes, *found.problems]))
            write_clip_report(report, detector, judged, failed, known, progress=progress)
        remark(f"report: {report}")
    return SOME_FAILED if failures or found.failures else DONE


def _explaining(scorer: "Scorer") -> "Detector":
    """The scorer, which has to know why clips score as they do."""
    from audio_anomaly_detector.export.runtime import OnnxDetector

    if isinstance(scorer, OnnxDetector):
        raise UserError("--report says why, which an exported graph cannot; give the model file")
    from audio_anomaly_detector.detector import Detector  # PyTorch may be missing above

    assert isinstance(scorer, Detector)
    return scorer


def _decided(
    scorer: "Scorer", decision: "ThresholdConfig", rule: "Rule | None", asked: bool
) -> tuple["Scorer", list[str]]:
    """The scorer with decision settings, and what a user should know of its false alarms.

    Args:
        scorer: whose normal scores decide.
        decision: as the options say.
        rule: of a series; None: clips are judged one by one.
        asked: false alarms are the subject of an option.
    """
    from audio_anomaly_detector.scoring.false_alarms import (
        false_alarm_notes,
        series_decision,
        series_note,
    )

    if rule is None and not asked:
        return scorer.with_threshold(decision), []
    normal, window = scorer.normal_scores, scorer.window_seconds
    if rule is None:
        return scorer.with_threshold(decision), false_alarm_notes(normal, window, decision)
    decision, notes = series_decision(normal, window, decision, rule)
    notes.append(series_note(normal, window, decision, rule))
    return scorer.with_threshold(decision), notes
