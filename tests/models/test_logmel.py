import librosa
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import Tensor

from audio_anomaly_detector.errors import UserError
from audio_anomaly_detector.models.logmel import FRAMES_AT_ONCE, LogMel, LogMelConfig, mel_filters

CONFIGS = [
    LogMelConfig(),
    LogMelConfig(n_mels=64, n_fft=2048),
    LogMelConfig(n_mels=40, n_fft=512, hop_length=160, f_min=50.0, f_max=6000.0),
    LogMelConfig(sample_rate=44_100, n_fft=2048, hop_length=441),
    LogMelConfig(n_mels=40, n_fft=1023),
]


def machine_sound(samples: int, seed: int = 0) -> Tensor:
    """Noise, a hum and near-silence in one waveform."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(samples, generator=generator) * 0.05
    hum = 0.2 * torch.sin(torch.arange(samples) * 0.05)
    return (noise + hum) * torch.linspace(0, 1, samples) ** 4


def librosa_decibels(waveform: Tensor, config: LogMelConfig) -> np.ndarray:
    power = librosa.feature.melspectrogram(
        y=waveform.numpy(),
        sr=config.sample_rate,
        n_fft=config.n_fft,
        hop_length=config.hop_length,
        n_mels=config.n_mels,
        fmin=config.f_min,
        fmax=config.f_max,
        pad_mode="reflect",
    )
    return librosa.power_to_db(power, ref=1.0, amin=1e-10, top_db=None)


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_filters_equal_librosa(config: LogMelConfig) -> None:
    expected = librosa.filters.mel(
        sr=config.sample_rate,
        n_fft=config.n_fft,
        n_mels=config.n_mels,
        fmin=config.f_min,
        fmax=config.f_max,
    )
    np.testing.assert_allclose(mel_filters(config).numpy(), expected, atol=1e-6)


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_spectrogram_equals_librosa(config: LogMelConfig) -> None:
    waveform = machine_sound(20_000)
    expected = librosa_decibels(waveform, config)
    np.testing.assert_allclose(LogMel(config)(waveform).numpy(), expected, atol=1e-3)


def test_long_clip_in_parts_is_the_whole() -> None:
    config = LogMelConfig()
    waveform = machine_sound((2 * FRAMES_AT_ONCE + 7) * config.hop_length)
    spectrogram = LogMel(config)(waveform)
    assert spectrogram.shape == (128, 2 * FRAMES_AT_ONCE + 8)
    np.testing.assert_allclose(spectrogram.numpy(), librosa_decibels(waveform, config), atol=1e-3)


def test_clip_is_the_same_alone_and_in_a_batch() -> None:
    logmel = LogMel(LogMelConfig())
    batch = torch.stack([machine_sound(5000, seed) for seed in range(6)]).view(2, 3, 5000)
    together = logmel(batch)
    assert together.shape == (2, 3, 128, 10)
    torch.testing.assert_close(together[1, 2], logmel(batch[1, 2]), rtol=0, atol=1e-6)


@settings(max_examples=20, deadline=None)
@given(samples=st.integers(513, 4000))
def test_any_length_from_half_a_frame_on(samples: int) -> None:
    spectrogram = LogMel(LogMelConfig())(machine_sound(samples))
    assert spectrogram.shape == (128, samples // 512 + 1)
    assert spectrogram.isfinite().all()


@pytest.mark.parametrize("samples", [0, 3, 512])
def test_shorter_than_half_a_frame_is_refused(samples: int) -> None:
    with pytest.raises(UserError, match="at least 513"):
        LogMel(LogMelConfig())(torch.zeros(1, samples))


def test_silence_is_the_floor() -> None:
    assert (LogMel(LogMelConfig())(torch.zeros(2000)) == -100).all()


def test_more_bands_than_bins_is_refused() -> None:
    with pytest.raises(UserError, match="greater n_fft"):
        LogMel(LogMelConfig(n_mels=256, n_fft=512))


@pytest.mark.parametrize("wrong", [{"f_max": 9000.0}, {"f_min": 500.0, "f_max": 400.0}])
def test_impossible_edges_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValidationError, match="half the sample rate"):
        LogMelConfig(**wrong)


def test_exports_for_any_batch_and_length() -> None:
    logmel = LogMel(LogMelConfig())
    batch, time = torch.export.Dim("batch"), torch.export.Dim("time", min=1024, max=200_000)
    shapes = ({0: batch, 1: time},)
    example = machine_sound(6000).view(2, 3000)
    program = torch.export.export(logmel, (example,), dynamic_shapes=shapes).module()
    other = machine_sound(27_000).view(3, 9000)
    torch.testing.assert_close(program(other), logmel(other), rtol=0, atol=1e-4)
