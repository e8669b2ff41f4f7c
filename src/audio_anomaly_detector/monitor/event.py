"""What is told to people: one event for each thing that happens, from its start to its end."""

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Subject = Literal["machine", "source", "service"]
Level = Literal["notice", "warning", "alarm"]
Phase = Literal["new", "update", "end"]


@dataclass(frozen=True)
class Event:
    """Something that lasts, in its present state; saved and sent anew when that changes.

    Args:
        id: the same from start to end.
        subject: what it is about: the sound of a machine, a source of sound, the service itself.
        name: of the machine or source.
        kind: what it is, in a word of the program: ``sound`` (the machine sounds wrong), ``gain``,
            ``drift`` and ``damaged`` of machines; ``unreachable``, ``stale``, ``silence``,
            ``clipping``, ``dead channel``, ``rate``, ``loss`` of sources; ``undelivered`` of
            the service.
        phase: of its course.
        level: the highest so far.
        revision: 0 for a new event, one more for each time it was told again.
        started: when it began, s since 1970 UTC.
        updated: when this state was reached.
        ended: when it was over; None: it lasts.
        words: what is known of it, a sentence each, the most telling first.
        course: times (s since 1970 UTC) and scores over their threshold, at most some hundred.
        folder: where its sound and picture lie, in the folder of events; None: it has none.
    """

    id: str
    subject: Subject
    name: str
    kind: str
    phase: Phase
    level: Level
    revision: int
    started: float
    updated: float
    ended: float | None = None
    words: tuple[str, ...] = ()
    course: tuple[tuple[float, float], ...] = field(default=(), repr=False)
    folder: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            **asdict(self),
            "words": list(self.words),
            "course": [list(point) for point in self.course],
        }

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> "Event":
        """The event of `to_dict`; raises `TypeError` or `KeyError` if it is none."""
        course = tuple((float(at), float(value)) for at, value in content["course"])
        return cls(**{**content, "words": tuple(content["words"]), "course": course})
