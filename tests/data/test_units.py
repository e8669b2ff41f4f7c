from pathlib import Path

import numpy as np
import pytest
import soundfile

from audio_anomaly_detector.data.audio import AudioConfig
from audio_anomaly_detector.data.layouts import find_clips
from audio_anomaly_detector.data.units import in_full_scale
from audio_anomaly_detector.detector import Detector
from synthetic_data import SAMPLE_RATE, hum, knock


def write(folder: Path, unit: float, subtype: str = "FLOAT") -> None:
    folder.mkdir(exist_ok=True)
    for seed in range(6):
        sound = hum(seed).astype(np.float32) * np.float32(unit)
        soundfile.write(folder / f"{seed}.wav", sound, SAMPLE_RATE, subtype=subtype)


@pytest.mark.parametrize("unit", [1e-12, 3e-9, 1e6, 1e12])
def test_recordings_in_any_unit_come_near_full_scale(tmp_path, unit):
    write(tmp_path, unit)
    scale = in_full_scale(find_clips(tmp_path).clips, AudioConfig()).scale
    assert np.log2(scale) == round(np.log2(scale))
    assert 0.2 < scale * unit * np.abs(hum(0)).max() < 0.6


def test_ordinary_recordings_and_a_chosen_scale_stay(tmp_path):
    for unit, subtype in ((1.0, "FLOAT"), (0.01, "FLOAT"), (30_000.0, "FLOAT"), (1e-4, "PCM_16")):
        write(tmp_path, unit, subtype)
        assert in_full_scale(find_clips(tmp_path).clips, AudioConfig()) == AudioConfig()
    write(tmp_path, 1e-9)
    chosen = AudioConfig(scale=1e9)
    assert in_full_scale(find_clips(tmp_path).clips, chosen) == chosen


def test_verdicts_do_not_depend_on_the_unit(tmp_path):
    write(tmp_path / "full", 1.0)
    write(tmp_path / "metres", 3e-9)
    full, metres = (
        Detector.fit(find_clips(tmp_path / name).clips).detector for name in ("full", "metres")
    )
    assert full.config.audio.scale == 1
    for made in (hum(99).T, knock(99).T):
        sound = made.astype(np.float32)
        expected = full.score(sound)
        score = metres.score(sound * np.float32(3e-9))
        assert score.score == pytest.approx(expected.score, abs=0.05)
        assert score.is_anomalous == expected.is_anomalous
