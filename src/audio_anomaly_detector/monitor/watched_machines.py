"""The machines of a plant under watch: those that are judged, and those that are damaged."""

import logging
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from audio_anomaly_detector.errors import UserError, one_line
from audio_anomaly_detector.monitor.clock import Clock
from audio_anomaly_detector.monitor.commands import Command
from audio_anomaly_detector.monitor.damaged_machine import DamagedMachine
from audio_anomaly_detector.monitor.event import Event
from audio_anomaly_detector.monitor.evidence import Evidence
from audio_anomaly_detector.monitor.fits import Fits, FitsAtOnce, FitsInChild
from audio_anomaly_detector.monitor.machine import MachineMonitor
from audio_anomaly_detector.monitor.notices import NoticeState
from audio_anomaly_detector.monitor.plant import Plant
from audio_anomaly_detector.monitor.sound import Chunk
from audio_anomaly_detector.monitor.status import MachineLine
from audio_anomaly_detector.monitor.store.restoring import restored
from audio_anomaly_detector.monitor.store.store import Store
from audio_anomaly_detector.monitor.tracker import TrackerState
from audio_anomaly_detector.monitor.versions import Versions
from audio_anomaly_detector.monitor.watched_machine import WatchedMachine
from audio_anomaly_detector.monitor.window_counts import WindowCounts

log = logging.getLogger(__name__)


class WatchedMachines:
    """All machines; used by one thread.

    Args:
        plant: describes them.
        store: where their events stood when the program ended.
        evidence: keeps sound and picture of their events.
        clock: tells the time.
        live: they are heard as they sound; files wait for a fit to end.

    Attributes:
        watched: that are judged or learned, by name.
        damaged: that cannot be, by name.
        windows: counts theirs.

    Raises:
        UserError: the store cannot be read.
    """

    def __init__(
        self, plant: Plant, store: Store, evidence: Evidence, clock: Clock, live: bool
    ) -> None:
        self._plant, self._store, self._evidence, self._clock = plant, store, evidence, clock
        self._fits: Fits = FitsInChild() if live else FitsAtOnce()
        self.windows = WindowCounts(clock, live)
        self.watched: dict[str, WatchedMachine] = {}
        self.damaged: dict[str, DamagedMachine] = {}
        self._heard_by: dict[str, list[WatchedMachine]] = {name: [] for name in plant.sources}
        states = store.states()
        for name, settings in plant.machines.items():
            try:
                self._add(name, states)
            except UserError as error:  # the others are watched all the same
                log.error("%s: is not watched: %s", name, one_line(error))
                notices = restored(states, f"notices:{name}", NoticeState())
                self.damaged[name] = DamagedMachine(
                    name, settings.source, one_line(error), clock.wall(), notices
                )

    def close(self) -> None:
        """End what is being fitted."""
        self._fits.close()

    def hear(self, source: str, chunk: Chunk, faults: Mapping[str, str]) -> list[Event]:
        """Take in the next sound of a source.

        Args:
            source: its name.
            chunk: of its sound.
            faults: of the source, see `WatchedMachine.hear`.

        Returns:
            what there is to tell.
        """
        return [
            event for machine in self._heard_by[source] for event in machine.hear(chunk, faults)
        ]

    def look_at_damaged(self) -> list[Event]:
        """Watch again which machines somebody has mended; what there is to tell of the others."""
        events: list[Event] = []
        for name, machine in list(self.damaged.items()):
            with suppress(UserError):
                self._restore(name)
                continue
            self.damaged[name], told = machine.told(self._clock.wall())
            events += told
        return events

    def mend(self, command: Command) -> None:
        """Use the version that is asked for where the one in use is damaged.

        Args:
            command: what is asked of a damaged machine.

        Raises:
            UserError: it cannot be used, or something else is asked of the machine.
        """
        name = command.machine
        if command.verb != "version":
            raise UserError(f"{name}: is not watched: {self.damaged[name].why}")
        Versions(self._folder(name) / "models").use(command.version or 0)
        self._restore(name)

    def lines(self) -> tuple[MachineLine, ...]:
        """How they are, from any thread."""
        return tuple(
            (self.watched[name] if name in self.watched else self.damaged[name]).line()
            for name in self._plant.machines
        )

    def states(self) -> dict[str, dict[str, Any]]:
        """Where their events stand, to be saved."""
        states: dict[str, dict[str, Any]] = {}
        for name, machine in self.watched.items():
            states[f"machine:{name}"] = machine.tracker.to_dict()
            states[f"notices:{name}"] = machine.notices.to_dict()
        for name, damaged in self.damaged.items():
            states[f"notices:{name}"] = damaged.notices.to_dict()
        return states

    def _add(self, name: str, states: Mapping[str, Any]) -> None:
        """Watch a machine from now on.

        Raises:
            UserError: what was learned of it is damaged.
        """
        settings = self._plant.machines[name]
        monitor = MachineMonitor(name, settings, self._folder(name), self._clock, self._fits)
        self._evidence.keep_windows(monitor.window_seconds)
        machine = WatchedMachine(
            monitor,
            settings.source,
            self._plant.alerts,
            restored(states, f"machine:{name}", TrackerState(name)),
            restored(states, f"notices:{name}", NoticeState()),
            self._evidence,
            self.windows.count,
        )
        self.watched[name] = machine
        self._heard_by[settings.source].append(machine)

    def _restore(self, name: str) -> None:
        """Watch a machine that was damaged.

        Raises:
            UserError: it still is.
        """
        self._add(name, {**self._store.states(), **self.states()})
        del self.damaged[name]
        log.warning("%s: is watched again", name)

    def _folder(self, name: str) -> Path:
        return self._plant.data / "machines" / name
