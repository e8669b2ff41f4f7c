"""One machine: its windows are judged, and it learns from them and from what people say."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from audio_anomaly_detector.data.audio import AudioConfig, convert_samples
from audio_anomaly_detector.detector import Detector
from audio_anomaly_detector.errors import UserError, one_line
from audio_anomaly_detector.explaining.explanation import Explanation
from audio_anomaly_detector.monitor.clock import Clock
from audio_anomaly_detector.monitor.drift import Notice
from audio_anomaly_detector.monitor.feedback import Heard
from audio_anomaly_detector.monitor.fits import Fits
from audio_anomaly_detector.monitor.hearing import Format, Unusable, usable_waveform
from audio_anomaly_detector.monitor.learner import Learner
from audio_anomaly_detector.monitor.learning_period import Phase
from audio_anomaly_detector.monitor.machine_config import MachineConfig
from audio_anomaly_detector.monitor.running import Doing, band_levels
from audio_anomaly_detector.monitor.slow_changes import SlowChanges
from audio_anomaly_detector.monitor.sound import Window
from audio_anomaly_detector.monitor.verdict import MachineState, Verdict
from audio_anomaly_detector.score import Score

# What looks like a start or stop for longer than it takes to pass through a window is judged.
_LONGEST_CHANGE = 2.0
# Windows in a row above the threshold are more than chance: another way of running, or a fault.
_LASTING = 10
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

    All methods are called by one thread; others may read `notes`, `phase` and `notices`.

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
        self.name, self.settings = name, settings
        self._learner = Learner(name, settings, folder, clock, fits)
        self._changing_since: float | None = None
        self._unlike_windows = 0  # in a row
        self._slow_changes = SlowChanges(folder)

    @property
    def _audio(self) -> AudioConfig:
        """How its sound is prepared; versions of given models differ in it."""
        return self._learner.config.audio

    @property
    def window_seconds(self) -> float:
        """Length of the windows that `hear` takes."""
        return self._audio.window_seconds

    @property
    def phase(self) -> Phase:
        """How far its learning is."""
        return self._learner.phase

    @property
    def version(self) -> int | None:
        """Number of the version in use; None: it is being learned."""
        learned = self._learner.learned
        return None if learned is None else learned.version.number

    @property
    def notices(self) -> list[Notice]:
        """Slow changes that last."""
        return self._slow_changes.notices

    @property
    def notes(self) -> list[str]:
        """What to know of what is said of it, a sentence each."""
        trouble = self._slow_changes.trouble
        return [*self._learner.notes, *([trouble] if trouble else [])]

    def hear(self, windows: Sequence[Window]) -> list[Verdict]:
        """Judge windows, learn from them, and use a new version as soon as it has passed.

        Args:
            windows: in the order of time, of `window_seconds` each.

        Returns:
            A verdict on each.
        """
        self._learner.take_outcome()
        verdicts: dict[int, Verdict] = {}
        ready: dict[MachineState, list[tuple[int, _Ready]]] = {}
        for number, window in enumerate(windows):
            examined = self._examined(window)
            if isinstance(examined, Verdict):
                verdicts[number] = examined
            else:
                ready.setdefault(examined.state, []).append((number, examined))
        for state, own in ready.items():
            for (number, one), score in zip(own, self._scores(state, own), strict=True):
                verdicts[number] = self._judged(windows[number], one, score)
        self._learner.begin_fit()
        return [verdicts[number] for number in range(len(windows))]

    def explain(self, window: Window, verdict: Verdict) -> Explanation:
        """Say why a window that was judged scores as it does.

        Raises:
            UserError: it was not judged, or the model does not know how normals sound in short
                frames.
        """
        learned = self._learner.learned
        if learned is None or not verdict.judged or verdict.state not in learned.detectors:
            raise UserError(f"{self.name}: the window was not judged ({verdict.reason})")
        waveform, _ = convert_samples(window.samples, window.sample_rate, self._audio)
        detector = learned.detectors[verdict.state]
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
        return self._learner.normal(self._heard(windows), try_only=try_only)

    def undo(self) -> tuple[str, ...]:
        """Take back the last event that was called normal.

        Raises:
            UserError: there is none since the last fit.
        """
        return self._learner.undo()

    def roll_back(self, number: int) -> tuple[str, ...]:
        """Judge by another version from now on.

        Raises:
            UserError: there is none, or it is damaged.
        """
        return self._learner.roll_back(number)

    def fault(self, windows: Sequence[Window]) -> tuple[str, ...]:
        """Mark the sound of an event as a fault: it is not learned from, and can be exported.

        Args:
            windows: of the event, one at least, in the order of time.

        Raises:
            UserError: it cannot be kept.
        """
        return self._learner.fault(self._heard(windows), windows[0].at, windows[-1].end)

    def maintained(self) -> tuple[str, ...]:
        """Learn the machine anew; the model in use serves until the new one has passed.

        Raises:
            UserError: what was learned cannot be deleted.
        """
        words = self._learner.start_anew()
        self._slow_changes.begin_anew()
        return words

    def _heard(self, windows: Sequence[Window]) -> list[Heard]:
        """The windows that can be used, with the state that they are of."""
        found = []
        for window in windows:
            waveform = usable_waveform(window, self._audio)
            if isinstance(waveform, Unusable):
                continue
            state: MachineState = "running"
            if self._learner.learned is not None:
                levels = band_levels(waveform, self._audio.sample_rate)
                state = self._learner.learned.states.of(levels).nearest
            found.append(Heard(window.at, state, waveform))
        return found

    def _examined(self, window: Window) -> Verdict | _Ready:
        """A window ready to be scored, or why it is not judged."""
        waveform = usable_waveform(window, self._audio)
        if isinstance(waveform, Unusable):
            self._learner.refuse(waveform.kind)
            return Verdict.unjudged(window, "unknown", waveform.words)
        heard = Format.of(window, self._audio)
        if self._learner.format not in (None, heard):
            words = (
                f"it is heard with {heard}, and was learned with {self._learner.format}; set the "
                "source so, or learn it anew"
            )
            return Verdict.unjudged(window, "unknown", words)
        learned = self._learner.learned
        if learned is None:
            self._learner.keep(window, waveform, "unknown")
            return Verdict.unjudged(window, "unknown", self._learner.notes[0])
        doing = learned.states.of(band_levels(waveform, self._audio.sample_rate))
        state = self._judged_state(window, doing)
        if state in learned.detectors:
            return _Ready(waveform, state)
        if state == "unknown":
            self._learner.refuse("between")
        else:
            self._learner.keep(window, waveform, state)
        return Verdict.unjudged(window, state, _UNJUDGED[state])

    def _judged(self, window: Window, ready: _Ready, score: Score | str) -> Verdict:
        """The verdict on a window with a score, or with why it has none; it is learned from."""
        state, waveform = ready.state, ready.waveform
        if isinstance(score, str):
            verdict = Verdict.unjudged(window, state, score)
        else:
            verdict = Verdict.of_score(window, state, score, tentative=self.phase != "full")
        is_normal = verdict.judged and verdict.level == "none"
        self._unlike_windows = 0 if is_normal else self._unlike_windows + 1
        self._learner.keep(window, waveform, state, self._unlike_windows >= _LASTING)
        if self._learner.baseline is not None:
            self._slow_changes.observe(window.at, waveform, state, self._learner.baseline)
        return verdict

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

    def _scores(self, state: MachineState, own: Sequence[tuple[int, _Ready]]) -> list[Score | str]:
        """Scores of windows in one state, or why there is none."""
        assert self._learner.learned is not None
        return _scored(self._learner.learned.detectors[state], [one.waveform for _, one in own])


def _scored(detector: Detector, waveforms: Sequence[NDArray[np.float32]]) -> list[Score | str]:
    """Scores of waveforms together; where that fails, alone, or why there is none."""
    try:
        return list(detector.score_waveforms(waveforms))
    except UserError as error:
        if len(waveforms) == 1:
            return [one_line(error)]
        return [score for one in waveforms for score in _scored(detector, [one])]
