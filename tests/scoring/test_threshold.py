import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from audio_anomaly_detector.errors import UserError
from audio_anomaly_detector.scoring.threshold import (
    NormalScores,
    ScoresByLength,
    ThresholdConfig,
)

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


# --- groups and lengths ---------------------------------------------------------------------------


def grouped(rng: np.random.Generator, groups: int, clips: int, spread: float) -> NormalScores:
    """Scores of clips that share what is their group's own."""
    scores = np.repeat(spread * rng.standard_normal(groups), clips)
    return NormalScores(
        scores + rng.standard_normal(groups * clips), np.repeat(np.arange(groups), clips)
    )


@pytest.mark.parametrize("groups", [4, 8, 12, 40])
@pytest.mark.parametrize("spread", [0.0, 3.0])
def test_false_alarms_of_clips_of_other_groups(groups: int, spread: float) -> None:
    rng, rates = np.random.default_rng(groups), []
    for _ in range(300):
        threshold = grouped(rng, groups, 10, spread).threshold(ThresholdConfig())
        other = spread * rng.standard_normal() + rng.standard_normal(20)
        rates.append(np.mean(other > threshold))
    assert 0.03 < np.mean(rates) < 0.14


def test_p_values_of_groups_hold_for_clips_of_another_group() -> None:
    rng, config = np.random.default_rng(0), ThresholdConfig(method="conformal")
    p = [
        grouped(rng, 19, 5, 2.0).p_value(2 * rng.standard_normal() + rng.standard_normal(), config)
        for _ in range(3000)
    ]
    assert 0.06 < np.mean(np.array(p) <= 0.1) < 0.11
    assert 0.44 < np.mean(np.array(p) <= 0.5) < 0.52


def test_a_group_counts_as_one() -> None:
    scores, groups = np.arange(8.0), np.array([0, 0, 0, 0, 0, 1, 2, 3])
    normal = NormalScores(scores, groups)
    config = ThresholdConfig(method="conformal", false_alarm_rate=0.3)
    assert (normal.n_groups, normal.resolution) == (4, 0.2)
    assert normal.p_value(4.5, config) == pytest.approx((1 + 3) / 5)
    assert normal.p_value(3.5, config) == pytest.approx((1 + 3 + 1 / 5) / 5)
    assert "8 calibration clips in 4 groups" in normal.coarseness(ThresholdConfig())
    with pytest.raises(ValueError, match="one group"):
        NormalScores(scores, groups * 0)


def test_between_two_lengths_lies_between_their_decisions() -> None:
    rng, config = np.random.default_rng(1), ThresholdConfig()
    short, long = NormalScores(rng.random(9) + 1), NormalScores(rng.random(9))
    both = ScoresByLength((1.0, 10.0), (short, long), 10.0)
    assert both.threshold(10.0, config) == both.threshold(60.0, config) == long.threshold(config)
    assert both.threshold(0.5, config) == short.threshold(config)
    middle = both.threshold(10**0.5, config)
    assert middle == pytest.approx((short.threshold(config) + long.threshold(config)) / 2)
    assert long.p_value(1.0, config) < both.p_value(1.0, 3.0, config) < short.p_value(1.0, config)
    for lengths, usual in (
        ((10.0, 1.0), 1.0),
        ((1.0, 1.0), 1.0),
        ((0.0, 1.0), 1.0),
        ((1.0, 2.0), 0),
    ):
        with pytest.raises(ValueError, match=r"scores of normal clips"):
            ScoresByLength(lengths, (short, long), usual)


def test_one_of_many_windows_alarms_at_half_the_rate() -> None:
    rng, config = np.random.default_rng(2), ThresholdConfig()
    rates = []
    for _ in range(400):
        normal = NormalScores(rng.gamma(16, 0.25, 200))
        threshold = normal.threshold_among(30, config)
        rates.append(rng.gamma(16, 0.25, 30).max() > threshold)
        score = threshold + 0.1
        assert normal.p_among(score, 30, config) < config.false_alarm_rate / 2
    assert 0.02 < np.mean(rates) < 0.08
    value = ThresholdConfig(method="value", value=1.5)
    assert normal.threshold_among(30, value) == 1.5


def in_domains(first: int, second: int, shift: float = 0.0) -> NormalScores:
    rng = np.random.default_rng(first)
    scores = np.concatenate([rng.gamma(9, 0.3, first), shift + rng.gamma(9, 0.3, second)])
    return NormalScores(scores, domains=np.repeat([0, 1], [first, second]))


def test_domains_count_alike_whatever_their_numbers() -> None:
    assert in_domains(10, 10).effective_groups == 20
    assert in_domains(50, 4).effective_groups == pytest.approx(4 / (1 / 50 + 1 / 4))
    gamma = ThresholdConfig(method="gamma")
    even, uneven = in_domains(400, 400, shift=2), in_domains(400, 40, shift=2)
    assert uneven.threshold(gamma) == pytest.approx(even.threshold(gamma), rel=0.05)
    conformal = ThresholdConfig(method="conformal")
    assert uneven.threshold(conformal) == pytest.approx(even.threshold(conformal), rel=0.1)
    alone = NormalScores(uneven.scores).threshold(conformal)
    assert alone < 0.9 * uneven.threshold(conformal)


@pytest.mark.parametrize("sizes", [(10, 4), (50, 4), (50, 10), (50, 50)])
def test_both_domains_alarm_at_the_nominal_rate(sizes: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    config, rates = ThresholdConfig(), []
    for _ in range(300):
        scores = rng.gamma(9, 0.3, sum(sizes))
        normal = NormalScores(scores, domains=np.repeat([0, 1], sizes))
        rates.append(np.mean(rng.gamma(9, 0.3, 200) > normal.threshold(config)))
    assert 0.06 < np.mean(rates) < 0.14


@given(st.lists(finite, min_size=40, max_size=60), finite, st.integers(15, 25))
def test_decision_and_p_value_agree_in_domains(
    scores: list[float], score: float, first: int
) -> None:
    domains = (np.arange(len(scores)) >= first).astype(int)
    normal, config = NormalScores(np.array(scores), domains=domains), ThresholdConfig()
    assert normal.method(config) == "conformal"
    decided = score > normal.threshold(config)
    assert decided == (normal.p_value(score, config) <= config.false_alarm_rate + 1e-9)


def test_domains_that_do_not_fit_the_scores_are_refused() -> None:
    with pytest.raises(ValueError, match="domains of another number"):
        NormalScores(np.zeros(3), domains=np.zeros(2, np.int64))
    with pytest.raises(ValueError, match="several domains"):
        NormalScores(np.zeros(3), np.array([0, 0, 1]), np.array([0, 1, 1]))
