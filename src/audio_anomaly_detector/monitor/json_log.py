"""The log as one JSON object a line, for programs that collect logs."""

import logging
import sys

import structlog

from audio_anomaly_detector.errors import one_line


def log_json() -> None:
    """Send the package's log to standard error as JSON lines from now on."""
    formatter = structlog.stdlib.ProcessorFormatter(
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            _on_one_line,
            structlog.processors.JSONRenderer(),
        ],
        foreign_pre_chain=[
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
        ],
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    logging.getLogger("audio_anomaly_detector").handlers[:] = [handler]


def _on_one_line(
    _logger: object, _method: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    event["event"] = one_line(event["event"])
    return event
