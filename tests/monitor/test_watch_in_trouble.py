"""A watch goes on with a full disk, a store that is out of reach and a machine that is damaged."""

import time
from pathlib import Path

import pytest

from audio_anomaly_detector.errors import UserError
from audio_anomaly_detector.monitor import watch as watching_module
from audio_anomaly_detector.monitor.plant import read_plant
from audio_anomaly_detector.monitor.watch import Watch
from monitor.told_events import ended, event
from watched_plant import PLANT, run, watched_plant


def full(*_: object, **__: object) -> None:
    raise UserError("the disk is full; free some space")


def test_a_full_disk_ends_no_watch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plant = watched_plant(tmp_path, ["hum"] * 3)
    monkeypatch.setattr(watching_module, "write_status", full)
    for method in ("silences", "remove_events", "folders"):
        monkeypatch.setattr(watching_module.Store, method, full)
    watching = Watch(read_plant(plant))
    try:
        with watching.running():
            while watching.step():
                pass
        assert watching.status().windows == 3
    finally:
        watching.close()


def test_events_go_when_they_are_as_old_as_their_sound(tmp_path: Path) -> None:
    plant = watched_plant(tmp_path, ["hum"])
    watching = Watch(read_plant(plant))
    now = time.time()
    old, recent = ended(event(1, at=now - 91 * 86400)), ended(event(2, at=now - 89 * 86400))
    lasting = event(3, at=now - 200 * 86400)
    watching.store.save([old, recent, lasting], {}, [])
    watching.close()
    run(plant)
    watching = Watch(read_plant(plant))
    assert {one.id for one in watching.store.events()} == {"event-2", "event-3"}
    watching.close()


def test_no_sound_is_kept_without_room(tmp_path: Path) -> None:
    text = PLANT.replace("FOLDER", str(tmp_path)) + "clips: {free_gigabytes: 1000000}\n"
    (told,) = run(watched_plant(tmp_path, ["hum"] * 48 + ["knock"] * 12, text))
    assert told.folder is not None
    kept = (tmp_path / "aad-data/events" / told.folder).iterdir()
    assert {path.name for path in kept} == {"picture.png", "event.json"}
