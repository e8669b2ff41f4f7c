"""Statistics of clips: averaged over windows and views, and of each clip alone."""

import pytest
import torch
from torch import Tensor

from audio_anomaly_detector.config import load_config
from audio_anomaly_detector.models.logmel import LogMel, LogMelConfig
from audio_anomaly_detector.models.networks import Networks
from audio_anomaly_detector.scoring.augmentation import make_views
from audio_anomaly_detector.scoring.components import COMPONENTS, FAMILIES, SIGNAL_FAMILIES
from audio_anomaly_detector.scoring.measurement import ClipStatistics, clips_at_once
from audio_anomaly_detector.scoring.signals import SignalConfig
from synthetic_data import TINY

SAMPLES = 16_384


@pytest.fixture
def small_networks() -> Networks:
    config = load_config("small", overrides=[*TINY, "logmel.n_mels=16"])
    torch.manual_seed(0)
    return Networks(config.despawn, config.transformer, config.vqvae, 8).eval()


def measure_with(
    views: int, families: tuple[str, ...] = SIGNAL_FAMILIES, microphones: int = 2
) -> ClipStatistics:
    logmel = LogMel(LogMelConfig(n_mels=16, n_fft=512))
    components = [
        name
        for name, component in COMPONENTS.items()
        if component.family in families and component.microphones <= microphones
    ]
    return ClipStatistics(logmel, SignalConfig(), components, microphones, views, -30.0, seed=3)


def windows(count: int, seed: int = 0) -> Tensor:
    return 0.1 * torch.randn(count, 2, SAMPLES, generator=torch.Generator().manual_seed(seed))


def test_statistics_are_the_mean_over_windows() -> None:
    measure, clip = measure_with(views=0), windows(3)
    whole = measure([clip], None).statistics
    parts = [measure([window[None]], None).statistics for window in clip]
    assert whole.keys() == measure.components.keys()
    for name, values in whole.items():
        assert values.shape[:2] == (1, 2)
        torch.testing.assert_close(values, torch.stack([part[name] for part in parts]).mean(0))


def test_statistics_are_the_mean_over_views() -> None:
    clip = windows(1)
    averaged = measure_with(views=2)([clip], None).statistics
    views = make_views(clip, 2, -30.0, 3)[0]  # (V, C, T)
    each = measure_with(views=0)(list(views[:, None]), None).statistics
    for name, values in averaged.items():
        torch.testing.assert_close(values, each[name].mean(0, keepdim=True))
        assert not torch.equal(values[0], each[name][0]), name


def test_a_clip_is_measured_the_same_alone_and_among_others() -> None:
    measure, clips = measure_with(views=1), [windows(2, 1), windows(1, 2), windows(3, 3)]
    together = measure(clips, None).statistics
    for position, clip in enumerate(clips):
        for name, values in measure([clip], None).statistics.items():
            torch.testing.assert_close(together[name][position], values[0])


def test_networks_add_their_components_and_on_request_maps(small_networks: Networks) -> None:
    measure, clips = measure_with(1, FAMILIES), [windows(2), windows(1)]
    measured = measure(clips, small_networks)
    assert measured.statistics.keys() == measure.components.keys()
    assert measured.nll is None and measured.latent is not None
    assert len(measured.latent) == 3
    of_networks = measure(clips, small_networks, of_signal=False, with_maps=True)
    assert of_networks.statistics.keys() == measure.network_components.keys()
    assert of_networks.nll is not None and of_networks.nll.shape[:2] == (3, 16)


def test_clips_that_are_measured_together_fill_a_thread() -> None:
    assert [clips_at_once(n) for n in (1, 2, 8, 16)] == [8, 4, 1, 1]
