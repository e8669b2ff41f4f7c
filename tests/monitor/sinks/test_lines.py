"""JSON lines on standard output."""

import io
import json
import sys

import pytest

from audio_anomaly_detector.monitor.sinks.lines import LinesConfig
from audio_anomaly_detector.monitor.sinks.sink import SinkError, Site
from audio_anomaly_detector.settings import validated
from monitor.told_events import event

SITE = Site("Plant", "UTC")


def test_one_line_for_each_event(capsys: pytest.CaptureFixture[str]) -> None:
    sink = validated(LinesConfig, {"lines": "-"}).make(SITE)
    for number, name in enumerate(["pump-3", "a\nb\u2028c\udcff"]):
        sink.send(event(number, name=name).to_dict(), f"event-{number}:0")
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["key"] for line in lines] == ["event-0:0", "event-1:0"]
    assert lines[1]["name"] == "a\nb\u2028c\udcff"


class _Full(io.StringIO):
    def flush(self) -> None:
        raise BrokenPipeError("Broken pipe")


@pytest.mark.parametrize("closed", [True, False])
def test_a_reader_that_is_gone(closed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    out = _Full()
    if closed:
        io.StringIO.close(out)
    monkeypatch.setattr(sys, "stdout", out)
    with pytest.raises(SinkError, match="standard output cannot be written"):
        validated(LinesConfig, {"lines": "-"}).make(SITE).send(event().to_dict(), "event-0:0")
    monkeypatch.undo()
