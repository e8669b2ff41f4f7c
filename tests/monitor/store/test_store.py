"""The store keeps what it was given, whole and in order, or says why not."""

import math
import os
import sqlite3
import stat
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy.exc import StatementError

from audio_anomaly_detector.monitor.store.database import StoreError
from audio_anomaly_detector.monitor.store.saving import Saver
from audio_anomaly_detector.monitor.store.store import Store
from monitor.told_events import NOON, SetClock, ended, event
from small_disks import small_disk_at

HOSTILE = [
    "../../etc/passwd",
    "a\0b",
    "\udcff.wav",
    '"quoted"',
    '"',
    "'; DROP TABLE events; --",
    "\u202egnp.exe",
    "line\nbreak",
    "",
    "x" * 10_000,
]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(tmp_path / "watch.db")
    yield opened
    opened.close()


def test_events_come_back_as_they_were(store: Store, tmp_path: Path) -> None:
    first, second = event(1), replace(event(2, at=NOON + 5), folder="there")
    store.save([first, second], {}, [])
    store.save([ended(first)], {}, [])
    again = Store.open(tmp_path / "watch.db")
    assert again.events() == [second, ended(first)]
    assert again.event("event-1") == ended(first) and again.event("none") is None
    assert again.open_events() == [second]
    assert again.events(since=NOON + 1) == [second]
    assert again.events(until=NOON + 1) == [ended(first)]
    assert again.events(name="other") == [] and again.events(limit=1) == [second]


def test_events_that_are_long_over_can_be_removed(store: Store) -> None:
    store.save([ended(event(1)), ended(event(2, at=NOON + 1000)), event(3)], {}, [])
    assert store.remove_events(NOON + 500) == 1
    assert {one.id for one in store.events()} == {"event-2", "event-3"}


def test_each_revision_is_delivered_once_to_each_sink(store: Store) -> None:
    store.save([event(1), event(2)], {}, ["mqtt", "webhook"])
    store.save([event(1, revision=1)], {}, ["mqtt", "webhook"])
    due = store.due("mqtt", NOON, 10)
    assert [one.key for one in due] == ["event-1:0", "event-2:0", "event-1:1"]
    assert [one.event for one in due][:1] == [event(1).to_dict()]
    store.delivered(due[0].id)
    assert [one.key for one in store.due("mqtt", NOON, 10)] == ["event-2:0", "event-1:1"]
    assert store.waiting("mqtt") == 2 and store.waiting("webhook") == 3
    assert [one.key for one in store.due("webhook", NOON, 2)] == ["event-1:0", "event-2:0"]


def test_a_key_never_stands_for_two_contents(store: Store) -> None:
    store.save([event(1)], {}, ["mqtt"])
    other = replace(event(1), words=("Something else.",))
    store.save([other], {}, ["mqtt"])
    store.delivered(store.due("mqtt", NOON, 1)[0].id)
    store.save([other], {}, ["mqtt"])
    assert store.due("mqtt", NOON, 1) == [] and store.event("event-1") == event(1)


def test_events_of_which_nobody_is_told(store: Store) -> None:
    one = event(1)
    store.save([one], {}, ["mqtt"], silent=[event(1, revision=1), event(2)])
    assert store.event("event-1") == event(1, revision=1) and store.event("event-2") == event(2)
    store.save([event(2, revision=2)], {}, ["mqtt"], silent=[event(2, revision=1)])
    keys = [delivery.key for delivery in store.due("mqtt", NOON, 9)]
    assert keys == ["event-1:0", "event-2:2"] and store.event("event-2") == event(2, revision=2)


def test_no_delivery_overtakes_one_that_waits(store: Store) -> None:
    store.save([event(1), event(2)], {}, ["mqtt"])
    first = store.due("mqtt", NOON, 10)[0]
    store.failed(first.id, "away", NOON, NOON + 60)
    assert store.due("mqtt", NOON + 59, 10) == []
    assert [one.attempts for one in store.due("mqtt", NOON + 60, 10)] == [1, 0]


def test_a_clock_that_is_set_back_delays_no_retry(store: Store) -> None:
    store.save([event(1)], {}, ["mqtt"])
    store.failed(store.due("mqtt", NOON, 1)[0].id, "away", NOON, NOON + 60)
    assert len(store.due("mqtt", NOON - 3600, 1)) == 1


def test_order_is_that_of_saving_not_of_the_clock(store: Store) -> None:
    store.save([event(1)], {}, ["mqtt"])
    store.save([event(2, at=NOON - 3600)], {}, ["mqtt"])
    assert [one.event["id"] for one in store.due("mqtt", NOON, 9)] == ["event-1", "event-2"]


def test_what_is_given_up_is_the_oldest(store: Store) -> None:
    store.save([event(number, at=NOON + number) for number in range(10)], {}, ["mqtt", "other"])
    assert store.drop_deliveries("mqtt", most=8, created_before=0) == 2
    assert store.due("mqtt", NOON, 1)[0].event["id"] == "event-2"
    assert store.drop_deliveries("mqtt", most=8, created_before=NOON + 5) == 3
    assert store.due("mqtt", NOON, 1)[0].event["id"] == "event-5"
    assert store.waiting("other") == 10
    assert store.drop_other_sinks(["mqtt"]) == 10
    assert store.waiting("mqtt") == 5


def test_states_are_replaced_by_key(store: Store) -> None:
    store.save([], {"a": {"n": 1}, "b": {"n": [1, None]}}, [])
    store.save([], {"a": {"n": 2}}, [])
    assert store.states() == {"a": {"n": 2}, "b": {"n": [1, None]}}


def test_a_save_is_whole_or_not_at_all(store: Store) -> None:
    class Unwritable:
        pass

    with pytest.raises(StatementError, match="not JSON serializable"):
        store.save([event(1)], {"a": {"n": Unwritable()}}, ["mqtt"])
    assert store.events() == [] and store.waiting("mqtt") == 0 and store.states() == {}


def test_numbers_that_are_not_finite_are_kept_as_unknown(store: Store) -> None:
    course = ((NOON, math.inf), (NOON + 1, 1.0))
    store.save([replace(event(1), course=course)], {"a": {"score": math.nan}}, ["mqtt"])
    saved = store.events()[0].course
    assert math.isnan(saved[0][1]) and saved[1] == (NOON + 1, 1.0)
    assert store.states() == {"a": {"score": None}}
    assert store.due("mqtt", NOON, 1)[0].event["course"][0] == [NOON, None]


@pytest.mark.parametrize("name", HOSTILE)
def test_any_name(store: Store, name: str) -> None:
    one = replace(event(1, name=name), id=name, words=(name,), folder=name)
    store.save([one], {name: {name: name}}, [name])
    assert store.events(name=name) == [one] and store.event(name) == one
    assert store.states() == {name: {name: name}}
    assert store.due(name, NOON, 1)[0].event == one.to_dict()
    store.add_silence(name, NOON, NOON + 1, reason=name)
    assert [(one.name, one.reason) for one in store.silences(NOON)] == [(name, name)]
    store.add_feedback(name, "normal", NOON, event=name, note=name)
    assert store.feedback(name)[0][2:] == (name, name, "normal", name, None)
    store.forget_folders([name])
    assert store.folders() == {}


def test_silences_end(store: Store) -> None:
    whole = store.add_silence("*", NOON, NOON + 10, "cleaning")
    store.add_silence("pump-3", NOON, NOON + 20)
    assert [one.name for one in store.silences(NOON)] == ["*", "pump-3"]
    assert [one.name for one in store.silences(NOON + 10)] == ["pump-3"]
    assert store.end_silence(whole, NOON + 5) and not store.end_silence(whole, NOON + 6)
    assert [one.name for one in store.silences(NOON + 6)] == ["pump-3"]
    assert store.silences(NOON + 20) == []


def test_feedback_is_kept_also_when_it_is_taken_back(store: Store) -> None:
    one = store.add_feedback("pump-3", "normal", NOON, event="event-1", note="was a delivery")
    store.add_feedback("fan-1", "fault", NOON)
    assert store.undo_feedback(one, NOON + 5) and not store.undo_feedback(one, NOON + 6)
    assert [said.undone for said in store.feedback()] == [NOON + 5, None]
    assert [said.name for said in store.feedback("fan-1")] == ["fan-1"]


def test_two_watchers_on_one_store(store: Store, tmp_path: Path) -> None:
    other = Store.open(tmp_path / "watch.db")
    with store.hold():
        with pytest.raises(StoreError, match="another process watches"), other.hold():
            pass
        other.add_silence("*", NOON, NOON + 1)  # commands are used beside a watcher
        assert len(store.silences(NOON)) == 1
    with other.hold():
        pass


def test_threads_write_side_by_side(store: Store) -> None:
    def write(number: int) -> None:
        for revision in range(10):
            store.save([event(number, revision)], {str(number): {"n": revision}}, ["mqtt"])

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    due = store.due("mqtt", NOON, 100)
    assert len(due) == 40
    for number in range(4):
        mine = [one.event["revision"] for one in due if one.event["id"] == f"event-{number}"]
        assert mine == list(range(10))


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("these are notes, not a database\n" * 100)
    with pytest.raises(StoreError, match="is no database; name another file"):
        Store.open(file)
    assert file.read_text().startswith("these are notes")


def test_a_database_of_another_program(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "birds.db") as other:
        other.execute("CREATE TABLE detections (id INTEGER)")
    with pytest.raises(StoreError, match="tables of another program"):
        Store.open(tmp_path / "birds.db")


def test_a_damaged_database(store: Store, tmp_path: Path) -> None:
    store.save([event(number) for number in range(50)], {}, ["mqtt"])
    store.close()
    file = tmp_path / "watch.db"
    content = bytearray(file.read_bytes())
    for page in range(1, len(content) // 4096):
        content[page * 4096 : page * 4096 + 200] = b"\xa5" * 200
    file.write_bytes(content)
    with pytest.raises(StoreError, match="is damaged"):
        Store.open(file)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("mysql://root:secret@host/x", "kind 'mysql' is not known"),
        ("sqlite://", "not known"),
        ("://secret", "cannot be read"),
        ("postgresql://user:secret@localhost:1/none", "localhost:1/none"),
    ],
)
def test_addresses_that_lead_nowhere(url: str, said: str) -> None:
    with pytest.raises(StoreError, match=said) as raised:
        Store.open(url)
    assert "secret" not in str(raised.value) and "\n" not in str(raised.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder(tmp_path: Path) -> None:
    folder = tmp_path / "fixed"
    folder.mkdir()
    folder.chmod(stat.S_IRUSR | stat.S_IXUSR)
    with pytest.raises(StoreError, match=r"cannot be opened|read-only"):
        Store.open(folder / "watch.db")


class Disk:
    """A file system of its own."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def mount(self, options: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{options}", self.place], check=True)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Disk]:
    place = tmp_path / "disk"
    with small_disk_at(place, "1m", lazily=True):
        yield Disk(place)


def _fill(folder: Path) -> None:
    with pytest.raises(OSError, match="No space"), (folder / "filler").open("wb", 0) as file:
        while True:
            file.write(b"x" * 4096)


def test_a_disk_that_is_full_and_gets_room(small_disk: Disk) -> None:
    store = Store.open(small_disk.place / "watch.db")
    store.save([event(0)], {}, ["mqtt"])
    _fill(small_disk.place)
    with pytest.raises(StoreError, match=r"the disk is full; free some space"):
        for revision in range(1, 1000):  # what SQLite has reserved is used up first
            store.save([event(0, revision)], {}, ["mqtt"])
    assert store.events()[0].revision == revision - 1
    assert store.waiting("mqtt") == revision
    clock = SetClock()
    saver = Saver(store, clock)
    assert not saver.save([event(1)], {"a": {"n": 1}}, ["mqtt"])
    assert not saver.save([event(1, 1)], {"a": {"n": 2}}, ["mqtt"])
    assert saver.trouble is not None and saver.waiting == 2
    (small_disk.place / "filler").unlink()
    clock.go(60)
    assert saver.save([event(2)], {}, ["mqtt"]) and saver.trouble is None
    keys = [one.key for one in store.due("mqtt", NOON, 2000)]
    assert keys[-3:] == ["event-1:0", "event-1:1", "event-2:0"]
    assert store.states() == {"a": {"n": 2}}
    store.close()


def test_a_full_disk_at_the_start(small_disk: Disk) -> None:
    _fill(small_disk.place)
    with pytest.raises(StoreError, match=r"full|cannot be read or written|cannot be opened"):
        Store.open(small_disk.place / "watch.db")


def test_a_disk_that_becomes_read_only(small_disk: Disk) -> None:
    file = small_disk.place / "watch.db"
    store = Store.open(file)
    store.save([event(0)], {}, ["mqtt"])
    store.close()  # an open file keeps the file system writable
    small_disk.mount("ro")
    with pytest.raises(StoreError, match=r"read-only|cannot be"):
        Store.open(file)
    small_disk.mount("rw")
    assert Store.open(file).events() == [event(0)]


class Refusing:
    """A store that cannot be written."""

    def __init__(self) -> None:
        self.asked = 0

    def save(self, *_: object) -> None:
        self.asked += 1
        raise StoreError("watch.db: the disk is full; free some space")


def test_what_waits_in_memory_is_bounded_and_counted() -> None:
    refusing, clock = Refusing(), SetClock()
    saver = Saver(refusing, clock, most=5)  # type: ignore[arg-type]
    for number in range(20):
        assert not saver.save([event(number)], {}, ["mqtt"])
    assert saver.waiting == 5 and saver.lost == 15
    assert refusing.asked == 1  # a locked store takes seconds to refuse
    clock.go(10)
    saver.save([], {}, [])
    assert refusing.asked == 2
