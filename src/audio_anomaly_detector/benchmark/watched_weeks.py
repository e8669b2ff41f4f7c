"""Weeks of a watched machine, put together from scored pieces of sound and given to the tracker.

The pieces are those of `watched_machines`, so that a month takes minutes. What lasts in life lasts
here: machine and hall stay alike for half a minute, a talk for some minutes, rain for an hour.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from audio_anomaly_detector.benchmark.watched_machines import NORMAL, Piece
from audio_anomaly_detector.monitor.alert_config import AlertConfig
from audio_anomaly_detector.monitor.event import Event, Level
from audio_anomaly_detector.monitor.tracker import TrackerState, advance
from audio_anomaly_detector.monitor.verdict import Verdict, VerdictLevel

WINDOW_S = 10.0
_WEEK_S = 7 * 86_400.0
_START = 1_800_000_000.0
# The highest tenth of the normal pieces is continued by an exponential tail: a week has many more
# pieces than were synthesised.
_TAIL_SHARE = 0.1
_BEFORE_FAULT = 60  # windows of the healthy machine
_WITH_FAULT = 2160  # windows: six hours, after which a fault counts as missed


class Episode(NamedTuple):
    """Something that happens again and again.

    Attributes:
        sounds: of its pieces, each drawn from these.
        pieces: how many it lasts in the mean; the length is drawn from a geometric distribution.
        per_week: how often it comes.
    """

    sounds: tuple[str, ...]
    pieces: int
    per_week: int


EPISODES = {
    # Whoever talks moves about: a third of it is from afar.
    "talk of some minutes": Episode(
        ("talk beside it", "talk beside it", "talk farther away"), 4, 10
    ),
    "rain of about an hour": Episode(("rain",), 120, 1),
    "heavy rain of about an hour": Episode(("heavy rain",), 120, 1),
    "door": Episode(("door",), 1, 35),
    "lorry": Episode(("lorry",), 1, 70),
    "about an hour at 6 dB more": Episode(("6 dB louder",), 120, 1),
    "about an hour at 6 dB less": Episode(("6 dB quieter",), 120, 1),
}


class Course(NamedTuple):
    """Windows one after the other.

    Attributes:
        scores: ``(n,)``.
        p_recordings: ``(n,)``.
        unlike: they are not judged, ``(n,)``.
        causes: what happens meanwhile, ``(n,)``.
    """

    scores: NDArray[np.float64]
    p_recordings: NDArray[np.float64]
    unlike: NDArray[np.bool_]
    causes: NDArray[np.str_]


class Thresholds(NamedTuple):
    """Of the two levels of a window, and whether they are of the learning period."""

    warning: float
    alarm: float | None
    tentative: bool


class Told(NamedTuple):
    """An event in a week without a fault.

    Attributes:
        level: the highest that it reached.
        cause: what happened as it was told first.
    """

    level: Level
    cause: str


class Detection(NamedTuple):
    """When a fault was told.

    Attributes:
        notice: windows from its begin until anything was told; None: nothing was.
        warning: the same of a warning or an alarm.
        alarm: the same of an alarm.
    """

    notice: int | None
    warning: int | None
    alarm: int | None


def draw_weeks(
    pieces: Mapping[str, Sequence[Piece]], weeks: int, rng: np.random.Generator
) -> Course:
    """A healthy machine for so many weeks, with all that happens around it.

    Args:
        pieces: by sound, all of as many windows.
        weeks: how many.
        rng: draws what happens when.
    """
    per_piece = len(pieces[NORMAL][0].scores)
    slots = round(weeks * _WEEK_S / WINDOW_S / per_piece)
    scores, p_recordings, unlike = _normal(pieces[NORMAL], slots, rng)
    causes = np.full(slots, NORMAL, dtype="U32")
    for name, episode in EPISODES.items():
        for _ in range(weeks * episode.per_week):
            begin = int(rng.integers(slots))
            end = min(slots, begin + int(rng.geometric(1 / episode.pieces)))
            for slot in range(begin, end):
                of_sound = pieces[episode.sounds[int(rng.integers(len(episode.sounds)))]]
                piece = of_sound[int(rng.integers(len(of_sound)))]
                scores[slot], p_recordings[slot] = piece.scores, piece.p_recordings
                unlike[slot], causes[slot] = piece.unlike, name
    return Course(
        scores.ravel(), p_recordings.ravel(), unlike.ravel(), np.repeat(causes, per_piece)
    )


def draw_fault(normal: Sequence[Piece], fault: Piece, rng: np.random.Generator) -> Course:
    """A healthy machine that gets a fault, which stays."""
    per_piece = len(normal[0].scores)
    scores, p_recordings, unlike = _normal(normal, _BEFORE_FAULT // per_piece, rng)
    again = -(-_WITH_FAULT // len(fault.scores))

    def after(before: NDArray[Any], of_fault: NDArray[Any]) -> NDArray[Any]:
        return np.concatenate([before.ravel(), np.tile(of_fault, again)[:_WITH_FAULT]])

    begun = np.repeat([NORMAL, "fault"], [scores.size, _WITH_FAULT])
    return Course(
        after(scores, fault.scores),
        after(p_recordings, fault.p_recordings),
        after(unlike, fault.unlike),
        begun,
    )


def told_without_fault(course: Course, thresholds: Thresholds, settings: AlertConfig) -> list[Told]:
    """The events of a healthy machine."""
    cause: dict[str, str] = {}
    level: dict[str, Level] = {}
    for window, event in _events(course, thresholds, settings):
        cause.setdefault(event.id, str(course.causes[window]))
        level[event.id] = event.level
    return [Told(level[identity], cause[identity]) for identity in cause]


def detection(course: Course, thresholds: Thresholds, settings: AlertConfig) -> Detection:
    """When the fault of a course was told."""
    begin = int(np.argmax(course.causes == "fault"))
    first: dict[Level, int] = {}
    for window, event in _events(course, thresholds, settings):
        if window >= begin and event.phase != "end":
            for level in _up_to(event.level):
                first.setdefault(level, window - begin + 1)
    return Detection(first.get("notice"), first.get("warning"), first.get("alarm"))


def _up_to(level: Level) -> Sequence[Level]:
    levels: tuple[Level, ...] = ("notice", "warning", "alarm")
    return levels[: levels.index(level) + 1]


def _events(
    course: Course, thresholds: Thresholds, settings: AlertConfig
) -> Iterator[tuple[int, Event]]:
    """Tellings, with the number of their window."""
    state = TrackerState("machine")
    columns = zip(
        course.scores.tolist(),
        course.p_recordings.tolist(),
        course.unlike.tolist(),
        strict=True,
    )
    for window, (score, p_recording, unlike) in enumerate(columns):
        at = _START + window * WINDOW_S
        level: VerdictLevel = "none"
        if score > thresholds.warning:
            is_alarm = thresholds.alarm is not None and score > thresholds.alarm
            level = "alarm" if is_alarm else "warning"
        judged = level == "none" or not unlike
        verdict = Verdict(
            at,
            at + WINDOW_S,
            stretch=0,
            state="running",
            judged=judged,
            reason=None if judged else "recorded otherwise",
            score=score if judged else None,
            threshold=thresholds.warning if judged else None,
            level=level if judged else "none",
            p_recording=p_recording,
            tentative=thresholds.tentative,
        )
        state, events = advance(state, verdict, settings)
        for event in events:
            yield window, event


def _normal(
    pieces: Sequence[Piece], slots: int, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Scores, p-values of the recording, and what is unlike, each ``(slots, windows)``.

    The mean of a piece is drawn with an exponential tail, what its windows differ in from another
    piece.
    """
    scores = np.array([piece.scores for piece in pieces])
    means = np.sort(scores.mean(axis=1))
    drawn = rng.choice(means, slots)
    begin = means[int(len(means) * (1 - _TAIL_SHARE)) - 1]
    in_tail = drawn > begin
    scale = float(np.mean(means[means > begin] - begin))
    drawn[in_tail] = begin + rng.exponential(scale, np.count_nonzero(in_tail))
    take = rng.integers(len(pieces), size=slots)
    within = scores - scores.mean(axis=1, keepdims=True)
    # From a mean of few windows they differ less than from the true one.
    windows = scores.shape[1]
    within = within * np.sqrt(windows / (windows - 1))
    return (
        drawn[:, None] + within[take],
        np.array([piece.p_recordings for piece in pieces])[take],
        np.array([piece.unlike for piece in pieces])[take],
    )
