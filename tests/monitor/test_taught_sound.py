"""The parts of a detector that the monitor asks for: samples as files, more normals, gain."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from audio_anomaly_detector.config import Config, load_config
from audio_anomaly_detector.data.audio import AudioConfig, convert_samples, examine_clip
from audio_anomaly_detector.data.clips import Clip, MachineKey
from audio_anomaly_detector.detector import Detector
from audio_anomaly_detector.errors import UserError
from synthetic_data import SAMPLE_RATE, TINY, hum, knock


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Detector:
    folder = tmp_path_factory.mktemp("hums")
    clips = []
    for seed in range(12):
        path = folder / f"{seed}.wav"
        soundfile.write(path, hum(seed, 1, 4.0), SAMPLE_RATE)
        clips.append(Clip(path, path.name, 0, MachineKey("", "pump", "")))
    config = load_config("small", overrides=(*TINY, "scoring.families=[logmel,envelope,level]"))
    return Detector.fit(clips, config, device="cpu").detector


@pytest.mark.parametrize(
    "rate, channels", [(16_000, "all"), (44_100, "all"), (8000, 1), (48_000, "mean")]
)
def test_samples_are_converted_as_a_file_is(tmp_path: Path, rate: int, channels: str | int) -> None:
    samples = (0.1 * np.random.default_rng(0).standard_normal((2, 3 * rate))).astype(np.float32)
    samples[:, rate : rate + rate // 10] = 0.0
    path = tmp_path / "sound.wav"
    soundfile.write(path, samples.T, rate, "FLOAT")
    config = AudioConfig(channels=channels)
    reading = examine_clip(Clip(path, path.name, None, MachineKey("", "", "")), config)
    waveform, faults = convert_samples(samples, rate, config)
    np.testing.assert_array_equal(waveform, reading.waveform)
    assert faults == reading.faults
    assert faults


def test_a_channel_that_is_not_there_is_an_error() -> None:
    with pytest.raises(UserError, match="no channel 2"):
        convert_samples(np.zeros((2, 16_000), np.float32), 16_000, AudioConfig(channels=2))


def test_sound_that_joins_the_banks_is_normal_and_changes_no_other_score(fitted: Detector) -> None:
    knocks = [knock(seed, 1, 4.0).T for seed in range(4)]
    hums = [hum(100 + seed, 1, 4.0).T for seed in range(4)]
    taught = fitted.with_normal_sound(knocks[:2])
    before, after = fitted.score_waveforms(knocks[2:]), taught.score_waveforms(knocks[2:])
    assert all(score.is_anomalous for score in before)
    for one, other in zip(before, after, strict=True):
        assert other.score < 0.5 * one.score
    assert taught.threshold == fitted.threshold
    assert [score.score for score in taught.score_waveforms(hums)] == pytest.approx(
        [score.score for score in fitted.score_waveforms(hums)]
    )
    assert fitted.score_waveforms(knocks[2:]) == before  # it is unchanged


def test_banks_are_bounded(fitted: Detector) -> None:
    scoring = fitted.config.scoring.model_copy(update={"bank_capacity": 13})
    config: Config = fitted.config.model_copy(update={"scoring": scoring})
    full = replace(fitted, config=config)
    with pytest.raises(UserError, match="no room"):
        full.with_normal_sound([hum(seed, 1, 4.0).T for seed in range(2)])


def test_a_gain_is_even_and_another_spectrum_is_not(fitted: Detector) -> None:
    usual = fitted.conditions[0]
    sound = hum(200, 1, 4.0).T
    for gain in (-6.0, 0.0, 3.0):
        found = usual.even_gain((sound * 10 ** (gain / 20)).astype(np.float32))
        assert found == pytest.approx(gain, abs=0.7)
    hiss = 0.02 * np.random.default_rng(1).standard_normal(sound.shape)
    high = np.fft.irfft(
        np.fft.rfft(hiss) * (np.fft.rfftfreq(sound.shape[1]) > 0.25), sound.shape[1]
    )
    assert usual.even_gain((sound + high).astype(np.float32)) is None
