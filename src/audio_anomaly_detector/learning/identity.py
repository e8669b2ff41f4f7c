"""What makes two fits the same: settings, program and clips, but not how decisions are drawn."""

import hashlib
import json
from collections.abc import Sequence
from functools import cache
from importlib.metadata import version
from typing import Any

from audio_anomaly_detector.config import Config
from audio_anomaly_detector.data.clips import Clip
from audio_anomaly_detector.learning.backbone import with_content
from audio_anomaly_detector.model_file import FORMAT
from audio_anomaly_detector.provenance import PACKAGE


def fit_identity(config: Config, clips: Sequence[Clip]) -> str:
    """Sum up what a fit depends on.

    The decision threshold is drawn afterwards and can be changed without a fit, so its settings
    are not part of it.

    Args:
        config: all settings.
        clips: that it is given, by name, label, cut, size and time of change.

    Raises:
        UserError: the backbone cannot be read.
    """
    states = [
        (clip.name, clip.label, clip.split, clip.start, clip.duration, *_sizes_and_times(clip))
        for clip in sorted(clips, key=lambda clip: clip.name)
    ]
    settings = with_content(_fitted_settings(config), config)
    content = [_program_version(), FORMAT, settings, states]
    return hashlib.sha256(json.dumps(content, allow_nan=False).encode()).hexdigest()


@cache
def _program_version() -> str:
    """Looked up in a file once, not for each of thousands of machines."""
    return version(PACKAGE)


def same_fit(first: Config, second: Config) -> bool:
    """Whether two configs differ in nothing but how decisions are drawn."""
    return _fitted_settings(first) == _fitted_settings(second)


def _fitted_settings(config: Config) -> dict[str, Any]:
    return config.model_dump(mode="json", exclude={"scoring": {"threshold"}})


def _sizes_and_times(clip: Clip) -> list[int]:
    states = []
    for file in clip.files:
        try:
            status = file.stat()
            states += [status.st_size, status.st_mtime_ns]
        except OSError:  # told where the clip is read
            states += [0, 0]
    return states
