"""Common ways to a decision threshold, as baselines of our own."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats

from audio_anomaly_detector.benchmark.classical import LogMelStatistics, mahalanobis
from audio_anomaly_detector.benchmark.conditions import Waveform

Scores = NDArray[np.float64]

_OURS = "our score"
_LOGMEL = "log-mel"


def gamma_threshold(scores: Scores, rate: float) -> float:
    """Quantile of a gamma distribution fitted to scores of normal clips.

    As in the baseline of DCASE 2020 to 2025 Task 2.
    """
    shape, start, scale = stats.gamma.fit(scores)
    return float(stats.gamma.ppf(1 - rate, shape, loc=start, scale=scale))


def contamination_threshold(scores: Scores, rate: float) -> float:
    """Quantile of the scores themselves, as PyOD with `contamination` (Zhao et al., 2019)."""
    return float(np.quantile(scores, 1 - rate))


def conformal_threshold(scores: Scores, rate: float) -> float:
    """The lowest threshold above which a conformal p-value is at most the rate; of clips alone.

    Vovk et al., "Algorithmic learning in a random world" (2005). Infinite where the scores are too
    few for the rate.
    """
    rank = math.floor(rate * (len(scores) + 1) + 1e-9)
    return math.inf if rank < 1 else float(np.sort(scores)[-rank])


RULES: dict[str, Callable[[Scores, float], float]] = {
    "gamma": gamma_threshold,
    "contamination": contamination_threshold,
    "conformal": conformal_threshold,
}


class Baseline(NamedTuple):
    """A score with a threshold of its own.

    Attributes:
        method: its name.
        score: of features ``(n, 1, D)``, ``(n,)``.
        threshold: clips that score higher are anomalous.
    """

    method: str
    score: Callable[[torch.Tensor], Scores]
    threshold: float


class LogMelBaselines:
    """Log-mel statistics with Mahalanobis distance, and a threshold by every rule.

    Gamma and contamination take the scores of the training clips themselves, as their authors do;
    for the conformal rule a half of the clips is fitted on and the other half sets the threshold.

    Args:
        waveforms: of normal clips, ``(1, T)`` each, at the detector's rate.
        rate: nominal rate of false alarms.
    """

    def __init__(self, waveforms: Sequence[Waveform], rate: float) -> None:
        self._method = LogMelStatistics(mahalanobis)
        known = self.features(waveforms)
        half = len(known) // 2
        whole, of_half = self._scorer(known), self._scorer(known[half:])
        self.baselines = [
            Baseline(
                f"{_LOGMEL}, {name}",
                of_half if name == "conformal" else whole,
                rule(of_half(known[:half]) if name == "conformal" else whole(known), rate),
            )
            for name, rule in RULES.items()
        ]

    @torch.no_grad()
    def features(self, waveforms: Sequence[Waveform]) -> torch.Tensor:
        """``(n, 1, D)``."""
        return torch.stack([self._method.features(torch.from_numpy(one)) for one in waveforms])

    def verdicts(self, waveforms: Sequence[Waveform]) -> dict[str, list[bool]]:
        """By method, whether each clip is anomalous."""
        features = self.features(waveforms)
        return {
            method: (score(features) > threshold).tolist()
            for method, score, threshold in self.baselines
        }

    def _scorer(self, known: torch.Tensor) -> Callable[[torch.Tensor], Scores]:
        score = self._method.fit(known, 0)
        return lambda features: np.asarray(score(features)["score"][:, 0])


def own_thresholds(scores: Scores, rate: float) -> dict[str, float]:
    """By method, thresholds of our score that the rules make of its left-out normal scores."""
    return {f"{_OURS}, {name}": rule(scores, rate) for name, rule in RULES.items()}
