"""What is kept, when it is fitted, when the period is over."""

import json
from dataclasses import replace

import pytest

from audio_anomaly_detector.errors import UserError
from audio_anomaly_detector.monitor.learning_period import Learning, first_pieces
from audio_anomaly_detector.monitor.machine_config import MachineConfig

SETTINGS = MachineConfig()
HOUR, WINDOW = 3600.0, 10.0
FIRST = Learning(began=0.0, kept_until=600.0, fresh=60)
USABLE = FIRST.fitted(1, ("learned",), over=False, failed=False)


def test_ten_minutes_are_sixty_windows() -> None:
    assert first_pieces(SETTINGS, WINDOW) == 60


def test_at_first_every_window_that_does_not_overlap_is_kept() -> None:
    learning = Learning().kept(100.0, 110.0, is_unlike=False)
    assert not learning.wants(109.0, "unknown", is_unlike=False)
    assert learning.wants(110.0, "unknown", is_unlike=False)
    assert learning.began == 100.0


def test_a_clock_that_was_wrong_does_not_end_the_learning() -> None:
    wrong = replace(USABLE, began=1e9, kept_until=1e9)
    assert not wrong.wants(1e9 - HOUR, "running", is_unlike=False)  # daylight saving
    assert wrong.wants(5e8, "running", is_unlike=False)
    learning = wrong.kept(5e8, 5e8 + 10, is_unlike=False)
    assert learning.ends(6, 5e8 + 24 * HOUR, SETTINGS)


@pytest.mark.parametrize(
    "state, is_unlike, every",
    [("running", False, 360), ("off", False, 1800), ("running", True, 60)],
)
def test_later_ten_an_hour(state: str, is_unlike: bool, every: float) -> None:
    assert not USABLE.wants(600 + every - 1, state, is_unlike)
    assert USABLE.wants(600 + every, state, is_unlike)


def test_the_first_fit_is_due_after_ten_minutes() -> None:
    assert not FIRST.is_due(59, 1, 600.0, SETTINGS, WINDOW)
    assert FIRST.is_due(60, 1, 600.0, SETTINGS, WINDOW)


def test_after_a_fit_that_failed_half_as_much_sound_again() -> None:
    failed = FIRST.fitted(1, ("too little",), over=False, failed=True)
    assert failed.phase(has_version=False) == "learning"
    assert not replace(failed, fresh=29).is_due(89, 1, 900.0, SETTINGS, WINDOW)
    assert replace(failed, fresh=30).is_due(90, 1, 900.0, SETTINGS, WINDOW)


def test_twice_the_hours_or_new_sound_is_due() -> None:
    later = replace(USABLE, fresh=1)
    assert not later.is_due(60, 1, HOUR, SETTINGS, WINDOW)
    assert later.is_due(61, 2, HOUR, SETTINGS, WINDOW)
    assert replace(later, unlike=30).is_due(90, 1, HOUR, SETTINGS, WINDOW)
    assert not USABLE.is_due(60, 2, HOUR, SETTINGS, WINDOW)  # nothing new


def test_the_period_is_over_after_a_day_of_six_hours_of_sound() -> None:
    later = replace(USABLE, fresh=1, fitted_hours=16)
    assert not later.is_due(200, 17, 23.9 * HOUR, SETTINGS, WINDOW)
    assert later.ends(17, 24 * HOUR, SETTINGS)
    assert later.is_due(200, 17, 24 * HOUR, SETTINGS, WINDOW)
    assert not later.ends(5, 60 * HOUR, SETTINGS)
    over = later.fitted(17, (), over=True, failed=False)
    assert over.phase(has_version=True) == "full"
    assert not over.wants(99 * HOUR, "running", is_unlike=False)
    assert not replace(over, fresh=99).is_due(300, 99, 99 * HOUR, SETTINGS, WINDOW)


def test_what_is_asked_for_is_due_even_then() -> None:
    over = replace(USABLE, over=True, asked=True)
    assert over.is_due(30, 9, 99 * HOUR, SETTINGS, WINDOW)
    again = over.fitted(9, (), over=False, failed=False)
    assert again.over
    assert not again.asked


def test_it_says_how_far_it_is_and_what_was_refused() -> None:
    learning = FIRST.refuse("speech", 3).refuse("silence").refuse("repeated", 0)
    (progress, refused) = learning.notes(30, False, SETTINGS, WINDOW)
    assert "30 of 60 pieces" in progress
    assert refused == (
        "windows not learned from: 3 with speech or music over the machine, 1 of silence"
    )
    assert "earlier model" in learning.notes(30, True, SETTINGS, WINDOW)[0]
    assert "coarse" in USABLE.notes(60, True, SETTINGS, WINDOW)[0]


def test_round_trip() -> None:
    for learning in (Learning(), USABLE.refuse("speech", 2)):
        assert Learning.from_dict(json.loads(json.dumps(learning.to_dict()))) == learning
    with pytest.raises(UserError, match="damaged"):
        Learning.from_dict({"began": 1})
