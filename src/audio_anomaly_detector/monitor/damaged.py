"""A machine that cannot be watched, as what was learned of it is damaged."""

from dataclasses import dataclass, replace

from audio_anomaly_detector.monitor.drift import Notice
from audio_anomaly_detector.monitor.event import Event
from audio_anomaly_detector.monitor.notices import NoticeState, advance_notices


@dataclass(frozen=True)
class DamagedMachine:
    """What there is to say of it until somebody mends it.

    Args:
        why: what is damaged and what to do, a sentence.
        since: s since 1970 UTC.
        notices: that were told of the machine.
    """

    why: str
    since: float
    notices: NoticeState

    def told(self, name: str, now: float) -> tuple["DamagedMachine", list[Event]]:
        """The machine after it was told that it is damaged, and what there is to tell.

        Args:
            name: of the machine.
            now: s since 1970 UTC.
        """
        words = f"it is not watched: {self.why}"
        lasting = [Notice("damaged", self.since, words)]
        # Slow changes that were open stay so until the machine is watched again.
        events = self.notices.events
        other = {kind: event for kind, event in events.items() if kind != "damaged"}
        own = {kind: event for kind, event in events.items() if kind == "damaged"}
        state, told = advance_notices(
            replace(self.notices, events=own), name, lasting, now, "warning"
        )
        state = replace(state, events={**state.events, **other})
        return replace(self, notices=state), told
