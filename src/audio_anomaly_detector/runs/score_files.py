"""Scores of audio files, for which nobody has said whether they are normal."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from audio_anomaly_detector.data.clips import Clip
from audio_anomaly_detector.data.inputs import find_inputs
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
    clips, _, failures = find_inputs(paths, on_error)
    scored: list[tuple[Clip, Score]] = []
    for done, (clip, outcome) in enumerate(scorer.score_clips(clips), start=1):
        progress.advance("scoring clips", done, len(clips))
        if not isinstance(outcome, ClipError):
            scored.append((clip, outcome))
        elif on_error == "stop":
            raise outcome
        else:
            failures.append(outcome)
    return ScoredFiles(scored, failures)
