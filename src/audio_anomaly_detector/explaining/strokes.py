"""Strokes, cycles and single moments: what is missing, weaker, at another time, or new."""

import numpy as np

from audio_anomaly_detector.explaining.compared_clip import (
    SUPPORT,
    ComparedClip,
    around,
    band_edges,
    band_words,
)
from audio_anomaly_detector.explaining.explanation import Finding
from audio_anomaly_detector.explaining.repetitions import LEAST_IMPACTS
from audio_anomaly_detector.scoring.usual_sound import MOST_CYCLE_CHANGE, Name

_STEADY_STROKES_DB = 2.0  # 20 log of their number: a quarter more or less
_LEAST_STROKES_HZ = 0.3
_EQUAL_STROKES_DB = 1.0  # if strokes are to be compared with each other: an eighth
_STEADY_CYCLE = 2.0  # per cent by which the cycles of normal clips differ
_LEAST_CYCLE_CHANGE = 1.0
_MORE = 1.15  # times as many strokes or impacts: one more among a handful is chance
_EVENTS = 2  # as loud moments in a clip: more of them repeat


def find_missing_strokes(part: ComparedClip, named: bool) -> list[Finding]:
    """Strokes that are missing, or more loud moments than usual.

    Args:
        part: the clip.
        named: impacts are among the findings already.
    """
    times, usual = part.features.strokes.times, part.usual.values["strokes"]
    rate, usually = len(times) / part.seconds, 10 ** (float(usual.centre[0]) / 20)
    more, fewer = (float(part.standard("strokes", sign)[0]) for sign in (1, -1))
    if more > 1 and not named and len(times) >= max(LEAST_IMPACTS, _MORE * usually * part.seconds):
        return [
            Finding(
                "impacts",
                f"more impacts than usual: {rate:.1f} a second, usually {usually:.1f}",
                strength=more * part.limit("strokes", 1),
                limit=part.limit("strokes", 1),
                rate=rate,
            )
        ]
    # A machine works in strokes if its normal clips have about as many of them.
    steady = usual.spread[0] < _STEADY_STROKES_DB and usually > _LEAST_STROKES_HZ
    if not steady:
        return []
    if fewer <= 1 or rate > usually / _MORE:
        # Among knocks that are not the machine's strokes some are weak.
        equal = usual.spread[0] < _EQUAL_STROKES_DB and rate < usually * _MORE
        return _weaker_strokes(part) if equal else []
    edges = np.concatenate([[0.0], times, [part.seconds]])
    longest = int(np.diff(edges).argmax())
    time = part.start + float(edges[longest]), part.start + float(edges[longest + 1])
    return [
        Finding(
            "missing strokes",
            f"fewer strokes than usual: {rate:.1f} a second, usually {usually:.1f}; the longest "
            f"time without any is {time[0]:.1f} to {time[1]:.1f} s",
            strength=fewer * part.limit("strokes", -1),
            limit=part.limit("strokes", -1),
            rate=rate,
            time=time,
        )
    ]


def _weaker_strokes(part: ComparedClip) -> list[Finding]:
    """Strokes that are weaker against the strongest than usual."""
    standard = part.standard("weaker", 1)
    if standard.max() <= 1:
        return []
    lower, half = standard.reshape(2, -1)
    weakest = np.maximum(lower, half)
    at = int(weakest.argmax())
    bands = around(weakest > SUPPORT, at)
    over = (part.values["weaker"] - part.usual.values["weaker"].centre).reshape(2, -1)
    which = int(half[at] > lower[at])
    db = float(over[which, at])
    return [
        Finding(
            "weaker strokes",
            f"{('a part', 'half')[which]} of the strokes is {db:.0f} dB weaker than usual, against "
            f"the strongest, in {band_words(part.grid.fast_hz, bands)}",
            strength=float(weakest[at] * part.limit("weaker", 1)),
            limit=part.limit("weaker", 1),
            db=-db,
            band=band_edges(part.grid.fast_hz, bands),
        )
    ]


def find_cycle(part: ComparedClip) -> list[Finding]:
    """A cycle that takes longer or less long."""
    cycle, usual = part.features.cycle, part.usual.values["cycle"]
    usually = float(np.exp(usual.centre[0] / 100))
    if not cycle or usual.spread[0] > _STEADY_CYCLE:
        return []
    change = 100 * float(np.log(cycle / usually))
    standard = float(part.standard("cycle", 0)[0])
    if standard <= 1 or not _LEAST_CYCLE_CHANGE < abs(change) < MOST_CYCLE_CHANGE:
        return []
    return [
        Finding(
            "changed cycle",
            f"a cycle takes {cycle:.2f} s, {abs(change):.0f} % "
            f"{'more' if change > 0 else 'less'} than usual ({usually:.2f} s)",
            strength=standard * part.limit("cycle", 0),
            limit=part.limit("cycle", 0),
            rate=1 / cycle,
        )
    ]


def find_events(part: ComparedClip) -> list[Finding]:
    """A moment that is much louder or quieter than the rest."""
    grid, moments = part.grid, part.features.moments
    over = moments - np.median(moments, 1, keepdims=True)  # (B, W)
    hop = part.seconds / (moments.shape[1] + 1)
    found = []
    names: tuple[tuple[Name, int], ...] = (("burst", 1), ("gap", -1))
    for name, sign in names:
        standard = part.standard(name, 1)
        if standard.max() <= 1:
            continue
        at = int(standard.argmax())
        course = sign * over[at]
        first = int(course.argmax())
        there = course > course[first] / 2
        separate = int(np.count_nonzero(np.diff(there.astype(int), prepend=0) == 1))
        if separate > _EVENTS:
            continue
        moment = around(there, first)
        # A moment lasts two steps. The first and the last of several loud ones reach into the event
        # with one; all of a quiet moment is quiet.
        ends = int(sign > 0 and moment.stop - moment.start > 1)
        time = (
            part.start + (moment.start + ends) * hop,
            part.start + (moment.stop + 1 - ends) * hop,
        )
        bands = around(standard > SUPPORT, at)
        usually, where = part.usual.values[name].centre[at], band_words(grid.fast_hz, bands)
        text = (
            f"a single event at {time[0]:.1f} to {time[1]:.1f} s in {where}: "
            f"{course[first]:.0f} dB above the rest, usually {usually:.0f}"
            if sign > 0
            else f"a pause at {time[0]:.1f} to {time[1]:.1f} s in {where}: "
            f"{course[first]:.0f} dB below the rest, usually {usually:.0f}"
        )
        found.append(
            Finding(
                "single event" if sign > 0 else "pause",
                text,
                strength=float(standard[at] * part.limit(name, 1)),
                limit=part.limit(name, 1),
                db=sign * float(course[first]),
                band=band_edges(grid.fast_hz, bands),
                time=time,
            )
        )
    return found
