"""Which events a sink wants."""

from dataclasses import replace

import pytest

from audio_anomaly_detector.monitor.sinks.lines import LinesConfig
from audio_anomaly_detector.settings import validated
from monitor.told_events import ended, event

WARNING = event()
ALARM = replace(WARNING, phase="update", level="alarm")
OF_SOURCE = replace(WARNING, subject="source")


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [
        ({}, [WARNING, ALARM, ended(WARNING), OF_SOURCE]),
        ({"level": "alarm"}, [ALARM]),
        ({"ends": False}, [WARNING, ALARM, OF_SOURCE]),
        ({"subjects": ["machine"]}, [WARNING, ALARM, ended(WARNING)]),
    ],
)
def test_events_that_a_sink_wants(settings: dict[str, object], wanted: list[object]) -> None:
    config = validated(LinesConfig, {"lines": "-", **settings})
    told = [WARNING, ALARM, ended(WARNING), OF_SOURCE]
    assert [one for one in told if config.wants(one.to_dict())] == wanted
