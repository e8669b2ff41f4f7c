"""Faults of the recording itself, which are never named as faults of the machine."""

from collections.abc import Sequence

from audio_anomaly_detector.data.signal_checks import SignalCheck
from audio_anomaly_detector.explaining.explanation import Finding
from audio_anomaly_detector.score import Score
from audio_anomaly_detector.scoring.clip_features import Waveform
from audio_anomaly_detector.scoring.conditions import (
    Conditions,
    heard_words,
    missing_words,
    nearest_conditions,
)


def recording_faults(
    waveform: Waveform,
    part: Waveform,
    sample_rate: int,
    score: Score,
    conditions: Sequence[Conditions],
    faults_of_file: Sequence[str] | None,
) -> list[Finding]:
    """What is wrong with a recording, so that nothing is said of the machine.

    Clipping, drop-outs, why it is called `unlike`, and, whatever the score, what is missing of its
    spectrum or heard over it.

    Args:
        waveform: ``(C, T)`` of the whole clip.
        part: of it that is explained, ``(C, T')``.
        sample_rate: Hz.
        score: the verdict on it.
        conditions: of the normal clips; empty: unknown.
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
    elif conditions:
        said += _unlike_conditions(part, conditions)
    return of_recording(said)


def of_recording(said: Sequence[str]) -> list[Finding]:
    """Findings of the recording from sentences, each once."""
    return [Finding("recording", f"the recording: {text}") for text in dict.fromkeys(said)]


def _unlike_conditions(part: Waveform, conditions: Sequence[Conditions]) -> list[str]:
    """What of the recording is unlike the normal clips, whatever the score."""
    of, recorded = nearest_conditions(conditions, part)
    if recorded.missing_above is not None:
        return [missing_words(recorded.missing_above)]
    heard = of.heard(part, recorded)
    return [] if heard is None else [heard_words(heard)]
