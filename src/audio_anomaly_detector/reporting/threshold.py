"""How clips are decided on, and what share of normal clips any threshold would call anomalous."""

import numpy as np

from audio_anomaly_detector.reporting.content import RateStep, ThresholdFacts
from audio_anomaly_detector.score import Scorer
from audio_anomaly_detector.scoring.false_alarms import rate_interval
from audio_anomaly_detector.scoring.threshold import NormalScores, ThresholdConfig

_STEPS = 200  # of normal scores, half of them of the highest, where thresholds lie; and of others
_DRAWN = 1000  # normal scores that are drawn


def threshold_facts(scorer: Scorer, highest: float) -> ThresholdFacts:
    """How a scorer decides on clips of the usual length.

    Args:
        scorer: whose normal scores decide.
        highest: score of the clips that are shown.
    """
    normal, config = scorer.normal_scores.of_usual, scorer.threshold_config
    method = "value" if config.method == "value" else normal.method(config)
    origin = {
        "value": "given by hand",
        "gamma": f"gamma fit to {normal.counted}",
        "conformal": f"conformal rank among {normal.counted}",
    }[method]
    if method != "value":
        origin += f", {config.false_alarm_rate:.0%} false alarms"
    scores = np.sort(normal.scores)
    drawn = scores[np.linspace(0, len(scores) - 1, min(len(scores), _DRAWN)).round().astype(int)]
    return ThresholdFacts(
        value=scorer.threshold,
        origin=origin,
        normal_scores=drawn.tolist(),
        steps=rate_steps(normal, config, max(highest, scorer.threshold)),
        counted=normal.counted,
        clips_per_day=config.clips_per_day,
    )


def rate_steps(normal: NormalScores, config: ThresholdConfig, highest: float) -> list[RateStep]:
    """Expected share of normal clips above every threshold, ascending.

    The p-value of what exceeds it, which the threshold was set by, and with it what the number of
    normal clips above it leaves open.

    Args:
        normal: scores of left-out normal clips.
        config: decision settings.
        highest: end of the thresholds.
    """
    scores = np.unique(normal.scores)
    if len(scores) > _STEPS:
        lower, upper = scores[: -_STEPS // 2], scores[-_STEPS // 2 :]
        chosen = np.linspace(0, len(lower) - 1, _STEPS // 2).round().astype(int)
        scores = np.concatenate([lower[chosen], upper])
    begins = scores
    if normal.method(config) == "gamma":  # which is no step function
        end = max(highest, scores[-1]) if np.isfinite(highest) else scores[-1]
        set_at = np.array([normal.threshold(config)])
        begins = np.unique(np.concatenate([scores, np.linspace(scores[0], end, _STEPS), set_at]))
    steps = [RateStep(None, 1.0, *rate_interval(normal, -np.inf))]
    for begin in begins.tolist():
        rate = normal.p_value(float(np.nextafter(begin, np.inf)), config)
        low, high = rate_interval(normal, begin)
        steps.append(RateStep(begin, rate, min(low, rate), max(high, rate)))
    return steps
