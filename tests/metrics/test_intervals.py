"""Intervals of shares over clusters."""

import numpy as np
import pytest

from audio_anomaly_detector.metrics.intervals import clustered_interval, exact_interval


def test_of_independent_trials_it_is_about_the_exact_one() -> None:
    outcomes = np.random.default_rng(0).random((60, 8)) < 0.1
    interval = clustered_interval(outcomes.mean(1), 8)
    assert interval == pytest.approx(exact_interval(int(outcomes.sum()), outcomes.size), abs=0.02)


def test_clusters_that_are_all_or_nothing_count_as_one_trial_each() -> None:
    shares = [1.0] * 5 + [0.0] * 45
    wide = clustered_interval(shares, 8)
    assert wide == pytest.approx(exact_interval(5, 50), abs=0.02)
    assert wide.high - wide.low > 2 * np.diff(exact_interval(40, 400))[0]


def test_it_has_a_width_where_nothing_or_everything_succeeds() -> None:
    assert clustered_interval([0.0] * 30, 8) == pytest.approx(exact_interval(0, 30))
    assert clustered_interval([1.0] * 30, 8) == pytest.approx(exact_interval(30, 30))


def test_it_covers_the_true_share_of_machines_that_differ() -> None:
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(300):
        of_machines = rng.beta(0.5, 4.5, 50)  # mean .1, most machines at 0
        shares = rng.binomial(8, of_machines) / 8
        low, high = clustered_interval(shares, 8)
        covered += low <= 0.1 <= high
    assert covered / 300 >= 0.92
