"""How our detector decides on clips it has not seen: false alarms, faults found, p-values."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from audio_anomaly_detector.benchmark.cells import Line
from audio_anomaly_detector.benchmark.own_detector import DECISION, P_STEP, P_VALUE
from audio_anomaly_detector.seeding import derive_seed

_SEED = 0  # of the randomised p-values
DRAWS = 200  # of one unseen clip a detector; which clips are drawn moves a p-value a great deal


@dataclass(frozen=True)
class Decisions:
    """What the thresholds and p-values of one method come to, over all its fitted detectors.

    Args:
        title: of the method.
        n_detectors: one for each id, fold and seed.
        false_alarm_rate: share of unseen normal clips called anomalous, mean over detectors.
        detection_rate: share of anomalous clips called anomalous, mean over detectors.
        uniformity: p-value of a Kolmogorov–Smirnov test that the p-values of unseen normal clips,
            one for each detector of the first seed, are uniform; the median over draws of these
            clips.
        normal: p-values of all unseen normal clips.
        anomalous: those of the anomalous clips.
    """

    title: str
    n_detectors: int
    false_alarm_rate: float
    detection_rate: float
    uniformity: float
    normal: NDArray[np.float64]
    anomalous: NDArray[np.float64]


def judge_decisions(title: str, lines: Sequence[Line]) -> Decisions | None:
    """Sum up the decisions in the cells of one method; None if it makes none.

    A conformal p-value is a rank, which comes in steps: it is randomised within its step, so that
    it would be uniform if calibration were perfect (Vovk et al., "Algorithmic learning in a random
    world", 2005).
    """
    if not lines or P_STEP not in lines[0]:
        return None
    rng = np.random.default_rng(derive_seed(_SEED, "p-values"))
    p_values: dict[tuple[str, ...], tuple[list[float], list[float]]] = defaultdict(lambda: ([], []))
    decided: dict[tuple[str, ...], tuple[list[float], list[float]]] = defaultdict(lambda: ([], []))
    # In an order of their own, so that what is drawn does not depend on which cell finished first.
    for line in sorted(lines, key=lambda line: (*_detector(line), line["label"], line["clip"])):
        detector, label = _detector(line), int(line["label"])
        randomised = float(line[P_VALUE]) - rng.random() * float(line[P_STEP])
        p_values[detector][label].append(randomised)
        decided[detector][label].append(float(line[DECISION]))
    # Detectors that differ in the seed alone judge the same clips alike: one seed is enough.
    first = min(seed for seed, *_ in p_values)
    unseen = [normal for (seed, *_), (normal, _) in p_values.items() if seed == first]
    return Decisions(
        title,
        len(p_values),
        float(np.mean([np.mean(normal) for normal, _ in decided.values()])),
        float(np.mean([np.mean(anomalous) for _, anomalous in decided.values()])),
        uniformity(unseen, rng),
        np.concatenate([normal for normal, _ in p_values.values()]),
        np.concatenate([anomalous for _, anomalous in p_values.values()]),
    )


def uniformity(unseen: Sequence[Sequence[float]], rng: np.random.Generator) -> float:
    """p-value of a Kolmogorov–Smirnov test that p-values of unseen normal clips are uniform.

    Args:
        unseen: p-values by detector; one of each is tested at a time, as they share its error.
        rng: draws them; the median over `DRAWS` draws counts.
    """
    drawn = np.stack([rng.choice(p_values, DRAWS) for p_values in unseen], axis=1)
    distance = np.median(stats.ks_1samp(drawn, stats.uniform.cdf, axis=1).statistic)
    return float(stats.kstwo.sf(distance, len(unseen)))


def _detector(line: Line) -> tuple[str, ...]:
    return tuple(line[key] for key in ("seed", "condition", "machine", "id", "fold"))
