"""Sounds of a clip in compressed form, equally loud."""

import io

import numpy as np
import soundfile
import soxr

from audio_anomaly_detector.explaining.explanation import Explanation
from audio_anomaly_detector.explaining.folder import equal_levels
from audio_anomaly_detector.reporting.content import Sound
from audio_anomaly_detector.scoring.clip_features import Waveform

# Of MPEG-1 and -2 audio; not every browser plays the lower ones of MPEG-2.5.
_RATES = (16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
_LEVEL = 0.8  # of libsndfile's compression levels: about 3 kB a second at 16 kHz


def compress_sounds(
    explanation: Explanation, nearest: Waveform | None, nearest_name: str
) -> list[Sound]:
    """The clip, its unusual part and the nearest normal clip as MP3, means of all microphones.

    Args:
        explanation: of the clip.
        nearest: of the nearest training clip, ``(C, T)``; None: it is not at hand.
        nearest_name: its name.
    """
    waveforms = {"clip": explanation.waveform, "unusual": explanation.sound.waveform}
    if nearest is not None:
        waveforms["nearest"] = nearest
    mono = {name: waveform.mean(0, keepdims=True) for name, waveform in waveforms.items()}
    factors = equal_levels(mono)
    gain = {name: float(20 * np.log10(factor)) for name, factor in factors.items()}
    gain["unusual"] += explanation.sound.gain
    titles = {
        "clip": "This recording",
        "unusual": "Its unusual part, brought out",
        "nearest": f"The most similar normal recording: {nearest_name}",
    }
    return [
        Sound(
            titles[name],
            f"{gain[name]:+.0f} dB",
            mp3=mp3(sound[0] * np.float32(factors[name]), explanation.sample_rate),
            on_picture=name != "nearest",
        )
        for name, sound in mono.items()
        if sound.any()
    ]


def mp3(sound: Waveform, sample_rate: int) -> bytes:
    """Compress a sound.

    Args:
        sound: ``(T,)`` in full scale ±1.
        sample_rate: Hz; one that MP3 does not have is resampled to the next above, or the highest.
    """
    rate = next((rate for rate in _RATES if rate >= sample_rate), _RATES[-1])
    if rate != sample_rate:
        sound = soxr.resample(sound, sample_rate, rate)
    content = io.BytesIO()
    with soundfile.SoundFile(
        content,
        "w",
        rate,
        1,
        format="MP3",
        subtype="MPEG_LAYER_III",
        bitrate_mode="VARIABLE",
        compression_level=_LEVEL,
    ) as file:
        file.write(sound.clip(-1, 1))
    return content.getvalue()
