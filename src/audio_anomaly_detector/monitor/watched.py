"""One machine under watch: from the sound of its source to its events."""

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

from audio_anomaly_detector.errors import UserError, one_line
from audio_anomaly_detector.explaining.explanation import Explanation
from audio_anomaly_detector.monitor.alert_config import AlertConfig
from audio_anomaly_detector.monitor.event import Event
from audio_anomaly_detector.monitor.machine import MachineMonitor
from audio_anomaly_detector.monitor.sound import Chunk, Window
from audio_anomaly_detector.monitor.stream import StreamState
from audio_anomaly_detector.monitor.stream import advance as next_windows
from audio_anomaly_detector.monitor.tracker import TrackerState, with_details
from audio_anomaly_detector.monitor.tracker import advance as next_events
from audio_anomaly_detector.monitor.verdict import Verdict

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Found:
    """What there is to tell of a machine.

    Args:
        event: in its present state.
        explanation: why its sound is unusual; None: nothing new was found out.
    """

    event: Event
    explanation: Explanation | None


class WatchedMachine:
    """A machine, its stream and its events; used by one thread.

    Args:
        monitor: learns and judges it.
        source: name of the source that hears it.
        alerts: when something becomes an event.
        tracker: where its events stood when the program ended.
        judged: told of each window and its verdict.
    """

    def __init__(
        self,
        monitor: MachineMonitor,
        source: str,
        alerts: AlertConfig,
        tracker: TrackerState,
        judged: Callable[[Window, Verdict], None] = lambda window, verdict: None,
    ) -> None:
        self.monitor, self.source, self.tracker = monitor, source, tracker
        self.last: Verdict | None = None
        self._alerts, self._judged = alerts, judged
        self._stream = StreamState()
        # The most unusual of them tells most of an event that they make.
        self._recent: deque[tuple[Window, Verdict]] = deque(maxlen=alerts.needed)

    def hear(self, chunk: Chunk) -> list[Found]:
        """Take in the next sound of the source; what there is to tell."""
        seconds, hop = self.monitor.window_seconds, self.monitor.settings.hop_seconds
        self._stream, windows = next_windows(self._stream, chunk, seconds, hop)
        if not windows:
            return []
        verdicts = self.monitor.hear(windows)
        return [
            found
            for window, verdict in zip(windows, verdicts, strict=True)
            for found in self._take(window, verdict)
        ]

    def _take(self, window: Window, verdict: Verdict) -> list[Found]:
        self.last = verdict
        self._judged(window, verdict)
        if verdict.level != "none":
            self._recent.append((window, verdict))
        self.tracker, events = next_events(self.tracker, verdict, self._alerts)
        return [self._with_details(event) for event in events]

    def _with_details(self, event: Event) -> Found:
        """The event with what its sound says, where that is new."""
        if event.kind != "sound" or event.phase == "end" or not self._recent:
            if event.phase == "end":
                self._recent.clear()
            return Found(event, None)
        window, verdict = max(self._recent, key=lambda pair: pair[1].ratio or 0.0)
        try:
            explanation = self.monitor.explain(window, verdict)
        except UserError as error:
            log.warning("%s: %s", self.monitor.name, one_line(error))
            return Found(event, None)
        words, folder = tuple(explanation.words), event.id
        self.tracker = with_details(self.tracker, words, folder)
        return Found(replace(event, words=words, folder=folder), explanation)
