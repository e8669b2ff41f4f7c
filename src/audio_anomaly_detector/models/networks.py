"""The three models together: from a window of sound to everything that the score uses."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from audio_anomaly_detector.models.despawn import BAND_STATISTICS, Despawn, DespawnConfig
from audio_anomaly_detector.models.masked_transformer import (
    MaskedTransformer,
    MaskedTransformerConfig,
)
from audio_anomaly_detector.models.vqvae import FusionVQVAE, VQScores, VQVAEConfig

# Log-mel bands that the VQ-VAE reconstructs; at its time steps of half a second more frequency
# detail would only be noise. No settings, although scores depend on them: the shape of the VQ-VAE's
# weights does too, so that a model of another number cannot be loaded, let alone score differently.
TARGET_MELS = 32
_SMALLEST_RMS = 1e-6  # of a window that is brought to unit level: silence stays silence
# Below lies what a codec or a low-pass filter left empty: how empty it is says nothing.
QUIETEST_DB = -60.0
TARGET_STATISTICS = [BAND_STATISTICS.index(name) for name in ("log_energy", "log_quantile_999")]


class Features(NamedTuple):
    """Output of the first two models for single-microphone windows: the VQ-VAE's input.

    Attributes:
        bands: ``(B, S, bands, statistics)`` sub-band statistics over S time steps.
        time: ``(B, S, D)`` transformer embedding of each time step.
        targets: ``(B, S, K)`` what the VQ-VAE reconstructs.
        clip: ``(B, D')`` transformer embedding of the window.
    """

    bands: Tensor
    time: Tensor
    targets: Tensor
    clip: Tensor


class NetworkOutputs(NamedTuple):
    """All that the score uses, by window and microphone.

    Attributes:
        bands: ``(B, C, bands, S, statistics)`` sub-band statistics over S time steps.
        clip: ``(B, C, D')`` transformer embedding of the window.
        residual: ``(B, C, F, N)`` deviation of each bin from its prediction while hidden.
        nll: ``(B, C, F, N)`` negative log-likelihood of the same.
        vq: the VQ-VAE's scores by time step, ``(B, C, S)`` and ``(B, C, S, K)``.
        quantised: ``(B, C, S, L)`` the quantised latent.
    """

    bands: Tensor
    clip: Tensor
    residual: Tensor
    nll: Tensor
    vq: VQScores
    quantised: Tensor


class Networks(nn.Module):
    """DeSpaWN, masked transformer and fusing VQ-VAE; microphones share all weights.

    Args:
        despawn: config of the wavelet network.
        transformer: config of the masked transformer.
        vqvae: config of fusion and quantiser.
        n_codes: size of the codebook (see `codebook_size`).
        unit_level: hear every window of every microphone at the same level, as networks must that
            did not learn how loud this machine is recorded.
    """

    def __init__(
        self,
        despawn: DespawnConfig,
        transformer: MaskedTransformerConfig,
        vqvae: VQVAEConfig,
        n_codes: int,
        unit_level: bool = False,
    ) -> None:
        super().__init__()
        self.unit_level = unit_level
        self.despawn = Despawn(despawn)
        self.transformer = MaskedTransformer(transformer)
        self.vqvae = FusionVQVAE(
            vqvae,
            bands=despawn.bands,
            statistics=len(BAND_STATISTICS),
            transformer_width=self.transformer.time_width,
            target_width=2 * TARGET_MELS + despawn.bands * len(TARGET_STATISTICS),
            n_codes=n_codes,
        )

    @torch.no_grad()
    def features(self, waveform: Tensor, logmel: Tensor) -> Features:
        """Compute the VQ-VAE's input by the first two models, without gradients.

        Args:
            waveform: ``(B, T)`` of single microphones.
            logmel: ``(B, F, N)`` of the same, dB.

        Returns:
            Sub-band statistics, embeddings and targets.
        """
        steps = self.transformer.columns(logmel.shape[-1])
        wavelet = self.despawn.decompose(waveform)
        bands = self.despawn.band_statistics(wavelet.coefficients, wavelet.kept, steps)
        bands = bands.transpose(1, 2)  # (B, S, bands, statistics)
        embedding = self.transformer.embed(logmel)
        return Features(bands, embedding.time, _targets(logmel, bands), embedding.clip)

    @torch.no_grad()
    def forward(self, waveform: Tensor, logmel: Tensor) -> NetworkOutputs:
        """Compute everything that the score uses, without gradients.

        Args:
            waveform: ``(B, C, T)``.
            logmel: ``(B, C, F, N)`` dB.

        Returns:
            By window and microphone.
        """
        shape = waveform.shape[:2]
        if self.unit_level:
            waveform, logmel = at_unit_level(waveform, logmel)
        logmel = logmel.flatten(0, 1)
        features = self.features(waveform.flatten(0, 1), logmel)
        fused = self.vqvae(features.bands, features.time)
        scores = self.vqvae.scores(fused, features.targets)
        hidden = self.transformer.predict_hidden(logmel)
        return NetworkOutputs(
            bands=features.bands.transpose(1, 2).unflatten(0, shape),
            clip=features.clip.unflatten(0, shape),
            residual=hidden.residual.unflatten(0, shape),
            nll=hidden.nll.unflatten(0, shape),
            vq=VQScores(*(score.unflatten(0, shape) for score in scores)),
            quantised=fused.quantised.unflatten(0, shape),
        )


def at_unit_level(waveform: Tensor, logmel: Tensor) -> tuple[Tensor, Tensor]:
    """Bring single microphones to an RMS of one, and bins of their spectrograms to a least level.

    Args:
        waveform: ``(..., T)``.
        logmel: ``(..., F, N)`` of the same, dB.
    """
    rms = waveform.square().mean(-1, keepdim=True).sqrt().clamp_min(_SMALLEST_RMS)
    level_db = 20 * rms.log10().unsqueeze(-1)
    return waveform / rms, (logmel - level_db).clamp_min(QUIETEST_DB)


def _targets(logmel: Tensor, bands: Tensor) -> Tensor:
    """Mean and maximum of 32 log-mel bands and two sub-band statistics by time step, ``(B, S, K)``.

    Fixed functions of the recording: trainable targets could collapse to a constant.
    """
    steps = bands.shape[1]
    coarse = _pieces(logmel.mT, TARGET_MELS)[0].mT  # (B, 32, N)
    mean, peak = _pieces(coarse, steps)  # (B, 32, S)
    statistics = bands[..., TARGET_STATISTICS].flatten(2)  # (B, S, 2 * bands)
    return torch.cat([mean.transpose(1, 2), peak.transpose(1, 2), statistics], -1)


def _pieces(values: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Mean and maximum of `count` pieces of the last axis, overlapping by one if not divisible.

    As adaptive pooling does it, in operations that an exported graph has.
    """
    length = values.shape[-1]
    piece = torch.arange(count, device=values.device).unsqueeze(1)
    starts, ends = piece * length // count, -(-(piece + 1) * length // count)
    place = starts + torch.arange(-(-length // count) + 1, device=values.device)
    inside = place < ends
    pieces = values[..., place.minimum(ends - 1)]  # (..., count, width), the last value repeated
    mean = (pieces * (inside / (ends - starts))).sum(-1)
    return mean, pieces.amax(-1)
