"""Evaluation of a fitted detector: scores, metrics, plots and report in a run folder."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from audio_anomaly_detector.choices import FigureKind, Plots
from audio_anomaly_detector.data.clips import Clip
from audio_anomaly_detector.data.content import recording_hash
from audio_anomaly_detector.detector import Detector
from audio_anomaly_detector.errors import ClipError, UserError
from audio_anomaly_detector.files import hold_folder, write_json
from audio_anomaly_detector.metrics.classification import Metrics, auroc
from audio_anomaly_detector.plotting.canvas import save_figure
from audio_anomaly_detector.plotting.evaluation_data import EvaluationData
from audio_anomaly_detector.plotting.evaluation_plots import (
    PLOTS,
    evaluation_sheet,
    picture_names,
    save_plots,
)
from audio_anomaly_detector.plotting.paper_figures import remove_figures, save_figures
from audio_anomaly_detector.progress import SILENT, Progress
from audio_anomaly_detector.reporting.content import Plot
from audio_anomaly_detector.runs.history import model_history
from audio_anomaly_detector.runs.report import write_clip_report
from audio_anomaly_detector.runs.score_table import ScoreTable
from audio_anomaly_detector.score import Score

SHEET = "vqvae_results.png"
FIGURES = "figures"
SCORES, METRICS, REPORT = "scores.csv", "metrics.json", "report.html"


class NothingToEvaluate(UserError):
    """There are no clips to test on."""


@dataclass(frozen=True)
class Evaluation:
    """Results of scoring clips.

    Args:
        scored: clips and their scores.
        failures: clips that could not be scored.
        metrics: where clips with labels were among them.
        notes: what a reader of the figures has to know, one sentence each.
        said: the verdict in plain words, with why the worst clip is unusual.
    """

    scored: list[tuple[Clip, Score]]
    failures: list[ClipError]
    metrics: Metrics | None
    notes: list[str]
    said: str = ""


def evaluate_machine(
    detector: Detector,
    clips: Sequence[Clip],
    folder: Path,
    progress: Progress = SILENT,
    plots: Plots = "all",
    figures: FigureKind | None = None,
) -> Evaluation:
    """Score clips the detector was not fitted on and write scores, metrics, plots and report.

    Args:
        detector: fitted.
        clips: test clips, with or without labels.
        folder: the run folder.
        progress: receives the number of clips scored, and explained.
        plots: see `RunOptions.plots`; those of an earlier evaluation are removed in any case.
        figures: see `RunOptions.figures`; likewise.

    Raises:
        NothingToEvaluate: there are no clips.
        UserError: no clip could be scored, a clip was used in training, or another run is writing
            into the folder.
    """
    if not clips:
        raise NothingToEvaluate("there are no clips to test on")
    _refuse_training_clips(detector, clips)
    with hold_folder(folder):
        return _evaluate(detector, clips, folder, progress, plots, figures)


def remove_evaluation(folder: Path) -> None:
    """Remove what an evaluation wrote: beside another model it would pass for that model's."""
    for name in (SCORES, METRICS, REPORT):
        (folder / name).unlink(missing_ok=True)
    remove_pictures(folder)


def remove_pictures(folder: Path) -> None:
    """Remove the pictures of an earlier evaluation."""
    for name in (SHEET, *picture_names()):
        (folder / name).unlink(missing_ok=True)
    remove_figures(folder / FIGURES)


def _evaluate(
    detector: Detector,
    clips: Sequence[Clip],
    folder: Path,
    progress: Progress,
    plots: Plots,
    figures: FigureKind | None,
) -> Evaluation:
    outcomes = _outcomes(detector, clips, progress)
    scored = [(clip, one) for clip, one in outcomes if not isinstance(one, ClipError)]
    failures = [one for _, one in outcomes if isinstance(one, ClipError)]
    if not scored:
        raise UserError(f"no clip could be scored: {failures[0]}")
    with ScoreTable(folder / SCORES, detector.components) as table:
        for clip, outcome in outcomes:
            table.add(clip, outcome)
    data = _evaluation_data(detector, scored, folder)
    unlike = _unlike_note(scored)
    notes = [*_notes(detector), *unlike]
    write_json(folder / METRICS, _metrics_record(detector, scored, data.metrics, failures, notes))
    if plots != "all":
        remove_pictures(folder)
    pictures = save_plots(data, folder) if plots == "all" else {}
    if plots != "none":
        save_figure(evaluation_sheet(data), folder / SHEET)
    remove_figures(folder / FIGURES)
    if figures is not None:
        save_figures(data, folder / FIGURES, figures)
    said = write_clip_report(
        folder / REPORT,
        detector,
        scored,
        [str(error) for error in failures],
        [*detector.notes, *unlike],
        metrics=data.metrics,
        plots=[Plot(name, png, PLOTS[name].is_wide(data)) for name, png in pictures.items()],
        progress=progress,
    )
    return Evaluation(scored, failures, data.metrics, notes, said)


def _outcomes(
    detector: Detector, clips: Sequence[Clip], progress: Progress
) -> list[tuple[Clip, Score | ClipError]]:
    """Score of every clip, or what went wrong with it."""
    outcomes = []
    for outcome in detector.score_clips(clips):
        outcomes.append(outcome)
        progress.advance("scoring clips", len(outcomes), len(clips))
    return outcomes


def _refuse_training_clips(detector: Detector, clips: Sequence[Clip]) -> None:
    """Scores of training clips are too low; compare contents, not names."""
    trained = {clip.sha256 for clip in detector.provenance.learned_clips}
    whole = {clip.name for clip in detector.provenance.learned_clips}
    for clip in clips:
        if clip.duration is not None and clip.name not in whole:
            continue  # another cut of a long recording
        if all(file.is_file() for file in clip.files) and recording_hash(clip) in trained:
            raise UserError(f"{clip.path}: this clip was used in training; evaluate on other clips")


def _evaluation_data(
    detector: Detector, scored: Sequence[tuple[Clip, Score]], folder: Path
) -> EvaluationData:
    labelled = [pair for pair in scored if pair[0].label is not None]
    shown = labelled or scored
    scores = [score for _, score in shown]
    latents = [score.latent for score in scores if score.latent is not None]
    key = detector.provenance.machine
    oracle = " (oracle: epochs chosen on test labels)" if _is_oracle(detector) else ""
    return EvaluationData(
        title=f"{' '.join(part for part in key if part)}{oracle}",
        names=[clip.name for clip, _ in shown],
        scores=np.array([score.score for score in scores]),
        p_values=np.array([score.p_value for score in scores]),
        p_resolution=np.array([score.p_resolution for score in scores]),
        decisions=np.array([score.is_anomalous for score in scores]),
        threshold=detector.threshold,
        labels=np.array([clip.label for clip, _ in shown]) if labelled else None,
        components={
            name: np.array([score.components[name] for score in scores])
            for name in scores[0].components
        },
        latents=np.stack(latents).astype(np.float64) if latents else None,
        history=model_history(detector.provenance.history, folder),
    )


def _is_oracle(detector: Detector) -> bool:
    return detector.config.stages.oracle_epoch


def _notes(detector: Detector) -> list[str]:
    notes = detector.notes
    if _is_oracle(detector):
        notes.append("oracle: epochs were chosen on test labels; not comparable with the rest")
    outliers = detector.provenance.outliers
    if outliers:
        notes.append(
            f"{len(outliers)} outlier(s) among the normal clips, used all the same; listen to "
            f"them: {', '.join(outliers[:5])}{' …' if len(outliers) > 5 else ''}"
        )
    return notes


def _unlike_note(scored: Sequence[tuple[Clip, Score]]) -> list[str]:
    """How many clips have a high score that their recording explains."""
    unlike = [clip.label for clip, score in scored if score.verdict == "unlike"]
    if not unlike:
        return []
    labels = [("normal", 0), ("anomalous", 1), ("without label", None)]
    counts = [f"{unlike.count(label)} {name}" for name, label in labels if label in unlike]
    return [
        f"{len(unlike)} clip(s) above the threshold ({', '.join(counts)}) are recorded "
        "differently, which explains their score: they are not called anomalous, see the remarks "
        f"in {SCORES}; the metrics at the threshold count them as alarms"
    ]


def _metrics_record(
    detector: Detector,
    scored: Sequence[tuple[Clip, Score]],
    metrics: Metrics | None,
    failures: list[ClipError],
    notes: list[str],
) -> dict[str, Any]:
    labelled = [(clip.label, score.families) for clip, score in scored if clip.label is not None]
    labels = [label for label, _ in labelled]
    return {
        "machine": list(detector.provenance.machine),
        "oracle": _is_oracle(detector),
        "threshold_method": detector.threshold_config.method,
        "metrics": None if metrics is None else metrics.to_dict(),
        "family_auroc": {
            family: auroc(labels, [families[family] for _, families in labelled])
            for family in (scored[0][1].families if labelled else ())
        },
        "failed": [str(error) for error in failures],
        "notes": notes,
    }
