"""Events as JSON lines on standard output."""

import sys
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from audio_anomaly_detector.monitor.sinks.sink import SinkConfig, SinkError, Site, payload


class LinesConfig(SinkConfig):
    """One JSON object a line, for another program to read."""

    lines: Literal["-"] = Field(description="``-``: standard output")

    def make(self, site: Site) -> "LinesSink":
        """The sink."""
        return LinesSink(self, site)


class LinesSink:
    """See `Sink`."""

    def __init__(self, config: LinesConfig, site: Site) -> None:
        self.name = config.name or "lines"
        self.wants = config.wants
        self._site = site

    def send(self, event: Mapping[str, Any], key: str) -> None:
        """See `Sink`."""
        try:
            sys.stdout.write(f"{payload(event, key, self._site)}\n")
            sys.stdout.flush()
        except (OSError, ValueError) as error:  # ValueError: it is closed
            raise SinkError(
                f"{self.name}: standard output cannot be written ({error}); "
                "keep the program that reads it running"
            ) from error

    def tend(self) -> None:
        """See `Sink`."""

    def close(self) -> None:
        """See `Sink`."""
