"""Baselines that are the three parts of our detector in their plain form, each scoring by itself.

All microphones share one network: each window of each microphone is a training item, and each
microphone has its own scores.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from audio_anomaly_detector.benchmark.baseline import LOGMEL, SEED_NAME, Baseline, RawScorer
from audio_anomaly_detector.config import TrainingConfig
from audio_anomaly_detector.files import temporary_folder
from audio_anomaly_detector.models.hard_threshold import hard_threshold
from audio_anomaly_detector.models.logmel import LogMel
from audio_anomaly_detector.models.masked_transformer import (
    MIN_STD_DB,
    MaskedTransformer,
    MaskedTransformerConfig,
)
from audio_anomaly_detector.models.quantiser import VectorQuantiser
from audio_anomaly_detector.models.vqvae import codebook_size
from audio_anomaly_detector.models.wavelet import DB4, analyse, quadrature_mirror, synthesise
from audio_anomaly_detector.scoring.calibration import Raw
from audio_anomaly_detector.seeding import derive_seed
from audio_anomaly_detector.training import train

_BATCH = 16
_LEVELS = 17
_CROP = 32_768  # samples that DeSpaWN is trained on at a time, as ours
# Both as in its authors' example, on signals of unit variance.
_THRESHOLD_START = 0.3
_SLOPE = 10.0
_CODES = 512
_LATENT = 128
_COMMITMENT = 0.25
_TILE = 64  # frames that the VQ-VAE is trained on at a time
_STRIDE = 8  # mel bins and frames of one latent vector, each way


class PlainDespawn(Baseline):
    """DeSpaWN as published: residual, sparsity and their sum, which is its loss.

    ``residual`` is mean ``|x - x^|``, ``sparsity`` mean ``|c|`` of what the thresholds keep, both
    in units of the machine's RMS over the training clips: one factor for all of them, where the
    authors standardise each signal and so lose its level.

    Source: Michau, Frusque, Fink, "Fully learnable deep wavelet transform for unsupervised
    monitoring of high-frequency time series", PNAS 2022.

    Args:
        steps: of training.
    """

    def __init__(self, steps: int = 48) -> None:
        self.steps = steps

    def features(self, waveform: Tensor) -> Tensor:
        """The waveform itself, ``(C, T)``."""
        return waveform

    def fit(self, features: Tensor, seed: int) -> RawScorer:
        """Train the tree on random crops."""
        rows = features.flatten(0, 1)  # (n C, T)
        scale = rows.square().mean().sqrt()
        # A signal of 2^n samples can be halved n times.
        network = WaveletTree(min(_LEVELS, rows.shape[-1].bit_length() - 1))
        crops = _Crops(rows, _CROP)
        optimiser = torch.optim.NAdam(network.parameters(), lr=1e-3)
        generator = torch.Generator().manual_seed(derive_seed(seed, "crops"))
        for _ in range(self.steps):
            items = torch.randint(len(crops), (_BATCH,), generator=generator)
            terms = network(crops(items, generator) / scale)
            optimiser.zero_grad()
            (terms.residual + terms.sparsity).mean().backward()
            optimiser.step()

        @torch.no_grad()
        def score(others: Tensor) -> Raw:
            terms = [network(window / scale) for window in others]
            residual = torch.stack([each.residual for each in terms]).double().numpy()
            sparsity = torch.stack([each.sparsity for each in terms]).double().numpy()
            return {
                "residual": residual,
                "sparsity": sparsity,
                "residual_and_sparsity": residual + sparsity,
            }

        return score


class PlainMaskedTransformer(Baseline):
    """Our masked transformer by itself: negative log-likelihood of the patches that were hidden.

    Source: see `MaskedTransformer`; shape and learning rate of the `small` preset.

    Args:
        steps: of training.
    """

    def __init__(self, steps: int = 48) -> None:
        self.steps = steps
        self.logmel = LogMel(LOGMEL)

    def features(self, waveform: Tensor) -> Tensor:
        """``(C, 128, N)`` in dB."""
        return self.logmel(waveform)

    def fit(self, features: Tensor, seed: int) -> RawScorer:
        """Train on whole windows."""
        config = MaskedTransformerConfig(n_mels=features.shape[-2])
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(seed, "weights"))
            network = MaskedTransformer(config)
        network.set_statistics(*_mel_statistics(features))

        def loss_terms(logmel: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
            mask = network.random_mask(len(logmel), logmel.shape[-1], generator=generator)
            return network.loss_terms(network(logmel, mask), logmel)

        whole = _Crops(features.flatten(0, 1), features.shape[-1])
        _train(network, whole, loss_terms, {"nll": 1.0}, self.steps, seed)

        def score(others: Tensor) -> Raw:
            maps = torch.stack(
                [network.predict_hidden(window).nll for window in others]
            )  # (m, C, F, N)
            return {"reconstruction": maps.double().mean((2, 3)).numpy()}

        return score


class PlainVqvae(Baseline):
    """VQ-VAE on the log-mel spectrogram: reconstruction error.

    ``reconstruction`` is the mean squared error of bins standardised by the training data.

    Source: van den Oord, Vinyals, Kavukcuoglu, "Neural discrete representation learning",
    NeurIPS 2017, here with three strided convolutions, no residual blocks and `VectorQuantiser`.

    Args:
        steps: of training.
    """

    def __init__(self, steps: int = 96) -> None:
        self.steps = steps
        self.logmel = LogMel(LOGMEL)

    def features(self, waveform: Tensor) -> Tensor:
        """``(C, 128, N)`` in dB."""
        return self.logmel(waveform)

    def fit(self, features: Tensor, seed: int) -> RawScorer:
        """Train on random tiles of the full height."""
        mean, std = (each[:, None] for each in _mel_statistics(features))  # (F, 1)
        rows = (features.flatten(0, 1) - mean) / std
        n_codes = codebook_size(rows.numel() // _STRIDE**2, _CODES)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(seed, "weights"))
            network = SpectrogramVqvae(n_codes, seed)
        tiles = _Crops(rows, _TILE)
        weights = {"reconstruction": 1.0, "commitment": _COMMITMENT}
        _train(network, tiles, lambda tile, _: network.loss_terms(tile), weights, self.steps, seed)

        @torch.no_grad()
        def score(others: Tensor) -> Raw:
            errors = []
            for window in (others - mean) / std:  # (C, F, N)
                errors.append((window - network(window).reconstruction).square().mean((1, 2)))
            return {"reconstruction": torch.stack(errors).double().numpy()}

        return score


class SparseTerms(NamedTuple):
    """The two terms of DeSpaWN's loss, for every signal."""

    residual: Tensor  # (B,) mean |x - x^|
    sparsity: Tensor  # (B,) mean |c| of what is kept


class WaveletTree(nn.Module):
    """Learnable wavelet tree with one kernel per level and two thresholds per band.

    Args:
        levels: depth of the tree.
    """

    def __init__(self, levels: int) -> None:
        super().__init__()
        self.low = nn.Parameter(torch.tensor(DB4).repeat(levels, 1))
        # Upper and lower threshold of every band, the last approximation first.
        self.thresholds = nn.Parameter(torch.full((levels + 1, 2), _THRESHOLD_START))

    def forward(self, signal: Tensor) -> SparseTerms:
        """Analyse, threshold, synthesise ``(B, T)`` of about unit variance."""
        kernels = torch.stack((self.low, quadrature_mirror(self.low)), dim=1)
        coefficients = analyse(signal, kernels, packet_levels=0)
        thresholds = self.thresholds.split([group.shape[1] for group in coefficients.groups])
        kept = []
        for group, of_group in zip(coefficients.groups, thresholds, strict=True):
            upper, lower = of_group.expand(len(signal), -1, -1).split(1, dim=-1)  # (B, bands, 1)
            slope = torch.full((group.shape[1], 1), _SLOPE)
            kept.append(hard_threshold(group, upper, lower, slope))
        reconstruction = synthesise(
            coefficients._replace(groups=tuple(kept)), kernels, packet_levels=0
        )
        return SparseTerms(
            residual=(signal - reconstruction).abs().mean(dim=1),
            sparsity=torch.cat([group.flatten(1) for group in kept], dim=1).abs().mean(dim=1),
        )


class VqvaeOutput(NamedTuple):
    """Output of the VQ-VAE for a batch."""

    reconstruction: Tensor  # (B, F, N)
    commitment: Tensor  # (B, cells) squared distance of each cell's latent vector to its code


class SpectrogramVqvae(nn.Module):
    """Convolutional VQ-VAE with one code per 8 x 8 bins of a standardised log-mel.

    Args:
        n_codes: codebook size.
        seed: of the quantiser.
    """

    def __init__(self, n_codes: int, seed: int) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(1, 16, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(16, 32, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(32, 64, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(64, _LATENT, 1),
            # The quantiser sees directions only. Off centre all latent vectors have nearly the
            # same one, and training starts by collapsing them onto a single code.
            nn.BatchNorm2d(_LATENT, affine=False),
        )
        self.quantiser = VectorQuantiser(_LATENT, n_codes, seed=seed)
        self.decoder = nn.Sequential(
            nn.Conv2d(_LATENT, 64, 1),
            nn.ReLU(),
            nn.ConvTranspose2d(64, 32, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.ConvTranspose2d(32, 16, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.ConvTranspose2d(16, 1, 4, stride=2, padding=1),
        )

    def forward(self, logmel: Tensor) -> VqvaeOutput:
        """Encode, quantise, decode ``(B, F, N)``, F a multiple of 8, any N."""
        frames = logmel.shape[-1]
        filled = F.pad(logmel, (0, -frames % _STRIDE), mode="replicate")
        latent = self.encoder(filled.unsqueeze(1))  # (B, L, F / 8, N / 8)
        quantised = self.quantiser(latent.flatten(2).transpose(1, 2))  # (B, cells, L)
        grid = quantised.quantised.transpose(1, 2).unflatten(2, latent.shape[2:])
        reconstruction = self.decoder(grid).squeeze(1)[..., :frames]
        return VqvaeOutput(reconstruction, quantised.commitment)

    def loss_terms(self, logmel: Tensor) -> dict[str, Tensor]:
        """Mean squared error and commitment of ``(B, F, N)``, scalars."""
        output = self(logmel)
        return {
            "reconstruction": F.mse_loss(output.reconstruction, logmel),
            "commitment": output.commitment.mean(),
        }


class _Crops:
    """Random crops along time, in the form that `train` takes its data.

    Args:
        rows: ``(R, T)`` or ``(R, F, N)``.
        length: of a crop; all of a shorter row.
    """

    def __init__(self, rows: Tensor, length: int) -> None:
        views = rows.unfold(-1, min(length, rows.shape[-1]), 1)  # no copy
        self.views = views.movedim(-2, 1)  # (R, starts, ..., length)

    def __len__(self) -> int:
        return len(self.views)

    def __call__(self, indices: Tensor, generator: torch.Generator) -> Tensor:
        """``(B, ..., length)``, each row cut at a place drawn for it."""
        starts = torch.randint(self.views.shape[1], indices.shape, generator=generator)
        return self.views[indices, starts]


def _mel_statistics(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation ``(F,)`` of every mel bin of ``(n, C, F, N)``."""
    std, mean = torch.std_mean(features.double(), dim=(0, 1, 3), correction=0)
    return mean.float(), std.float().clamp_min(MIN_STD_DB)


def _train(
    network: nn.Module,
    data: _Crops,
    loss_terms: Callable[[Tensor, torch.Generator], dict[str, Tensor]],
    weights: dict[str, float],
    steps: int,
    seed: int,
) -> None:
    """Train in place with the loop of our own stages, at the `small` preset's rate."""
    config = TrainingConfig(epochs=1, steps_per_epoch=steps, batch_size=_BATCH, learning_rate=2e-3)
    with temporary_folder() as folder:
        train(
            network,
            data,
            loss_terms,
            weights,
            config,
            stage=SEED_NAME,
            seed=seed,
            checkpoint=folder / "checkpoint.pt",
            on_epoch=lambda _: None,
        )
