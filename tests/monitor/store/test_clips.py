"""Folders of events: whole files, and clean-ups that nothing stops."""

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from audio_anomaly_detector.errors import UserError
from audio_anomaly_detector.monitor.event import Event
from audio_anomaly_detector.monitor.sound import Chunk
from audio_anomaly_detector.monitor.store.clips import ClipConfig, EventFolders, folder_name
from audio_anomaly_detector.monitor.store.store import Store
from monitor.told_events import NOON, ended, event

DAY = 86400.0


class Site:
    """A store and the folders of its events, on a disk of a given free space."""

    def __init__(self, root: Path, **settings: float) -> None:
        self.store = Store.open(root / "watch.db")
        self.disk = 10**12  # bytes
        given = {"free_gigabytes": 0, **settings}
        config = ClipConfig.model_validate(given)
        self.folders = EventFolders(root / "events", config, free=lambda _: self._free())

    def _free(self) -> int:
        files = self.folders.folder.rglob("*")
        return self.disk - sum(path.stat().st_size for path in files if path.is_file())

    def add(self, number: int, at: float, size: int = 1000, lasts: bool = False) -> Event:
        one = event(number, at=at)
        one = replace(one, folder=self.folders.make(one))
        assert one.folder is not None
        self.folders.write(one.folder, picture=b"x" * size)
        self.store.save([one if lasts else ended(one)], {}, [])
        return one

    def left(self) -> list[str]:
        return sorted(path.name for path in self.folders.folder.iterdir())


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path, days=10)
    yield made
    made.store.close()


def test_what_is_written_can_be_read(site: Site) -> None:
    one = event()
    name = site.folders.make(one)
    samples = np.linspace(-1.5, 1.5, 2000, dtype=np.float32).reshape(2, 1000)
    samples[0, 5] = np.nan
    site.folders.write(name, Chunk(samples, 16000, 0, NOON), b"PNG", one.to_dict())
    folder = site.folders.folder / name
    found, rate = soundfile.read(folder / "sound.flac", dtype="float32", always_2d=True)
    expected = np.nan_to_num(samples).clip(-1, 1).T
    assert rate == 16000 and np.abs(found - expected).max() < 2**-22
    assert (folder / "picture.png").read_bytes() == b"PNG"
    assert json.loads((folder / "event.json").read_text()) == one.to_dict()


@pytest.mark.parametrize(("channels", "rate"), [(9, 16000), (64, 48000), (1, 700_000)])
def test_what_flac_cannot_hold(site: Site, channels: int, rate: int) -> None:
    name = site.folders.make(event())
    site.folders.write(name, Chunk(np.zeros((channels, 10), np.float32), rate, 0, NOON))
    found, found_rate = soundfile.read(site.folders.folder / name / "sound.wav", always_2d=True)
    assert found.shape == (10, channels) and found_rate == rate


@pytest.mark.parametrize("name", ["../../etc", "a/b", "\0", "", "\udcff", "x" * 999, "CON", ".."])
def test_any_name_of_a_machine_is_one_folder(site: Site, name: str) -> None:
    one = replace(event(name=name), id=name)
    made = site.folders.make(one)
    assert site.left() == [made] and made.isascii() and len(made) < 100
    site.folders.write(made, content=one.to_dict())
    assert site.folders.make(replace(one, id="other")) != made


@pytest.mark.parametrize("name", ["../x", "notes", "", "/etc", "\0"])
def test_only_folders_of_events_are_written(site: Site, name: str) -> None:
    with pytest.raises(UserError, match="is no folder of an event"):
        site.folders.write(name, picture=b"x")


def test_what_is_too_old_goes_with_its_reference(site: Site) -> None:
    old, new = site.add(1, NOON - 11 * DAY), site.add(2, NOON - 9 * DAY)
    done = site.folders.clean(site.store, NOON)
    assert (done.removed, done.kept, done.taken, done.room) == (1, 1, 1000, True)
    assert site.left() == [new.folder]
    kept = {one.id: one.folder for one in site.store.events()}
    assert kept == {old.id: None, new.id: new.folder}
    assert site.folders.clean(site.store, NOON).removed == 0


def test_an_event_that_lasts_keeps_its_sound(site: Site) -> None:
    lasting = site.add(1, NOON - 30 * DAY, lasts=True)
    site.folders.clean(site.store, NOON)
    assert site.left() == [lasting.folder]


def test_the_oldest_go_when_there_is_too_much(tmp_path: Path) -> None:
    site = Site(tmp_path, gigabytes=5000e-9)
    lasting = site.add(0, NOON - 100, lasts=True)
    for number in range(1, 21):
        site.add(number, NOON + number)
        # Never more than one clip beyond.
        assert site.folders.clean(site.store, NOON + 100).taken <= 5000
        assert len(site.left()) <= 5
    assert site.left() == sorted(
        [folder_name(lasting)] + [folder_name(event(n, at=NOON + n)) for n in range(17, 21)]
    )


def test_space_is_left_free(tmp_path: Path) -> None:
    site = Site(tmp_path, free_gigabytes=5000e-9)
    site.disk = 8000
    for number in range(5):
        site.add(number, NOON + number)
    done = site.folders.clean(site.store, NOON + 100)
    assert done.kept == 3 and done.free == 5000 and done.room
    site.disk = 2000  # others have filled it
    done = site.folders.clean(site.store, NOON + 100)
    assert site.left() == [] and not done.room and "until there is room" in str(done)


def test_no_name_stops_a_clean_up(site: Site) -> None:
    root = site.folders.folder
    names = ["notes.txt", "lost+found", "\n", "x" * 200, "2026-99-99T00-00-00Z_a_0123456789ab"]
    for name in names:
        (root / name).mkdir()
    (root / os.fsdecode(b"\xff\xfe")).mkdir()
    (root / "2020-01-01T00-00-00Z_file_0123456789ab").write_text("no folder")
    (root / "2020-01-01T00-00-00Z_link_0123456789ab").symlink_to(site.folders.folder.parent)
    old = site.add(1, NOON - 11 * DAY)
    (root / str(old.folder) / "\udcff\n").write_text("within")
    done = site.folders.clean(site.store, NOON)
    assert done.removed == 1 and done.foreign == len(names) + 3
    assert old.folder not in site.left() and len(site.left()) == len(names) + 3
    assert (site.folders.folder.parent / "watch.db").exists()
    assert str(done).isprintable() and "8 entries that are no clips left alone" in str(done)


def test_a_folder_that_cannot_be_removed_stops_no_clean_up(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    first, second = site.add(1, NOON - 12 * DAY), site.add(2, NOON - 11 * DAY)
    rmtree = shutil.rmtree

    def stubborn(path: Path) -> None:
        if path.name == first.folder:
            raise PermissionError(13, "Permission denied")
        rmtree(path)

    monkeypatch.setattr(shutil, "rmtree", stubborn)
    done = site.folders.clean(site.store, NOON)
    assert (done.removed, done.kept, done.taken) == (1, 1, 1000)
    assert "1 not removed: " in str(done) and "Permission denied" in str(done)
    assert site.left() == [first.folder] and second.folder not in site.left()
    monkeypatch.undo()
    assert site.folders.clean(site.store, NOON).removed == 1  # next time


def test_no_event_refers_to_a_folder_that_is_gone(site: Site) -> None:
    import shutil

    one = site.add(1, NOON)
    shutil.rmtree(site.folders.folder / str(one.folder))
    site.folders.clean(site.store, NOON)
    assert site.store.folders() == {}


def test_a_full_disk(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    import tempfile

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    name = site.folders.make(event())
    monkeypatch.setattr(tempfile, "NamedTemporaryFile", full)
    with pytest.raises(UserError, match="No space left"):
        site.folders.write(name, picture=b"x")
    assert list((site.folders.folder / name).iterdir()) == []
