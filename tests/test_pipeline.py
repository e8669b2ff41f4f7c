"""The one way from windows to evidence."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from audio_anomaly_detector.config import load_config
from audio_anomaly_detector.data.audio import to_windows
from audio_anomaly_detector.data.layouts import find_clips
from audio_anomaly_detector.detector import Detector
from audio_anomaly_detector.errors import UserError
from audio_anomaly_detector.pipeline import Pipeline, feature_axes, make_measure, selected
from audio_anomaly_detector.scoring import measurement
from audio_anomaly_detector.scoring.components import COMPONENTS, SIGNAL_COMPONENTS
from synthetic_data import TINY, hum, knock

SECONDS = [hum(1).shape[0] / 16_000, 4.0, knock(3).shape[0] / 16_000]


@pytest.fixture(scope="module")
def pipeline(data_root: Path) -> Pipeline:
    normals = [clip for clip in find_clips(data_root).clips if clip.label == 0]
    return Detector.fit(normals, load_config("small", overrides=TINY)).detector.pipeline


@pytest.fixture
def batch() -> list[Tensor]:
    """Windows ``(W, 2, T)`` of clips of two, one and two windows."""
    sounds = (hum(1), hum(2, seconds=4), knock(3))
    return [torch.from_numpy(to_windows(sound.T, 65_536, 0.01)) for sound in sounds]


def test_a_clip_has_the_same_evidence_alone_and_in_a_batch(
    pipeline: Pipeline, batch: list[Tensor]
) -> None:
    together = pipeline.score(batch, SECONDS, with_maps=True)
    assert together.latent is not None and together.maps is not None
    for position, clip in enumerate(batch):
        alone = pipeline.score([clip], SECONDS[position : position + 1], with_maps=True)
        assert alone.latent is not None and alone.maps is not None
        torch.testing.assert_close(
            together.evidence.score[position], alone.evidence.score[0], atol=1e-4, rtol=1e-4
        )
        torch.testing.assert_close(together.latent[position], alone.latent[0])
        torch.testing.assert_close(together.maps[position], alone.maps[0], atol=1e-4, rtol=1e-4)


def test_maps_are_given_on_request_and_change_nothing(
    pipeline: Pipeline, batch: list[Tensor]
) -> None:
    without, with_maps = (
        pipeline.score(batch, SECONDS),
        pipeline.score(batch, SECONDS, with_maps=True),
    )
    assert [len(clip) for clip in batch] == [2, 1, 2]
    assert without.maps is None and with_maps.maps is not None
    assert [len(of_clip) for of_clip in with_maps.maps] == [len(clip) for clip in batch]
    assert torch.equal(without.evidence.score, with_maps.evidence.score)


def test_single_precision_scores_nearly_the_same(pipeline: Pipeline, batch: list[Tensor]) -> None:
    double, single = (
        p.score(batch, SECONDS).evidence.score for p in (pipeline, pipeline.single_precision())
    )
    assert (double.dtype, single.dtype) == (torch.float64, torch.float32)
    torch.testing.assert_close(single.double(), double, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("microphones", [1, 2])
def test_axes_are_there_for_every_component_that_is_measured(microphones: int) -> None:
    config = load_config("small", overrides=TINY)
    measured = make_measure(config, microphones, torch.device("cpu")).components
    assert feature_axes(config, microphones).keys() == measured.keys()


def test_components_need_their_family_and_their_microphones() -> None:
    level = load_config("small", overrides=[*TINY, "scoring.families=[level]"])
    assert selected(level, 2) == ["level"]
    everything = load_config("small", overrides=TINY)
    one, two = (set(selected(everything, n)) for n in (1, 2))
    assert one == {name for name in two if COMPONENTS[name].microphones == 1} < two


def test_a_model_measures_the_components_of_its_banks(
    data_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A family that gets another component later changes no older model."""
    normals = [clip for clip in find_clips(data_root).clips if clip.label == 0]
    config = load_config("instant", overrides=[*TINY, "scoring.families=[level,logmel]"])
    detector = Detector.fit(normals, config).detector
    detector.save(tmp_path / "model.pth")
    added = {**SIGNAL_COMPONENTS, "logmel_again": SIGNAL_COMPONENTS["logmel_max"]}
    monkeypatch.setattr(measurement, "SIGNAL_COMPONENTS", added)
    monkeypatch.setitem(COMPONENTS, "logmel_again", added["logmel_again"])
    assert Detector.load(tmp_path / "model.pth").score(knock(1).T) == detector.score(knock(1).T)
    monkeypatch.delitem(COMPONENTS, "logmel_max")
    with pytest.raises(UserError, match="logmel_max"):
        Detector.load(tmp_path / "model.pth")
