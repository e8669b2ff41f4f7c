"""A window against the first baseline, which neither later fits nor feedback change."""

import numpy as np
from numpy.typing import NDArray

from audio_anomaly_detector.detector import Detector
from audio_anomaly_detector.errors import UserError
from audio_anomaly_detector.monitor.drift import DriftState, observe_gain, observe_score

# Hours of normals that a standard deviation between them needs.
_LEAST_HOURS = 4


def observe(
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
