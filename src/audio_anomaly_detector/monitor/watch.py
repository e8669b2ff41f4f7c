"""The watch over a plant: sources, machines, events and their delivery, in one process."""

import logging
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

import numpy as np

from audio_anomaly_detector.errors import UserError, one_line
from audio_anomaly_detector.files import hold_folder
from audio_anomaly_detector.monitor.alerts import SourceAlerts
from audio_anomaly_detector.monitor.clock import Clock, SystemClock
from audio_anomaly_detector.monitor.event import Event
from audio_anomaly_detector.monitor.fits import Fits, FitsAtOnce, FitsInChild
from audio_anomaly_detector.monitor.intake import Intake
from audio_anomaly_detector.monitor.machine import MachineMonitor
from audio_anomaly_detector.monitor.metrics import serve_metrics
from audio_anomaly_detector.monitor.plant import Plant
from audio_anomaly_detector.monitor.sinks.delivery import DeliveryThread
from audio_anomaly_detector.monitor.sinks.sink import Site
from audio_anomaly_detector.monitor.sound import Window
from audio_anomaly_detector.monitor.sources.supervisor import Supervisor
from audio_anomaly_detector.monitor.status import MachineLine, SourceLine, Status, write_status
from audio_anomaly_detector.monitor.store.saving import Saver
from audio_anomaly_detector.monitor.store.store import Store
from audio_anomaly_detector.monitor.tracker import TrackerState
from audio_anomaly_detector.monitor.verdict import Verdict
from audio_anomaly_detector.monitor.watched import Found, WatchedMachine

log = logging.getLogger(__name__)
_WAIT_S = 0.5  # for sound, between looks at everything else
_STATUS_EVERY_S = 5.0
_DELAYS = 1000  # of the last windows


class Watch:
    """Everything that one process watches.

    Args:
        plant: what there is.
        tell: is given each event as it is told, such as to show it.
        clock: what tells the time.

    Raises:
        UserError: the store or what was learned cannot be used.
    """

    def __init__(
        self,
        plant: Plant,
        tell: Callable[[Event], None] = lambda event: None,
        clock: Clock | None = None,
    ) -> None:
        self.plant, self._tell, self._clock = plant, tell, clock or SystemClock()
        self._started = self._clock.wall()
        self._store = Store.open(plant.store or plant.data / "events.db")
        self._saver = Saver(self._store, self._clock)
        self._intake = Intake()
        self._sources = {name: config.make() for name, config in plant.sources.items()}
        # Files do not wait for a fit to end.
        any_live = any(source.live for source in self._sources.values())
        self._fits: Fits = FitsInChild() if any_live else FitsAtOnce()
        states = self._store.states()
        self.machines = {name: self._machine(name, states) for name in plant.machines}
        self._windows = self._unjudged = 0
        self._delays: deque[float] = deque(maxlen=_DELAYS)
        self._events: Counter[str] = Counter()
        self._status_at = float("-inf")
        self._supervisors: list[Supervisor] = []
        self._deliveries: list[DeliveryThread] = []

    @contextmanager
    def running(self) -> Iterator[None]:
        """Sources, deliveries and metrics run inside; nobody else may watch the same plant.

        Raises:
            UserError: another watch uses the folder or the store, or a part cannot be started.
        """
        with ExitStack() as stack:
            stack.enter_context(hold_folder(self.plant.data))
            stack.enter_context(self._store.hold())
            stack.callback(self._store.close)
            stack.callback(self._fits.close)
            self._deliver(stack)
            self._listen(stack)
            metrics = self.plant.metrics
            if metrics.port is not None:
                server = serve_metrics(
                    self.status, metrics.address, metrics.port, metrics.names_up_to
                )
                stack.callback(server.shutdown)
            try:
                yield
            finally:
                self._save([])
                self._write_status()

    def step(self) -> bool:
        """Take in the sound that waits, and whatever else there is to do.

        Returns:
            whether more can come: a source has not ended.
        """
        taken = self._intake.take(_WAIT_S)
        # Asked before the look at what has ended: the last sound may just have come.
        for source, chunk in taken:
            for machine in self.machines.values():
                if machine.source == source:
                    self._tell_found(machine.monitor.name, machine.hear(chunk))
        if self._clock.monotonic() - self._status_at >= _STATUS_EVERY_S:
            self._status_at = self._clock.monotonic()
            self._write_status()
        return bool(taken) or not all(one.status().state == "ended" for one in self._supervisors)
