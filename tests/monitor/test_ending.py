"""Ending many things."""

import threading

from audio_anomaly_detector.monitor.ending import end_all


def test_all_are_ended_at_once_and_waited_for() -> None:
    # None of them ends before all have begun.
    together = threading.Barrier(20, timeout=60)
    ended = []

    def end() -> None:
        together.wait()
        ended.append(threading.current_thread())

    end_all([end] * 20)
    assert len(ended) == 20
