"""The documented hyper-parameters at full size: one step of every stage, then a score."""

import math
from pathlib import Path

import pytest
import soundfile

from audio_anomaly_detector.config import load_config
from audio_anomaly_detector.data.layouts import find_clips
from audio_anomaly_detector.detector import Detector
from synthetic_data import SAMPLE_RATE, hum, knock


@pytest.mark.slow
def test_the_paper_preset_trains_a_step_of_each_stage_and_scores(tmp_path: Path) -> None:
    for seed in range(4):
        soundfile.write(tmp_path / f"{seed}.wav", hum(seed, channels=1, seconds=10), SAMPLE_RATE)
    steps = [
        f"stages.{stage}.{key}={value}"
        for stage in ("despawn", "transformer", "vqvae")
        for key, value in (("epochs", 1), ("steps_per_epoch", 1), ("batch_size", 2))
    ]
    config = load_config("paper", overrides=[*steps, "scoring.hold_out_from=4"])
    result = Detector.fit(find_clips(tmp_path).clips, config)
    assert [epoch.stage for epoch in result.history] == ["despawn", "transformer", "vqvae"]
    networks = result.detector.pipeline.networks
    assert networks is not None
    assert networks.despawn.config.levels == 17
    assert sum(p.numel() for p in networks.transformer.parameters()) > 85e6
    score = result.detector.score(knock(1, channels=1, seconds=10).T)
    assert math.isfinite(score.score)
    assert {"wavelet", "masked", "embedding", "vq"} <= set(score.families)
