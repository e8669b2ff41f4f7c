"""Bootstrap over clips, a thousand resamples at once."""

import numpy as np
from numpy.typing import NDArray

BLOCK_ELEMENTS = 2_000_000  # resamples x clips held at once: bounds the memory

Floats = NDArray[np.float64]


def resample_counts(n: int, n_bootstrap: int, generator: np.random.Generator) -> Floats:
    """Return (B, n): how often each of n things is in each of B resamples with replacement."""
    if n == 0:
        return np.zeros((n_bootstrap, 0))
    picks = generator.integers(n, size=(n_bootstrap, n)) + np.arange(n_bootstrap)[:, None] * n
    counts = np.bincount(picks.ravel(), minlength=n_bootstrap * n)
    return counts.reshape(n_bootstrap, n).astype(np.float64)


def resampled_metrics(
    labels: NDArray[np.int64],
    scores: Floats,
    decided: NDArray[np.bool_],
    *,
    max_fpr: float,
    n_bootstrap: int,
    seed: int,
) -> dict[str, Floats]:
    """Compute the metrics that have bootstrap intervals in every resample of the clips.

    Args:
        labels: ``(n,)`` of 0 normal, 1 anomalous; clips are resampled within each.
        scores: ``(n,)`` raw scores, higher = more anomalous.
        decided: ``(n,)`` whether the clip was decided anomalous.
        max_fpr: highest false-alarm rate of the partial area.
        n_bootstrap: number of resamples B.
        seed: seed of the resampling.

    Returns:
        (B,) by name of metric; nan where a resample leaves it undefined.
    """
    generator = np.random.default_rng(seed)
    order = np.argsort(-scores, kind="stable")
    labels, scores, decided = labels[order], scores[order], decided[order]
    last_of_tie = np.flatnonzero(np.append(scores[1:] != scores[:-1], True))
    blocks = []
    block = max(1, BLOCK_ELEMENTS // max(1, labels.size))
    for start in range(0, n_bootstrap, block):
        size = min(block, n_bootstrap - start)
        counts = np.empty((size, labels.size))
        for label in (0, 1):
            members = labels == label
            counts[:, members] = resample_counts(int(members.sum()), size, generator)
        blocks.append(_weighted_metrics(counts, labels == 1, decided, last_of_tie, max_fpr))
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}


def _weighted_metrics(
    counts: Floats,
    anomalous: NDArray[np.bool_],
    decided: NDArray[np.bool_],
    last_of_tie: NDArray[np.intp],
    max_fpr: float,
) -> dict[str, Floats]:
    """Compute the metrics of B weighted samples at once; clips stand in falling order of score.

    scikit-learn takes one vector of weights a call (a thousand calls take seconds); the tests hold
    this to be equal to it.

    Args:
        counts: ``(B, n)`` weight of each clip in each resample.
        anomalous: ``(n,)`` label.
        decided: ``(n,)`` decision.
        last_of_tie: (K,) index of the last clip of each distinct score: the points of the curves.
        max_fpr: highest false-alarm rate of the partial area.
    """
    n_anomalous, n_normal = anomalous.sum(), (~anomalous).sum()
    hits = np.cumsum(counts * anomalous, axis=1)[:, last_of_tie]  # (B, K)
    alarms = np.cumsum(counts * ~anomalous, axis=1)[:, last_of_tie]  # (B, K)
    true_positive = counts @ (anomalous & decided)  # (B,)
    false_positive = counts @ (~anomalous & decided)  # (B,)
    with np.errstate(divide="ignore", invalid="ignore"):  # 0 / 0 is nan: undefined, left out
        tpr, fpr = _from_zero(hits / n_anomalous), _from_zero(alarms / n_normal)
        precision_at = np.where(hits > 0, hits / (hits + alarms), 0.0)
        partial = _area(fpr, tpr, max_fpr)
        chance = max_fpr**2 / 2
        return {
            "auroc": _area(fpr, tpr, 1.0),
            "average_precision": (np.diff(tpr, axis=1) * precision_at).sum(axis=1),
            "partial_auroc": 0.5 * (1 + (partial - chance) / (max_fpr - chance)),
            "f1": 2 * true_positive / (true_positive + false_positive + n_anomalous),
        }


def _from_zero(curve: Floats) -> Floats:
    return np.concatenate([np.zeros((len(curve), 1)), curve], axis=1)


def _area(fpr: Floats, tpr: Floats, max_fpr: float) -> Floats:
    """Return the area under each ROC curve (B, K) for false-positive rates up to `max_fpr`."""
    width = np.diff(fpr, axis=1)
    inside = np.clip(max_fpr - fpr[:, :-1], 0, width)
    slope = np.divide(np.diff(tpr, axis=1), width, out=np.zeros_like(width), where=width > 0)
    area: Floats = (inside * (tpr[:, :-1] + slope * inside / 2)).sum(axis=1)
    return area
