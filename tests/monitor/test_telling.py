"""Events are saved with the states that they come of, and told to sinks unless silenced."""

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from audio_anomaly_detector.monitor.event import Event
from audio_anomaly_detector.monitor.plant import Plant
from audio_anomaly_detector.monitor.sinks import sink as sinks
from audio_anomaly_detector.monitor.sinks.command import CommandConfig
from audio_anomaly_detector.monitor.store.store import Store
from audio_anomaly_detector.monitor.telling import Telling
from monitor.told_events import NOON, SetClock, ended, event

FINE: frozenset[str] = frozenset()


class Site:
    """A store, a plant with one sink, and what is told of it."""

    def __init__(self, folder: Path) -> None:
        self.told: list[Event] = []
        self.store, self.sent = Store.open(folder / "events.db"), folder / "sent.json"
        write = "import sys; open(sys.argv[1], 'a').write(sys.stdin.read() + chr(10))"
        self.plant = Plant.model_validate(
            {
                "data": folder,
                "sources": {"hall": {"file": folder / "hall.wav"}},
                "machines": {"pump-3": {"source": "hall"}},
                "sinks": [{"command": [sys.executable, "-c", write, str(self.sent)]}],
            }
        )
        self.states = {"machine:pump-3": {"count": 1}}

    def telling(self) -> Telling:
        clock = SetClock(NOON)
        return Telling(self.plant, self.store, clock, lambda: self.states, self.told.append)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path)
    yield site
    site.store.close()


def test_an_event_is_saved_with_the_states_that_it_comes_of(site: Site) -> None:
    telling = site.telling()
    telling.tell([event(1)], FINE)
    assert site.told == site.store.events() == [event(1)]
    assert dict(telling.counts) == {"warning": 1}
    states = site.store.states()
    assert states["machine:pump-3"] == {"count": 1}
    assert states["told"]["told"] == ["event-1"]
    assert "sink:command" in states
    site.told.clear()
    site.telling().tell([ended(event(1))], FINE)  # after another start
    assert [one.phase for one in site.told] == ["end"]


def test_what_grows_worse_is_counted_at_every_level_that_it_reaches(site: Site) -> None:
    telling, first = site.telling(), replace(event(1), level="notice")
    worse = replace(first, phase="update", level="warning", revision=1)
    telling.tell([first, worse, ended(worse)], FINE)
    assert dict(telling.counts) == {"notice": 1, "warning": 1}


def test_what_is_silenced_is_told_when_the_silence_ends(site: Site) -> None:
    telling = site.telling()
    number = site.store.add_silence("pump-3", NOON, NOON + 60, "works")
    telling.look_at_silences()
    telling.tell([event(1)], FINE)
    assert site.told == []
    assert site.store.waiting("command") == 0
    site.store.end_silence(number, NOON)
    telling.look_at_silences()
    telling.tell([], FINE)
    assert site.told == [event(1)]


def test_nothing_is_told_of_a_machine_whose_source_is_faulty(site: Site) -> None:
    telling = site.telling()
    telling.tell([event(1)], {"hall"})
    assert site.told == []
    telling.tell([ended(event(1))], {"hall"})  # it ends untold, and is kept
    assert site.told == []
    assert site.store.events() == [ended(event(1))]


def test_sinks_get_what_was_told_last(site: Site) -> None:
    telling = site.telling()
    with telling.delivering():
        telling.tell([event(1)], FINE)
        telling.wait_for_deliveries()
        (sink,) = telling.sinks()
    assert (sink.name, sink.delivered, sink.waiting) == ("command", 1, 0)
    assert json.loads(site.sent.read_text())["id"] == "event-1"


def test_sinks_know_the_site(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    known: list[sinks.Site] = []
    make = CommandConfig.make

    def noted(config: CommandConfig, of: sinks.Site) -> sinks.Sink:
        known.append(of)
        return make(config, of)

    monkeypatch.setattr(CommandConfig, "make", noted)
    site.store.save([event(1)], {}, [])
    with site.telling().delivering():
        pass
    assert [(one.machines, one.open_events) for one in known] == [(("pump-3",), (event(1),))]
    assert [one.events for one in known] == [site.plant.events_folder]
