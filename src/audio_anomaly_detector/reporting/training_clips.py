"""The clips of a fit for its report: by scores of banks that were fitted without them."""

from collections.abc import Sequence
from dataclasses import replace

from audio_anomaly_detector.data.clips import Clip
from audio_anomaly_detector.detector import Detector
from audio_anomaly_detector.errors import UserError
from audio_anomaly_detector.reporting.collect import media_of, reasons_of
from audio_anomaly_detector.reporting.content import ClipEntry

_EXPLAINED = 20  # outliers


def training_entries(
    detector: Detector, clips: Sequence[Clip]
) -> tuple[list[ClipEntry], list[str]]:
    """Training clips with their left-out scores, outliers first.

    Args:
        detector: fitted, not adapted.
        clips: that it was fitted on.

    Returns:
        the clips, and what a reader has to know of them, a sentence each.
    """
    origin, normal = detector.provenance, detector.normal_scores.of_usual
    names, outliers = origin.calibration_clips, set(origin.outliers)
    if len(names) != len(normal.scores):  # of a length for which pieces were scored
        return [], ["left-out scores are those of pieces of the clips, which have no names"]
    entries = [
        ClipEntry(
            name=name,
            score=score,
            threshold=detector.threshold,
            p_value="",
            verdict="outlier" if name in outliers else "usual",
        )
        for name, score in zip(names, normal.scores.tolist(), strict=True)
    ]
    entries.sort(key=lambda entry: (entry.verdict != "outlier", -entry.score))
    given = {clip.name: clip for clip in clips}
    entries = [
        _explained(detector, entry, given)
        if place < _EXPLAINED and entry.verdict == "outlier"
        else entry
        for place, entry in enumerate(entries)
    ]
    return entries, ["each score is that of a detector that was fitted without the clip"]


def _explained(detector: Detector, entry: ClipEntry, given: dict[str, Clip]) -> ClipEntry:
    """An outlier with words, pictures and sound; without shares, as the detector knows the clip."""
    clip = given.get(entry.name)
    if clip is None or detector.usual_sound is None:
        return entry
    try:
        explanation = detector.explain_clip(clip)
        media = media_of(detector, clip, explanation)
    except UserError:  # it is listed all the same
        return entry
    reasons = replace(reasons_of(explanation), shares={}, sources={}, nearest=[])
    return replace(entry, reasons=reasons, media=media)
