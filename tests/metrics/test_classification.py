import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import average_precision_score, roc_auc_score

from audio_anomaly_detector.metrics import bootstrap
from audio_anomaly_detector.metrics.classification import (
    MAX_FPR,
    Confusion,
    auroc,
    average_precision,
    decision_metrics,
    evaluate_scores,
    harmonic_mean,
    missing_class,
    partial_auroc,
)
from audio_anomaly_detector.metrics.intervals import percentile_interval


@st.composite
def scored_clips(draw):
    """Labels with both classes and scores on a coarse grid, so that there are ties."""
    n_normal, n_anomalous = draw(st.integers(1, 12)), draw(st.integers(1, 12))
    n = n_normal + n_anomalous
    scores = draw(st.lists(st.integers(-20, 20), min_size=n, max_size=n))
    return np.repeat([0, 1], [n_normal, n_anomalous]), np.array(scores, dtype=float)


@settings(max_examples=50)
@given(scored_clips())
def test_rank_metrics_do_not_change_under_monotone_maps(sample):
    labels, scores = sample
    for metric in (auroc, average_precision, partial_auroc):
        assert metric(labels, np.exp(scores / 5) - 7) == pytest.approx(metric(labels, scores))


@settings(max_examples=50)
@given(scored_clips())
def test_auroc_is_the_share_of_pairs_won_and_turns_round_with_the_scores(sample):
    labels, scores = sample
    gaps = scores[labels == 1][:, None] - scores[labels == 0]
    assert auroc(labels, scores) == pytest.approx(np.mean((gaps > 0) + 0.5 * (gaps == 0)))
    assert auroc(labels, -scores) == pytest.approx(1 - auroc(labels, scores))


@settings(max_examples=40)
@given(scored_clips(), st.integers(-21, 21), st.integers(0, 1000))
def test_vectorised_resamples_equal_scikit_learn_with_weights(sample, threshold, seed):
    labels, scores = sample
    samples = bootstrap.resampled_metrics(
        labels, scores, scores > threshold, max_fpr=MAX_FPR, n_bootstrap=3, seed=seed
    )
    order = np.argsort(-scores, kind="stable")
    generator = np.random.default_rng(seed)
    counts = np.empty((3, len(labels)))
    for label in (0, 1):
        members = labels[order] == label
        counts[:, members] = bootstrap.resample_counts(members.sum(), 3, generator)
    for i, weights in enumerate(counts):
        drawn = np.repeat(order, weights.astype(int))  # the resample, clip by clip
        some = labels[drawn], scores[drawn]
        assert samples["auroc"][i] == pytest.approx(roc_auc_score(*some))
        assert samples["average_precision"][i] == pytest.approx(average_precision_score(*some))
        assert samples["partial_auroc"][i] == pytest.approx(roc_auc_score(*some, max_fpr=MAX_FPR))
        assert samples["f1"][i] == pytest.approx(decision_metrics(*some, threshold).f1)


@settings(max_examples=40)
@given(scored_clips(), st.integers(-21, 21))
def test_intervals_hold_their_estimate(sample, threshold):
    metrics = evaluate_scores(*sample, threshold, n_bootstrap=50)
    for row in metrics.rows():
        if row.estimate.value is not None:
            assert row.estimate.low <= row.estimate.value <= row.estimate.high


@settings(max_examples=40)
@given(scored_clips(), st.integers(-21, 21))
def test_intervals_of_proportions_are_those_of_scipy(sample, threshold):
    metrics = evaluate_scores(*sample, threshold, n_bootstrap=10)
    count = metrics.confusion
    decided = count.true_positive + count.false_positive
    for estimate, successes, trials in (
        (metrics.recall, count.true_positive, metrics.n_anomalous),
        (metrics.false_alarm_rate, count.false_positive, metrics.n_normal),
        (metrics.precision, count.true_positive, decided),
    ):
        if trials == 0:
            assert estimate.reason == "no clip was decided anomalous"
            continue
        # The bounds are quantiles of beta distributions (Clopper and Pearson).
        low = stats.beta.ppf(0.025, successes, trials - successes + 1) if successes else 0
        high = 1.0
        if successes < trials:
            high = stats.beta.ppf(0.975, successes + 1, trials - successes)
        assert (estimate.low, estimate.high) == pytest.approx((low, high))
        assert not estimate.is_degenerate


def test_few_clips_without_a_false_alarm_are_no_certainty():
    metrics = evaluate_scores(np.repeat([0, 1], 5), np.repeat([0.0, 2.0], 5), 1.0)
    assert metrics.false_alarm_rate.value == 0
    assert (metrics.false_alarm_rate.low, metrics.false_alarm_rate.high) == pytest.approx(
        (0, 0.5218), abs=1e-4
    )
    assert (metrics.recall.low, metrics.recall.high) == pytest.approx((0.4782, 1), abs=1e-4)
    # A bootstrap cannot show it, and is marked.
    assert metrics.auroc.is_degenerate and metrics.f1.is_degenerate
    assert not evaluate_scores([0, 0], [0.0, 1.0], 0.5).auroc.is_degenerate  # no figure at all


def test_interval_of_scores_worse_than_chance_holds_its_estimate():
    # copies tie with each other, so resampling lifts an average precision that could not be lower
    metrics = evaluate_scores(np.repeat([0, 1], [10, 5]), -np.arange(15.0), 0.5, n_bootstrap=200)
    assert metrics.average_precision.low == metrics.average_precision.value


def test_the_seed_decides_the_intervals():
    generator = np.random.default_rng(0)
    labels = np.repeat([0, 1], 30)
    scores = generator.normal(size=60) + labels
    first = evaluate_scores(labels, scores, 0.5, n_bootstrap=200, seed=1)
    assert first == evaluate_scores(labels, scores, 0.5, n_bootstrap=200, seed=1)
    other = evaluate_scores(labels, scores, 0.5, n_bootstrap=200, seed=2)
    assert first.auroc.value == other.auroc.value
    assert first.auroc.low != other.auroc.low


def test_blocks_of_resamples_bound_the_memory_and_change_no_estimate(monkeypatch):
    labels = np.repeat([0, 1], 20)
    scores = np.random.default_rng(0).normal(size=40) + labels
    whole = evaluate_scores(labels, scores, 0.5)
    monkeypatch.setattr(bootstrap, "BLOCK_ELEMENTS", 40 * 7)
    blocks = evaluate_scores(labels, scores, 0.5)
    assert blocks.auroc.value == whole.auroc.value
    assert blocks.auroc.low == pytest.approx(whole.auroc.low, abs=0.03)
    assert blocks.auroc.high == pytest.approx(whole.auroc.high, abs=0.03)


def test_interval_covers_the_truth_about_as_often_as_it_says():
    generator = np.random.default_rng(0)
    labels = np.repeat([0, 1], 40)
    truth = 0.76025  # P(x < y + 1), standard normals
    covered = 0
    for _ in range(150):
        scores = generator.normal(size=80) + labels
        samples = bootstrap.resampled_metrics(
            labels, scores, scores > 0.5, max_fpr=MAX_FPR, n_bootstrap=200, seed=0
        )
        low, high = percentile_interval(samples["auroc"])
        covered += low <= truth <= high
    assert 0.88 <= covered / 150 <= 0.99


def test_decisions_are_strictly_above_the_threshold():
    decisions = decision_metrics([0, 0, 0, 1, 1], [0.0, 1.0, 2.0, 1.0, 3.0], 1.0)
    assert decisions.confusion == Confusion(2, 1, 1, 1)
    assert decisions.precision == decisions.recall == decisions.f1 == 0.5
    assert decisions.false_alarm_rate == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("labels", "reason", "defined"),
    [([0, 0], "no anomalous clips", "false_alarm_rate"), ([1, 1], "no normal clips", "recall")],
)
def test_one_class_leaves_metrics_undefined_with_a_reason(labels, reason, defined):
    metrics = evaluate_scores(labels, [0.3, 0.7], 0.5)
    assert missing_class(labels) == reason
    for name, _, estimate in metrics.rows():
        if name == defined:
            assert estimate.value == 0.5
        else:
            assert (estimate.value, estimate.low, estimate.high) == (None, None, None)
            assert estimate.reason == reason
            assert str(estimate) == f"not computable: {reason}"
    for metric in (auroc, average_precision, partial_auroc):
        assert metric(labels, [0.3, 0.7]) is None


def test_an_infinite_threshold_decides_nothing_and_stays_json():
    metrics = evaluate_scores([0, 1], [0.0, 1.0], math.inf)
    assert metrics.precision.value is None
    assert metrics.precision.reason == "no clip was decided anomalous"
    assert (metrics.recall.value, metrics.f1.value) == (0, 0)
    plain = metrics.to_dict()
    assert plain["threshold"] is None
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    assert plain["confusion"]["false_negative"] == 1


@pytest.mark.parametrize(
    ("labels", "scores", "threshold"),
    [
        ([0, 1], [0.0, math.nan], 0),
        ([0, 1], [0.0, math.inf], 0),
        ([0, 1], [0.0, 1.0, 2.0], 0),
        ([0, 2], [0.0, 1.0], 0),
        ([], [], 0),
        ([0, 1], [0.0, 1.0], math.nan),
    ],
)
def test_bad_input_is_refused(labels, scores, threshold):
    with pytest.raises(ValueError, match=r"score|label|threshold"):
        evaluate_scores(labels, scores, threshold)


def test_harmonic_mean():
    assert harmonic_mean([0.5, 1.0]) == pytest.approx(2 / 3)
    assert harmonic_mean([0.0, 1.0]) == 0
    assert harmonic_mean([0.5, None]) is None
    assert harmonic_mean([]) is None
