"""The file of a plant: what it may say, and how it is told what is wrong with it."""

from pathlib import Path

import pytest

from audio_anomaly_detector.errors import UserError
from audio_anomaly_detector.monitor.plant import Plant, read_plant
from audio_anomaly_detector.monitor.sinks.webhook import WebhookConfig
from audio_anomaly_detector.monitor.sources.ffmpeg import FfmpegConfig
from audio_anomaly_detector.monitor.sources.files import FolderConfig

SMALL = """
sources:
  yard: {url: "rtsp://watch:secret@10.0.0.7/live"}
machines:
  pump-3: {source: yard}
"""


def read(folder: Path, text: str) -> Plant:
    file = folder / "plant.yaml"
    file.write_text(text, encoding="utf-8")
    return read_plant(file)


def test_a_few_lines_are_enough(tmp_path: Path) -> None:
    plant = read(tmp_path, SMALL)
    assert isinstance(plant.sources["yard"], FfmpegConfig)
    assert plant.machines["pump-3"].preset == "instant"
    assert plant.data == tmp_path / "aad-data"
    assert plant.store_url == tmp_path / "aad-data/events.db"
    assert plant.sink_names == []


def test_everything_can_be_said(tmp_path: Path) -> None:
    plant = read(
        tmp_path,
        """
site: Halle 3
time_zone: Europe/Berlin
data: /var/lib/aad
sources:
  hof: {url: "rtsp://10.0.0.7/live"}
  Ablage: {folder: /mnt/nas, polling: true}
machines:
  Pumpe 3: {source: hof, hop_seconds: 1, rpm: 1480}
  Lüfter: {source: Ablage, preset: small}
alerts: {needed: 3, of: 5}
sinks:
  - {webhook: "https://example.org/hook", secret: s3cret, level: alarm}
  - {lines: "-"}
metrics: {port: 9464}
""",
    )
    assert isinstance(plant.sources["Ablage"], FolderConfig)
    assert isinstance(plant.sinks[0], WebhookConfig)
    assert plant.sink_names == ["webhook", "lines"]
    assert plant.data == Path("/var/lib/aad")


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    folder = tmp_path / "hall"
    folder.mkdir()
    text = """
sources:
  a: {file: a.wav}
  b: {folder: ../recordings}
  c: {raw: pipe, rate: 8000}
  d: {raw: "-", rate: 8000}
  e: {file: /srv/e.wav}
machines: {pump-3: {source: a}}
"""
    sources = read(folder, text).sources
    assert [getattr(sources[name], "file", None) for name in "ae"] == [
        folder / "a.wav",
        Path("/srv/e.wav"),
    ]
    assert getattr(sources["b"], "folder", None) == folder / "../recordings"
    assert [getattr(sources[name], "raw", None) for name in "cd"] == [str(folder / "pipe"), "-"]


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("{source: yard}", "{source: yrad}", "the source 'yrad' of the machine 'pump-3' is not "
         "described; there are: yard"),
        ("{source: yard}", "{source: yard, hop: 2}", "line 5: unknown setting "
         "'machines.pump-3.hop'; known here: preset"),
        ("url:", "raw: '-', url:", "line 3: sources.yard: give one of: microphone"),
        ("url: ", "rate: 'http://a:secret@b', url: ", "line 3: sources.yard.rate: Input should be "
         "a valid integer"),
        ("url:", "uri:", "line 3: sources.yard: give one of: microphone"),
        ("url:", "gain: 3, url:", "line 3: unknown setting 'sources.yard.gain'; known here: url"),
        ("pump-3:", "../etc:", "line 5: machines.../etc: String should match pattern"),
        ("machines:", "time_zone: CEST+1\nmachines:", "line 4: time_zone: is no time zone; write "
         "such as Europe/Berlin"),
        ("machines:", "sinks: [{mail: x}]\nmachines:", "line 4: sinks.1: give one of: mqtt, "),
        ("machines:", "sinks: [{lines: '-'}, {lines: '-'}]\nmachines:", "two sinks are called "
         "'lines'; give each a `name` of its own"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(tmp_path: Path, old: str, new: str, says: str) -> None:
    with pytest.raises(UserError) as raised:
        read(tmp_path, SMALL.replace(old, new, 1))
    assert says in str(raised.value)
    assert "\n" not in str(raised.value)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    "text",
    [
        SMALL.replace("url", "uri"),
        SMALL.replace("url", "raw: 3, url"),
        SMALL.replace("machines:", "sinks: [{webhook: 'secret.example.org'}]\nmachines:"),
        SMALL.replace("machines:", "sinks: [{webhook: {secret: 1}}]\nmachines:"),
        SMALL.replace("machines:", "store: [postgresql://a:secret@b/c]\nmachines:"),
    ],
)
def test_passwords_are_not_in_messages(tmp_path: Path, text: str) -> None:
    with pytest.raises(UserError) as raised:
        read(tmp_path, text)
    assert "secret" not in str(raised.value)
