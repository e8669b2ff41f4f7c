"""Faults of the recording itself, which are never named as faults of the machine."""

from collections.abc import Sequence

from audio_anomaly_detector.data.signal_checks import SignalCheck
from audio_anomaly_detector.explaining.explanation import Finding
from audio_anomaly_detector.score import Score
from audio_anomaly_detector.scoring.clip_features import Waveform


def recording_faults(
    waveform: Waveform, sample_rate: int, score: Score, faults_of_file: Sequence[str] | None
) -> list[Finding]:
    """What is wrong with a recording: clipping, drop-outs, and why it is called `unlike`.

    Args:
        waveform: ``(C, T)`` of the whole clip.
        sample_rate: Hz.
        score: the verdict on it.
        faults_of_file: found in the samples of its file, before these were brought to another rate,
            which hides clipping and gaps; None: the waveform has no file.
    """
    if faults_of_file is None:
        check = SignalCheck(len(waveform), sample_rate)
        check.add(waveform.T)
        faults_of_file = check.remarks()
    said = list(faults_of_file)
    if score.recorded_differently:
        said += score.remarks
    return [Finding("recording", f"the recording: {text}") for text in dict.fromkeys(said)]
