import numpy as np
import pytest
from scipy import stats

from audio_anomaly_detector.benchmark.decisions import judge_decisions


def cells(p_values: np.ndarray, step: float, label: int = 0, seed: int = 0) -> list[dict[str, str]]:
    """One line a clip: row d of ``p_values`` holds what detector d says."""
    return [
        {
            "condition": "0_dB",
            "machine": "fan",
            "id": f"id_{detector:02d}",
            "seed": str(seed),
            "fold": "0",
            "clip": f"{label}/{clip}",
            "label": str(label),
            "p_value": str(p),
            "p_step": str(step),
            "is_anomalous": str(int(p <= 0.1)),
        }
        for detector, row in enumerate(p_values)
        for clip, p in enumerate(row)
    ]


def ranks(detectors: int, clips: int, n: int) -> np.ndarray:
    """Conformal p-values of normal clips against n others of the same distribution."""
    rng = np.random.default_rng(0)
    known = rng.standard_normal((detectors, n, 1))
    fresh = rng.standard_normal((detectors, 1, clips))
    return (1 + (known >= fresh).sum(1)) / (n + 1)


def test_exact_ranks_pass_and_alarm_at_the_nominal_rate() -> None:
    lines = cells(ranks(300, 10, 19), 1 / 20) + cells(np.full((300, 2), 0.05), 1 / 20, label=1)
    decisions = judge_decisions("synthetic", lines)
    assert decisions is not None and decisions.n_detectors == 300
    assert decisions.false_alarm_rate == pytest.approx(0.1, abs=0.02)
    assert decisions.detection_rate == 1
    assert decisions.uniformity > 0.01
    assert decisions.anomalous.max() <= 0.05
    assert (decisions.normal >= 0).all() and (decisions.normal <= 1).all()


def test_p_values_that_are_too_small_fail() -> None:
    lines = cells(ranks(300, 10, 19) ** 2, 0.0) + cells(np.zeros((300, 1)), 0.0, label=1)
    decisions = judge_decisions("synthetic", lines)
    assert decisions is not None
    assert decisions.false_alarm_rate > 0.2 and decisions.uniformity < 1e-3


def test_the_p_value_is_the_one_of_the_kolmogorov_smirnov_test() -> None:
    p_values = np.random.default_rng(1).random((30, 1)) ** 1.3  # one clip each: every draw alike
    lines = cells(p_values, 0.0) + cells(np.zeros((30, 1)), 0.0, label=1)
    decisions = judge_decisions("synthetic", lines)
    assert decisions is not None
    expected = stats.kstest(p_values[:, 0], "uniform").pvalue
    assert decisions.uniformity == pytest.approx(expected)


def test_neither_the_order_of_the_cells_nor_more_seeds_change_the_verdict() -> None:
    def lines(seed: int) -> list[dict[str, str]]:
        unseen = cells(ranks(60, 10, 19) ** 1.2, 1 / 20, seed=seed)
        return unseen + cells(np.full((60, 2), 0.05), 1 / 20, label=1, seed=seed)

    one = judge_decisions("synthetic", lines(0))
    turned = judge_decisions("synthetic", lines(0)[::-1])
    three = judge_decisions("synthetic", [row for seed in range(3) for row in lines(seed)])
    assert one is not None and turned is not None and three is not None
    assert one.uniformity == turned.uniformity
    assert three.n_detectors == 3 * one.n_detectors
    assert three.uniformity == pytest.approx(one.uniformity, rel=0.5)


def test_a_method_without_p_values_decides_nothing() -> None:
    assert judge_decisions("baseline", [{"score": "1", "label": "0"}]) is None
    assert judge_decisions("nothing", []) is None
