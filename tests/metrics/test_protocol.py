import numpy as np
import pytest

from audio_anomaly_detector.metrics.classification import auroc
from audio_anomaly_detector.metrics.protocol import (
    Wins,
    compare,
    fold_auroc,
    pooled_partial_auroc,
    summarise,
    win_matrix,
)


def null_id(generator, n_folds=5, per_fold=2, n_anomalous=5, shift=0.0):
    """Scores of clips that differ by nothing (or `shift`), under folds of different scales."""
    normal = generator.normal(size=(n_folds, per_fold))
    anomalous = generator.normal(size=n_anomalous) + shift
    normals, anomalies = [], []
    for fold in range(n_folds):
        scale = np.exp(generator.normal())
        normals.append(scale * (normal[fold] + 0.3 * generator.normal(size=per_fold)))
        anomalies.append(scale * (anomalous + 0.3 * generator.normal(size=n_anomalous)))
    return normals, anomalies


def null_machines(generator, shift=0.0):
    return {
        machine_type: {
            machine_id: win_matrix(*null_id(generator, shift=shift)) for machine_id in "abc"
        }
        for machine_type in ("fan", "valve")
    }


def test_fold_auroc_is_the_mean_over_folds_also_of_unequal_size():
    generator = np.random.default_rng(0)
    normals = [generator.normal(size=size) for size in (1, 2, 4)]
    anomalies = [np.round(generator.normal(size=5), 1) for _ in normals]
    normals[0][0] = anomalies[0][0]  # a tie
    expected = np.mean(
        [
            auroc(np.repeat([0, 1], [len(n), 5]), np.concatenate([n, a]))
            for n, a in zip(normals, anomalies, strict=True)
        ]
    )
    wins = win_matrix(normals, anomalies)
    assert wins.matrix.shape == (7, 5)
    assert fold_auroc(wins) == pytest.approx(expected)


def test_a_fold_has_its_own_scale():
    normals, anomalies = null_id(np.random.default_rng(1))
    scaled = [1000.0**i for i in range(5)]
    rescaled = win_matrix(
        [n * s + 3 for n, s in zip(normals, scaled, strict=True)],
        [a * s + 3 for a, s in zip(anomalies, scaled, strict=True)],
    )
    assert fold_auroc(rescaled) == fold_auroc(win_matrix(normals, anomalies))


def test_pooled_partial_auroc_pools():
    assert pooled_partial_auroc([[0.0], [1.0]], [[2.0, 3.0], [2.0, 0.5]]) < 1
    assert pooled_partial_auroc([[0.0], [1.0]], [[2.0, 3.0], [2.0, 1.5]]) == 1


def test_means_are_over_ids_then_types():
    one, half = Wins(np.ones((2, 1)), np.full(2, 0.5)), Wins(np.full((2, 1), 0.5), np.full(2, 0.5))
    result = summarise({"fan": {"a": one, "b": one, "c": one}, "valve": {"a": half}}, 20)
    assert result.types["fan"].value == 1
    assert result.types["valve"].value == 0.5
    assert result.mean.value == 0.75


def test_the_spread_of_a_single_id_is_not_made_up():
    generator = np.random.default_rng(0)
    single = {"fan": {"a": win_matrix(*null_id(generator))}}
    result = summarise({**null_machines(generator), **single}, 50)
    assert result.types["fan"].over_ids is None
    assert result.types["valve"].over_ids is not None
    assert result.mean.over_ids is None


def test_intervals_cover_a_simulated_null_about_as_often_as_they_say():
    generator = np.random.default_rng(0)
    n, over_clips, over_ids, widths = 150, 0, 0, []
    for _ in range(n):
        mean = summarise(null_machines(generator), 200).mean
        over_clips += mean.over_clips.low <= 0.5 <= mean.over_clips.high
        over_ids += mean.over_ids.low <= 0.5 <= mean.over_ids.high
        widths.append(mean.over_clips.high - mean.over_clips.low)
    assert 0.88 <= over_clips / n <= 0.99
    assert 0.91 <= over_ids / n <= 1
    assert np.mean(widths) < 0.35  # it covers by being right, not by being wide


def test_paired_comparison_sees_what_unpaired_intervals_hide():
    generator = np.random.default_rng(3)
    better = null_machines(generator, shift=1.0)
    worse = {
        machine_type: {
            machine_id: Wins(wins.matrix * (np.arange(10) > 1)[:, None], wins.weight)
            for machine_id, wins in ids.items()
        }
        for machine_type, ids in better.items()
    }  # loses all wins of two normal clips in every id
    difference = compare(better, worse, 500).mean
    first, second = summarise(better, 500).mean, summarise(worse, 500).mean
    assert difference.value == pytest.approx(first.value - second.value)
    assert difference.over_clips.low > 0
    assert first.over_clips.low < second.over_clips.high
    width = difference.over_clips.high - difference.over_clips.low
    assert width < first.over_clips.high - first.over_clips.low


def test_a_detector_does_not_differ_from_itself():
    machines = null_machines(np.random.default_rng(4))
    difference = compare(machines, machines, 50).mean
    assert (difference.value, *difference.over_clips, *difference.over_ids) == (0, 0, 0, 0, 0)


def test_the_seed_decides():
    machines = null_machines(np.random.default_rng(5))
    assert summarise(machines, 50, seed=1) == summarise(machines, 50, seed=1)
    assert summarise(machines, 50, seed=1) != summarise(machines, 50, seed=2)


@pytest.mark.parametrize(
    ("normals", "anomalies"),
    [
        ([], []),
        ([[0.0]], [[1.0], [1.0]]),
        ([[0.0], []], [[1.0], [1.0]]),
        ([[0.0], [0.0]], [[1.0], [1.0, 2.0]]),
        ([[0.0]], [[np.nan]]),
    ],
)
def test_folds_that_do_not_fit_are_refused(normals, anomalies):
    with pytest.raises(ValueError, match=r"fold|finite"):
        win_matrix(normals, anomalies)


def test_only_the_same_folds_can_be_compared():
    generator = np.random.default_rng(6)
    machines = null_machines(generator)
    with pytest.raises(ValueError, match="same machine ids"):
        compare(machines, {"fan": machines["fan"]})
    other = {**machines, "fan": {**machines["fan"], "a": win_matrix([[0.0]], [[1.0]])}}
    with pytest.raises(ValueError, match="same folds"):
        compare(machines, other)
    with pytest.raises(ValueError, match="at least one machine id"):
        summarise({"fan": {}})
