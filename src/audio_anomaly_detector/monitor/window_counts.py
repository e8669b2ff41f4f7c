"""How many windows were judged since the start, and how late."""

from collections import deque

import numpy as np

from audio_anomaly_detector.monitor.clock import Clock
from audio_anomaly_detector.monitor.sound import Window
from audio_anomaly_detector.monitor.verdict import Verdict

_DELAYS = 1000  # of the last windows


class WindowCounts:
    """Counts windows; may be read from any thread.

    Args:
        clock: tells the time.
        live: windows are scored as they are heard; of files no delay can be told.

    Attributes:
        windows: that were heard.
        unjudged: of these, not judged.
    """

    def __init__(self, clock: Clock, live: bool) -> None:
        self.windows = self.unjudged = 0
        self._clock, self._live = clock, live
        self._delays: deque[float] = deque(maxlen=_DELAYS)

    @property
    def delay_s(self) -> tuple[float, float]:
        """As `Status.delay_s`."""
        middle, late = np.quantile(list(self._delays) or [0.0], [0.5, 0.95]).tolist()
        return middle, late

    def count(self, window: Window, verdict: Verdict) -> None:
        """Take a window as soon as there is a verdict on it."""
        self.windows += 1
        self.unjudged += not verdict.judged
        if self._live:
            self._delays.append(max(0.0, self._clock.wall() - window.end))
