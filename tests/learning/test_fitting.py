"""The two steps of a fit: cross-fitted scores of normal clips, then the pipeline that is kept."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from audio_anomaly_detector.config import Config
from audio_anomaly_detector.data.cache import build_store
from audio_anomaly_detector.data.clips import Clip, Fold
from audio_anomaly_detector.detector import Detector
from audio_anomaly_detector.errors import UserError
from audio_anomaly_detector.learning import cross_fitting, stages
from audio_anomaly_detector.learning.cross_fitting import NetworkSource, cross_fit, final_fit
from audio_anomaly_detector.learning.fitting import fit
from audio_anomaly_detector.learning.folds import calibration_size, network_folds
from audio_anomaly_detector.learning.measurements import Measurements
from audio_anomaly_detector.learning.stages import fit_networks
from audio_anomaly_detector.learning.training_data import TrainingData
from audio_anomaly_detector.models.networks import Networks
from audio_anomaly_detector.pipeline import make_measure
from audio_anomaly_detector.progress import SILENT
from audio_anomaly_detector.scoring import usual_sound
from audio_anomaly_detector.scoring.bank import Bank
from audio_anomaly_detector.scoring.threshold import ThresholdConfig
from audio_anomaly_detector.training import warmup_cosine
from recorded_progress import RecordedProgress

CPU = torch.device("cpu")


@pytest.fixture
def measurements(normals: list[Clip], tiny: Config, tmp_path: Path) -> Measurements:
    store = build_store(normals, tiny.audio, tmp_path / "windows")
    measure = make_measure(tiny, store.windows.shape[1], CPU)
    return Measurements(TrainingData(store, tiny, measure.logmel, tmp_path, CPU, SILENT), measure)


def with_scoring(config: Config, **changes: object) -> Config:
    return config.model_copy(update={"scoring": config.scoring.model_copy(update=changes)})


def test_few_clips_are_cross_fitted_and_many_held_out(normals: list[Clip], tiny: Config) -> None:
    few = network_folds(normals, tiny)
    assert len(few.cross) == tiny.scoring.folds and few.epoch_factor == 1
    assert few.final == Fold(list(range(len(normals))), [])
    held_out = [clip for fold in few.cross for clip in fold.held_out]
    assert sorted(held_out) == list(range(len(normals)))
    many = [replace(normals[0], path=Path(f"{i}.wav"), name=f"{i}") for i in range(100)]
    config = with_scoring(tiny, hold_out_from=100)
    folds = network_folds(many, config)
    assert folds.cross == [] and len(folds.final.held_out) == 20
    assert set(folds.final.fit).isdisjoint(folds.final.held_out)


@pytest.mark.parametrize("others", [0, 2, 50])
def test_no_single_group_of_many_clips_is_what_is_held_out(
    normals: list[Clip], tiny: Config, others: int
) -> None:
    """Its scores would set the threshold alone."""
    config = with_scoring(tiny, hold_out_from=100)
    names = ["a"] * (100 - others) + [f"{i // 25}" for i in range(others)]
    many = [
        replace(normals[0], path=Path(f"{i}.wav"), name=f"{i}", group=name)
        for i, name in enumerate(names)
    ]
    folds = network_folds(many, config)
    if others:
        assert len(folds.cross) == tiny.scoring.folds and folds.final.held_out == []
    else:  # blocks of the only one
        assert folds.cross == [] and len(folds.final.held_out) == 20
    assert calibration_size(many, config) == (len(set(names)) if others else 2)


def test_the_size_of_the_calibration_is_known_beforehand(
    normals: list[Clip], tiny: Config, without_networks: Config
) -> None:
    many = [replace(normals[0], path=Path(f"{i}.wav"), name=f"{i}") for i in range(100)]
    for config, size in ((tiny, 20), (without_networks, 100)):
        assert calibration_size(many, with_scoring(config, hold_out_from=100)) == size
        assert calibration_size(many, config) == 100
    pooled = with_scoring(tiny, hold_out_from=100).model_copy(update={"pool": "all"})
    assert calibration_size(many, pooled) == 100


def test_a_clip_is_scored_by_banks_without_it(
    measurements: Measurements, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the clip in the bank its distance would be 0."""
    raw = cross_fit(measurements, None, {}, []).fixed
    assert raw.keys() == measurements.measure.signal_components.keys()
    sizes: list[int] = []

    def counted(statistics: torch.Tensor, *rest: object) -> Bank:
        sizes.append(len(statistics))
        return original(statistics, *rest)

    original = Bank.fit
    monkeypatch.setattr(cross_fitting.Bank, "fit", counted)
    cross_fit(measurements, None, {}, [])
    clips = len(measurements.data.store.clips)
    assert set(sizes) == {clips - 1}
    for name, values in raw.items():
        assert values.shape == (clips, 2), name
        assert np.isfinite(values).all() and (values > 0).all(), name


def test_networks_are_cross_fitted_then_kept(measurements: Measurements) -> None:
    told = RecordedProgress()
    source = NetworkSource(measurements.data, told)
    cross = cross_fit(measurements, source, {}, [])
    assert told.epochs == []  # networks that are dropped
    assert sorted(cross.network_clips) == list(range(8))
    assert cross.network.keys() == measurements.measure.network_components.keys()
    assert all(values.shape == (8, 2) for values in cross.network.values())
    final = final_fit(measurements, source, {}, [])
    assert told.epochs == final.history != []
    assert final.networks is not None and final.perplexity is not None
    assert (final.network, final.network_clips) == ({}, [])
    assert final.banks.keys() == final.surrogates.keys() == measurements.measure.components.keys()


def test_of_many_clips_the_networks_that_are_kept_hold_some_out(
    normals: list[Clip], tiny: Config, tmp_path: Path
) -> None:
    config = with_scoring(tiny, hold_out_from=8)
    store = build_store(normals, config.audio, tmp_path / "windows")
    measure = make_measure(config, store.windows.shape[1], CPU)
    data = TrainingData(store, config, measure.logmel, tmp_path, CPU, SILENT)
    held_out = Measurements(data, measure)
    source = NetworkSource(data, SILENT)
    assert cross_fit(held_out, source, {}, []).network == {}
    final = final_fit(held_out, source, {}, [])
    assert 0 < len(final.network_clips) < 8
    assert len(final.network["wavelet_energy"]) == len(final.network_clips)
    assert len(final.levels) == len(final.network_clips)
    assert source.clips_for_maps == sorted(final.network_clips)
    assert len(final.banks["wavelet_energy"].clips) == 8 - len(final.network_clips)
    assert len(final.banks["spectrum"].clips) == 8


def test_the_levels_of_maps_are_those_of_held_out_clips_at_no_further_cost(
    measurements: Measurements, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = NetworkSource(measurements.data, SILENT)
    heard: list[int] = []
    measured: list[tuple[Networks, list[int]]] = []

    def counted(networks: Networks, waveform: torch.Tensor, logmel: torch.Tensor) -> object:
        heard.append(len(waveform))
        return forward(networks, waveform, logmel)

    def watched(
        self: Measurements, networks: Networks | None, what: str, clips: range, mapped: set[int]
    ) -> object:
        if networks is not None:
            measured.append((networks, sorted(mapped)))
        return with_levels(self, networks, what, clips, mapped)

    forward, with_levels = Networks.forward, Measurements.with_levels
    monkeypatch.setattr(Networks, "forward", counted)
    monkeypatch.setattr(Measurements, "with_levels", watched)
    levels = cross_fit(measurements, source, {}, []).levels
    folds = source.folds.cross
    assert [clips for _, clips in measured] == [sorted(fold.held_out) for fold in folds]
    assert sum(heard) == len(folds) * len(measurements.data.store.windows)
    assert len(levels) == 8
    assert all(values.shape[:2] == (15, 3) for of in levels for values in of.values())
    # Those of the fold's own networks: the clips that they were trained on lie elsewhere.
    networks, clips = measured[0]
    _, own = with_levels(measurements, networks, "", range(8), set(clips))
    _, others = with_levels(measurements, measured[1][0], "", range(8), set(clips))
    name = "masked prediction"
    assert [of[name].tolist() for of in levels[: len(clips)]] == [of[name].tolist() for of in own]
    assert all((of[name] != other[name]).any() for of, other in zip(own, others, strict=True))
    statistics = measurements.statistics(networks, "", range(8))
    with_maps, _ = with_levels(measurements, networks, "", range(8), {3})
    assert all(torch.equal(with_maps[name], values) for name, values in statistics.items())


def test_levels_of_maps_are_kept_of_some_clips_only(
    measurements: Measurements, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(usual_sound, "MOST_CLIPS", 5)
    source = NetworkSource(measurements.data, SILENT)
    assert len(source.clips_for_maps) == 5
    assert set(source.clips_for_maps) < set(source.calibration_clips)
    levels = cross_fit(measurements, source, {}, []).levels
    assert len(levels) == 5
    usual = measurements.data.usual_sound(levels)
    assert usual is not None and usual.networks.keys() == levels[0].keys()
    few = measurements.data.usual_sound(levels[:3])
    assert few is not None and few.networks == {}


def test_stages_train_in_order_and_depend_on_their_clips_alone(
    measurements: Measurements,
) -> None:
    told = RecordedProgress()
    first, history, perplexity = fit_networks(measurements.data, [0, 1, 2, 3], "final", 1, told)
    assert [epoch.stage for epoch in history] == ["despawn"] * 2 + ["transformer"] * 2 + [
        "vqvae"
    ] * 2
    assert told.epochs == history and perplexity >= 1
    again, _, _ = fit_networks(measurements.data, [0, 1, 2, 3], "again", 1, SILENT)
    other, _, _ = fit_networks(measurements.data, [4, 5, 6, 7], "other", 1, SILENT)
    name = "transformer.patch_embedding.weight"
    assert torch.equal(first.state_dict()[name], again.state_dict()[name])
    assert not torch.equal(first.state_dict()[name], other.state_dict()[name])
    _, twice, _ = fit_networks(measurements.data, [0, 1, 2, 3], "longer", 2, SILENT)
    assert len(twice) == 2 * len(history)


def test_the_learning_rate_of_an_epoch_is_that_of_its_last_step(
    measurements: Measurements,
) -> None:
    _, history, _ = fit_networks(measurements.data, [0, 1, 2, 3], "final", 1, SILENT)
    for epoch in history:
        config = getattr(measurements.data.config.stages, epoch.stage)
        factor = warmup_cosine(config.warmup, config.epochs * config.steps_per_epoch)
        last = epoch.epoch * config.steps_per_epoch - 1
        assert epoch.learning_rate == config.learning_rate * factor(last)


def test_a_fit_calibrates_on_every_clip(normals: list[Clip], tiny: Config, tmp_path: Path) -> None:
    store = build_store(normals, tiny.audio, tmp_path / "windows")
    fitted = fit(store, tiny, tmp_path, CPU, SILENT)
    assert sorted(fitted.calibration_clips) == list(range(len(normals)))
    assert len(fitted.normal_scores.of_usual.scores) == len(normals)
    assert fitted.pipeline.banks.keys() == fitted.pipeline.measure.components.keys()


def test_a_threshold_that_cannot_be_drawn_is_refused_before_training(
    normals: list[Clip], tiny: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> None:
        raise AssertionError("trained all the same")

    monkeypatch.setattr(stages, "train", never)
    config = with_scoring(tiny, threshold=ThresholdConfig(method="conformal"))
    with pytest.raises(UserError, match=r"needs 9 calibration clips .* there are 8"):
        Detector.fit(normals, config)
