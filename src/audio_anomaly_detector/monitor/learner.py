"""What is learned of one machine: its normals, the fits to them, and the versions in use."""

import json
import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audio_anomaly_detector.errors import UserError, one_line
from audio_anomaly_detector.files import hold_folder, write_json
from audio_anomaly_detector.loading import load_detector
from audio_anomaly_detector.monitor.clock import Clock
from audio_anomaly_detector.monitor.feedback import Heard, keep_fault, propose_normal
from audio_anomaly_detector.monitor.fits import Fits
from audio_anomaly_detector.monitor.fitting import Job
from audio_anomaly_detector.monitor.given import content_of, format_of, version_of
from audio_anomaly_detector.monitor.hearing import Format, prepared
from audio_anomaly_detector.monitor.learning_period import Learning, Phase
from audio_anomaly_detector.monitor.machine_config import MachineConfig
from audio_anomaly_detector.monitor.normals import Normals
from audio_anomaly_detector.monitor.sound import Window
from audio_anomaly_detector.monitor.verdict import MachineState
from audio_anomaly_detector.monitor.versions import Learned, Versions

log = logging.getLogger(__name__)
_STATE = "learning.json"


class Learner:
    """Keeps normal sound of a machine, has it fitted, and holds the versions that are used.

    Args:
        name: of the machine.
        settings: of the machine.
        folder: of its normals, models and state; created when there is something to keep.
        clock: tells the time.
        fits: fits its models.

    Attributes:
        config: settings of its detectors; those of the version in use, where that is of a given
            model.
        learned: the version in use; None: nothing was learned yet.
        baseline: the version that others are compared with; None: it takes other sound than the
            one in use, such as another given model.
        format: of the sound that was learned; None: none was.

    Raises:
        UserError: what lies in the folder is damaged, or the first model that is given cannot be
            used.
    """

    def __init__(
        self, name: str, settings: MachineConfig, folder: Path, clock: Clock, fits: Fits
    ) -> None:
        self.name, self.settings, self.folder = name, settings, folder
        self.config = settings.detector_config()
        self.format: Format | None = None
        self._clock, self._fits = clock, fits
        self._normals = Normals(folder / "normals", settings.kept_windows)
        self._versions = Versions(folder / "models")
        self._learning = Learning()
        self._fitting: Job | None = None
        self._trouble: str | None = None
        self._given_trouble: str | None = None
        self.learned: Learned | None = None
        self.baseline: Learned | None = None
        self._restore()
        if settings.model is not None:
            self._look_at_given(settings.model)
        current = self._versions.current
        if current is not None:
            self._judge_by(self._versions.load(current))

    @property
    def phase(self) -> Phase:
        """How far it is."""
        return self._learning.phase(self.learned is not None)

    @property
    def notes(self) -> list[str]:
        """What to know of it, a sentence each."""
        pieces, learned = len(self._normals.names), self.learned
        seconds = self.config.audio.window_seconds
        found = self._learning.notes(pieces, learned is not None, self.settings, seconds)
        if learned is not None:
            for state, detector in learned.detectors.items():
                normal = detector.normal_scores.of_usual
                found.append(f"{state}: {normal.coarseness(detector.threshold_config)}")
            if learned.version.config is not None and self.settings.model is None:
                found.append(
                    "the plant file names no model any more: the one that was given stays in use, "
                    f"with its settings; delete {self.folder} to learn the machine from nothing"
                )
        return [*found, *(one for one in (self._trouble, self._given_trouble) if one)]

    def refuse(self, reason: str) -> None:
        """Count a window that is not learned from."""
        self._learning = self._learning.refuse(reason)

    def keep(
        self,
        window: Window,
        waveform: NDArray[np.float32],
        state: MachineState,
        is_unlike: bool = False,
    ) -> None:
        """Keep a window as normal, if there is need of it.

        Args:
            window: when it was heard.
            waveform: of it, as detectors take it.
            state: what the machine is doing.
            is_unlike: see `Learning.wants`.
        """
        if not self._learning.wants(window.at, state, is_unlike):
            return
        try:
            self._normals.add(waveform, self.config.audio.sample_rate, window.at)
        except UserError as error:
            self._trouble = f"normal sound cannot be kept: {one_line(error)}"
            return
        self._trouble = None
        self.format = Format.of(window, self.config.audio)
        self._learning = self._learning.kept(window.at, window.end, is_unlike)
        self._save()

    def begin_fit(self) -> None:
        """Begin a fit, if it is time for one."""
        if self._fitting is not None:
            return
        hours, pieces = len(self._normals.hours), len(self._normals.names)
        until, seconds = self._learning.kept_until, self.config.audio.window_seconds
        if not self._learning.is_due(pieces, hours, until, self.settings, seconds):
            return
        full = self._learning.over or self._learning.ends(hours, until, self.settings)
        config = None if self.learned is None else self.learned.version.config
        job = Job(self.name, self.settings, self._clock.wall(), full, config)
        try:
            if self._fits.begin(self.folder, job):
                self._fitting = job
        except UserError as error:
            self._trouble = one_line(error)

    def take_outcome(self) -> None:
        """Use what a fit has made."""
        if self._fitting is None:
            return
        outcome = self._fits.outcome(self.folder)
        if outcome is None:
            return
        job, self._fitting = self._fitting, None
        over = job.full and outcome.version is not None
        # The first of a learning period is what later ones are compared with, until it is over.
        begins = self._learning.fitted_hours == 0
        ends = over and not self._learning.over
        try:
            for reason, names in outcome.refused.items():
                self._normals.remove(names)
                self._learning = self._learning.refuse(reason, len(names))
            if outcome.version is not None:
                self._use(outcome.version, as_baseline=begins or ends)
            self._learning = self._learning.fitted(
                len(self._normals.hours), outcome.words, over, outcome.version is None
            )
            self._save()
        except UserError as error:
            self._trouble = f"the new version cannot be used: {one_line(error)}"

    def normal(self, heard: Sequence[Heard], *, try_only: bool = False) -> tuple[str, ...]:
        """Take the sound of an event for normal; see `propose_normal`.

        Args:
            heard: its windows.
            try_only: only say what would change.

        Raises:
            UserError: nothing was learned yet, none of the windows can be judged, or too much was
                called normal already.
        """
        if self.learned is None:
            raise UserError(f"{self.name}: is being learned, so that nothing was judged yet")
        proposal = propose_normal(self.learned, heard)
        if not try_only:
            version = self._versions.add(proposal.learned.version, proposal.learned.detectors)
            self._use(version.number)
            if not self._learning.over:  # for the fits to come
                for one in heard:
                    self._normals.add(one.waveform, self.config.audio.sample_rate, one.at)
        return proposal.words

    def undo(self) -> tuple[str, ...]:
        """Take back the last event that was called normal.

        Raises:
            UserError: there is none since the last fit.
        """
        version = None if self.learned is None else self.learned.version
        if version is None or version.origin != "feedback" or version.before is None:
            raise UserError(
                f"{self.name}: no event was called normal since the last fit, so that there is "
                "nothing to undo"
            )
        self._use(version.before)
        return (f"back to version {version.before} of the model, without: {version.words[0]}",)

    def roll_back(self, number: int) -> tuple[str, ...]:
        """Judge by another version from now on.

        Raises:
            UserError: there is none, or it is damaged.
        """
        self._use(number)
        return (f"judged by version {number} of the model",)

    def fault(self, heard: Sequence[Heard], start: float, end: float) -> tuple[str, ...]:
        """Mark the sound of an event as a fault.

        Args:
            heard: its windows.
            start: of the event, s since 1970 UTC.
            end: of the event.

        Raises:
            UserError: it cannot be kept.
        """
        rate = self.config.audio.sample_rate
        count = keep_fault(self.folder / "faults", rate, heard)
        words = [f"{count} window(s) are kept as examples of a fault"]
        learned = self._normals.between(start - self.config.audio.window_seconds, end)
        # What was kept before a model was given, no fit is made of.
        if learned and self._learning.began is not None:
            self._normals.remove(learned)
            self._learning = replace(self._learning, asked=True)
            self._save()
            words.append(
                f"{len(learned)} piece(s) of normal sound were heard at that time and are "
                "deleted; the model is fitted anew without them"
            )
        return tuple(words)

    def start_anew(self) -> tuple[str, ...]:
        """Learn the machine anew; the model in use serves until the new one has passed.

        Raises:
            UserError: what was learned cannot be deleted.
        """
        count = len(self._normals.names)
        self._normals.remove(self._normals.names)
        self._learning, self.format = Learning(given=self._learning.given), None
        self._save()
        return (
            f"{count} piece(s) of normal sound are deleted and a learning period begins; until its "
            "first model has passed, the machine is judged by the earlier one",
        )

    def _look_at_given(self, path: Path) -> None:
        """Import the model that the plant file names, unless that was done.

        Raises:
            UserError: it cannot be used, and none was given before.
        """
        try:
            content = content_of(path)
            if content != self._learning.given:
                self._import(path, content)
        except UserError as error:
            if self._learning.given is None:
                raise
            self._given_trouble = (
                f"the model that the plant file names cannot be used, and version "
                f"{self._versions.current} goes on: {one_line(error)}"
            )
            log.error("%s: %s", self.name, self._given_trouble)

    def _import(self, path: Path, content: str) -> None:
        detector = load_detector(path, "cpu")
        version = version_of(path, detector, self._versions.current, self._clock.wall())
        # Not while an earlier watch, which was killed, is still fitting.
        with hold_folder(self._versions.folder):
            running = replace(detector, config=prepared(detector.config))
            version = self._versions.add(version, {"running": running})
            self._use(version.number, as_baseline=True)
        self.format = format_of(detector)
        self._learning = Learning(over=True, words=version.words, given=content)
        self._save()
        log.info("%s: version %d of its model is %s", self.name, version.number, version.words[0])

    def _use(self, number: int, as_baseline: bool = False) -> None:
        before, now = self.learned, self._versions.use(number, as_baseline=as_baseline)
        self._judge_by(now)
        if before is not None and not now.takes_sound_of(before):
            self.format = None
            self._save()

    def _judge_by(self, learned: Learned) -> None:
        config = learned.version.config
        self.config = self.settings.detector_config(config)
        if config is not None:
            learned = learned.with_threshold(self.config.scoring.threshold)
        self.learned, baseline = learned, self._versions.baseline
        if baseline is None or baseline == learned.version.number:
            self.baseline = learned
        else:
            other = self._versions.load(baseline)
            self.baseline = other if other.takes_sound_of(learned) else None

    def _save(self) -> None:
        try:
            content = {"learning": self._learning.to_dict(), "format": self.format}
            write_json(self.folder / _STATE, content)
        except UserError as error:
            self._trouble = one_line(error)

    def _restore(self) -> None:
        path = self.folder / _STATE
        try:
            content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            self._learning = Learning.from_dict(content["learning"])
            self.format = Format(*content["format"]) if content["format"] else None
        except FileNotFoundError:
            return
        except (OSError, ValueError, KeyError, TypeError, UserError) as error:
            raise UserError(
                f"{path}: is damaged ({one_line(error)}); delete it: the model in use stays, and "
                "the learning period goes on with the normals that are there"
            ) from error
