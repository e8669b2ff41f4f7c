"""Microphones: found by name or USB id, recorded by a process that may hang or be cut.

The process is the real one; in sounddevice's place it imports a module of a few lines.
"""

import json
import re
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from audio_anomaly_detector.monitor.clock import SystemClock
from audio_anomaly_detector.monitor.sources.back_off import SupervisorConfig
from audio_anomaly_detector.monitor.sources.capture import find_device, usb_cards
from audio_anomaly_detector.monitor.sources.microphone import MicrophoneConfig
from audio_anomaly_detector.monitor.sources.source import Connection, SourceError
from audio_anomaly_detector.monitor.sources.supervisor import Supervisor

DEVICES: list[dict[str, Any]] = [
    {"name": "HDA Intel: ALC (hw:0,0)", "max_input_channels": 0, "default_samplerate": 48000.0},
    {"name": "USB PnP: Audio (hw:1,0)", "max_input_channels": 1, "default_samplerate": 44100.0},
    {"name": "UMC404: Audio (hw:2,0)", "max_input_channels": 4, "default_samplerate": 8000.0},
]

# What it does is in a file beside it, which a test changes as a device is plugged in and out.
FAKE = """
import json, pathlib, threading, time
STATE = json.loads(pathlib.Path(__file__).with_name("state.json").read_text())

def query_devices():
    return STATE["devices"]

class Status:
    input_overflow = False

class RawInputStream:
    def __init__(self, samplerate, blocksize, device, channels, dtype, callback):
        if channels > STATE["devices"][device]["max_input_channels"]:
            raise ValueError("Invalid number of channels")
        if STATE["does"] == "hangs":
            time.sleep(600)
        self.data = bytes(range(4)) * (blocksize * channels)
        self.size, self.callback = blocksize, callback
    def __enter__(self):
        threading.Thread(target=self.record, daemon=True).start()
    def __exit__(self, *_):
        pass
    def record(self):
        for number in range(1_000_000):
            status = Status()
            status.input_overflow = STATE["does"] == "overflows" and number == 1
            self.callback(memoryview(self.data), self.size, None, status)
            if number == 2 and STATE["does"] == "goes silent":
                time.sleep(600)
            time.sleep(0.02)
"""


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "sounddevice.py").write_text(FAKE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    does(tmp_path, "works")
    return tmp_path


def does(fake: Path, what: str, devices: list[dict[str, Any]] = DEVICES) -> None:
    (fake / "state.json").write_text(json.dumps({"does": what, "devices": devices}))


def opened(name: str, **settings: object) -> Connection:
    config = MicrophoneConfig.model_validate({"microphone": name, **settings})
    return config.make().open()


USB = {"0d8c:0014": [1], "1397:0509": [2]}


@pytest.mark.parametrize(
    "wanted, place",
    [("USB PnP: Audio (hw:1,0)", 1), ("umc404", 2), ("0D8C:0014", 1), ("1397:0509", 2)],
)
def test_devices_are_found_by_name_and_usb_id(wanted: str, place: int) -> None:
    assert find_device(wanted, DEVICES, USB) == (place, "")


@pytest.mark.parametrize(
    "wanted, message",
    [
        ("audio", r"2 sound inputs fit 'audio': 'USB PnP: Audio \(hw:1,0\)', 'UMC404"),
        ("HDA", "no sound input fits 'HDA'; there are: 'USB PnP"),
        ("ffff:0001", "no sound input fits 'ffff:0001'; there are: .*, USB 0d8c:0014"),
    ],
)
def test_devices_that_are_not_there_or_not_one(wanted: str, message: str) -> None:
    place, problem = find_device(wanted, DEVICES, USB)
    assert place == -1
    assert re.match(message, problem)
    assert find_device("x", DEVICES[:1], {})[1].startswith("there is no sound input")


def test_a_card_that_has_another_number_after_a_start_is_found(tmp_path: Path) -> None:
    for card, usb in ((2, "0d8c:0014\n"), (10, "1397:0509\n")):
        (tmp_path / f"card{card}").mkdir()
        (tmp_path / f"card{card}/usbid").write_text(usb)
    (tmp_path / "card0").mkdir()  # not on USB
    assert usb_cards(tmp_path) == {"0d8c:0014": [2], "1397:0509": [10]}
    moved = [*DEVICES[:1], {**DEVICES[1], "name": "USB PnP: Audio (hw:2,0)"}]
    assert find_device("0d8c:0014", moved, usb_cards(tmp_path)) == (1, "")


@pytest.mark.parametrize("name", ["1", "hw:1,0", "plughw:0"])
def test_numbers_of_devices_are_refused(name: str) -> None:
    with pytest.raises(ValidationError, match="numbers of devices change"):
        MicrophoneConfig(microphone=name)


def test_sound_at_the_rate_of_the_device(fake: Path) -> None:
    connection = opened("UMC404", channels=2)
    assert (connection.sample_rate, connection.channels) == (8000, 2)
    received = connection.read()
    assert received is not None
    assert received.samples.shape == (2, 800)
    value = np.frombuffer(bytes(range(4)), "<f4")[0]
    assert (received.samples == value).all()
    assert received.lost == 0
    connection.close()
    assert connection.read() is None


def test_overflows_are_counted(fake: Path) -> None:
    does(fake, "overflows")
    connection = opened("UMC404")
    losses = []
    for _ in range(4):
        received = connection.read()
        assert received is not None
        losses.append(received.lost)
    connection.close()
    assert losses == [0, 1, 0, 0]


@pytest.mark.parametrize(
    "name, settings, message",
    [
        ("none", {}, "microphone none: exit status 1: no sound input fits 'none'"),
        ("UMC404", {"channels": 8}, "cannot record 8 of its 4 channels at 8000 Hz: Invalid number"),
    ],
)
def test_why_it_cannot_record(
    fake: Path, name: str, settings: dict[str, int], message: str
) -> None:
    with pytest.raises(SourceError, match=message):
        opened(name, **settings)


def test_without_sounddevice(fake: Path) -> None:
    (fake / "sounddevice.py").write_text("raise ImportError('no PortAudio')")
    with pytest.raises(SourceError, match=r"no PortAudio\); pip install"):
        opened("UMC404")


def test_a_device_that_is_unplugged_and_plugged_in_is_heard_again(fake: Path) -> None:
    """It goes silent without an error, as USB devices do; then it is not there; then it is."""
    does(fake, "goes silent")
    settings = SupervisorConfig.model_construct(
        stale_after=0.7, first_pause=0.05, longest_pause=0.2, longest_pause_unseen=0.2
    )
    kinds: set[str] = set()
    changed = threading.Condition()
    heard = [0]

    def on_chunk(*_: object) -> None:
        with changed:
            heard[0] += 1
            changed.notify_all()

    def on_faults(_: str, faults: object) -> None:
        with changed:
            kinds.update(faults)  # type: ignore[call-overload]
            changed.notify_all()

    source = MicrophoneConfig(microphone="UMC404").make()
    supervisor = Supervisor("usb", source, SystemClock(), on_chunk, on_faults, settings)
    supervisor.start()
    with changed:
        assert changed.wait_for(lambda: "stale" in kinds, 60)
        does(fake, "works", DEVICES[:2])
        assert changed.wait_for(lambda: "unreachable" in kinds, 60)
        does(fake, "works", [*DEVICES[1:], DEVICES[0]])
        before = heard[0]
        assert changed.wait_for(lambda: heard[0] > before + 20, 60)
    supervisor.stop()


def test_the_recording_process_imports_nothing_of_this_package() -> None:
    from audio_anomaly_detector.monitor.sources import capture

    text = Path(capture.__file__).read_text(encoding="utf-8")
    assert "import audio_anomaly_detector" not in text
    assert "from audio_anomaly_detector" not in text
