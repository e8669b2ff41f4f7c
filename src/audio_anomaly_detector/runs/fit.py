"""Fit of a detector in a run folder: model file, split, training history."""

import csv
import io
import shutil
from collections.abc import Mapping
from pathlib import Path

from audio_anomaly_detector.config import Config
from audio_anomaly_detector.data.clips import Split
from audio_anomaly_detector.data.datasets import check_enough, sound_seconds
from audio_anomaly_detector.detector import Detector, FitResult
from audio_anomaly_detector.devices import resolve_device
from audio_anomaly_detector.errors import UserError
from audio_anomaly_detector.files import make_folder, write_text
from audio_anomaly_detector.learning.pool import PoolPrior
from audio_anomaly_detector.progress import SILENT, Epoch, Progress
from audio_anomaly_detector.run_options import RunOptions
from audio_anomaly_detector.runs.history import History
from audio_anomaly_detector.runs.test_watch import TestWatch


def fit_machine(
    split: Split,
    config: Config,
    folder: Path,
    model: Path,
    options: RunOptions = RunOptions(),
    progress: Progress = SILENT,
    pool_prior: PoolPrior | None = None,
) -> FitResult:
    """Fit a detector and write model file, ``split.csv``, ``history.csv`` and training curves.

    Started again after a kill, it goes on from the checkpoints in ``folder/.work``, which goes
    when the model file is written.

    Args:
        split: of the clips; the test part is used only to watch test clips.
        config: all settings.
        folder: the run folder.
        model: where the model file shall lie.
        options: how to run; the number of threads is left to the caller.
        progress: told of steps and epochs.
        pool_prior: of a pool of machines; no networks are trained then.

    Raises:
        UserError: as `Detector.fit`; nothing can be written.
    """
    check_enough(split.train, sound_seconds(split.train))
    if config.stages.oracle_epoch and not options.watch_test:
        raise UserError("stages.oracle_epoch chooses by test labels: give --watch-test with it")
    make_folder(folder)
    _write_split(folder / "split.csv", split)
    work = folder / ".work"
    watch = None
    if options.watch_test and pool_prior is None:
        where = resolve_device(options.device)
        watch = TestWatch(split.test, config, folder / ".watch", where)
    history = History(folder)
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
    history.draw()
    result.detector.save(model)
    shutil.rmtree(work)
    shutil.rmtree(folder / ".watch", ignore_errors=True)
    return result


class _Recorder:
    """Passes reports on and keeps the history."""

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
