"""Every kind of source from plain data."""

import pytest
from pydantic import BaseModel

from audio_anomaly_detector.errors import without_passwords
from audio_anomaly_detector.monitor.sources import SOURCES

EXAMPLES: dict[str, dict[str, object]] = {
    "microphone": {"microphone": "UMC404"},
    "url": {"url": "rtsp://host/path"},
    "input": {"input": "hw:CARD=Mic", "arguments": ["-f", "alsa"]},
    "folder": {"folder": "recordings"},
    "file": {"file": "a.wav"},
    "raw": {"raw": "-", "rate": 16_000},
    "mqtt": {"mqtt": "mqtt://host", "topic": "sound", "rate": 16_000},
}


@pytest.mark.parametrize("key", SOURCES)
def test_each_kind_can_be_made_without_reaching_it(key: str) -> None:
    source = SOURCES[key].model_validate(EXAMPLES[key]).make()
    assert source.live == (key not in ("folder", "file"))


@pytest.mark.parametrize("config", dict.fromkeys(SOURCES.values()))
def test_every_setting_is_described_and_no_other_is_taken(config: type[BaseModel]) -> None:
    assert all(field.description for field in config.model_fields.values())
    assert config.model_config["extra"] == "forbid"
    assert config.model_config["frozen"]


@pytest.mark.parametrize(
    "text, shown",
    [
        ("rtsp://me:s3cret@cam:554/a", "rtsp://me:***@cam:554/a"),
        ("at http://me:s3@cret@cam/a and b", "at http://me:***@cam/a and b"),
        ("http://cam/a?user=me&password=s3cret&x=1", "http://cam/a?user=me&password=***&x=1"),
        ("https://cam/a?access_token=s3cret", "https://cam/a?access_token=***"),
        ("https://cam/a?token=s3:cret: lost", "https://cam/a?token=***: lost"),
        ("http://cam:8080/a@b", "http://cam:8080/a@b"),
        ("no address: at 12:30 @home", "no address: at 12:30 @home"),
        ("mqtt://:s3cret@host", "mqtt://:***@host"),
        ("rtsp://me:s3/c#r?e:t@cam/a: no", "rtsp://me:***@cam/a: no"),
        ("http://cam:8080/?mail=a@b", "http://cam:8080/?mail=a@b"),
    ],
)
def test_passwords_of_addresses_are_not_shown(text: str, shown: str) -> None:
    assert without_passwords(text) == shown
