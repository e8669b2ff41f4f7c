"""The three training stages of the networks, one after the other."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from audio_anomaly_detector.learning.training_data import (
    Crops,
    FusionFeatures,
    LabelledSpectrograms,
    Spectrograms,
    TrainingData,
)
from audio_anomaly_detector.models.masked_transformer import MaskedOutput
from audio_anomaly_detector.models.networks import Networks
from audio_anomaly_detector.models.vqvae import codebook_size
from audio_anomaly_detector.progress import Epoch, Progress
from audio_anomaly_detector.seeding import derive_seed
from audio_anomaly_detector.training import Batches, LossTerms, train

# Windows from which the machine's scale and band spreads, or the features' means, are taken: more
# would not change them, and memory stays flat.
_SAMPLE = 64
_FEATURE_SAMPLE = 1024
# Weight of the id-label loss of pooled training against the likelihood of hidden patches.
_LABEL_WEIGHT = 1.0

Watch = Callable[[str, Networks], dict[str, float]]


class TrainedNetworks(NamedTuple):
    """Result of the three stages.

    Attributes:
        networks: trained.
        history: their epochs.
        perplexity: of their codes on the training clips.
    """

    networks: Networks
    history: list[Epoch]
    perplexity: float


def fit_networks(
    data: TrainingData,
    clips: list[int],
    name: str,
    epoch_factor: int,
    progress: Progress,
    watch: Watch | None = None,
    labels: np.ndarray | None = None,
) -> TrainedNetworks:
    """Train the three stages.

    Args:
        data: the training clips.
        clips: positions of those to train on.
        name: of the checkpoints.
        epoch_factor: times as many epochs as the config states.
        progress: receives progress and epochs.
        watch: called with the networks after every epoch (`fitting.fit`).
        labels: by clip of the data, ``(n,)`` from 0 on, which machine it is; the transformer
            is then trained to classify the machines, too.

    """
    rows = data.rows(clips)
    training = _Training(data, rows, name, epoch_factor, progress, watch)
    training.despawn()
    if labels is None:
        training.transformer()
    else:
        training.transformer_with_labels(labels)
    perplexity = training.vqvae()
    return TrainedNetworks(training.networks, training.history, perplexity)


class _Training:
    """The networks of one fold in the making.

    Args:
        data: the training clips.
        rows: of its store, those to train on.
        name, epoch_factor, progress, watch: as in `fit_networks`.
    """

    def __init__(
        self,
        data: TrainingData,
        rows: np.ndarray,
        name: str,
        epoch_factor: int,
        progress: Progress,
        watch: Watch | None,
    ) -> None:
        self.data, self.config, self.rows = data, data.config, rows
        self.name, self.epoch_factor, self.progress, self.watch = (
            name,
            epoch_factor,
            progress,
            watch,
        )
        self.networks = self._untrained()
        self.history: list[Epoch] = []
        self.generator = torch.Generator().manual_seed(derive_seed(self.config.seed, "sample"))

    def _untrained(self) -> Networks:
        config, data = self.config, self.data
        columns = -(-data.logmels.shape[-1] // config.transformer.patch_frames)
        steps = len(self.rows) * data.microphones * columns
        n_codes = codebook_size(steps, config.vqvae.codes)
        # The same start for every fold: their scores are compared.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(config.seed, "weights"))
            networks = Networks(config.despawn, config.transformer, config.vqvae, n_codes)
        return networks.to(data.device)

    def despawn(self) -> None:
        """Train the wavelet transform on random crops."""
        despawn = self.networks.despawn
        crops = Crops(self.data, self.rows)
        few = torch.randperm(len(crops), generator=self.generator)[:_SAMPLE]
        despawn.set_scales(crops(few, self.generator))
        self._stage(
            "despawn",
            despawn,
            crops,
            lambda batch, _: despawn.loss_terms(despawn(batch), batch),
            self.config.despawn.loss_weights,
        )

    def transformer(self) -> None:
        """Train the transformer to predict what is hidden."""
        transformer = self.networks.transformer
        transformer.set_statistics(*_mel_statistics(self.data, self.rows))
        self._stage(
            "transformer",
            transformer,
            Spectrograms(self.data, self.rows),
            lambda logmel, generator: transformer.loss_terms(
                self._masked(logmel, generator), logmel
            ),
            {"nll": 1.0},
        )

    def transformer_with_labels(self, labels: np.ndarray) -> None:
        """Train it to classify machines, too, by the label of each clip of the data."""
        transformer = self.networks.transformer
        transformer.set_statistics(*_mel_statistics(self.data, self.rows))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(self.config.seed, "label head"))
            head = nn.Linear(self.config.transformer.width, int(labels.max()) + 1)
        head = head.to(self.data.device)

        def loss(batch: tuple[Tensor, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
            logmel, label = batch
            output = self._masked(logmel, generator)
            logits = head(output.latent.mean(1))
            return {
                **transformer.loss_terms(output, logmel),
                "label": F.cross_entropy(logits, label),
            }

        self._stage(
            "transformer",
            nn.ModuleList([transformer, head]),
            LabelledSpectrograms(self.data, self.rows, labels),
            loss,
            {"nll": 1.0, "label": _LABEL_WEIGHT},
        )

    def _masked(self, logmel: Tensor, generator: torch.Generator) -> MaskedOutput:
        transformer = self.networks.transformer
        mask = transformer.random_mask(len(logmel), logmel.shape[-1], generator=generator)
        return transformer(logmel, mask)

    def vqvae(self) -> float:
        """Train the VQ-VAE on outputs of the other two, now fixed; the perplexity of its codes."""
        vqvae = self.networks.vqvae
        features = FusionFeatures(self.data, self.rows, self.networks, self.name)
        some = torch.randperm(len(features), generator=self.generator)[:_FEATURE_SAMPLE]
        vqvae.set_statistics(*features(some, self.generator))
        self._stage(
            "vqvae",
            vqvae,
            features,
            lambda batch, _: vqvae.loss_terms(vqvae(*batch[:2]), batch[2]),
            {"nll": 1.0, "commitment": self.config.vqvae.commitment},
        )
        return _fit_code_statistics(self.networks, features)

    def _stage(
        self,
        stage: str,
        model: nn.Module,
        batches: Batches,
        loss_terms: LossTerms,
        weights: dict[str, float],
    ) -> None:
        config = getattr(self.config.stages, stage)
        config = config.model_copy(update={"epochs": self.epoch_factor * config.epochs})

        def on_epoch(epoch: Epoch) -> float | None:
            self.progress.advance(f"{self.name}: {stage}", epoch.epoch, config.epochs)
            watched = self.watch(stage, self.networks) if self.watch else {}
            self.progress.epoch(epoch, watched)
            return watched.get("auroc")

        self.history += train(
            model,
            batches,
            loss_terms,
            weights,
            config,
            stage=stage,
            seed=self.config.seed,
            checkpoint=self.data.work / f"{self.name}-{stage}.pt",
            on_epoch=on_epoch,
            keep_best=self.config.stages.oracle_epoch,
        )


@torch.no_grad()
def _fit_code_statistics(networks: Networks, features: FusionFeatures) -> float:
    """Learn how codes follow each other; returns the perplexity over all training clips."""
    codes, commitment = [], []
    generator = torch.Generator()
    for indices in torch.arange(len(features)).split(_SAMPLE):
        output = networks.vqvae(*features(indices, generator)[:2])
        codes.append(output.codes)
        commitment.append(output.commitment)
    every_code = torch.cat(codes)
    networks.vqvae.fit_code_statistics(every_code, torch.cat(commitment))
    share = torch.bincount(every_code.flatten()).double() / every_code.numel()
    return float(torch.special.entr(share).sum().exp())


def _mel_statistics(data: TrainingData, rows: np.ndarray) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of every mel bin over the frames of these rows, ``(F,)``."""
    total = square = 0.0
    for row in rows:  # one window at a time, in double precision
        spectra = data.logmels[row].astype(np.float64)  # (C, F, N)
        total = total + spectra.mean((0, 2))
        square = square + np.square(spectra).mean((0, 2))
    mean = total / len(rows)
    deviation = np.sqrt(np.maximum(square / len(rows) - np.square(mean), 0))
    return torch.from_numpy(mean).float(), torch.from_numpy(deviation).float()
