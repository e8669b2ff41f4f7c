"""Where events are sent, and what makes sure that they arrive."""

from audio_anomaly_detector.monitor.sinks.command import CommandConfig
from audio_anomaly_detector.monitor.sinks.lines import LinesConfig
from audio_anomaly_detector.monitor.sinks.sink import SinkConfig
from audio_anomaly_detector.monitor.sinks.webhook import WebhookConfig

# By the setting that only this kind has, which comes first in a configuration.
SINKS: dict[str, type[SinkConfig]] = {
    "webhook": WebhookConfig,
    "lines": LinesConfig,
    "command": CommandConfig,
}
