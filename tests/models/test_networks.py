import pytest
import torch
from torch import Tensor

from audio_anomaly_detector.models.despawn import BAND_STATISTICS, DespawnConfig
from audio_anomaly_detector.models.logmel import LogMel, LogMelConfig
from audio_anomaly_detector.models.masked_transformer import MaskedTransformerConfig
from audio_anomaly_detector.models.networks import NetworkOutputs, Networks
from audio_anomaly_detector.models.vqvae import VQVAEConfig

SAMPLES, MELS, WIDTH, LATENT = 16_384, 16, 8, 4
LOGMEL = LogMelConfig(n_mels=MELS, n_fft=512)


@pytest.fixture(scope="module")
def networks() -> Networks:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Networks(
            DespawnConfig(levels=4, packet_levels=2, attention_dim=8, attention_heads=2),
            MaskedTransformerConfig(
                n_mels=MELS, patch_mels=8, width=WIDTH, depth=1, heads=2, decoder_width=8
            ),
            VQVAEConfig(fusion_width=8, latent_width=LATENT, codes=16, heads=2),
            n_codes=16,
        ).eval()


def windows(count: int, microphones: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return 0.1 * torch.randn(count, microphones, SAMPLES, generator=generator)


def flat(outputs: NetworkOutputs) -> list[Tensor]:
    return [*outputs.vq, *(value for value in outputs if isinstance(value, Tensor))]


def test_shapes(networks: Networks) -> None:
    waveform = windows(2, 3)
    logmel = LogMel(LOGMEL)(waveform)  # (B, C, F, N)
    frames = logmel.shape[-1]
    steps, bands = -(-frames // 16), networks.despawn.config.bands
    targets = 2 * 32 + 2 * bands
    outputs = networks(waveform, logmel)
    assert outputs.bands.shape == (2, 3, bands, steps, len(BAND_STATISTICS))
    assert outputs.clip.shape == (2, 3, MELS // 8 * WIDTH)
    assert outputs.residual.shape == outputs.nll.shape == (2, 3, MELS, frames)
    assert outputs.quantised.shape == (2, 3, steps, LATENT)
    assert outputs.vq.residual.shape == (2, 3, steps, targets)
    assert outputs.vq.surprise.shape == (2, 3, steps)
    features = networks.features(waveform.flatten(0, 1), logmel.flatten(0, 1))
    assert features.bands.shape == (6, steps, bands, len(BAND_STATISTICS))
    assert features.time.shape == (6, steps, 2 * WIDTH)
    assert features.targets.shape == (6, steps, targets)
    assert all(value.isfinite().all() for value in (*features, *flat(outputs)))


def test_a_window_and_a_microphone_are_the_same_alone_and_in_a_batch(networks: Networks) -> None:
    waveform = windows(3, 2)
    logmel = LogMel(LOGMEL)(waveform)
    whole = networks(waveform, logmel)
    alone = networks(waveform[1:2, 1:], logmel[1:2, 1:])
    for one, of_many in zip(flat(alone), flat(whole), strict=True):
        torch.testing.assert_close(one, of_many[1:2, 1:], atol=1e-4, rtol=1e-4)


def test_targets_are_mean_and_maximum_of_the_log_mel_bands_by_time_step(
    networks: Networks,
) -> None:
    waveform = windows(1, 1)[0]
    logmel = torch.zeros(1, MELS, 32)  # two patches of 16 frames
    logmel[:, :, 16] = 8.0
    targets = networks.features(waveform, logmel).targets
    expected = torch.tensor([[0.0] * 64, [0.5] * 32 + [8.0] * 32])
    torch.testing.assert_close(targets[0, :, :64], expected)
