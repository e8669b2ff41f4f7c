"""What a sink is, and which events it wants."""

import json
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from pydantic import BaseModel, Field

from audio_anomaly_detector.errors import UserError
from audio_anomaly_detector.monitor.event import Event, Level, Subject
from audio_anomaly_detector.monitor.sinks.message import message
from audio_anomaly_detector.monitor.store.clips import PICTURE

_LEVELS: tuple[Level, ...] = ("notice", "warning", "alarm")


class SinkError(UserError):
    """An event could not be delivered; the text says why and what to do, in one line.

    Args:
        text: the message.
        refused: the receiver was reached and does not take this event, now or later.
    """

    def __init__(self, text: str, refused: bool = False) -> None:
        super().__init__(text)
        self.refused = refused


@dataclass(frozen=True)
class Site:
    """What a sink knows of the place that is watched.

    Args:
        name: of the site.
        zone: its time zone, such as ``Europe/Berlin``.
        machines: their names.
        open_events: that had not ended when the program started.
        events: folder of the sound and pictures of events; None: there is none.
    """

    name: str
    zone: str
    machines: tuple[str, ...] = ()
    open_events: tuple[Event, ...] = field(default=(), repr=False)
    events: Path | None = None

    def picture(self, event: Mapping[str, Any]) -> Path | None:
        """The picture of an event, as plain data, if it was kept."""
        if self.events is None or event["folder"] is None:
            return None
        path = self.events / event["folder"] / PICTURE
        return path if path.is_file() else None


class Sink(Protocol):
    """Where events are sent. One thread uses it, but `close` may come from another."""

    name: str

    def wants(self, event: Mapping[str, Any]) -> bool:
        """Whether it shall get an event, as plain data."""

    def send(self, event: Mapping[str, Any], key: str) -> None:
        """Deliver an event; returns when the receiver has it.

        Args:
            event: `Event.to_dict`.
            key: the same when the same state of an event is sent again.

        Raises:
            SinkError: it did not arrive, or may not have.
        """

    def tend(self) -> None:
        """Keep up what it has to between events, such as a connection; called every few seconds.

        Raises:
            SinkError: it cannot.
        """

    def close(self) -> None:
        """Release everything."""


class SinkConfig(BaseModel, frozen=True, extra="forbid"):
    """Settings that all sinks have."""

    name: str | None = Field(
        default=None,
        min_length=1,
        description="of the sink, different from the others'; what still has to be delivered is "
        "kept under it. Default: its kind",
    )
    level: Level = Field(default="notice", description="the lowest level of events that it gets")
    subjects: tuple[Subject, ...] = Field(
        default=("machine", "source", "service"), description="what the events are about"
    )
    ends: bool = Field(default=True, description="whether it is told when an event is over")

    def wants(self, event: Mapping[str, Any]) -> bool:
        """Whether an event, as plain data, shall be sent."""
        return (
            event["subject"] in self.subjects
            and (self.ends or event["phase"] != "end")
            and _LEVELS.index(event["level"]) >= _LEVELS.index(self.level)
        )

    @abstractmethod
    def make(self, site: Site) -> Sink:
        """The sink.

        Raises:
            UserError: the settings do not fit, or a library is missing.
        """


def payload(event: Mapping[str, Any], key: str, site: Site) -> str:
    """An event as one line of JSON in ASCII, with its key, the site and a text for people."""
    title, body = message(event, site.name, site.zone)
    content = {"key": key, "site": site.name, **event, "title": title, "text": body}
    return json.dumps(content, allow_nan=False)
