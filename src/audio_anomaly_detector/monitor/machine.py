"""One machine: it is learned, its windows are judged, and slow changes are noticed."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audio_anomaly_detector.data.audio import convert_samples
from audio_anomaly_detector.detector import Detector
from audio_anomaly_detector.errors import UserError, one_line
from audio_anomaly_detector.explaining.explanation import Explanation
from audio_anomaly_detector.files import write_json
from audio_anomaly_detector.monitor.baseline import observe
from audio_anomaly_detector.monitor.clock import Clock
from audio_anomaly_detector.monitor.drift import EVERY_S, DriftState, Notice
from audio_anomaly_detector.monitor.feedback import Heard, keep_fault, propose_normal
from audio_anomaly_detector.monitor.fits import Fits
from audio_anomaly_detector.monitor.fitting import Job
from audio_anomaly_detector.monitor.hearing import Format, Unusable, usable_waveform
from audio_anomaly_detector.monitor.learning_period import Learning, Phase
from audio_anomaly_detector.monitor.machine_config import MachineConfig
from audio_anomaly_detector.monitor.normals import Normals
from audio_anomaly_detector.monitor.running import Doing, band_levels
from audio_anomaly_detector.monitor.sound import Window
from audio_anomaly_detector.monitor.verdict import MachineState, Verdict
from audio_anomaly_detector.monitor.versions import Learned, Versions
from audio_anomaly_detector.score import Score

# What looks like a start or stop for longer than it takes to pass through a window is judged.
_LONGEST_CHANGE = 2.0
_STATE = "state.json"
_UNJUDGED: dict[MachineState, str] = {
    "off": "the machine is off",
    "idle": "it is idle, which has not been learned yet",
    "running": "it is running, which has not been learned yet",
    "unknown": "the machine starts or stops",
}


@dataclass(frozen=True)
class _Ready:
    """A window that is ready to be scored.

    Args:
        waveform: ``(C, T)`` at the rate of the detectors.
        state: whose detector judges it.
    """

    waveform: NDArray[np.float32]
    state: MachineState


class MachineMonitor:
    """What is known of one machine, in its folder, and what is said of its windows.

    `hear` is called by one thread; the others read `notes`, `phase` and `notices` at any time.

    Args:
        name: of the machine.
        settings: of the machine.
        folder: of its normals, models and state; created when there is something to keep.
        clock: tells the time.
        fits: fits its models.

    Raises:
        UserError: what lies in the folder is damaged.
    """

    def __init__(
        self, name: str, settings: MachineConfig, folder: Path, clock: Clock, fits: Fits
    ) -> None:
        self.name, self.settings, self.folder = name, settings, folder
        self._clock, self._fits = clock, fits
        self._config = settings.detector_config()
        self._normals = Normals(folder / "normals", settings.kept_windows)
        self._versions = Versions(folder / "models")
        self._learning, self._drift = Learning(), DriftState()
        self._format: Format | None = None  # of the normals
        self._restore()
        current = self._versions.current
        self._learned = None if current is None else self._versions.load(current)
        self._baseline = self._load_baseline()
        self._fitting: Job | None = None
        self._changing_since: float | None = None
        self._observed_at = float("-inf")
        self._trouble: str | None = None

    @property
    def window_seconds(self) -> float:
        """Length of the windows that `hear` takes."""
        return self._config.audio.window_seconds

    @property
    def phase(self) -> Phase:
        """How far its learning is."""
        return self._learning.phase(self._learned is not None)

    @property
    def version(self) -> int | None:
        """Number of the version in use; None: it is being learned."""
        return None if self._learned is None else self._learned.version.number

    @property
    def notices(self) -> list[Notice]:
        """Slow changes that last."""
        return self._drift.notices

    @property
    def notes(self) -> list[str]:
        """What to know of what is said of it, a sentence each."""
        found = self._learning.notes(
            len(self._normals.names), self._learned is not None, self.settings
        )
        if self._learned is not None:
            for state, detector in self._learned.detectors.items():
                normal = detector.normal_scores.of_usual
                found.append(f"{state}: {normal.coarseness(detector.threshold_config)}")
        return [*found, *([self._trouble] if self._trouble else [])]

    def hear(self, windows: Sequence[Window]) -> list[Verdict]:
        """Judge windows, learn from them, and use a new version as soon as it has passed.

        Args:
            windows: in the order of time, of `window_seconds` each.

        Returns:
            A verdict on each.
        """
        self._take_outcome()
        verdicts: list[Verdict | None] = [None] * len(windows)
        ready: dict[MachineState, list[tuple[int, _Ready]]] = {}
        for number, window in enumerate(windows):
            examined = self._examined(window)
            if isinstance(examined, Verdict):
                verdicts[number] = examined
            else:
                ready.setdefault(examined.state, []).append((number, examined))
        for state, heard in ready.items():
            for (number, one), score in zip(heard, self._scores(state, heard), strict=True):
                window = windows[number]
                verdict = verdicts[number] = _verdict(window, state, score)
                is_unlike = not verdict.judged or verdict.level == "alarm"
                self._keep(window, one.waveform, state, is_unlike)
                self._observe(window, one)
        self._begin_fit()
        return [verdict for verdict in verdicts if verdict is not None]

    def explain(self, window: Window, verdict: Verdict) -> Explanation:
        """Say why a window that was judged scores as it does.

        Raises:
            UserError: it was not judged, or the model does not know how normals sound in short
                frames.
        """
        if self._learned is None or verdict.state not in self._learned.detectors:
            raise UserError(f"{self.name}: the window was not judged ({verdict.reason})")
        waveform, _ = convert_samples(window.samples, window.sample_rate, self._config.audio)
        detector = self._learned.detectors[verdict.state]
        return detector.explain(waveform, rates=self.settings.rates, rpm=self.settings.rpm)

    def normal(self, windows: Sequence[Window], *, try_only: bool = False) -> tuple[str, ...]:
        """Take the sound of an event for normal from now on; `undo` takes it back.

        Args:
            windows: of the event, in the order of time.
            try_only: only say what would change.

        Returns:
            What changes, a sentence each.

        Raises:
            UserError: nothing was learned yet, none of the windows can be judged, or too much was
                called normal already.
        """
        if self._learned is None:
            raise UserError(f"{self.name}: is being learned, so that nothing was judged yet")
        heard = self._heard(windows)
        proposal = propose_normal(self._learned, heard)
        if not try_only:
            version = self._versions.add(proposal.learned.version, proposal.learned.detectors)
            self._use(version.number)
            if not self._learning.over:  # for the fits to come
                for one in heard:
                    self._normals.add(one.waveform, self._config.audio.sample_rate, one.at)
        return proposal.words

    def undo(self) -> tuple[str, ...]:
        """Take back the last event that was called normal.

        Raises:
            UserError: there is none since the last fit.
        """
        version = None if self._learned is None else self._learned.version
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

    def fault(self, windows: Sequence[Window]) -> tuple[str, ...]:
        """Mark the sound of an event as a fault: it is not learned from, and can be exported.

        Raises:
            UserError: it cannot be kept.
        """
        heard = self._heard(windows)
        count = keep_fault(self.folder / "faults", self._config.audio.sample_rate, heard)
        words = [f"{count} window(s) are kept as examples of a fault"]
        learned = [
            name
            for window in windows
            for name in self._normals.between(window.at - self.window_seconds, window.end)
        ]
        if learned:
            self._normals.remove(learned)
            self._learning = replace(self._learning, asked=True)
            self._save()
            words.append(
                f"{len(set(learned))} piece(s) of normal sound were heard at that time and are "
                "deleted; the model is fitted anew without them"
            )
        return tuple(words)

    def maintained(self) -> tuple[str, ...]:
        """Learn the machine anew; the model in use serves until the new one has passed.

        Raises:
            UserError: what was learned cannot be deleted.
        """
        count = len(self._normals.names)
        self._normals.remove(self._normals.names)
        self._learning, self._drift, self._format = Learning(), DriftState(), None
        self._save()
        return (
            f"{count} piece(s) of normal sound are deleted and a learning period begins; until its "
            "first model has passed, the machine is judged by the earlier one",
        )

    def _heard(self, windows: Sequence[Window]) -> list[Heard]:
        """The windows that can be used, with the state that they are of."""
        found = []
        for window in windows:
            waveform = usable_waveform(window, self._config.audio)
            if isinstance(waveform, Unusable):
                continue
            state: MachineState = "running"
            if self._learned is not None:
                levels = band_levels(waveform, self._config.audio.sample_rate)
                state = self._learned.states.of(levels).nearest
            found.append(Heard(window.at, state, waveform))
        return found

    def _examined(self, window: Window) -> Verdict | _Ready:
        """A window ready to be scored, or why it is not judged."""
        waveform = usable_waveform(window, self._config.audio)
        if isinstance(waveform, Unusable):
            self._learning = self._learning.refuse(waveform.kind)
            return _unjudged(window, "unknown", waveform.words)
        heard = Format.of(window, self._config.audio)
        if self._format not in (None, heard):
            words = (
                f"it is heard with {heard}, and was learned with {self._format}; set the source "
                "back, or learn it anew"
            )
            return _unjudged(window, "unknown", words)
        if self._learned is None:
            self._keep(window, waveform, "unknown")
            return _unjudged(window, "unknown", self.notes[0])
        doing = self._learned.states.of(band_levels(waveform, self._config.audio.sample_rate))
        state = self._judged_state(window, doing)
        if state in self._learned.detectors:
            return _Ready(waveform, state)
        if state == "unknown":
            self._learning = self._learning.refuse("between")
        else:
            self._keep(window, waveform, state)
        return _unjudged(window, state, _UNJUDGED[state])

    def _judged_state(self, window: Window, doing: Doing) -> MachineState:
        """The state that a window is judged by; ``unknown``: the machine starts or stops."""
        if doing.state != "unknown":
            self._changing_since = None
            return doing.state
        if self._changing_since is None:
            self._changing_since = window.at
        if window.at - self._changing_since < _LONGEST_CHANGE * self.window_seconds:
            return "unknown"
        # Nothing starts for so long: the sound itself goes up and down, which may be a fault.
        return "running" if doing.nearest == "off" else doing.nearest

    def _scores(
        self, state: MachineState, heard: Sequence[tuple[int, _Ready]]
    ) -> list[Score | str]:
        """Scores of windows in one state, or why there is none."""
        assert self._learned is not None
        return _scored(self._learned.detectors[state], [one.waveform for _, one in heard])

    def _keep(
        self,
        window: Window,
        waveform: NDArray[np.float32],
        state: MachineState,
        is_unlike: bool = False,
    ) -> None:
        """Keep a window as normal, if there is need of it."""
        if not self._learning.wants(window.at, state, is_unlike):
            return
        try:
            self._normals.add(waveform, self._config.audio.sample_rate, window.at)
        except UserError as error:
            self._trouble = f"normal sound cannot be kept: {one_line(error)}"
            return
        self._trouble = None
        self._format = Format.of(window, self._config.audio)
        self._learning = self._learning.kept(window.at, window.end, is_unlike)
        self._save()

    def _observe(self, window: Window, heard: _Ready) -> None:
        """Compare a window with the first baseline, now and then."""
        if window.at < self._observed_at + EVERY_S or self._baseline is None:
            return
        baseline = self._baseline.detectors.get(heard.state)
        if baseline is not None:
            self._observed_at = window.at
            self._drift = observe(self._drift, window.at, heard.waveform, baseline)
            self._save()

    def _begin_fit(self) -> None:
        """Begin a fit, if it is time for one."""
        if self._fitting is not None:
            return
        hours, pieces = len(self._normals.hours), len(self._normals.names)
        until = self._learning.kept_until
        if not self._learning.is_due(pieces, hours, until, self.settings):
            return
        full = self._learning.over or self._learning.ends(hours, until, self.settings)
        job = Job(self.name, self.settings, self._clock.wall(), full)
        try:
            if self._fits.begin(self.folder, job):
                self._fitting = job
        except UserError as error:
            self._trouble = one_line(error)

    def _take_outcome(self) -> None:
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

    def _use(self, number: int, as_baseline: bool = False) -> None:
        """Judge by a version from now on."""
        self._learned = self._versions.use(number, as_baseline=as_baseline)
        if self._baseline is None or self._baseline.version.number != self._versions.baseline:
            self._baseline, self._drift = self._load_baseline(), DriftState()

    def _load_baseline(self) -> Learned | None:
        number = self._versions.baseline
        if number is None or (self._learned and self._learned.version.number == number):
            return self._learned
        return self._versions.load(number)

    def _save(self) -> None:
        content = {
            "learning": self._learning.to_dict(),
            "drift": self._drift.to_dict(),
            "format": self._format,
        }
        try:
            write_json(self.folder / _STATE, content)
        except UserError as error:
            self._trouble = one_line(error)

    def _restore(self) -> None:
        path = self.folder / _STATE
        try:
            content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            self._learning = Learning.from_dict(content["learning"])
            self._drift = DriftState.from_dict(content["drift"])
            self._format = Format(*content["format"]) if content["format"] else None
        except FileNotFoundError:
            return
        except (OSError, ValueError, KeyError, TypeError, UserError) as error:
            raise UserError(
                f"{path}: is damaged ({one_line(error)}); delete it: the model in use stays, and "
                "the learning period goes on with the normals that are there"
            ) from error


def _scored(detector: Detector, waveforms: Sequence[NDArray[np.float32]]) -> list[Score | str]:
    """Scores of waveforms together; where that fails, alone, or why there is none."""
    try:
        return list(detector.score_waveforms(waveforms))
    except UserError as error:
        if len(waveforms) == 1:
            return [one_line(error)]
        return [score for one in waveforms for score in _scored(detector, [one])]


def _verdict(window: Window, state: MachineState, score: Score | str) -> Verdict:
    if isinstance(score, str):
        return _unjudged(window, state, score)
    if score.verdict == "unlike":
        return _unjudged(window, state, score.remarks[-1])
    level = score.level or ("warning" if score.is_anomalous else "none")
    return Verdict(
        window.at,
        window.end,
        window.stretch,
        state,
        True,
        None,
        score.score,
        score.threshold,
        score.alarm_threshold,
        level,
        score.p_value,
    )


def _unjudged(window: Window, state: MachineState, reason: str) -> Verdict:
    return Verdict(window.at, window.end, window.stretch, state, False, reason)
