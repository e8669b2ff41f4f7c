"""Events that a sink will never get are told once, and not for ever."""

from pathlib import Path

from audio_anomaly_detector.monitor.event import Event
from audio_anomaly_detector.monitor.notices import NoticeState
from audio_anomaly_detector.monitor.plant import read_plant
from audio_anomaly_detector.monitor.undelivered import Undelivered
from audio_anomaly_detector.monitor.watch import Watch
from monitor.told_events import NOON, event
from watched_plant import watched_plant


def test_it_is_told_once_a_day_also_if_that_is_refused() -> None:
    sink = Undelivered(NoticeState())
    assert sink.told("mail", NOON) == []
    sink.gave_up(3, NOON)
    (new,) = sink.told("mail", NOON + 1)
    assert (new.subject, new.name, new.kind, new.phase) == ("service", "mail", "undelivered", "new")
    assert new.words == ("events that this sink will never get: 3; see 'aad events'",)
    sink.gave_up(1, NOON + 20)
    assert sink.told("mail", NOON + 86_000) == []
    (end,) = sink.told("mail", NOON + 86_420)
    assert (end.id, end.phase) == (new.id, "end")
    sink.gave_up(1, NOON + 90_000)
    assert [one.id != new.id for one in sink.told("mail", NOON + 90_001)] == [True]


def test_a_watch_tells_what_its_sinks_gave_up(tmp_path: Path) -> None:
    plant = watched_plant(tmp_path, ["hum"] * 2)
    text = plant.read_text()
    text = text[: text.index("sinks:")] + 'sinks: [{command: ["false"]}]\n'
    plant.write_text(text + "delivery: {most_days: 1}\n")
    told: list[Event] = []
    watching = Watch(read_plant(plant), told.append)
    watching.store.save([event(1)], {}, ["command"])  # from months ago
    try:
        with watching.running():
            for _ in range(40):
                watching.step()
                if told:
                    break
    finally:
        watching.close()
    assert [(one.subject, one.kind) for one in told] == [("service", "undelivered")]
