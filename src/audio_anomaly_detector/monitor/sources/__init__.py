"""Sources of sound, and what keeps them running."""

from collections.abc import Mapping
from typing import Any

from audio_anomaly_detector.errors import UserError
from audio_anomaly_detector.monitor.sources.ffmpeg import FfmpegConfig
from audio_anomaly_detector.monitor.sources.files import FolderConfig
from audio_anomaly_detector.monitor.sources.microphone import MicrophoneConfig
from audio_anomaly_detector.monitor.sources.mqtt import MqttAudioConfig
from audio_anomaly_detector.monitor.sources.raw_input import RawInputConfig
from audio_anomaly_detector.settings import validated

SourceConfig = MicrophoneConfig | FolderConfig | RawInputConfig | FfmpegConfig | MqttAudioConfig

# By the key that says what is heard.
SOURCES: dict[str, type[SourceConfig]] = {
    "microphone": MicrophoneConfig,
    "url": FfmpegConfig,
    "input": FfmpegConfig,
    "folder": FolderConfig,
    "file": FolderConfig,
    "raw": RawInputConfig,
    "mqtt": MqttAudioConfig,
}


def read_source(tree: Mapping[str, Any]) -> SourceConfig:
    """Settings of a source from plain data.

    Args:
        tree: one key of `SOURCES` and the other settings of that kind.

    Raises:
        UserError: it has none of these keys or several, or a setting is unknown or wrong.
    """
    named = [key for key in SOURCES if key in tree]
    if len(named) != 1:
        found = f"has {' and '.join(named)}" if named else "does not say what is heard"
        raise UserError(f"a source {found}; give one of {', '.join(SOURCES)}")
    return validated(SOURCES[named[0]], tree)
