"""Events that a sink will never get: told as an event of the service, which other sinks get."""

import threading

from audio_anomaly_detector.monitor.drift import Notice
from audio_anomaly_detector.monitor.event import Event
from audio_anomaly_detector.monitor.notices import NoticeState, advance_notices

# One event a day at most: one that is itself refused must not make the next.
_LASTS_S = 86400.0


class Undelivered:
    """What one sink will never get.

    Args:
        notices: that were told of it.

    Attributes:
        notices: that were told of it.
    """

    def __init__(self, notices: NoticeState) -> None:
        self.notices = notices
        self._lock = threading.Lock()
        self._count = 0
        self._since = self._last = float("-inf")

    def gave_up(self, count: int, now: float) -> None:
        """Count events that were given up; from any thread.

        Args:
            count: how many.
            now: s since 1970 UTC.
        """
        with self._lock:
            self._since = self._since if self._count else now
            self._count, self._last = self._count + count, now

    def told(self, name: str, now: float) -> list[Event]:
        """What there is to tell.

        Args:
            name: of the sink.
            now: s since 1970 UTC.
        """
        with self._lock:
            if now - self._last >= _LASTS_S:
                self._count = 0
            count, since = self._count, self._since
        lasting = []
        if count:
            words = f"events that this sink will never get: {count}; see 'aad events'"
            lasting = [Notice("undelivered", since, words)]
        self.notices, events = advance_notices(
            self.notices, name, lasting, now, "warning", "service"
        )
        return events
