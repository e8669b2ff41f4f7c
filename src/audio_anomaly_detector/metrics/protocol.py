"""The protocol for few clips: cross-fitted folds, one matrix of wins per machine id.

Each fold has a detector of its own, which scores the fold's held-out normal clips and every
anomalous clip. Scores of different folds have no common scale, so they are never pooled for the
headline: each pair (held-out normal, anomalous clip) is won or lost under the one detector that saw
neither. All means and intervals are linear in these wins, so the difference of two detectors is the
same statistic of the difference of their matrices, and several seeds are the mean of theirs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from audio_anomaly_detector.metrics.bootstrap import resample_counts
from audio_anomaly_detector.metrics.classification import MAX_FPR, partial_auroc
from audio_anomaly_detector.metrics.intervals import Interval, percentile_interval

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Wins:
    """Every held-out normal clip of one machine id against every anomalous clip.

    Args:
        matrix: ``(n, A)``; 1 where the anomalous clip has the higher score, .5 for a tie, else 0.
        weight: ``(n,)`` share of each normal clip in the mean over folds, 1 / (folds x fold size).
    """

    matrix: Floats
    weight: Floats

    def __sub__(self, other: "Wins") -> "Wins":
        """Return what this detector wins beyond the other on the same folds of the same clips."""
        if not np.array_equal(self.weight, other.weight) or self.matrix.shape != other.matrix.shape:
            raise ValueError("two detectors can be compared only on the same folds and clips")
        return Wins(self.matrix - other.matrix, self.weight)


@dataclass(frozen=True)
class ProtocolEstimate:
    """A mean AUROC (or difference of two) over the ids of a machine type, or over types.

    `over_ids`, in which the ids are resampled too, is None where a machine type has one id only:
    its spread between ids cannot be seen.
    """

    value: float
    over_clips: Interval
    over_ids: Interval | None

    def __str__(self) -> str:
        """Format as `0.912 [0.830, 0.974]`, the interval that over clips."""
        low, high = self.over_clips
        return f"{self.value:.3f} [{low:.3f}, {high:.3f}]"


@dataclass(frozen=True)
class ProtocolResult:
    """Mean over ids for each machine type, and the mean over machine types."""

    types: Mapping[str, ProtocolEstimate]
    mean: ProtocolEstimate


MachineWins = Mapping[str, Mapping[str, Wins]]  # machine type -> machine id -> wins


def win_matrix(
    normal_scores: Sequence[ArrayLike], anomalous_scores_per_fold: Sequence[ArrayLike]
) -> Wins:
    """Compare the scores of each fold under that fold's detector.

    Args:
        normal_scores: per fold, ``(n_fold,)`` scores of its held-out normal clips.
        anomalous_scores_per_fold: per fold, (A,) scores of all anomalous clips, always in the same
            order, under the fold's detector.

    Raises:
        ValueError: a fold without clips, unequal numbers of folds, scores that are not finite.
    """
    normals, anomalous = _folds(normal_scores, anomalous_scores_per_fold)
    blocks = [
        np.heaviside(fold_anomalous[None, :] - fold_normals[:, None], 0.5)  # (n_fold, A)
        for fold_normals, fold_anomalous in zip(normals, anomalous, strict=True)
    ]
    weights = [np.full(len(block), 1 / (len(blocks) * len(block))) for block in blocks]
    return Wins(np.concatenate(blocks), np.concatenate(weights))


def fold_auroc(wins: Wins) -> float:
    """Return the headline: the mean over folds of each fold's AUROC."""
    return float(wins.weight @ wins.matrix.mean(axis=1))


def pooled_partial_auroc(
    normal_scores: Sequence[ArrayLike],
    anomalous_scores_per_fold: Sequence[ArrayLike],
    max_fpr: float = MAX_FPR,
) -> float | None:
    """Return the pAUC of all folds' scores put together; arguments as for `win_matrix`.

    A fold holds out too few normals for a pAUC of its own. Pooling is fair only for scores in
    calibrated units, and is biased upwards where the folds' scales still differ: write "pooled"
    beside it.
    """
    normals, anomalous = (
        np.concatenate(folds) for folds in _folds(normal_scores, anomalous_scores_per_fold)
    )
    labels = np.repeat([0, 1], [normals.size, anomalous.size])
    return partial_auroc(labels, np.concatenate([normals, anomalous]), max_fpr)


def summarise(machines: MachineWins, n_bootstrap: int = 2000, seed: int = 0) -> ProtocolResult:
    """Mean AUROC per machine type and over types, with 95 % bootstrap intervals.

    Over clips: the normal and the anomalous clips of each id are resampled on its whole matrix of
    wins (resampling two normals inside each fold covers too little). Over clips and ids: the ids
    of each type are resampled as well, and the clips anew for each copy of an id.

    Args:
        machines: wins by machine type and machine id.
        n_bootstrap: number of resamples.
        seed: seed of the resampling.
    """
    if not machines or not all(machines.values()):
        raise ValueError("every machine type needs at least one machine id")
    generator = np.random.default_rng(seed)
    values, clips, ids = [], [], []
    for wins_of_ids in machines.values():
        wins = list(wins_of_ids.values())
        values.append(float(np.mean([fold_auroc(each) for each in wins])))
        clips.append(np.mean([_resample_clips(each, n_bootstrap, generator) for each in wins], 0))
        ids.append(_resample_ids(wins, n_bootstrap, generator))
    single = [len(wins_of_ids) < 2 for wins_of_ids in machines.values()]
    return ProtocolResult(
        types={
            machine_type: _estimate(values[i], clips[i], None if single[i] else ids[i])
            for i, machine_type in enumerate(machines)
        },
        mean=_estimate(
            float(np.mean(values)),
            np.mean(clips, axis=0),
            None if any(single) else np.mean(ids, axis=0),
        ),
    )


def compare(
    first: MachineWins, second: MachineWins, n_bootstrap: int = 2000, seed: int = 0
) -> ProtocolResult:
    """Paired bootstrap of `first` minus `second`, both on the same ids, folds and clips.

    Raises:
        ValueError: the detectors were not scored on the same ids, folds and clips.
    """
    if {t: set(ids) for t, ids in first.items()} != {t: set(ids) for t, ids in second.items()}:
        raise ValueError("two detectors can be compared only on the same machine ids")
    differences = {
        machine_type: {name: wins - second[machine_type][name] for name, wins in ids.items()}
        for machine_type, ids in first.items()
    }
    return summarise(differences, n_bootstrap, seed)


def _folds(
    normal_scores: Sequence[ArrayLike], anomalous_scores: Sequence[ArrayLike]
) -> tuple[list[Floats], list[Floats]]:
    normals = [np.asarray(scores, dtype=np.float64) for scores in normal_scores]
    anomalous = [np.asarray(scores, dtype=np.float64) for scores in anomalous_scores]
    if len(normals) != len(anomalous) or not normals:
        raise ValueError(f"{len(normals)} folds of normals but {len(anomalous)} of anomalous clips")
    if any(scores.ndim != 1 or not scores.size for scores in normals + anomalous):
        raise ValueError("every fold needs at least one normal and one anomalous clip")
    if len({scores.size for scores in anomalous}) > 1:
        raise ValueError("every fold has to score the same anomalous clips")
    if not all(np.isfinite(scores).all() for scores in normals + anomalous):
        raise ValueError("some scores are not finite")
    return normals, anomalous


def _resample_clips(wins: Wins, n_bootstrap: int, generator: np.random.Generator) -> Floats:
    """Return the AUROC of each resample of one id's clips, (B,)."""
    n_normal, n_anomalous = wins.matrix.shape
    normal = resample_counts(n_normal, n_bootstrap, generator) * wins.weight  # (B, n)
    anomalous = resample_counts(n_anomalous, n_bootstrap, generator)  # (B, A)
    won: Floats = ((normal @ wins.matrix) * anomalous).sum(axis=1)
    return won / (normal.sum(axis=1) * n_anomalous)


def _resample_ids(wins: list[Wins], n_bootstrap: int, generator: np.random.Generator) -> Floats:
    """Return the mean over resampled ids of resampled clips, (B,)."""
    chosen = generator.integers(len(wins), size=(len(wins), n_bootstrap))  # (slots, B)
    values = np.empty(chosen.shape)
    for number, each in enumerate(wins):
        places = chosen == number
        values[places] = _resample_clips(each, int(places.sum()), generator)
    mean: Floats = values.mean(axis=0)
    return mean


def _estimate(value: float, clips: Floats, ids: Floats | None) -> ProtocolEstimate:
    return ProtocolEstimate(
        value, percentile_interval(clips), None if ids is None else percentile_interval(ids)
    )
