"""One machine: it is learned, its windows are judged, and slow changes are noticed."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audio_anomaly_detector.data.audio import convert_samples
from audio_anomaly_detector.detector import Detector
from audio_anomaly_detector.errors import UserError, one_line
from audio_anomaly_detector.explaining.explanation import Explanation
from audio_anomaly_detector.files import write_json
from audio_anomaly_detector.monitor.clock import Clock
from audio_anomaly_detector.monitor.drift import (
    EVERY_S,
    DriftState,
    Notice,
    observe_gain,
    observe_score,
)
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
# Groups of normals that a standard deviation between them needs.
_LEAST_GROUPS = 4
_STATE = "state.json"
_UNJUDGED: dict[MachineState, str] = {
    "off": "the machine is off",
    "idle": "it is idle, which has not been learned yet",
    "running": "it is running, which has not been learned yet",
    "unknown": "the machine starts or stops",
}


@dataclass(frozen=True)
class _Heard:
    """A window that is ready to be scored.

    Args:
        waveform: ``(C, T)`` at the rate of the detectors.
        doing: what the machine is doing.
        state: whose detector judges it.
    """

    waveform: NDArray[np.float32]
    doing: Doing
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
        current, baseline = self._versions.current, self._versions.baseline
        self._learned = None if current is None else self._versions.load(current)
        self._baseline = self._load_baseline(baseline)
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
                found += [f"{state}: {note}" for note in detector.notes]
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
        ready: dict[MachineState, list[tuple[int, _Heard]]] = {}
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
                self._observe(window, one, score)
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

    def _examined(self, window: Window) -> Verdict | _Heard:
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
            return _Heard(waveform, doing, state)
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
        self, state: MachineState, heard: Sequence[tuple[int, _Heard]]
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
        learned = self._learned is not None
        if not self._learning.wants(window.at, state, is_unlike, learned):
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

    def _observe(self, window: Window, heard: _Heard, score: Score | str) -> None:
        """Compare a window with the first baseline, now and then."""
        baseline = self._baseline
        if window.at < self._observed_at + EVERY_S or baseline is None or isinstance(score, str):
            return
        detector = baseline.detectors.get(heard.state)
        if detector is None:
            return
        self._observed_at = window.at
        if detector.conditions:
            gain = detector.conditions[0].even_gain(heard.waveform)
            self._drift = observe_gain(self._drift, window.at, gain)
        usual = _usual(detector)
        if self._learning.over and usual is not None:
            if self._learned is None or baseline.version != self._learned.version:
                score = _scored(detector, [heard.waveform])[0]
            if not isinstance(score, str) and score.verdict != "unlike":
                mean, deviation = usual
                standard = (score.score - mean) / deviation
                self._drift = observe_score(self._drift, window.at, standard)
        self._save()

    def _begin_fit(self) -> None:
        """Begin a fit, if it is time for one."""
        if self._fitting is not None:
            return
        hours, now = len(self._normals.hours), self._learning.kept_until
        pieces, learned = len(self._normals.names), self._learned is not None
        if not self._learning.is_due(pieces, hours, now, learned, self.settings):
            return
        job = Job(
            self.name,
            self.settings,
            self._clock.wall(),
            self._learning.ends(hours, now, self.settings),
        )
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
        try:
            for reason, names in outcome.refused.items():
                self._normals.remove(names)
                self._learning = self._learning.refuse(reason, len(names))
            if outcome.version is not None:
                self._learned = self._versions.use(outcome.version, as_baseline=over)
                self._baseline = self._load_baseline(self._versions.baseline)
            self._learning = self._learning.fitted(len(self._normals.hours), outcome.words, over)
            self._save()
        except UserError as error:
            self._trouble = f"the new version cannot be used: {one_line(error)}"

    def _load_baseline(self, number: int | None) -> Learned | None:
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


def _usual(detector: Detector) -> tuple[float, float] | None:
    """Mean and standard deviation of the normal scores of hours; None: too few to say."""
    normal = detector.normal_scores.near(detector.window_seconds)
    groups = np.unique(normal.groups)
    if len(groups) < _LEAST_GROUPS:
        return None
    means = [normal.scores[normal.groups == group].mean() for group in groups]
    return float(np.mean(means)), float(np.std(means, ddof=1))
