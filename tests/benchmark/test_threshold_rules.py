"""Baselines of the threshold: their quantiles, and what they make of a method's scores."""

import math

import numpy as np
import pytest
from scipy import stats

from audio_anomaly_detector.benchmark.threshold_rules import (
    RULES,
    LogMelBaselines,
    conformal_threshold,
    own_thresholds,
)


@pytest.mark.parametrize("name", RULES)
def test_every_rule_holds_its_rate_on_many_scores_of_a_gamma_distribution(name: str) -> None:
    scores = stats.gamma.rvs(3, size=4000, random_state=0)
    above = stats.gamma.sf(RULES[name](scores, 0.1), 3)
    assert above == pytest.approx(0.1, abs=0.02)


def test_the_conformal_threshold_is_that_of_its_p_values() -> None:
    scores = np.random.default_rng(0).standard_normal(25)
    threshold = conformal_threshold(scores, 0.1)
    for score in (*scores, threshold + 1e-9, threshold - 1e-9):
        p_value = (1 + np.sum(scores >= score)) / 26
        assert (score > threshold) == (p_value <= 0.1)
    assert conformal_threshold(scores[:8], 0.1) == math.inf


def test_noise_of_another_colour_is_anomalous_to_baselines_that_learned_white_noise() -> None:
    rng = np.random.default_rng(0)
    white = [rng.standard_normal((1, 16_000)).astype(np.float32) for _ in range(60)]
    baselines = LogMelBaselines(white[:40], 0.1)
    red = [np.cumsum(one, 1) / 50 for one in white[40:]]
    assert all(all(verdicts) for verdicts in baselines.verdicts(red).values())
    [conformal] = (v for name, v in baselines.verdicts(white[40:]).items() if "conformal" in name)
    assert 0 <= sum(conformal) <= 6


def test_thresholds_of_our_scores_are_named_by_their_rule() -> None:
    scores = np.arange(100.0)
    thresholds = own_thresholds(scores, 0.1)
    assert [name.split(", ")[1] for name in thresholds] == list(RULES)
    assert thresholds["our score, contamination"] == pytest.approx(89.1)
