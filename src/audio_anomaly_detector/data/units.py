"""The unit of recordings that are not in full scale: metres, volts, pascals."""

import math
from collections.abc import Sequence

import numpy as np

from audio_anomaly_detector.data.audio import AudioConfig
from audio_anomaly_detector.data.clips import Clip
from audio_anomaly_detector.data.decoding import open_sound
from audio_anomaly_detector.errors import ClipError

# Peaks within are taken as they are. Below, much of the sound lies under the floors of power;
# beyond, and integers of 16 bits stored as floats are not, float32 statistics come to their limits.
_ORDINARY = (2.0**-12, 2.0**16)
_FILES = 8  # that are looked at


def in_full_scale(clips: Sequence[Clip], config: AudioConfig) -> AudioConfig:
    """The config with the scale that brings float recordings in physical units to full scale.

    Args:
        clips: of the machine; their levels relative to each other stay what they are.
        config: what is asked for; a scale that the user chose stays.

    Returns:
        The same config where recordings are integers or have ordinary peaks.
    """
    if config.scale != 1:
        return config
    peaks = []
    for clip in clips:
        try:
            sound = open_sound(clip.path)
            if sound.info.subtype not in ("FLOAT", "DOUBLE"):
                return config
            first = min(round(clip.start * sound.info.sample_rate), sound.info.frames - 1)
            block = next(sound.blocks(first, sound.info.frames - first))
        except ClipError:
            continue  # told where the clip is read
        values = np.abs(block)
        peaks.append(float(values.max(initial=0, where=np.isfinite(values))))
        if len(peaks) == _FILES:
            break
    usual = float(np.median(peaks)) if peaks else 0.0
    if usual == 0 or _ORDINARY[0] <= usual <= _ORDINARY[1]:
        return config
    return config.model_copy(update={"scale": 2.0 ** -(2 + math.floor(math.log2(usual)))})
