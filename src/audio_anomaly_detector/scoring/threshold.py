"""p-values and the decision threshold, from the scores of normal clips alone."""

import math
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field, model_validator
from scipy.special import gammaincc, gammainccinv

from audio_anomaly_detector.errors import UserError
from audio_anomaly_detector.scoring.alarm_units import alarms_per_day

# A sum of logarithms is far below it; squares of what is larger could overflow to no threshold.
_LARGEST_SCORE = 1e100
# Groups of the exponential tail: its mean excess is then known to about a third.
_LEAST_OF_TAIL = 10


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
    false_alarms: str | None = Field(
        default=None,
        description="how often the level alarm may come without a fault, such as 1/week; needs "
        "`clips_per_day`",
    )
    clips_per_day: float | None = Field(
        default=None, gt=0, description="clips that are judged in a day"
    )
    # Constants of the methods: here, so that they are stored with a model.
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
    tail_share: float = Field(
        default=0.1,
        gt=0,
        le=0.5,
        description="share of the groups, of the highest scores, to which the exponential tail of "
        "alarms is fitted; 10 groups at least",
    )
    reach: float = Field(
        default=10.0,
        ge=1,
        description="alarms are extrapolated to this part of the resolution 1 / (groups + 1): on "
        "left-out scores of two synthetic machines a tenth came out at 1.2 to 1.7 times the rate "
        "asked for from 10 groups and 2.1 to 2.4 from 50, by the gamma fit at 3.5 to 5.2; on six "
        "distributions from normal to log-normal at up to 3.1 from 10 to 200 groups, and a "
        "hundredth at up to 10",
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

    @model_validator(mode="after")
    def _alarms_fit(self) -> Self:
        if self.false_alarms is None:
            return self
        alarms_per_day(self.false_alarms)
        if self.clips_per_day is None:
            raise ValueError(
                f"false alarms of {self.false_alarms} depend on the number of clips: give "
                "clips_per_day (--clips-per-day) too"
            )
        if self.method == "value":
            raise ValueError(
                "a threshold given as a number has no false-alarm rate; leave out false_alarms or "
                "the threshold"
            )
        rate = self.alarm_rate
        if rate is not None and rate >= self.false_alarm_rate:
            raise ValueError(
                f"{self.false_alarms} of {self.clips_per_day:g} clips a day is {rate:.2g} a clip, "
                f"no rarer than warnings at {self.false_alarm_rate:g}: ask for fewer alarms or "
                "set false_alarm_rate (--false-alarm-rate) higher"
            )
        return self

    @property
    def alarm_rate(self) -> float | None:
        """Share of normal clips that may raise an alarm; None: no such level is asked for."""
        if self.false_alarms is None or self.clips_per_day is None:
            return None
        return alarms_per_day(self.false_alarms) / self.clips_per_day


def calibration_method(config: ThresholdConfig, groups: float) -> Literal["gamma", "conformal"]:
    """How p-values come from so many independent calibration clips, or groups of them.

    ``auto`` and ``value`` take the rank where it is fine enough.

    Raises:
        UserError: ``conformal`` with too few clips for its rate of false alarms.
    """
    if config.method != "conformal":
        fine = max(config.conformal_from, math.ceil(1 / config.false_alarm_rate) - 1)
        return "gamma" if config.method == "gamma" or groups < fine else "conformal"
    if config.false_alarm_rate * (groups + 1) < 1:
        raise UserError(
            f"a conformal threshold at {config.false_alarm_rate:g} false alarms needs "
            f"{math.ceil(1 / config.false_alarm_rate) - 1} calibration clips of different "
            f"recordings, there are {groups:.3g}; use the method 'gamma' or a higher rate"
        )
    return "conformal"


@dataclass(frozen=True)
class NormalScores:
    """The joined scores of normal clips, of one length, that the detector was not fitted on.

    Clips of one group (the cuts of a recording, the recordings of a day) vary together, so that
    the number of groups says how much is known of other recordings, and every group counts as one.
    Recording conditions (domains) count alike, however many groups each has.

    Args:
        scores: ``(n,)``, n >= 2.
        groups: number of the group of each, ``(n,)``; empty: every clip for itself.
        domains: number of the recording condition of each, one for all of a group, ``(n,)``;
            empty: there is one condition.

    Raises:
        ValueError: of another shape, too few, not finite, or so large that their mean is not.
    """

    scores: NDArray[np.float64]
    groups: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    domains: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    effective_groups: float = field(init=False, repr=False, compare=False)
    _weights: NDArray[np.float64] = field(init=False, repr=False, compare=False)
    _members: list[NDArray[np.float64]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.scores.ndim != 1 or len(self.scores) < 2:
            raise ValueError(f"scores of normal clips have shape {self.scores.shape}")
        if not np.isfinite(self.scores).all():
            raise ValueError("scores of normal clips are not finite")
        if np.abs(self.scores).max() > _LARGEST_SCORE:
            raise ValueError("scores of normal clips are larger than any score can be")
        if len(self.groups) == 0:
            object.__setattr__(self, "groups", np.arange(len(self.scores)))
        if self.groups.shape != self.scores.shape:
            raise ValueError("scores of normal clips have groups of another number")
        if len(self.domains) == 0:
            object.__setattr__(self, "domains", np.zeros(len(self.scores), np.int64))
        if self.domains.shape != self.scores.shape:
            raise ValueError("scores of normal clips have domains of another number")
        found = np.unique(self.groups)
        members = [self.scores[self.groups == group] for group in found]
        if len(members) < 2:
            raise ValueError("scores of normal clips are of one group")
        domains = [np.unique(self.domains[self.groups == group]) for group in found]
        if any(len(of_group) > 1 for of_group in domains):
            raise ValueError("a group of normal clips is of several domains")
        _, domain, sizes = np.unique(
            np.concatenate(domains), return_inverse=True, return_counts=True
        )
        # Kish's effective size for domains that count alike; exactly the number of groups of one.
        effective = float(len(sizes) ** 2 / sum(Fraction(1, int(size)) for size in sizes))
        object.__setattr__(self, "effective_groups", effective)
        object.__setattr__(self, "_weights", effective / (len(sizes) * sizes[domain]))
        object.__setattr__(self, "_members", members)

    @property
    def n_groups(self) -> int:
        """How many groups there are."""
        return len(self._members)

    def method(self, config: ThresholdConfig) -> Literal["gamma", "conformal"]:
        """How p-values are made of them; see `calibration_method`."""
        return calibration_method(config, self.effective_groups)

    @property
    def resolution(self) -> float:
        """The smallest p-value that they carry: one in the number of groups and the new clip."""
        return 1 / (self.effective_groups + 1)

    @property
    def counted(self) -> str:
        """How many clips there are, and how many groups if these are fewer."""
        clips = f"{len(self.scores)} calibration clips"
        return clips if self.n_groups == len(self.scores) else f"{clips} in {self.n_groups} groups"

    def coarseness(self, config: ThresholdConfig) -> str:
        """One sentence on how far the p-values can be trusted."""
        what = self.counted
        if self.method(config) == "conformal":
            return f"p-values come in steps of 1/{self.effective_groups + 1:.3g} ({what})"
        return (
            f"p-values are extrapolated by a gamma fit to {what}: trust their order, not values "
            f"below about {self.resolution:.2g}"
        )

    def p_step(self, config: ThresholdConfig) -> float:
        """Steps in which p-values come; 0: they are continuous."""
        return self.resolution if self.method(config) == "conformal" else 0.0

    def p_value(self, score: float, config: ThresholdConfig) -> float:
        """Share of normal clips expected to score at least ``score``.

        Conformal: ``(1 + sum_k share_k) / (K + 1)`` over K groups, of which share_k is the share of
        clips that score at least as high (Lee, Barber and Willett, "Distribution-free inference
        with hierarchical data", 2023; of one clip each it is the rank of Vovk et al., "Algorithmic
        learning in a random world", 2005); otherwise the survival function of the gamma fit. Of
        several domains groups are weighted, and K is their effective number.
        """
        if self.method(config) == "gamma":
            start, scale = self._gamma(config)
            return float(gammaincc(config.gamma_shape, max(score - start, 0.0) / scale))
        shares = [np.mean(scores >= score) for scores in self._members]
        return float((1 + np.sum(self._weights * shares)) / (self.effective_groups + 1))

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
        # The lowest score above which p <= rate.
        scores = np.concatenate(self._members)
        shares = zip(self._members, self._weights, strict=True)
        weights = np.concatenate([np.full(len(own), weight / len(own)) for own, weight in shares])
        order = np.argsort(-scores, kind="stable")
        above = np.cumsum(weights[order]) - weights[order]
        allowed = config.false_alarm_rate * (self.effective_groups + 1) - 1
        return float(scores[order][np.flatnonzero(above <= allowed + 1e-9)[-1]])

    def alarm_threshold(self, rate: float, config: ThresholdConfig) -> float:
        """The score that a share `rate` of normal clips exceeds, beyond the ranks, too.

        Below the resolution an exponential tail above the highest groups (peaks over a threshold,
        Pickands, 1975, of shape 0: a shape that is estimated, too, missed a tenth of the resolution
        by 3 to 12 times). Otherwise as `threshold`. Never below the threshold of warnings.

        Args:
            rate: at least the resolution / `ThresholdConfig.reach`.
            config: decision settings.

        Raises:
            UserError: as `threshold`.
        """
        if rate < self.resolution:
            found = self._tail(rate, config)
        else:
            found = self.threshold(config.model_copy(update={"false_alarm_rate": rate}))
        return max(found, self.threshold(config))

    def share_above(self, score: float) -> float:
        """Share of the normal clips that score higher, every group counting as one."""
        return float(np.mean([np.mean(scores > score) for scores in self._members]))

    def _tail(self, rate: float, config: ThresholdConfig) -> float:
        scores = np.concatenate(self._members)
        weights = np.concatenate([np.full(len(own), 1 / len(own)) for own in self._members])
        order = np.argsort(-scores, kind="stable")
        scores, weights = scores[order], weights[order]
        wanted = max(_LEAST_OF_TAIL, config.tail_share * self.n_groups)
        begin = int(np.searchsorted(np.cumsum(weights), wanted + 1e-9))  # scores in the tail
        begin = min(max(begin, 1), len(scores) - 1)
        mass = float(np.sum(weights[:begin]))
        excess = float(np.sum(weights[:begin] * (scores[:begin] - scores[begin]))) / mass
        return float(scores[begin] + excess * math.log(mass / self.n_groups / rate))

    def p_among(self, score: float, windows: int, config: ThresholdConfig) -> float:
        """Share of normal recordings of several windows of which one scores at least ``score``.

        From the gamma fit, for ranks do not reach as far; as if windows were independent (Sidak,
        1967), which is on the safe side where those of a recording are alike.
        """
        gamma = config.model_copy(update={"method": "gamma"})
        return -math.expm1(windows * math.log1p(-min(self.p_value(score, gamma), 1 - 1e-12)))

    def threshold_among(self, windows: int, config: ThresholdConfig) -> float:
        """The score above which one of several windows makes a recording anomalous.

        At half the rate of false alarms, which comes on top of that of the recording as a whole.
        """
        if config.method == "value":
            return self.threshold(config)
        rate = -math.expm1(math.log1p(-config.false_alarm_rate / 2) / windows)
        update = {"method": "gamma", "false_alarm_rate": rate}
        return self.threshold(config.model_copy(update=update))

    def _gamma(self, config: ThresholdConfig) -> tuple[float, float]:
        """Start and scale of a gamma of fixed shape with the scores' mean and deviation.

        As for the thresholds of DCASE Task 2. Mean and variance are those of a clip of another
        group: the variance between the groups' means, and that within groups as far as these means
        lack it. The standard deviation is widened by ``sqrt(1 + 1/K)`` for the unknown mean and, as
        it is itself known from K groups only, as Student's t is wider than the normal distribution.
        """
        n, weights = self.effective_groups, self._weights
        means = np.array([np.mean(own) for own in self._members])
        mean = float(np.sum(weights * means)) / n
        between = float(np.sum(weights * (means - mean) ** 2)) / (n - 1)
        within = [
            weight * np.var(own, ddof=1) * (1 - 1 / len(own))
            for own, weight in zip(self._members, weights, strict=True)
            if len(own) > 1
        ]
        variance = between + float(np.sum(within)) / n
        student = 1 + config.student_factor / max(n - 1, 1)
        deviation = math.sqrt(variance) * student * math.sqrt(1 + 1 / n)
        scale = max(deviation, 1e-9) / math.sqrt(config.gamma_shape)
        return mean - config.gamma_shape * scale, scale


@dataclass(frozen=True)
class Alarm:
    """The level above warnings, for clips of one length.

    Args:
        rate: share of normal clips that raise one, as asked for or as far as the normals carry.
        threshold: score above which a clip does.
        of_window: score above which one window of a clip of several does.
    """

    rate: float
    threshold: float
    of_window: float


@dataclass(frozen=True)
class ScoresByLength:
    """Scores of normal clips of several lengths: a p-value holds for the length of a clip.

    Args:
        seconds: the lengths, ascending.
        scores: of each.
        usual: length of the recordings that the detector was fitted on, s.

    Raises:
        ValueError: the parts do not belong together.
    """

    seconds: tuple[float, ...]
    scores: tuple[NormalScores, ...]
    usual: float

    def __post_init__(self) -> None:
        lengths = list(self.seconds)
        if not lengths or lengths != sorted(set(lengths)) or not 0 < lengths[0] < math.inf:
            raise ValueError(f"scores of normal clips of {lengths} s")
        if len(self.scores) != len(lengths) or not 0 < self.usual < math.inf:
            raise ValueError("scores of normal clips of another number of lengths")

    @property
    def of_usual(self) -> NormalScores:
        """Those of the calibrated length nearest to the usual one."""
        return self.near(self.usual)

    def p_value(self, score: float, seconds: float, config: ThresholdConfig) -> float:
        """Share of normal clips of that length expected to score at least ``score``."""
        near = self._near(seconds)
        if len(near) == 1:
            return near[0][1].p_value(score, config)
        logs = [weight * math.log(max(of.p_value(score, config), 1e-300)) for weight, of in near]
        return math.exp(sum(logs))

    def threshold(self, seconds: float, config: ThresholdConfig) -> float:
        """The score above which a clip of that length is called anomalous.

        Raises:
            UserError: as `NormalScores.threshold`.
        """
        return sum(weight * scores.threshold(config) for weight, scores in self._near(seconds))

    def carried_rate(self, seconds: float, windows: int, config: ThresholdConfig) -> float:
        """The rarest alarms of clips of that length, of so many windows, that the normals carry.

        Of several windows the clip as a whole has half of the rate, its windows share the other.
        """
        reach = 1.0 if config.method == "conformal" else config.reach
        return self.resolution(seconds) / reach * (2 * windows if windows > 1 else 1)

    def alarm(
        self, seconds: float, windows: int, window: float, config: ThresholdConfig
    ) -> Alarm | None:
        """When a clip raises an alarm.

        Args:
            seconds: length of the clip.
            windows: its number of windows.
            window: length of these, s.
            config: decision settings.

        Returns:
            None: no alarms are asked for, or the normals carry none that are rarer than warnings.
        """
        if config.alarm_rate is None:
            return None
        rate = max(config.alarm_rate, self.carried_rate(seconds, windows, config))
        if rate >= config.false_alarm_rate:
            return None
        whole = rate / 2 if windows > 1 else rate
        threshold = sum(
            weight * scores.alarm_threshold(whole, config) for weight, scores in self._near(seconds)
        )
        of_window = self.near(window).alarm_threshold(whole / windows, config)
        return Alarm(rate, threshold, of_window)

    def near(self, seconds: float) -> NormalScores:
        """Those of the calibrated length that is nearest."""
        return max(self._near(seconds), key=lambda near: near[0])[1]

    def resolution(self, seconds: float) -> float:
        """The smallest p-value that the normal clips carry for that length."""
        return max(scores.resolution for _, scores in self._near(seconds))

    def _near(self, seconds: float) -> list[tuple[float, NormalScores]]:
        """The one or two lengths that a clip lies at or between, with their weights.

        As `length_weights`: linear in the logarithm, the nearest end beyond the ends.
        """
        place = float(np.interp(math.log(seconds), np.log(self.seconds), range(len(self.seconds))))
        below, share = int(place), place - int(place)
        if share == 0:
            return [(1.0, self.scores[below])]
        return [(1 - share, self.scores[below]), (share, self.scores[below + 1])]
