"""VQ-VAE over fused wavelet and transformer features, one code per time step."""

import math
from typing import Literal, NamedTuple, Self

import torch
import torch.nn.functional as F
from pydantic import BaseModel, Field, model_validator
from torch import Tensor, nn

from audio_anomaly_detector.models.fusion import HierarchicalFusion
from audio_anomaly_detector.models.gaussian import bounded_log_variance, gaussian_nll
from audio_anomaly_detector.models.quantiser import VectorQuantiser

MIN_CODES = 16
# Squared distances of unit vectors below this are rounding.
MIN_CODE_VARIANCE = 1e-6


class VQVAEConfig(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """Shape of fusion and VQ-VAE; the defaults are the `small` preset."""

    fusion_width: int = Field(64, gt=0, le=4_096, description="width of the fused features")
    latent_width: int = Field(16, gt=0, le=4_096, description="length of a quantised vector")
    codes: int = Field(64, gt=0, le=65_536, description="largest codebook; fewer with little data")
    commitment: float = Field(0.25, ge=0, description="weight of the commitment loss")
    heads: int = Field(4, gt=0, le=64, description="heads of the cross-attention")
    scales: int = Field(3, gt=0, le=24, description="groups of wavelet bands, coarse to fine")
    context: int = Field(2, ge=0, le=256, description="time steps attended to on either side")
    decay: float = Field(0.95, gt=0, lt=1, description="of the codes' moving averages")
    dead_usage: float = Field(2.0, ge=0, description="members per batch below which a code moves")
    smoothing: float = Field(1.0, gt=0, description="pseudo-counts of code statistics")
    sees: Literal["both", "wavelet", "transformer"] = Field(
        "both", description="what is fused; one view alone is a control of the benchmark"
    )
    quantise: bool = Field(
        True, description="decode the codes; false, the latent itself, is a control"
    )
    log_variance_bound: float = Field(
        6.0, gt=0, description="largest magnitude of a predicted log-variance"
    )
    seed: int = Field(0, ge=0, description="of k-means and of moved codes")

    @model_validator(mode="after")
    def _check_shapes(self) -> Self:
        if self.fusion_width % self.heads:
            raise ValueError(
                f"fusion_width {self.fusion_width} must be a multiple of heads {self.heads}"
            )
        return self


class FusionOutput(NamedTuple):
    """Output of the VQ-VAE; mean and log-variance are of standardised targets."""

    latent: Tensor  # (B, S, L) unit vectors before quantising
    quantised: Tensor  # (B, S, L)
    codes: Tensor  # (B, S) int64
    commitment: Tensor  # (B, S)
    perplexity: Tensor  # scalar, of this batch
    mean: Tensor  # (B, S, K)
    log_variance: Tensor  # (B, S, K)


class VQScores(NamedTuple):
    """Score components of every time step."""

    residual: Tensor  # (B, S, K) target less its prediction, in predicted standard deviations
    reconstruction: Tensor  # (B, S) nats per target
    commitment: Tensor  # (B, S) squared distance to the code over that code's own variance
    surprise: Tensor  # (B, S) nats: -log p(code | code before)


def codebook_size(n_steps: int, largest: int) -> int:
    """Codes that a training set can fill: one per 40 time steps, at least 16, at most `largest`.

    Args:
        n_steps: time steps of all training clips and channels together.
        largest: the config's `codes`.

    Returns:
        Number of codes.
    """
    return max(min(MIN_CODES, largest), min(n_steps // 40, largest))


class Standardiser(nn.Module):
    """Subtracts the training mean and divides by the training deviation, feature by feature.

    Args:
        shape: of the features of a time step.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(shape))
        self.register_buffer("std", torch.ones(shape))

    def fit(self, features: Tensor) -> None:
        """Set the statistics of features ``(B, S, ...)``; a constant feature is only centred."""
        std, mean = torch.std_mean(features.double(), dim=(0, 1), correction=0)
        constant = std <= 1e-6 * mean.abs().clamp_min(1)
        self.mean.copy_(mean)
        self.std.copy_(std.masked_fill(constant, 1))

    def forward(self, features: Tensor) -> Tensor:
        """Standardise features ``(B, S, ...)``."""
        return (features - self.mean) / self.std


class FusionVQVAE(nn.Module):
    """Hierarchical fusion, encoder, vector quantiser, decoder to fixed targets.

    The targets are fixed functions of the recording (log-mel bands, sub-band statistics), never
    trainable features, with which everything could collapse to a constant; for the same reason
    the features must be detached.

    Args:
        config: shape.
        bands: wavelet bands.
        statistics: statistics per band.
        transformer_width: D of the transformer's time embedding.
        target_width: K, targets per time step.
        n_codes: codebook size, see `codebook_size`.
    """

    code_variance: Tensor
    log_first: Tensor
    log_transition: Tensor

    def __init__(
        self,
        config: VQVAEConfig,
        *,
        bands: int,
        statistics: int,
        transformer_width: int,
        target_width: int,
        n_codes: int,
    ) -> None:
        super().__init__()
        self.config = config
        width, latent = config.fusion_width, config.latent_width
        self.standardise_wavelet = Standardiser(bands, statistics)
        self.standardise_transformer = Standardiser(transformer_width)
        self.standardise_targets = Standardiser(target_width)
        self.fusion = HierarchicalFusion(
            bands,
            statistics,
            transformer_width,
            width=width,
            heads=config.heads,
            scales=min(config.scales, bands),
            context=config.context,
        )
        self.encoder = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, width), nn.GELU(), nn.Linear(width, latent)
        )
        self.quantiser = VectorQuantiser(
            latent,
            n_codes,
            decay=config.decay,
            dead_usage=config.dead_usage,
            seed=config.seed,
        )
        # Decodes three neighbouring codes, which hold more information than one of few codes.
        self.spread = nn.Conv1d(latent, width, kernel_size=3, padding=1)
        self.decoder = nn.Sequential(
            nn.GELU(),
            nn.Linear(width, 2 * width),
            nn.GELU(),
            nn.Linear(2 * width, 2 * target_width),
        )
        self.register_buffer("code_variance", torch.ones(n_codes))
        uniform = -math.log(n_codes)
        self.register_buffer("log_first", torch.full((n_codes,), uniform))
        self.register_buffer("log_transition", torch.full((n_codes, n_codes), uniform))

    def set_statistics(self, wavelet: Tensor, transformer: Tensor, targets: Tensor) -> None:
        """Set the training features' statistics, by which all inputs are standardised.

        Args:
            wavelet: ``(B, S, bands, statistics)``, all training windows.
            transformer: ``(B, S, D)``.
            targets: ``(B, S, K)``.
        """
        self.standardise_wavelet.fit(wavelet)
        self.standardise_transformer.fit(transformer)
        self.standardise_targets.fit(targets)

    def forward(self, wavelet: Tensor, transformer: Tensor) -> FusionOutput:
        """Fuse, quantise, decode.

        Args:
            wavelet: ``(B, S, bands, statistics)``.
            transformer: ``(B, S, D)``.

        Returns:
            Latent, codes and the prediction of the targets.
        """
        latent = self.encode(wavelet, transformer)
        unit = F.normalize(latent.float(), dim=-1)
        quantised = self.quantiser(latent)
        mean, log_variance = self.decode(quantised.quantised if self.config.quantise else unit)
        return FusionOutput(
            latent=unit,
            quantised=quantised.quantised,
            codes=quantised.codes,
            commitment=quantised.commitment,
            perplexity=quantised.perplexity,
            mean=mean,
            log_variance=log_variance,
        )

    def encode(self, wavelet: Tensor, transformer: Tensor) -> Tensor:
        """Fuse and encode.

        Args:
            wavelet: ``(B, S, bands, statistics)``.
            transformer: ``(B, S, D)``.

        Returns:
            Latent vectors ``(B, S, L)``.
        """
        wavelet, transformer = (
            self.standardise_wavelet(wavelet),
            self.standardise_transformer(transformer),
        )
        if self.config.sees == "wavelet":
            transformer = torch.zeros_like(transformer)
        if self.config.sees == "transformer":
            wavelet = torch.zeros_like(wavelet)
        return self.encoder(self.fusion(wavelet, transformer))

    def decode(self, quantised: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance ``(B, S, K)`` of the standardised targets, from ``(B, S, L)``."""
        spread = self.spread(quantised.transpose(1, 2)).transpose(1, 2)  # (B, S, D')
        mean, raw = self.decoder(spread).chunk(2, dim=-1)
        return mean.float(), bounded_log_variance(raw, self.config.log_variance_bound)

    def loss_terms(self, output: FusionOutput, targets: Tensor) -> dict[str, Tensor]:
        """Reconstruction and commitment; the config's `commitment` is the latter's weight.

        Args:
            output: of `forward`.
            targets: ``(B, S, K)``.

        Returns:
            ``{"nll": nats per target, "commitment": squared distance}``, scalars.
        """
        nll = gaussian_nll(output.mean, output.log_variance, self.standardise_targets(targets))
        return {"nll": nll.mean(), "commitment": output.commitment.mean()}

    @torch.no_grad()
    def fit_code_statistics(self, codes: Tensor, commitment: Tensor) -> None:
        """Estimate each code's mean squared distance to its members and the transitions of codes.

        Both are shrunk towards all codes together where a code has few members (`smoothing`
        pseudo-counts).

        Args:
            codes: ``(B, S)`` of all training windows, in evaluation mode.
            commitment: ``(B, S)`` squared distances.
        """
        n_codes, smoothing = self.quantiser.n_codes, self.config.smoothing
        flat = codes.flatten()
        counts = torch.bincount(flat, minlength=n_codes).double()
        sums = counts.new_zeros(n_codes).index_add_(0, flat, commitment.flatten().double())
        overall = sums.sum() / counts.sum()
        variance = (sums + smoothing * overall) / (counts + smoothing)
        self.code_variance.copy_(variance.clamp_min(MIN_CODE_VARIANCE))
        first = (counts + smoothing) / (counts.sum() + smoothing * n_codes)
        pairs = (codes[:, :-1] * n_codes + codes[:, 1:]).flatten()
        follows = torch.bincount(pairs, minlength=n_codes**2).view(n_codes, n_codes).double()
        transition = (follows + smoothing * first) / (follows.sum(1, keepdim=True) + smoothing)
        self.log_first.copy_(first.log())
        self.log_transition.copy_(transition.log())

    def scores(self, output: FusionOutput, targets: Tensor) -> VQScores:
        """Score components of every time step.

        Args:
            output: of `forward` in evaluation mode.
            targets: ``(B, S, K)``.

        Returns:
            Residual ``(B, S, K)``; reconstruction, commitment and surprise, ``(B, S)``.
        """
        standard = self.standardise_targets(targets)
        nll = gaussian_nll(output.mean, output.log_variance, standard)
        codes = output.codes
        surprise = torch.cat(
            [-self.log_first[codes[:, :1]], -self.log_transition[codes[:, :-1], codes[:, 1:]]],
            dim=1,
        )
        return VQScores(
            residual=(standard - output.mean) / torch.exp(output.log_variance / 2),
            reconstruction=nll.mean(dim=-1),
            commitment=output.commitment / self.code_variance[codes],
            surprise=surprise,
        )
