"""Slow changes are found, and a machine without one is left alone."""

import json

import numpy as np
import pytest

from audio_anomaly_detector.errors import UserError
from audio_anomaly_detector.monitor.drift import DriftState, observe_gain, observe_score

DAY, HOUR = 86_400, 3600.0


def after_days(scores: np.ndarray, state: DriftState | None = None, first: int = 0) -> DriftState:
    """Observations ``(days, n)``, evenly over each day."""
    state = state or DriftState()
    for day, of_day in enumerate(scores):
        for number, score in enumerate(of_day):
            at = (first + day) * DAY + number * DAY / len(of_day)
            state = observe_score(state, at, float(score))
    return state


def stable(rng: np.random.Generator, days: int) -> np.ndarray:
    """Hours that are alike by half, days that differ by half the deviation of hours."""
    hours = rng.standard_normal(24 * days)
    for hour in range(1, len(hours)):
        hours[hour] = 0.5 * hours[hour - 1] + np.sqrt(0.75) * hours[hour]
    return hours.reshape(days, 24) + 0.5 * rng.standard_normal((days, 1))


def test_at_most_one_stable_month_in_a_hundred_warns() -> None:
    rng = np.random.default_rng(2001)  # another seed than the limit was chosen with
    warned = sum(bool(after_days(stable(rng, 37)).notices) for _ in range(200))
    assert warned <= 2


def test_a_slow_ramp_is_found_and_maintenance_would_end_it() -> None:
    rng = np.random.default_rng(7)
    found = 0
    for _ in range(20):
        ramp = np.concatenate([np.zeros(8), 0.2 * np.arange(30)])
        state = after_days(stable(rng, 38) + ramp[:, None])
        found += [notice.kind for notice in state.notices] == ["drift"]
    assert found >= 19


def test_drift_ends_some_days_after_the_change_does() -> None:
    rng = np.random.default_rng(8)
    state = after_days(stable(rng, 8))
    state = after_days(stable(rng, 20) + 4, state, 8)
    assert state.drifting_since is not None
    assert 8 * DAY < state.drifting_since < 20 * DAY
    state = after_days(stable(rng, 40), state, 28)
    assert state.notices == []


def test_days_with_little_sound_do_not_count() -> None:
    state = after_days(np.zeros((20, 11)))
    assert state.reference == ()


def test_a_clock_that_is_set_back_repeats_no_day() -> None:
    state = after_days(np.zeros((3, 24)))
    before = state.reference
    state = observe_score(state, 2 * DAY - HOUR, 0.0)
    assert state.day == 2
    assert state.reference == before


def test_a_clock_that_was_wrong_goes_on_at_the_right_day() -> None:
    state = after_days(np.zeros((3, 24)), first=20_000)
    state = after_days(np.zeros((3, 24)), state, first=10_000)
    assert (state.day, len(state.reference)) == (10_002, 5)


def test_memory_is_bounded() -> None:
    state = DriftState()
    for number in range(2000):
        state = observe_score(state, 1000 + 0.01 * number, 0.0)
        state = observe_gain(state, 1000 + number, 0.0)
    assert len(state.scores) == 288
    assert len(state.gains) == 5


@pytest.mark.parametrize("gain", [-6.0, -3.0, 3.0, 6.0])
def test_a_gain_is_named(gain: float) -> None:
    state = DriftState()
    for number in range(5):
        state = observe_gain(state, number, gain + 0.5 * (-1) ** number)
    (notice,) = state.notices
    assert notice.kind == "gain"
    assert ("louder" if gain > 0 else "quieter") in notice.words
    assert notice.since == 4
    for number in range(5):
        state = observe_gain(state, 10 + number, 0.0)
    assert state.notices == []


def test_single_windows_and_other_differences_are_no_gain() -> None:
    state = DriftState()
    for number, gain in enumerate([0.0, 6.0, None, 0.5, None, 6.0, 0.0, -0.5, 0.0]):
        state = observe_gain(state, number, gain)
        assert state.notices == []


def test_round_trip() -> None:
    state = observe_gain(after_days(np.zeros((9, 24))), 5.0, 3.0)
    assert DriftState.from_dict(json.loads(json.dumps(state.to_dict()))) == state
    with pytest.raises(UserError, match="damaged"):
        DriftState.from_dict({"what": 1})
