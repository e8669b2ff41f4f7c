"""What becomes of events: each is saved, and told to people unless they silenced it."""

import time
from collections import Counter
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from audio_anomaly_detector.monitor.alerts import Quiet, ToldState, to_tell
from audio_anomaly_detector.monitor.clock import Clock
from audio_anomaly_detector.monitor.ending import end_all
from audio_anomaly_detector.monitor.event import Event
from audio_anomaly_detector.monitor.notices import NoticeState
from audio_anomaly_detector.monitor.plant import Plant
from audio_anomaly_detector.monitor.sinks.delivery import DeliveryThread, SinkStatus
from audio_anomaly_detector.monitor.sinks.sink import Site
from audio_anomaly_detector.monitor.store.restoring import restored
from audio_anomaly_detector.monitor.store.saving import Saver
from audio_anomaly_detector.monitor.store.store import Store
from audio_anomaly_detector.monitor.undelivered import Undelivered

_LAST_DELIVERIES_S = 5.0  # for what was told last, when the watch ends

States = dict[str, dict[str, Any]]


class Telling:
    """Saves events and has the sinks deliver them; used by one thread.

    Args:
        plant: describes the sinks.
        store: of events, of what is to be delivered, and of states.
        clock: tells the time.
        other_states: of machines and sources: an event is saved together with the states that it
            comes of, so that it is told once, whenever the program is killed.
        on_told: is given each event as it is told.

    Attributes:
        counts: of new events and of those that grew worse since the start, by level.

    Raises:
        UserError: the store cannot be read.
    """

    def __init__(
        self,
        plant: Plant,
        store: Store,
        clock: Clock,
        other_states: Callable[[], States],
        on_told: Callable[[Event], None],
    ) -> None:
        self._plant, self._store, self._clock = plant, store, clock
        self._other_states, self._on_told = other_states, on_told
        self._saver = Saver(store, clock)
        states = store.states()
        self._told = restored(states, "told", ToldState())
        self._undelivered = {
            name: Undelivered(restored(states, f"sink:{name}", NoticeState()))
            for name in plant.sink_names
        }
        self._silenced: frozenset[str] = frozenset()
        self._deliveries: list[DeliveryThread] = []
        self.counts: Counter[str] = Counter()

    @contextmanager
    def delivering(self) -> Iterator[None]:
        """Sinks get inside what is told.

        Raises:
            UserError: a sink cannot be started.
        """
        site = Site(
            self._plant.site,
            self._plant.time_zone,
            tuple(self._plant.machines),
            tuple(self._store.open_events()),
            self._plant.events_folder,
        )
        self._store.drop_other_sinks(self._plant.sink_names)
        self._deliveries = [
            DeliveryThread(
                self._store, config.make(site), self._clock, self._plant.delivery, self._gave_up
            )
            for config in self._plant.sinks
        ]
        try:
            for delivery in self._deliveries:
                delivery.start()
            yield
        finally:
            end_all(delivery.stop for delivery in self._deliveries)

    def look_at_silences(self) -> None:
        """Take in what people have silenced.

        Raises:
            UserError: the store cannot be read.
        """
        silences = self._store.silences(self._clock.wall())
        self._silenced = frozenset(one.name for one in silences)

    def undelivered(self) -> list[Event]:
        """What there is to tell of events that sinks will never get."""
        now = self._clock.wall()
        return [event for name, of in self._undelivered.items() for event in of.told(name, now)]

    def tell(self, events: Sequence[Event], faulty: Container[str]) -> None:
        """Save events and tell those that are to be told now.

        Args:
            events: in order; none: what was silenced may be told now.
            faulty: sources that have a fault.
        """
        source_of = {name: machine.source for name, machine in self._plant.machines.items()}
        quiet = Quiet(self._silenced, faulty, source_of)
        self._told, told = to_tell(self._told, events, quiet)
        told_ids = {event.id for event in told}
        over = [one for one in events if one.phase == "end" and one.id not in told_ids]
        if not (events or told):
            return
        self.save(told, over)
        for delivery in self._deliveries:
            delivery.wake()
        for event in told:
            self.counts[event.level] += event.phase != "end"
            self._on_told(event)

    def save(self, told: Sequence[Event] = (), over: Sequence[Event] = ()) -> None:
        """Save where everything stands.

        Args:
            told: events that sinks are to get.
            over: events that ended untold.
        """
        states = {"told": self._told.to_dict(), **self._other_states()}
        for name, undelivered in self._undelivered.items():
            states[f"sink:{name}"] = undelivered.notices.to_dict()
        self._saver.save(told, states, self._plant.sink_names, over)

    def wait_for_deliveries(self) -> None:
        """Give sinks that work some seconds for what they have not got yet."""
        until = time.monotonic() + _LAST_DELIVERIES_S
        while time.monotonic() < until and any(map(_has_work, self.sinks())):
            time.sleep(0.05)

    def sinks(self) -> list[SinkStatus]:
        """How the sinks are, from any thread."""
        return [delivery.status() for delivery in self._deliveries]

    def _gave_up(self, sink: str, count: int) -> None:
        self._undelivered[sink].gave_up(count, self._clock.wall())


def _has_work(sink: SinkStatus) -> bool:
    """Whether a sink that works is still to get something."""
    return bool(sink.waiting) and sink.error is None
