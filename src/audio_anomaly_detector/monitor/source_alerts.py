"""From the faults of sources to events: what lasts is told once, and many at once are one event.

Pure, as `tracker`. How long a fault lasts is counted from call to call, so that neither a step of
the clock nor the time that the program was stopped counts as a fault.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from audio_anomaly_detector.monitor.alert_config import SourceAlertConfig
from audio_anomaly_detector.monitor.event import Event, Level, Phase, Subject
from audio_anomaly_detector.monitor.tracker import event_id

# Between two calls: more has passed while nobody looked.
_MOST_PASSED_S = 60.0
_MOST_NAMED = 5
# Faults with which nothing is heard, and the others; what comes first names an event.
LOST = ("unreachable", "stale")
_KINDS = (*LOST, "rate", "silence", "dead channel", "clipping", "loss", "unreadable")


@dataclass(frozen=True)
class SourceState:
    """What is known of a source between two calls.

    Args:
        since: when its fault began, s since 1970 UTC; None: it has none.
        lost: nothing is heard because of it.
        faulty: s for which it had a fault, until it has been without for long enough.
        fine: s without a fault up to now.
        event: that is open; None: there is none.
        waiting: s until the cooldown is over.
        count: events so far.
    """

    since: float | None = None
    lost: bool = False
    faulty: float = 0.0
    fine: float = 0.0
    event: Event | None = None
    waiting: float = 0.0
    count: int = 0


@dataclass(frozen=True)
class SourcesState:
    """What is known of all sources between two calls.

    Args:
        sources: by name.
        together: event of many lost sources; None: there is none.
        told: how many it told of last.
        count: such events so far.
        last: time of the last call, s since 1970 UTC.
    """

    sources: Mapping[str, SourceState] = field(default_factory=dict)
    together: Event | None = None
    told: int = 0
    count: int = 0
    last: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "sources": {
                name: {**asdict(one), "event": one.event and one.event.to_dict()}
                for name, one in self.sources.items()
            },
            "together": self.together and self.together.to_dict(),
            "told": self.told,
            "count": self.count,
            "last": self.last,
        }

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> "SourcesState":
        """The state of `to_dict`.

        Raises:
            ValueError: it is none.
        """
        try:
            sources = {
                name: SourceState(
                    **{**one, "event": one["event"] and Event.from_dict(one["event"])}
                )
                for name, one in content["sources"].items()
            }
            together = content["together"] and Event.from_dict(content["together"])
            return cls(**{**content, "sources": sources, "together": together})
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"no state of sources ({error})") from error


def advance_sources(
    state: SourcesState,
    now: float,
    faults: Mapping[str, Mapping[str, str]],
    settings: SourceAlertConfig,
) -> tuple[SourcesState, list[Event]]:
    """Take what is wrong with the sources now; to be called every few seconds.

    Args:
        state: so far.
        now: s since 1970 UTC.
        faults: of every source that is watched, by name: its present faults, a sentence by kind.
        settings: rules.

    Returns:
        the state with it, and what there is to tell, in order.
    """
    passed = 0.0 if state.last is None else max(0.0, now - state.last)
    sources = {
        name: _looked_at(state.sources.get(name, SourceState()), now, passed, of, settings)
        for name, of in faults.items()
    }
    told: list[Event] = []
    for name, gone in state.sources.items():
        if name not in faults and gone.event is not None:
            words = ("no longer watched", *gone.event.words)
            told.append(_next(replace(gone.event, words=words), "end", now))
    state = replace(state, sources=sources, last=now)
    state, together = _together(state, now, faults, settings)
    told += together
    kept = dict(sources)
    for name, of in faults.items():
        lost_with_others = state.together is not None and _is_lost(of)
        kept[name], events = _of_source(name, sources[name], now, of, lost_with_others, settings)
        told += events
    return replace(state, sources=kept), told


def _looked_at(
    one: SourceState,
    now: float,
    passed: float,
    faults: Mapping[str, str],
    settings: SourceAlertConfig,
) -> SourceState:
    counted = min(passed, _MOST_PASSED_S)
    one = replace(one, waiting=max(0.0, one.waiting - passed))
    if faults:
        # Counted from the call on at which it is first seen.
        faulty = 0.0 if one.since is None else one.faulty + counted
        since = now if one.since is None else one.since
        return replace(one, since=since, lost=_is_lost(faults), faulty=faulty, fine=0.0)
    fine = one.fine + counted
    if fine >= settings.recovered and one.event is None:
        # A fault that comes and goes is one that lasts, until it stays away.
        return replace(one, since=None, lost=False, faulty=0.0, fine=fine)
    return replace(one, fine=fine)


def _of_source(
    name: str,
    one: SourceState,
    now: float,
    faults: Mapping[str, str],
    lost_with_others: bool,
    settings: SourceAlertConfig,
) -> tuple[SourceState, list[Event]]:
    """The event of one source."""
    event = one.event
    if event is None:
        is_due = bool(faults) and one.faulty >= settings.lasting and one.waiting <= 0
        if not is_due or lost_with_others or one.since is None:
            return one, []
        event = _new("source", name, _worst(faults), one.count, one.since, now, "warning")
        event = replace(event, words=_sentences(faults))
        return replace(one, event=event, count=one.count + 1), [event]
    if one.fine >= settings.recovered:
        over = SourceState(waiting=settings.cooldown, count=one.count, fine=one.fine)
        return over, [_next(event, "end", now)]
    if faults and _rank(_worst(faults)) < _rank(event.kind):
        event = replace(event, kind=_worst(faults), words=_sentences(faults))
        event = _next(event, "update", now)
        return replace(one, event=event), [event]
    return one, []


def _together(
    state: SourcesState,
    now: float,
    faults: Mapping[str, Mapping[str, str]],
    settings: SourceAlertConfig,
) -> tuple[SourcesState, list[Event]]:
    """The event of many sources that are lost at once."""
    # Those that have not been back for long enough, and of these those that bring nothing now.
    lost = [name for name, one in state.sources.items() if one.event is None and one.lost]
    silent = [name for name in lost if _is_lost(faults[name])]
    event = state.together
    if event is None:
        due = [name for name in silent if state.sources[name].faulty >= settings.lasting]
        if not due or len(silent) <= settings.together:
            return state, []
        since = min(state.sources[name].since or now for name in silent)
        event = _new("service", "sources", "sources lost", state.count, since, now, "alarm")
        event = replace(event, words=_of_many(silent, faults))
        return replace(state, together=event, told=len(silent), count=state.count + 1), [event]
    if len(lost) <= settings.together:
        return replace(state, together=None), [_next(event, "end", now)]
    if len(silent) >= 2 * state.told:
        event = _next(replace(event, words=_of_many(silent, faults)), "update", now)
        return replace(state, together=event, told=len(silent)), [event]
    return state, []


def _is_lost(faults: Mapping[str, str]) -> bool:
    return any(kind in faults for kind in LOST)


def _of_many(silent: list[str], faults: Mapping[str, Mapping[str, str]]) -> tuple[str, ...]:
    named = ", ".join(silent[:_MOST_NAMED])
    more = len(silent) - _MOST_NAMED
    return (
        f"{len(silent)} of {len(faults)} sources bring no sound: {named}"
        + (f" and {more} more" if more > 0 else ""),
        f"{silent[0]}: {_sentences(faults[silent[0]])[0]}",
    )


def _sentences(faults: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(faults[kind] for kind in sorted(faults, key=_rank))


def _worst(faults: Iterable[str]) -> str:
    return min(faults, key=_rank)


def _rank(kind: str) -> int:
    return _KINDS.index(kind) if kind in _KINDS else len(_KINDS)


def _new(
    subject: Subject, name: str, kind: str, count: int, since: float, now: float, level: Level
) -> Event:
    identity = event_id(subject, name, count, since)
    return Event(identity, subject, name, kind, "new", level, 0, since, max(now, since))


def _next(event: Event, phase: Phase, now: float) -> Event:
    at = max(now, event.updated)
    ended = at if phase == "end" else None
    return replace(event, phase=phase, revision=event.revision + 1, updated=at, ended=ended)
