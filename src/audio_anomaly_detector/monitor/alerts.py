"""Which events are told to people: not those of what is silenced, nor of machines nobody hears."""

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from audio_anomaly_detector.monitor.event import Event
from audio_anomaly_detector.monitor.verdict import Verdict

EVERYTHING = "*"  # name of a silence


@dataclass(frozen=True)
class Quiet:
    """What nobody is told of now.

    Args:
        silenced: names of machines and sources; `EVERYTHING`: all.
        faulty: sources that have a fault: what a machine sounds like through them says nothing.
        source_of: by machine.
    """

    silenced: Container[str] = ()
    faulty: Container[str] = ()
    source_of: Mapping[str, str] = field(default_factory=dict)

    def covers(self, event: Event) -> bool:
        """Whether an event is not told."""
        if EVERYTHING in self.silenced or event.name in self.silenced:
            return True
        return event.subject == "machine" and self.source_of.get(event.name) in self.faulty


@dataclass(frozen=True)
class ToldState:
    """What people know.

    Args:
        told: ids of open events that were told.
        held: open events that are still to be told, or told anew, by id.
    """

    told: frozenset[str] = frozenset()
    held: Mapping[str, Event] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        held = {identity: event.to_dict() for identity, event in self.held.items()}
        return {"told": sorted(self.told), "held": held}

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> "ToldState":
        """The state of `to_dict`.

        Raises:
            ValueError: it is none.
        """
        try:
            held = {key: Event.from_dict(event) for key, event in content["held"].items()}
            return cls(frozenset(content["told"]), held)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"no state of what was told ({error})") from error


def to_tell(
    state: ToldState, events: Iterable[Event], quiet: Quiet
) -> tuple[ToldState, list[Event]]:
    """Which events are told now; to be called also without events, as silences end.

    What happens in a silence is told after it, if it still lasts then. The end of an event that was
    told is told at once, so that nobody looks for a fault that is over.

    Args:
        state: so far.
        events: as they come from trackers, in order.
        quiet: what is not told now.

    Returns:
        the state with it, and the events that are told, in order.
    """
    told, held = set(state.told), dict(state.held)
    now: list[Event] = []

    def tell(event: Event) -> None:
        now.append(event if event.id in told else replace(event, phase="new"))
        told.add(event.id)

    for event in events:
        held.pop(event.id, None)
        if event.phase == "end":
            if event.id in told:
                told.remove(event.id)
                now.append(event)
        elif quiet.covers(event):
            held[event.id] = event
        else:
            tell(event)
    for event in [event for event in held.values() if not quiet.covers(event)]:
        del held[event.id]
        tell(event)
    return ToldState(frozenset(told), held), now


def of_source(verdict: Verdict, faults: Mapping[str, str]) -> Verdict:
    """A verdict as it stands while its source has faults: the window is not judged."""
    if not faults or not verdict.judged:
        return verdict
    return replace(
        verdict,
        judged=False,
        reason=next(iter(faults.values())),
        score=None,
        threshold=None,
        alarm_threshold=None,
        level="none",
        p_value=None,
    )
