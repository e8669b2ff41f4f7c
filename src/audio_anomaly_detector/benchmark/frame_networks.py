"""Baselines that are dense networks over five stacked log-mel frames: DCASE autoencoder and IDNN.

Both get raw decibels, as in their authors' code. All microphones share one network: each one's
vectors are training vectors, and each one has its own scores.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise

import torch
from torch import Tensor, nn

from audio_anomaly_detector.benchmark.baseline import LOGMEL, Baseline, RawScorer
from audio_anomaly_detector.models.logmel import LogMel, LogMelConfig
from audio_anomaly_detector.scoring.calibration import Raw
from audio_anomaly_detector.seeding import derive_seed

FRAMES = 5  # consecutive frames of one vector
_LEARNING_RATE = 1e-3
# dB^2, a thousandth of a dB: far below what any sounding band leaves, but a digitally silent band
# may leave nothing at all, and its covariance could not be inverted.
_RIDGE = 1e-6


class DcaseAutoencoder(Baseline):
    """Baseline of the DCASE 2023 challenge, task 2, with both of its scores.

    ``mse`` is the mean squared reconstruction error, ``mahalanobis`` (the "selective Mahalanobis"
    score) the mean over frames of ``r^T S^-1 r``, r a frame's residual and S the covariance of the
    training frames' residuals, centred in S alone. The original takes the lesser of the source
    and the target domain's distance; without domains both are the same.

    Source: Harada et al., "First-shot anomaly sound detection for machine condition monitoring: a
    domain generalization baseline", EUSIPCO 2023, and its code,
    github.com/nttcslab/dcase2023_task2_baseline_ae. That code averages ``r_i^T S^-1 r_j`` over
    all *pairs* of frames, which is the distance of the mean residual; here it is the published
    formula.

    Args:
        epochs: over the vectors of one microphone, see `_train`.
    """

    def __init__(self, epochs: int = 100) -> None:
        self.epochs = epochs
        self.logmel = LogMel(LOGMEL)

    def features(self, waveform: Tensor) -> Tensor:
        """``(C, N, 128)`` in dB."""
        return self.logmel(waveform).transpose(1, 2)

    def fit(self, features: Tensor, seed: int) -> RawScorer:
        """Train the autoencoder, then take the covariance of its residuals."""
        network = _train(
            lambda: Autoencoder(features.shape[-1]),
            features,
            epochs=self.epochs,
            batch_size=256,
            seed=seed,
        )
        precision = _precision(_residuals(network, features))

        def score(others: Tensor) -> Raw:
            squares, distances = [], []
            for residual in _residuals(network, others):  # (C, V, 5, F)
                squares.append(residual.square().mean((1, 2, 3)))
                distances.append(((residual @ precision) * residual).sum(-1).mean((1, 2)))
            return {
                "mse": torch.stack(squares).numpy(),
                "mahalanobis": torch.stack(distances).numpy(),
            }

        return score


class Idnn(Baseline):
    """Interpolation deep neural network: predicts the middle frame from its four neighbours.

    ``mean`` is the mean of a window's frame errors, ``max`` the largest, for sounds that are short.

    Source: Suefusa et al., "Anomalous sound detection based on interpolation deep neural network",
    ICASSP 2020.

    Args:
        epochs: over the vectors of one microphone, see `_train`.
    """

    def __init__(self, epochs: int = 100) -> None:
        self.epochs = epochs
        self.logmel = LogMel(LogMelConfig(n_mels=64, n_fft=1024, hop_length=512))

    def features(self, waveform: Tensor) -> Tensor:
        """``(C, N, 64)`` in dB."""
        return self.logmel(waveform).transpose(1, 2)

    def fit(self, features: Tensor, seed: int) -> RawScorer:
        """Train the interpolator."""
        network = _train(
            lambda: Interpolator(features.shape[-1]),
            features,
            epochs=self.epochs,
            batch_size=512,
            seed=seed,
        )

        def score(others: Tensor) -> Raw:
            # (C, V, F) -> (C, V)
            errors = [residual.square().mean(-1) for residual in _residuals(network, others)]
            return {
                "mean": torch.stack([error.mean(-1) for error in errors]).numpy(),
                "max": torch.stack([error.amax(-1) for error in errors]).numpy(),
            }

        return score


class Autoencoder(nn.Module):
    """Dense autoencoder with a bottleneck of 8; its output is the residual.

    Args:
        bands: F, mel bands of a frame.
    """

    def __init__(self, bands: int) -> None:
        super().__init__()
        widths = [FRAMES * bands, 128, 128, 128, 128, 8, 128, 128, 128, 128]
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            norm = nn.BatchNorm1d(after, momentum=0.01, eps=1e-3)
            layers += [nn.Linear(before, after), norm, nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Linear(widths[-1], FRAMES * bands))

    def forward(self, vectors: Tensor) -> Tensor:
        """Residual ``x - x^`` of every frame, ``(B, 5, F) -> (B, 5, F)``."""
        flat = vectors.flatten(1)
        return (flat - self.layers(flat)).unflatten(1, vectors.shape[1:])


class Interpolator(nn.Module):
    """Dense network from four frames to the one between them; its output is the residual.

    Args:
        bands: F, mel bands of a frame.
    """

    def __init__(self, bands: int) -> None:
        super().__init__()
        widths = [(FRAMES - 1) * bands, 64, 32, 16, 32, 64]
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [nn.Linear(before, after), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Linear(widths[-1], bands))

    def forward(self, vectors: Tensor) -> Tensor:
        """Residual ``x - x^`` of the middle frame, ``(B, 5, F) -> (B, F)``."""
        middle = FRAMES // 2
        neighbours = torch.cat((vectors[:, :middle], vectors[:, middle + 1 :]), dim=1)
        return vectors[:, middle] - self.layers(neighbours.flatten(1))


def stack_frames(spectra: Tensor) -> Tensor:
    """Every run of five consecutive frames, ``(R, N, F) -> (R, V, 5, F)``, V = N - 4; a view."""
    return spectra.unfold(1, FRAMES, 1).transpose(2, 3)


def _train(
    make: Callable[[], nn.Module],
    features: Tensor,
    *,
    epochs: int,
    batch_size: int,
    seed: int,
) -> nn.Module:
    """Train a network for the least mean squared residual, with Adam.

    Epochs are counted over the vectors of *one* microphone: the authors had one, and eight
    that record the same machine at the same time are no reason for eight times as many steps.

    Args:
        make: the network, from stacked frames ``(B, 5, F)`` to their residual.
        features: ``(n, C, N, F)`` of normal windows.
        epochs: passes over the vectors.
        batch_size: vectors of a step.
        seed: of weights and batches.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "weights"))
        network = make()
    vectors = stack_frames(features.flatten(0, 1))  # (n C, V, 5, F)
    rows, per_row = vectors.shape[:2]
    steps = epochs * math.ceil(len(features) * per_row / batch_size)
    generator = torch.Generator().manual_seed(derive_seed(seed, "batches"))
    optimiser = torch.optim.Adam(network.parameters(), lr=_LEARNING_RATE, fused=True)
    for items in _batches(rows * per_row, batch_size, steps, generator):
        loss = network(vectors[items // per_row, items % per_row]).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return network.eval()


def _batches(
    items: int, batch_size: int, steps: int, generator: torch.Generator
) -> Iterator[Tensor]:
    """Shuffled batches of item numbers, shuffled anew when less than a whole batch is left."""
    batch_size = min(batch_size, items)
    order = torch.empty(0, dtype=torch.int64)
    for _ in range(steps):
        if len(order) < batch_size:
            order = torch.randperm(items, generator=generator)
        batch, order = order[:batch_size], order[batch_size:]
        yield batch


@torch.no_grad()
def _residuals(network: nn.Module, features: Tensor) -> Iterator[Tensor]:
    """Residuals of the network on each window ``(C, N, F)``: ``(C, V, ...)`` float64."""
    for window in features:
        vectors = stack_frames(window)  # (C, V, 5, F)
        yield network(vectors.flatten(0, 1)).unflatten(0, vectors.shape[:2]).double()


def _precision(residuals: Iterable[Tensor]) -> Tensor:
    """Inverse covariance ``(F, F)`` over all frames of residuals ``(..., F)``."""
    count, total, products = 0, torch.zeros(()), torch.zeros(())
    for residual in residuals:  # window by window: at once would copy all training windows
        frames = residual.flatten(0, -2)
        count += len(frames)
        total = total + frames.sum(0)
        products = products + frames.T @ frames
    covariance = (products - total.outer(total) / count) / (count - 1)
    return torch.linalg.inv(covariance + _RIDGE * torch.eye(len(covariance), dtype=torch.float64))
