"""One machine under watch: from the sound of its source to its events."""

import logging
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace

from audio_anomaly_detector.errors import UserError, one_line
from audio_anomaly_detector.monitor.alert_config import AlertConfig
from audio_anomaly_detector.monitor.alerts import of_source
from audio_anomaly_detector.monitor.event import Event
from audio_anomaly_detector.monitor.evidence import Evidence
from audio_anomaly_detector.monitor.machine import MachineMonitor
from audio_anomaly_detector.monitor.notices import NoticeState, advance_notices
from audio_anomaly_detector.monitor.sound import Chunk, Window
from audio_anomaly_detector.monitor.status import MachineLine
from audio_anomaly_detector.monitor.stream import StreamState
from audio_anomaly_detector.monitor.stream import advance as next_windows
from audio_anomaly_detector.monitor.tracker import TrackerState, end_event, with_details
from audio_anomaly_detector.monitor.tracker import advance as next_events
from audio_anomaly_detector.monitor.verdict import Verdict

log = logging.getLogger(__name__)

# Pieces of sound without a window, one after the other, until that is told: a short one now and
# then is no harm.
_SHORT_PIECES = 3


class WatchedMachine:
    """A machine, its stream and its events; used by one thread.

    Args:
        monitor: learns and judges it.
        source: name of the source that hears it.
        alerts: when something becomes an event.
        tracker: where its events stood when the program ended.
        notices: where its slow changes stood.
        evidence: keeps sound and picture of its events.
        judged: told of each window and its verdict.
    """

    def __init__(
        self,
        monitor: MachineMonitor,
        source: str,
        alerts: AlertConfig,
        tracker: TrackerState,
        notices: NoticeState,
        evidence: Evidence,
        judged: Callable[[Window, Verdict], None] = lambda window, verdict: None,
    ) -> None:
        self.monitor, self.source = monitor, source
        self.tracker, self.notices = tracker, notices
        self.last: Verdict | None = None
        self._alerts, self._evidence, self._judged = alerts, evidence, judged
        self._stream = StreamState()
        self._short = 0  # pieces of sound since the last window that held none
        # The most unusual of them tells most of the event that they make.
        self._unusual: deque[tuple[Window, Verdict]] = deque(maxlen=alerts.needed)

    def hear(self, chunk: Chunk, faults: Mapping[str, str]) -> list[Event]:
        """Take in the next sound of the source.

        Args:
            chunk: of it.
            faults: of the source, a sentence by kind: what is heard through them is not judged.

        Returns:
            what there is to tell.
        """
        seconds, hop = self.monitor.window_seconds, self.monitor.settings.hop_seconds
        if chunk.stretch != self._stream.stretch:
            self._note_piece(self._stream)
        self._stream, windows = next_windows(self._stream, chunk, seconds, hop)
        if not windows:
            return []
        self._short = 0
        events = []
        for window, verdict in zip(windows, self.monitor.hear(windows), strict=True):
            events += self._take(window, of_source(verdict, faults))
        self.notices, told = advance_notices(
            self.notices, self.monitor.name, self.monitor.notices, windows[-1].end
        )
        return events + told

    def end_event(self, at: float, why: str) -> list[Event]:
        """End the open event, if there is one, because a person says so.

        Args:
            at: when, s since 1970 UTC.
            why: a sentence.
        """
        self.tracker, told = end_event(self.tracker, at, [why], self._alerts)
        self._unusual.clear()
        return told

    def line(self) -> MachineLine:
        """How it is, from any thread."""
        last, event = self.last, self.tracker.event
        height = None
        if last is not None and last.score is not None and last.threshold is not None:
            height = last.score - last.threshold
        return MachineLine(
            name=self.monitor.name,
            source=self.source,
            phase=self.monitor.phase,
            state="unknown" if last is None else last.state,
            model=self.monitor.version,
            height=height,
            reason=None if last is None else last.reason,
            event=None if event is None else event.level,
            notes=(*self.monitor.notes, *self._notes()),
        )

    def _note_piece(self, piece: StreamState) -> None:
        """Count a piece of sound that is over, if it held no window."""
        if piece.pieces and not piece.first:
            self._short += 1
            if self._short == _SHORT_PIECES:
                log.warning("%s: %s", self.monitor.name, self._notes()[0])

    def _notes(self) -> list[str]:
        """What is to be known of how its sound comes, a sentence each."""
        if self._short < _SHORT_PIECES:
            return []
        return [
            "its sound comes in pieces that are shorter than a window "
            f"({self.monitor.window_seconds:g} s), so that nothing is judged; see why its source "
            "breaks off, give longer recordings, or set 'audio.length' (samples) in 'overrides'"
        ]

    def _take(self, window: Window, verdict: Verdict) -> list[Event]:
        self.last = verdict
        self._judged(window, verdict)
        if verdict.level != "none":
            self._unusual.append((window, verdict))
        self.tracker, events = next_events(self.tracker, verdict, self._alerts)
        return [self._with_details(event) for event in events]

    def _with_details(self, event: Event) -> Event:
        """The event with what its sound says, where it is new or of another level."""
        if event.phase == "end":
            self._unusual.clear()
        if event.kind != "sound" or event.phase == "end" or not self._unusual:
            return event
        window, verdict = max(self._unusual, key=lambda pair: pair[1].ratio or 0.0)
        try:
            explanation = self.monitor.explain(window, verdict)
        except UserError as error:
            log.warning("%s: %s", self.monitor.name, one_line(error))
            return event
        event = replace(event, words=tuple(explanation.words))
        if event.folder is None:
            folder = self._evidence.keep(event, self.source, explanation)
            event = replace(event, folder=folder)
        self.tracker = with_details(self.tracker, event.words, event.folder)
        return event
