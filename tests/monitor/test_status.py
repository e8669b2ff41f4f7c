"""The status of a watch: written, read, and as figures of Prometheus."""

from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from audio_anomaly_detector.errors import UserError
from audio_anomaly_detector.monitor.metrics import StatusCollector
from audio_anomaly_detector.monitor.status import (
    MachineLine,
    SourceLine,
    Status,
    read_status,
    write_status,
)

STATUS = Status(
    at=1000.0,
    started=0.0,
    sources=(
        SourceLine("yard", "running", 900.0, 1.5, 2, 0.5, ("it is silent",)),
        SourceLine("nas", "waiting", 10.0, 0.0, 0, None),
    ),
    machines=(MachineLine("pump-3", "yard", "full", "running", 2, 0.25, event="warning"),),
    windows=450,
    unjudged=3,
    delay_s=(0.1, 0.4),
    events={"warning": 2},
    waiting={"mail": 4},
    failures={"mail": 1},
)


def text(status: Status, names_up_to: int = 50) -> str:
    registry = CollectorRegistry()
    registry.register(StatusCollector(lambda: status, names_up_to))
    return generate_latest(registry).decode()


def test_a_status_is_read_as_it_was_written(tmp_path: Path) -> None:
    write_status(tmp_path, STATUS)
    assert read_status(tmp_path) == STATUS


def test_a_missing_and_a_damaged_status_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="start 'aad watch' first"):
        read_status(tmp_path)
    (tmp_path / "status.json").write_text('{"at": 1}')
    with pytest.raises(UserError, match="no status of this version"):
        read_status(tmp_path)


def test_a_status_of_another_user_is_not_called_damaged(tmp_path: Path) -> None:
    (tmp_path / "status.json").mkdir()  # the system refuses to read it, also to root
    with pytest.raises(UserError, match=r"status\.json: cannot be read \("):
        read_status(tmp_path)


def test_problems_are_faults_waiting_notifications_and_no_sign_of_life() -> None:
    problems = STATUS.problems(1001, held=True)
    assert problems == ["source yard: it is silent", "4 notifications wait for mail"]
    assert "no sign of life" in STATUS.problems(1100, held=False)[0]
    assert "runs, but has written no status for 100 s" in STATUS.problems(1100, held=True)[0]
    well = replace(STATUS, sources=STATUS.sources[1:], waiting={"mail": 0})
    assert well.problems(1001, held=True) == []


def test_metrics_have_base_units_and_name_few_sources() -> None:
    lines = text(STATUS).splitlines()
    assert 'aad_sound_heard_seconds_total{source="yard"} 900.0' in lines
    assert 'aad_score_over_threshold{machine="pump-3"} 0.25' in lines
    assert 'aad_events_total{level="warning"} 2.0' in lines
    assert 'aad_notifications_waiting{sink="mail"} 4.0' in lines
    assert "aad_sources_faulty 1.0" in lines


def test_many_sources_have_no_label_each() -> None:
    told = text(STATUS, names_up_to=0)
    assert "yard" not in told
    assert "pump-3" not in told
    assert "aad_sound_heard_seconds_total 910.0" in told.splitlines()
