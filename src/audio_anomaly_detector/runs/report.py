"""The reports of a detector's work: of an evaluation, of scored recordings, and of a fit."""

from collections.abc import Sequence
from pathlib import Path

from audio_anomaly_detector.data.clips import Clip
from audio_anomaly_detector.detector import Detector, FitResult
from audio_anomaly_detector.metrics.classification import Metrics
from audio_anomaly_detector.progress import SILENT, Progress
from audio_anomaly_detector.reporting.collect import clip_entries
from audio_anomaly_detector.reporting.content import Plot, Report
from audio_anomaly_detector.reporting.headline import fit_headline, headline
from audio_anomaly_detector.reporting.origin import data_problems, provenance_sections
from audio_anomaly_detector.reporting.page import write_report
from audio_anomaly_detector.reporting.threshold import threshold_facts
from audio_anomaly_detector.reporting.training_clips import training_entries
from audio_anomaly_detector.score import Score


def write_clip_report(
    path: Path,
    detector: Detector,
    scored: Sequence[tuple[Clip, Score]],
    failures: Sequence[str] = (),
    notes: Sequence[str] = (),
    *,
    metrics: Metrics | None = None,
    plots: Sequence[Plot] = (),
    progress: Progress = SILENT,
) -> str:
    """Write the report of scored clips; the worst are explained.

    Args:
        path: of the HTML file.
        detector: that scored them.
        scored: clips, one or more, and the verdicts on them.
        failures: clips that could not be scored, one line each.
        notes: what a reader of the figures has to know, one sentence each.
        metrics: where clips have labels.
        plots: the documented plots.
        progress: receives the number of clips explained.

    Returns:
        Its first sentences: the verdict in plain words.

    Raises:
        UserError: the place cannot be written or the disk is full.
    """
    clips, clip_notes = clip_entries(detector, scored, progress)
    said, lead = headline(clips, len(failures))
    oracle = "the epoch of every training stage" if detector.config.stages.oracle_epoch else None
    report = Report(
        title=_title(detector),
        headline=said,
        lead=lead,
        clips=clips,
        clip_notes=clip_notes,
        threshold=threshold_facts(detector, max(clip.score for clip in clips)),
        metrics=metrics,
        plots=plots,
        notes=notes,
        outliers=detector.provenance.outliers,
        oracle=oracle,
        failures=failures,
        problems=data_problems(detector.provenance),
        provenance=provenance_sections(detector),
    )
    write_report(path, report)
    return " ".join(filter(None, (said, lead)))


def write_fit_report(path: Path, result: FitResult, clips: Sequence[Clip]) -> None:
    """Write the report of a fit: its clips by their left-out scores; outliers are explained.

    Args:
        path: of the HTML file.
        result: of the fit.
        clips: that were given to it.

    Raises:
        UserError: the place cannot be written or the disk is full.
    """
    detector = result.detector
    entries, clip_notes = training_entries(detector, clips)
    said, lead = fit_headline(detector.provenance)
    report = Report(
        title=_title(detector),
        headline=said,
        lead=lead,
        clips=entries,
        clip_notes=clip_notes,
        threshold=threshold_facts(detector, max(detector.normal_scores.of_usual.scores.tolist())),
        of_training=True,
        notes=detector.notes,
        failures=[str(error) for error in result.failures],
        problems=data_problems(detector.provenance),
        provenance=provenance_sections(detector),
    )
    write_report(path, report)


def _title(detector: Detector) -> str:
    oracle = (
        " (oracle: epochs chosen on test labels)" if detector.config.stages.oracle_epoch else ""
    )
    # Of a plain folder all parts are its name.
    return f"{' '.join(filter(None, dict.fromkeys(detector.provenance.machine)))}{oracle}"
