"""Slow changes of a machine: now and then a window is compared with the first baseline.

The baseline is what neither later fits nor feedback change.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audio_anomaly_detector.detector import Detector
from audio_anomaly_detector.errors import UserError, one_line
from audio_anomaly_detector.files import write_json
from audio_anomaly_detector.monitor.drift import (
    EVERY_S,
    DriftState,
    Notice,
    observe_gain,
    observe_score,
)
from audio_anomaly_detector.monitor.verdict import MachineState
from audio_anomaly_detector.monitor.versions import Learned

# Hours of normals that a standard deviation between them needs.
_LEAST_HOURS = 4
_STATE = "drift.json"


class SlowChanges:
    """What is found of one machine, kept in its folder; used by one thread.

    Args:
        folder: of the machine; created when there is something to keep.

    Attributes:
        trouble: why it cannot be kept, a sentence; None: it can.

    Raises:
        UserError: what was kept is damaged.
    """

    def __init__(self, folder: Path) -> None:
        self.trouble: str | None = None
        self._path = folder / _STATE
        self._observed_at = float("-inf")
        self._drift, self._drift_of = self._restored()

    @property
    def notices(self) -> list[Notice]:
        """What lasts, also for other threads."""
        return self._drift.notices

    def observe(
        self, at: float, waveform: NDArray[np.float32], state: MachineState, baseline: Learned
    ) -> None:
        """Take in a window, if it is time for one.

        Args:
            at: when it was heard, s since 1970 UTC.
            waveform: of it, ``(C, T)``.
            state: that the machine is in.
            baseline: to compare it with; another one than before begins anew.
        """
        if abs(at - self._observed_at) < EVERY_S:
            return
        detector = baseline.detectors.get(state)
        if detector is None:
            return
        if self._drift_of != baseline.version.number:
            self._drift, self._drift_of = DriftState(), baseline.version.number
        self._observed_at = at
        full = baseline.version.full
        self._drift = _observed(self._drift, at, waveform, detector, full)
        self._save()

    def begin_anew(self) -> None:
        """Forget what was found."""
        self._drift = DriftState()
        self._save()

    def _save(self) -> None:
        content = {"baseline": self._drift_of, "drift": self._drift.to_dict()}
        try:
            write_json(self._path, content)
            self.trouble = None
        except UserError as error:
            self.trouble = one_line(error)

    def _restored(self) -> tuple[DriftState, int | None]:
        """Slow changes as they were, and of which baseline."""
        try:
            content: dict[str, Any] = json.loads(self._path.read_text(encoding="utf-8"))
            return DriftState.from_dict(content["drift"]), content["baseline"]
        except FileNotFoundError:
            return DriftState(), None
        except (OSError, ValueError, KeyError, TypeError, UserError) as error:
            raise UserError(
                f"{self._path}: is damaged ({one_line(error)}); delete it: slow changes are then "
                "looked for from now on"
            ) from error


def _observed(
    drift: DriftState, at: float, waveform: NDArray[np.float32], baseline: Detector, full: bool
) -> DriftState:
    """Take in the gain and the score of a window.

    Args:
        drift: after the observation before.
        at: time of the window, s since 1970 UTC.
        waveform: of it, ``(C, T)``.
        baseline: of the state that the machine is in.
        full: it was learned from a whole learning period; scores of others say little of days.
    """
    if baseline.conditions:
        gain = baseline.conditions[0].even_gain(waveform)
        drift = observe_gain(drift, at, gain)
    usual = _usual(baseline) if full else None
    if usual is None:
        return drift
    try:
        score = baseline.score(waveform)
    except UserError:
        return drift
    if score.verdict == "unlike":
        return drift
    mean, deviation = usual
    return observe_score(drift, at, (score.score - mean) / deviation)


def _usual(detector: Detector) -> tuple[float, float] | None:
    """Mean and standard deviation of the normal scores of hours; None: too few to say."""
    normal = detector.normal_scores.near(detector.window_seconds)
    hours = np.unique(normal.groups)
    if detector.provenance.groups is None or detector.provenance.groups < _LEAST_HOURS:
        return None
    means = [normal.scores[normal.groups == hour].mean() for hour in hours]
    return float(np.mean(means)), float(np.std(means, ddof=1))
