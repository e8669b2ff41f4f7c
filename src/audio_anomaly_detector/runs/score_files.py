"""Scores of audio files, for which nobody has said whether they are normal."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from audio_anomaly_detector.data.clips import Clip
from audio_anomaly_detector.data.layouts import find_clips
from audio_anomaly_detector.errors import ClipError, UserError
from audio_anomaly_detector.progress import SILENT, Progress
from audio_anomaly_detector.run_options import OnError
from audio_anomaly_detector.score import Score, Scorer


class ScoredFiles(NamedTuple):
    """Clips with their scores, in order, and what could not be scored."""

    scored: list[tuple[Clip, Score]]
    failures: list[UserError]


def score_files(
    scorer: Scorer, paths: Sequence[Path], on_error: OnError = "skip", progress: Progress = SILENT
) -> ScoredFiles:
    """Score audio files.

    Args:
        scorer: of the machine.
        paths: audio files, folders of them, or CSV manifests.
        on_error: leave out what cannot be scored, or stop at the first.
        progress: told of the clips scored.

    Raises:
        UserError: with ``on_error="stop"``, the first problem.
    """
    clips: list[Clip] = []
    scored: list[tuple[Clip, Score]] = []
    failures: list[UserError] = []
    for path in paths:
        try:
            # A plain folder counts as normal where a detector is fitted; here it says nothing.
            clips += [replace(clip, label=None) for clip in find_clips(path).clips]
        except UserError as error:
            if on_error == "stop":
                raise
            failures.append(error)
    for done, (clip, outcome) in enumerate(scorer.score_clips(clips), start=1):
        progress.advance("scoring clips", done, len(clips))
        if not isinstance(outcome, ClipError):
            scored.append((clip, outcome))
        elif on_error == "stop":
            raise outcome
        else:
            failures.append(outcome)
    return ScoredFiles(scored, failures)
