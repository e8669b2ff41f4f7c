"""The baseline with a pretrained encoder, here with random weights of the same architecture."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from audio_anomaly_detector.benchmark import pretrained_encoder
from audio_anomaly_detector.benchmark.detectors import DETECTORS
from audio_anomaly_detector.benchmark.pretrained_encoder import PretrainedEncoder
from audio_anomaly_detector.cli import main
from audio_anomaly_detector.config import load_config
from audio_anomaly_detector.data.clips import Clip
from synthetic_data import TINY, hum

transformers = pytest.importorskip("transformers", reason="the extra 'encoder' is not installed")


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    torch.manual_seed(0)
    size = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = transformers.ASTConfig(**size, intermediate_size=32)
    transformers.ASTModel(config).save_pretrained(tmp_path / "ast")
    transformers.ASTFeatureExtractor().save_pretrained(tmp_path / "ast")
    monkeypatch.setattr(pretrained_encoder, "WEIGHTS", str(tmp_path / "ast"))
    return tmp_path / "ast"


@torch.no_grad()
def test_features_are_the_mean_over_time_of_patches_of_one_height(weights: Path) -> None:
    baseline = PretrainedEncoder()
    waveform = torch.from_numpy(hum(0, channels=2).T)  # 8 s
    features = baseline.features(waveform)
    assert features.shape == (2, 12, 32)
    assert torch.allclose(features.norm(dim=-1), torch.ones(2, 12), atol=1e-5)
    mels = baseline.front_end(waveform[0].numpy(), sampling_rate=16_000, return_tensors="pt")
    tokens = baseline.encoder(**mels).last_hidden_state[0, 2:]
    in_time = (1024 - 16) // 10 + 1
    third = tokens[3 * in_time : 4 * in_time]
    filled = third[: (798 - 16) // 10 + 1].mean(0)  # of 798 frames, padded to 1024
    assert torch.allclose(features[0, 3], filled / filled.norm(), atol=1e-5)


def test_the_score_is_the_mean_over_sub_bands_of_the_nearest_distance(weights: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    normals, others = (torch.randn(n, 2, 3, 4, generator=generator) for n in (5, 2))
    scores = PretrainedEncoder().fit(normals, 0)(others)["score"]
    distances = [
        min(float((others[1, 0, band] - normal[0, band]).norm()) for normal in normals)
        for band in range(3)
    ]
    assert scores.shape == (2, 2)
    assert scores[1, 0] == pytest.approx(np.mean(distances))


def test_it_runs_where_the_weights_are(weights: Path, clips: list[Clip]) -> None:
    encoder = DETECTORS["encoder"]
    assert encoder.missing() is None
    config = load_config("small", overrides=TINY)
    normals = [clip for clip in clips if clip.label == 0]
    result = encoder.run(normals, clips, config, None)
    assert np.isfinite(result.scores["score"]).all()


def test_without_weights_it_is_skipped_with_the_reason(
    data_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(pretrained_encoder, "WEIGHTS", "nobody/nothing")
    command = ["aad", "benchmark", "--root", str(data_root), "--out", str(tmp_path / "out")]
    monkeypatch.setattr(sys, "argv", [*command, "--detectors", "encoder"])
    with pytest.raises(SystemExit) as exit_:
        main()
    assert exit_.value.code == 2
    told = capsys.readouterr().err
    assert "skipped encoder: its weights are not on disk; fetch them with" in told
    assert "no detector is left" in told
