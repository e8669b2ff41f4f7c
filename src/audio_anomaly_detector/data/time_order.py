"""Clips of a series in the order of time, where their names tell it."""

import re
from collections.abc import Sequence

from audio_anomaly_detector.data.clips import Clip
from audio_anomaly_detector.data.groups import DATE

_TIME = re.compile(
    DATE + r"[-_. T/]*([01]\d|2[0-3])[-_.:h]?([0-5]\d)(?:[-_.:m]?([0-5]\d))?(?:[.,](\d+))?"
)


def series_order(clips: Sequence[Clip]) -> tuple[list[Clip], str]:
    """The clips by the date and time in their names, if all have one; otherwise as given.

    Args:
        clips: in any order; those of one time go by their start, then as given.

    Returns:
        the clips, and a sentence on their order.
    """
    places = time_places(clips)
    if places is None:
        return list(clips), (
            f"series of {len(clips)} clips in the order given, as not all names have a date "
            "and time"
        )
    ordered = sorted(clips, key=lambda clip: places[clip.name])
    return ordered, f"series of {len(clips)} clips in the order of the times in their names"


def time_places(clips: Sequence[Clip]) -> dict[str, int] | None:
    """Place of each clip, by name, in the order of time; None: not all names have a time."""
    times = {}
    for clip in clips:
        match = _TIME.search(clip.name.partition("#t=")[0])
        if match is None:
            return None
        year, month, day, hour, minute, second, part = match.groups(default="0")
        whole = (int(year), int(month), int(day), int(hour), int(minute), int(second))
        times[clip.name] = (whole, float(f"0.{part}"), clip.start)
    return {name: place for place, name in enumerate(sorted(times, key=times.__getitem__))}
