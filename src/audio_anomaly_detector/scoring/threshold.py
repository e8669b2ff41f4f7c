"""p-values and the decision threshold, from the scores of normal clips alone."""

import math
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field, model_validator
from scipy.special import gammaincc, gammainccinv

from audio_anomaly_detector.errors import UserError

# A sum of logarithms is far below it; squares of what is larger could overflow to no threshold.
_LARGEST_SCORE = 1e100


class ThresholdConfig(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """How the decision threshold is drawn from normal scores; changeable without refitting."""

    method: Literal["auto", "gamma", "conformal", "value"] = Field(
        default="auto",
        description="auto: gamma below 20 calibration clips, conformal from there on; "
        "value: the number given as `value`",
    )
    false_alarm_rate: float = Field(
        default=0.1, gt=0, lt=1, description="share of normal clips that may be called anomalous"
    )
    value: float | None = Field(
        default=None, allow_inf_nan=False, description="the threshold itself, for method `value`"
    )
    # Constants of the two methods: here, so that they are stored with a model.
    conformal_from: int = Field(
        default=20,
        ge=1,
        description="calibration clips from which `auto` is conformal: with fewer, ranks are too "
        "coarse to hold a rate of 10 %",
    )
    gamma_shape: float = Field(
        default=16.0,
        gt=0,
        description="shape of the gamma fit: skewness 2 / sqrt(16) = 0.5, the mild right tail of "
        "averaged distances; location and scale can be estimated from few clips, the shape cannot",
    )
    student_factor: float = Field(
        default=0.66,
        ge=0,
        description="widens the gamma fit like Student's t: its quantile over that of the normal "
        "distribution is to first order 1 + (z^2 + 1) / 4 / degrees of freedom, here z = 1.28",
    )

    @model_validator(mode="after")
    def _value_given(self) -> Self:
        if self.method == "value" and self.value is None:
            raise ValueError("threshold method 'value' needs a number: give the threshold too")
        if self.method != "value" and self.value is not None:
            raise ValueError(
                f"a threshold of {self.value:g} is used with the method 'value' only, the method "
                f"is '{self.method}'; change one of them"
            )
        return self


def calibration_method(config: ThresholdConfig, clips: int) -> Literal["gamma", "conformal"]:
    """How p-values come from so many calibration clips.

    ``auto`` and ``value`` take the rank where it is fine enough.

    Raises:
        UserError: ``conformal`` with too few clips for its rate of false alarms.
    """
    if config.method != "conformal":
        fine = max(config.conformal_from, math.ceil(1 / config.false_alarm_rate) - 1)
        return "gamma" if config.method == "gamma" or clips < fine else "conformal"
    if config.false_alarm_rate * (clips + 1) < 1:
        raise UserError(
            f"a conformal threshold at {config.false_alarm_rate:g} false alarms needs "
            f"{math.ceil(1 / config.false_alarm_rate) - 1} calibration clips, there are "
            f"{clips}; use the method 'gamma' or a higher rate"
        )
    return "conformal"


@dataclass(frozen=True)
class NormalScores:
    """The joined scores of normal clips that the detector was not fitted on.

    Args:
        scores: ``(n,)``, n >= 2.

    Raises:
        ValueError: of another shape, too few, not finite, or so large that their mean is not.
    """

    scores: NDArray[np.float64]

    def __post_init__(self) -> None:
        if self.scores.ndim != 1 or len(self.scores) < 2:
            raise ValueError(f"scores of normal clips have shape {self.scores.shape}")
        if not np.isfinite(self.scores).all():
            raise ValueError("scores of normal clips are not finite")
        if np.abs(self.scores).max() > _LARGEST_SCORE:
            raise ValueError("scores of normal clips are larger than any score can be")

    def method(self, config: ThresholdConfig) -> Literal["gamma", "conformal"]:
        """How p-values are made of them; see `calibration_method`."""
        return calibration_method(config, len(self.scores))

    def coarseness(self, config: ThresholdConfig) -> str:
        """One sentence on how far the p-values can be trusted."""
        n = len(self.scores)
        if self.method(config) == "conformal":
            return f"p-values come in steps of 1/{n + 1} ({n} calibration clips)"
        return (
            f"p-values are extrapolated by a gamma fit to {n} calibration clips: "
            f"trust their order, not values below about {1 / (n + 1):.2g}"
        )

    def p_step(self, config: ThresholdConfig) -> float:
        """Steps in which p-values come; 0: they are continuous."""
        return 1 / (len(self.scores) + 1) if self.method(config) == "conformal" else 0.0

    def p_value(self, score: float, config: ThresholdConfig) -> float:
        """Share of normal clips expected to score at least ``score``.

        Conformal: ``(1 + #{s_i >= s}) / (n + 1)`` (Vovk et al., "Algorithmic learning in a
        random world", 2005); otherwise the survival function of the gamma fit.
        """
        if self.method(config) == "gamma":
            start, scale = self._gamma(config)
            return float(gammaincc(config.gamma_shape, max(score - start, 0.0) / scale))
        return float((1 + np.sum(self.scores >= score)) / (len(self.scores) + 1))

    def threshold(self, config: ThresholdConfig) -> float:
        """The score above which a clip is called anomalous.

        Raises:
            UserError: ``conformal`` with too few clips.
        """
        if config.method == "value" and config.value is not None:
            return config.value
        if self.method(config) == "gamma":
            start, scale = self._gamma(config)
            quantile = gammainccinv(config.gamma_shape, config.false_alarm_rate)
            return float(start + scale * quantile)
        # p <= rate exactly for scores above the rank-th largest normal score.
        rank = math.floor(config.false_alarm_rate * (len(self.scores) + 1))
        return float(np.sort(self.scores)[-rank])

    def _gamma(self, config: ThresholdConfig) -> tuple[float, float]:
        """Start and scale of a gamma of fixed shape with the scores' mean and deviation.

        As for the thresholds of DCASE Task 2. The standard deviation is widened by
        ``sqrt(1 + 1/n)`` for the unknown mean and, as it is itself known from n clips only, as
        Student's t is wider than the normal distribution.
        """
        n = len(self.scores)
        mean = float(np.mean(self.scores))
        student = 1 + config.student_factor / max(n - 1, 1)
        deviation = float(np.std(self.scores, ddof=1)) * student * math.sqrt(1 + 1 / n)
        scale = max(deviation, 1e-9) / math.sqrt(config.gamma_shape)
        return mean - config.gamma_shape * scale, scale
