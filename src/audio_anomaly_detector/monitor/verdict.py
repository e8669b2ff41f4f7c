"""What is said of one window of a machine's sound."""

from dataclasses import dataclass, replace
from typing import Literal, Self

from audio_anomaly_detector.monitor.sound import Window
from audio_anomaly_detector.score import Score

# `unknown`: before a machine has been learned, and for sound that is not looked at.
MachineState = Literal["off", "idle", "running", "unknown"]
VerdictLevel = Literal["none", "warning", "alarm"]


@dataclass(frozen=True)
class Verdict:
    """A window, judged or not.

    A window that is not judged has no score: `level` is then ``none`` and says nothing.

    Args:
        at: when its first sample was heard, s since 1970 UTC.
        end: when the sample after its last one is heard.
        stretch: of the sound, see `Chunk`.
        state: what the machine was doing.
        judged: whether its sound was compared with normal sound.
        reason: why it was not judged, in words; None: it was.
        score: anomaly score, higher is more anomalous.
        threshold: score above which it is at level ``warning``.
        alarm_threshold: score above which it is at level ``alarm``; None: there is no such level.
        level: of this window alone.
        p_value: share of normal windows that score at least as high.
        p_recording: share of normal windows expected to be recorded as differently from the
            others, see `Score.p_recording`; None: it is not known.
        tentative: judged by a model of the learning period, which has not heard yet how the machine
            differs from hour to hour.
    """

    at: float
    end: float
    stretch: int
    state: MachineState
    judged: bool
    reason: str | None = None
    score: float | None = None
    threshold: float | None = None
    alarm_threshold: float | None = None
    level: VerdictLevel = "none"
    p_value: float | None = None
    p_recording: float | None = None
    tentative: bool = False

    @classmethod
    def unjudged(cls, window: Window, state: MachineState, reason: str) -> Self:
        """On a window that is not judged; the reason in words."""
        return cls(window.at, window.end, window.stretch, state, False, reason)

    @classmethod
    def of_score(cls, window: Window, state: MachineState, score: Score, tentative: bool) -> Self:
        """On a window that was scored; one that is unlike all that was learned is not judged.

        Args:
            window: when it was heard.
            state: by whose detector it was scored.
            score: of it.
            tentative: see the class.
        """
        if score.verdict == "unlike":
            unjudged = cls.unjudged(window, state, score.remarks[-1])
            return replace(unjudged, p_recording=score.p_recording)
        return cls(
            window.at,
            window.end,
            window.stretch,
            state,
            judged=True,
            score=score.score,
            threshold=score.threshold,
            alarm_threshold=score.alarm_threshold,
            level=score.level or ("warning" if score.is_anomalous else "none"),
            p_value=score.p_value,
            p_recording=score.p_recording,
            tentative=tentative,
        )

    @property
    def ratio(self) -> float | None:
        """Score over threshold, as events show it; None: not judged or without a positive one."""
        if self.score is None or self.threshold is None or self.threshold <= 0:
            return None
        return self.score / self.threshold
