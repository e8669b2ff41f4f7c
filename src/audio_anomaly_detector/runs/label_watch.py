"""AUROC on labelled test clips after every epoch, which changes no result."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from audio_anomaly_detector.config import Config
from audio_anomaly_detector.data.cache import build_store
from audio_anomaly_detector.data.clips import Clip
from audio_anomaly_detector.errors import UserError
from audio_anomaly_detector.metrics.classification import auroc, average_precision, missing_class
from audio_anomaly_detector.models.logmel import LogMel
from audio_anomaly_detector.models.networks import Networks


class LabelWatch:
    """Scores test clips by the loss of the stage that is being trained.

    Only the first microphone is scored, which keeps the check of an epoch cheap. Nothing here uses
    a random generator or changes a weight, so a fit is the same with and without it.

    Args:
        clips: test clips; those without a label are left out.
        config: of the fit.
        folder: for their decoded windows.
        device: of the networks.

    Raises:
        UserError: the clips that can be used are not of both classes, or the folder cannot be
            written.
    """

    def __init__(
        self, clips: Sequence[Clip], config: Config, folder: Path, device: torch.device
    ) -> None:
        channels = 0 if config.audio.channels == "all" else config.audio.channels
        audio = config.audio.model_copy(update={"channels": channels})
        labelled = [clip for clip in clips if clip.label is not None]
        self.store = build_store(labelled, audio, folder, on_error="skip")
        self.labels = np.array([clip.label for clip in self.store.clips])
        missing = missing_class(self.labels)
        if missing:
            raise UserError(f"{missing} among the test clips that can be used")
        self.logmel = LogMel(config.logmel).to(device)
        self.device = device

    @torch.no_grad()
    def __call__(self, stage: str, networks: Networks) -> dict[str, float]:
        """AUROC and average precision of the stage's own loss."""
        losses = np.array(
            [
                float(_stage_loss(stage, networks, *self._windows(clip)))
                for clip in range(len(self.labels))
            ]
        )
        values = {
            "auroc": auroc(self.labels, losses),
            "average_precision": average_precision(self.labels, losses),
        }
        return {name: value for name, value in values.items() if value is not None}

    def _windows(self, clip: int) -> tuple[Tensor, Tensor]:
        """Windows ``(W, T)`` and log-mels ``(W, F, N)`` of one clip."""
        rows = np.flatnonzero(self.store.clip_index == clip)
        windows = torch.from_numpy(self.store.windows[rows, 0]).to(self.device)
        return windows, self.logmel(windows)


def _stage_loss(stage: str, networks: Networks, windows: Tensor, logmel: Tensor) -> Tensor:
    if stage == "despawn":
        terms = networks.despawn.loss_terms(networks.despawn(windows), windows)
        return terms["reconstruction"] + terms["sparsity"]
    if stage == "transformer":
        return networks.transformer.predict_hidden(logmel).nll.mean()
    features = networks.features(windows, logmel)
    output = networks.vqvae(features.bands, features.time)
    return networks.vqvae.scores(output, features.targets).reconstruction.mean()
