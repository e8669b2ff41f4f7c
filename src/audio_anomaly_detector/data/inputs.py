"""The clips that a user names to be scored: files, folders, manifests."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from audio_anomaly_detector.data.clips import Clip
from audio_anomaly_detector.data.layouts import find_clips
from audio_anomaly_detector.errors import UserError
from audio_anomaly_detector.run_options import OnError


class Inputs(NamedTuple):
    """Clips in order, what was noticed while they were looked for, and what could not be used."""

    clips: list[Clip]
    problems: list[str]
    failures: list[UserError]


def find_inputs(paths: Sequence[Path], on_error: OnError = "skip") -> Inputs:
    """Find the clips that are to be scored, without labels.

    A plain folder counts as normal where a detector is fitted; here it says nothing.

    Args:
        paths: audio files, folders of them, or CSV manifests.
        on_error: leave out what cannot be used, or stop at the first.

    Raises:
        UserError: with ``on_error="stop"``, the first problem.
    """
    found = Inputs([], [], [])
    for path in paths:
        try:
            discovery = find_clips(path)
        except UserError as error:
            if on_error == "stop":
                raise
            found.failures.append(error)
        else:
            found.clips.extend(replace(clip, label=None) for clip in discovery.clips)
            found.problems.extend(discovery.problems)
    return found
