"""From slow changes of a machine to events, which last as long as they do."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from audio_anomaly_detector.monitor.drift import Notice
from audio_anomaly_detector.monitor.event import Event, Level, Subject
from audio_anomaly_detector.monitor.tracker import event_id


@dataclass(frozen=True)
class NoticeState:
    """Slow changes of a machine that were told.

    Args:
        events: that are open, by kind.
        count: events so far.
    """

    events: Mapping[str, Event] = field(default_factory=dict)
    count: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        events = {kind: event.to_dict() for kind, event in self.events.items()}
        return {"events": events, "count": self.count}

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> "NoticeState":
        """The state of `to_dict`.

        Raises:
            ValueError: it is none.
        """
        try:
            events = {kind: Event.from_dict(event) for kind, event in content["events"].items()}
            return cls(events, content["count"])
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"no state of slow changes ({error})") from error


def advance_notices(
    state: NoticeState,
    name: str,
    notices: Sequence[Notice],
    now: float,
    level: Level = "notice",
    subject: Subject = "machine",
) -> tuple[NoticeState, list[Event]]:
    """Take the slow changes that a machine shows now.

    Args:
        state: so far.
        name: of the machine.
        notices: that last.
        now: s since 1970 UTC.
        level: of the events.
        subject: that the name is of.

    Returns:
        the state with them, and what there is to tell.
    """
    events, count = dict(state.events), state.count
    told: list[Event] = []
    lasting = {notice.kind: notice for notice in notices}
    for kind in [kind for kind in events if kind not in lasting]:
        event = events.pop(kind)
        at = max(now, event.updated)
        told.append(replace(event, phase="end", revision=event.revision + 1, updated=at, ended=at))
    for kind, notice in lasting.items():
        if kind not in events:
            identity = event_id(subject, name, count, notice.since)
            # Ids of the machine's other events count for themselves.
            event = Event(
                f"{identity}-{kind}",
                subject,
                name,
                kind,
                "new",
                level,
                0,
                notice.since,
                max(now, notice.since),
                words=(notice.words,),
            )
            events[kind] = event
            count += 1
            told.append(event)
    return NoticeState(events, count), told
