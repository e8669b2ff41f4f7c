"""One machine id from clips to a run folder: fit, evaluate, write everything down."""

import csv
import io
import json
import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from audio_anomaly_detector.config import Config
from audio_anomaly_detector.data.clips import Clip, Split, split_clips
from audio_anomaly_detector.data.content import content_hash
from audio_anomaly_detector.data.datasets import check_enough, cut_few_recordings, sound_seconds
from audio_anomaly_detector.detector import Detector, FitResult
from audio_anomaly_detector.devices import DeviceName, resolve_device
from audio_anomaly_detector.errors import ClipError, UserError
from audio_anomaly_detector.files import make_folder, write_text
from audio_anomaly_detector.learning.pool import PoolPrior
from audio_anomaly_detector.metrics.classification import Metrics, auroc
from audio_anomaly_detector.plotting.canvas import save_figure
from audio_anomaly_detector.plotting.evaluation_data import EvaluationData
from audio_anomaly_detector.plotting.evaluation_plots import evaluation_sheet, save_plots
from audio_anomaly_detector.progress import Epoch, Progress
from audio_anomaly_detector.runs.history import History
from audio_anomaly_detector.runs.report import ReportData, write_report
from audio_anomaly_detector.runs.score_table import write_scores
from audio_anomaly_detector.runs.test_watch import TestWatch
from audio_anomaly_detector.score import Score

log = logging.getLogger(__name__)

SHEET = "vqvae_results.png"


@dataclass(frozen=True)
class Evaluation:
    """What came of scoring clips.

    Args:
        scored: clips and their scores.
        failures: clips that could not be scored.
        metrics: where clips with labels were among them.
        notes: what a reader of the figures has to know, one sentence each.
    """

    scored: list[tuple[Clip, Score]]
    failures: list[ClipError]
    metrics: Metrics | None
    notes: list[str]


def prepare_split(clips: Sequence[Clip], config: Config) -> Split:
    """Training and test clips of one machine, few long recordings cut."""
    return split_clips(cut_few_recordings(clips, config.audio), config.seed)


def fit_machine(
    split: Split,
    config: Config,
    folder: Path,
    model: Path,
    progress: Progress,
    *,
    device: DeviceName = "auto",
    on_error: Literal["skip", "stop"] = "skip",
    watch_test: bool = False,
    pool_prior: PoolPrior | None = None,
) -> FitResult:
    """Fit a detector and write model file, ``split.csv``, ``history.csv`` and training curves.

    Started again after a kill, it goes on from the checkpoints in ``folder/.work``, which goes
    when the model file is written.

    Args:
        split: of the clips; the test part is looked at only by ``watch_test``.
        config: all settings.
        folder: the run folder.
        model: where the model file shall lie.
        progress: hears of progress and epochs.
        device: where to train.
        on_error: what to do with clips that cannot be used.
        watch_test: print AUROC on the test clips after every epoch, for the eye only.
        pool_prior: networks of a pool of machines; none are trained then.

    Raises:
        UserError: as `Detector.fit`; nothing can be written.
    """
    check_enough(split.train, sound_seconds(split.train))
    if config.stages.oracle_epoch and not watch_test:
        raise UserError("stages.oracle_epoch chooses by test labels: give --watch-test with it")
    make_folder(folder)
    _write_split(folder / "split.csv", split)
    work = folder / ".work"
    watch = None
    if watch_test and pool_prior is None:
        where = resolve_device(device)
        watch = TestWatch(split.test, config, folder / ".watch", where)
    history = History(folder)
    result = Detector.fit(
        split.train,
        config,
        device=device,
        work=work,
        on_error=on_error,
        progress=_Recorder(progress, history),
        watch=watch,
        pool_prior=pool_prior,
    )
    history.draw()
    result.detector.save(model)
    shutil.rmtree(work)
    shutil.rmtree(folder / ".watch", ignore_errors=True)
    return result


def evaluate_machine(
    detector: Detector, clips: Sequence[Clip], folder: Path, progress: Progress
) -> Evaluation:
    """Score clips the detector was not fitted on and write scores, metrics, plots and report.

    Args:
        detector: fitted.
        clips: test clips, with or without labels.
        folder: the run folder.
        progress: hears of progress.

    Raises:
        UserError: no clip could be scored, or a clip was used in training.
    """
    _refuse_training_clips(detector, clips)
    scored: list[tuple[Clip, Score]] = []
    failures: list[ClipError] = []
    for done, (clip, outcome) in enumerate(detector.score_clips(clips)):
        if isinstance(outcome, ClipError):
            failures.append(outcome)
        else:
            scored.append((clip, outcome))
        progress.advance("scoring clips", done + 1, len(clips))
    if not scored:
        reason = failures[0] if failures else "there are none to test on"
        raise UserError(f"no clip could be scored: {reason}")
    make_folder(folder)
    write_scores(folder / "scores.csv", scored)
    data = _evaluation_data(detector, scored, History(folder).rows)
    notes = _notes(detector)
    metrics = data.metrics
    write_text(
        folder / "metrics.json",
        json.dumps(_metrics_record(detector, scored, metrics, failures, notes), indent=2) + "\n",
    )
    pictures = save_plots(data, folder)
    save_figure(evaluation_sheet(data), folder / SHEET)
    _write_report(detector, data, pictures, failures, folder)
    return Evaluation(scored, failures, metrics, notes)


class _Recorder:
    """Passes news on and keeps the history."""

    def __init__(self, progress: Progress, history: History) -> None:
        self.advance = progress.advance
        self._shown, self._history = progress, history

    def epoch(self, epoch: Epoch, watched: Mapping[str, float]) -> None:
        self._history.add(epoch, watched)
        self._shown.epoch(epoch, watched)


def _write_split(path: Path, split: Split) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["path", "label", "part"])
    for part, clips in split._asdict().items():
        for clip in clips:
            writer.writerow([clip.name, "" if clip.label is None else clip.label, part])
    write_text(path, text.getvalue())


def _refuse_training_clips(detector: Detector, clips: Sequence[Clip]) -> None:
    """Evaluating on what was learnt would flatter; compare contents, not names."""
    trained = {clip.sha256 for clip in detector.provenance.clips}
    whole = {clip.name for clip in detector.provenance.clips}
    for clip in clips:
        if clip.duration is not None and clip.name not in whole:
            continue  # another cut of a long recording
        if clip.path.is_file() and content_hash(clip.path) in trained:
            raise UserError(f"{clip.path}: this clip was used in training; evaluate on other clips")


def _evaluation_data(
    detector: Detector, scored: Sequence[tuple[Clip, Score]], history: list[dict[str, Any]]
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
        decisions=np.array([score.is_anomalous for score in scores]),
        threshold=detector.threshold,
        labels=np.array([clip.label for clip, _ in shown]) if labelled else None,
        components={
            name: np.array([score.components[name] for score in scores])
            for name in scores[0].components
        },
        latents=np.stack(latents).astype(np.float64) if latents else None,
        history=history,
    )


def _is_oracle(detector: Detector) -> bool:
    return detector.config.stages.oracle_epoch


def _notes(detector: Detector) -> list[str]:
    notes = detector.notes
    if _is_oracle(detector):
        notes.append("oracle: epochs were chosen on test labels; not comparable with the rest")
    odd = detector.provenance.outliers
    if odd:
        notes.append(
            f"{len(odd)} normal clip(s) sound unlike the rest and were used all the same; listen "
            f"to them: {', '.join(odd[:5])}{' …' if len(odd) > 5 else ''}"
        )
    return notes


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


def _write_report(
    detector: Detector,
    data: EvaluationData,
    pictures: dict[str, bytes],
    failures: list[ClipError],
    folder: Path,
) -> None:
    facts = detector.describe()
    config = facts.pop("config")
    shown = ("n_training_clips", "n_calibration_clips", "microphones", "codebook_perplexity")
    threshold = detector.threshold_config
    method = detector.normal_scores.method(threshold)
    origin = {
        "value": "given by hand",
        "gamma": f"gamma fit to {facts['n_calibration_clips']} normal clips",
        "conformal": f"conformal rank among {facts['n_calibration_clips']} normal clips",
    }[threshold.method if threshold.method == "value" else method]
    write_report(
        folder / "report.html",
        ReportData(
            evaluation=data,
            pictures=pictures,
            threshold_origin=f"{origin}, {threshold.false_alarm_rate:.0%} false alarms",
            notes=detector.notes,
            outliers=facts["outliers"],
            oracle="the epoch of every training stage" if _is_oracle(detector) else None,
            failures=[str(error) for error in failures],
            provenance={
                "Detector": {name: facts[name] for name in shown},
                "Versions": facts["packages"],
                "Settings": config,
            },
        ),
    )
