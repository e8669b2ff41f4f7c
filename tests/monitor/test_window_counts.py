"""The windows of a watch are counted, and how late they are judged."""

import numpy as np
import pytest

from audio_anomaly_detector.monitor.sound import Window
from audio_anomaly_detector.monitor.verdict import Verdict
from audio_anomaly_detector.monitor.window_counts import WindowCounts
from monitor.told_events import NOON, SetClock

WINDOW = Window(np.zeros((1, 8000), np.float32), 16_000, 0, NOON)  # of half a second
JUDGED = Verdict(NOON, NOON + 0.5, 0, "running", True)
UNJUDGED = Verdict.unjudged(WINDOW, "off", "the machine is off")


@pytest.mark.parametrize(("live", "delay_s"), [(True, 1.5), (False, 0.0)])
def test_windows_are_counted_and_those_of_files_are_never_late(live: bool, delay_s: float) -> None:
    clock = SetClock(NOON)
    counts = WindowCounts(clock, live)
    assert counts.delay_s == (0.0, 0.0)
    clock.go(2.0)
    for verdict in (JUDGED, UNJUDGED, JUDGED):
        counts.count(WINDOW, verdict)
    assert (counts.windows, counts.unjudged) == (3, 1)
    assert counts.delay_s == pytest.approx((delay_s, delay_s))


def test_the_late_ones_show() -> None:
    clock = SetClock(NOON)
    counts = WindowCounts(clock, live=True)
    for _ in range(101):
        clock.go(1.0)
        counts.count(WINDOW, JUDGED)
    assert counts.delay_s == pytest.approx((50.5, 95.5))
