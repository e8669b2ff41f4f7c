"""The recordings of a verb that needs to know which of them are normal."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from audio_anomaly_detector.data.layouts import Discovery
    from audio_anomaly_detector.data.names import Patterns


def label_patterns(normal: Sequence[str] | None, abnormal: Sequence[str] | None) -> "Patterns":
    """What --normal and --abnormal say."""
    from audio_anomaly_detector.data.names import Patterns

    return Patterns(tuple(normal or ()), tuple(abnormal or ()))


def find_recordings(
    data: Path,
    layout: str,
    normal: Sequence[str] | None,
    abnormal: Sequence[str] | None,
    takes: bool = False,
    *,
    to_learn: bool = True,
) -> "Discovery":
    """Find the clips below DATA, and name on stderr whatever was left out, quiet or not.

    Args:
        data: folder, manifest or file.
        layout: of it.
        normal: patterns of --normal.
        abnormal: patterns of --abnormal.
        takes: whether --join-takes was given.
        to_learn: whether normal clips are needed.

    Raises:
        UserError: as `find_clips`; or no clip is normal though some have labels.
    """
    from audio_anomaly_detector.cli.console import err
    from audio_anomaly_detector.data.layouts import find_clips
    from audio_anomaly_detector.errors import UserError, one_line

    found = find_clips(data, layout, label_patterns(normal, abnormal), takes)
    for problem in found.problems:
        err.print(f"problem: {one_line(problem)}")
    labels = {clip.label for clip in found.clips}
    if to_learn and 1 in labels and 0 not in labels and not found.questions:
        raise UserError(
            f"{found.root}: too little normal sound: no clip is normal; names were read so: "
            f"{'; '.join(found.reading)}; point to a folder with normal clips, or say which are "
            "with --normal PATTERN, or with --layout folder that all are"
        )
    return found
