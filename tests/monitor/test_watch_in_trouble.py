"""A watch goes on with a full disk, a store that is out of reach and a machine that is damaged."""

import json
import shutil
import time
from dataclasses import asdict
from pathlib import Path

import pytest

from audio_anomaly_detector.errors import UserError
from audio_anomaly_detector.files import write_json
from audio_anomaly_detector.monitor import commands
from audio_anomaly_detector.monitor import watch as watching_module
from audio_anomaly_detector.monitor.commands import Command
from audio_anomaly_detector.monitor.plant import read_plant
from audio_anomaly_detector.monitor.status import read_status
from audio_anomaly_detector.monitor.store.database import StoreError
from audio_anomaly_detector.monitor.watch import Watch
from monitor.told_events import ended, event
from watched_plant import PLANT, run, to_the_end, watched_plant, write_recording


def full(*_: object, **__: object) -> None:
    raise UserError("the disk is full; free some space")


def test_a_full_disk_ends_no_watch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plant = watched_plant(tmp_path, ["hum"] * 3)
    monkeypatch.setattr(watching_module, "write_status", full)
    for method in ("silences", "remove_events", "folders"):
        monkeypatch.setattr(watching_module.Store, method, full)
    watching = Watch(read_plant(plant))
    try:
        to_the_end(watching)
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


@pytest.fixture
def plant(learned_plant: Path, tmp_path: Path) -> Path:
    """A plant whose machine was learned, and another one."""
    plant = shutil.copytree(learned_plant, tmp_path / "plant") / "plant.yaml"
    text = plant.read_text()
    first, last = text.index("  pump-3:"), text.index("alerts:")
    other = text[first:last].replace("pump-3", "fan-1")
    plant.write_text(text[:last] + other + text[last:])
    return plant


@pytest.mark.parametrize(
    "file",
    ["learning.json", "drift.json", "models/current.json", "models/0001.json", "models/*.pth"],
)
def test_one_damaged_machine_does_not_keep_others_from_being_watched(
    plant: Path, file: str
) -> None:
    machine = plant.parent / "aad-data/machines/pump-3"
    (path,) = machine.glob(file) if (machine / file).exists() or "*" in file else [machine / file]
    content = path.read_bytes() if path.exists() else None
    path.write_bytes(b"damaged")
    write_recording(plant.parent / "pump.wav", ["hum"] * 3)
    (told,) = run(plant)
    assert (told.name, told.kind, told.phase, told.level) == ("pump-3", "damaged", "new", "warning")
    assert str(path) in told.words[0]
    status = read_status(plant.parent / "aad-data")
    assert any(
        "machine pump-3: is not watched" in one for one in status.problems(status.at, held=True)
    )
    assert {one.name: one.phase for one in status.machines} == {
        "pump-3": "damaged",
        "fan-1": "learning",
    }
    write_recording(plant.parent / "pump.wav", ["hum"] * 3)
    assert run(plant) == []  # it was told
    path.unlink() if content is None else path.write_bytes(content)
    write_recording(plant.parent / "pump.wav", ["hum"] * 3)
    assert [(one.id, one.phase) for one in run(plant)] == [(told.id, "end")]


def test_an_earlier_version_mends_a_machine_whose_model_is_damaged(plant: Path) -> None:
    identity = json.loads((plant.parent / "told.json").read_text())[0]["id"]
    watching = Watch(read_plant(plant))
    assert watching.carry_out(Command("normal", "pump-3", identity)).done
    watching.close()
    for path in (plant.parent / "aad-data/machines/pump-3/models").glob("0002-*.pth"):
        path.write_bytes(b"damaged")
    watching = Watch(read_plant(plant))
    refused = watching.carry_out(Command("maintained", "pump-3"))
    assert not refused.done
    assert "pump-3: is not watched: " in refused.words[0]
    assert watching.carry_out(Command("version", "pump-3", version=1)).done
    assert watching.machines.watched["pump-3"].monitor.version == 1
    watching.close()


def test_a_command_whose_answer_cannot_be_written_is_carried_out_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant = read_plant(watched_plant(tmp_path, ["hum"] * 3))
    path = plant.data / "commands/a.json"
    write_json(path, asdict(Command("undo", "pump-3")))
    done: list[Command] = []

    def carry_out(command: Command) -> commands.Answer:
        done.append(command)
        return commands.Answer((f"time {len(done)}",), True)

    watching = Watch(plant)
    monkeypatch.setattr(watching, "carry_out", carry_out)
    monkeypatch.setattr(watching_module, "_LOOK_EVERY_S", 0)
    try:
        with watching.running():
            with monkeypatch.context() as on_full_disk:
                on_full_disk.setattr(commands, "write_json", full)
                for _ in range(3):
                    watching.step()
            watching.step()
    finally:
        watching.close()
    assert done == [Command("undo", "pump-3")]
    assert json.loads(path.with_suffix(".answer").read_text())["words"] == ["time 1"]


def test_a_command_of_a_watch_that_was_killed_is_not_carried_out_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant = read_plant(watched_plant(tmp_path, ["hum"] * 3))
    write_json(plant.data / "commands/a.json", asdict(Command("undo", "pump-3")))
    assert [command for _, command in commands.take_up(plant.data)] == [Command("undo", "pump-3")]
    watching = Watch(plant)
    monkeypatch.setattr(watching, "carry_out", lambda command: pytest.fail("it is done again"))
    try:
        to_the_end(watching)
    finally:
        watching.close()


def test_what_was_done_is_not_refused_because_it_cannot_be_listed(
    plant: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def locked(*_: object, **__: object) -> None:
        raise StoreError("another program keeps it locked; end that program")

    identity = json.loads((plant.parent / "told.json").read_text())[0]["id"]
    watching = Watch(read_plant(plant))
    for method in ("add_feedback", "undo_feedback", "feedback"):
        monkeypatch.setattr(watching.store, method, locked)
    try:
        for verb in ("normal", "fault", "undo"):
            answer = watching.carry_out(Command(verb, "pump-3", identity))
            assert answer.done
            assert "is not in the list of feedback: another program" in answer.words[-1]
        assert watching.machines.watched["pump-3"].monitor.version == 1
    finally:
        watching.close()
