import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from audio_anomaly_detector.errors import UserError
from audio_anomaly_detector.scoring.threshold import NormalScores, ThresholdConfig

finite = st.floats(-5, 5, allow_subnormal=False)


def normals(n: int, seed: int = 0) -> NormalScores:
    return NormalScores(np.random.default_rng(seed).standard_normal(n))


@pytest.mark.parametrize(("n", "method"), [(8, "gamma"), (19, "gamma"), (20, "conformal")])
def test_few_clips_take_the_gamma_fit(n: int, method: str) -> None:
    assert normals(n).method(ThresholdConfig()) == method


def test_a_rate_finer_than_the_ranks_takes_the_gamma_fit() -> None:
    assert normals(50).method(ThresholdConfig(false_alarm_rate=0.01)) == "gamma"
    assert normals(99).method(ThresholdConfig(false_alarm_rate=0.01)) == "conformal"


@given(st.lists(finite, min_size=2, max_size=60), finite, st.sampled_from([0.05, 0.1, 0.3]))
def test_decision_and_p_value_agree(scores: list[float], score: float, rate: float) -> None:
    calibration = NormalScores(np.array(scores))
    config = ThresholdConfig(false_alarm_rate=rate)
    if calibration.method(config) == "conformal":
        decided = score > calibration.threshold(config)
        assert decided == (calibration.p_value(score, config) <= rate + 1e-12)


@given(st.lists(finite, min_size=3, max_size=40), finite, finite)
def test_p_values_fall_as_scores_rise(scores: list[float], one: float, two: float) -> None:
    calibration, config = NormalScores(np.array(scores)), ThresholdConfig()
    low, high = sorted((one, two))
    assert calibration.p_value(high, config) <= calibration.p_value(low, config)
    assert 0 <= calibration.p_value(high, config) <= 1


@pytest.mark.parametrize("n", [8, 12, 20, 50, 200])
def test_false_alarms_come_at_the_nominal_rate(n: int) -> None:
    rng = np.random.default_rng(n)
    config, rates = ThresholdConfig(), []
    for _ in range(400):
        calibration = NormalScores(rng.gamma(9, 0.3, n))
        rates.append(np.mean(rng.gamma(9, 0.3, 200) > calibration.threshold(config)))
    assert 0.07 < np.mean(rates) < 0.14


def test_conformal_p_values_are_uniform() -> None:
    rng = np.random.default_rng(0)
    config = ThresholdConfig(method="conformal")
    p = [NormalScores(rng.random(39)).p_value(rng.random(), config) for _ in range(4000)]
    assert np.mean(np.array(p) <= 0.1) == pytest.approx(0.1, abs=0.02)
    assert np.mean(p) == pytest.approx((1 + 1 / 40) / 2, abs=0.02)


def test_conformal_with_too_few_clips_says_how_many_it_takes() -> None:
    with pytest.raises(UserError, match=r"needs 9 calibration clips .* there are 5"):
        normals(5).threshold(ThresholdConfig(method="conformal"))


def test_a_threshold_of_ones_own() -> None:
    assert normals(5).threshold(ThresholdConfig(method="value", value=1.5)) == 1.5
    with pytest.raises(ValidationError, match="needs a number"):
        ThresholdConfig(method="value")


def test_equal_normal_scores_give_a_finite_threshold() -> None:
    assert math.isfinite(NormalScores(np.zeros(6)).threshold(ThresholdConfig()))


def test_coarseness_is_said() -> None:
    assert "1/51" in normals(50).coarseness(ThresholdConfig())
    assert "gamma fit to 8" in normals(8).coarseness(ThresholdConfig())


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_threshold_that_is_not_finite_is_refused(value: float) -> None:
    with pytest.raises(ValidationError, match="finite"):
        ThresholdConfig(method="value", value=value)


def test_a_threshold_without_its_method_is_refused_not_dropped() -> None:
    with pytest.raises(ValidationError, match="method 'value' only"):
        ThresholdConfig(value=3.0)
