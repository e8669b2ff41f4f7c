"""The watch over a plant: sources, machines, events and their delivery, in one process."""

import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from audio_anomaly_detector.errors import UserError, one_line
from audio_anomaly_detector.files import hold_folder, make_folder
from audio_anomaly_detector.monitor import commands
from audio_anomaly_detector.monitor.alerts import Quiet, ToldState, to_tell
from audio_anomaly_detector.monitor.carrying_out import carry_out
from audio_anomaly_detector.monitor.clock import Clock, SystemClock
from audio_anomaly_detector.monitor.damaged import DamagedMachine
from audio_anomaly_detector.monitor.event import Event
from audio_anomaly_detector.monitor.evidence import Evidence
from audio_anomaly_detector.monitor.fits import Fits, FitsAtOnce, FitsInChild
from audio_anomaly_detector.monitor.intake import Intake
from audio_anomaly_detector.monitor.machine import MachineMonitor
from audio_anomaly_detector.monitor.notices import NoticeState
from audio_anomaly_detector.monitor.plant import Plant
from audio_anomaly_detector.monitor.sinks.delivery import DeliveryThread
from audio_anomaly_detector.monitor.sinks.sink import Site
from audio_anomaly_detector.monitor.sound import Chunk, Window
from audio_anomaly_detector.monitor.source_alerts import SourcesState, advance_sources
from audio_anomaly_detector.monitor.sources.supervisor import Supervisor
from audio_anomaly_detector.monitor.status import (
    DAMAGED,
    MachineLine,
    SourceLine,
    Status,
    write_status,
)
from audio_anomaly_detector.monitor.store.clips import EventFolders
from audio_anomaly_detector.monitor.store.saving import Saver
from audio_anomaly_detector.monitor.store.store import Store
from audio_anomaly_detector.monitor.tracker import TrackerState
from audio_anomaly_detector.monitor.undelivered import Undelivered
from audio_anomaly_detector.monitor.verdict import Verdict
from audio_anomaly_detector.monitor.versions import Versions
from audio_anomaly_detector.monitor.watched import WatchedMachine

log = logging.getLogger(__name__)
State = TypeVar("State")
_WAIT_S = 0.5  # for sound, between looks at everything else
_LOOK_EVERY_S = 1.0  # at sources, silences and commands
_STATUS_EVERY_S = 5.0
_SAVE_EVERY_S = 60.0
_CLEAN_EVERY_S = 600.0
_DAY_S = 86400.0
_DELAYS = 1000  # of the last windows
_LAST_DELIVERIES_S = 5.0  # for what was told last, when the watch ends


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
        make_folder(plant.data)
        self.store = Store.open(plant.store_url)
        self._saver = Saver(self.store, self._clock)
        self.folders = EventFolders(plant.data / "events", plant.clips)
        self._intake = Intake()
        self._sources = {name: config.make() for name, config in plant.sources.items()}
        # Files do not wait for a fit to end.
        self._is_live = any(source.live for source in self._sources.values())
        self._fits: Fits = FitsInChild() if self._is_live else FitsAtOnce()
        states = self.store.states()
        self._told = _restored(states, "told", ToldState.from_dict, ToldState())
        self._source_events = _restored(states, "sources", SourcesState.from_dict, SourcesState())
        self._evidence = Evidence(self.folders, plant.clips, self._longest_s())
        self.machines: dict[str, WatchedMachine] = {}
        self._heard_by: dict[str, list[WatchedMachine]] = {name: [] for name in plant.sources}
        self._damaged: dict[str, DamagedMachine] = {}
        for name in plant.machines:
            try:
                self._add_machine(name, states)
            except UserError as error:  # the others are watched all the same
                log.error("%s: is not watched: %s", name, one_line(error))
                told = _restored(states, f"notices:{name}", NoticeState.from_dict, NoticeState())
                self._damaged[name] = DamagedMachine(one_line(error), self._started, told)
        self._undelivered = {
            name: Undelivered(
                _restored(states, f"sink:{name}", NoticeState.from_dict, NoticeState())
            )
            for name in plant.sink_names
        }
        self._faults: dict[str, dict[str, str]] = {}  # of each source, a sentence by kind
        self._silenced: frozenset[str] = frozenset()
        self._answers: dict[Path, commands.Answer] = {}  # that are still to be written
        self._windows = self._unjudged = 0
        self._delays: deque[float] = deque(maxlen=_DELAYS)
        self._counts: Counter[str] = Counter()
        self._due: dict[str, float] = {}
        self._troubles: dict[str, str] = {}
        self._supervisors: list[Supervisor] = []
        self._deliveries: list[DeliveryThread] = []

    def close(self) -> None:
        """Release the store and what is being fitted."""
        self._fits.close()
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
            for delivery in self._made_deliveries():
                delivery.start()
                stack.callback(delivery.stop)
            metrics = self.plant.metrics
            if metrics.port is not None:
                from audio_anomaly_detector.monitor.metrics import serve_metrics  # noqa: PLC0415

                server = serve_metrics(
                    self.status, metrics.address, metrics.port, metrics.names_up_to
                )
                stack.callback(server.shutdown)
            stack.callback(self._end)
            for supervisor in self._made_supervisors():
                supervisor.start()
                stack.callback(supervisor.stop)
            stack.callback(self._intake.close)
            yield

    def step(self) -> bool:
        """Take in the sound that waits, and look at everything else.

        Returns:
            whether more can come: a source has not ended.
        """
        ended = all(one.status().state == "ended" for one in self._supervisors)
        taken = self._intake.take(_WAIT_S)
        for source, chunk in taken:
            self._hear(source, chunk)
        if self._is_due("look", _LOOK_EVERY_S):
            with self._going_on("look"):
                self._look()
        if self._is_due("status", _STATUS_EVERY_S):
            with self._going_on("status"):
                write_status(self.plant.data, self.status())
        if self._is_due("save", _SAVE_EVERY_S):
            self._saver.save([], self._states(), self.plant.sink_names)
        if self._is_due("clean", _CLEAN_EVERY_S):
            with self._going_on("clean"):
                self._clean()
        return bool(taken) or not ended

    def carry_out(self, command: commands.Command) -> commands.Answer:
        """Do what a person asks."""
        try:
            if command.machine in self._damaged:
                self._mend(command)
            words, events = carry_out(
                command, self.machines, self.store, self.folders, self._clock.wall()
            )
        except UserError as error:
            return commands.Answer((one_line(error),), False)
        self._tell_events(events)
        return commands.Answer(words, True)

    def status(self) -> Status:
        """How everything is, from any thread."""
        overtaken = self._intake.overtaken_seconds()
        sources = []
        for supervisor in self._supervisors:
            of = supervisor.status()
            sources.append(
                SourceLine(
                    of.name,
                    of.state,
                    of.heard_s,
                    of.lost_s + overtaken.get(of.name, 0.0),
                    max(0, of.connections - 1),
                    of.age_s if self._sources[of.name].live else None,
                    tuple(of.faults.sentences.values()),
                )
            )
        sinks = [delivery.status() for delivery in self._deliveries]
        middle, late = np.quantile(list(self._delays) or [0.0], [0.5, 0.95]).tolist()
        return Status(
            at=self._clock.wall(),
            started=self._started,
            sources=tuple(sources),
            machines=tuple(self._line(name) for name in self.plant.machines),
            windows=self._windows,
            unjudged=self._unjudged,
            delay_s=(middle, late),
            events=dict(self._counts),
            waiting={one.name: one.waiting or 0 for one in sinks},
            failures={one.name: one.failed for one in sinks},
        )

    def _hear(self, source: str, chunk: Chunk) -> None:
        self._evidence.push(source, chunk)
        faults = self._faults.get(source, {})
        events: list[Event] = []
        for machine in self._heard_by[source]:
            events += machine.hear(chunk, faults)
        if events:
            self._tell_events(events)

    def _look(self) -> None:
        """At faults of sources, silences and what people ask."""
        with self._going_on("silences"):
            silences = self.store.silences(self._clock.wall())
            self._silenced = frozenset(one.name for one in silences)
        statuses = [supervisor.status() for supervisor in self._supervisors]
        self._faults = {
            one.name: {str(kind): said for kind, said in one.faults.sentences.items()}
            for one in statuses
        }
        self._source_events, events = advance_sources(
            self._source_events, self._clock.wall(), self._faults, self.plant.source_alerts
        )
        self._tell_events(events)
        for name, undelivered in self._undelivered.items():
            self._tell_events(undelivered.told(name, self._clock.wall()))
        if self._is_due("damaged", _SAVE_EVERY_S):
            self._look_at_damaged()
        for taken, command in commands.take_up(self.plant.data):
            if isinstance(command, commands.Command):
                self._answers[taken] = self.carry_out(command)
            else:
                self._answers[taken] = command
        for taken, answer in list(self._answers.items()):
            commands.reply(taken, answer)
            del self._answers[taken]

    def _look_at_damaged(self) -> None:
        """Tell which machines cannot be watched, and try whether somebody has mended them."""
        for name, machine in list(self._damaged.items()):
            with suppress(UserError):
                self._restore_machine(name)
                continue
            self._damaged[name], events = machine.told(name, self._clock.wall())
            self._tell_events(events)

    def _mend(self, command: commands.Command) -> None:
        """Use the version that is asked for where the one in use is damaged.

        Raises:
            UserError: it cannot be used, or something else is asked of the machine.
        """
        name = command.machine
        if command.verb != "version":
            raise UserError(f"{name}: is not watched: {self._damaged[name].why}")
        Versions(self.plant.data / "machines" / name / "models").use(command.version or 0)
        self._restore_machine(name)

    def _restore_machine(self, name: str) -> None:
        """Watch a machine that was damaged.

        Raises:
            UserError: it still is.
        """
        states = {**self.store.states(), **self._states()}
        self._add_machine(name, states)
        del self._damaged[name]
        log.warning("%s: is watched again", name)

    def _tell_events(self, events: Sequence[Event]) -> None:
        """Save events and tell those that are to be told now."""
        quiet = Quiet(
            self._silenced,
            {name for name, of in self._faults.items() if of},
            {name: machine.source for name, machine in self.plant.machines.items()},
        )
        self._told, told = to_tell(self._told, events, quiet)
        told_ids = {event.id for event in told}
        over = [one for one in events if one.phase == "end" and one.id not in told_ids]
        if not (events or told):
            return
        self._saver.save(told, self._states(), self.plant.sink_names, over)
        for delivery in self._deliveries:
            delivery.wake()
        for event in told:
            self._counts[event.level] += event.phase == "new"
            self._tell(event)

    def _states(self) -> dict[str, dict[str, Any]]:
        states = {"told": self._told.to_dict(), "sources": self._source_events.to_dict()}
        for name, machine in self.machines.items():
            states[f"machine:{name}"] = machine.tracker.to_dict()
            states[f"notices:{name}"] = machine.notices.to_dict()
        for name, damaged in self._damaged.items():
            states[f"notices:{name}"] = damaged.notices.to_dict()
        for name, undelivered in self._undelivered.items():
            states[f"sink:{name}"] = undelivered.notices.to_dict()
        return states

    def _end(self) -> None:
        """What was heard last, and where everything stands."""
        for source, chunk in self._intake.take(0):
            self._hear(source, chunk)
        self._evidence.close()
        self._saver.save([], self._states(), self.plant.sink_names)
        until = time.monotonic() + _LAST_DELIVERIES_S
        while time.monotonic() < until and any(map(_has_work, self._deliveries)):
            time.sleep(0.05)
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

    def _note(self, window: Window, verdict: Verdict) -> None:
        self._windows += 1
        self._unjudged += not verdict.judged
        if self._is_live:
            self._delays.append(max(0.0, self._clock.wall() - window.end))

    def _gave_up(self, sink: str, count: int) -> None:
        self._undelivered[sink].gave_up(count, self._clock.wall())

    def _line(self, name: str) -> MachineLine:
        if name in self.machines:
            return _line(name, self.machines[name])
        source, why = self.plant.machines[name].source, self._damaged[name].why
        return MachineLine(name, source, DAMAGED, "unknown", None, None, why)

    def _longest_s(self) -> float:
        """Of sound from the first window of an event to its being told."""
        seconds = [
            machine.detector_config().audio.window_seconds
            for machine in self.plant.machines.values()
        ]
        return (self.plant.alerts.of + 1) * max(seconds)

    def _add_machine(self, name: str, states: Mapping[str, Any]) -> None:
        """Watch a machine from now on.

        Raises:
            UserError: what was learned of it is damaged.
        """
        settings = self.plant.machines[name]
        folder = self.plant.data / "machines" / name
        machine = WatchedMachine(
            MachineMonitor(name, settings, folder, self._clock, self._fits),
            settings.source,
            self.plant.alerts,
            _restored(states, f"machine:{name}", TrackerState.from_dict, TrackerState(name)),
            _restored(states, f"notices:{name}", NoticeState.from_dict, NoticeState()),
            self._evidence,
            self._note,
        )
        self.machines[name] = machine
        self._heard_by[settings.source].append(machine)

    def _made_supervisors(self) -> list[Supervisor]:
        self._supervisors = [
            Supervisor(
                name,
                source,
                self._clock,
                lambda name, chunk: self._intake.put(name, chunk, self._sources[name].live),
                lambda name, faults: None,  # looked at every second
                self.plant.connections,
            )
            for name, source in self._sources.items()
        ]
        return self._supervisors

    def _made_deliveries(self) -> list[DeliveryThread]:
        site = Site(
            self.plant.site,
            self.plant.time_zone,
            tuple(self.plant.machines),
            tuple(self.store.open_events()),
        )
        self.store.drop_other_sinks(self.plant.sink_names)
        self._deliveries = [
            DeliveryThread(
                self.store, config.make(site), self._clock, self.plant.delivery, self._gave_up
            )
            for config in self.plant.sinks
        ]
        return self._deliveries


def _restored(
    states: Mapping[str, Any], key: str, restore: Callable[[dict[str, Any]], State], new: State
) -> State:
    """A state as it was saved; a damaged one is begun anew, which is logged."""
    if key not in states:
        return new
    try:
        return restore(states[key])
    except ValueError as error:
        log.error("%s: %s; it begins anew", key, one_line(error))
        return new


def _has_work(delivery: DeliveryThread) -> bool:
    """Whether a sink that works is still to get something."""
    status = delivery.status()
    return bool(status.waiting) and status.error is None


def _line(name: str, machine: WatchedMachine) -> MachineLine:
    last, event = machine.last, machine.tracker.event
    height = None
    if last is not None and last.score is not None and last.threshold is not None:
        height = last.score - last.threshold
    return MachineLine(
        name=name,
        source=machine.source,
        phase=machine.monitor.phase,
        state="unknown" if last is None else last.state,
        model=machine.monitor.version,
        height=height,
        reason=None if last is None else last.reason,
        event=None if event is None else event.level,
        notes=tuple(machine.monitor.notes),
    )
