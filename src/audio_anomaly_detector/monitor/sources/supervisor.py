"""Keeps one source running: connects, watches the age of its sound, connects again.

A thread reads, another one looks at the age of what was read. It is the age that tells: a frozen
program and a connection that is open at one end only look alive in every other way. What does not
end even when it is closed is left behind, and another thread goes on.
"""

import logging
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from audio_anomaly_detector.errors import UserError, one_line, without_passwords
from audio_anomaly_detector.monitor.clock import Clock
from audio_anomaly_detector.monitor.sound import Chunk
from audio_anomaly_detector.monitor.sources.back_off import BackOff, SupervisorConfig
from audio_anomaly_detector.monitor.sources.faults import FaultKind, SourceFaults
from audio_anomaly_detector.monitor.sources.limited_log import LimitedLog
from audio_anomaly_detector.monitor.sources.reception import Reception
from audio_anomaly_detector.monitor.sources.source import Connection, Received, Source

log = logging.getLogger(__name__)

SourceState = Literal["connecting", "receiving", "waiting", "ended", "stopped"]

_CHECK_S = 0.5
# Opening that takes longer hangs, and so does a read that goes on after its connection was closed.
_OPEN_S = 30.0
_CLOSE_S = 5.0
# Threads that hang in a driver, before no more are begun.
_MOST_HANGING = 4


@dataclass(frozen=True)
class SourceStatus:
    """How a source is.

    Args:
        name: of the source.
        state: what its supervisor does.
        age_s: seconds since sound came; None: it never did.
        heard_s: seconds of sound that came.
        lost_s: seconds that did not.
        overflows: how often the source itself reported a loss.
        left_out: files, payloads and blocks that could not be used.
        connections: how often it was opened.
        sample_rate: Hz; None before the first connection.
        channels: likewise.
        faults: what is wrong with it.
    """

    name: str
    state: SourceState
    age_s: float | None
    heard_s: float
    lost_s: float
    overflows: int
    left_out: int
    connections: int
    sample_rate: int | None
    channels: int | None
    faults: SourceFaults


class Supervisor:
    """Runs one source; see the module.

    Args:
        name: of the source.
        source: what to open.
        clock: what tells the time.
        on_chunk: is given name and sound, in order, by the reading thread. For a live source it
            must not wait; for files it may, until the sound can be taken.
        on_faults: is given name and faults whenever their kinds change; it must not stop the
            source.
        settings: when it counts as broken, and how it is connected again.
    """

    def __init__(
        self,
        name: str,
        source: Source,
        clock: Clock,
        on_chunk: Callable[[str, Chunk], None],
        on_faults: Callable[[str, SourceFaults], None],
        settings: SupervisorConfig,
    ) -> None:
        self._name, self._source, self._clock = name, source, clock
        self._on_chunk, self._on_faults, self._settings = on_chunk, on_faults, settings
        self._log = LimitedLog(log, name)
        self._back_off = BackOff(settings, random.Random(name))
        self._lock, self._telling = threading.RLock(), threading.Lock()
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self._generation = self._hanging = self._connections = 0
        self._reception = Reception(source.live, clock.monotonic())
        self._connection: Connection | None = None
        self._format: tuple[int, int] | None = None
        self._state: SourceState = "waiting"
        self._since = clock.monotonic()  # of opening, of waiting for sound, of closing
        self._closing = self._delivering = self._brought = False
        self._heard_at: float | None = None
        self._broken: tuple[FaultKind, str] | None = None
        self._told: frozenset[FaultKind] = frozenset()

    def start(self) -> None:
        """Begin, in threads of its own."""
        self._start_thread(self._watch)
        self._start_thread(self._read_forever, self._generation)

    def stop(self) -> None:
        """End it; returns when its threads have ended, or after some seconds."""
        self._stopping.set()
        with self._lock:
            connection = self._connection
        if connection is not None:
            _close(connection)
        for thread in self._threads:
            thread.join(_CLOSE_S)
        with self._lock:
            self._generation += 1
            self._state = "stopped"

    def status(self) -> SourceStatus:
        """How the source is."""
        with self._lock:
            now = self._clock.monotonic()
            rate, channels = self._format or (None, None)
            return SourceStatus(
                name=self._name,
                state=self._state,
                age_s=None if self._heard_at is None else now - self._heard_at,
                heard_s=self._reception.heard_s,
                lost_s=self._reception.lost_s(now),
                overflows=self._reception.overflows,
                left_out=self._reception.left_out,
                connections=self._connections,
                sample_rate=rate,
                channels=channels,
                faults=self._faults(),
            )

    def turn(self, generation: int = 0) -> float | None:
        """Connect once, and pass sound on until the connection ends.

        Args:
            generation: of the reading thread; it counts those that were left behind.

        Returns:
            Seconds to wait before the next turn; None: there is none.
        """
        began = self._clock.monotonic()
        with self._lock:
            if generation != self._generation:
                return None
            self._state, self._since = "connecting", began
            self._brought = self._closing = False
        failure: Exception | None = None
        connection = None
        try:
            connection = self._source.open()
            if self._has_connected(connection, generation):
                self._read(connection, generation)
        except Exception as error:  # whatever it is, the source is connected again
            failure = error
        finally:
            if connection is not None:
                _close(connection)
        return self._after(failure, began, generation)

    def check(self) -> None:
        """Look at the age of the sound, and end what hangs."""
        now = self._clock.monotonic()
        stale = None
        with self._lock:
            waited = now - self._since
            if self._state == "connecting" and not self._closing:
                if waited > _OPEN_S:
                    self._leave_behind("hangs while it is opened")
            elif self._closing:
                if waited > _CLOSE_S:
                    self._leave_behind("hangs and cannot be closed")
            elif self._is_waiting() and waited > self._settings.stale_after:
                stale, self._closing, self._since = self._connection, True, now
                self._broken = (
                    "stale",
                    f"brought no sound for {waited:.0f} s and is connected again; check device "
                    "and network",
                )
        if stale is not None:
            self._log.warn("stale", self._broken_words(), now)
            _close(stale)
        self._tell_faults()

    def _is_waiting(self) -> bool:
        """Whether sound should come; the time that others take to use it does not count."""
        return self._state == "receiving" and self._source.live and not self._delivering

    def _start_thread(self, work: Callable[..., None], *arguments: object) -> None:
        name = f"source {self._name}"
        thread = threading.Thread(target=work, args=arguments, name=name, daemon=True)
        self._threads = [*(t for t in self._threads if t.is_alive()), thread]
        thread.start()

    def _watch(self) -> None:
        while not self._stopping.wait(_CHECK_S):
            self.check()

    def _read_forever(self, generation: int) -> None:
        pause: float | None = 0.0
        while pause is not None and not self._stopping.wait(pause):
            pause = self.turn(generation)
        with self._lock:
            if generation != self._generation:
                self._hanging -= 1

    def _has_connected(self, connection: Connection, generation: int) -> bool:
        with self._lock:
            if generation != self._generation or self._stopping.is_set():
                return False
            now = self._clock.monotonic()
            self._connection, self._state, self._since = connection, "receiving", now
            self._connections += 1
            self._format = (connection.sample_rate, connection.channels)
            self._reception.connected(*self._format, now)
        return True

    def _read(self, connection: Connection, generation: int) -> None:
        while (received := connection.read()) is not None and not self._stopping.is_set():
            with self._lock:
                if generation != self._generation:
                    return
                self._note(received, connection)
                chunks = self._reception.receive(
                    received, *self._format_now, self._clock.wall(), self._clock.monotonic()
                )
                self._delivering = True
            self._tell_faults()
            for chunk in chunks:
                self._on_chunk(self._name, chunk)
            with self._lock:
                self._delivering = False
                if received.samples.size:
                    self._since = self._clock.monotonic()

    @property
    def _format_now(self) -> tuple[int, int]:
        assert self._format is not None
        return self._format

    def _note(self, received: Received, connection: Connection) -> None:
        now = self._clock.monotonic()
        if received.samples.size:
            self._format = (connection.sample_rate, len(received.samples))
            self._heard_at, self._brought, self._broken = now, True, None
        if received.problem:
            self._log.warn("left out", received.problem, now)

    def _after(self, failure: Exception | None, began: float, generation: int) -> float | None:
        """Account for the end of a turn."""
        with self._lock:
            if generation != self._generation:
                return None
            now = self._clock.monotonic()
            chunks = self._reception.disconnected()
            self._connection = None
            was_stale, self._closing = self._closing, False
            self._delivering = False
            ended = failure is None and not was_stale
            self._state = "ended" if ended or self._stopping.is_set() else "waiting"
            if failure is not None and not was_stale and not self._stopping.is_set():
                self._broken = ("unreachable", _words(failure))
                self._log.warn("unreachable", _words(failure), now)
                log.debug("%s: broke off", self._name, exc_info=failure)
        for chunk in chunks:
            self._on_chunk(self._name, chunk)
        self._tell_faults()
        if ended or self._stopping.is_set():
            return None
        worked = self._brought and now - began >= self._settings.longest_pause
        return self._back_off.pause(now - began, worked, self._heard_at is not None)

    def _leave_behind(self, what: str) -> None:
        """Go on in another thread; with the lock held."""
        self._generation += 1
        self._hanging += 1
        self._reception.disconnected()
        self._connection, self._closing, self._state = None, False, "waiting"
        if self._hanging > _MOST_HANGING:
            what += "; unplug and plug in the device, or start the program again"
        else:
            self._start_thread(self._read_forever, self._generation)
        self._broken = ("unreachable", what)
        self._log.warn("hangs", what, self._clock.monotonic())

    def _broken_words(self) -> str:
        return self._broken[1] if self._broken else ""

    def _faults(self) -> SourceFaults:
        faults = dict(self._reception.faults)
        if self._broken is not None:
            faults[self._broken[0]] = self._broken[1]
        return SourceFaults(faults)

    def _tell_faults(self) -> None:
        with self._telling:
            with self._lock:
                faults = self._faults()
            if faults.kinds != self._told:
                self._told = faults.kinds
                self._on_faults(self._name, faults)


def _close(connection: Connection) -> None:
    """Close a connection, in a thread that may hang."""
    thread = threading.Thread(target=connection.close, name="close", daemon=True)
    thread.start()
    thread.join(_CLOSE_S)


def _words(error: Exception) -> str:
    text = without_passwords(one_line(error))
    return text if isinstance(error, UserError) else f"{type(error).__name__}: {text}"
