"""Learns the normal sound of a machine and says of any recording how anomalous it is.

The public API, imported when first used so that `aad --help` starts at once:

    from audio_anomaly_detector import Detector, prepare_datasets, set_seed

    train, test, audio = prepare_datasets("MIMII/-6_dB_valve", "id_00")
    detector = Detector.fit(train).detector
    for clip, score in detector.score_clips(test):
        print(clip.name, score.score, score.p_value, score.is_anomalous)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from audio_anomaly_detector.config import Config, load_config
    from audio_anomaly_detector.data.clips import Clip, split_clips
    from audio_anomaly_detector.data.datasets import prepare_datasets
    from audio_anomaly_detector.data.layouts import find_clips, select_machine
    from audio_anomaly_detector.detector import Detector, FitResult
    from audio_anomaly_detector.errors import ClipError, UserError
    from audio_anomaly_detector.explaining.explanation import Explanation
    from audio_anomaly_detector.loading import load_scorer
    from audio_anomaly_detector.provenance import Provenance
    from audio_anomaly_detector.score import Score, Scorer
    from audio_anomaly_detector.scoring.threshold import ThresholdConfig
    from audio_anomaly_detector.seeding import set_seed

_HOMES = {
    "Clip": "data.clips",
    "ClipError": "errors",
    "Config": "config",
    "Detector": "detector",
    "Explanation": "explaining.explanation",
    "FitResult": "detector",
    "Provenance": "provenance",
    "Score": "score",
    "Scorer": "score",
    "ThresholdConfig": "scoring.threshold",
    "UserError": "errors",
    "find_clips": "data.layouts",
    "load_config": "config",
    "load_scorer": "loading",
    "prepare_datasets": "data.datasets",
    "select_machine": "data.layouts",
    "set_seed": "seeding",
    "split_clips": "data.clips",
}
__all__ = [
    "Clip",
    "ClipError",
    "Config",
    "Detector",
    "Explanation",
    "FitResult",
    "Provenance",
    "Score",
    "Scorer",
    "ThresholdConfig",
    "UserError",
    "find_clips",
    "load_config",
    "load_scorer",
    "prepare_datasets",
    "select_machine",
    "set_seed",
    "split_clips",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
