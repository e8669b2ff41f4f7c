"""Our own detector as the benchmark runs it."""

import time
from collections.abc import Sequence

import numpy as np
import torch

from audio_anomaly_detector.benchmark.baseline import FoldScores
from audio_anomaly_detector.config import Config
from audio_anomaly_detector.data.clips import Clip
from audio_anomaly_detector.detector import Detector
from audio_anomaly_detector.errors import ClipError
from audio_anomaly_detector.learning.pool import PoolPrior
from audio_anomaly_detector.scoring.components import NETWORK_FAMILIES

JOINED = "joined"
THREE_MODELS = "three_models"
P_VALUE = "p_value"
P_STEP = "p_step"
DECISION = "is_anomalous"


def run_detector(
    train: Sequence[Clip], test: Sequence[Clip], config: Config, pool_prior: PoolPrior | None
) -> FoldScores:
    """Fit on normal clips and score others.

    Besides the joined score come every family (``family:NAME``), the joined score without it
    (``without:NAME``), every component (``component:NAME``), the p-value and the step it
    comes in, the decision (0 or 1) and, where networks take part, the score of the three models
    alone: their families joined.

    Raises:
        ClipError: the first clip that cannot be used.
    """
    started = time.perf_counter()
    detector = Detector.fit(
        train, config, device="cpu", on_error="stop", pool_prior=pool_prior
    ).detector
    fitted = time.perf_counter()
    join = detector.pipeline.calibration.join
    p_step = detector.normal_scores.of_usual.p_step(detector.threshold_config)
    columns: dict[str, list[float]] = {}
    for _, score in detector.score_clips(test):
        if isinstance(score, ClipError):
            raise score
        row = {JOINED: score.score, P_VALUE: score.p_value, P_STEP: p_step}
        row[DECISION] = float(score.is_anomalous)
        families = {n: torch.tensor([e], dtype=torch.float64) for n, e in score.families.items()}
        of_networks = {name: families[name] for name in NETWORK_FAMILIES if name in families}
        if of_networks:
            row[THREE_MODELS] = float(join(of_networks))
        row |= {f"family:{name}": value for name, value in score.families.items()}
        if len(families) > 1:
            for name in families:
                others = {other: values for other, values in families.items() if other != name}
                row[f"without:{name}"] = float(join(others))
        row |= {f"component:{name}": value for name, value in score.components.items()}
        for name, value in row.items():
            columns.setdefault(name, []).append(value)
    finished = time.perf_counter()
    return FoldScores(
        {name: np.array(values) for name, values in columns.items()},
        fitted - started,
        1000 * (finished - fitted) / len(test),
    )
