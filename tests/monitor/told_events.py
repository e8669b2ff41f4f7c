"""Events to save and send, and a clock that is set."""

from dataclasses import replace

from audio_anomaly_detector.monitor.event import Event

NOON = 1_790_000_000.0  # s since 1970 UTC, in September 2026


class SetClock:
    """A clock that stands still until it is told to go."""

    def __init__(self, wall: float = NOON) -> None:
        self._wall, self._monotonic = wall, 0.0

    def wall(self) -> float:
        return self._wall

    def monotonic(self) -> float:
        return self._monotonic

    def go(self, seconds: float) -> None:
        self._wall += seconds
        self._monotonic += seconds

    def set_wall(self, seconds: float) -> None:
        """Set the time of day forwards or backwards, as NTP does."""
        self._wall += seconds


def event(number: int = 0, revision: int = 0, name: str = "pump-3", at: float = NOON) -> Event:
    """One of many events, in one of its states."""
    return Event(
        id=f"event-{number}",
        subject="machine",
        name=name,
        kind="sound",
        phase="new" if revision == 0 else "update",
        level="warning",
        revision=revision,
        started=at,
        updated=at + revision,
        words=("New tone at 3 kHz.", f"revision {revision}"),
        course=((at, 1.5), (at + 10, 1.75)),
    )


def ended(one: Event) -> Event:
    """The event's end."""
    at = one.updated + 60
    return replace(one, phase="end", revision=one.revision + 1, updated=at, ended=at)
