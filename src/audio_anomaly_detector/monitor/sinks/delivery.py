"""Delivery of what the store holds for a sink: in order, tried again, at least once."""

import logging
import random
import threading
from collections.abc import Callable
from typing import NamedTuple

from pydantic import BaseModel, Field

from audio_anomaly_detector.errors import one_line
from audio_anomaly_detector.monitor.clock import Clock
from audio_anomaly_detector.monitor.sinks.sink import Sink, SinkError
from audio_anomaly_detector.monitor.store.database import StoreError
from audio_anomaly_detector.monitor.store.records import Delivery
from audio_anomaly_detector.monitor.store.store import Store

log = logging.getLogger(__name__)
_TEND_S = 5.0  # between looks at the store and the connection of the sink
_DAY_S = 86400.0


class DeliveryConfig(BaseModel, frozen=True, extra="forbid"):
    """How deliveries are repeated and given up."""

    batch: int = Field(default=50, ge=1, description="deliveries that are read at a time")
    timeout_s: float = Field(default=60, gt=0, description="after which a sink is called hanging")
    first_retry_s: float = Field(default=1, gt=0, description="wait after the first failure")
    longest_retry_s: float = Field(default=60, gt=0, description="wait after many failures")
    most_days: float = Field(
        default=7, gt=0, description="older events are given up while the receiver is away"
    )
    most_waiting: int = Field(
        default=10_000, ge=1, description="events that wait at most; then the oldest are given up"
    )
    refusals: int = Field(
        default=5,
        ge=1,
        description="times that a receiver may refuse an event before it is given up, so that one "
        "event does not hold up all others",
    )
    most_hanging: int = Field(
        default=3, ge=1, description="attempts that may hang before no more are made"
    )


class SinkStatus(NamedTuple):
    """How a sink is.

    Attributes:
        name: of the sink.
        delivered: events since the start.
        failed: attempts since the start.
        given_up: events since the start.
        waiting: events; None: the store cannot be read.
        error: of the last attempt; None: it succeeded.
        error_since: s since 1970 UTC.
    """

    name: str
    delivered: int
    failed: int
    given_up: int
    waiting: int | None
    error: str | None
    error_since: float | None


class DeliveryThread:
    """Sends a sink what the store holds for it.

    Args:
        store: where deliveries wait until they are made.
        sink: where to.
        clock: times of retries.
        settings: see there.
        on_given_up: told the sink's name and how many events it will never get.
        jitter: numbers from 0 to 1, so that many watchers do not retry at the same moment.
    """

    def __init__(
        self,
        store: Store,
        sink: Sink,
        clock: Clock,
        settings: DeliveryConfig,
        on_given_up: Callable[[str, int], None] = lambda name, count: None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._store, self._sink, self._clock, self._settings = store, sink, clock, settings
        self._on_given_up, self._jitter = on_given_up, jitter
        self._wake, self._stopping = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None
        self._sent: list[int] = []  # that the store could not note yet
        self._hanging: list[threading.Thread] = []
        self._delivered = self._failed = self._given_up = 0
        self._error: str | None = None
        self._error_since: float | None = None

    def start(self) -> None:
        """Deliver in a thread of its own until `stop`."""
        name = f"sink {self._sink.name}"
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def stop(self, patience_s: float = 5) -> None:
        """End after the delivery that is being made; what remains waits in the store."""
        self._stopping.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(patience_s)
        self._sink.close()

    def wake(self) -> None:
        """Say that the store holds something new."""
        self._wake.set()

    def status(self) -> SinkStatus:
        """How the sink is, from any thread."""
        try:
            waiting: int | None = self._store.waiting(self._sink.name)
        except StoreError:
            waiting = None
        return SinkStatus(
            self._sink.name,
            self._delivered,
            self._failed,
            self._given_up,
            waiting,
            self._error,
            self._error_since,
        )

    def step(self) -> float:
        """Make the deliveries that are due, and let the sink keep up its connection.

        Returns:
            how long nothing has to be done then, s, unless something new is saved.
        """
        try:
            self._note_sent()
            due = self._store.due(self._sink.name, self._clock.wall(), self._settings.batch)
            for delivery in due:
                if self._stopping.is_set():
                    return 0.0
                if (pause := self._deliver(delivery)) is not None:
                    return pause
            if len(due) == self._settings.batch:
                return 0.0
            self._tend()
            return _TEND_S
        except StoreError as error:
            self._in_trouble(str(error))
            return _TEND_S

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._wake.clear()
            try:
                pause = self.step()
            except Exception:  # a fault of the program in one event must not end all deliveries
                log.exception("fault of the program while delivering to %s", self._sink.name)
                pause = self._settings.longest_retry_s
            if pause and not self._stopping.is_set():
                self._wake.wait(min(pause, _TEND_S))

    def _deliver(self, delivery: Delivery) -> float | None:
        """Make one delivery; returns how long to wait, None if it was made."""
        error = None
        if delivery.id not in self._sent and self._sink.wants(delivery.event):
            error = self._attempt(lambda: self._sink.send(delivery.event, delivery.key))
            if error is None:
                self._delivered += 1
                self._recovered()
        if error is None:
            if delivery.id not in self._sent:
                self._sent.append(delivery.id)
            self._note_sent()
            return None
        return self._put_off(delivery, error)

    def _note_sent(self) -> None:
        """Take what was sent out of the store; on a full disk that has to wait."""
        while self._sent:
            self._store.delivered(self._sent[0])
            del self._sent[0]

    def _put_off(self, delivery: Delivery, error: SinkError) -> float | None:
        self._failed += 1
        self._in_trouble(str(error))
        if error.refused and delivery.attempts + 1 >= self._settings.refusals:
            self._store.delivered(delivery.id)
            self._count_given_up(1, f"refused event {delivery.key}")
            return None
        doubled = self._settings.first_retry_s * 2.0 ** min(delivery.attempts, 30)
        pause = min(doubled, self._settings.longest_retry_s) * (1 - self._jitter() / 2)
        now = self._clock.wall()
        self._store.failed(delivery.id, str(error), now, now + pause)
        # Only here: what can be delivered is never too old, also where the clock was wrong.
        oldest = now - self._settings.most_days * _DAY_S
        dropped = self._store.drop_deliveries(self._sink.name, self._settings.most_waiting, oldest)
        self._count_given_up(dropped, "was away for too long")
        return pause

    def _attempt(self, action: Callable[[], None]) -> SinkError | None:
        """Let the sink do something, in a thread that is left to itself when it hangs."""
        self._hanging = [thread for thread in self._hanging if thread.is_alive()]
        name, limit = self._sink.name, self._settings.timeout_s
        if len(self._hanging) >= self._settings.most_hanging:
            return SinkError(f"{name}: {len(self._hanging)} attempts hang; start the program anew")
        errors: list[SinkError] = []

        def attempt() -> None:
            try:
                action()
            except SinkError as error:
                errors.append(error)
            except Exception as error:
                log.exception("fault of the program with %s", name)
                errors.append(SinkError(f"{name}: {one_line(error)}; report it", refused=True))

        thread = threading.Thread(target=attempt, name=f"sending to {name}", daemon=True)
        thread.start()
        thread.join(limit)
        if thread.is_alive():
            self._hanging.append(thread)
            return SinkError(f"{name}: no answer within {limit:g} s; check the receiver")
        return errors[0] if errors else None

    def _tend(self) -> None:
        error = self._attempt(self._sink.tend)
        if error is not None:
            self._in_trouble(str(error))
        elif self._error is not None and not self._store.waiting(self._sink.name):
            self._recovered()  # while something waits, its own next attempt tells

    def _in_trouble(self, error: str) -> None:
        if self._error is None:  # once, however often it is tried
            log.warning("%s", error)
            self._error_since = self._clock.wall()
        self._error = error

    def _recovered(self) -> None:
        if self._error is not None:
            log.info("%s: events arrive again", self._sink.name)
        self._error = self._error_since = None

    def _count_given_up(self, count: int, why: str) -> None:
        if count:
            self._given_up += count
            log.error("%s %s: events given up: %d", self._sink.name, why, count)
            self._on_given_up(self._sink.name, count)
