"""Sources of sound, and what keeps them running."""

from audio_anomaly_detector.monitor.sources.ffmpeg import FfmpegConfig
from audio_anomaly_detector.monitor.sources.files import FolderConfig
from audio_anomaly_detector.monitor.sources.microphone import MicrophoneConfig
from audio_anomaly_detector.monitor.sources.mqtt import MqttAudioConfig
from audio_anomaly_detector.monitor.sources.raw_input import RawInputConfig

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
