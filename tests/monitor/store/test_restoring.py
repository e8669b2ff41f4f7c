"""A state that was damaged does not keep a watch from starting."""

import logging

import pytest

from audio_anomaly_detector.monitor.store.restoring import restored
from audio_anomaly_detector.monitor.tracker import TrackerState

NEW = TrackerState("pump-3")
SAVED = TrackerState("pump-3", calm=30.0, count=4)


def test_a_state_comes_back_or_begins_anew() -> None:
    states = {"machine:pump-3": SAVED.to_dict()}
    assert restored(states, "machine:pump-3", NEW) == SAVED
    assert restored(states, "machine:fan-1", NEW) is NEW


def test_a_damaged_state_begins_anew_and_is_named(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        assert restored({"machine:pump-3": {"calm": 30.0}}, "machine:pump-3", NEW) is NEW
    assert "machine:pump-3: " in caplog.text
    assert "it begins anew" in caplog.text
