"""Baselines without a network: level alone, log-mel statistics with five back ends, TWFR-GMM."""

import math
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.covariance import LedoitWolf
from sklearn.ensemble import IsolationForest
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import LocalOutlierFactor, NearestNeighbors
from sklearn.preprocessing import StandardScaler
from sklearn.svm import OneClassSVM
from torch import Tensor

from audio_anomaly_detector.benchmark.baseline import LOGMEL, Baseline, RawScorer
from audio_anomaly_detector.models.logmel import LogMel
from audio_anomaly_detector.scoring.calibration import Raw

Floats = NDArray[np.float64]
# From one microphone's normals (n, D) and a seed to its scores of others, (m, D) -> (m,).
BackEnd = Callable[[Floats, int], Callable[[Floats], Floats]]

_NEIGHBOURS = 20  # scikit-learn's default for LOF; fewer where there are fewer clips
# GWRP's r: 0 is the maximum over time, 1 the mean.
GWRP_RATIOS = (0.0, 0.46, 0.7, 0.8, 0.88, 0.9, 0.95, 0.98, 0.99, 1.0)
GWRP_FIXED = 0.9
_TWO_COMPONENTS_FROM = 20  # normals; two Gaussians of four clips each would be none


class LevelOnly(Baseline):
    """Distance of each microphone's RMS level in dB to the nearest normal clip's."""

    def features(self, waveform: Tensor) -> Tensor:
        """Level in dB, ``(C, 1)``."""
        return 10 * waveform.square().mean(-1, keepdim=True).clamp_min(1e-12).log10()

    def fit(self, features: Tensor, seed: int) -> RawScorer:
        """Keep the normals' levels."""

        def score(others: Tensor) -> Raw:
            distances = (others[:, None] - features[None]).abs().amin(1)  # (m, C, 1)
            return {"score": distances[..., 0].double().numpy()}

        return score


class LogMelStatistics(Baseline):
    """Mean and standard deviation over time of every log-mel band, with a back end.

    Args:
        back_end: from normals to a scorer.
    """

    def __init__(self, back_end: BackEnd) -> None:
        self.back_end = back_end
        self.logmel = LogMel(LOGMEL)

    def features(self, waveform: Tensor) -> Tensor:
        """``(C, 256)`` in dB."""
        logmel = self.logmel(waveform)  # (C, 128, N)
        return torch.cat([logmel.mean(-1), logmel.std(-1)], -1)

    def fit(self, features: Tensor, seed: int) -> RawScorer:
        """Fit the back end to each microphone's normals."""
        scorers = _per_microphone(features, lambda normals: self.back_end(normals, seed))
        return lambda others: {"score": _score(scorers, others)}


class TwfrGmm(Baseline):
    """Log-mel pooled over time by global weighted ranking, and a Gaussian mixture.

    Source: Guan et al., "Time-weighted frequency domain audio representation with GMM estimator
    for anomalous sound detection", ICASSP 2023, and its authors' code: full covariances with 1e-6
    on the diagonal, score = the least negative log density of a component. They choose r and the
    number of components for each machine type on labelled test clips; here r is fixed, and "r by
    oracle" is the best of `GWRP_RATIOS` by test labels.
    """

    def __init__(self) -> None:
        self.logmel = LogMel(LOGMEL)

    def features(self, waveform: Tensor) -> Tensor:
        """``(C, ratios, 128)`` in dB."""
        ranked = self.logmel(waveform).sort(-1, descending=True).values  # (C, 128, N)
        rank = torch.arange(ranked.shape[-1])
        pooled = []
        for ratio in GWRP_RATIOS:
            weight = torch.tensor(ratio, dtype=torch.float64) ** rank  # 0^0 = 1: the maximum
            pooled.append(ranked @ (weight / weight.sum()).float())
        return torch.stack(pooled, 1)

    def fit(self, features: Tensor, seed: int) -> RawScorer:
        """Fit a mixture to each microphone and ratio."""

        def mixture(normals: Floats) -> Callable[[Floats], Floats]:
            components = 1 if len(normals) < _TWO_COMPONENTS_FROM else 2
            gmm = GaussianMixture(components, reg_covar=1e-6, tol=1e-6, random_state=seed)
            gmm.fit(normals)
            return lambda others: -_component_log_density(gmm, others).max(1)

        scorers = {
            ratio: _per_microphone(features[:, :, i], mixture)
            for i, ratio in enumerate(GWRP_RATIOS)
        }

        def score(others: Tensor) -> Raw:
            return {
                gwrp_column(ratio): _score(scorers[ratio], others[:, :, i])
                for i, ratio in enumerate(GWRP_RATIOS)
            }

        return score


def gwrp_column(ratio: float) -> str:
    """Name of the scores with this r."""
    return f"r={ratio:g}"


def nearest_neighbour(normals: Floats, seed: int) -> Callable[[Floats], Floats]:
    """Distance to the nearest normal clip, every statistic in its own standard deviation."""
    scaler = StandardScaler().fit(normals)
    search = NearestNeighbors(n_neighbors=1).fit(scaler.transform(normals))
    return lambda others: search.kneighbors(scaler.transform(others))[0][:, 0]


def mahalanobis(normals: Floats, seed: int) -> Callable[[Floats], Floats]:
    """Mahalanobis distance with the covariance shrunk after Ledoit and Wolf (2004)."""
    scaler = StandardScaler().fit(normals)
    covariance = LedoitWolf().fit(scaler.transform(normals))
    return lambda others: np.sqrt(covariance.mahalanobis(scaler.transform(others)))


def local_outlier_factor(normals: Floats, seed: int) -> Callable[[Floats], Floats]:
    """Local outlier factor (Breunig et al., 2000) against the normals."""
    scaler = StandardScaler().fit(normals)
    neighbours = min(_NEIGHBOURS, len(normals) - 1)
    factor = LocalOutlierFactor(n_neighbors=neighbours, novelty=True)
    factor.fit(scaler.transform(normals))
    return lambda others: -factor.score_samples(scaler.transform(others))


def one_class_svm(normals: Floats, seed: int) -> Callable[[Floats], Floats]:
    """One-class support vector machine (Schölkopf et al., 2001), RBF kernel, nu = 0.1."""
    scaler = StandardScaler().fit(normals)
    machine = OneClassSVM(nu=0.1, gamma="scale")
    machine.random_state = seed  # without one it draws from NumPy's shared generator, for nothing
    machine.fit(scaler.transform(normals))
    return lambda others: -machine.decision_function(scaler.transform(others))


def isolation_forest(normals: Floats, seed: int) -> Callable[[Floats], Floats]:
    """Isolation forest (Liu et al., 2008) of 100 trees."""
    forest = IsolationForest(random_state=seed).fit(normals)
    return lambda others: -forest.score_samples(others)


def _per_microphone(
    features: Tensor, fit: Callable[[Floats], Callable[[Floats], Floats]]
) -> list[Callable[[Floats], Floats]]:
    """Fit on every microphone's ``(n, D)`` of ``(n, C, D)``."""
    return [fit(normals.double().numpy()) for normals in features.unbind(1)]


def _score(scorers: list[Callable[[Floats], Floats]], others: Tensor) -> Floats:
    """``(m, C, D) -> (m, C)``."""
    columns = [
        scorer(each.double().numpy())
        for scorer, each in zip(scorers, others.unbind(1), strict=True)
    ]
    return np.stack(columns, 1)


def _component_log_density(gmm: GaussianMixture, others: Floats) -> Floats:
    """Log density of each Gaussian without its weight, ``(m, D) -> (m, K)``."""
    columns = []
    for mean, factor in zip(gmm.means_, gmm.precisions_cholesky_, strict=True):
        whitened = (others - mean) @ factor
        log_determinant = np.log(np.diag(factor)).sum()
        constant = others.shape[1] * math.log(2 * math.pi) / 2
        columns.append(log_determinant - constant - np.square(whitened).sum(1) / 2)
    return np.stack(columns, 1)
