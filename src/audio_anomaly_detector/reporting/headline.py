"""The verdict on a machine's recordings in plain words."""

from collections.abc import Sequence

from audio_anomaly_detector.errors import printable
from audio_anomaly_detector.explaining.explanation import NOTHING
from audio_anomaly_detector.provenance import Provenance
from audio_anomaly_detector.reporting.content import ClipEntry


def headline(clips: Sequence[ClipEntry], failed: int) -> tuple[str, str]:
    """The verdict in a sentence, and what else a reader should know of it.

    Args:
        clips: the worst first.
        failed: clips that could not be scored.
    """
    wrong = [clip for clip in clips if clip.verdict == "anomalous"]
    unlike = sum(clip.verdict == "unlike" for clip in clips)
    if not clips:
        said = "No recording could be judged."
    elif len(clips) == 1:
        said = (
            "The recording sounds wrong."
            if wrong
            else "Nothing can be said of the machine from this recording."
            if unlike
            else "The recording sounds normal."
        )
    elif not wrong:
        said = f"None of {len(clips)} recordings sounds wrong."
    else:
        said = f"{len(wrong)} of {len(clips)} recordings {_sounds(len(wrong))} wrong."
    more = []
    if wrong:
        more.append(_worst(wrong[0], of_several=len(clips) > 1))
    alarms = sum(clip.level == "alarm" for clip in clips)
    if any(clip.level is not None for clip in clips):
        more.append(f"{alarms} of them {'is an alarm' if alarms == 1 else 'are alarms'}.")
    if unlike:
        more.append(
            f"{unlike} {'was' if unlike == 1 else 'were'} recorded differently, so that nothing "
            "can be said of the machine there."
        )
    if failed:
        more.append(f"{failed} could not be judged.")
    if len(clips) > 1 and not wrong:
        more.append(f"The highest score has {printable(clips[0].name)}.")
    return said, " ".join(more)


def fit_headline(origin: Provenance) -> tuple[str, str]:
    """What was learned from, and what of it should be listened to.

    Args:
        origin: of the detector.
    """
    said = f"Learned from {len(origin.clips)} normal recordings."
    outliers, unusable = len(origin.outliers), len(origin.unusable)
    more = []
    if outliers:
        is_ = "is" if outliers == 1 else "are"
        more.append(f"{outliers} of them {is_} unlike the rest and used all the same: listen.")
    if unusable:
        more.append(f"{unusable} could not be used.")
    return said, " ".join(more) or "None of them is unlike the rest."


def _sounds(count: int) -> str:
    return "sounds" if count == 1 else "sound"


def _worst(clip: ClipEntry, of_several: bool) -> str:
    words = [] if clip.reasons is None else [w for w in clip.reasons.words if w != NOTHING]
    name = f"The worst is {printable(clip.name)}" if of_several else printable(clip.name)
    return f"{name}: {printable(words[0])}." if words else f"{name}."
