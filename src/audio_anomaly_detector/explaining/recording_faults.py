"""Faults of the recording itself, which are never named as faults of the machine."""

from collections.abc import Sequence

import numpy as np

from audio_anomaly_detector.data.signal_checks import SignalCheck
from audio_anomaly_detector.explaining.explanation import Finding
from audio_anomaly_detector.score import Score
from audio_anomaly_detector.scoring.clip_features import Waveform

# A converter that is driven too far holds its largest value for several samples, again and again.
# A sine near its crest does so too, of low level in steps of 16 bits or of very low frequency.
_LEAST_PEAK = 0.1  # full scale
_HELD, _TIMES = 3, 8


def recording_faults(waveform: Waveform, sample_rate: int, score: Score) -> list[Finding]:
    """What is wrong with a recording: clipping, drop-outs, and why it is called `unlike`.

    Args:
        waveform: ``(C, T)`` of the whole clip.
        sample_rate: Hz.
        score: the verdict on it.
    """
    check = SignalCheck(len(waveform), sample_rate)
    check.add(waveform.T)
    said = [*check.remarks(), *_clipped(waveform)]
    if score.recorded_differently:
        said += score.remarks
    return [Finding("recording", f"the recording: {text}") for text in dict.fromkeys(said)]


def _clipped(waveform: Waveform) -> Sequence[str]:
    """Names the microphones whose largest samples are held."""
    clipped = {}
    for microphone, samples in enumerate(waveform):
        peak = float(np.abs(samples).max())
        if peak < _LEAST_PEAK:
            continue
        at_peak = np.abs(samples) >= peak * (1 - 1e-4)
        edges = np.flatnonzero(np.diff(at_peak.astype(np.int8), prepend=0, append=0))
        lengths = edges[1::2] - edges[::2]
        if np.count_nonzero(lengths >= _HELD) >= _TIMES:
            clipped[microphone] = float(at_peak.mean())
    if not clipped:
        return []
    share = max(clipped.values())
    where = "" if len(clipped) == len(waveform) else f" in microphone {_listed(clipped)}"
    return [f"is clipped{where}: {share:.2%} of the samples are held at the largest value"]


def _listed(microphones: dict[int, float]) -> str:
    return ", ".join(map(str, microphones))
