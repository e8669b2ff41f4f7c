"""One contract for every component of the registries."""

from typing import Any

import pytest
import torch

from audio_anomaly_detector.models.despawn import DespawnConfig
from audio_anomaly_detector.models.logmel import LogMel, LogMelConfig
from audio_anomaly_detector.models.masked_transformer import MaskedTransformerConfig
from audio_anomaly_detector.models.networks import NetworkOutputs, Networks
from audio_anomaly_detector.models.vqvae import VQVAEConfig
from audio_anomaly_detector.scoring.components import (
    NETWORK_COMPONENTS,
    SIGNAL_COMPONENTS,
    Component,
)
from audio_anomaly_detector.scoring.signals import SignalConfig, Signals

BATCH, MICROPHONES, SAMPLES = 3, 2, 32_000


def signals(waveform: torch.Tensor) -> Signals:
    return Signals(waveform, LogMel(LogMelConfig(n_mels=32)), SignalConfig())


@pytest.fixture(scope="module")
def sound() -> Signals:
    generator = torch.Generator().manual_seed(0)
    return signals(0.05 * torch.randn(BATCH, MICROPHONES, SAMPLES, generator=generator))


@pytest.fixture(scope="module")
def networks() -> Networks:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        networks = Networks(
            DespawnConfig(levels=4, packet_levels=2),
            MaskedTransformerConfig(
                n_mels=32, patch_mels=8, width=16, depth=1, heads=2, decoder_width=16
            ),
            VQVAEConfig(fusion_width=16, latent_width=4, heads=2),
            n_codes=16,
        )
    return networks.eval()


@pytest.fixture(scope="module")
def outputs(sound: Signals, networks: Networks) -> NetworkOutputs:
    return networks(sound.waveform, sound.logmel)


def check(component: Component[Any], source: object) -> torch.Tensor:
    statistics = component.statistics(source)
    assert statistics.shape[:2] == (BATCH, MICROPHONES)
    assert statistics.ndim == 3
    assert torch.isfinite(statistics).all()
    assert torch.equal(statistics, component.statistics(source))
    return statistics


@pytest.mark.parametrize("name", SIGNAL_COMPONENTS)
def test_signal_component(name: str, sound: Signals) -> None:
    component = SIGNAL_COMPONENTS[name]
    statistics = check(component, sound)
    alone = component.statistics(signals(sound.waveform[1:2]))
    assert torch.allclose(statistics[1:2], alone, atol=1e-4)


@pytest.mark.parametrize("name", NETWORK_COMPONENTS)
def test_network_component(name: str, outputs: NetworkOutputs) -> None:
    check(NETWORK_COMPONENTS[name], outputs)


def test_a_window_scores_the_same_alone_and_in_a_batch(
    sound: Signals, networks: Networks, outputs: NetworkOutputs
) -> None:
    alone = networks(sound.waveform[1:2], sound.logmel[1:2])
    for name, component in NETWORK_COMPONENTS.items():
        together = component.statistics(outputs)[1:2]
        assert torch.allclose(component.statistics(alone), together, atol=1e-3), name


@pytest.mark.parametrize("name", SIGNAL_COMPONENTS)
def test_a_silent_or_dead_microphone_stays_finite(name: str) -> None:
    waveform = 0.05 * torch.randn(BATCH, MICROPHONES, SAMPLES)
    waveform[:, 1] = 0
    check(SIGNAL_COMPONENTS[name], signals(waveform))


def test_a_dead_microphone_stays_finite_in_the_networks(networks: Networks) -> None:
    waveform = 0.05 * torch.randn(BATCH, MICROPHONES, SAMPLES)
    waveform[:, 1] = 0
    outputs = networks(waveform, signals(waveform).logmel)
    for name, component in NETWORK_COMPONENTS.items():
        assert torch.isfinite(component.statistics(outputs)).all(), name


def test_a_change_of_gain_moves_the_level_and_no_difference() -> None:
    waveform = 0.05 * torch.randn(1, MICROPHONES, SAMPLES)
    before, after = signals(waveform), signals(2 * waveform)
    level = SIGNAL_COMPONENTS["level"].statistics
    assert torch.allclose(level(after) - level(before), torch.tensor(6.02), atol=0.01)
    for name, component in SIGNAL_COMPONENTS.items():
        if component.family == "difference":
            moved = component.statistics(after) - component.statistics(before)
            assert moved.abs().max() < 1e-3, name


def test_a_click_moves_the_fast_envelope_and_hardly_the_mean() -> None:
    waveform = 0.05 * torch.randn(1, MICROPHONES, SAMPLES)
    clicked = waveform.clone()
    clicked[..., 8000:8032] += torch.randn(32)
    moved = {
        name: (
            SIGNAL_COMPONENTS[name].statistics(signals(clicked))
            - SIGNAL_COMPONENTS[name].statistics(signals(waveform))
        )
        .abs()
        .mean()
        for name in ("envelope_peaks", "logmel_mean")
    }
    assert moved["envelope_peaks"] > 3 * moved["logmel_mean"]


def test_coherence_of_a_shared_source_has_its_direction() -> None:
    generator = torch.Generator().manual_seed(0)
    source, noise = torch.randn(2, 16_000, generator=generator)
    together = signals(torch.stack([source, source.roll(2)])[None]).coherence(loud=False)
    apart = signals(torch.stack([source, noise])[None]).coherence(loud=False)
    assert together.shape == (1, 2, 1, 32, 2)
    assert together.square().sum(-1).min() > 0.8
    assert apart.square().sum(-1).mean() < 0.1
    # Two samples' delay turn the phase by 2 pi f / 8000: the second microphone lags.
    angle = torch.atan2(together[0, 0, 0, :, 1], together[0, 0, 0, :, 0])
    assert 0 < angle[0] < angle[8] < angle[16]
    back = torch.atan2(together[0, 1, 0, :, 1], together[0, 1, 0, :, 0])
    assert torch.allclose(back, -angle, atol=1e-4)


def test_coherence_does_not_depend_on_the_level() -> None:
    waveform = 0.05 * torch.randn(1, 3, SAMPLES)
    louder = waveform * torch.tensor([1.0, 0.3, 4.0])[:, None]
    for loud in (False, True):
        before, after = signals(waveform).coherence(loud), signals(louder).coherence(loud)
        # Which frames are loud is decided by all microphones together, so only the plain one holds.
        if not loud:
            assert torch.allclose(before, after, atol=1e-4)
        assert after.square().sum(-1).max() <= 1 + 1e-4


def test_packets_hold_the_power_of_the_waveform() -> None:
    waveform = 0.05 * torch.randn(2, 2, SAMPLES)
    packets = signals(waveform).packets
    assert packets.shape == (2, 2, 32, SAMPLES // 32)
    assert torch.allclose(packets.mean((-2, -1)), waveform.square().mean(-1), rtol=1e-3)
