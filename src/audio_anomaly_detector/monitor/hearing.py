"""Whether a window can be judged at all, before any model looks at it."""

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from audio_anomaly_detector.config import Config
from audio_anomaly_detector.data.audio import AudioConfig, convert_samples
from audio_anomaly_detector.data.signal_checks import SignalError
from audio_anomaly_detector.errors import UserError, one_line
from audio_anomaly_detector.monitor.sound import Window

# Below it a converter of 16 bits has three bits left: no microphone near a machine is so quiet.
_SILENCE_DB = -80.0


class Unusable(NamedTuple):
    """A window that says nothing of the machine.

    Attributes:
        kind: of the reason, as `Learning.refused` counts it.
        words: the reason.
    """

    kind: Literal["silence", "recording"]
    words: str


class Format(NamedTuple):
    """What sound is like of a source, as far as a model depends on it.

    Attributes:
        rate: Hz that are used of its sample rate.
        channels: of the source.
    """

    rate: int
    channels: int

    @classmethod
    def of(cls, window: Window, audio: AudioConfig) -> "Format":
        """Of a window."""
        return cls(min(window.sample_rate, audio.sample_rate), len(window.samples))

    def __str__(self) -> str:
        """For people."""
        return f"{self.channels} channel(s) up to {self.rate / 2:.0f} Hz"


def prepared(config: Config) -> Config:
    """Settings of a detector that takes what `usable_waveform` makes of sound by others.

    Its channels are chosen by then, and its scale is that of full scale.
    """
    audio = config.audio.model_copy(update={"channels": "all", "scale": 1.0})
    return config.model_copy(update={"audio": audio})


def usable_waveform(window: Window, audio: AudioConfig) -> NDArray[np.float32] | Unusable:
    """The sound of a window as a detector takes it, ``(C, T)``, as if it came from a file.

    Args:
        window: at the rate of its source.
        audio: settings of the detector.
    """
    try:
        waveform, faults = convert_samples(window.samples, window.sample_rate, audio)
    except SignalError as error:
        return Unusable("silence", f"the sound {one_line(error)}")
    except UserError:
        words = (
            f"the source brings {len(window.samples)} channel(s), numbered from 0, and channel "
            f"{audio.channels} is listened to; have it bring that one, or choose another"
        )
        return Unusable("recording", words)
    if faults:
        return Unusable("recording", f"the recording: {faults[0]}")
    level = 10 * np.log10(np.mean(np.square(waveform, dtype=np.float64)) + 1e-20)
    if level < _SILENCE_DB:
        return Unusable(
            "silence",
            f"hardly any sound ({level:.0f} dB of full scale): is the microphone connected?",
        )
    return waveform
