"""The watch over a plant: sources, machines, events and their delivery, in one process."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from audio_anomaly_detector.errors import UserError, one_line
from audio_anomaly_detector.files import hold_folder, make_folder
from audio_anomaly_detector.monitor import commands
from audio_anomaly_detector.monitor.carrying_out import carry_out
from audio_anomaly_detector.monitor.clock import Clock, SystemClock
from audio_anomaly_detector.monitor.event import Event
from audio_anomaly_detector.monitor.evidence import Evidence
from audio_anomaly_detector.monitor.plant import Plant
from audio_anomaly_detector.monitor.sound import Chunk
from audio_anomaly_detector.monitor.status import Status, write_status
from audio_anomaly_detector.monitor.store.clips import EventFolders
from audio_anomaly_detector.monitor.store.store import Store
from audio_anomaly_detector.monitor.telling import Telling
from audio_anomaly_detector.monitor.watched_machines import WatchedMachines
from audio_anomaly_detector.monitor.watched_sources import WatchedSources

log = logging.getLogger(__name__)
_WAIT_S = 0.5  # for sound, between looks at everything else
_LOOK_EVERY_S = 1.0  # at sources, silences and commands
_STATUS_EVERY_S = 5.0
_SAVE_EVERY_S = 60.0
_CLEAN_EVERY_S = 600.0
_DAY_S = 86400.0


class Watch:
    """Everything that one process watches.

    Args:
        plant: what there is.
        tell: is given each event as it is told, such as to show it.
        clock: what tells the time.

    Attributes:
        plant: what there is.
        store: of events, feedback and silences.
        folders: of the sound of events.
        machines: that are watched or damaged.

    Raises:
        UserError: the store or what was learned cannot be used.
    """

    def __init__(
        self,
        plant: Plant,
        tell: Callable[[Event], None] = lambda event: None,
        clock: Clock | None = None,
    ) -> None:
        self.plant, self._clock = plant, clock or SystemClock()
        self._started = self._clock.wall()
        make_folder(plant.data)
        self.store = Store.open(plant.store_url)
        self.folders = EventFolders(plant.events_folder, plant.clips)
        self._sources = WatchedSources(plant, self.store, self._clock)
        self._evidence = Evidence(self.folders, plant)
        self.machines = WatchedMachines(
            plant, self.store, self._evidence, self._clock, self._sources.live
        )
        self._telling = Telling(plant, self.store, self._clock, self._states, tell)
        self._answers: dict[Path, commands.Answer] = {}  # that are still to be written
        self._due: dict[str, float] = {}
        self._troubles: dict[str, str] = {}

    def close(self) -> None:
        """Release the store and what is being fitted."""
        self.machines.close()
        self.store.close()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Nobody else may watch the same plant meanwhile.

        Raises:
            UserError: another watch uses its folder or its store.
        """
        with hold_folder(self.plant.data), self.store.hold():
            yield

    @contextmanager
    def running(self) -> Iterator[None]:
        """Sources, deliveries and metrics run inside.

        Raises:
            UserError: as `held`; a sink or the metrics cannot be started.
        """
        with ExitStack() as stack:
            stack.enter_context(self.held())
            stack.enter_context(self._telling.delivering())
            metrics = self.plant.metrics
            if metrics.port is not None:
                from audio_anomaly_detector.monitor.metrics import serve_metrics  # noqa: PLC0415

                server = serve_metrics(
                    self.status, metrics.address, metrics.port, metrics.names_up_to
                )
                stack.callback(server.shutdown)
            stack.callback(self._end)
            stack.enter_context(self._sources.running())
            yield

    def step(self) -> bool:
        """Take in the sound that waits, and look at everything else.

        Returns:
            whether more can come: a source has not ended.
        """
        ended = self._sources.ended
        taken = self._sources.intake.take(_WAIT_S)
        for source, chunk in taken:
            self._hear(source, chunk)
        if self._is_due("look", _LOOK_EVERY_S):
            with self._going_on("look"):
                self._look()
        if self._is_due("status", _STATUS_EVERY_S):
            with self._going_on("status"):
                write_status(self.plant.data, self.status())
        if self._is_due("save", _SAVE_EVERY_S):
            self._telling.save()
        if self._is_due("clean", _CLEAN_EVERY_S):
            with self._going_on("clean"):
                self._clean()
        return bool(taken) or not ended

    def carry_out(self, command: commands.Command) -> commands.Answer:
        """Do what a person asks."""
        try:
            if command.machine in self.machines.damaged:
                self.machines.mend(command)
            words, events = carry_out(
                command, self.machines.watched, self.store, self.folders, self._clock.wall()
            )
        except UserError as error:
            return commands.Answer((one_line(error),), False)
        self._tell_events(events)
        return commands.Answer(words, True)

    def status(self) -> Status:
        """How everything is, from any thread."""
        windows, sinks = self.machines.windows, self._telling.sinks()
        return Status(
            at=self._clock.wall(),
            started=self._started,
            sources=self._sources.lines(),
            machines=self.machines.lines(),
            windows=windows.windows,
            unjudged=windows.unjudged,
            delay_s=windows.delay_s,
            events=dict(self._telling.counts),
            waiting={one.name: one.waiting or 0 for one in sinks},
            failures={one.name: one.failed for one in sinks},
        )

    def _hear(self, source: str, chunk: Chunk) -> None:
        self._evidence.push(source, chunk)
        faults = self._sources.faults.get(source, {})
        events = self.machines.hear(source, chunk, faults)
        if events:
            self._tell_events(events)

    def _look(self) -> None:
        """At faults of sources, silences and what people ask."""
        with self._going_on("silences"):
            self._telling.look_at_silences()
        self._tell_events(self._sources.look())
        self._tell_events(self._telling.undelivered())
        if self._is_due("damaged", _SAVE_EVERY_S):
            self._tell_events(self.machines.look_at_damaged())
        for taken, command in commands.take_up(self.plant.data):
            if isinstance(command, commands.Command):
                self._answers[taken] = self.carry_out(command)
            else:
                self._answers[taken] = command
        for taken, answer in list(self._answers.items()):
            commands.reply(taken, answer)
            del self._answers[taken]

    def _tell_events(self, events: Sequence[Event]) -> None:
        self._telling.tell(events, self._sources.faulty)

    def _states(self) -> dict[str, dict[str, Any]]:
        return {**self._sources.states(), **self.machines.states()}

    def _end(self) -> None:
        """What was heard last, and where everything stands."""
        for source, chunk in self._sources.intake.take(0):
            self._hear(source, chunk)
        self._evidence.close()
        self._telling.save()
        self._telling.wait_for_deliveries()
        with self._going_on("status"):
            write_status(self.plant.data, replace(self.status(), ended=True))

    def _clean(self) -> None:
        now = self._clock.wall()
        self.store.remove_events(now - self.plant.clips.days * _DAY_S)
        done = self.folders.clean(self.store, now)
        self._evidence.has_room = done.room
        if done.removed or done.failed or not done.room:
            log.warning("%s", done)

    @contextmanager
    def _going_on(self, what: str) -> Iterator[None]:
        """What a full disk or a store out of reach prevents is done when it can be again.

        It is logged once: the machines are heard meanwhile.
        """
        try:
            yield
        except UserError as error:
            if what not in self._troubles:
                log.error("%s", one_line(error))
            self._troubles[what] = one_line(error)
        else:
            self._troubles.pop(what, None)

    def _is_due(self, what: str, every: float) -> bool:
        now = self._clock.monotonic()
        if now < self._due.get(what, float("-inf")):
            return False
        self._due[what] = now + every
        return True
