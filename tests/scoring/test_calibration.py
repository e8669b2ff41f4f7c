import numpy as np
import pytest

from audio_anomaly_detector.scoring.calibration import Calibration, jackknife_scores, join
from audio_anomaly_detector.scoring.threshold import NormalScores, ThresholdConfig


def raw_scores(n: int, seed: int = 0, scale: float = 1.0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        "steady": 5 + scale * rng.standard_normal((n, 4)),
        "loose": -2 + 7 * scale * rng.standard_normal((n, 4)),
    }


RESOLUTION = {"steady": 0.01, "loose": 0.01}
FAMILIES = {"steady": "a", "loose": "b"}


def test_calibrated_normals_have_median_zero_and_unit_spread() -> None:
    raw = raw_scores(2000)
    for values in Calibration.fit(raw, RESOLUTION).components(raw).values():
        assert np.median(values) == pytest.approx(0, abs=0.05)
        assert values.std() == pytest.approx(0.5, abs=0.05)  # mean of four microphones


def test_units_of_the_raw_score_do_not_matter() -> None:
    raw, query = raw_scores(50), raw_scores(5, seed=1)
    plain = Calibration.fit(raw, RESOLUTION).components(query)
    scaled = Calibration.fit({k: 100 * v for k, v in raw.items()}, RESOLUTION).components(
        {k: 100 * v for k, v in query.items()}
    )
    for name in plain:
        np.testing.assert_allclose(plain[name], scaled[name])


def test_a_component_without_spread_cannot_shout() -> None:
    raw = {"steady": np.full((10, 2), 3.0)}
    z = Calibration.fit(raw, {"steady": 0.5}).components({"steady": np.full((1, 2), 4.0)})
    assert z["steady"] == pytest.approx(2.0)


def test_one_wild_family_does_not_silence_the_others() -> None:
    quiet = {"steady": np.array([0.0, 3.0]), "loose": np.array([0.0, 0.0])}
    wild = {"steady": np.array([0.0, 3.0]), "loose": np.array([400.0, 0.0])}
    gain = np.diff(join(quiet, FAMILIES))[0]
    assert gain == pytest.approx(np.arcsinh(3) / 2)
    assert join(wild, FAMILIES)[0] < 4  # 400 deviations count less than twice as much as 20 do
    assert join(wild, FAMILIES)[0] > join(quiet, FAMILIES)[0]


def test_components_of_a_family_count_once() -> None:
    z = {"one": np.array([2.0]), "two": np.array([2.0]), "three": np.array([0.0])}
    joined = join(z, {"one": "a", "two": "a", "three": "b"})
    assert joined[0] == pytest.approx(np.arcsinh(2) / 2)


def test_jackknife_scores_hold_the_false_alarm_rate() -> None:
    """Over many small calibrations fresh normal clips alarm at the nominal rate."""
    jackknifed, on_itself = [], []
    for seed in range(300):
        raw, unseen = raw_scores(8, seed=seed), raw_scores(40, seed=10_000 + seed)
        calibration = Calibration.fit(raw, RESOLUTION)
        fresh = join(calibration.components(unseen), FAMILIES)
        for alarms, scores in (
            (jackknifed, jackknife_scores(raw, RESOLUTION, FAMILIES)),
            (on_itself, join(calibration.components(raw), FAMILIES)),
        ):
            threshold = NormalScores(scores).threshold(ThresholdConfig(false_alarm_rate=0.1))
            alarms.append(np.mean(fresh > threshold))
    assert 0.07 < np.mean(jackknifed) < 0.13
    assert np.mean(on_itself) > 1.2 * np.mean(jackknifed)
