"""Saves that wait in memory while the store cannot be written, such as on a full disk."""

import logging
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from audio_anomaly_detector.monitor.clock import Clock
from audio_anomaly_detector.monitor.event import Event
from audio_anomaly_detector.monitor.store.database import StoreError
from audio_anomaly_detector.monitor.store.store import Store

log = logging.getLogger(__name__)
# A locked store takes seconds to refuse, in which no sound is scored.
_RETRY_S = 5.0


class Saver:
    """Saves events and states in order; what the store refuses is saved when it can be again.

    Args:
        store: where to.
        clock: the time between attempts.
        most: events that wait at most; beyond, the oldest are lost and counted.

    Attributes:
        trouble: why the store cannot be written; None: it can.
        lost: events that were lost because too many waited.
    """

    def __init__(self, store: Store, clock: Clock, most: int = 1000) -> None:
        self.trouble: str | None = None
        self.lost = 0
        self._store, self._clock, self._most = store, clock, most
        self._events: deque[Event] = deque()
        self._silent: deque[Event] = deque(maxlen=most)
        self._states: dict[str, dict[str, Any]] = {}
        self._again = float("-inf")

    @property
    def waiting(self) -> int:
        """How many events wait."""
        return len(self._events)

    def save(
        self,
        changed: Sequence[Event],
        new_states: Mapping[str, dict[str, Any]],
        sinks: Sequence[str],
        silent: Sequence[Event] = (),
    ) -> bool:
        """See `Store.save`; returns whether all that was ever given is saved."""
        self._events.extend(changed)
        self._silent.extend(silent)
        self._states.update(new_states)
        while len(self._events) > self._most:
            self._events.popleft()
            self.lost += 1
        if self.trouble is not None and self._clock.monotonic() < self._again:
            return False
        try:
            self._store.save(self._events, self._states, sinks, self._silent)
        except StoreError as error:
            if self.trouble is None:
                log.error("%s", error)
            self.trouble = str(error)
            self._again = self._clock.monotonic() + _RETRY_S
            return False
        if self.trouble is not None:
            log.warning("the store can be written again; events lost meanwhile: %d", self.lost)
        self.trouble = None
        self._events.clear()
        self._silent.clear()
        self._states.clear()
        return True
