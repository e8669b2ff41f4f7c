"""Masked audio transformer: predicts hidden patches of a log-mel spectrogram from the visible ones.

Shapes: P patches in R rows of mel bins and S columns of frames, V visible patches, D the encoder's
and D' the decoder's width. Patches are numbered row by row: row * S + column, row 0 the lowest mel
bins, one column per `patch_frames` frames. In every mask True means hidden.
"""

from functools import cache
from typing import NamedTuple, Self

import torch
import torch.nn.functional as F
from pydantic import BaseModel, Field, model_validator
from torch import Tensor, nn

from audio_anomaly_detector.models.gaussian import bounded_log_variance, gaussian_nll
from audio_anomaly_detector.models.transformer_blocks import (
    TemporalConvolution,
    TransformerBlock,
    sinusoidal_positions,
)

# A mel bin that hardly moves in training must not turn a fraction of a dB into many sigmas.
MIN_STD_DB = 0.5


class MaskedTransformerConfig(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """Shape of the masked transformer; the defaults are the `small` preset."""

    n_mels: int = Field(128, gt=0, le=1_024, description="mel bins of the input")
    patch_mels: int = Field(16, gt=0, le=1_024, description="mel bins of a patch")
    patch_frames: int = Field(16, gt=0, le=1_024, description="frames of a patch")
    width: int = Field(96, gt=0, le=4_096, description="encoder width")
    depth: int = Field(4, gt=0, le=64, description="encoder blocks")
    heads: int = Field(4, gt=0, le=64, description="attention heads of encoder and decoder")
    decoder_width: int = Field(64, gt=0, le=4_096, description="decoder width")
    decoder_depth: int = Field(1, gt=0, le=64, description="decoder blocks")
    temporal_kernel: int = Field(
        5, gt=0, le=1_023, description="patches in the temporal convolution"
    )
    mask_ratio_low: float = Field(0.25, gt=0, lt=1, description="least share of hidden patches")
    mask_ratio_high: float = Field(0.75, gt=0, lt=1, description="largest share of hidden patches")
    log_variance_bound: float = Field(
        6.0, gt=0, description="largest magnitude of a predicted log-variance"
    )
    scoring_masks: int = Field(
        2,
        gt=0,
        le=64,
        description="complementary masks of a score, one pass each; 2 hide half of the patches "
        "at a time",
    )
    scoring_seed: int = Field(0, ge=0, description="deals the patches to those masks")

    @model_validator(mode="after")
    def _check_shapes(self) -> Self:
        if self.n_mels % self.patch_mels:
            raise ValueError(f"n_mels {self.n_mels} is no multiple of patch_mels {self.patch_mels}")
        for name, width in (("width", self.width), ("decoder_width", self.decoder_width)):
            if width % self.heads or width % 4:
                raise ValueError(
                    f"{name} {width} must be a multiple of heads {self.heads} and of 4"
                )
        if self.temporal_kernel % 2 == 0:
            raise ValueError(f"temporal_kernel {self.temporal_kernel} must be odd")
        if self.mask_ratio_low > self.mask_ratio_high:
            raise ValueError("mask_ratio_low is above mask_ratio_high")
        return self


class MaskedOutput(NamedTuple):
    """Prediction of every bin, in standardised units (see `set_statistics`)."""

    mean: Tensor  # (B, F, N)
    log_variance: Tensor  # (B, F, N)
    hidden: Tensor  # (B, F, N) bool, True where the bin's patch was hidden
    latent: Tensor  # (B, V, D) the encoded visible patches


class HiddenPrediction(NamedTuple):
    """Every bin compared with its prediction while hidden."""

    residual: Tensor  # (B, F, N) in predicted standard deviations, above 0 where it is louder
    nll: Tensor  # (B, F, N) negative log-likelihood, nats


class Embedding(NamedTuple):
    """Features of a clip, with every patch visible."""

    time: Tensor  # (B, S, 2 D): mean and maximum over the frequency rows of a patch column
    clip: Tensor  # (B, R * D): mean over time of every frequency row


class MaskedTransformer(nn.Module):
    """Encoder on visible patches, light decoder on all, a Gaussian for every bin.

    The temporal convolution runs on the full grid with hidden tokens zeroed before the encoder's
    blocks, and again in the decoder where hidden tokens are the mask token: no hidden
    bin reaches a prediction. There is no dropout: the mask is the regulariser.

    Args:
        config: shape.

    Source: He et al., "Masked autoencoders are scalable vision learners", CVPR 2022.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, config: MaskedTransformerConfig) -> None:
        super().__init__()
        self.config = config
        self.rows = config.n_mels // config.patch_mels
        bins = config.patch_mels * config.patch_frames
        self.register_buffer("mean", torch.zeros(config.n_mels))
        self.register_buffer("std", torch.ones(config.n_mels))
        self.patch_embedding = nn.Linear(bins + config.patch_mels, config.width)
        self.encoder_temporal = TemporalConvolution(config.width, config.temporal_kernel)
        self.encoder_blocks = nn.Sequential(
            *(TransformerBlock(config.width, config.heads) for _ in range(config.depth))
        )
        self.encoder_norm = nn.LayerNorm(config.width)
        self.decoder_embedding = nn.Linear(config.width, config.decoder_width)
        self.mask_token = nn.Parameter(torch.zeros(config.decoder_width))
        self.decoder_temporal = TemporalConvolution(config.decoder_width, config.temporal_kernel)
        self.decoder_blocks = nn.Sequential(
            *(
                TransformerBlock(config.decoder_width, config.heads)
                for _ in range(config.decoder_depth)
            )
        )
        self.decoder_norm = nn.LayerNorm(config.decoder_width)
        self.head = nn.Linear(config.decoder_width, 2 * bins)

    @property
    def time_width(self) -> int:
        """Width of `Embedding.time`."""
        return 2 * self.config.width

    def set_statistics(self, mean: Tensor, std: Tensor) -> None:
        """Set the training data's statistics, by which every input is standardised.

        Args:
            mean: ``(F,)`` mean of every mel bin over the training frames, dB.
            std: ``(F,)`` standard deviation, dB; floored at 0.5 dB.
        """
        self.mean.copy_(mean)
        self.std.copy_(std.clamp_min(MIN_STD_DB))

    def columns(self, n_frames: int) -> int:
        """Patch columns S of a spectrogram of `n_frames` frames; the last may be part filled."""
        return -(-n_frames // self.config.patch_frames)

    def random_mask(
        self,
        batch: int,
        n_frames: int,
        *,
        generator: torch.Generator,
        ratio: float | None = None,
    ) -> Tensor:
        """Hide a random share of the patches, the same number in every clip.

        Args:
            batch: clips B.
            n_frames: frames N of the spectrograms.
            generator: source of all randomness (CPU).
            ratio: share to hide; None draws it between the config's two ratios.

        Returns:
            ``(B, P)`` bool on the CPU, True = hidden; at least one patch is hidden.
        """
        low, high = self.config.mask_ratio_low, self.config.mask_ratio_high
        if ratio is None:
            ratio = low + (high - low) * float(torch.rand((), generator=generator))
        n_patches = self.rows * self.columns(n_frames)
        n_hidden = max(1, round(ratio * n_patches))
        order = torch.rand(batch, n_patches, generator=generator).argsort(dim=1)
        return order < n_hidden

    def complementary_masks(self, n_frames: int, n_masks: int, seed: int) -> Tensor:
        """Masks of which every patch is hidden in exactly one.

        Args:
            n_frames: frames N of the spectrograms.
            n_masks: number of masks; each hides about one in `n_masks` patches.
            seed: decides which patches go together.

        Returns:
            ``(n_masks, P)`` bool on the CPU, True = hidden.
        """
        hidden_in = _deal(self.rows * self.columns(n_frames), n_masks, seed)
        return torch.tensor([[mask == m for mask in hidden_in] for m in range(n_masks)])

    def forward(self, logmel: Tensor, mask: Tensor) -> MaskedOutput:
        """Predict every bin from the visible patches; only hidden bins test the prediction.

        Args:
            logmel: ``(B, F, N)`` dB, any N >= 1.
            mask: ``(B, P)`` bool, True = hidden, the same number in every row; best on the CPU,
                where its indices are found without waiting for a GPU.

        Returns:
            Mean, log-variance and hidden bins, ``(B, F, N)``.

        Raises:
            ValueError: rows of `mask` hide different numbers of patches.
        """
        n_frames = logmel.shape[-1]
        latent, patches = self._predict_patches(logmel, mask, self._visible(mask))
        mean, log_variance = self._bins(patches, n_frames)
        hidden = mask.to(logmel.device, non_blocking=True)
        hidden = hidden.unflatten(1, (self.rows, self.columns(n_frames)))
        hidden = hidden.repeat_interleave(self.config.patch_mels, dim=1)
        hidden = hidden.repeat_interleave(self.config.patch_frames, dim=2)[..., :n_frames]
        return MaskedOutput(mean, log_variance, hidden, latent)

    def _predict_patches(
        self, logmel: Tensor, mask: Tensor, visible: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Latent ``(B, V, D)`` and input of `_bins`; `visible` ``(B * V,)`` as in `encode`."""
        visible = visible.to(logmel.device, non_blocking=True)
        mask = mask.to(logmel.device, non_blocking=True)
        latent = self.encode(self._embed_patches(logmel, mask), visible)
        return latent, self.decode(latent, visible, self.columns(logmel.shape[-1]))

    def encode(self, grid: Tensor, visible: Tensor) -> Tensor:
        """Encode the visible tokens.

        Args:
            grid: ``(B, R, S, D)`` tokens of all patches.
            visible: ``(B * V,)`` their places in the flattened batch of grids.

        Returns:
            ``(B, V, D)``.
        """
        tokens = grid.flatten(0, 2).index_select(0, visible).unflatten(0, (grid.shape[0], -1))
        return self.encoder_norm(self.encoder_blocks(tokens))

    def decode(self, latent: Tensor, visible: Tensor, columns: int) -> Tensor:
        """Put mask tokens in the hidden places and predict every patch.

        Args:
            latent: ``(B, V, D)`` encoded visible tokens.
            visible: ``(B * V,)`` their places in the flattened batch of grids.
            columns: patch columns S.

        Returns:
            ``(B, P, 2 * bins)`` mean and raw log-variance of the bins of every patch.
        """
        visible_tokens = self.decoder_embedding(latent).flatten(0, 1)
        places = latent.shape[0] * self.rows * columns
        blank = self.mask_token.to(visible_tokens.dtype).expand(places, -1)
        grid = blank.index_copy(0, visible, visible_tokens)
        grid = grid.unflatten(0, (-1, self.rows, columns))  # (B, R, S, D')
        grid = grid + sinusoidal_positions(
            self.rows, columns, self.config.decoder_width, grid.device
        ).to(grid.dtype)
        tokens = self.decoder_blocks(self.decoder_temporal(grid).flatten(1, 2))
        return self.head(self.decoder_norm(tokens))

    def _bins(self, patches: Tensor, n_frames: int) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of every bin, ``(B, P, 2 * bins) -> (B, F, N)`` twice."""
        config = self.config
        bins = patches.unflatten(1, (self.rows, -1))
        bins = bins.unflatten(-1, (2, config.patch_mels, config.patch_frames))
        # (B, R, S, 2, mels, frames) -> (2, B, R, mels, S, frames) -> (2, B, F, S * frames)
        mean, raw = bins.permute(3, 0, 1, 4, 2, 5).flatten(4).flatten(2, 3)[..., :n_frames]
        return mean.float(), bounded_log_variance(raw, config.log_variance_bound)

    def loss_terms(self, output: MaskedOutput, logmel: Tensor) -> dict[str, Tensor]:
        """Mean negative log-likelihood of the hidden bins; padded frames are in none of them.

        Args:
            output: of `forward`.
            logmel: ``(B, F, N)`` dB that went in.

        Returns:
            ``{"nll": scalar}``, nats per bin.
        """
        nll = gaussian_nll(output.mean, output.log_variance, self._standardise(logmel))
        return {"nll": (nll * output.hidden).sum() / output.hidden.sum()}

    @torch.no_grad()
    def predict_hidden(self, logmel: Tensor) -> HiddenPrediction:
        """Deviation of every bin from its prediction while its patch is hidden.

        Args:
            logmel: ``(B, F, N)`` dB.

        Returns:
            Residual and negative log-likelihood, ``(B, F, N)``.
        """
        batch, _, n_frames = logmel.shape
        n_masks, seed = self.config.scoring_masks, self.config.scoring_seed
        masks = self.complementary_masks(n_frames, n_masks, seed)
        n_patches = masks.shape[1]
        hidden_in = _deal(n_patches, n_masks, seed)
        chosen: Tensor | None = None  # (B, P, 2 * bins)
        # Masks that hide equally many patches form one batch: the first few hide one more.
        larger = n_patches % n_masks
        for alike in (range(larger), range(larger, n_masks)):
            if alike:
                # No search for what is visible: tracing for export has shapes but no data.
                places = [[n for n, mask in enumerate(hidden_in) if mask != m] for m in alike]
                clips = torch.arange(len(alike) * batch).view(len(alike), batch, 1) * n_patches
                visible = (clips + torch.tensor(places, dtype=torch.int64).unsqueeze(1)).flatten()
                hidden = masks[alike.start : alike.stop].unsqueeze(1)  # (masks, 1, P)
                _, patches = self._predict_patches(
                    logmel.repeat(len(alike), 1, 1),
                    hidden.expand(-1, batch, -1).flatten(0, 1),
                    visible,
                )
                for one, mask in zip(patches.unflatten(0, (-1, batch)), hidden, strict=True):
                    of_one = mask.unsqueeze(-1).to(one.device)
                    chosen = one if chosen is None else torch.where(of_one, one, chosen)
        assert chosen is not None
        mean, log_variance = self._bins(chosen, n_frames)
        target = self._standardise(logmel)
        return HiddenPrediction(
            (target - mean) / torch.exp(log_variance / 2), gaussian_nll(mean, log_variance, target)
        )

    def embed(self, logmel: Tensor) -> Embedding:
        """Encode with every patch visible and pool.

        Of every column the mean and maximum over the rows: the mean keeps what is steady, the
        maximum what is short, as a click fills one patch of many and vanishes in a mean. Of the
        clip the mean of each row, as pooling over rows too would lose the frequencies.

        Args:
            logmel: ``(B, F, N)`` dB.

        Returns:
            `time` ``(B, S, 2 D)`` for every patch column, `clip` ``(B, R * D)``.
        """
        grid = self._embed_patches(logmel, None)
        batch, rows, columns, _ = grid.shape
        visible = torch.arange(batch * rows * columns, device=grid.device)
        latent = self.encode(grid, visible).unflatten(1, (rows, columns))  # (B, R, S, D)
        time = torch.cat([latent.mean(dim=1), latent.amax(dim=1)], dim=-1)
        clip = latent.mean(dim=2).flatten(1)
        return Embedding(time, clip)

    def _standardise(self, logmel: Tensor) -> Tensor:
        return (logmel - self.mean.unsqueeze(1)) / self.std.unsqueeze(1)

    def _embed_patches(self, logmel: Tensor, mask: Tensor | None) -> Tensor:
        """Tokens ``(B, R, S, D)`` of all patches; hidden ones do not reach their neighbours."""
        config, columns = self.config, self.columns(logmel.shape[-1])
        x = self._standardise(logmel)
        # Every mel bin's maximum in the patch is an input too: a mean of 16 frames loses a click.
        # A part-filled window pools over its real frames only.
        peaks = F.max_pool1d(x, config.patch_frames, ceil_mode=True)  # (B, F, S)
        x = F.pad(x, (0, columns * config.patch_frames - x.shape[-1]))
        x = x.unflatten(2, (columns, config.patch_frames))  # (B, F, S, patch_frames)
        x = torch.cat([x, peaks.unsqueeze(-1)], dim=-1)
        x = x.unflatten(1, (self.rows, config.patch_mels)).transpose(2, 3).flatten(3)
        grid = self.patch_embedding(x)
        hidden = None if mask is None else mask.unflatten(1, (self.rows, columns))
        grid = self.encoder_temporal(grid, hidden)
        return grid + sinusoidal_positions(self.rows, columns, config.width, grid.device)

    def _visible(self, mask: Tensor) -> Tensor:
        """Places ``(B * V,)`` of the visible patches in the flattened ``(B, P)``."""
        counts = (~mask).sum(dim=1)
        if (counts != counts[0]).any():
            raise ValueError("every row of a mask must hide the same number of patches")
        return (~mask).flatten().nonzero().squeeze(1)


@cache
def _deal(patches: int, n_masks: int, seed: int) -> list[int]:
    """For each patch the number of the mask that hides it, in random order."""
    order = torch.randperm(patches, generator=torch.Generator().manual_seed(seed))
    return (order % n_masks).tolist()
