"""Weeks of a watched machine, from scores that are made up."""

from pathlib import Path

import numpy as np
import pytest

from audio_anomaly_detector.benchmark import watched_machines
from audio_anomaly_detector.benchmark.alert_pages import PAGE, simulate, write_pages
from audio_anomaly_detector.benchmark.disturbances import DISTURBANCES
from audio_anomaly_detector.benchmark.watched_machines import (
    FAULT,
    LEARNED,
    NORMAL,
    Line,
    Piece,
    WatchedMachine,
    pieces_of,
)
from audio_anomaly_detector.benchmark.watched_weeks import (
    EPISODES,
    Thresholds,
    detection,
    draw_fault,
    draw_weeks,
    told_without_fault,
)
from audio_anomaly_detector.monitor.alert_config import AlertConfig

RULES = AlertConfig()
THRESHOLDS = Thresholds(2.0, 3.0, tentative=False)
RATE = 16_000


def piece(level: float, windows: int = 3, p_recording: float = 0.5, kind: str = "") -> Piece:
    """Windows about a level, of which none reaches another threshold by chance."""
    scores = level + 0.1 * np.random.default_rng(0).standard_normal(windows)
    return Piece(scores, np.full(windows, p_recording), np.zeros(windows, bool), 1.0, kind)


def healthy(**others: Piece) -> dict[str, list[Piece]]:
    """Disturbances that change nothing, but for those given."""
    normal = [piece(level) for level in np.linspace(-0.2, 0.2, 20)]
    disturbed = {name: [piece(0.0)] for name in DISTURBANCES}
    return {NORMAL: normal, **disturbed, **{name: [of] for name, of in others.items()}}


def test_every_episode_is_of_sounds_that_there_are() -> None:
    used = {sound for episode in EPISODES.values() for sound in episode.sounds}
    assert used == set(DISTURBANCES)


@pytest.mark.parametrize("name", DISTURBANCES)
def test_disturbances_are_heard_and_finite(name: str) -> None:
    recording = 0.01 * np.random.default_rng(1).standard_normal((1, 10 * RATE))
    disturbed = DISTURBANCES[name](recording, np.random.default_rng(2), RATE)
    assert disturbed.shape == recording.shape
    assert np.isfinite(disturbed).all()
    change = np.sqrt(np.mean((disturbed - recording) ** 2)) / np.sqrt(np.mean(recording**2))
    assert 0.2 < change < 1.2


def test_nothing_is_told_of_a_healthy_machine_that_nothing_disturbs() -> None:
    course = draw_weeks(healthy(), 1, np.random.default_rng(0))
    assert len(course.scores) == 60_480
    assert told_without_fault(course, THRESHOLDS, RULES) == []


def test_rain_without_a_change_of_the_floor_is_a_false_alarm_and_with_it_a_notice() -> None:
    rng = np.random.default_rng(0)
    rules = RULES.model_copy(update={"alarm_after": 600})
    course = draw_weeks(healthy(rain=piece(4.0)), 1, rng)
    assert told_without_fault(course, THRESHOLDS, rules) == [("alarm", "rain of about an hour")]
    course = draw_weeks(healthy(rain=piece(4.0, p_recording=0.001)), 1, rng)
    assert told_without_fault(course, THRESHOLDS, rules) == [("notice", "rain of about an hour")]


def test_talk_lasts_two_minutes_in_the_mean() -> None:
    course = draw_weeks(healthy(), 10, np.random.default_rng(0))
    windows = np.count_nonzero(course.causes == "talk of some minutes")
    assert 100 * 10 < windows < 100 * 14, "a hundred talks, some of them at once with others"


def test_a_fault_is_told_after_as_many_windows_as_are_needed() -> None:
    normal, rng = healthy()[NORMAL], np.random.default_rng(0)
    clear = draw_fault(normal, piece(4.0, windows=5), rng)
    when = detection(clear, THRESHOLDS, RULES)
    assert when.notice == RULES.needed
    assert when.warning == RULES.needed + RULES.warning_after / 10
    assert when.alarm == RULES.needed + RULES.alarm_after / 10
    warning = draw_fault(normal, piece(2.5, windows=5), rng)
    assert detection(warning, THRESHOLDS, RULES) == (*when[:2], None)
    hidden = draw_fault(normal, piece(0.0, windows=5), rng)
    assert detection(hidden, THRESHOLDS, RULES) == (None, None, None)
    doubted = detection(
        draw_fault(normal, piece(4.0, windows=5, p_recording=0.001), rng), THRESHOLDS, RULES
    )
    assert doubted.notice == RULES.needed
    assert doubted.warning is not None
    assert doubted.warning * 10 >= RULES.lasting


def test_scores_in_the_tail_are_rarer_the_higher_they_are() -> None:
    pieces = [piece(level) for level in np.random.default_rng(3).normal(0, 0.3, 40)]
    highest = max(of.scores.mean() for of in pieces)
    course = draw_weeks({**healthy(), NORMAL: pieces}, 1, np.random.default_rng(0))
    means = course.scores.reshape(-1, 3).mean(axis=1)
    assert 1e-3 < np.mean(means > highest) < 0.05
    assert np.mean(means > highest + 0.3) < np.mean(means > highest)


def lines() -> list[Line]:
    return [
        Line("fan-00", learned, sound, of.kind, number, score, 0.5, "anomalous", 2.0, 3.0)
        for learned in LEARNED
        for sound, pieces in {**healthy(), FAULT: [piece(4.0, 5, kind="bearing")]}.items()
        for number, of in enumerate(pieces)
        for score in of.scores
    ]


def test_the_page_has_what_was_simulated(tmp_path: Path) -> None:
    outcomes = list(simulate(lines(), 1, 0, RULES))
    write_pages(outcomes, tmp_path, "aad alerts --machines 1 --weeks 1 --seed 0")
    page = (tmp_path / PAGE).read_text()
    assert "aad alerts --machines 1 --weeks 1 --seed 0" in page
    assert "| a day | 1 | 0 [0, 3.7] | 0 [0, 48] | 0 [0, 3.7] |" in page
    assert f"| a day | 1 | 1 | {' | '.join(['100% [3%, 100%]'] * 4)} | 23 |" in page
    table = (tmp_path / "alerts.csv").read_text()
    assert "fan-00,a day,1,0,0,0,bearing,True," in table


@pytest.mark.slow
def test_a_machine_of_the_generator_is_scored(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, few in {"_HOURS": 3, "_PIECES": 2, "_DISTURBED": 1, "_FAULTS": 1}.items():
        monkeypatch.setattr(watched_machines, name, few)
    scored = WatchedMachine("fan", 0, 7).lines()
    of_day = pieces_of([line for line in scored if line.learned == "a day"])
    assert set(of_day) == {NORMAL, FAULT, *DISTURBANCES}
    assert [len(piece.scores) for piece in of_day[NORMAL]] == [3, 3]
    assert [len(piece.scores) for piece in of_day[FAULT]] == [5]
    assert of_day[FAULT][0].kind
    assert np.isfinite([line.score for line in scored]).all()
