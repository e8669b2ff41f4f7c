"""The table of scores that `aad score` and evaluation write."""

from collections.abc import Sequence
from pathlib import Path

from audio_anomaly_detector.data.clips import Clip
from audio_anomaly_detector.files import write_csv
from audio_anomaly_detector.score import Score


def write_scores(path: Path, scored: Sequence[tuple[Clip, Score]]) -> None:
    """One line per clip: path, label if known, score, p-value, decision, components."""
    names = list(scored[0][1].components) if scored else []
    write_csv(
        path,
        ["path", "label", "score", "p_value", "is_anomalous", "threshold", *names],
        (
            [
                clip.name,
                "" if clip.label is None else clip.label,
                _number(score.score),
                _number(score.p_value),
                int(score.is_anomalous),
                _number(score.threshold),
                *(_number(score.components[name]) for name in names),
            ]
            for clip, score in scored
        ),
    )


def _number(value: float) -> str:
    """Six digits: further ones depend on which clips were scored together."""
    return f"{value:.6g}"
