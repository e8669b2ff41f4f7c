"""Maps of networks: their cells, and what lies in which."""

import numpy as np
import pytest
import torch

from audio_anomaly_detector.config import Config, load_config
from audio_anomaly_detector.models.logmel import LogMel
from audio_anomaly_detector.models.networks import NetworkOutputs, Networks
from audio_anomaly_detector.pipeline import feature_axes
from audio_anomaly_detector.scoring.network_maps import (
    map_sources,
    network_maps,
    source_cells,
    source_edges,
    within_sound,
)
from synthetic_data import TINY

SAMPLES = 65_536
RATE = 16_000


def outputs_of(config: Config, waveform: torch.Tensor) -> NetworkOutputs:
    torch.manual_seed(0)
    networks = Networks(config.despawn, config.transformer, config.vqvae, 16).eval()
    outputs: NetworkOutputs = networks(waveform, LogMel(config.logmel)(waveform))
    return outputs


@pytest.mark.parametrize("microphones", [1, 3])
def test_every_map_has_the_cells_that_are_said(microphones: int) -> None:
    config = load_config("small", overrides=TINY)
    outputs = outputs_of(config, 0.1 * torch.randn(2, microphones, SAMPLES))
    maps = network_maps(outputs)
    cells = source_cells(maps, config.logmel, config.despawn, SAMPLES)
    rows = 1 if microphones == 1 else 1 + microphones
    assert maps.keys() == cells.keys()
    for name, values in maps.items():
        hz, seconds = cells[name]
        assert values.shape == (2, rows, len(hz) - 1, len(seconds) - 1), name
        assert (np.diff(hz) > 0).all() and (np.diff(seconds) > 0).all()
        assert (hz[0], hz[-1]) == (0, RATE / 2)
        assert (seconds[0], seconds[-1]) == (0, SAMPLES / RATE)
        if microphones > 1:
            torch.testing.assert_close(values[:, 0], values[:, 1:].mean(1))


def test_a_click_and_a_tone_lie_in_their_cells() -> None:
    """Of the wavelet bands, whose values need no training."""
    config = load_config("small", overrides=TINY)
    at, hz = 3.0, 6500.0
    time = torch.arange(SAMPLES) / RATE
    quiet = 1e-4 * torch.randn(1, 1, SAMPLES)
    tone = quiet + 0.1 * torch.sin(2 * torch.pi * hz * time) * ((time - at).abs() < 0.1)
    maps = network_maps(outputs_of(config, tone))
    cells = source_cells(maps, config.logmel, config.despawn, SAMPLES)["wavelet bands"]
    values = maps["wavelet bands"][0, 0]
    band, step = np.unravel_index(int(values.argmax()), values.shape)
    assert cells.hz[band] < hz < cells.hz[band + 1]
    assert cells.seconds[step] - 0.1 < at < cells.seconds[step + 1] + 0.1


@pytest.mark.parametrize("n_mels", [16, 32, 48, 128])
def test_edges_lie_between_the_centres_of_the_features(n_mels: int) -> None:
    config = load_config("small", overrides=[*TINY, f"logmel.n_mels={n_mels}", "logmel.n_fft=1024"])
    edges, axes = source_edges(config.logmel, config.despawn), feature_axes(config, 1)
    names = {"masked prediction": "masked_mean", "wavelet bands": "wavelet_energy"}
    for name, component in names.items():
        hz = axes[component].hz
        assert hz is not None
        assert (edges[name][:-1] < hz).all() and (hz < edges[name][1:]).all(), name
    assert len(edges["codes"]) == 33 and set(edges["codes"]) <= set(edges["masked prediction"])


def test_a_short_clip_ends_where_its_mirror_image_begins() -> None:
    config = load_config("small", overrides=TINY)
    maps = network_maps(outputs_of(config, 0.1 * torch.randn(1, 1, SAMPLES)))
    cells = source_cells(maps, config.logmel, config.despawn, SAMPLES)
    for name, values in maps.items():
        part, within = within_sound(values[0], cells[name], 1.5)
        assert part.shape[-1] == len(within.seconds) - 1 < values.shape[-1]
        assert within.seconds[-1] == 1.5 and (np.diff(within.seconds) > 0).all()
        whole, same = within_sound(values[0], cells[name], SAMPLES / RATE)
        assert whole.shape == values[0].shape and same.seconds[-1] == SAMPLES / RATE


def test_only_what_is_scored_is_a_source() -> None:
    assert map_sources(["logmel", "level"]) == []
    assert map_sources(["vq", "masked", "level"]) == ["masked prediction", "codes"]
