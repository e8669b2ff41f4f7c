"""How well raw anomaly scores separate anomalous from normal clips: pure functions of arrays.

Scores are raw (any range, higher = more anomalous), labels are 0 (normal) and 1 (anomalous), a clip
is decided anomalous where its score is *greater* than the threshold. A metric that cannot be
computed is None with a reason, never a figure in its place.
"""

import math
import statistics
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import (
    average_precision_score,
    confusion_matrix,
    precision_recall_fscore_support,
    roc_auc_score,
)

from audio_anomaly_detector.metrics.bootstrap import resampled_metrics
from audio_anomaly_detector.metrics.intervals import exact_interval, percentile_interval

MAX_FPR = 0.1

Floats = NDArray[np.float64]


class Confusion(NamedTuple):
    """Number of clips by label and decision."""

    true_negative: int
    false_positive: int
    false_negative: int
    true_positive: int


class DecisionMetrics(NamedTuple):
    """What a threshold makes of the scores; None where a figure is undefined."""

    precision: float | None
    recall: float | None
    f1: float | None
    false_alarm_rate: float | None
    confusion: Confusion


@dataclass(frozen=True)
class Estimate:
    """One metric with its interval; `value` is None exactly where `reason` is given."""

    value: float | None
    low: float | None = None
    high: float | None = None
    reason: str | None = None

    def __str__(self) -> str:
        """Format as `0.912 [0.830, 0.974]`, or the reason why there is no figure."""
        if self.value is None:
            return f"not computable: {self.reason}"
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"

    @property
    def is_degenerate(self) -> bool:
        """Whether the interval has no width: all resamples agree, which is not certainty."""
        return self.value is not None and self.low == self.high


class MetricRow(NamedTuple):
    """One line of a table of metrics."""

    name: str
    title: str
    estimate: Estimate


@dataclass(frozen=True)
class Metrics:
    """All metrics of one set of scored clips, with 95 % intervals.

    Those of proportions (precision, recall, false-alarm rate) are exact (Clopper and Pearson), that
    of the precision given the number of clips decided anomalous; the others are bootstrap
    intervals, clips resampled within each class.
    """

    auroc: Estimate
    average_precision: Estimate
    partial_auroc: Estimate
    precision: Estimate
    recall: Estimate
    f1: Estimate
    false_alarm_rate: Estimate
    confusion: Confusion
    threshold: float
    n_normal: int
    n_anomalous: int

    def rows(self) -> list[MetricRow]:
        """Return the estimates in order of display, with titles for people."""
        return [MetricRow(name, title, getattr(self, name)) for name, title in TITLES.items()]

    def to_dict(self) -> dict[str, object]:
        """Return plain numbers, strings and dicts, for JSON.

        An infinite threshold (too few calibration clips to decide anything) becomes None, as JSON
        has no infinity.
        """
        plain: dict[str, object] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Estimate):
                value = {part.name: getattr(value, part.name) for part in fields(value)}
            elif isinstance(value, Confusion):
                value = value._asdict()
            plain[field.name] = value
        plain["threshold"] = self.threshold if math.isfinite(self.threshold) else None
        return plain


TITLES = {
    "auroc": "ROC AUC",
    "average_precision": "PR AUC (average precision)",
    "partial_auroc": f"pAUC (false-alarm rate ≤ {MAX_FPR}, McClish)",
    "precision": "Precision at the threshold",
    "recall": "Recall at the threshold",
    "f1": "F1 at the threshold",
    "false_alarm_rate": "False-alarm rate at the threshold",
}


def missing_class(labels: ArrayLike) -> str | None:
    """Return which class has no clips, in words, or None if both are there."""
    present = set(np.unique(np.asarray(labels)).tolist())
    missing = [word for label, word in ((0, "normal"), (1, "anomalous")) if label not in present]
    return f"no {' and no '.join(missing)} clips" if missing else None


def auroc(labels: ArrayLike, scores: ArrayLike) -> float | None:
    """Return the area under the ROC curve; None unless both classes are there.

    Args:
        labels: ``(n,)`` of 0 normal, 1 anomalous.
        scores: ``(n,)`` raw scores, higher = more anomalous.

    Raises:
        ValueError: no clips, unequal lengths, scores not finite, labels other than 0 and 1.
    """
    labels, scores = _checked(labels, scores)
    return None if missing_class(labels) else float(roc_auc_score(labels, scores))


def average_precision(labels: ArrayLike, scores: ArrayLike) -> float | None:
    """Return the area under the precision-recall curve as a step function (arguments: `auroc`)."""
    labels, scores = _checked(labels, scores)
    return None if missing_class(labels) else float(average_precision_score(labels, scores))


def partial_auroc(labels: ArrayLike, scores: ArrayLike, max_fpr: float = MAX_FPR) -> float | None:
    """Return the ROC area up to `max_fpr`, scaled so that chance is .5 (McClish 1989).

    The other arguments are those of `auroc`. With fewer than 1 / max_fpr normal clips the figure
    rests on the single highest-scoring normal.
    """
    labels, scores = _checked(labels, scores)
    if missing_class(labels):
        return None
    return float(roc_auc_score(labels, scores, max_fpr=max_fpr))


def decision_metrics(labels: ArrayLike, scores: ArrayLike, threshold: float) -> DecisionMetrics:
    """Metrics of the decisions `score > threshold`.

    Precision and F1 need both classes: with one they are 0 or 1 whatever the detector.

    Args:
        labels: ``(n,)`` of 0 normal, 1 anomalous.
        scores: ``(n,)`` raw scores, higher = more anomalous.
        threshold: decision threshold in units of the score; may be infinite.
    """
    labels, scores = _checked(labels, scores)
    if math.isnan(threshold):
        raise ValueError("the threshold is not a number")
    decided = (scores > threshold).astype(int)
    confusion = Confusion(*confusion_matrix(labels, decided, labels=[0, 1]).ravel().tolist())
    n_normal, n_anomalous = int((labels == 0).sum()), int((labels == 1).sum())
    precision = recall = f1 = math.nan
    if n_anomalous:
        precision, recall, f1, _ = precision_recall_fscore_support(
            labels, decided, average="binary", zero_division=np.nan
        )
    return DecisionMetrics(
        precision=_defined(precision) if n_normal else None,
        recall=_defined(recall),
        f1=_defined(f1) if n_normal else None,
        false_alarm_rate=confusion.false_positive / n_normal if n_normal else None,
        confusion=confusion,
    )


def harmonic_mean(values: Iterable[float | None]) -> float | None:
    """Return the harmonic mean (as DCASE ranks); None if any value is, or if there are none.

    A mean over fewer machines is another figure, so an undefined one is not left out.
    """
    defined = _all_or_none(values)
    return statistics.harmonic_mean(defined) if defined else None


def arithmetic_mean(values: Iterable[float | None]) -> float | None:
    """Return the mean; None where the harmonic one is."""
    defined = _all_or_none(values)
    return float(np.mean(defined)) if defined else None


def _all_or_none(values: Iterable[float | None]) -> list[float]:
    """All values; none if any of them is None."""
    seen = list(values)
    defined = [value for value in seen if value is not None]
    return defined if len(defined) == len(seen) else []


def evaluate_scores(
    labels: ArrayLike,
    scores: ArrayLike,
    threshold: float,
    n_bootstrap: int = 1000,
    seed: int = 0,
) -> Metrics:
    """Compute every metric with its 95 % interval; see `Metrics`.

    A perfectly separated sample has the AUROC interval [1, 1] under any resampling: with few clips
    that is a limit of the bootstrap, not certainty.

    Args:
        labels: ``(n,)`` of 0 normal, 1 anomalous.
        scores: ``(n,)`` raw scores, higher = more anomalous.
        threshold: decision threshold in units of the score; may be infinite.
        n_bootstrap: number of resamples.
        seed: seed of the resampling.

    Raises:
        ValueError: no clips, unequal lengths, scores not finite, labels other than 0 and 1.
    """
    labels, scores = _checked(labels, scores)
    decisions = decision_metrics(labels, scores, threshold)
    reason = missing_class(labels)
    n_normal, n_anomalous = int((labels == 0).sum()), int((labels == 1).sum())
    values = {
        "auroc": auroc(labels, scores),
        "average_precision": average_precision(labels, scores),
        "partial_auroc": partial_auroc(labels, scores),
        **{name: getattr(decisions, name) for name in decisions._fields if name != "confusion"},
    }
    reasons = {
        **dict.fromkeys(values, reason),
        "recall": None if n_anomalous else "no anomalous clips",
        "false_alarm_rate": None if n_normal else "no normal clips",
    }
    samples = resampled_metrics(
        labels, scores, scores > threshold, max_fpr=MAX_FPR, n_bootstrap=n_bootstrap, seed=seed
    )
    confusion = decisions.confusion
    hits, alarms = confusion.true_positive, confusion.false_positive
    counts = {
        "precision": (hits, hits + alarms),
        "recall": (hits, n_anomalous),
        "false_alarm_rate": (alarms, n_normal),
    }
    estimates = {}
    for name, value in values.items():
        if value is None:
            estimates[name] = Estimate(
                None, reason=reasons[name] or "no clip was decided anomalous"
            )
        elif name in counts:
            estimates[name] = Estimate(value, *exact_interval(*counts[name]))
        else:
            estimates[name] = _bootstrapped(value, samples[name])
    return Metrics(
        **estimates,
        confusion=confusion,
        threshold=float(threshold),
        n_normal=n_normal,
        n_anomalous=n_anomalous,
    )


def _checked(labels: ArrayLike, scores: ArrayLike) -> tuple[NDArray[np.int64], Floats]:
    labels, scores = np.asarray(labels), np.asarray(scores, dtype=np.float64)
    if labels.ndim != 1 or labels.shape != scores.shape:
        raise ValueError(f"labels {labels.shape} and scores {scores.shape} are not one to a clip")
    if labels.size == 0:
        raise ValueError("no scored clips")
    if not np.isfinite(scores).all():
        raise ValueError(f"{(~np.isfinite(scores)).sum()} of {scores.size} scores are not finite")
    if not np.isin(labels, (0, 1)).all():
        raise ValueError("labels are 0 (normal) or 1 (anomalous)")
    return labels.astype(np.int64), scores


def _defined(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def _bootstrapped(value: float, samples: Floats) -> Estimate:
    low, high = percentile_interval(samples)
    # Average precision rises under resampling (copies tie with each other): of a few clips scored
    # worse than by chance the interval can lie above the figure itself, and is widened to it.
    return Estimate(value, min(low, value), max(high, value))
