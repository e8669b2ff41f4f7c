"""Axes of every component: one entry a feature, at frequencies that exist, at any sample rate."""

import numpy as np
import pytest
import torch

from audio_anomaly_detector.config import Config, load_config
from audio_anomaly_detector.models.networks import Networks
from audio_anomaly_detector.pipeline import feature_axes, make_measure
from audio_anomaly_detector.scoring.components import COMPONENTS, SIGNAL_COMPONENTS
from audio_anomaly_detector.scoring.signals import (
    SignalConfig,
    envelope_bins,
    envelope_frame,
    modulation_frames,
    narrow_edges,
    narrow_frame,
    packet_levels,
)
from synthetic_data import TINY

CPU = torch.device("cpu")


def config_at(rate: int) -> Config:
    audio = {"sample_rate": rate, "length": 4 * rate}
    return load_config("small", overrides=[o for o in TINY if "length" not in o], audio=audio)


@pytest.mark.parametrize("rate", [8000, 16_000, 44_100, 48_000])
def test_axes_have_one_entry_a_feature(rate: int) -> None:
    config = config_at(rate)
    measure = make_measure(config, 3, CPU)
    networks = Networks(config.despawn, config.transformer, config.vqvae, 16).eval()
    waveform = 0.05 * torch.randn(1, 3, config.audio.length)
    statistics = measure.of_windows(waveform, networks).statistics
    axes = feature_axes(config, 3)
    assert axes.keys() == statistics.keys() == COMPONENTS.keys()
    for name, values in statistics.items():
        hz, rate_hz, seconds = axes[name]
        for axis in (hz, rate_hz):
            if axis is not None:
                assert axis.shape == (values.shape[-1],), name
                assert (axis >= 0).all() and (axis <= rate / 2).all(), name
        assert seconds is None or 0 < seconds <= 4, name
    located = {name for name, (hz, _, _) in axes.items() if hz is not None}
    assert set(SIGNAL_COMPONENTS) - located == {"level"}


@pytest.mark.parametrize("rate", [16_000, 48_000])
def test_a_tone_is_found_where_the_axes_place_it(rate: int) -> None:
    config = config_at(rate)
    measure = make_measure(config, 1, CPU)
    time = torch.arange(config.audio.length) / rate
    tone = 0.1 * torch.sin(2 * torch.pi * 3010 * time) + 1e-4 * torch.randn(len(time))
    statistics = measure.of_windows(tone[None, None], None).statistics
    axes = feature_axes(config, 1)
    for name, tolerance in (("spectrum", 30), ("logmel_mean", 250), ("packet_energy", 130)):
        hz = axes[name].hz
        assert hz is not None
        assert abs(hz[int(statistics[name][0, 0].argmax())] - 3010) < tolerance, name


def test_modulation_is_found_at_its_rate() -> None:
    config = config_at(16_000)
    measure = make_measure(config, 1, CPU)
    time = torch.arange(config.audio.length) / 16_000
    swing = (1 + 0.9 * torch.sin(2 * torch.pi * 20 * time)) * torch.randn(len(time)) * 0.05
    values = measure.of_windows(swing[None, None], None).statistics["modulation"][0, 0]
    rates = feature_axes(config, 1)["modulation"].rate_hz
    assert rates is not None
    at = rates[int(values.argmax())]
    assert 15 < at < 26


@pytest.mark.parametrize("rate", [1000, 8000, 11_025, 16_000, 22_050, 44_100, 48_000, 96_000])
def test_resolution_is_in_seconds_and_hz_at_every_rate(rate: int) -> None:
    config = SignalConfig()
    n_fft, hop = envelope_frame(config, rate)
    assert hop / rate == pytest.approx(0.002, rel=0.05)
    assert n_fft / rate == pytest.approx(0.004, rel=0.05)
    assert envelope_bins(config, rate) * rate / n_fft == pytest.approx(500, rel=0.2)
    frames = modulation_frames(config, rate, 10**6)
    assert frames * hop / rate == pytest.approx(2.048, rel=0.01)
    frame = narrow_frame(config, rate, 10 * rate)
    edges = np.array(narrow_edges(config, rate, 10 * rate)) * rate / frame
    assert np.diff(edges)[0] == pytest.approx(7.8, rel=0.02)
    assert 125 <= rate / 2 / 2 ** packet_levels(config, rate) <= 500


def test_at_16_khz_the_samples_are_those_of_the_first_models() -> None:
    """Their banks would not fit otherwise."""
    config = SignalConfig()
    assert envelope_frame(config, 16_000) == (64, 32)
    assert envelope_bins(config, 16_000) == 2
    assert modulation_frames(config, 16_000, 5001) == 1024
    assert packet_levels(config, 16_000) == 5
    assert narrow_frame(config, 16_000, 160_000) == 4096
    edges = narrow_edges(config, 16_000, 160_000)
    assert edges[:129] == tuple(range(0, 257, 2)) and len(edges) == 128 + 192 + 1
