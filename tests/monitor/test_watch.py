"""A whole watch on a recording: it learns a machine, tells a fault once, goes on after a stop."""

import json
import os
import shutil
import threading
import time
import uuid
from dataclasses import asdict
from pathlib import Path

import pytest
import soundfile

from audio_anomaly_detector.errors import UserError
from audio_anomaly_detector.files import write_json
from audio_anomaly_detector.monitor import commands
from audio_anomaly_detector.monitor.commands import Command
from audio_anomaly_detector.monitor.event import Event
from audio_anomaly_detector.monitor.plant import read_plant
from audio_anomaly_detector.monitor.status import read_status
from audio_anomaly_detector.monitor.watch import Watch
from watched_plant import PLANT, run, watched_plant, write_recording


@pytest.fixture
def plant(learned_plant: Path, tmp_path: Path) -> Path:
    """A plant whose machine was learned and has an open event."""
    return shutil.copytree(learned_plant, tmp_path / "plant") / "plant.yaml"


def test_a_fault_is_told_once_with_words_sound_and_picture(learned_plant: Path) -> None:
    events = json.loads((learned_plant / "told.json").read_text())
    assert [(event["phase"], event["kind"]) for event in events] == [("new", "sound")]
    (event,) = events
    assert event["words"]
    assert "nothing specific" not in event["words"][0]
    folder = learned_plant / "aad-data/events" / event["folder"]
    assert (folder / "picture.png").read_bytes().startswith(b"\x89PNG")
    sound, rate = soundfile.read(folder / "sound.flac")
    content = json.loads((folder / "event.json").read_text())
    assert content["sound_at"] < event["started"] < event["updated"]
    assert content["sound_at"] + len(sound) / rate > event["updated"] - 1


def test_sinks_get_what_was_told(learned_plant: Path) -> None:
    sent = json.loads((learned_plant / "sent.json").read_text())
    assert (sent["name"], sent["phase"], sent["site"]) == ("pump-3", "new", "Hall 3")


def test_the_status_says_how_it_was(learned_plant: Path) -> None:
    status = read_status(learned_plant / "aad-data")
    (source,), (machine,) = status.sources, status.machines
    assert source.heard_s == pytest.approx(240, abs=5)
    assert (machine.phase, machine.model, machine.state) == ("usable", 1, "running")
    assert machine.event == "notice"
    assert machine.height is not None
    assert machine.height > 0
    assert status.windows == 60


def test_it_goes_on_where_it_was(plant: Path) -> None:
    write_recording(plant.parent / "pump.wav", ["knock"] * 8, first_seed=900)
    assert run(plant) == []  # the event lasts, and nothing new is to be told
    write_recording(plant.parent / "pump.wav", ["hum"] * 90, first_seed=2000)
    told = run(plant)
    assert [event.phase for event in told] == ["end"]
    assert told[0].id == json.loads((plant.parent / "told.json").read_text())[0]["id"]


def test_two_cannot_watch_one_plant(plant: Path) -> None:
    first, second = Watch(read_plant(plant)), Watch(read_plant(plant))
    try:
        with first.held(), pytest.raises(UserError, match="another"), second.held():
            pass
    finally:
        first.close()
        second.close()


def test_what_was_normal_ends_the_event_and_can_be_undone(plant: Path) -> None:
    event = json.loads((plant.parent / "told.json").read_text())[0]
    told: list[Event] = []
    watching = Watch(read_plant(plant), told.append)
    try:
        with watching.held():
            tried = watching.carry_out(Command("normal", "pump-3", event["id"], try_only=True))
            assert tried.done
            assert told == []
            done = watching.carry_out(Command("normal", "pump-3", event["id"], note="new hum"))
            assert done == tried
            assert [(one.id, one.phase) for one in told] == [(event["id"], "end")]
            assert [one.note for one in watching.store.feedback("pump-3")] == ["new hum"]
            undone = watching.carry_out(Command("undo", "pump-3"))
            assert "back to version 1" in undone.words[0]
            assert watching.store.feedback("pump-3")[0].undone is not None
            assert not watching.carry_out(Command("undo", "pump-3")).done
    finally:
        watching.close()


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (Command("normal", "pump-4", "x"), "there is no machine 'pump-4'; there are: pump-3"),
        (Command("fault", "pump-3", "x"), "there is no event 'x' of the machine 'pump-3'"),
        (Command("version", "pump-3", version=9), "there is no version 9 of the model"),
    ],
)
def test_commands_that_cannot_be_carried_out_say_why(
    plant: Path, command: Command, says: str
) -> None:
    watching = Watch(read_plant(plant))
    try:
        with watching.held():
            answer = watching.carry_out(command)
    finally:
        watching.close()
    assert not answer.done
    assert says in answer.words[0]


def asked(data: Path, command: Command) -> Path:
    """The file of a command that waits."""
    path = data / "commands" / f"{uuid.uuid4().hex}.json"
    write_json(path, asdict(command))
    return path


def test_a_running_watch_answers(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has not answered within 0 s"):
        commands.ask(tmp_path, Command("undo", "pump-3"), timeout_s=0.3)
    assert list(commands.take_up(tmp_path)) == []

    def answer() -> None:
        for _ in range(100):
            for taken, command in commands.take_up(tmp_path):
                assert isinstance(command, Command)
                commands.reply(taken, commands.Answer((f"{command.verb} it is",), True))
                return
            time.sleep(0.05)

    threading.Thread(target=answer, daemon=True).start()
    answered = commands.ask(tmp_path, Command("undo", "pump-3"), timeout_s=10)
    assert answered == commands.Answer(("undo it is",), True)
    assert list((tmp_path / "commands").iterdir()) == []


def test_what_is_no_command_is_answered(tmp_path: Path) -> None:
    folder = tmp_path / "commands"
    folder.mkdir()
    (folder / "a.json").write_text('{"verb": "explode", "colour": 3}')
    (folder / "b.json").write_text("not JSON")
    answers = [answer for _, answer in commands.take_up(tmp_path)]
    assert len(answers) == 2
    for answer in answers:
        assert isinstance(answer, commands.Answer)
        assert not answer.done
        assert "no command of this version" in answer.words[0]


def test_a_command_is_taken_up_once(tmp_path: Path) -> None:
    path = asked(tmp_path, Command("undo", "pump-3"))
    ((taken, command),) = commands.take_up(tmp_path)
    assert command == Command("undo", "pump-3")
    assert not path.exists()
    assert list(commands.take_up(tmp_path)) == []
    commands.reply(taken, commands.Answer(("done",), True))
    assert json.loads(path.with_suffix(".answer").read_text())["words"] == ["done"]


def test_who_gets_no_answer_is_told_whether_it_may_have_been_done(tmp_path: Path) -> None:
    took: list[Path] = []

    def take() -> None:
        while not took:
            took.extend(taken for taken, _ in commands.take_up(tmp_path))

    taking = threading.Thread(target=take)
    taking.start()
    with pytest.raises(UserError, match=r"taken this up, .* it may have been done; see"):
        commands.ask(tmp_path, Command("undo", "pump-3"), timeout_s=3)
    taking.join()
    commands.reply(took[0], commands.Answer(("done",), True))  # nobody waits for it any more
    assert list((tmp_path / "commands").iterdir()) == []


def test_commands_that_nobody_waits_for_are_removed(tmp_path: Path) -> None:
    old = asked(tmp_path, Command("undo", "pump-3"))
    left = [old, old.with_name("a.taken"), old.with_name("b.answer")]
    new = asked(tmp_path, Command("undo", "fan-1"))
    for path in left:
        path.touch()
        os.utime(path, (time.time() - 4000, time.time() - 4000))
    ((taken, command),) = commands.take_up(tmp_path)
    assert command == Command("undo", "fan-1")
    assert list((tmp_path / "commands").iterdir()) == [taken]
    assert taken.stem == new.stem


def test_a_source_that_is_not_there_does_not_stop_the_others(tmp_path: Path) -> None:
    text = PLANT.replace("sources:", "sources:\n  gone: {file: nowhere.wav}")
    plant = watched_plant(tmp_path, ["hum"] * 3, text.replace("FOLDER", str(tmp_path)))
    watching = Watch(read_plant(plant))
    seen: set[str] = set()
    try:
        with watching.running():
            for _ in range(40):
                watching.step()
                status = watching.status()
                seen |= {source.name for source in status.sources if source.faults}
                heard = {source.name: source.heard_s for source in status.sources}
                if seen and heard["recorder"] > 10:
                    break
    finally:
        watching.close()
    assert seen == {"gone"}
    assert heard["recorder"] == pytest.approx(12, abs=1)


def test_silenced_events_are_told_when_the_silence_ends(plant: Path) -> None:
    watching = Watch(read_plant(plant))
    now = time.time()
    number = watching.store.add_silence("pump-3", now, now + 3600, "works")
    watching.close()
    write_recording(plant.parent / "pump.wav", ["hum"] * 90, first_seed=2000)
    run(plant)
    write_recording(plant.parent / "pump.wav", ["knock"] * 60, first_seed=4000)
    assert run(plant) == []
    watching = Watch(read_plant(plant))
    watching.store.end_silence(number, time.time())
    watching.close()
    write_recording(plant.parent / "pump.wav", ["knock"] * 3, first_seed=5000)
    assert [event.phase for event in run(plant)] == ["new"]


def test_recordings_that_are_too_short_for_a_window_are_told(tmp_path: Path) -> None:
    folder = tmp_path / "short"
    folder.mkdir()
    for number in range(5):
        write_recording(folder / f"{number}.wav", ["hum"])
    text = PLANT.replace("file: FOLDER/pump.wav", f"folder: {folder}, existing: true, settled: 0.1")
    plant = tmp_path / "plant.yaml"
    plant.write_text(text.replace("64000", "64001").replace("FOLDER", str(tmp_path)))
    watching = Watch(read_plant(plant))
    try:
        with watching.running():
            while watching.status().sources[0].heard_s < 20:
                watching.step()
            watching.step()
            (machine,) = watching.status().machines
    finally:
        watching.close()
    assert "shorter than a window (4.00006 s)" in machine.notes[-1]
