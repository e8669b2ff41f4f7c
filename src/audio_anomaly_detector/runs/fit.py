"""Fit of a detector in a run folder: model file, split, training history."""

import logging
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from audio_anomaly_detector.config import Config
from audio_anomaly_detector.data.clips import Clip, Split
from audio_anomaly_detector.data.datasets import check_enough, sound_seconds
from audio_anomaly_detector.detector import Detector, FitResult
from audio_anomaly_detector.devices import resolve_device
from audio_anomaly_detector.errors import UserError, one_line
from audio_anomaly_detector.files import hold_folder, is_claimed, write_csv
from audio_anomaly_detector.learning.identity import fit_identity
from audio_anomaly_detector.learning.pool import PoolPrior
from audio_anomaly_detector.progress import SILENT, Epoch, Progress
from audio_anomaly_detector.run_options import RunOptions
from audio_anomaly_detector.runs.evaluate import REPORT, remove_evaluation
from audio_anomaly_detector.runs.history import History
from audio_anomaly_detector.runs.label_watch import LabelWatch
from audio_anomaly_detector.runs.report import write_fit_report

log = logging.getLogger(__name__)

SPLIT = "split.csv"


def fit_machine(
    split: Split,
    config: Config,
    folder: Path,
    model: Path,
    options: RunOptions = RunOptions(),
    progress: Progress = SILENT,
    pool_prior: PoolPrior | None = None,
    *,
    report: bool = True,
) -> FitResult:
    """Fit a detector and write model file, ``split.csv``, ``history.csv``, training curves, report.

    Started again after a kill, it goes on from the checkpoints in ``folder/.work``, which is
    removed when the model file is written. Without networks there is no history.

    Args:
        split: of the clips; the test part is used only to watch test clips.
        config: all settings.
        folder: the run folder.
        model: path of the model file to write.
        options: how to run; the number of threads is left to the caller.
        progress: receives steps and epochs.
        pool_prior: of a pool of machines; no networks are trained then.
        report: write the report of the fit; False where that of an evaluation replaces it.

    Raises:
        UserError: as `Detector.fit`; nothing can be written; the config asks for `oracle_epoch`
            and no test clips can be watched; another run is writing into the folder.
    """
    check_enough(split.train, sound_seconds(split.train))
    with hold_folder(folder):
        return _fit(split, config, folder, model, options, progress, pool_prior, report)


def _fit(
    split: Split,
    config: Config,
    folder: Path,
    model: Path,
    options: RunOptions,
    progress: Progress,
    pool_prior: PoolPrior | None,
    report: bool,
) -> FitResult:
    watch = None
    if options.watch_test and pool_prior is None:
        watch = _test_watch(split.test, config, folder / ".watch", options)
    if config.stages.oracle_epoch and watch is None:
        raise UserError(
            "stages.oracle_epoch chooses epochs of networks by labelled test clips: it needs "
            "--watch-test, networks that are trained (--set networks.start=scratch), and "
            "usable test clips of both classes"
        )
    work = folder / ".work"
    if (folder / SPLIT).is_file():  # a run folder: what is there is of an earlier model
        remove_evaluation(folder)
    _write_split(folder / SPLIT, split)
    history = History(folder, resumes=is_claimed(work, fit_identity(config, split.train)))
    result = Detector.fit(
        split.train,
        config,
        device=options.device,
        work=work,
        on_error=options.on_error,
        progress=_Recorder(progress, history),
        watch=watch,
        pool_prior=pool_prior,
    )
    history.finish(result.detector.provenance.history)
    result.detector.save(model)
    if report:
        write_fit_report(folder / REPORT, result, split.train)
    shutil.rmtree(work)
    shutil.rmtree(folder / ".watch", ignore_errors=True)
    return result


class _Recorder:
    """Passes progress on and keeps the history."""

    def __init__(self, progress: Progress, history: History) -> None:
        self.advance = progress.advance
        self._shown, self._history = progress, history

    def epoch(self, epoch: Epoch, watched: Mapping[str, float]) -> None:
        self._history.add(epoch, watched)
        self._shown.epoch(epoch, watched)


def _test_watch(
    clips: Sequence[Clip], config: Config, folder: Path, options: RunOptions
) -> LabelWatch | None:
    """A watch of test clips; None without training or without test clips of both classes.

    Watching changes no result, so test clips that cannot be used do not end the fit.
    """
    if not config.trains_networks or not {0, 1} <= {clip.label for clip in clips}:
        if config.takes_pretrained:
            log.info("no epochs to watch: the networks come trained")
        return None
    try:
        return LabelWatch(clips, config, folder, resolve_device(options.device))
    except UserError as error:
        log.warning("test clips are not watched: %s", one_line(error))
        shutil.rmtree(folder, ignore_errors=True)
        return None


def _write_split(path: Path, split: Split) -> None:
    write_csv(
        path,
        ["path", "label", "part"],
        (
            [clip.name, "" if clip.label is None else clip.label, part]
            for part, clips in split._asdict().items()
            for clip in clips
        ),
    )
