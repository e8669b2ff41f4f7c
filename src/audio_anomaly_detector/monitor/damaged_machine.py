"""A machine that cannot be watched, as what was learned of it is damaged."""

from dataclasses import dataclass, replace

from audio_anomaly_detector.monitor.drift import Notice
from audio_anomaly_detector.monitor.event import Event
from audio_anomaly_detector.monitor.notices import NoticeState, advance_notices
from audio_anomaly_detector.monitor.status import DAMAGED, MachineLine


@dataclass(frozen=True)
class DamagedMachine:
    """What there is to say of it until somebody mends it.

    Args:
        name: of the machine.
        source: that hears it.
        why: what is damaged and what to do, a sentence.
        since: s since 1970 UTC.
        notices: that were told of the machine.
    """

    name: str
    source: str
    why: str
    since: float
    notices: NoticeState

    def told(self, now: float) -> tuple["DamagedMachine", list[Event]]:
        """The machine after it was told that it is damaged, and what there is to tell.

        Args:
            now: s since 1970 UTC.
        """
        words = f"it is not watched: {self.why}"
        lasting = [Notice("damaged", self.since, words)]
        # Slow changes that were open stay so until the machine is watched again.
        events = self.notices.events
        other = {kind: event for kind, event in events.items() if kind != "damaged"}
        own = {kind: event for kind, event in events.items() if kind == "damaged"}
        state, told = advance_notices(
            replace(self.notices, events=own), self.name, lasting, now, "warning"
        )
        state = replace(state, events={**state.events, **other})
        return replace(self, notices=state), told

    def line(self) -> MachineLine:
        """How it is."""
        return MachineLine(
            self.name, self.source, DAMAGED, "unknown", model=None, height=None, reason=self.why
        )
