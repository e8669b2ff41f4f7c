"""`aad watch`, `aad events`, `aad feedback` and `aad silence` on a plant that was watched."""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from audio_anomaly_detector.errors import Interrupted
from audio_anomaly_detector.monitor.plant import read_plant
from audio_anomaly_detector.monitor.watch import Watch
from command_line import Aad
from watched_plant import watched_plant


@pytest.fixture
def plant(learned_plant: Path, tmp_path: Path) -> Path:
    plant = shutil.copytree(learned_plant, tmp_path / "plant") / "plant.yaml"
    plant.write_text(plant.read_text().replace(str(learned_plant), str(plant.parent)))
    return plant


def told(plant: Path) -> dict[str, object]:
    return dict(json.loads((plant.parent / "told.json").read_text())[0])


def test_a_plant_is_checked_before_anything_starts(plant: Path, aad: Aad) -> None:
    result = aad("watch", plant, "--check")
    assert result.code == 0
    assert "source recorder: can be read" in result.out
    assert "machine pump-3: heard by recorder" in result.out
    (plant.parent / "pump.wav").unlink()
    result = aad("watch", plant, "--check")
    assert result.code == 1
    assert "source recorder: " in result.out
    assert "cannot be read" in result.out


def test_a_model_that_is_given_is_checked(plant: Path, aad: Aad) -> None:
    first, last = plant.read_text().split("    usable_minutes")
    plant.write_text(f"{first}    model: pump.pth\nalerts:{last.split('alerts:')[1]}")
    learned = plant.parent / "aad-data/machines/pump-3/models/0001-running.pth"
    result = aad("watch", plant, "--check")
    assert result.code == 1
    assert "machine pump-3: " in result.out
    assert "no such model file" in " ".join(result.out.split())
    shutil.copy(learned, plant.parent / "pump.pth")
    result = aad("watch", plant, "--check")
    assert result.code == 0
    said = " ".join(result.out.split())
    assert "machine pump-3: heard by recorder, given as " in said
    assert "1 microphone(s) at 16000 Hz, windows of 4 s" in said


def test_a_wrong_setting_is_named_with_its_line(plant: Path, aad: Aad) -> None:
    plant.write_text(plant.read_text().replace("hop_seconds", "hop"))
    result = aad("watch", plant)
    assert result.code == 2
    assert result.err.startswith(f"error: {plant}: line ")
    assert "unknown setting 'machines.pump-3.hop'; known here: preset" in result.err


def test_wrong_overrides_are_refused_before_anything_starts(plant: Path, aad: Aad) -> None:
    plant.write_text(
        plant.read_text().replace('overrides: ["', 'overrides: ["audio.nonsense=3", "')
    )
    result = aad("watch", plant, "--check")
    assert result.code == 2
    assert result.err.startswith(f"error: {plant}: line ")
    assert "machines.pump-3.overrides.1: unknown setting 'audio.nonsense'; known " in result.err


def test_data_that_cannot_be_written_is_a_failed_check(tmp_path: Path, aad: Aad) -> None:
    plant = watched_plant(tmp_path, ["hum"])
    assert aad("watch", plant, "--check").code == 0
    assert not (tmp_path / "aad-data").exists()
    (tmp_path / "aad-data").write_text("a file where the folder should be")
    result = aad("watch", plant, "--check")
    assert result.code == 1
    assert f"data: {tmp_path}/aad-data is a file; name another folder" in result.out.replace(
        "\n", " "
    )


def test_events_are_listed_with_the_time_of_the_site(plant: Path, aad: Aad) -> None:
    plant.write_text("time_zone: Asia/Kolkata\n" + plant.read_text())
    event = told(plant)
    result = aad("events", plant, "--since", "1000 weeks")
    assert result.code == 0
    first, *others = result.out.splitlines()
    local = time.strftime("%H:%M", time.gmtime(float(str(event["started"])) + 5.5 * 3600))
    assert local in first
    assert "notice  pump-3: sound, lasts" in first
    assert any(str(event["id"]) in line for line in others)
    assert json.loads(aad("events", plant, "--since", "1000 weeks", "--json").out) == [event]
    assert "no events" in aad("events", plant, "recorder", "--since", "1000 weeks").out
    assert "--since soon: write a number and a unit" in aad("events", plant, "--since", "soon").err


def test_events_of_a_name_that_is_not_there(plant: Path, aad: Aad) -> None:
    assert "no events within" in aad("events", plant, "recorder").out
    result = aad("events", plant, "pump-4")
    assert result.code == 2
    assert result.err.startswith("error: there is no 'pump-4'; there are: pump-3, recorder, ")
    assert json.loads(aad("events", plant, "pump-4", "--json").out) == []


def test_feedback_says_what_it_changes(plant: Path, aad: Aad) -> None:
    event = told(plant)["id"]
    tried = aad("feedback", plant, "pump-3", "--normal", event, "--try")
    assert tried.code == 0
    assert "join the normal sound" in tried.out
    assert aad("feedback", plant, "pump-3", "--normal", event).out == tried.out
    assert "back to version 1" in aad("feedback", plant, "pump-3", "--undo").out
    assert "kept as examples of a fault" in aad("feedback", plant, "pump-3", "--fault", event).out
    assert "a learning period begins" in aad("feedback", plant, "pump-3", "--maintained").out


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ((), "give one of --normal EVENT"),
        (("--undo", "--maintained"), "give one of --normal EVENT"),
        (("--undo", "--try"), "--try says what --normal would change"),
        (("--normal", "x"), "there is no event 'x' of the machine 'pump-3'"),
        (("--version", 7), "there is no version 7"),
    ],
)
def test_feedback_that_cannot_be(plant: Path, aad: Aad, options: tuple[str], says: str) -> None:
    result = aad("feedback", plant, "pump-3", *options)
    assert result.code == 2
    assert says in result.err


def test_silences_are_added_listed_and_ended(plant: Path, aad: Aad) -> None:
    assert "nothing is silenced" in aad("silence", plant).out
    added = aad("silence", plant, "pump-3", "--for", "8 h", "--reason", "new belt").out
    assert added.startswith("1: pump-3 until ")
    assert "new belt" in added
    assert "nothing is silenced" in aad("silence", plant, "--end", 1).out
    assert "there is no silence 1 that lasts" in aad("silence", plant, "--end", 1).err
    unknown = aad("silence", plant, "pump-4").err
    assert "there is no 'pump-4'; there are: pump-3, recorder" in unknown


def test_the_status_of_a_watch_that_has_ended_is_a_problem(plant: Path, aad: Aad) -> None:
    result = aad("watch", plant, "--status")
    assert result.code == 1
    assert "pump-3" in result.out
    assert "problem: the watch was ended" in result.out
    result = aad("watch", plant, "--status", "--json")
    facts = json.loads(result.out)
    assert facts["machines"][0]["phase"] == "usable"
    assert facts["problems"] == ["the watch was ended; start 'aad watch' again"]
    assert result.code == 1


def test_a_signal_while_it_starts_ends_it_in_order(
    plant: Path, aad: Aad, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise Interrupted(signal.SIGTERM)

    monkeypatch.setattr("audio_anomaly_detector.monitor.watch.Watch", interrupted)
    assert aad("watch", plant).code == 0


def test_a_second_watch_is_refused(plant: Path, aad: Aad) -> None:
    watching = Watch(read_plant(plant))
    try:
        with watching.held():
            program = [sys.executable, "-m", "audio_anomaly_detector", "watch", str(plant)]
            other = subprocess.run(program, capture_output=True, text=True, check=False)
    finally:
        watching.close()
    assert other.returncode == 2
    assert "another run" in other.stderr or "is being used" in other.stderr


def test_it_ends_by_itself_with_its_sources_and_logs_json(tmp_path: Path) -> None:
    plant = watched_plant(tmp_path, ["hum"] * 2)
    program = [sys.executable, "-m", "audio_anomaly_detector", "watch", str(plant)]
    run = subprocess.run(
        [*program, "--log", "json"], capture_output=True, text=True, check=False, timeout=120
    )
    assert run.returncode == 0
    lines = [json.loads(line) for line in run.stderr.splitlines()]
    assert "watching 1 machine through 1 source" in lines[0]["event"]
    assert lines[-1]["event"] == "every source has ended"
    assert all(line["level"] and line["timestamp"].endswith("Z") for line in lines)


def test_a_line_of_the_log_is_one_line_of_a_file(plant: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with log.open("w") as err:
        program = [sys.executable, "-m", "audio_anomaly_detector", "watch", str(plant)]
        subprocess.run(program, stdout=subprocess.DEVNULL, stderr=err, check=True, timeout=120)
    first, *_, last = log.read_text().splitlines()
    assert first.startswith("INFO     watching 1 machine through 1 source; what is found is kept")
    assert first.endswith(str(plant.parent / "aad-data"))
    assert last == "INFO     every source has ended"


def test_what_looks_like_the_name_of_an_emoji_is_shown_as_it_is(plant: Path, aad: Aad) -> None:
    plant.write_text(plant.read_text().replace("pump.wav", ":a:.wav"))
    assert ":a:.wav" in aad("watch", plant, "--check").out


@pytest.mark.parametrize("verb", ["watch", "events", "silence"])
def test_without_the_extra_it_says_what_to_install(
    plant: Path, aad: Aad, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    monkeypatch.setattr("audio_anomaly_detector.cli.plants.find_spec", lambda name: None)
    result = aad(verb, plant)
    assert result.code == 2
    assert "pip install 'audio-anomaly-detector[watch]'" in result.err
