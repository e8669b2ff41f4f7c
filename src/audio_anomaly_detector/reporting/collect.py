"""The clips of a report: the worst first, as many of them explained as the page has room for."""

from collections.abc import Sequence
from dataclasses import replace

from audio_anomaly_detector.data.clips import Clip
from audio_anomaly_detector.data.time_order import time_places
from audio_anomaly_detector.detector import Detector
from audio_anomaly_detector.errors import ClipError, UserError
from audio_anomaly_detector.explaining.explanation import Explanation
from audio_anomaly_detector.progress import SILENT, Progress
from audio_anomaly_detector.reporting.content import ClipEntry, Mark, Media, Reasons
from audio_anomaly_detector.reporting.families import family_title
from audio_anomaly_detector.reporting.pictures import draw_pictures
from audio_anomaly_detector.reporting.sounds import compress_sounds
from audio_anomaly_detector.score import Score
from audio_anomaly_detector.threads import each_in_turn

# With the figures of a thousand clips and the plots the page stays below 25 MB.
MEDIA_BYTES = 22_000_000
_WORST = 100  # clips that are explained though they may be normal
_COMPONENTS = 3
# Findings that last milliseconds.
_SHORT = {"repeated impacts", "impacts", "weaker impacts", "missing strokes"}
_RANK = {"anomalous": 0, "unlike": 1, "normal": 2}


def clip_entries(
    detector: Detector,
    scored: Sequence[tuple[Clip, Score]],
    progress: Progress = SILENT,
    most_bytes: int = MEDIA_BYTES,
) -> tuple[list[ClipEntry], list[str]]:
    """Clips with their reasons, the worst first.

    Explained are those that are anomalous or recorded differently, and the worst hundred of all,
    until their pictures and sounds take up the room in the page. One clip after the other is read
    again for that.

    Args:
        detector: that scored them.
        scored: clips and the verdicts on them.
        progress: receives the number of clips explained.
        most_bytes: of pictures and sounds.

    Returns:
        the clips, and what a reader has to know of pictures and sounds, a sentence each.
    """
    places = time_places([clip for clip, _ in scored])
    entries = [_entry(clip, score, (places or {}).get(clip.name)) for clip, score in scored]
    worst = sorted(
        range(len(scored)),
        key=lambda at: (_RANK[scored[at][1].verdict], -scored[at][1].height),
    )
    entries = [entries[at] for at in worst]
    chosen = [
        scored[at]
        for place, at in enumerate(worst)
        if place < _WORST or scored[at][1].verdict != "normal"
    ]
    if detector.usual_sound is None:
        return entries, [
            "clips are not explained, as the model does not know how its normal clips sound in "
            "short frames: fit it again, of 4 recordings or more"
        ]
    return _explained(detector, entries, chosen, progress, most_bytes)


def _explained(
    detector: Detector,
    entries: list[ClipEntry],
    chosen: Sequence[tuple[Clip, Score]],
    progress: Progress,
    most_bytes: int,
) -> tuple[list[ClipEntry], list[str]]:
    """The entries, of which the first ones are explained as far as there is room."""

    def explain(pair: tuple[Clip, Score]) -> tuple[Reasons, Media] | str:
        return explained_clip(detector, *pair)

    notes, failed, used, done = [], [], 0, 0
    for place, found in enumerate(each_in_turn(explain, chosen)):
        if isinstance(found, str):
            failed.append(found)
        else:
            reasons, media = found
            used += media.size
            if used > most_bytes:
                break
            entries[place] = replace(entries[place], reasons=reasons, media=media)
        done += 1
        progress.advance("explaining clips", done, len(chosen))
    if done < len(entries):
        why = "the rest would make the file too large to send" if done < len(chosen) else ""
        notes.append(
            f"pictures, sound and reasons are those of the {done} worst of {len(entries)} clips"
            f"{'; ' * bool(why)}{why}"
        )
    if failed:
        notes.append(f"{len(failed)} clip(s) could not be explained: {failed[0]}")
    return entries, notes


def explained_clip(detector: Detector, clip: Clip, score: Score) -> tuple[Reasons, Media] | str:
    """Why a clip has its score, with pictures and sounds; or why that cannot be said."""
    try:
        explanation = detector.explain_clip(clip, score=score)
    except UserError as error:
        return str(error)
    return reasons_of(explanation), media_of(detector, clip, explanation)


def media_of(detector: Detector, clip: Clip, explanation: Explanation) -> Media:
    """Pictures and sounds of a clip that is explained."""
    try:
        nearest = detector.sound_of_nearest(explanation, clip)
    except ClipError:  # the others are there all the same
        nearest = None
    name = explanation.nearest[0].name if explanation.nearest else ""
    sounds = compress_sounds(explanation, nearest, name)
    return Media(*draw_pictures(explanation), explanation.span, sounds)


def reasons_of(explanation: Explanation) -> Reasons:
    """What a page says of an explanation."""
    shares = sorted(explanation.shares.items(), key=lambda share: -share[1])
    return Reasons(
        words=explanation.words,
        marks=[
            Mark(
                finding.band if finding.hz is None else (finding.hz, finding.hz),
                finding.time,
            )
            for finding in explanation.findings
        ],
        shares={family_title(family): share for family, share in shares},
        sources={} if explanation.sources is None else explanation.sources.shares,
        nearest=[neighbour.name for neighbour in explanation.nearest],
        notes=explanation.notes,
        map="fast" if [f.kind for f in explanation.findings[:1] if f.kind in _SHORT] else "narrow",
    )


def _entry(clip: Clip, score: Score, place: int | None) -> ClipEntry:
    top = sorted(score.components.items(), key=lambda component: -component[1])[:_COMPONENTS]
    return ClipEntry(
        name=clip.name,
        score=score.score,
        threshold=score.threshold,
        p_value=score.p_shown,
        verdict=score.verdict,
        level=score.level,
        label=clip.label,
        order=place,
        remarks=score.remarks,
        components=dict(top),
    )
