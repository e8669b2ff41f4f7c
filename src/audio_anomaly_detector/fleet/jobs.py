"""One job per machine id: its files, its work, and the record of its outcome."""

import json
import logging
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

from audio_anomaly_detector.config import Config
from audio_anomaly_detector.data.clips import Clip, MachineKey, Split
from audio_anomaly_detector.data.datasets import prepare_split
from audio_anomaly_detector.data.layouts import machines
from audio_anomaly_detector.detector import Detector
from audio_anomaly_detector.devices import resolve_device
from audio_anomaly_detector.errors import UserError, one_line
from audio_anomaly_detector.files import hold_folder, write_bytes, write_json
from audio_anomaly_detector.fleet.names import file_names
from audio_anomaly_detector.fleet.pools import Pool
from audio_anomaly_detector.learning.identity import fit_identity
from audio_anomaly_detector.learning.pool import PoolPrior
from audio_anomaly_detector.metrics.classification import Metrics
from audio_anomaly_detector.progress import Epoch, Progress
from audio_anomaly_detector.run_options import RunOptions
from audio_anomaly_detector.runs.evaluate import evaluate_machine
from audio_anomaly_detector.runs.fit import fit_machine
from audio_anomaly_detector.threads import torch_threads

log = logging.getLogger(__name__)

OUTCOME = "outcome.json"
ERROR = "error.txt"


@dataclass(frozen=True)
class Job:
    """Fit and evaluate one machine id.

    Args:
        key: which machine.
        clips: all of its clips.
        config: all settings.
        folder: the run folder.
        model: where the model file shall lie.
        options: how to run; the same number of threads gives the same figures with every engine.
        pool: file of its pool prior; None: it is fitted alone.
    """

    key: MachineKey
    clips: tuple[Clip, ...]
    config: Config
    folder: Path
    model: Path
    options: RunOptions = RunOptions()
    pool: Path | None = None


@dataclass(frozen=True)
class Outcome:
    """Result of a job; figures are None where there are none.

    Args:
        condition, machine_type, machine_id: the machine.
        status: `skipped` was done before, the figures are those of that run.
        n_train: clips fitted on.
        n_test_normal, n_test_anomalous: labelled clips scored.
        auroc, average_precision, partial_auroc, f1, precision, recall, false_alarm_rate: of them.
        threshold: the decision threshold; None if no finite one could be drawn.
        n_failed_clips: clips left out because they could not be used.
        seconds: that it took.
        model: the model file, relative to the folder of all models.
        error: why it failed, in one line.
    """

    condition: str
    machine_type: str
    machine_id: str
    status: Literal["done", "failed", "skipped"]
    n_train: int | None = None
    n_test_normal: int | None = None
    n_test_anomalous: int | None = None
    auroc: float | None = None
    average_precision: float | None = None
    partial_auroc: float | None = None
    f1: float | None = None
    precision: float | None = None
    recall: float | None = None
    false_alarm_rate: float | None = None
    threshold: float | None = None
    n_failed_clips: int | None = None
    seconds: float | None = None
    model: str | None = None
    error: str = ""


def make_jobs(
    clips: Sequence[Clip],
    config: Config,
    save: Path,
    options: RunOptions = RunOptions(),
    pools: Sequence[Pool] = (),
) -> list[Job]:
    """One job for every machine among the clips, in order of the keys.

    Args:
        clips: of any machines.
        config: all settings.
        save: folder for ``best_<condition>_<machine>_<id>.pth`` and, without ``best_``, the run
            folders.
        options: how to run each job.
        pools: of machines that learn together.
    """
    save = save.expanduser().absolute()  # workers may stand elsewhere
    groups = machines(clips)
    names = file_names(groups)
    pool_of = {key: pool.path for pool in pools for key in pool.machines}
    return [
        Job(
            key,
            tuple(group),
            config,
            save / names[key],
            save / f"best_{names[key]}.pth",
            options,
            pool_of.get(key),
        )
        for key, group in groups.items()
    ]


def finished(job: Job) -> Outcome | None:
    """Look up the outcome of a job that was done with the same clips and settings, or None."""
    record = _record(job)
    if record is None or record.outcome is None or record.decisions != _decisions(job):
        return None
    return replace(record.outcome, status="skipped")


def is_fitted(job: Job) -> bool:
    """Whether the model of this job is there, whatever its decision settings are."""
    return _record(job) is not None


def run_job(job: Job) -> Outcome:
    """Fit and evaluate one machine id; an error becomes a failed outcome.

    A fit that was interrupted goes on from its checkpoints. A model that is there and differs in
    its decision settings only gets those of the job and is evaluated anew. Clips are evaluated if
    there are any to test on. The traceback of an unforeseen error is kept in the run folder.
    """
    started = time.monotonic()
    try:
        with torch_threads(job.options.threads), hold_folder(job.folder):
            return _fit_and_evaluate(job, started)
    except UserError as error:
        reason = one_line(error)
    except Exception as error:  # an error in this program must not end the other jobs
        reason = _unforeseen(job, error)
    return failure(job, reason, time.monotonic() - started)


def failure(job: Job, reason: str, seconds: float | None = None) -> Outcome:
    """Make the outcome of a job that failed."""
    return Outcome(*job.key, "failed", seconds=seconds, error=reason)


class _Log:
    """Writes the progress of a job to the log."""

    def __init__(self, key: MachineKey) -> None:
        self._key = key

    def advance(self, what: str, done: int, total: int) -> None:
        log.debug("%s: %s %d/%d", self._key, what, done, total)

    def epoch(self, epoch: Epoch, watched: Mapping[str, float]) -> None:
        figures = ", ".join(f"{k} {v:.4g}" for k, v in {**epoch.losses, **watched}.items())
        log.info("%s: %s epoch %d: %s", self._key, epoch.stage, epoch.epoch, figures)


class _Record(NamedTuple):
    """The content of ``outcome.json``.

    Attributes:
        fingerprint: identity of the fit.
        decisions: settings of the decision threshold; None until the model is evaluated with them.
        outcome: likewise.
    """

    fingerprint: str
    decisions: dict[str, Any] | None
    outcome: Outcome | None

    def write(self, folder: Path) -> None:
        outcome = None if self.outcome is None else asdict(self.outcome)
        write_json(folder / OUTCOME, self._asdict() | {"outcome": outcome})


def _record(job: Job) -> _Record | None:
    """The record of a fit to the same clips with the same settings whose model is there."""
    path = job.folder / OUTCOME
    if not job.model.is_file() or not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["fingerprint"] != _identity(job):
            return None
        if content["outcome"] is not None:
            content["outcome"] = Outcome(**content["outcome"])
        return _Record(**content)
    except (OSError, ValueError, TypeError, KeyError) as error:
        log.warning("%s: cannot be read (%s); %s is fitted again", path, error, job.key)
        return None


def _identity(job: Job) -> str:
    return fit_identity(job.config, job.clips)


def _decisions(job: Job) -> dict[str, Any]:
    return job.config.scoring.threshold.model_dump(mode="json")


def _fit_and_evaluate(job: Job, started: float) -> Outcome:
    (job.folder / ERROR).unlink(missing_ok=True)
    fitted = _Record(_identity(job), decisions=None, outcome=None)
    split = prepare_split(job.clips, job.config.audio, job.config.seed)
    progress = _Log(job.key)
    detector = _load(job)
    if detector is None:
        # Were it left until the new model is there, it could pass for the outcome of another one.
        (job.folder / OUTCOME).unlink(missing_ok=True)
        detector = _fit(job, split, progress)
        fitted.write(job.folder)
    else:
        fitted.write(job.folder)
        detector = detector.with_threshold(job.config.scoring.threshold)
        detector.save(job.model)
    threshold = detector.threshold
    figures: dict[str, Any] = {
        "n_train": len(detector.provenance.clips),
        "n_test_normal": 0,
        "n_test_anomalous": 0,
        "threshold": threshold if abs(threshold) < float("inf") else None,
        "n_failed_clips": len(detector.provenance.unusable),
        "model": job.model.name,
    }
    if split.test:
        drawn = job.options.plots, job.options.figures
        evaluation = evaluate_machine(detector, split.test, job.folder, progress, *drawn)
        if evaluation.failures and job.options.on_error == "stop":
            raise evaluation.failures[0]
        figures["n_failed_clips"] += len(evaluation.failures)
        if evaluation.metrics is not None:
            figures |= _metric_values(evaluation.metrics)
    outcome = Outcome(*job.key, "done", seconds=time.monotonic() - started, **figures)
    fitted._replace(decisions=_decisions(job), outcome=outcome).write(job.folder)
    return outcome


def _load(job: Job) -> Detector | None:
    """The model of an earlier fit to the same clips with the same settings."""
    if not is_fitted(job):
        return None
    try:
        return Detector.load(job.model, job.options.device)
    except UserError as error:
        log.warning("%s; %s is fitted again", one_line(error), job.key)
        return None


def _fit(job: Job, split: Split, progress: Progress) -> Detector:
    pool_prior = None
    if job.pool is not None:
        pool_prior = PoolPrior.load(job.pool, resolve_device(job.options.device))
    return fit_machine(
        split,
        job.config,
        job.folder,
        job.model,
        job.options,
        progress,
        pool_prior,
        report=not split.test,
    ).detector


def _metric_values(metrics: Metrics) -> dict[str, float | int | None]:
    values: dict[str, float | int | None] = {
        name: getattr(metrics, name).value
        for name in (
            "auroc",
            "average_precision",
            "partial_auroc",
            "f1",
            "precision",
            "recall",
            "false_alarm_rate",
        )
    }
    return values | {"n_test_normal": metrics.n_normal, "n_test_anomalous": metrics.n_anomalous}


def _unforeseen(job: Job, error: Exception) -> str:
    reason = f"unforeseen {type(error).__name__}: {one_line(error)}"
    log.error("%s: %s", job.key, reason)
    log.debug("%s", job.key, exc_info=error)
    text = "".join(traceback.format_exception(error)).encode(errors="backslashreplace")
    try:
        write_bytes(job.folder / ERROR, text)
    except UserError as unwritten:
        return f"{reason}; its traceback could not be kept: {unwritten}"
    return f"{reason}; the traceback is in {job.folder.name}/{ERROR}"
