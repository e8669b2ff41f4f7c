"""Where events are sent, and what makes sure that they arrive."""

from audio_anomaly_detector.monitor.sinks.command import CommandConfig
from audio_anomaly_detector.monitor.sinks.lines import LinesConfig
from audio_anomaly_detector.monitor.sinks.mqtt import MqttConfig
from audio_anomaly_detector.monitor.sinks.notify import NotifyConfig
from audio_anomaly_detector.monitor.sinks.sink import SinkConfig
from audio_anomaly_detector.monitor.sinks.webhook import WebhookConfig

# By the setting that only this kind has, which comes first in a configuration.
SINKS: dict[str, type[SinkConfig]] = {
    "mqtt": MqttConfig,
    "webhook": WebhookConfig,
    "notify": NotifyConfig,
    "lines": LinesConfig,
    "command": CommandConfig,
}
