import math

import numpy as np
import pytest
from pydantic import ValidationError

from audio_anomaly_detector.errors import UserError
from audio_anomaly_detector.scoring.alarm_units import alarms_per_day, in_people_units
from audio_anomaly_detector.scoring.false_alarms import (
    expected_false_alarms,
    false_alarm_notes,
    rate_interval,
    series_decision,
)
from audio_anomaly_detector.scoring.series import Rule, Series
from audio_anomaly_detector.scoring.threshold import (
    NormalScores,
    ScoresByLength,
    ThresholdConfig,
)

WEEKLY = ThresholdConfig(false_alarms="1/week", clips_per_day=1440)


def normals(n: int) -> ScoresByLength:
    scores = NormalScores(np.random.default_rng(n).gamma(9, 0.3, n))
    return ScoresByLength((10.0,), (scores,), 10.0)


def test_units() -> None:
    assert alarms_per_day("1/week") == pytest.approx(1 / 7)
    assert alarms_per_day(" 0.5 / day ") == 0.5
    assert alarms_per_day("2/hour") == 48
    assert in_people_units(3.2) == "3.2 a day" and in_people_units(1 / 7) == "1 a week"
    for wrong in ("week", "0/week", "-1/day", "1/fortnight", "1 week", "1e400/day"):
        with pytest.raises(ValueError, match="write such as 1/week"):
            alarms_per_day(wrong)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"false_alarms": "1/week"}, "clips_per_day"),
        ({"false_alarms": "often", "clips_per_day": 9}, "write such as"),
        ({"false_alarms": "1/day", "clips_per_day": 2}, "no rarer than warnings"),
        ({"false_alarms": "1/year", "clips_per_day": 9, "method": "value", "value": 1}, "number"),
    ],
)
def test_alarms_that_do_not_fit_are_refused(settings: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        ThresholdConfig.model_validate(settings)


@pytest.mark.parametrize("n", [10, 50, 200])
def test_the_tail_holds_as_far_as_it_is_used(n: int) -> None:
    rng, config, rates = np.random.default_rng(n), ThresholdConfig(), []
    rate = 1 / (n + 1) / config.reach
    for _ in range(400):
        threshold = NormalScores(rng.exponential(1, n)).alarm_threshold(rate, config)
        rates.append(math.exp(-threshold))
    assert 0.3 < np.mean(rates) / rate < 3.5


def test_alarms_are_no_rarer_than_the_normals_carry() -> None:
    few, many = normals(20), normals(2000)
    [note, _] = false_alarm_notes(few, 10.0, WEEKLY)
    assert "asked for alarms at 1/week" in note and "6.9 a day" in note and "--series" in note
    alarm = few.alarm(10.0, 1, 10.0, WEEKLY)
    assert alarm is not None and alarm.rate == pytest.approx(1 / 210)
    assert alarm.threshold >= few.threshold(10.0, WEEKLY)
    exact = many.alarm(10.0, 1, 10.0, WEEKLY)
    assert exact is not None and exact.rate == pytest.approx(1 / 7 / 1440)
    assert "set to 1/week" in false_alarm_notes(many, 10.0, WEEKLY)[0]
    # An hour of windows leaves no rate below the warnings'.
    assert few.alarm(3600.0, 360, 10.0, WEEKLY) is None
    assert few.alarm(10.0, 1, 10.0, ThresholdConfig()) is None


def test_intervals_are_no_nicer_than_the_data() -> None:
    scores = normals(20).of_usual
    low, high = rate_interval(scores, float(scores.scores.max()))
    assert low == 0 and high == pytest.approx(1 - 0.025 ** (1 / 20))
    warning, alarm = expected_false_alarms(normals(20), 10.0, WEEKLY)
    assert warning.low <= warning.per_clip == 0.1 <= warning.high
    assert alarm.low == 0 and alarm.high > 0.15 and alarm.per_clip < 0.005


def test_evidence_persists_for_k_of_n() -> None:
    series = Series(Rule(2, 3))
    told = [series.add(clip) for clip in (True, None, False, True, None, False, False)]
    assert [one.persistent for one in told] == [False, False, False, True, True, False, False]
    assert told[1] == (1, 1, False) and told[-1] == (1, 3, False)
    for wrong in ("3", "6/5", "0/2", "a/b", "3/1000"):
        with pytest.raises(UserError, match="K/N"):
            Rule.parse(wrong)


def test_onsets_come_as_often_as_said() -> None:
    rule, rate = Rule(), 0.2
    clips = np.random.default_rng(0).random(60_000) < rate
    series = Series(rule)
    persistent = np.array([series.add(bool(clip)).persistent for clip in clips])
    onsets = np.mean(persistent[1:] & ~persistent[:-1])
    assert onsets == pytest.approx(rule.onset_rate(rate), rel=0.1)
    assert rule.onset_rate(rule.clip_rate(1e-4)) == pytest.approx(1e-4)


def test_a_series_carries_what_single_clips_do_not() -> None:
    decision, [told] = series_decision(normals(60), 10.0, WEEKLY, Rule())
    assert decision.false_alarms is None and "carry no less" not in told
    assert Rule().onset_rate(decision.false_alarm_rate) == pytest.approx(1 / 7 / 1440)
    _, [few] = series_decision(normals(8), 10.0, WEEKLY, Rule())
    assert "carry no less" in few
