"""The sources of a plant under watch: the sound that they bring, and what is wrong with them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from audio_anomaly_detector.monitor.clock import Clock
from audio_anomaly_detector.monitor.ending import end_all
from audio_anomaly_detector.monitor.event import Event
from audio_anomaly_detector.monitor.intake import Intake
from audio_anomaly_detector.monitor.plant import Plant
from audio_anomaly_detector.monitor.source_alerts import SourcesState, advance_sources
from audio_anomaly_detector.monitor.sources.supervisor import Supervisor
from audio_anomaly_detector.monitor.status import SourceLine
from audio_anomaly_detector.monitor.store.restoring import restored
from audio_anomaly_detector.monitor.store.store import Store


class WatchedSources:
    """All sources; each reads in threads of its own, everything else is done by one thread.

    Args:
        plant: describes them.
        store: where their events stood when the program ended.
        clock: tells the time.

    Attributes:
        intake: their sound that waits to be scored.
        faults: of each source, a sentence by kind, as `look` found them last.

    Raises:
        UserError: the store cannot be read.
    """

    def __init__(self, plant: Plant, store: Store, clock: Clock) -> None:
        self._plant, self._clock = plant, clock
        self._sources = {name: config.make() for name, config in plant.sources.items()}
        self._supervisors: list[Supervisor] = []
        self._events = restored(store.states(), "sources", SourcesState())
        self.intake = Intake()
        self.faults: dict[str, dict[str, str]] = {}

    @property
    def live(self) -> bool:
        """Whether any of them is heard as it sounds; files are not."""
        return any(source.live for source in self._sources.values())

    @property
    def ended(self) -> bool:
        """Whether nothing more can come."""
        return all(one.status().state == "ended" for one in self._supervisors)

    @property
    def faulty(self) -> frozenset[str]:
        """Names of those that have a fault."""
        return frozenset(name for name, of in self.faults.items() if of)

    @contextmanager
    def running(self) -> Iterator[None]:
        """They are read inside."""
        self._supervisors = [
            Supervisor(
                name,
                source,
                self._clock,
                lambda name, chunk: self.intake.put(name, chunk, self._sources[name].live),
                lambda name, faults: None,  # see `look`
                self._plant.connections,
            )
            for name, source in self._sources.items()
        ]
        try:
            for supervisor in self._supervisors:
                supervisor.start()
            yield
        finally:
            self.intake.close()
            end_all(supervisor.stop for supervisor in self._supervisors)

    def look(self) -> list[Event]:
        """See what is wrong with them; to be called every few seconds.

        Returns:
            what there is to tell of it.
        """
        statuses = [supervisor.status() for supervisor in self._supervisors]
        self.faults = {
            one.name: {str(kind): said for kind, said in one.faults.sentences.items()}
            for one in statuses
        }
        self._events, events = advance_sources(
            self._events, self._clock.wall(), self.faults, self._plant.source_alerts
        )
        return events

    def lines(self) -> tuple[SourceLine, ...]:
        """How they are, from any thread."""
        overtaken = self.intake.overtaken_seconds()
        return tuple(
            SourceLine(
                of.name,
                of.state,
                of.heard_s,
                of.lost_s + overtaken.get(of.name, 0.0),
                max(0, of.connections - 1),
                of.age_s if self._sources[of.name].live else None,
                tuple(of.faults.sentences.values()),
            )
            for of in [supervisor.status() for supervisor in self._supervisors]
        )

    def states(self) -> dict[str, dict[str, Any]]:
        """Where their events stand, to be saved."""
        return {"sources": self._events.to_dict()}
