"""From the verdicts on a machine's windows to its events: one at a time, each told once.

Pure: the state goes in and comes out and is plain data, so that a watch that is started again goes
on where it was. Times are those of the sound; how long something lasts is counted in sound that was
heard, so that gaps and steps of the clock neither open nor end anything.
"""

import hashlib
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal

from audio_anomaly_detector.monitor.alert_config import AlertConfig
from audio_anomaly_detector.monitor.event import Event, Level, Phase
from audio_anomaly_detector.monitor.verdict import Verdict, VerdictLevel

_MOST_WINDOWS = 400  # that are looked back upon, however much they overlap
_MOST_POINTS = 200  # of the course of an event
# One window alone must not decide, neither by its floor nor because it is hidden, by speech, say;
# two of five windows that are hidden are enough.
_LEAST_P = 1e-6
_HIDDEN_P = 1e-4
_NOT_JUDGED = "cannot be judged"
_RANK: dict[str, int] = {"none": 0, "notice": 0, "warning": 1, "alarm": 2}


@dataclass(frozen=True)
class Heard:
    """What is kept of a window.

    Args:
        at: when it began, s since 1970 UTC.
        end: when it ended.
        level: of the window; None: it was not judged.
        ratio: its score over its threshold; None: it has none.
        p_recording: share of normal windows expected to be recorded as differently; None: it is
            not known, or the machine is off.
    """

    at: float
    end: float
    level: VerdictLevel | None
    ratio: float | None
    p_recording: float | None


@dataclass(frozen=True)
class TrackerState:
    """What is known of a machine between two windows.

    Args:
        name: of the machine.
        recent: the last windows, in order.
        event: that is open; None: there is none.
        last: when the last window ended, s since 1970 UTC; None: none was heard.
        calm: s of calm sound up to now.
        unjudged: s of sound of the running machine up to now that could not be judged.
        doubt: s for which the surroundings are still doubted.
        lasted: s of sound since the last windows first amounted to something, told or not; None:
            they do not, or it is over.
        waiting: s until the cooldown is over.
        ended: level of the last event, which the cooldown is of.
        count: events so far.
    """

    name: str
    recent: tuple[Heard, ...] = ()
    event: Event | None = None
    last: float | None = None
    calm: float = 0.0
    unjudged: float = 0.0
    doubt: float = 0.0
    lasted: float | None = None
    waiting: float = 0.0
    ended: Level = "notice"
    count: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        event = None if self.event is None else self.event.to_dict()
        return {**asdict(self), "recent": list(map(asdict, self.recent)), "event": event}

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> "TrackerState":
        """The state of `to_dict`.

        Raises:
            ValueError: it is none.
        """
        try:
            recent = tuple(Heard(**window) for window in content["recent"])
            event = None if content["event"] is None else Event.from_dict(content["event"])
            return cls(**{**content, "recent": recent, "event": event})
        except (KeyError, TypeError) as error:
            raise ValueError(f"no state of a tracker ({error})") from error


def advance(
    state: TrackerState, verdict: Verdict, settings: AlertConfig
) -> tuple[TrackerState, list[Event]]:
    """Take the next window of a machine.

    Args:
        state: so far.
        verdict: on the window.
        settings: rules.

    Returns:
        the state with it, and what there is to tell: new, updated and ended events, in order.
    """
    had_unjudged = state.unjudged
    state = _with_window(state, verdict, settings)
    has_become_unjudged = had_unjudged < settings.unjudged <= state.unjudged
    told: list[Event] = []
    if state.event is not None and state.event.kind == "unjudged":
        if _length(state.recent, _RANK["none"]) >= _wanted(verdict, settings):
            state, told = _ended(state, verdict.end, settings.cooldown)
    elif state.event is not None:
        state, told = _go_on(state, state.event, verdict, settings)
        if has_become_unjudged and state.event is not None:
            state, told = _unheard(state, state.event, verdict)
    if state.event is None:
        state, opened = _opened(state, verdict, settings)
        told = [*told, *opened]
    return state, told


def end_event(
    state: TrackerState, at: float, words: Iterable[str], settings: AlertConfig
) -> tuple[TrackerState, list[Event]]:
    """End the open event because a person says so: the sound is normal, or repaired.

    Args:
        state: so far.
        at: when, s since 1970 UTC.
        words: why, put before what the event says.
        settings: rules.

    Returns:
        the state without it and without the windows that spoke for it, and the event that ended,
        if there was one.
    """
    if state.event is not None:
        event = replace(state.event, words=(*words, *state.event.words))
        state = replace(state, event=event)
    state, told = _ended(state, at, settings.cooldown)
    return replace(state, recent=()), told


def with_details(state: TrackerState, words: Sequence[str], folder: str | None) -> TrackerState:
    """The open event with what was found out about it, so that later tellings say it too."""
    if state.event is None:
        return state
    return replace(state, event=replace(state.event, words=tuple(words), folder=folder))


def event_id(subject: str, name: str, count: int, started: float) -> str:
    """Identity of an event: its start for people, and a hash that is safe in file names.

    The same from the same state, so that what was not saved before a crash is told under the same
    identity afterwards.
    """
    of = hashlib.sha256(f"{subject}\0{name}\0{count}\0{started!r}".encode()).hexdigest()
    return f"{datetime.fromtimestamp(started, UTC):%Y%m%dT%H%M%SZ}-{of[:12]}"


def _with_window(state: TrackerState, verdict: Verdict, settings: AlertConfig) -> TrackerState:
    """The state with the window, before anything is decided."""
    duration, last = _duration(verdict), state.last
    passed = 0.0 if last is None else max(0.0, verdict.end - last)
    heard = duration if last is None else min(passed, duration)
    level = verdict.level if verdict.judged else None
    # A rounding error of the sum of its hops must not let a window drop out. Windows that are
    # later than this one were heard before the clock was set back.
    begin = verdict.end - (settings.of + 1e-3) * duration
    recent = [one for one in state.recent if begin < one.at < verdict.at]
    # Off is a state of the machine; before it is known whether it runs, nothing is amiss either.
    at_work = verdict.state in ("idle", "running")
    p_recording = (verdict.p_recording if verdict.judged else _HIDDEN_P) if at_work else None
    newest = Heard(verdict.at, verdict.end, level, verdict.ratio, p_recording)
    recent = [*recent[1 - _MOST_WINDOWS :], newest]
    is_calm = _length(recent, 1) <= settings.calm * duration * (1 + 1e-6)
    calm = state.calm
    if verdict.judged:
        calm = calm + heard if is_calm else 0.0
    span = recent[-1].end - recent[0].at
    is_doubtful = span >= _wanted(verdict, settings) and _is_doubtful(recent, settings)
    doubt = settings.settling if is_doubtful else max(0.0, state.doubt - heard)
    unjudged = state.unjudged + heard if at_work and not verdict.judged else 0.0
    lasted = None if state.lasted is None else state.lasted + heard
    if state.event is None and _is_over(calm, verdict, settings):
        lasted = None
    return replace(
        state,
        recent=tuple(recent),
        last=verdict.end,
        calm=calm,
        unjudged=unjudged,
        doubt=doubt,
        lasted=lasted,
        waiting=max(0.0, state.waiting - passed),
    )


def _go_on(
    state: TrackerState, event: Event, verdict: Verdict, settings: AlertConfig
) -> tuple[TrackerState, list[Event]]:
    """With an event of the sound of the machine."""
    if verdict.judged:
        event = replace(event, course=_course(event.course, state.recent[-1:]))
    state = replace(state, event=event)
    if _is_over(state.calm, verdict, settings):
        return _ended(state, verdict.end, settings.cooldown)
    found = _found(state, verdict, settings)
    level = event.level if found is None else _level(state, found, verdict, settings)
    if _RANK[level] > _RANK[event.level]:
        return _told(state, replace(event, level=level), "update", verdict.end)
    return state, []


def _unheard(
    state: TrackerState, event: Event, verdict: Verdict
) -> tuple[TrackerState, list[Event]]:
    """Tell once more of an event that lasts, as nobody can say whether it still does."""
    words = [word for word in event.words if not word.startswith(_NOT_JUDGED)]
    return _told(state, replace(event, words=(*words, _why(verdict))), "update", verdict.end)


def _opened(
    state: TrackerState, verdict: Verdict, settings: AlertConfig
) -> tuple[TrackerState, list[Event]]:
    """With a new event, if there is reason for one."""
    found = _found(state, verdict, settings)
    if found is not None:
        state = replace(state, lasted=state.lasted or 0.0)
        level = _level(state, found, verdict, settings)
        if state.waiting > 0 and _RANK[level] <= _RANK[state.ended]:
            return state, []
        started = next(one.at for one in state.recent if one.level not in (None, "none"))
        event = _new(state, "sound", level, started, verdict.end)
        event = replace(event, course=_course((), state.recent))
        return replace(state, event=event, count=state.count + 1, calm=0.0), [event]
    if state.unjudged >= settings.unjudged:
        started = verdict.end - state.unjudged
        event = _new(state, "unjudged", "notice", started, verdict.end)
        event = replace(event, words=(_why(verdict),))
        return replace(state, event=event, count=state.count + 1), [event]
    return state, []


def _new(state: TrackerState, kind: str, level: Level, started: float, at: float) -> Event:
    identity = event_id("machine", state.name, state.count, started)
    return Event(identity, "machine", state.name, kind, "new", level, 0, started, at)


def _found(
    state: TrackerState, verdict: Verdict, settings: AlertConfig
) -> Literal["warning", "alarm"] | None:
    """What the last windows amount to together."""
    wanted = _wanted(verdict, settings)
    if _length(state.recent, _RANK["alarm"]) >= wanted:
        return "alarm"
    return "warning" if _length(state.recent, _RANK["warning"]) >= wanted else None


def _level(
    state: TrackerState,
    found: Literal["warning", "alarm"],
    verdict: Verdict,
    settings: AlertConfig,
) -> Level:
    """What is told of it."""
    lasted = state.lasted or 0.0
    is_doubted = state.doubt > 0 or verdict.tentative
    if lasted < (settings.lasting if is_doubted else settings.warning_after):
        return "notice"
    return "warning" if lasted < settings.alarm_after else found


def _is_doubtful(windows: Sequence[Heard], settings: AlertConfig) -> bool:
    """Whether the last windows are recorded otherwise than normal ones."""
    logs = [math.log(max(p, _LEAST_P)) for one in windows if (p := one.p_recording) is not None]
    return bool(logs) and sum(logs) < len(logs) * math.log(max(settings.surroundings, _LEAST_P))


def _is_over(calm: float, verdict: Verdict, settings: AlertConfig) -> bool:
    """Whether the sound has been as always for long enough."""
    return verdict.judged and calm > 0 and calm >= settings.keep_firing


def _length(windows: Iterable[Heard], rank: int) -> float:
    """Seconds that judged windows of that level or a higher one cover, overlaps counted once."""
    total, reached = 0.0, float("-inf")
    for window in windows:
        if window.level is not None and _RANK[window.level] >= rank:
            total += max(0.0, window.end - max(window.at, reached))
            reached = max(reached, window.end)
    return total


def _ended(state: TrackerState, at: float, cooldown: float) -> tuple[TrackerState, list[Event]]:
    event = state.event
    if event is None:
        return state, []
    state, told = _told(state, event, "end", at)
    # That nothing can be judged is no reason to say less of the sound afterwards.
    waiting = cooldown if event.kind == "sound" else state.waiting
    ended = event.level if event.kind == "sound" else state.ended
    state = replace(state, event=None, lasted=None, calm=0.0, unjudged=0.0)
    return replace(state, waiting=waiting, ended=ended), told


def _told(
    state: TrackerState, event: Event, phase: Phase, at: float
) -> tuple[TrackerState, list[Event]]:
    """The next telling of the open event; never before the last one, wherever the clock is."""
    at = max(at, event.updated)
    event = replace(
        event,
        phase=phase,
        revision=event.revision + 1,
        updated=at,
        ended=at if phase == "end" else None,
    )
    return replace(state, event=event), [event]


def _course(
    course: tuple[tuple[float, float], ...], windows: Iterable[Heard]
) -> tuple[tuple[float, float], ...]:
    """With further windows; beyond the limit every other point is left out."""
    points = [*course, *((one.at, one.ratio) for one in windows if one.ratio is not None)]
    while len(points) > _MOST_POINTS:
        points = points[::2]
    return tuple(points)


def _why(verdict: Verdict) -> str:
    return f"{_NOT_JUDGED}: {verdict.reason}" if verdict.reason else _NOT_JUDGED


def _wanted(verdict: Verdict, settings: AlertConfig) -> float:
    """Seconds that the windows last that are needed; a little less, for rounding."""
    return settings.needed * _duration(verdict) * (1 - 1e-6)


def _duration(verdict: Verdict) -> float:
    return verdict.end - verdict.at
