"""Baselines without a network: each measures what its description says."""

import numpy as np
import pytest
import torch
from sklearn.mixture import GaussianMixture

from audio_anomaly_detector.benchmark import classical
from audio_anomaly_detector.benchmark.classical import (
    GWRP_RATIOS,
    LevelOnly,
    LogMelStatistics,
    TwfrGmm,
    gwrp_column,
)
from audio_anomaly_detector.benchmark.detectors import DETECTORS
from audio_anomaly_detector.config import load_config
from audio_anomaly_detector.data.clips import Clip

# In files of their own: trained with fewer steps, or with weights that are not on disk.
NEURAL = ("dcase", "idnn", "despawn", "transformer", "vqvae", "encoder")
BACK_ENDS = [
    classical.nearest_neighbour,
    classical.mahalanobis,
    classical.local_outlier_factor,
    classical.one_class_svm,
    classical.isolation_forest,
]


def noise(n: int, microphones: int = 2, scale: float = 0.05, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(n, microphones, 16_000, generator=generator)


@pytest.mark.parametrize("back_end", BACK_ENDS)
def test_every_back_end_scores_what_lies_far_off_higher(back_end: classical.BackEnd) -> None:
    rng = np.random.default_rng(0)
    score = back_end(rng.normal(size=(40, 8)), 0)
    near, far = score(rng.normal(size=(20, 8))), score(rng.normal(size=(20, 8)) + 6)
    assert near.shape == (20,)
    assert far.min() > near.max()


def test_level_only_measures_a_change_of_gain_in_db_and_nothing_else() -> None:
    baseline = LevelOnly()
    normals = torch.stack([baseline.features(clip) for clip in noise(5)])
    score = baseline.fit(normals, 0)
    louder = baseline.features(10 ** (6 / 20) * noise(1)[0])[None]
    assert score(louder)["score"][0, 0] == pytest.approx(6, abs=0.2)
    other_sound = noise(1, seed=3)[0].sign() * 0.05
    assert score(baseline.features(other_sound)[None])["score"][0, 0] < 0.2


def test_gwrp_runs_from_the_maximum_to_the_mean() -> None:
    baseline = TwfrGmm()
    clip = noise(1)[0]
    logmel = baseline.logmel(clip)
    pooled = baseline.features(clip)
    assert torch.allclose(pooled[:, 0], logmel.amax(-1), atol=1e-4)
    assert torch.allclose(pooled[:, -1], logmel.mean(-1), atol=1e-3)
    assert (pooled.diff(dim=1) <= 1e-4).all()  # the more frames count, the lower


def test_twfr_scores_by_the_density_of_one_gaussian() -> None:
    rng = np.random.default_rng(0)
    normals = torch.from_numpy(rng.normal(size=(12, 1, len(GWRP_RATIOS), 4))).float()
    others = torch.from_numpy(rng.normal(size=(5, 1, len(GWRP_RATIOS), 4))).float()
    scores = TwfrGmm().fit(normals, 0)(others)
    assert list(scores) == [gwrp_column(ratio) for ratio in GWRP_RATIOS]
    gmm = GaussianMixture(1, reg_covar=1e-6, tol=1e-6).fit(normals[:, 0, 2].double().numpy())
    expected = -gmm.score_samples(others[:, 0, 2].double().numpy())
    assert np.allclose(scores[gwrp_column(GWRP_RATIOS[2])][:, 0], expected)


@pytest.mark.parametrize(
    "name", [name for name, each in DETECTORS.items() if not (each.is_ours or name in NEURAL)]
)
def test_every_rival_finds_the_knock_and_reports_its_cost(name: str, clips: list[Clip]) -> None:
    normals = [clip for clip in clips if clip.label == 0]
    test = [*normals[6:], *(clip for clip in clips if clip.label == 1)]
    result = DETECTORS[name].run(normals[:6], test, load_config("small"), None)
    for scores in result.scores.values():
        assert scores.shape == (5,)
        if name != "forest":  # six clips are too few for a forest
            assert scores[2:].min() > scores[:2].max()
    assert result.fit_seconds > 0 and result.score_milliseconds > 0


def test_a_quiet_microphone_does_not_hide_the_other() -> None:
    """Each microphone counts in its own units, whatever the size of its scores."""
    baseline = LogMelStatistics(classical.nearest_neighbour)
    normals = noise(8)
    normals[:, 1] *= 1e-3
    features = torch.stack([baseline.features(clip) for clip in normals])
    score = baseline.fit(features, 0)
    changed = noise(1, seed=9)[0].cumsum(-1) * torch.tensor([[0.02], [2e-5]])
    raw = score(baseline.features(changed)[None])["score"]
    assert raw.shape == (1, 2)
    assert raw[0, 1] == pytest.approx(raw[0, 0], rel=0.5)
