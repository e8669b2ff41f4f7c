"""The file of a plant: what it may say, and how it is told what is wrong with it."""

import copy
import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml

from audio_anomaly_detector.errors import UserError
from audio_anomaly_detector.monitor.plant import MachineSettings, Plant, read_plant
from audio_anomaly_detector.monitor.sinks import SINKS
from audio_anomaly_detector.monitor.sinks.webhook import WebhookConfig
from audio_anomaly_detector.monitor.sources import SOURCES
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
machines: {pump-3: {source: a, model: ../runs/pump}, fan-1: {source: a, model: /srv/fan.pth}}
"""
    plant = read(folder, text)
    assert plant.machines["pump-3"].model == folder / "../runs/pump"
    assert plant.machines["fan-1"].model == Path("/srv/fan.pth")
    sources = plant.sources
    assert [getattr(sources[name], "file", None) for name in "ae"] == [
        folder / "a.wav",
        Path("/srv/e.wav"),
    ]
    assert getattr(sources["b"], "folder", None) == folder / "../recordings"
    assert [getattr(sources[name], "raw", None) for name in "cd"] == [str(folder / "pipe"), "-"]


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("{source: yard}", "{source: yrad}", "line 5: machines.pump-3.source: the source 'yrad' "
         "is not described; write one that is, such as yard"),
        ("{source: yard}", "{source: yard, hop: 2}", "line 5: unknown setting "
         "'machines.pump-3.hop'; known here: preset"),
        ("url:", "raw: '-', url:", "line 3: sources.yard: must be a section with exactly "
         "one of: microphone"),
        ("url: ", "rate: 'http://a:secret@b', url: ", "line 3: sources.yard.rate: must be a whole "
         "number (it is 'http://a:***@b'); meaning: in Hz"),
        ("url:", "uri:", "line 3: sources.yard: must be a section with exactly "
         "one of: microphone"),
        ("url:", "gain: 3, url:", "line 3: unknown setting 'sources.yard.gain'; known here: url"),
        ("pump-3:", "../etc:", "line 5: machines.../etc: is no name: begin with a letter or "),
        ("machines:", "time_zone: CEST+1\nmachines:", "line 4: time_zone: is no time zone; write "
         "such as Europe/Berlin"),
        ("machines:", "sinks: [{mail: x}]\nmachines:", "line 4: sinks.1: must be a section with "
         "exactly one of: mqtt, "),
        ("machines:", "sinks:\n- lines: '-'\n- lines: '-'\nmachines:", "line 6: sinks.2: the "
         "sink 1 is called 'lines', too; give each a `name` of its own"),
        ("machines:", "alerts:\n  of: 9\n  needed: 10\nmachines:", "line 6: alerts.needed: needed "
         "10 of 9 windows cannot be; raise `of`"),
        ("machines:", "store: mysql://a:secret@b/c\nmachines:", "line 4: store: a store of the "
         "kind 'mysql' is not known; give a path, sqlite:///PATH or postgresql://"),
        ("machines:", "  p: {raw: '-', rate: 8000}\n  q: {raw: '-', rate: 8000}\nmachines:",
         "line 5: sources.q.raw: the source 'p' reads '-' already, and each would get a part of "
         "the sound; let machines share one source"),
        ("machines:", "  p: {mqtt: host, topic: t}\nmachines:", "line 4: sources.p: raw MQTT "
         "payloads need a 'rate' in Hz, or give 'payload: file'"),
        ("machines:", "  p: {mqtt: 'http://a:secret@b', topic: t, rate: 8000}\nmachines:",
         "line 4: sources.p.mqtt: http://a:***@b: is no address of an MQTT broker; write mqtt://"),
        ("pump-3:", "Pump-3: {source: yard}\n  pump-3:", "line 6: machines.pump-3: differs from "
         "'Pump-3' in the case of letters only, and folders of both would be one"),
        ("pump-3:", "a\u0308: {source: yard}\n  \u00e4:", "line 6: machines.\u00e4: differs from "),
        ("{source: yard}", "{source: yard, overrides: [audio.level=equalised, audio.nonsense=3]}",
         "line 5: machines.pump-3.overrides.2: unknown setting 'audio.nonsense'; known here"),
        ("{source: yard}", "\n    source: yard\n    preset: small\n    model: fan.pth", "line 7: "
         "machines.pump-3.preset: the one that `model` names has settings of its own; remove"),
        ("{source: yard}", "\n    source: yard\n    model: fan.pth\n    channels: 0", "line 8: "
         "machines.pump-3.channels: the one that `model` names"),
        ("{source: yard}", "{source: yard, preset: small, overrides: [logmel.n_mels=64]}",
         "line 5: machines.pump-3.overrides"),
        ("{source: yard}", "{source: yard, overrides: [], model: fan.pth}", "line 5: "
         "machines.pump-3.overrides: the one that `model` names"),
        ("{source: yard}", "\n    source: yard\n    overrides:\n    - scoring.views=0\n"
         "    - audio.length=3", "line 9: machines.pump-3.overrides.2: setting 'audio.length' = 3: "
         "must be at least 1024"),
        ("{source: yard}", "\n    source: yard\n    overrides: [signals.envelope_hop_s=0.00001, "
         "audio.length=16000000]", "line 7: machines.pump-3.overrides: signals.envelope_frame_s"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(tmp_path: Path, old: str, new: str, says: str) -> None:
    with pytest.raises(UserError) as raised:
        read(tmp_path, SMALL.replace(old, new, 1))
    assert says in str(raised.value)
    assert "\n" not in str(raised.value)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("name", ["3", "on", "P", "Lüfter 2", "ventilateur_n.1+2", "पंप", "x" * 63])
def test_names_of_every_language(tmp_path: Path, name: str) -> None:
    assert list(read(tmp_path, SMALL.replace("pump-3", name)).machines) == [name]


@pytest.mark.parametrize(
    "name", ["CON", "nul.txt", "com1", "lpt³.a", "aux .b", "'pump '", "pump.", "''", ".x", "x" * 64]
)
@pytest.mark.parametrize("of", ["pump-3", "yard"])
def test_names_that_some_file_system_does_not_take(tmp_path: Path, name: str, of: str) -> None:
    with pytest.raises(
        UserError, match=r"line [35]: (machines|sources)\..* (is no name|no folder)"
    ):
        read(tmp_path, SMALL.replace(f"{of}:", f"{name}:"))


def test_names_that_only_begin_like_a_reserved_one(tmp_path: Path) -> None:
    for name in ("console", "com", "com10", "aux-pump", "lpt1-press"):
        assert list(read(tmp_path, SMALL.replace("pump-3", name)).machines) == [name]


def test_time_zones_in_other_letters(tmp_path: Path) -> None:
    assert read(tmp_path, "time_zone: europe/berlin\n" + SMALL).time_zone == "Europe/Berlin"


@pytest.mark.parametrize(
    ("store", "is_read_as"),
    [
        ("kept/events.db", "FOLDER/kept/events.db"),
        ("sqlite:///events.db", "FOLDER/events.db"),
        ("sqlite:////srv/events.db", "/srv/events.db"),
        ("postgresql://a:b@c/d", "postgresql://a:b@c/d"),
    ],
)
def test_the_path_of_a_store_is_relative_to_the_file(
    tmp_path: Path, store: str, is_read_as: str
) -> None:
    url = read(tmp_path, f"store: {store}\n" + SMALL).store_url
    assert url == is_read_as.replace("FOLDER", str(tmp_path))


def test_overrides_that_are_right_only_together(tmp_path: Path) -> None:
    overrides = "overrides: [logmel.sample_rate=8000, audio.sample_rate=8000, audio.length=9]"
    with pytest.raises(UserError, match=r"overrides\.3: setting 'audio\.length' = 9: "):
        read(tmp_path, SMALL.replace("yard}", f"yard, {overrides}}}"))
    plant = read(tmp_path, SMALL.replace("yard}", f"yard, {overrides.replace('=9', '=80000')}}}"))
    assert plant.machines["pump-3"].detector_config().logmel.sample_rate == 8000


def test_of_a_thousand_sources_the_nearest_are_named(tmp_path: Path) -> None:
    sources = "".join(f"  s{number}: {{file: a.wav}}\n" for number in range(1000))
    with pytest.raises(UserError, match=r"such as s123, \w+, \w+, \w+, \w+$"):
        read(tmp_path, f"sources:\n{sources}machines:\n  p: {{source: S123}}\n")


# Some setting of every section, with all that it needs.
WHOLE: dict[str, Any] = {
    "sources": {
        "a": {"microphone": "UMC404"},
        "b": {"url": "rtsp://host"},
        "c": {"folder": "x"},
        "d": {"raw": "-", "rate": 8000},
        "e": {"mqtt": "host", "topic": "t", "rate": 8000},
    },
    "machines": {"m": {"source": "a"}},
    "alerts": {},
    "source_alerts": {},
    "connections": {},
    "clips": {},
    "sinks": [
        {"mqtt": "host"},
        {"webhook": "http://host"},
        {"notify": "json://host"},
        {"lines": "-"},
        {"command": ["cat"]},
    ],
    "delivery": {},
    "metrics": {},
}
WRONG = ["", None, "x: y", True, -1, 0, 0.5, 1e30, float("nan"), [], ["x"], {}, {"x": 1}, date.min]
PYDANTIC = re.compile("Input|should|valid |String|Value error")


def settings_of(section: dict[str, Any], path: tuple[str | int, ...]) -> Iterator[tuple[Any, ...]]:
    """Where every setting stands that a plant can have."""
    kind: Any = Plant
    if path:
        known = {"sources": SOURCES, "sinks": SINKS}.get(str(path[0]), {})
        kinds = [known[key] for key in section if key in known]
        kind = kinds[0] if kinds else Plant.model_fields[str(path[0])].annotation
        kind = MachineSettings if path[0] == "machines" else kind
    for name in kind.model_fields:
        yield (*path, name)
        below = section.get(name) if not path else None
        if isinstance(below, dict) and name in ("sources", "machines"):
            for key in below:
                yield from settings_of(below[key], (name, key))
        elif isinstance(below, dict):
            yield from settings_of(below, (name,))
        elif isinstance(below, list):
            for number, one in enumerate(below):
                yield from settings_of(one, (name, number))


@pytest.mark.parametrize("place", list(settings_of(WHOLE, ())), ids=str)
def test_whatever_is_wrong_is_said_in_plain_words(tmp_path: Path, place: tuple[Any, ...]) -> None:
    refused = 0
    for wrong in WRONG:
        needed = ("sources", "machines", place[0])
        tree = copy.deepcopy({key: value for key, value in WHOLE.items() if key in needed})
        at: Any = tree
        for part in place[:-1]:
            at = at[part]
        at[place[-1]] = wrong
        try:
            read(tmp_path, yaml.safe_dump(tree))
        except UserError as error:
            said = str(error).removeprefix(str(tmp_path / "plant.yaml"))
            assert re.match(r": line \d+: ", said), said
            assert not PYDANTIC.search(said), said
            assert "\n" not in said
            refused += 1
    assert refused > len(WRONG) / 3


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
