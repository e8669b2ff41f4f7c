import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from audio_anomaly_detector.scoring.calibration import Calibration
from audio_anomaly_detector.scoring.threshold import NormalScores, ThresholdConfig


def tensors(scores: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(values) for name, values in scores.items()}


def raw_scores(n: int, seed: int = 0, scale: float = 1.0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        "steady": 5 + scale * rng.standard_normal((n, 4)),
        "loose": -2 + 7 * scale * rng.standard_normal((n, 4)),
    }


ONE_LENGTH = torch.ones(1, dtype=torch.float64)
RESOLUTION = {"steady": 0.01, "loose": 0.01}
RELIABLE = {"steady": 1.0, "loose": 1.0}
FAMILIES = {"steady": "a", "loose": "b"}


def test_calibrated_normals_have_median_zero_and_unit_spread() -> None:
    raw = raw_scores(2000)
    calibration = Calibration.fit(raw, RESOLUTION, RELIABLE, FAMILIES)
    for values in calibration.components(tensors(raw)).values():
        assert np.median(values) == pytest.approx(0, abs=0.05)
        assert values.std() == pytest.approx(0.5, abs=0.05)  # mean of four microphones


def test_units_of_the_raw_score_do_not_matter() -> None:
    raw, query = raw_scores(50), raw_scores(5, seed=1)
    plain = Calibration.fit(raw, RESOLUTION, RELIABLE, FAMILIES).components(tensors(query))
    scaled = Calibration.fit(
        {k: 100 * v for k, v in raw.items()}, RESOLUTION, RELIABLE, FAMILIES
    ).components(tensors({k: 100 * v for k, v in query.items()}))
    for name in plain:
        np.testing.assert_allclose(plain[name], scaled[name])


def test_a_component_without_spread_has_its_resolution_as_spread() -> None:
    raw = {"steady": np.full((10, 2), 3.0)}
    z = Calibration.fit(raw, {"steady": 0.5}, RELIABLE, FAMILIES).components(
        tensors({"steady": np.full((1, 2), 4.0)})
    )
    assert z["steady"] == pytest.approx(2.0)


def families_of(z: dict[str, float], weight: dict[str, float] | None = None) -> float:
    weight = weight or dict.fromkeys(z, 1.0)
    nearly_the_mean = 5e-8
    calibration = Calibration(ONE_LENGTH, {}, {}, weight, {"a": 1.0, "b": 1.0}, nearly_the_mean)
    family_of = {"steady": "a", "also steady": "a", "loose": "b"}
    values = {name: torch.tensor([value], dtype=torch.float64) for name, value in z.items()}
    return float(calibration.join(calibration.families(values, family_of))[0])


def test_one_extreme_family_does_not_outweigh_the_others() -> None:
    quiet, loud = ({"steady": z, "loose": 0.0} for z in (0.0, 3.0))
    assert families_of(loud) - families_of(quiet) == pytest.approx(np.arcsinh(3) / 2, abs=1e-3)
    wild = {"steady": 0.0, "loose": 400.0}
    assert families_of(quiet) < families_of(wild) < 4


def test_components_of_a_family_count_once() -> None:
    z = {"steady": 2.0, "also steady": 2.0, "loose": 0.0}
    assert families_of(z) == pytest.approx(np.arcsinh(2) / 2, abs=1e-3)


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=12), st.floats(5e-4, 5.0))
def test_the_join_lies_between_mean_and_maximum(evidence: list[float], steepness: float) -> None:
    families = {
        str(i): torch.tensor([value], dtype=torch.float64) for i, value in enumerate(evidence)
    }
    weights = dict.fromkeys(families, 1.0)
    low, high = (
        float(Calibration(ONE_LENGTH, {}, {}, {}, weights, t).join(families))
        for t in (steepness, 4 * steepness)
    )
    assert np.mean(evidence) - 1e-9 <= low <= high + 1e-9
    assert high <= max(evidence) + 1e-9


def test_one_family_counts_more_the_more_normal_clips_there_are() -> None:
    few, many = (Calibration.fit(raw_scores(n), RESOLUTION, RELIABLE, FAMILIES) for n in (8, 500))
    one_family = {"a": torch.tensor([4.0]), "b": torch.tensor([0.0])}
    assert few.join(one_family) < many.join(one_family)
    alike = {"a": torch.tensor([1.5]), "b": torch.tensor([1.5])}
    assert few.join(alike) == pytest.approx(many.join(alike))


def test_networks_trained_on_a_handful_of_clips_count_less() -> None:
    few, many = (
        Calibration.fit(raw_scores(n), RESOLUTION, RELIABLE, FAMILIES, ("b",)) for n in (8, 2000)
    )
    network_alone = {"a": torch.tensor([0.0]), "b": torch.tensor([1.0])}
    signal_alone = {"a": torch.tensor([1.0]), "b": torch.tensor([0.0])}
    assert few.join(network_alone) < 0.5 * few.join(signal_alone)
    assert many.join(network_alone) == pytest.approx(float(many.join(signal_alone)), rel=0.02)


@pytest.mark.parametrize(("n", "weight"), [(8, 0.08), (20, 0.25), (2000, 0.98)])
def test_networks_weigh_more_the_more_clips_trained_them(n: int, weight: float) -> None:
    rng = np.random.default_rng(0)
    raw = {name: rng.standard_normal((n, 1)) for name in ("signal", "one", "two")}
    equal = dict.fromkeys(raw, 1.0)
    family_of = {name: name for name in raw}
    fitted = Calibration.fit(raw, equal, equal, family_of, ("one", "two", "absent"))
    expected = {"signal": 1, "one": weight, "two": weight}
    assert fitted.family_weight == pytest.approx(expected, abs=0.005)


def test_a_family_without_contrast_to_surrogates_weighs_little() -> None:
    rng = np.random.default_rng(0)
    surrogates = {"steady": torch.zeros(9, 1), "loose": torch.full((9, 1), 6.0)}
    few, many = (
        Calibration.fit(
            {name: rng.standard_normal((n, 1)) for name in surrogates},
            RESOLUTION,
            RELIABLE,
            FAMILIES,
            surrogates=surrogates,
        ).family_weight
        for n in (4, 200)
    )
    assert few["b"] == many["b"] == 1
    assert many["a"] < 0.1
    assert 0.3 < few["a"] < 1


def test_a_family_without_surrogates_keeps_its_weight() -> None:
    raw = raw_scores(50)
    judged = {"steady": torch.zeros(9, 1)}
    fitted = Calibration.fit(raw, RESOLUTION, RELIABLE, FAMILIES, surrogates=judged)
    assert fitted.family_weight == {"a": 1, "b": 1}


def test_a_family_that_is_worth_less_counts_less_at_every_number_of_clips() -> None:
    surrogates = {"steady": torch.full((9, 1), 9.0), "loose": torch.zeros(9, 1)}
    for n in (8, 200):
        plain, weighted = (
            Calibration.fit(
                raw_scores(n),
                RESOLUTION,
                RELIABLE,
                FAMILIES,
                surrogates=surrogates,
                weight_of_family=weights,
            ).family_weight
            for weights in (None, {"b": 0.25, "absent": 0.5})
        )
        assert weighted == {"a": plain["a"], "b": 0.25 * plain["b"]}


def test_contrast_of_networks_lowers_no_other_family() -> None:
    raw = raw_scores(50)
    strong = {"steady": torch.full((9, 1), 2.0), "loose": torch.full((9, 1), 50.0)}
    plain, judged = (
        Calibration.fit(raw, RESOLUTION, RELIABLE, FAMILIES, ("b",), surrogates)
        for surrogates in (None, strong)
    )
    assert judged.family_weight == plain.family_weight


def test_what_is_held_out_for_networks_does_not_change_the_shrinkage() -> None:
    raw = raw_scores(500)
    calibration = Calibration.fit(raw, RESOLUTION, RELIABLE, FAMILIES)
    fewer = {"steady": raw["steady"], "loose": raw["loose"][:40]}
    fitted = Calibration.fit(fewer, RESOLUTION, RELIABLE, FAMILIES)
    assert fitted.steepness == calibration.steepness


def test_an_unstable_network_is_left_out_and_named() -> None:
    rng = np.random.default_rng(0)
    raw = {"steady": rng.standard_normal((12, 1)), "loose": rng.standard_cauchy((12, 1)) ** 3}
    kept = Calibration.fit(raw, RESOLUTION, RELIABLE, FAMILIES)
    assert kept.unstable == []  # what needs no network only weighs less
    calibration = Calibration.fit(raw, RESOLUTION, RELIABLE, FAMILIES, ("b",))
    assert calibration.unstable == ["b"]
    steady = {"a": torch.tensor([1.0]), "b": torch.tensor([0.0])}
    assert calibration.join(steady) == pytest.approx(1.0)
    assert calibration.join({"b": torch.tensor([2.0])}) == pytest.approx(2.0)  # asked for it alone


def test_what_is_wild_on_normal_clips_weighs_less() -> None:
    rng = np.random.default_rng(0)
    raw = {"steady": rng.standard_normal((40, 1)), "loose": rng.standard_cauchy((40, 1))}
    weight = Calibration.fit(raw, RESOLUTION, RELIABLE, FAMILIES).component_weight
    assert weight["steady"] > 0.8
    assert weight["loose"] < 0.75 * weight["steady"]
    assert families_of({"steady": 0.0, "loose": 9.0}, weight) < families_of(
        {"steady": 9.0, "loose": 0.0}, weight
    )


@pytest.mark.parametrize("n", [5, 8, 20, 50])
def test_fresh_normal_clips_alarm_at_the_nominal_rate(n: int) -> None:
    """Over many calibrations, small ones by the gamma fit, larger ones by the conformal rank."""
    alarms = []
    for seed in range(200):
        raw, unseen = raw_scores(n, seed=seed), raw_scores(40, seed=10_000 + seed)
        calibration = Calibration.fit(raw, RESOLUTION, RELIABLE, FAMILIES)

        def score(scores: dict[str, np.ndarray], calibration: Calibration) -> np.ndarray:
            families = calibration.families(calibration.components(tensors(scores)), FAMILIES)
            return calibration.join(families).numpy()

        normal = NormalScores(score(raw, calibration))
        threshold = normal.threshold(ThresholdConfig(false_alarm_rate=0.1))
        alarms.append(np.mean(score(unseen, calibration) > threshold))
    assert 0.07 < np.mean(alarms) < 0.14
