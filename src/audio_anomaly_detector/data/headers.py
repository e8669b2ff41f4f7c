"""What a file of sound is: length, rate, channels; checked against what the file holds."""

from pathlib import Path

from audio_anomaly_detector.data.decoding import open_sound
from audio_anomaly_detector.data.kinds import AUDIO_SUFFIXES, AudioInfo, is_audio

__all__ = ["AUDIO_SUFFIXES", "AudioInfo", "is_audio", "probe"]


def probe(path: Path) -> AudioInfo:
    """What a file holds.

    Args:
        path: an audio file.

    Returns:
        Length, rate, channels and sample format.

    Raises:
        ClipError: as `open_sound`.
    """
    return open_sound(path).info
