"""What the store hands out, one for each row."""

import math
from typing import Any, Literal, NamedTuple

from sqlalchemy import Row

from audio_anomaly_detector.monitor.event import Event


class Delivery(NamedTuple):
    """An event in one of its states, to be sent to a sink.

    Attributes:
        id: of the delivery.
        key: ``EVENT:REVISION``; the receiver knows by it what it has got already.
        event: `Event.to_dict`.
        attempts: that failed.
    """

    id: int
    key: str
    event: dict[str, Any]
    attempts: int


class Silence(NamedTuple):
    """A time in which nothing is told of a machine or source; times in s since 1970 UTC."""

    id: int
    name: str
    since: float
    until: float
    reason: str


class Feedback(NamedTuple):
    """What a person said of an event, or of the sound of a machine.

    Attributes:
        id: of the feedback.
        at: when it was said, s since 1970 UTC.
        name: of the machine.
        event: its id; None: of no event.
        kind: of what was heard.
        note: words of the person.
        undone: when it was taken back; None: it holds.
    """

    id: int
    at: float
    name: str
    event: str | None
    kind: Literal["normal", "fault"]
    note: str
    undone: float | None


def event_of(row: Row[Any]) -> Event:
    """The event in a row of its table."""
    fields = dict(row._mapping)
    fields["words"] = tuple(fields["words"])
    fields["course"] = tuple(
        (at, math.nan if ratio is None else ratio) for at, ratio in fields["course"]
    )
    return Event(**fields)
